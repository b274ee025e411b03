"""Events that the loop itself brings: plain handlers are called at once, as if their task called them."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from kinformer._time_slice import TimeSlice
from kinformer.informer import SharedInformer
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kinformer.events import Event

pytestmark = [pytest.mark.looptime]

MARK: contextvars.ContextVar[int] = contextvars.ContextVar("mark", default=0)


class Source(FakeSource):
    pushes = True


def version(event: Event) -> str:
    return event.source.resource_version


async def turn() -> None:
    """One turn of the loop: the callback of the socket, and no task that it would wake."""
    await asyncio.sleep(0)


async def test_a_plain_handler_is_called_in_the_turn_of_the_read_in_its_own_task_and_context() -> None:
    source = Source(pod("a"))
    seen: list[tuple[str, str, int]] = []

    def handler(event: Event) -> None:
        task = asyncio.current_task()
        assert task is not None
        seen.append((version(event), task.get_name(), MARK.get()))
        MARK.set(MARK.get() + 1)

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(handler, name="mine")
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11))
        await turn()
        assert seen == [("1", "kinformer handler mine", 0), ("11", "kinformer handler mine", 1)]
        assert pods.resource_version == "11"
        assert registration.waiting == 0
        assert registration.idle


async def test_the_task_of_a_coroutine_handler_awaits_it_and_the_order_of_events_stays() -> None:
    source = Source(pod("a"))
    seen: list[str] = []

    def handler(event: Event) -> Awaitable[None] | None:
        if int(version(event)) % 2:
            return slow(event)
        seen.append(version(event))
        return None

    async def slow(event: Event) -> None:
        await asyncio.sleep(1)
        seen.append(version(event))

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(handler)
        stream = await source.watched()
        await asyncio.sleep(2)
        for number in range(10, 16):
            stream.modified(pod("a", number))
        stream.modified(pod("a", 16), pod("b", 17), pod("c", 18))
        await settled()
        assert not registration.idle
        await asyncio.sleep(10)
    assert seen == ["1", *map(str, range(10, 19))]


async def test_a_handler_that_raises_loses_that_event_alone() -> None:
    source = Source(pod("a"))
    seen: list[str] = []

    def handler(event: Event) -> None:
        seen.append(version(event))
        if version(event) == "11":
            raise ZeroDivisionError

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(handler)
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11))
        stream.modified(pod("a", 12))
        await settled()
        assert registration.failures == 1
    assert seen == ["1", "11", "12"]


async def test_a_handler_that_cancels_its_task_ends_neither_the_handler_nor_the_watch() -> None:
    source = Source(pod("a"))
    seen: list[str] = []

    def handler(event: Event) -> None:
        seen.append(version(event))
        if version(event) == "11":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    async with SharedInformer(source) as pods:
        pods.add_event_handler(handler)
        stream = await source.watched()
        await settled()
        for number in (11, 12, 13):
            stream.modified(pod("a", number))
            await settled()
        assert source.streams == [stream]
    assert seen == ["1", "11", "12", "13"]


async def test_a_handler_that_uses_up_the_time_slice_gets_the_rest_in_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    seen: list[str] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(lambda event: seen.append(event.key.name))
        stream = await source.watched()
        await settled()
        monkeypatch.setattr(TimeSlice, "over", True)
        stream.added(pod("a", 11), pod("b", 12), pod("c", 13))
        await turn()
        assert seen == ["a"]
        await settled()
        assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("first", [True, False])
async def test_a_handler_that_is_added_by_a_handler_gets_everything_once(first: bool) -> None:
    source = Source(pod("a"))
    seen: list[tuple[str, str]] = []

    def adding(event: Event) -> None:
        if version(event) == "11":
            pods.add_event_handler(lambda event: seen.append(("late", version(event))))
        seen.append(("adding", version(event)))

    async with SharedInformer(source) as pods:
        if not first:
            pods.add_event_handler(lambda _: None)
        pods.add_event_handler(adding)
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11))
        stream.modified(pod("a", 12))
        await settled()
    assert [what for who, what in seen if who == "late"] == ["11", "12"] or [
        what for who, what in seen if who == "late"
    ] == ["12"]
    assert [what for who, what in seen if who == "adding"] == ["1", "11", "12"]


async def test_a_call_that_was_not_awaited_when_the_informer_ended_warns_of_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    source = Source(pod("a"))

    async def handler(event: Event) -> None:
        await asyncio.sleep(100)

    informer = SharedInformer(source)
    informer.add_event_handler(handler, name="mine")
    async with asyncio.timeout(5):
        async with informer:
            stream = await source.watched()
            informer.add_event_handler(handler)
            await settled()
            stream.modified(pod("a", 11))
    assert [str(warning.message) for warning in recwarn] == []


async def test_two_handlers_are_called_in_their_order_and_one_that_lags_behind_delays_no_other() -> None:
    source = Source(pod("a"))
    seen: list[tuple[str, str]] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(5)
        seen.append(("slow", version(event)))

    async with SharedInformer(source) as pods:
        pods.add_event_handler(slow)
        pods.add_event_handler(lambda event: seen.append(("one", version(event))))
        pods.add_event_handler(lambda event: seen.append(("two", version(event))))
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11))
        await turn()
        assert seen == [("one", "1"), ("two", "1"), ("one", "11"), ("two", "11")]
        await asyncio.sleep(20)
        assert seen[4:] == [("slow", "1"), ("slow", "11")]
