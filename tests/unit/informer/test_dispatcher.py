"""Handlers that are slow, raise, go away while they run, or pull the rug from under themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.errors import StoppedError, api_error
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer import SharedInformer, _dispatcher
from kinformer.informer.factory import SharedInformerFactory
from kinformer.resources import NODES, PODS, Resource
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]

EXPIRED = api_error(410, {"reason": "Expired"})


class Handlers:
    async def method(self, event: Event) -> None: ...

    def __call__(self, event: Event) -> None: ...


def function(event: Event) -> None: ...


@pytest.mark.parametrize(
    ("handler", "name"),
    [(function, "function"), (Handlers().method, "Handlers.method"), (Handlers(), "Handlers")],
)
def test_a_handler_is_called_by_its_functions_name_unless_it_is_given_one(handler: Any, name: str) -> None:
    informer = SharedInformer(FakeSource())
    assert informer.add_event_handler(handler).name == name
    assert informer.add_event_handler(on_add=handler).name == name
    assert informer.add_event_handler(handler, name="mine").name == "mine"


async def test_removing_twice_and_after_the_stop_does_no_harm() -> None:
    async with SharedInformer(FakeSource(pod("a"))) as informer:
        first, second = informer.add_event_handler(function), informer.add_event_handler(function)
        await first.remove()
        await first.remove(drain=True)
    await second.remove()
    assert first.removed
    assert second.removed


async def test_removal_waits_for_a_call_that_raises_in_the_end() -> None:
    ended: list[float] = []

    async def late(event: Event) -> None:
        try:
            await asyncio.sleep(5)
            raise ZeroDivisionError
        finally:
            ended.append(asyncio.get_running_loop().time())

    source = FakeSource(pod("a"), pod("b"))
    async with SharedInformer(source) as informer:
        registration = informer.add_event_handler(late)
        await source.watched()
        await asyncio.sleep(1)
        await registration.remove()
        assert ended == [pytest.approx(5, abs=0.01)]
        assert registration.failures == 1


async def test_a_handler_added_during_a_relist_hears_of_everything_once() -> None:
    source = FakeSource(pod("a"), pod("b"), pod("c"))
    source.page_size = 1
    source.list_delay = 1
    async with SharedInformer(source) as informer:
        await informer.synced()
        await source.watched()
        source.objects = [pod("b"), pod("c", 12), pod("d", 13)]
        source.version = 13
        source.stream.error(EXPIRED)
        await asyncio.sleep(1.5)
        seen: list[Event] = []
        informer.add_event_handler(seen.append)
        await asyncio.sleep(10)
        assert seen == [
            Added(pod("a"), initial=True),
            Added(pod("b"), initial=True),
            Added(pod("c"), initial=True),
            Deleted(pod("a"), final_state_known=False),
            Updated(pod("c"), pod("c", 12)),
            Added(pod("d", 13)),
        ]


async def test_a_handler_that_never_returns_holds_at_most_one_event_per_object_with_latest_delivery() -> None:
    async def stuck(event: Event) -> None:
        await asyncio.get_running_loop().create_future()

    source = FakeSource(*(pod(f"p{number}") for number in range(20)))
    async with SharedInformer(source) as informer:
        registration = informer.add_event_handler(stuck, delivery="latest")
        stream = await source.watched()
        for version in range(11, 2011):
            stream.modified(pod(f"p{version % 20}", version))
            if version % 100 == 0:
                await settled()
        await settled()
        assert registration.waiting <= 20
        assert len(informer.lister) == 20


async def test_of_many_handlers_that_raise_at_every_event_none_is_lost_and_the_cache_goes_on() -> None:
    calls: list[str] = []

    def failing(event: Event) -> None:
        calls.append(event.obj.name)
        raise ZeroDivisionError

    source = FakeSource(pod("a"))
    async with SharedInformer(source) as informer:
        registrations = [informer.add_event_handler(failing) for _ in range(50)]
        stream = await source.watched()
        stream.added(pod("b", 11))
        await settled()
        assert sorted(calls) == ["a"] * 50 + ["b"] * 50
        assert {registration.failures for registration in registrations} == {2}
        assert informer.status.handler_failures == 100
        assert informer.is_live


async def test_a_handler_may_stop_its_factory() -> None:
    class Sources:
        def list_watch(self, resource: Resource, **scope: Any) -> FakeSource:
            return FakeSource(pod("a"), resource=resource)

        async def resolve(self, name: str) -> Resource:
            raise NotImplementedError

    factory = SharedInformerFactory(Sources())
    ended = asyncio.Event()

    async def stop(event: Event) -> None:
        try:
            await factory.stop()
        finally:
            ended.set()

    nodes, pods = factory.informer(NODES), factory.informer(PODS)
    pods.add_event_handler(stop)
    async with factory:
        await ended.wait()
        while not (nodes.stopped and pods.stopped):
            await settled()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any("kinformer" in name for name in names)
    with pytest.raises(StoppedError):
        factory.informer(NODES)


async def test_handlers_removed_from_within_other_handlers_hear_nothing_more() -> None:
    source = FakeSource()
    seen: list[KubeObject] = []

    async def victim(obj: KubeObject) -> None:
        seen.append(obj)

    async with SharedInformer(source) as informer:
        registration = informer.add_event_handler(on_add=victim)

        async def remover(event: Event) -> None:
            await registration.remove()

        stream = await source.watched()
        stream.added(pod("a", 11))
        await settled()
        informer.add_event_handler(remover)
        await settled()
        stream.added(pod("b", 12))
        await settled()
        assert seen == [pod("a", 11)]


async def test_a_slow_handler_that_is_cancelled_by_the_stop_leaves_nothing_half_done() -> None:
    states: list[str] = []

    async def slow(event: Event) -> None:
        states.append("begun")
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            states.append("cancelled")
            raise

    source = FakeSource(pod("a"), pod("b"))
    informer = SharedInformer(source)
    informer.add_event_handler(slow)
    async with informer:
        await source.watched()
        await asyncio.sleep(1)
    assert states == ["begun", "cancelled"]


@pytest.mark.looptime(False)
async def test_a_stream_that_always_has_something_ready_does_not_hold_the_loop() -> None:
    # On real time: virtual time stands still while there is something to do.
    source = FakeSource(*(pod(f"p{number}") for number in range(10)))
    source.pushes = False
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with SharedInformer(source) as informer:
        stream = await source.watched()
        versions = iter(range(11, 10**6))
        for _ in range(3000):
            stream.modified(*(pod(f"p{number}", next(versions)) for number in range(10)))
        async with asyncio.TaskGroup() as group:
            other = group.create_task(another())
            await asyncio.sleep(0)
            before = turns
            while informer.status.events < 30_000:
                await asyncio.sleep(0)
            other.cancel()
    # Without a pause of the reflector, it would be a turn or two.
    assert turns - before > 5


async def test_how_far_a_handler_is_behind_is_known_while_it_is_and_counted_when_it_has_caught_up() -> None:
    async def slow(event: Event) -> None:
        await asyncio.sleep(0.3)

    source = FakeSource(pod("a"))
    async with SharedInformer(source) as informer:
        registration = informer.add_event_handler(slow)
        stream = await source.watched()
        await asyncio.sleep(1)
        assert (registration.behind_since, registration.idle) == (None, True)
        began = asyncio.get_running_loop().time()
        stream.added(pod("b", 11), pod("c", 12))
        await asyncio.sleep(0.1)
        assert registration.behind_since == pytest.approx(began, abs=0.01)
        assert not registration.idle
        await asyncio.sleep(1)
        assert (registration.behind_since, registration.idle) == (None, True)
        # Alone, the first took 0.3 s; of the two that came together, the second was done with after 0.6 s.
        times = registration.catch_ups
        counts = dict(zip((*times.bounds, "more"), times.counts, strict=True))
        assert (counts[0.5], counts[1.0], sum(times.counts)) == (1, 1, 2)
        assert times.total == pytest.approx(0.9, abs=0.02)


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since the beginning of a test, at which free memory was given back."""
    times: list[float] = []
    monkeypatch.setattr(_dispatcher, "give_back_free_memory", lambda: times.append(asyncio.get_running_loop().time()))
    monkeypatch.setattr(_dispatcher, "_WORTH_GIVING_BACK", 10_000)
    return times


