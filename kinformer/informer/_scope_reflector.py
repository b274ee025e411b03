"""Keeps the queue of one informer equal to a union of parts: one reflector per part, and parts that come and go.

`ScopeReflector` takes the place of a `Reflector`. The order of a switch to another scope:

1. Each new part begins with a list that is not older than the newest version of the others, which go on meanwhile.
2. When each new part has listed, or was refused, the parts outside of the scope are closed in one step. Changes that
   they received earlier, but that are not applied yet, no longer count.
3. Objects that no other part holds leave the cache, as `Deleted` with `out_of_scope`.

So objects that stay are not listed again, and none is missing in between. `cache.membership` has the rules.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer._time_slice import TimeSlice
from kinformer.cache.membership import Membership
from kinformer.cache.part_queue import PartQueue, queue_departure
from kinformer.errors import ForbiddenError, NotFoundError, StoppedError, UnauthorizedError
from kinformer.informer._part_status import fold, part_status
from kinformer.status import InformerState, ScopeStatus, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kinformer.cache.delta_fifo import DeltaFIFO
    from kinformer.cache.membership import PartMembers
    from kinformer.errors import KinformerError
    from kinformer.informer._scoped_source import FollowsNamespaces, ScopedSource
    from kinformer.listwatch import ListerWatcher
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.reflector._reflector import Reflector
    from kinformer.scope import Scope, ScopePart

__all__ = ["MakeReflector", "ScopeReflector"]

PATIENCE: Final = 1.0
"""Seconds that the departure of an object waits for parts that are behind, in case one of them has the object now."""

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


@dataclass(eq=False)
class _Part:
    """A part that lists and watches.

    Attributes:
        wanted: whether the present scope has it. A part that is not wanted is removed when all others have settled.
        gone: whether its namespace is known to be deleted.
        awaits: the number of the list that answers a relist; 0 if there is none to wait for.
    """

    scope: ScopePart
    source: ListerWatcher
    members: PartMembers
    status: StatusRecord
    folded: StatusRecord
    reflector: Reflector
    task: asyncio.Task[None] | None = None
    wanted: bool = True
    gone: bool = False
    refusal: KinformerError | None = None
    awaits: int = 0

    @property
    def has_listed(self) -> bool:
        return self.members.version > 0

    @property
    def is_settled(self) -> bool:
        return self.has_listed or self.refusal is not None


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
        fifo: DeltaFIFO,
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
        self._parts: dict[ScopePart, _Part] = {}
        self._leaving: list[_Part] = []
        self._namespaces: FollowsNamespaces | None = None
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._synced = False
        self._given_up = False
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
    def refuses_all(self) -> bool:
        """True if the server refuses every part."""
        refused = [part.refusal is not None and not part.has_listed for part in self._parts.values()]
        if self._namespaces is not None and self._namespaces.labels is None:
            refused.append(self._namespaces.refusal is not None)
        return bool(refused) and all(refused)

    async def run(self) -> None:
        """Keep the FIFO equal to the union, until cancelled or until the retry budget is used up."""
        self._clock = asyncio.get_running_loop().time
        stop_listening: Callable[[], Awaitable[None]] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._replan()
                while not self._given_up:
                    if self._source.scope.is_live and self._namespaces is None:
                        self._namespaces = self._source.follow()
                        stop_listening = self._namespaces.listen(self._wake.set)
                    self._wake.clear()
                    self._replan()
                    await self._settle()
                    await self._pause()
                    self._queue_due()
                for part in self._all():
                    if part.task is not None:
                        part.task.cancel()
        finally:
            self._group = None
            if stop_listening is not None:
                await stop_listening()
            for done in self._switches:
                if not done.done():
                    done.set_exception(StoppedError("the informer ended before it had its new scope"))
                    done.exception()  # its caller may have been cancelled, and does not ask for it then

    async def set_scope(self, scope: Scope) -> int:
        """Cover another scope; return when all of its parts have listed or were refused, and the others are gone.

        If cancelled, the switch goes on.

        Returns:
            The number of lists in the version mark that is queued after all of that; 0 before the start.
        """
        self._source.scope = scope
        if self._group is None:
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
            part.awaits = part.reflector.next_list
        if not self._parts:
            self._came_to(None, 0)

    def reconnect(self) -> None:
        """End the watch of each part, and open a new one; also cuts short a wait for a retry."""
        for part in self._parts.values():
            part.reflector.reconnect()

    def observe(self, obj: KubeObject) -> bool:
        """Take an object from the answer to a write into each part that covers it; return whether one took it."""
        taken = [part.reflector.observe(obj) for part in self._parts.values() if part.source.covers(obj)]
        return any(taken)

    def refresh(self) -> None:
        """Update the record of the whole."""
        fold(self._status, [(part.status, part.folded) for part in self._all()])

    def scopes(self, now: float) -> tuple[ScopeStatus, ...]:
        """Return the present status of each part."""
        found = [
            part_status(str(part.scope), part.status, now, objects=len(part.members.keys), listed=part.has_listed)
            for part in self._parts.values()
        ]
        return tuple(sorted(found, key=lambda one: one.scope))

    def _all(self) -> Iterable[_Part]:
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
        wanted = scope.parts(labels)
        for key, part in self._parts.items():
            part.wanted = key in wanted
            part.gone = bool(labels) and key.namespace != "" and key.namespace not in (labels or {})
        for key in sorted(wanted - self._parts.keys(), key=str):
            self._begin(key, self._group)

    def _begin(self, key: ScopePart, group: asyncio.TaskGroup) -> None:
        source = self._source.parts[key] = self._source.part(key)
        members = self._membership.add_part(key.namespace)
        status = StatusRecord()
        status.enter(InformerState.LISTING, self._clock())
        part: _Part
        queue = PartQueue(
            self._fifo,
            self._membership,
            members,
            clock=self._clock,
            came_to=lambda lists: self._came_to(part, lists),
        )
        reflector = self._make(
            source,
            queue,
            status=status,
            on_error=lambda error: self._failed(part, error),
            on_give_up=lambda error: self._goes_on(part, error),
        )
        newest = self._membership.newest
        if newest:
            reflector.begin_at(str(newest))
        part = self._parts[key] = _Part(key, source, members, status, StatusRecord(), reflector)
        part.task = group.create_task(self._run_part(part), name=f"kinformer part {key}")

    async def _run_part(self, part: _Part) -> None:
        await part.reflector.run()
        # The reflector returns only when it gives up.
        self._given_up = True
        self._wake.set()

    async def _settle(self) -> None:
        """Remove the parts that are not wanted any more, once all wanted parts have listed or were refused."""
        while True:
            if self._is_unsettled():
                return
            unwanted = [part for part in self._parts.values() if not part.wanted]
            for part in unwanted:
                self._close(part)
            if not self._leaving:
                break
            await self._empty(self._leaving[0])
        if not self._synced and not self.refuses_all:
            self._synced = True
            self._mark()
            self._fifo.release_initial()
        if self._switches:
            self._relists = max(self._relists, self._lists) + 1
            for done in self._switches:
                if not done.done():
                    done.set_result(self._relists)
            self._switches.clear()
            self._relist_done()

    def _is_unsettled(self) -> bool:
        if any(part.wanted and not part.is_settled for part in self._parts.values()):
            return True
        return self._source.scope.is_live and not self._knows_namespaces

    @property
    def _knows_namespaces(self) -> bool:
        """True if the namespaces are known, or known to be refused."""
        followed = self._namespaces
        return followed is not None and (followed.labels is not None or followed.refusal is not None)

    def _close(self, part: _Part) -> None:
        """Ignore everything that the part receives from now on."""
        self._membership.close(part.members)
        del self._parts[part.scope]
        self._source.parts.pop(part.scope, None)
        self._leaving.append(part)
        if part.task is not None:
            part.task.cancel()
        self._relist_done()

    async def _empty(self, part: _Part) -> None:
        """Let go of the objects that only this part held, in time slices."""
        time_slice = TimeSlice()
        await time_slice.begin()
        for key in self._membership.leaving(part.members):
            if key is not None:
                self._drop(part, key)
            if time_slice.over:
                await time_slice.begin()
        self.refresh()
        self._leaving.remove(part)

    def _drop(self, part: _Part, key: ObjectKey) -> None:
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
        for departure in self._membership.due(self._clock(), PATIENCE):
            queue_departure(self._fifo, departure)
        for members in self._membership.overtake():
            for part in self._parts.values():
                if part.members is members:
                    part.reflector.begin_at(str(members.floor))

    def _came_to(self, part: _Part | None, lists: int) -> None:
        """Record that a part has reached another version."""
        if part is not None:
            if part.members.closed:
                return
            if part.awaits and lists >= part.awaits:
                part.awaits = 0
            if part.refusal is not None or not self._synced or self._switches or not part.wanted:
                part.refusal = None
                self._wake.set()
            if self._membership.holds:
                self._queue_due()
                self._wake.set()
        self._relist_done()
        if self._synced:
            self._mark()

    def _mark(self) -> None:
        version = self._membership.version if self._synced else 0
        self._fifo.mark(str(version or ""), self._lists)

    def _relist_done(self) -> None:
        if self._lists < self._relists and not any(part.awaits for part in self._parts.values()):
            self._lists = self._relists
            self._mark()

    def _failed(self, part: _Part, error: KinformerError) -> None:
        if isinstance(error, _REFUSALS) and not part.has_listed and part.refusal is None:
            part.refusal = error
            self._wake.set()
        self.refresh()
        self._on_error(error)

    def _goes_on(self, part: _Part, error: KinformerError | None) -> bool:
        """Return whether a part goes on that has used up its budget: as long as another one works."""
        others = [other for other in self._parts.values() if other is not part]
        return any(other.has_listed and not other.status.failures for other in others) or self._on_give_up(error)
