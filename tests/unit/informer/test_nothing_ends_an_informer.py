"""Whatever a callback raises, the informer goes on; a part that ends by itself makes the whole one FAILED."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.errors import ConnectError, KinformerError, UnexpectedError
from kinformer.informer import SharedInformer
from kinformer.metrics import NoMetrics
from kinformer.status import InformerState
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.looptime


class OddError(BaseException):
    """An exception that is no `Exception`."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: ZeroDivisionError("odd"),
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": lambda: StopAsyncIteration(),
    "CancelledError": lambda: asyncio.CancelledError(),
    "GeneratorExit": lambda: GeneratorExit(),
    "ExceptionGroup": lambda: ExceptionGroup("odd", [ZeroDivisionError()]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("odd", [OddError()]),
    "BaseException": lambda: OddError("odd"),
}


class RaisingMetrics(NoMetrics):
    """Raises at one of its methods, or counts nothing."""

    def __init__(self, at: str, error: Callable[[], BaseException]) -> None:
        self._at = at
        self._error = error

    def __getattribute__(self, name: str) -> Any:
        if name[0] != "_" and name == self._at:
            error = self._error

            def raising(*_: object, **__: object) -> None:
                raise error()

            return raising
        return super().__getattribute__(name)


METRICS = [name for name in vars(NoMetrics) if not name.startswith("_")]

CALLBACKS = [
    *("handler", "async handler", "on_add", "transform", "index function", "on_error", "error handler", "on_give_up"),
    *("wait_for predicate", *(f"metrics {name}" for name in METRICS)),
]


