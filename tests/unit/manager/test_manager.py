"""Manager: the order of starting and stopping, failures, leadership and probes, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    AlreadyStartedError,
    Client,
    ClusterConfig,
    Controller,
    LeaderElector,
    LeadershipLostError,
    Manager,
    NotStartedError,
    ObjectKey,
    RateLimitingQueue,
    SharedInformerFactory,
    StoppedError,
    UnexpectedError,
    WaitTimeoutError,
)
from kinformer.resources import LEASES
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default"},
       "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip


class Recorder:
    """A part that notes when it is entered and left."""

    def __init__(self, name: str, log: list[str], *, leave: float = 0.0) -> None:
        self.name = name
        self._log = log
        self._leave = leave

    async def __aenter__(self) -> None:
        self._log.append(f"+{self.name}")

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(self._leave)
        self._log.append(f"-{self.name}")


class Context(Recorder, contextlib.AbstractAsyncContextManager[None]):
    pass


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        running.create(POD)
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as opened:
        yield opened


def quiet(**options: Any) -> Manager:
    return Manager(**{"host": "", "blocked_after": None} | options)


async def until(condition: Any, timeout: float = 10) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def test_parts_start_in_the_order_of_stages_and_stop_in_the_opposite_one(client: Client) -> None:
    log: list[str] = []
    factory = SharedInformerFactory(client)
    pods = factory.core.v1.pods

    def reconciling(name: str) -> Any:
        async def reconcile(_: ObjectKey) -> None:
            assert pods.has_synced
            log.append(f"+{name}")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                log.append(f"-{name} synced={pods.has_synced} stopped={pods.stopped} leads={elector.is_leader}")

        return reconcile

    elector = LeaderElector(client, "op", namespace="default")
    led = Controller("led", reconciling("led"), grace=0.1).watches(pods)
    warm = Controller("warm", reconciling("warm"), grace=0.1).watches(pods)
    manager = quiet()
    # The order of the arguments does not matter.
    manager.add(led, Context("recorder", log), elector, factory).add(warm, led=False)
    async with manager:
        await until(lambda: "+led" in log)
        assert manager.is_ready
    assert log.index("+recorder") < log.index("+warm") < log.index("+led")
    assert log[-3:] == [
        "-led synced=True stopped=False leads=True",
        "-warm synced=True stopped=False leads=False",
        "-recorder",
    ]
    assert pods.stopped
    lease = await client.get(LEASES, "op", namespace="default")
    assert lease.at("spec.holderIdentity") == ""


async def test_a_replica_that_does_not_lead_is_ready_and_its_led_controllers_wait(client: Client) -> None:
    calls: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> None:
        calls.append(key)

    first = LeaderElector(client, "op", namespace="default", identity="other")
    async with first:
        factory = SharedInformerFactory(client)
        second = LeaderElector(client, "op", namespace="default")
        controller = Controller("c", reconcile).watches(factory.core.v1.pods)
        async with quiet().add(factory, second, controller) as manager:
            await until(lambda: manager.is_ready)
            await asyncio.sleep(0.2)
            assert calls == []


async def test_a_part_that_fails_stops_the_others_in_order_and_its_error_is_raised() -> None:
    log: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0.1)
        raise ValueError("boom")

    manager = quiet().add(Context("one", log), fails)
    with pytest.raises(ValueError, match="boom") as caught:
        await manager.run()
    assert caught.value.__notes__ == ["fails has failed, and with it the manager"]
    assert log == ["+one", "-one"]


async def test_a_failure_cancels_the_body_and_nothing_after_it() -> None:
    async def fails() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        async with quiet().add(fails):
            await asyncio.get_running_loop().create_future()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_failure_in_the_body_is_the_one_that_is_raised() -> None:
    with pytest.raises(KeyError):
        async with quiet().add(Context("one", [])):
            raise KeyError("body")


async def test_a_context_that_cannot_be_entered_is_a_failure() -> None:
    class Broken(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            raise OSError("no port")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    with pytest.raises(OSError, match="no port"):
        await quiet().add(Broken()).run()


async def test_a_controller_that_ends_by_itself_is_a_failure() -> None:
    async def reconcile(_: str) -> None: ...

    queue: RateLimitingQueue[str] = RateLimitingQueue()
    controller = Controller("c", reconcile, queue=queue)
    with pytest.raises(UnexpectedError, match="controller c has ended by itself"):
        async with quiet().add(controller):
            await asyncio.sleep(0.05)
            await queue.shut_down()
            await asyncio.get_running_loop().create_future()


async def test_an_informer_that_has_ended_is_a_failure(server: ApiServer, client: Client) -> None:
    factory = SharedInformerFactory(client, give_up_after=0.2)
    pods = factory.core.v1.pods
    with pytest.raises(UnexpectedError, match="the informer pods.v1 has ended"):
        async with quiet().add(factory):
            await pods.synced(timeout=10)
            await server.stop()
            await asyncio.get_running_loop().create_future()


async def test_caches_that_do_not_fill_are_a_failure(server: ApiServer, client: Client) -> None:
    server.faults.fail_next(None, status=500, resource="pods")
    factory = SharedInformerFactory(client)
    factory.core.v1.pods  # noqa: B018 - asks for the informer
    with pytest.raises(TimeoutError):
        await quiet(sync_timeout=0.3).add(factory).run()


async def test_losing_the_leadership_is_a_failure(client: Client, server: ApiServer) -> None:
    elector = LeaderElector(
        client, "op", namespace="default", lease_duration=2, renew_deadline=0.5, retry_period=0.1, release=False
    )
    with pytest.raises(LeadershipLostError):
        async with quiet().add(elector):
            await until(lambda: elector.is_leader)
            await server.stop()
            await asyncio.get_running_loop().create_future()


async def test_parts_that_are_added_later_start_at_once() -> None:
    log: list[str] = []
    async with quiet() as manager:
        await until(lambda: manager.is_ready)
        manager.add(Context("late", log))
        assert not manager.is_ready
        await until(lambda: manager.is_ready)
        assert log == ["+late"]
    assert log == ["+late", "-late"]
    with pytest.raises(AlreadyStartedError, match="takes no more parts"):
        manager.add(Context("never", log))


@pytest.mark.looptime
async def test_a_part_that_does_not_stop_is_cancelled_once_more_after_the_grace() -> None:
    began = asyncio.get_running_loop().time()

    class Slow(contextlib.AbstractAsyncContextManager[None]):
        async def __aexit__(self, *_: object) -> None:
            await asyncio.sleep(3600)

    async with quiet(grace=30).add(Slow()) as manager:
        await until(lambda: manager.is_ready)
    assert 30 <= asyncio.get_running_loop().time() - began < 31


@pytest.mark.looptime
async def test_a_second_cancellation_ends_the_parts_at_once() -> None:
    began = asyncio.get_running_loop().time()

    class Slow(contextlib.AbstractAsyncContextManager[None]):
        async def __aexit__(self, *_: object) -> None:
            await asyncio.sleep(3600)

    manager = quiet(grace=30).add(Slow())
    task = asyncio.get_running_loop().create_task(manager.run())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() - began < 3


async def test_a_function_may_return_and_stop_ends_run() -> None:
    async def once() -> None:
        manager.stop()

    manager = quiet().add(once)
    async with asyncio.timeout(5):
        await manager.run()


@pytest.mark.parametrize(
    ("parts", "options", "error", "reason"),
    [
        ([5], {}, TypeError, "no part of a manager"),
        ([Context("a", [])], {"led": True}, ValueError, "runs in each replica"),
    ],
)
async def test_what_is_no_part_is_refused(
    parts: list[Any], options: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        quiet().add(*parts, **options)


async def test_an_elector_comes_once_and_before_its_controllers(client: Client) -> None:
    async def reconcile(_: ObjectKey) -> None: ...

    elector = LeaderElector(client, "op", namespace="default")
    manager = quiet().add(elector)
    with pytest.raises(ValueError, match="already"):
        manager.add(elector)
    with pytest.raises(ValueError, match="one elector"):
        manager.add(LeaderElector(client, "op2", namespace="default"))
    with pytest.raises(ValueError, match="add a LeaderElector before"):
        quiet().add(reconcile, led=True)
    with pytest.raises(AlreadyStartedError, match="before the controllers"):
        quiet().add(Controller("c", reconcile)).add(LeaderElector(client, "op3", namespace="default"))


# Waiting until it is ready


async def test_it_is_ready_when_all_parts_but_the_led_ones_have_started(client: Client) -> None:
    log: list[str] = []
    factory = SharedInformerFactory(client)
    pods = factory.core.v1.pods

    async def work() -> None:
        await manager.ready()
        log.append("work")

    async with quiet().add(factory, Context("context", log), work) as manager:
        with pytest.raises(NotStartedError, match=r"wait for `manager\.ready\(\)` if a Manager starts it"):
            await factory.wait_for_cache_sync()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(manager.ready(timeout=10))
        assert manager.is_ready
        assert pods.lister.get("a", namespace="default") is not None
        await manager.ready(timeout=0)
        await asyncio.sleep(0.01)
        assert log == ["+context", "work"]
        manager.add(Context("later", log))
        await manager.ready(timeout=10)
        assert log[-1] == "+later"


@pytest.mark.looptime
async def test_a_wait_that_ends_early_names_the_parts_that_have_not_started() -> None:
    class Slow(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            await asyncio.sleep(100)

        async def __aexit__(self, *_: object) -> None: ...

    async with quiet().add(Slow()) as manager:
        with pytest.raises(WaitTimeoutError, match=r"not ready after 2 s: not started yet: Slow"):
            await manager.ready(timeout=2)
        assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)
        waiting = asyncio.get_running_loop().create_task(manager.ready())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await manager.ready()
        assert asyncio.get_running_loop().time() == pytest.approx(100, abs=0.3)


async def test_a_manager_that_does_not_run_or_stops_is_never_ready() -> None:
    never = asyncio.Event()

    class Stuck(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            await never.wait()

        async def __aexit__(self, *_: object) -> None: ...

    manager = quiet().add(Stuck())
    with pytest.raises(NotStartedError, match="this manager does not run"):
        await manager.ready()
    async with manager:
        waiting = asyncio.get_running_loop().create_task(manager.ready())
        await asyncio.sleep(0.01)
        manager.stop()
        with pytest.raises(StoppedError, match="will not be ready: the manager is stopping"):
            await waiting
    with pytest.raises(StoppedError):
        await manager.ready()


async def test_a_part_that_fails_is_the_cause_for_those_that_wait() -> None:
    boom = ValueError("boom")

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise boom

    class Stuck(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            await asyncio.sleep(60)

        async def __aexit__(self, *_: object) -> None: ...

    manager = quiet().add(fails, Stuck())
    running = asyncio.get_running_loop().create_task(manager.run())
    await until(lambda: manager._body is not None)
    with pytest.raises(StoppedError, match="will not be ready: fails has failed: ValueError") as stopped:
        await manager.ready()
    assert stopped.value.__cause__ is boom
    with pytest.raises(ValueError, match="boom"):
        await running
