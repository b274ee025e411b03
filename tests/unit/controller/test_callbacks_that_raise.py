"""Every callback that a controller takes, with every kind of exception: none ends a controller, none is silent."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Controller, RateLimitingQueue, SharedInformer, WorkQueue
from kinformer._own_writes.feed import Write, WriteFeed
from kinformer.controller.status import ControllerState
from kinformer.metrics import NoMetrics
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS
from kinformer.workqueue import FairQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.failures import each_kind, foreign
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.events import Event

pytestmark = pytest.mark.looptime

WORKERS = 2


class Part:
    """A callback that fails for keys and objects whose name begins with "bad"."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.calls = 0

    def fail(self, name: object) -> str | None:
        if str(name).rpartition("/")[2].startswith("bad"):
            self.calls += 1
            raise foreign(self.kind)
        return None


async def reconciling(part: Part, reconciled: list[str]) -> Controller[str]:
    async def reconcile(key: str) -> None:
        part.fail(key)
        reconciled.append(key)

    return Controller("test", reconcile, workers=WORKERS, queue=quick())


async def awaiting(part: Part, reconciled: list[str]) -> Controller[str]:
    async def reconcile(key: str) -> None:
        future = asyncio.get_running_loop().create_future()
        try:
            part.fail(key)
            future.set_result(None)
        except asyncio.CancelledError:
            future.cancel()
        except StopIteration as error:
            future.set_exception(RuntimeError(repr(error)))
        except BaseException as error:
            future.set_exception(error)
        await future
        reconciled.append(key)

    return Controller("test", reconcile, workers=WORKERS, queue=quick())


async def hook(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled).before_reconcile(part.fail)  # type: ignore[arg-type]


async def awaitable_of_hook(part: Part, reconciled: list[str]) -> Controller[str]:
    async def wait(key: str) -> None:
        await asyncio.sleep(0.01)
        part.fail(key)

    def ask(key: str) -> Awaitable[object] | None:
        return wait(key) if key.startswith("bad") else None

    return working(reconciled).before_reconcile(ask)


class Limiter(ItemExponential):
    def __init__(self, part: Part, method: str) -> None:
        super().__init__(0.1, 0.5)
        self._part = part
        self._method = method

    def when(self, key: Any, now: float) -> float:
        if self._method == "when":
            self._part.fail(key)
        return super().when(key, now)

    def forget(self, key: Any) -> None:
        if self._method == "forget":
            self._part.fail(key)
        super().forget(key)


async def limiter_when(part: Part, reconciled: list[str]) -> Controller[str]:
    async def reconcile(key: str) -> None:
        reconciled.append(key)
        if key.startswith("bad"):
            raise ValueError(key)

    return Controller("test", reconcile, workers=WORKERS, queue=RateLimitingQueue(Limiter(part, "when")))


async def limiter_forget(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, queue=RateLimitingQueue(Limiter(part, "forget")))