@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.parametrize("raised", RAISED)
async def test_whatever_a_callback_raises_the_informer_goes_on(callback: str, raised: str) -> None:
    error = RAISED[raised]
    armed = True

    def raising(*_: object) -> Any:
        if armed:
            raise error()

    async def raising_later(*_: object) -> None:
        await asyncio.sleep(0)
        raising()

    def transform(manifest: dict[str, Any]) -> dict[str, Any]:
        raising()
        return manifest

    def index(obj: Any) -> list[str]:
        raising()
        return []

    source = FakeSource(pod("a", 1))
    source.list_errors = [ConnectError("refused")] * (6 if callback == "on_give_up" else 1)
    named: dict[str, dict[str, Any]] = {
        "transform": {"transform": transform},
        "on_error": {"on_error": raising},
        "on_give_up": {"on_give_up": lambda *_: True, "give_up_after": 3},
    }
    settings = named.get(callback, {})
    if callback.startswith("metrics "):
        settings = {"metrics": RaisingMetrics(callback.removeprefix("metrics "), error)}
    seen: list[str] = []
    informer = SharedInformer(source, **settings)
    if callback == "handler":
        informer.add_event_handler(raising)
    if callback in {"async handler", "metrics handler_failed"}:
        informer.add_event_handler(raising_later)
    if callback == "on_add":
        informer.add_event_handler(on_add=raising)
    if callback == "index function":
        informer.add_indexers({"odd": index})
    if callback == "error handler":
        informer.add_error_handler(raising)
    informer.add_event_handler(lambda event: seen.append(event.obj.name))
    async with informer:
        await informer.synced(timeout=60)
        if callback == "wait_for predicate":
            await _waiting_fails(informer, source, error)
        armed = False
        stream = await source.watched()
        stream.added(pod("later", 20))
        await asyncio.sleep(1)
        assert informer.is_live
        assert informer.lister.get("later", "default") is not None
        assert seen[-1] == "later"
        assert all(not registration.removed for registration in informer.handlers)
    assert informer.status.state is InformerState.STOPPED
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def _waiting_fails(informer: SharedInformer, source: FakeSource, error: Callable[[], BaseException]) -> None:
    """The predicate fails the wait of its caller, with an exception that is no end of anything."""
    calls = 0

    def predicate(obj: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise error()
        return False

    stream = await source.watched()
    asyncio.get_running_loop().call_later(1, stream.added, pod("b", 15))
    with pytest.raises(Exception, match="raised|odd"):
        await informer.wait_for("b", predicate, 5, namespace="default")


async def test_on_give_up_that_raises_gives_up() -> None:
    for error in RAISED.values():

        def raising(*_: object, error: Callable[[], BaseException] = error) -> bool:
            raise error()

        source = FakeSource()
        source.list_errors = [ConnectError("refused")] * 100
        async with SharedInformer(source, give_up_after=5, on_give_up=raising) as informer:
            await asyncio.sleep(60)
            assert informer.status.state is InformerState.GAVE_UP


@pytest.mark.parametrize("part", ["reflector", "cache"])
async def test_a_part_that_ends_though_nothing_asked_it_to_makes_the_informer_failed(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(*_: object) -> None:
        await asyncio.sleep(5)
        raise asyncio.CancelledError

    where = {
        "reflector": "kinformer.reflector._reflector.Reflector.run",
        "cache": "kinformer.informer._dispatcher.Dispatcher.run",
    }
    monkeypatch.setattr(where[part], ends)
    errors: list[KinformerError] = []
    informer = SharedInformer(FakeSource(), on_error=lambda error, _: errors.append(error))
    informer.start()
    await asyncio.sleep(10)
    assert informer.status.state is InformerState.FAILED
    assert not informer.is_live
    assert isinstance(errors[-1], UnexpectedError)
    with pytest.raises(ExceptionGroup):
        await informer.stop()


async def old_time_limit(seconds: float) -> None:
    """Do as async_timeout 3: cancel the task, and turn that into a TimeoutError without taking it back."""
    task = asyncio.current_task()
    assert task is not None
    handle = asyncio.get_running_loop().call_later(seconds, task.cancel)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise TimeoutError from None
    finally:
        handle.cancel()


@pytest.mark.parametrize("how", ["cancels its task", "cancels its task and returns", "old time limit"])
async def test_a_handler_that_leaves_its_task_cancelled_gets_its_next_events(how: str) -> None:
    calls = 0
    seen: list[str] = []

    async def handler(event: Any) -> None:
        nonlocal calls
        calls += 1
        task = asyncio.current_task()
        assert task is not None
        if calls == 1 and how == "old time limit":
            await old_time_limit(0.01)
        elif calls == 1:
            task.cancel()
            if how == "cancels its task":
                await asyncio.sleep(0)
        elif calls == 2 and how == "old time limit":
            # An inner task that was cancelled by somebody: nothing of ours.
            inner = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner
        seen.append(event.obj.name)

    source = FakeSource()
    async with SharedInformer(source) as informer:
        registration = informer.add_event_handler(handler)
        stream = await source.watched()
        for number, name in enumerate("abcde", 20):
            stream.added(pod(name, number))
            await asyncio.sleep(1)
        assert seen[-3:] == ["c", "d", "e"]
        assert registration.failures >= 1
        assert registration.waiting == 0
        assert not registration.removed
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_factory_starts_the_others_beside_one_that_was_started_by_itself_and_ends_all() -> None:
    async with Client(ClusterConfig.for_server("http://127.0.0.1:1")) as client:
        factory = SharedInformerFactory(client)
        pods, nodes = factory.core.v1.pods, factory.core.v1.nodes
        nodes.start()
        async with factory:
            assert not pods.stopped
            assert not nodes.stopped
        assert pods.stopped
        assert nodes.stopped


async def test_a_factory_that_fails_half_way_leaves_no_informer_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Client(ClusterConfig.for_server("http://127.0.0.1:1")) as client:
        factory = SharedInformerFactory(client)
        pods, nodes = factory.core.v1.pods, factory.core.v1.nodes

        def fails() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(nodes, "start", fails)
        with pytest.raises(ZeroDivisionError):
            async with factory:
                pass
        await asyncio.sleep(1)
        assert pods.stopped
        assert nodes.stopped
