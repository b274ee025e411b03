"""One watch of all namespaces in the place of many: only if it is allowed, and no change is lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Added, Deleted, Labels, Namespaces, Updated
from kinformer._time_slice import TimeSlice
from kinformer.errors import StreamBrokenError
from kinformer.informer import SharedInformer, _shared_watch
from kinformer.informer._scoped_source import ScopedSource
from kinformer.listwatch import Delta, DeltaType, WatchBatch
from tests.properties.scoped_world import PartSource, ScopedWorld
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from kinformer.events import Event
    from kinformer.scope import Scope

WIDE = Namespaces("n1", "n2", "n3", widen_at=3)


class Observed:
    """An informer over a world, its events, and which namespaces are watched."""

    def __init__(self, scope: Scope) -> None:
        self.world = ScopedWorld()
        self.events: list[str] = []
        source = ScopedSource(scope, lambda scope, part: PartSource(self.world, part, scope.shard), lambda: self.world)
        self.informer = SharedInformer(source)
        self.informer.add_event_handler(self._handle)

    def _handle(self, event: Event) -> None:
        match event:
            case Added(obj):
                self.events.append(f"+{obj.key}")
            case Updated(_, obj):
                self.events.append(f"~{obj.key}")
            case Deleted(obj, out_of_scope=left):
                self.events.append(f"-{obj.key}{' left' if left else ''}")

    @property
    def watched(self) -> list[str]:
        """The namespaces of the open watches; "" for all."""
        return sorted(one.part.namespace for one in self.sources if one.watches)

    @property
    def sources(self) -> Sequence[PartSource]:
        return [one for one in self.world.sources if isinstance(one, PartSource)]

    async def bookmarks(self) -> None:
        """Let each watch have a bookmark, as API servers send them each minute."""
        for source in self.world.sources:
            source.end("bookmark")
        await asyncio.sleep(1)

    async def widens(self) -> None:
        """Start with an object in each namespace, and wait until all events come from one watch."""
        for place in ("n1", "n2", "n3"):
            self.world.put(place, "a", {})
        await self.informer.synced(60)
        for _ in range(3):
            await self.bookmarks()
        assert self.watched == [""]
        self.events.clear()


def play(scope: Scope, what: Callable[[Observed], Awaitable[None]]) -> None:
    async def run() -> None:
        observed = Observed(scope)
        async with observed.informer:
            await what(observed)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_one_watch_takes_the_place_of_those_of_many_namespaces_and_each_keeps_its_list() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        observed.world.put("n2", "b", {})
        observed.world.remove("n1", "a")
        await asyncio.sleep(1)
        assert observed.events == ["+n2/b", "-n1/a"]
        scopes = observed.informer.status.scopes
        assert [(one.scope, one.shares_watch) for one in scopes] == [(f"in n{number}", True) for number in (1, 2, 3)]

    play(WIDE, what)


async def _next_turn(_: TimeSlice) -> float:
    await asyncio.sleep(0)
    return 0.0


def test_parts_whose_watches_are_being_opened_when_sharing_begins_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    # As it were if the start of each part took a whole time slice.
    monkeypatch.setattr(TimeSlice, "over", True)
    monkeypatch.setattr(TimeSlice, "begin", _next_turn)
    play(WIDE, Observed.widens)


def test_objects_of_other_namespaces_never_get_into_the_cache() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        observed.world.put("foreign", "a", {})
        observed.world.put("foreign", "a", {"app": "x"})
        observed.world.remove("foreign", "a")
        await asyncio.sleep(1)
        assert observed.events == []
        assert {one.namespace for one in observed.informer.lister.list()} == {"n1", "n2", "n3"}

    play(WIDE, what)


@pytest.mark.parametrize(
    "scope", [Namespaces("n1", "n2", "n3"), Namespaces("n1", "n2", "n3", widen_at=4)], ids=["not allowed", "too few"]
)
def test_no_watch_of_all_namespaces_is_tried_unless_the_scope_allows_it(scope: Scope) -> None:
    async def what(observed: Observed) -> None:
        await observed.informer.synced(60)
        await observed.bookmarks()
        assert observed.watched == ["n1", "n2", "n3"]
        assert all(one.part.namespace for one in observed.sources if one.requests)

    play(scope, what)


def test_a_refused_watch_of_all_namespaces_leaves_each_namespace_its_own_and_is_tried_again() -> None:
    async def what(observed: Observed) -> None:
        world = observed.world
        world.forbidden.add("")
        world.put("n1", "a", {})
        await observed.informer.synced(60)
        await observed.bookmarks()
        assert observed.watched == ["n1", "n2", "n3"]
        assert observed.informer.status.failures == 0
        world.forbidden.clear()
        await asyncio.sleep(65)
        await observed.bookmarks()
        assert observed.watched == [""]
        assert observed.events == ["+n1/a"]

    play(WIDE, what)


def test_a_right_that_is_taken_away_costs_no_list_and_no_event() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        lists = observed.informer.status.lists
        observed.world.forbidden.add("")
        for source in observed.sources:
            if not source.part.namespace:
                source.end("clean")
        observed.world.put("n3", "b", {})
        await asyncio.sleep(5)
        assert observed.watched == ["n1", "n2", "n3"]
        assert observed.events == ["+n3/b"]
        assert observed.informer.status.lists == lists

    play(WIDE, what)


def test_a_watch_of_all_namespaces_that_fails_again_and_again_gives_way_to_the_watches_of_each() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        shared = next(one for one in observed.sources if one.watches)
        shared_watch = shared.watch

        def broken(**_: Any) -> Any:
            observed.world.watch_errors.append("500")
            return shared_watch(resource_version="1", timeout_seconds=1)

        shared.watch = broken  # type: ignore[method-assign]
        shared.end("broken")
        observed.world.put("n1", "b", {})
        await asyncio.sleep(120)
        assert observed.watched == ["n1", "n2", "n3"]
        assert observed.events == ["+n1/b"]

    play(WIDE, what)


@pytest.mark.parametrize("end", ["clean", "broken", "held back", "older bookmark", "older event", "known event"])
def test_a_watch_of_all_namespaces_that_stays_silent_gives_way_and_each_namespace_lists_at_once(end: str) -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        shared = next(one for one in observed.sources if one.watches)
        elsewhere = observed.informer.lister.get("a", "n3")
        assert elsewhere is not None

        @asynccontextmanager
        async def deaf(*, resource_version: str, **_: Any) -> AsyncIterator[AsyncIterator[WatchBatch]]:
            async def batches() -> AsyncGenerator[WatchBatch, None]:
                await asyncio.sleep(10)
                version = str(int(resource_version) - end.startswith("older"))
                if end.endswith("bookmark"):
                    yield WatchBatch((), version)
                elif end.endswith("event"):
                    yield WatchBatch([Delta(DeltaType.UPDATED, elsewhere)], version)
                await asyncio.sleep(16)
                if end == "broken":
                    raise StreamBrokenError("broken")
                if end == "held back":
                    yield WatchBatch((), str(observed.world.revision))

            yield batches()

        shared.watch = deaf  # type: ignore[method-assign]
        shared.end("clean")
        await asyncio.sleep(3)
        observed.world.put("n1", "b", {})
        observed.world.put("n2", "b", {})
        await asyncio.sleep(28)
        assert sorted(observed.events) == ["+n1/b", "+n2/b"]
        assert observed.watched == ["n1", "n2", "n3"]

    play(WIDE, what)


def test_a_watch_of_all_namespaces_that_brings_something_and_breaks_costs_no_list() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        await asyncio.sleep(30)
        await observed.bookmarks()
        await asyncio.sleep(30)
        lists = sum(observed.informer.status.lists.values())
        next(one for one in observed.sources if one.watches).end("clean")
        await asyncio.sleep(10)
        assert observed.watched == [""]
        assert sum(observed.informer.status.lists.values()) == lists

    play(WIDE, what)


def test_fewer_than_half_of_the_namespaces_have_their_own_watches_again() -> None:
    async def what(observed: Observed) -> None:
        await observed.widens()
        await observed.informer.set_scope(Namespaces("n1", "n2", widen_at=3), timeout=60)
        await asyncio.sleep(1)
        assert observed.watched == [""]
        await observed.informer.set_scope(Namespaces("n1", widen_at=3), timeout=60)
        observed.world.put("n1", "b", {})
        await asyncio.sleep(1)
        assert observed.watched == ["n1"]
        assert observed.events == ["-n3/a left", "-n2/a left", "+n1/b"]

    play(WIDE, what)


def test_a_scope_that_allows_it_later_changes_the_watches_and_no_object() -> None:
    async def what(observed: Observed) -> None:
        observed.world.put("n1", "a", {})
        await observed.informer.synced(60)
        await observed.informer.set_scope(WIDE, timeout=60)
        lists = observed.informer.status.lists
        for _ in range(3):
            await observed.bookmarks()
        assert observed.watched == [""]
        assert observed.events == ["+n1/a"]
        assert observed.informer.status.lists == lists

    play(Namespaces("n1", "n2", "n3"), what)


def test_parts_of_different_selectors_do_not_share_a_watch() -> None:
    async def what(observed: Observed) -> None:
        await observed.informer.synced(60)
        for _ in range(3):
            await observed.bookmarks()
        assert observed.watched == ["", "n3"]

    play(Namespaces("n1", "n2", widen_at=2) | Namespaces("n3", widen_at=2) & Labels("app=x"), what)


def test_a_namespace_that_joins_while_many_events_come_lists_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_watch, "_KEPT", 5)

    async def what(observed: Observed) -> None:
        await observed.widens()
        world = observed.world
        requests = sum(one.requests for one in observed.sources)
        world.slow_lists = 2.0
        world.streams_lists = False
        world.put("n4", "a", {})
        async with asyncio.TaskGroup() as group:
            group.create_task(observed.informer.set_scope(Namespaces("n1", "n2", "n3", "n4", widen_at=3)))
            await asyncio.sleep(0.5)
            # More than the shared watch keeps for a part that lists.
            for number in range(9):
                world.put("n4", f"b{number}", {})
                await asyncio.sleep(0.05)
        for _ in range(3):
            await observed.bookmarks()
        assert observed.watched == [""]
        assert sorted(obj.name for obj in observed.informer.lister.list(namespace="n4")) == [
            "a",
            *(f"b{number}" for number in range(9)),
        ]
        assert sum(one.requests for one in observed.sources) - requests <= 2

    play(WIDE, what)


def test_a_namespace_that_is_behind_when_the_shared_watch_begins_loses_no_change() -> None:
    async def what(observed: Observed) -> None:
        world = observed.world
        await observed.informer.synced(60)
        world.delays["n1"] = 5.0
        world.put("n1", "late", {})
        world.put("n1", "later", {})
        world.put("n2", "a", {})
        await asyncio.sleep(1)
        await observed.informer.set_scope(WIDE, timeout=60)
        await asyncio.sleep(60)
        assert sorted(observed.events) == ["+n1/late", "+n1/later", "+n2/a"]

    play(Namespaces("n1", "n2", "n3"), what)


def test_the_number_must_be_one_of_several_namespaces() -> None:
    for wrong in (1, -2, True, "50"):
        with pytest.raises(ValueError, match="give the number of namespaces, 2 or more"):
            Namespaces("a", widen_at=wrong)  # type: ignore[arg-type]
