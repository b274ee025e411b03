"""A flag does what an asyncio.Event does, and takes less memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from kinformer._flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = st.lists(st.sampled_from(["set", "clear", "wait", "cancel first", "cancel last", "turn"]), max_size=30)


async def played(make: Callable[[], Flag | asyncio.Event], steps: list[str]) -> list[object]:
    """Carry the steps out; return all that can be seen of the flag and of the order of its waiters."""
    seen: list[object] = []
    async with asyncio.TaskGroup() as group:
        await carry_out(steps, make(), group, seen)
    return seen


async def carry_out(steps: list[str], flag: Flag | asyncio.Event, group: asyncio.TaskGroup, seen: list[object]) -> None:
    """Append to `seen` whether the flag is set after each step, and what becomes of its waiters."""
    tasks: list[asyncio.Task[None]] = []

    async def wait(number: int) -> None:
        try:
            await flag.wait()
        except asyncio.CancelledError:
            seen.append(("cancelled", number))
            raise
        seen.append(("woken", number, flag.is_set()))

    for step in steps:
        waiting = [task for task in tasks if not task.done()]
        match step:
            case "set":
                flag.set()
            case "clear":
                flag.clear()
            case "wait":
                tasks.append(group.create_task(wait(len(tasks))))
            case "turn":
                await asyncio.sleep(0)
            case _:
                if waiting:
                    waiting[0 if step == "cancel first" else -1].cancel()
        seen.append(flag.is_set())
    for task in tasks:
        task.cancel()


@given(STEPS)
def test_a_flag_does_what_an_event_of_asyncio_does(steps: list[str]) -> None:
    assert asyncio.run(played(Flag, steps)) == asyncio.run(played(asyncio.Event, steps))


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    flag = Flag()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(flag.wait())
        await asyncio.sleep(0)
        assert repr(flag) == "<Flag unset, 1 waiting>"
        task.cancel()
    assert repr(flag) == "<Flag unset, 0 waiting>"


def test_a_flag_takes_a_fraction_of_the_memory_of_an_event() -> None:
    def taken(make: Callable[[], object]) -> int:
        tracemalloc.start()
        kept = [make() for _ in range(100)]
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept) == 100
        return size

    assert taken(Flag) < taken(asyncio.Event) / 5
