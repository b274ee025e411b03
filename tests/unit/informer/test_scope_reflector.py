"""One informer of many namespaces: the work grows with their number, not with its square."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kinformer
from kinformer._time_slice import TimeSlice
from kinformer.informer import SharedInformer
from kinformer.informer._scoped_source import ScopedSource
from kinformer.scope import Namespaces, Scope
from tests.properties.scoped_world import PartSource, ScopedWorld
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

OURS = str(Path(kinformer.__file__).parent)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def names(number: int) -> list[str]:
    return [f"n{place:03}" for place in range(number)]


def informer_of(world: ScopedWorld, scope: Scope) -> SharedInformer:
    world.streams_lists = True
    return SharedInformer(ScopedSource(scope, lambda scope, part: PartSource(world, part, scope.shard), lambda: world))


def calls_of(play: Callable[[], Awaitable[None]]) -> int:
    """Return the number of calls of our functions, and of steps of our generators."""
    calls = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(OURS)

    async def counted() -> None:
        sys.setprofile(count)
        try:
            await play()
        finally:
            sys.setprofile(None)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(counted())
    return calls


async def _starts(number: int) -> None:
    async with informer_of(ScopedWorld(), Namespaces(*names(number))) as informer:
        await informer.synced(60)


async def _starts_apart(number: int) -> None:
    world = ScopedWorld()
    async with asyncio.TaskGroup() as group:
        for name in names(number):
            group.create_task(_starts_one(world, name))


async def _starts_one(world: ScopedWorld, name: str) -> None:
    async with SharedInformer(PartSource(world, next(iter(Namespaces(name).parts())))) as informer:
        await informer.synced(60)


async def _is_refused(number: int) -> None:
    world = ScopedWorld()
    world.forbidden.update(names(number))
    async with informer_of(world, Namespaces(*names(number))):
        await asyncio.sleep(0.5)


async def _moves_on(number: int) -> None:
    world = ScopedWorld()
    async with informer_of(world, Namespaces(*names(number))) as informer:
        await informer.synced(60)
        for name in names(number):
            world.put(name, "a", {})
        await asyncio.sleep(90)


async def _relists(number: int) -> None:
    async with informer_of(ScopedWorld(), Namespaces(*names(number))) as informer:
        await informer.synced(60)
        await informer.relist(60)


async def _flips(number: int) -> None:
    world = ScopedWorld()
    world.places = {name: {"tenant": "x"} for name in names(number)}
    async with informer_of(world, Namespaces(labels="tenant=x")) as informer:
        await informer.synced(60)


@pytest.mark.parametrize("play", [_starts, _is_refused, _moves_on, _relists, _flips])
def test_the_work_grows_with_the_number_of_namespaces_and_not_with_its_square(play: Any) -> None:
    few, many = (calls_of(lambda: play(number)) for number in (20, 80))  # noqa: B023 - called at once
    assert many < 5.2 * few


def test_one_informer_starts_with_no_more_work_than_an_informer_for_each_namespace() -> None:
    assert calls_of(lambda: _starts(60)) < calls_of(lambda: _starts_apart(60))


def test_a_namespace_that_left_by_its_label_goes_as_soon_as_the_new_ones_have_listed() -> None:
    async def play() -> None:
        world = ScopedWorld()
        world.places = {"a": {"tenant": "x"}, "b": {}}
        for name in world.places:
            world.put(name, "one", {})
        async with informer_of(world, Namespaces(labels="tenant=x")) as informer:
            await informer.synced(60)
            world.slow_lists = 0.3
            world.relabel("b", {"tenant": "x"})
            world.relabel("a", {})
            await asyncio.sleep(2)
            assert [str(obj.key) for obj in informer.lister.list()] == ["b/one"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())


def test_the_first_list_of_a_new_part_is_not_older_than_what_the_others_have() -> None:
    async def play() -> None:
        world = ScopedWorld()
        world.put("n1", "one", {})
        async with informer_of(world, Namespaces("n1")) as informer:
            world.streams_lists = False
            await informer.synced(60)
            world.put("n2", "two", {})
            world.put("n1", "one", {"app": "x"})
            await asyncio.sleep(1)
            # The API server that answers the list lags behind the one that has the watch.
            world.lag = 2
            await informer.set_scope(Namespaces("n1", "n2"))
            assert sorted(str(obj.key) for obj in informer.lister.list()) == ["n1/one", "n2/two"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())


async def _next_turn(_: TimeSlice) -> float:
    await asyncio.sleep(0)
    return 0.0


def test_other_tasks_have_their_turn_while_the_parts_of_a_new_scope_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with informer_of(ScopedWorld(), Namespaces("n1")) as informer:
            await informer.synced(60)
            # As it were if each part took the whole slice.
            monkeypatch.setattr(TimeSlice, "over", True)
            monkeypatch.setattr(TimeSlice, "begin", _next_turn)
            async with asyncio.TaskGroup() as group:
                group.create_task(informer.set_scope(Namespaces(*names(50))))
                while (begun := len(informer.status.scopes)) < 50:
                    await asyncio.sleep(0)
                    assert len(informer.status.scopes) <= begun + 1
                monkeypatch.undo()
            assert len(informer.status.scopes) == 50

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