async def test_after_large_deletions_free_memory_is_given_back(given_back: list[float]) -> None:
    source = FakeSource(*(pod(f"p{number}", data={"text": "x" * 1000}) for number in range(30)))
    async with SharedInformer(source):
        await source.watched()
        began = asyncio.get_running_loop().time()
        for number in range(15):
            source.streams[-1].modified(pod(f"p{number}", 100 + number, data={"text": "y" * 1000}))
        await asyncio.sleep(5)
        assert given_back == [], "updates free as much as they take"
        for number in range(24):
            source.streams[-1].deleted(pod(f"p{number}", 200 + number))
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        # In steps while objects are deleted, and once more when handlers are done; not once for each object.
        assert [round(at - began, 1) for at in given_back] == [5.1, 5.2, 6.1]


async def test_memory_that_slow_handlers_hold_is_given_back_when_they_are_done(given_back: list[float]) -> None:
    source = FakeSource(*(pod(f"p{number}", data={"text": "x" * 1000}) for number in range(12)))

    async def slow(event: Event) -> None:
        if isinstance(event, Deleted):
            await asyncio.sleep(0.2)

    async with SharedInformer(source) as informer:
        informer.add_event_handler(slow)
        await source.watched()
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        source.streams[-1].deleted(*(pod(f"p{number}", 200 + number) for number in range(12)))
        await asyncio.sleep(9)
    assert [round(at - began, 1) for at in given_back] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "functions",
    [
        {"on_event": lambda: None},
        {"on_add": lambda old, new: None},
        {"on_update": lambda old: None},
        {"on_delete": lambda: None},
        {"on_add": function, "on_update": function},
    ],
)
def test_a_handler_that_takes_other_arguments_is_refused_where_it_is_given(functions: dict[str, Any]) -> None:
    informer = SharedInformer(FakeSource())
    with pytest.raises(TypeError, match=r"is called with \(.*\), but .* takes \(.*\)"):
        informer.add_event_handler(**functions)
    assert [*informer.handlers] == []
