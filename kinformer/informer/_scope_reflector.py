"""Keeps the queue of one informer equal to a union of parts: one reflector per part, and parts that come and go.

`ScopeReflector` takes the place of a `Reflector`. The order of a switch to another scope:

1. Each new part begins with a list that is not older than the newest version of the others, which go on meanwhile.
2. When each new part has listed, or was refused, the parts outside of the scope are closed in one step. Changes that
   they received earlier, but that are not applied yet, no longer count.
3. Objects that no other part holds leave the cache, as `Deleted` with `out_of_scope`. If another part that may have the
   object is behind, they leave when it is not any more.

So objects that stay are not listed again, and none is missing in between. `cache.membership` has the rules.

A part of another share (`Ranges`) is not a new part. A second part lists and watches only the ranges that the first
one lacks; when it has listed, one part takes the place of both. It opens one watch of all ranges, from the lowest
version of the two, and `Membership.merge` sets the floors of the ranges.
"""

from __future__ import annotations

import asyncio
import copy
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer._clock import running_clock
from kinformer._flag import Flag
from kinformer._shards import missing_share, same_shard
from kinformer._time_slice import TimeSlice
from kinformer.cache.membership import Membership
from kinformer.cache.part_queue import PartQueue, queue_departure
from kinformer.errors import ForbiddenError, NotFoundError, StoppedError, UnauthorizedError
from kinformer.informer._part_status import fold, fold_counts, fold_nothing, part_status
from kinformer.informer._scope_part import RunningPart, drop_other_fields, merged_floors, shed_ranges
from kinformer.informer._widening import Widening
from kinformer.scope import scope_of_part
from kinformer.status import InformerState, ScopeStatus, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from kinformer.cache._pushed_fifo import PushedFIFO
    from kinformer.errors import KinformerError
    from kinformer.informer._scope_part import PartKey
    from kinformer.informer._scoped_source import FollowsNamespaces, ScopedSource
    from kinformer.listwatch import ListerWatcher
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.reflector._reflector import Reflector
    from kinformer.scope import Scope, ScopePart, ShardLike

__all__ = ["MakeReflector", "ScopeReflector"]

PATIENCE: Final = 1.0
"""Seconds that the departure of an object waits for parts that are behind, in case one of them has the object now.

The time begins anew when one of them receives something and is still behind."""

_REFUSALS: Final = (UnauthorizedError, ForbiddenError, NotFoundError)


class MakeReflector(Protocol):
    """Makes the reflector of one part."""

    def __call__(
        self,
        source: ListerWatcher,
        fifo: Any,
        *,
        status: StatusRecord,
        on_error: Callable[[KinformerError], None],
        on_give_up: Callable[[KinformerError | None], bool],
    ) -> Reflector: ...