class Sink(NoMetrics):
    """Metrics of work of which one method raises."""

    def __init__(self, part: Part, method: str) -> None:
        self._part = part
        self._method = method

    def queue(self, name: str, gauges: Any) -> Any:
        return self

    def controller(self, name: str, gauges: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self._part.fail("bad") if name == self._method else None


async def metrics_reconciled(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, metrics=Sink(part, "reconciled"))


async def metrics_added(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, metrics=Sink(part, "added"))


async def metrics_taken(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, metrics=Sink(part, "taken"))


async def metrics_finished(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, metrics=Sink(part, "finished"))


class OwnQueue(RateLimitingQueue[str]):
    """A queue of a user's own that hands out keys, but fails now and then."""

    def __init__(self, part: Part) -> None:
        super().__init__(ItemExponential(0.1, 0.5))
        self._part = part
        self._turn = 0

    async def get(self) -> str:
        self._turn += 1
        self._part.fail("bad" if self._turn % 3 == 0 else "good")
        return await super().get()


async def queue_get(part: Part, reconciled: list[str]) -> Controller[str]:
    return working(reconciled, queue=OwnQueue(part))


def quick() -> RateLimitingQueue[str]:
    return RateLimitingQueue(ItemExponential(0.1, 0.5))


def working(reconciled: list[str], **settings: Any) -> Controller[str]:
    async def reconcile(key: str) -> None:
        reconciled.append(key)

    if "metrics" not in settings:
        settings.setdefault("queue", quick())
    return Controller("test", reconcile, workers=WORKERS, **settings)


BY_HAND: tuple[Callable[[Part, list[str]], Any], ...] = (
    *(reconciling, awaiting, hook, awaitable_of_hook, limiter_when, limiter_forget),
    *(metrics_reconciled, metrics_added, metrics_taken, metrics_finished, queue_get),
)


@each_kind
@pytest.mark.parametrize("make", BY_HAND, ids=lambda make: make.__name__)
async def test_a_callback_that_raises_ends_no_worker_and_shows_in_the_log(
    make: Callable[[Part, list[str]], Any], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part(kind)
    reconciled: list[str] = []
    controller = await make(part, reconciled)
    async with controller:
        for number in range(2 * WORKERS + 1):
            controller.queue.add(f"bad-{number}")
        await asyncio.sleep(10)
        for number in range(2 * WORKERS + 1):
            controller.queue.add(f"good-{number}")
        await asyncio.sleep(10)
        assert {key for key in reconciled if key.startswith("good")} == {f"good-{n}" for n in range(2 * WORKERS + 1)}
        assert controller.status.state is ControllerState.RUNNING
        # So many are left: each worker still takes keys.
        workers = [task for task in asyncio.all_tasks() if "worker" in task.get_name()]
        assert len(workers) == WORKERS
    assert part.calls > 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@each_kind
@pytest.mark.parametrize("what", ["filter", "map", "index of keys"])
async def test_a_filter_or_map_that_raises_stops_neither_the_informer_nor_the_controller(
    what: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part(kind)
    reconciled: list[str] = []
    source = FakeSource(pod("bad-0", 1), pod("good-0", 2))
    informer = SharedInformer(source)

    def admit(event: Event) -> bool:
        part.fail(event.obj.name)
        return True

    def keys_of(obj: KubeObject) -> Any:
        if what == "index of keys":
            return (str(part.fail(obj.name)) for _ in range(1)) if obj.name.startswith("bad") else [obj.name]
        part.fail(obj.name)
        return obj.name

    async def reconcile(key: str) -> None:
        reconciled.append(key)

    controller: Controller[str] = Controller("test", reconcile, workers=WORKERS)
    if what == "filter":
        controller.watches(informer, map=lambda obj: obj.name, filter=admit)
    else:
        controller.watches(informer, map=keys_of)
    async with informer, controller:
        stream = await source.watched()
        stream.added(pod("bad-1", 20), pod("good-1", 21))
        stream.modified(pod("bad-0", 22), pod("good-0", 23))
        await asyncio.sleep(1)
        assert set(reconciled) == {"good-0", "good-1"}
        assert informer.status.handler_failures == part.calls > 2
        assert controller.status.state is ControllerState.RUNNING
    assert "Traceback" in caplog.text


@each_kind
async def test_a_map_that_raises_does_not_fail_the_write_of_another_part_of_the_program(kind: str) -> None:
    part = Part(kind)
    feed = WriteFeed()

    class Writing(FakeSource):
        def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
            return feed.listen(listener)

    def keys_of(obj: KubeObject) -> str:
        part.fail(obj.name)
        return obj.name

    async def reconcile(key: str) -> None: ...

    informer = SharedInformer(Writing(pod("bad", 1)))
    controller: Controller[str] = Controller("test", reconcile).watches(informer, map=keys_of)
    async with informer, controller:
        await settled()
        before = part.calls
        feed.accepted(Write(PODS, ObjectKey("default", "bad"), "", 30))
        feed.accepted(Write(PODS, ObjectKey("default", "bad"), "uid-default-bad", 31, obj=pod("bad", 31)))
        assert part.calls > before


@each_kind
async def test_a_leadership_that_cannot_be_watched_is_over(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        is_leader = True

        async def lost(self) -> None:
            await asyncio.sleep(1)
            raise foreign(kind)

        def check(self) -> None: ...

    leadership: Any = Broken()
    cancelled = []

    async def reconcile(key: str) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(key)
            raise

    controller: Controller[str] = Controller("test", reconcile, leader=leadership)
    controller.queue.add("web")
    async with asyncio.timeout(5):
        await controller.run()
    assert cancelled == ["web"]
    assert "the leadership cannot be watched any more" in caplog.text


async def test_workers_that_end_by_a_defect_are_a_failed_controller_loudly(caplog: pytest.LogCaptureFixture) -> None:
    class Defect(BaseException):
        pass

    async def reconcile(key: str) -> None: ...

    controller: Controller[str] = Controller("test", reconcile)

    async def broken(_: object) -> None:
        await asyncio.sleep(1)
        raise Defect("a defect")

    controller._workers.run = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(Defect):
        await controller.run()
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "controller test has failed" in record.getMessage()
    assert record.exc_info
    assert controller.status.last_error == "Defect: a defect"


async def test_a_failed_controller_says_so_in_its_status() -> None:
    async def reconcile(key: str) -> None: ...

    controller: Controller[str] = Controller("test", reconcile)

    async def broken(_: object) -> None:
        raise OSError("a defect")

    controller._workers.run = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="a defect"):
        async with controller:
            await asyncio.sleep(1)
            assert controller.status.state is ControllerState.FAILED


@each_kind
@pytest.mark.parametrize("make", [WorkQueue, lambda: FairQueue(str)], ids=["WorkQueue", "FairQueue"])
async def test_the_function_that_holds_keys_back_may_raise_anything(
    make: Callable[[], WorkQueue[str]], kind: str
) -> None:
    queue = make()

    def must_wait(key: str) -> bool:
        raise foreign(kind)

    queue.hold_back(must_wait)
    queue.add("a")
    assert await queue.get() == "a"


@each_kind
async def test_a_key_whose_reconcile_raised_comes_again(kind: str) -> None:
    calls = 0

    async def reconcile(key: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise foreign(kind)

    async with Controller("test", reconcile, queue=quick()) as controller:
        controller.queue.add("web")
        await asyncio.sleep(0.05)
        assert controller.status.failing["web"].failures == 1
        await asyncio.sleep(5)
        assert not controller.status.failing
    assert calls == 2


class Key:
    """A key whose `__hash__` or `__eq__` raises after `fails` names it."""

    def __init__(self) -> None:
        self.fails = ""

    def __hash__(self) -> int:
        if self.fails == "hash":
            raise ZeroDivisionError
        return 1

    def __eq__(self, other: object) -> bool:
        if self.fails == "eq":
            raise ZeroDivisionError
        return self is other


@pytest.mark.parametrize("fails", ["hash", "eq"])
async def test_a_key_whose_hash_or_comparison_raises_later_holds_up_no_other_key(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Key()
    good: list[object] = []

    async def reconcile(key: object) -> None:
        if isinstance(key, Key):
            key.fails = fails
            await asyncio.sleep(1)
            raise ValueError("fails with its key")
        good.append(key)

    async with Controller("test", reconcile, workers=2) as controller:
        controller.queue.add(bad)
        await asyncio.sleep(0.5)
        assert controller.status.state is ControllerState.RUNNING
        assert len(controller.status.in_progress) == (fails == "eq")
        await asyncio.sleep(0.5001)
        for number in range(10, 15):
            controller.queue.add(number)
        await asyncio.sleep(0.001)
        assert sorted(good, key=str) == [10, 11, 12, 13, 14]
        assert not controller.status.in_progress
        assert [record for record in caplog.records if record.levelno >= logging.ERROR]