class ScopeReflector:
    """Fills a DeltaFIFO from all parts of a scope, until it is cancelled.

    Args:
        source: the sources of the parts.
        fifo: the queue of the informer.
        status: the record of the whole.
        make: makes the reflector of a part.
        on_error: called for every failure of a part.
        on_give_up: called when a part has used up its budget of failure and no other part works.
    """

    def __init__(
        self,
        source: ScopedSource,
        fifo: PushedFIFO,
        *,
        status: StatusRecord,
        make: MakeReflector,
        on_error: Callable[[KinformerError], None],
        on_give_up: Callable[[KinformerError | None], bool],
    ) -> None:
        self._source = source
        self._fifo = fifo
        self._status = status
        self._make = make
        self._on_error = on_error
        self._on_give_up = on_give_up
        self._membership = Membership(fifo.last_known)
        self._widening = Widening(self._whole_source, source.remove)
        self._parts: dict[PartKey, RunningPart] = {}
        self._shard: ShardLike | None = source.scope.shard  # of the last plan
        self._leaving: list[RunningPart] = []
        self._namespaces: FollowsNamespaces | None = None
        self._wake = Flag()
        self._plan_is_stale = True
        self._namespaces_are_planned = False
        self._planned: frozenset[ScopePart] = frozenset()
        self._is_switching = False  # since a plan, until its parts are merged and those outside of it are gone
        self._missing: list[PartKey] = []  # parts that the scope needs, and that have not begun
        self._unsettled: set[RunningPart] = set()  # of the wanted parts
        self._refused: set[RunningPart] = set()  # parts that the server has refused, and that have never listed
        self._awaiting: set[RunningPart] = set()  # parts that owe the list of a relist
        self._group: asyncio.TaskGroup | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._synced = False
        self._given_up = False
        self._has_begun = False
        self._stop_listening: Callable[[], Awaitable[None]] | None = None
        self._covered_is_stale = False
        self._covered: tuple[Scope, ...] = ()
        self._marked = 0  # the version of the last mark
        self._lists = 0
        self._relists = 0  # the number of the last requested relist
        self._switches: list[asyncio.Future[int]] = []
        fifo.hold_initial()

    @property
    def scope(self) -> Scope:
        """The present scope."""
        return self._source.scope

    @property
    def next_list(self) -> int:
        """The number that version marks have from the answer to the last `relist` on."""
        return self._relists

    @property
    def newest(self) -> int:
        """The newest version that a part has reached; 0 if none has listed."""
        return self._membership.newest

    @property
    def refuses_all(self) -> bool:
        """True if the server refuses every part."""
        if self._missing or len(self._refused) < len(self._parts):
            return False
        if self._namespaces is not None and not self._namespaces_are_planned and self._namespaces.labels is None:
            return self._namespaces.refusal is not None
        return bool(self._parts)

    async def run(self) -> None:
        """Keep the FIFO equal to the union, until cancelled or until the retry budget is used up."""
        self._clock = running_clock()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._has_begun = True
                try:
                    await self._follow_scope()
                finally:
                    self._group = None  # a group that ends takes no further task
                for part in self._all():
                    if part.task is not None:
                        part.task.cancel()
                self._widening.close()
        finally:
            if self._stop_listening is not None:
                await self._stop_listening()
            self.close()

    def close(self) -> None:
        """Let every switch fail that is under way: it has ended, or is not going to run."""
        for done in self._switches:
            if not done.done():
                done.set_exception(_ended())
                done.exception()  # its caller may have been cancelled, and does not ask for it then

    async def _follow_scope(self) -> None:
        """Start and end parts as the scope needs them, until the retry budget is used up."""
        self._replan()
        while not self._given_up:
            if self._source.scope.is_live and self._namespaces is None:
                self._namespaces = self._source.follow()
                self._stop_listening = self._namespaces.listen(self._namespaces_changed)
            self._wake.clear()
            if self._plan_is_stale or (self._source.scope.is_live and not self._namespaces_are_planned):
                self._replan()
            await self._begin_missing()
            await self._settle()
            await self._pause()
            self._queue_due()

    def _namespaces_changed(self) -> None:
        self._plan_is_stale = True
        self._wake.set()

    async def set_scope(self, scope: Scope, *, started: bool) -> int:
        """Cover another scope; return when all of its parts have listed or were refused, and the others are gone.

        If cancelled, the switch goes on.

        Args:
            scope: the scope.
            started: whether `run` has begun, or is about to.

        Returns:
            The number of lists in the version mark that is queued after all of that; 0 before the start.

        Raises:
            StoppedError: the informer ends.
        """
        if self._has_begun and self._group is None:
            raise _ended()
        self._source.scope = scope
        if not started:
            return 0
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._switches.append(done)
        # The new parts are wanted from this moment on.
        self._replan()
        self._wake.set()
        return await asyncio.shield(done)

    def relist(self, reason: str = "asked for") -> None:
        """List every part anew."""
        self._relists = max(self._relists, self._lists) + 1
        for part in self._parts.values():
            part.reflector.relist(reason)
            self._await_list(part)
        if not self._parts:
            self._came_to(None, 0)

    def reconnect(self) -> None:
        """End the watch of each part, and open a new one; also cuts short a wait for a retry."""
        self._widening.reconnect()
        for part in self._parts.values():
            part.reflector.reconnect()

    def observe(self, obj: KubeObject) -> bool:
        """Take an object from the answer to a write into each part that covers it; return whether one took it."""
        taken = [part.reflector.observe(obj) for part in self._parts.values() if part.source.covers(obj)]
        return any(taken)

    def refresh(self) -> None:
        """Update the record of the whole."""
        parts = self._all()
        fold(self._status, [(part.status, part.folded) for part in parts])
        if not parts and self._synced and not self._is_unsettled() and not self.refuses_all:
            now = self._clock()
            followed = self._namespaces if self._source.scope.is_live else None
            fold_nothing(self._status, now, now if followed is None else followed.last_contact)

    def covered(self) -> tuple[Scope, ...]:
        """Return the scope of each part whose objects are all in the cache; the same tuple until that changes."""
        if self._covered_is_stale:
            taken = self._fifo.taken
            listed = [part for part in self._parts.values() if part.shown_at is not None]
            shown = [part for part in listed if part.shown_at is not None and part.shown_at <= taken]
            self._covered_is_stale = len(shown) < len(listed)
            scope = self._source.scope
            found = tuple(
                scope_of_part(part.scope, metadata_only=scope.metadata_only, shard=part.shard) for part in shown
            )
            if found != self._covered:
                self._covered = found
        return self._covered

    def scopes(self, now: float) -> tuple[ScopeStatus, ...]:
        """Return the present status of each part."""
        found = [
            part_status(
                str(part.scope),
                part.status,
                now,
                objects=len(part.members.keys),
                listed=part.has_listed,
                shares_watch=part.source.shares,
            )
            for part in self._parts.values()
        ]
        return tuple(sorted(found, key=lambda one: one.scope))

    def _all(self) -> Sequence[RunningPart]:
        return [*self._parts.values(), *self._leaving]

    def _replan(self) -> None:
        """Start the parts that the scope needs with the present namespaces, and mark the others for removal."""
        if self._group is None:
            return
        labels = None if self._namespaces is None else self._namespaces.labels
        scope = self._source.scope
        if scope.is_live and labels is None and self._synced:
            # While it is unknown whether an object is covered, no object leaves the cache.
            return
        self._plan_is_stale = False
        self._namespaces_are_planned = labels is not None
        self._is_switching = True
        wanted = scope.parts(labels)
        self._shard = scope.shard
        for part in self._parts.values():
            namespace = part.scope.namespace
            part.wanted = part.scope in wanted and part.may_stay(scope.shard)
            part.gone = bool(labels) and namespace != "" and namespace not in (labels or {})
        for parts in self._wanted().values():
            drop_other_fields(parts, scope.shard)
        had = {scope: [part.shard for part in parts] for scope, parts in self._wanted().items()}
        shares = {key: missing_share(scope.shard, had.get(key, ())) for key in wanted}
        # In reverse, because `_begin_missing` takes the last one.
        lacking = sorted((key for key, (lacks, _) in shares.items() if lacks), key=str, reverse=True)
        self._missing = [(key, shares[key][1]) for key in lacking]
        self._unsettled = {part for part in self._parts.values() if part.wanted and not part.is_settled}
        self._planned = wanted
        if not self._missing:
            self._share_watches(self._group)

    async def _begin_missing(self) -> None:
        """Start the parts that the last plan lacks, in time slices: a thousand of them take 30 ms."""
        time_slice = TimeSlice()
        # Another plan may come between two slices, and the other parts go on.
        while self._missing and self._group is not None:
            await time_slice.begin()
            newest = max(self._membership.newest, self._widening.newest)
            while self._missing and self._group is not None:
                self._begin(*self._missing.pop(), newest, self._group)
                if not self._missing:
                    self._share_watches(self._group)
                if time_slice.over:
                    break

    def _share_watches(self, group: asyncio.TaskGroup) -> None:
        for part in self._widening.plan(self._parts.values(), self._planned, group):
            part.reflector.reconnect()

    def _whole_source(self, part: ScopePart, shard: ShardLike | None) -> ListerWatcher:
        source = self._source.whole(part, shard)
        self._source.add(source)
        return source

    def _wanted(self) -> dict[ScopePart, list[RunningPart]]:
        """Return the running parts of each part that the scope needs."""
        found: dict[ScopePart, list[RunningPart]] = {}
        for part in self._parts.values():
            if part.wanted:
                found.setdefault(part.scope, []).append(part)
        return found

    def _begin(self, key: ScopePart, shard: ShardLike | None, newest: int, group: asyncio.TaskGroup) -> None:
        part = self._add(key, shard)
        self._unsettled.add(part)
        if newest:
            part.reflector.begin_at(str(newest))
        part.task = group.create_task(self._run_part(part), name=f"kinformer part {key}")

    def _add(self, key: ScopePart, shard: ShardLike | None, status: StatusRecord | None = None) -> RunningPart:
        """Add a part that does not run yet."""
        source = self._source.part(key, shard)
        members = self._membership.add_part(key.namespace)
        if status is None:
            status = StatusRecord()
            status.enter(InformerState.LISTING, self._clock())

        def running() -> RunningPart:
            # Weak, so that a part that has ended is freed at once, with its frames and its connection: as cyclic
            # garbage, the parts of a hundred changes hold the loop for 150 ms.
            part = known()
            assert part is not None
            return part

        queue = PartQueue(
            self._fifo,
            self._membership,
            members,
            clock=self._clock,
            came_to=lambda lists: self._came_to(running(), lists),
        )
        reflector = self._make(
            source,
            queue,
            status=status,
            on_error=lambda error: self._failed(running(), error),
            on_give_up=lambda error: self._goes_on(running(), error),
        )
        part = RunningPart(key, shard, source, members, status, StatusRecord(), reflector)
        known = weakref.ref(part)
        self._parts[part.key] = part
        self._source.add(source.own)
        return part

    def _merge(self, parts: Sequence[RunningPart], group: asyncio.TaskGroup) -> None:
        """Let one part of the present share take the place of parts that together cover it, in one step.

        The others are closed, so their batches that are not queued yet do not count. They were filtered by other
        ranges, and would carry the new part past its floors.
        """
        for part in parts:
            fold_counts(self._status, part.status, part.folded)
        listed = [part for part in parts if part.has_listed]
        first = (listed or parts)[0]
        status, folded = _copied(first.status), _copied(first.folded)
        for part in parts:
            self._take_away(part)
        newest = max(part.members.highest for part in parts)
        new = self._add(first.scope, self._shard, status)
        new.folded = folded
        floors, sheds = merged_floors(parts, self._shard), shed_ranges(parts, self._shard)
        self._membership.merge(new.members, [part.members for part in parts], floors, sheds)
        if len(listed) == len(parts):
            new.reflector.resume(
                str(new.members.version),
                not_older_than=str(newest),
                before=[part.reflector for part in parts],
            )
        else:
            new.reflector.begin_at(str(newest or ""))
        if any(part.awaits for part in parts):
            new.reflector.relist("asked for")
            self._await_list(new)
        if len(listed) == len(parts):
            new.shown_at = max(part.shown_at or 0 for part in parts)
        new.gone, new.refusal = first.gone, next((part.refusal for part in parts if part.refusal is not None), None)
        self._has_settled(new)
        new.task = group.create_task(self._run_part(new), name=f"kinformer part {new.scope}")

    async def _run_part(self, part: RunningPart) -> None:
        await part.reflector.run()
        # The reflector returns only when it gives up.
        self._given_up = True
        self._wake.set()

    async def _settle(self) -> None:
        """Remove the parts that are not wanted any more, once all wanted parts have listed or were refused."""
        while True:
            if self._is_unsettled():
                return
            if not self._is_switching:
                break
            self._merge_parts()
            unwanted = [part for part in self._parts.values() if not part.wanted]
            for part in unwanted:
                self._close(part)
            shedding = next((part for part in self._parts.values() if part.members.sheds), None)
            if shedding is not None:
                for departure in self._membership.depart(shedding.members.sheds):
                    queue_departure(self._fifo, departure)
                await self._let_go(shedding, self._membership.shed(shedding.members, self._clock()))
                if self._synced:
                    self._mark()
            elif self._leaving:
                await self._empty(self._leaving[0])
            elif not self._unsettled:
                self._is_switching = False
        if not self._synced and not self.refuses_all:
            self._synced = True
            self._mark()
            self._fifo.release_initial()
        # An object that left may still wait for a part that is behind.
        if self._switches and not any(held.out_of_scope for held in self._membership.holds):
            self._relists = max(self._relists, self._lists) + 1
            for done in self._switches:
                if not done.done():
                    done.set_result(self._relists)
            self._switches.clear()
            self._relist_done()

    def _merge_parts(self) -> None:
        if self._group is None:
            return
        for parts in self._wanted().values():
            if len(parts) > 1 or not same_shard(parts[0].shard, self._shard):
                self._merge(parts, self._group)
        self._share_watches(self._group)

    def _is_unsettled(self) -> bool:
        return bool(self._missing or self._unsettled) or (self._source.scope.is_live and not self._knows_namespaces)

    def _has_settled(self, part: RunningPart) -> bool:
        """Record whether a part has listed or was refused; return whether all parts that the scope needs have."""
        if part.wanted and not part.is_settled:
            self._unsettled.add(part)
        else:
            self._unsettled.discard(part)
        if part.refusal is not None and not part.has_listed:
            self._refused.add(part)
        else:
            self._refused.discard(part)
        return not self._unsettled

    @property
    def _knows_namespaces(self) -> bool:
        """True if the namespaces are known, or known to be refused."""
        followed = self._namespaces
        if self._namespaces_are_planned:
            return True
        return followed is not None and (followed.labels is not None or followed.refusal is not None)

    def _close(self, part: RunningPart) -> None:
        """Ignore everything that the part receives from now on."""
        self._membership.close(part.members)
        self._take_away(part)
        self._relist_done()

    def _take_away(self, part: RunningPart) -> None:
        """End the reflector of a part."""
        del self._parts[part.key]
        for kept in (self._unsettled, self._refused, self._awaiting):
            kept.discard(part)
        self._covered_is_stale = True
        self._widening.leave(part)
        self._source.remove(part.source.own)
        self._leaving.append(part)
        task, part.task = part.task, None  # its CancelledError leads to frames that have the part: no cycle
        if task is not None:
            task.cancel()

    async def _empty(self, part: RunningPart) -> None:
        """Let go of the objects that only this part held."""
        await self._let_go(part, self._membership.leaving(part.members, self._clock(), gone=part.gone))
        fold_counts(self._status, part.status, part.folded)
        self._leaving.remove(part)
        if self._synced:
            self._mark()

    async def _let_go(self, part: RunningPart, leaving: Iterator[ObjectKey | None]) -> None:
        """Let go of objects, in time slices."""
        time_slice = TimeSlice()
        await time_slice.begin()
        for key in leaving:
            if key is not None:
                self._drop(part, key)
            if time_slice.over:
                await time_slice.begin()

    def _drop(self, part: RunningPart, key: ObjectKey) -> None:
        if part.gone:
            # A namespace is deleted only when it is empty, so this object is deleted, not out of scope.
            self._fifo.leave_out(key)
        else:
            self._fifo.let_go(key)

    async def _pause(self) -> None:
        """Wait until something happens, or until a departure has waited for long enough."""
        holds = self._membership.holds
        until = min(held.since for held in holds) + PATIENCE if holds else None
        if until is None and self._source.scope.is_live and self._namespaces is not None and not self._knows_namespaces:
            # A cluster without a namespace has no event that says that its list has come.
            until = self._clock() + PATIENCE
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _queue_due(self) -> None:
        departures = self._membership.due(self._clock(), PATIENCE)
        for departure in departures:
            queue_departure(self._fifo, departure)
        if departures and self._synced:
            self._mark()
        for members in self._membership.overtake():
            for part in self._parts.values():
                if part.members is members:
                    part.reflector.begin_at(str(members.floor))

    def _came_to(self, part: RunningPart | None, lists: int) -> None:
        """Record that a part has reached another version."""
        if part is not None:
            if part.members.closed:
                return
            if part.shown_at is None and part.has_listed:
                part.shown_at = self._fifo.queued
                self._covered_is_stale = True
                # With its list it may help to cover the present share.
                self._plan_is_stale = self._plan_is_stale or not part.wanted
            if part.awaits and lists >= part.awaits:
                part.awaits = 0
                self._awaiting.discard(part)
            if part.refusal is not None or part in self._unsettled or self._plan_is_stale:
                part.refusal = None
                if self._has_settled(part) or self._plan_is_stale:
                    self._wake.set()
            if self._membership.holds or self._membership.is_overtaken:
                self._queue_due()
                self._wake.set()
        self._relist_done()
        if self._synced:
            self._mark()

    def _mark(self) -> None:
        version = self._membership.version if self._synced else 0
        if self._leaving or self._membership.holds:
            version = self._shown(version)
        self._marked = version
        self._fifo.mark(str(version or ""), self._lists)

    def _shown(self, version: int) -> int:
        """Return the version up to which the cache is right while objects are about to leave it.

        An object that waits for a part that is behind, or that only a closed part held, is in the cache still, and may
        be deleted on the server.
        """
        until = [held.until for held in self._membership.holds]
        until += [part.members.version for part in self._leaving if part.members.keys]
        return min([version, max(self._marked, min(until))]) if until else version

    def _await_list(self, part: RunningPart) -> None:
        part.awaits = part.reflector.next_list
        self._awaiting.add(part)

    def _relist_done(self) -> None:
        if self._lists < self._relists and not self._awaiting:
            self._lists = self._relists
            self._mark()

    def _failed(self, part: RunningPart, error: KinformerError) -> None:
        if isinstance(error, _REFUSALS) and not part.has_listed and part.refusal is None:
            part.refusal = error
            if self._has_settled(part):
                self._wake.set()
        # `refresh` looks at all parts, so it waits until the record is read; a wait that ends needs the last error.
        self._status.last_error, self._status.last_error_at = part.status.last_error, part.status.last_error_at
        self._on_error(error)

    def _goes_on(self, part: RunningPart, error: KinformerError | None) -> bool:
        """Return whether a part goes on that has used up its budget: as long as another one works."""
        others = [other for other in self._parts.values() if other is not part]
        if any(other.has_listed and not other.status.failures for other in others):
            return True
        self.refresh()
        return self._on_give_up(error)


def _ended() -> StoppedError:
    return StoppedError("the informer ended before it had its new scope")


def _copied(record: StatusRecord) -> StatusRecord:
    """Return a record with the same counts."""
    found = copy.copy(record)
    found.lists, found.watch_ends, found.errors = record.lists.copy(), record.watch_ends.copy(), record.errors.copy()
    return found
