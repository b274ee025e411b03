"""The member of a shard group at work: it carries out the protocol, and informers and controllers follow its slices.

`_shard_protocol` decides which requests to send. After each event (an answer, a change of a Lease, the end of some
work, the passing of time) `SliceEngine._step` looks at the whole state, and brings workers and caches in line with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kinformer._flag import Flag
from kinformer._tasks import BackgroundTask, shielded
from kinformer.errors import KinformerError
from kinformer.operators._lease_keeper import seconds_suspended
from kinformer.operators._shard_protocol import SliceCache
from kinformer.operators._shard_view import peers_of, unowned_of
from kinformer.operators.shard_status import MemberState, ShardGroupStatus, SliceState

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from kinformer.operators._shard_protocol import ShardMember
    from kinformer.operators._shard_records import Request
    from kinformer.operators._shard_requests import ShardRequests
    from kinformer.operators._slice_work import SliceCaches, SliceWorker

__all__ = ["SLICES", "SliceEngine"]

# The logger that users know.
_log = logging.getLogger("kinformer.operators.shard_group")

SLICES: Final = 256

_TICK: Final = 0.5
"""Seconds after which the state is looked at, if nothing happens."""
_SOON: Final = 0.02
"""Seconds until handlers that are behind are looked at again."""


class SliceEngine:
    """One member at work.

    Args:
        full_name: namespace and name of the group.
        by: the property of an object that decides its slice.
        member: the protocol.
        requests: the requests to the server.
        grace: seconds that work on a slice may go on when the slice is to be given.

    Attributes:
        member: as given.
        state: the state of the member.
    """

    def __init__(self, full_name: str, by: str, member: ShardMember, requests: ShardRequests, *, grace: float) -> None:
        self.member = member
        self.state = MemberState.NEW
        self._full_name = full_name
        self._by = by
        self._requests = requests
        self._grace = grace
        self._workers: list[SliceWorker] = []
        self._caches: list[SliceCaches] = []
        self._workable: frozenset[int] = frozenset()
        self._wanted: frozenset[int] = frozenset()
        # Wanted slices that all caches show.
        self._announced: set[int] = set()
        self._catching_up: dict[int, int] = {}
        self._draining_since: dict[int, float] = {}
        self._came: dict[int, str] = {}
        self._owned_before: frozenset[int] = frozenset()
        self._coming_before: frozenset[int] = frozenset()
        self._owners_before: tuple[object, ...] = ()
        self._unowned_since: float | None = None
        self._handovers: Counter[str] = Counter()
        self._given = 0
        self._since = 0.0
        self._left = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = Flag()
        self._known = Flag()
        self._gone = Flag()
        self._tasks: asyncio.TaskGroup | None = None
        self._background = BackgroundTask(f"shard group {full_name}")

    @property
    def left(self) -> bool:
        """True once the member leaves, or has left."""
        return self._left

    @property
    def workable(self) -> frozenset[int]:
        """The slices that are worked on, as of the last look."""
        return self._workable

    def may_work(self, number: int) -> bool:
        """Return whether work on a slice may begin at this very moment."""
        return number in self._workable and self.member.may_work(number, self._clock())

    def may_finish(self, number: int) -> bool:
        """Return whether work on a slice may begin that must precede its end: for objects that were deleted."""
        return number in self._draining_since and self.member.may_finish(number, self._clock())

    def is_wanted(self, number: int) -> bool:
        """Return whether a slice is ours, or is to come to us."""
        return number in self._wanted

    @property
    def wanted(self) -> frozenset[int]:
        """The slices that are ours, and those that are to come to us."""
        return self._wanted

    def attach(self, worker: SliceWorker) -> None:
        """Take part in the work: the member joins when all workers have started."""
        self._workers.append(worker)
        if worker.started and self._workable:
            worker.gained(self._workable)
        self.poke()

    def detach(self, worker: SliceWorker) -> None:
        """End the effect of `attach`."""
        if worker in self._workers:
            self._workers.remove(worker)
        self.poke()

    def worker_started(self, worker: SliceWorker) -> None:
        """Take note that a worker takes slices from now on."""
        if self._workable:
            worker.gained(self._workable)
        self.poke()

    def add_caches(self, caches: SliceCaches) -> None:
        """Have an informer cover the slices of this member."""
        self._caches.append(caches)
        caches.want(self._wanted)
        self._announced.clear()
        if self._tasks is not None:
            self._tasks.create_task(caches.follow(), name=f"kinformer shard group {self._full_name} covers slices")
        self.poke()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a short task until the group ends."""
        if self._tasks is None:
            coroutine.close()
            return
        self._tasks.create_task(coroutine, name=f"kinformer shard group {self._full_name} queues keys")

    def poke(self) -> None:
        """Look at the state soon: something has changed."""
        self._news.set()

    def status(self) -> ShardGroupStatus:
        """Return the status at this moment."""
        member, now = self.member, self._clock()
        table = member.table
        slices: Counter[SliceState] = Counter()
        for number in member.owned():
            if number in self._workable:
                slices[SliceState.OWNED] += 1
            else:
                draining = number in self._draining_since
                slices[SliceState.DRAINING if draining else SliceState.WAITING] += 1
        for number in member.coming():
            slices[SliceState.READY if number in self._announced else SliceState.COMING] += 1
        unowned = unowned_of(member, now)
        return ShardGroupStatus(
            group=self._full_name,
            name=self.member.name,
            by=self._by,
            state=self.state,
            since=self._since,
            taken_at=self._loop_time(),
            incarnation=member.number,
            remaining=max(0.0, member.valid_until - now) if member.number else 0.0,
            generation=0 if table is None else table.generation,
            members=peers_of(member, now),
            slices=dict(slices),
            moving=0 if table is None else len(table.handovers),
            unowned=len(unowned),
            unowned_for=0.0 if self._unowned_since is None else now - self._unowned_since,
            handovers=dict(self._handovers),
            given=self._given,
            conflicts=self._requests.conflicts,
            last_error=self._requests.last_error,
        )

    def reason(self, number: int) -> str:
        """Return the reason why work on a slice may not begin."""
        table = self.member.table
        if not self._background.running:
            return "and this member takes no part"
        if number in self._draining_since:
            return "which is about to be given to another member"
        if number in self.member.owned():
            if not self.member.is_valid(self._clock()):
                return "and the lease of this member was not renewed in time"
            return "whose objects are not in the caches yet"
        owner = None if table is None else table.owners[number]
        return "which no member owns" if owner is None else f"which belongs to {owner.member}"

    async def start(self) -> None:
        """Begin, and return when the table of the group is known, or the member was refused.

        Raises:
            LifecycleError: the client is not open.
        """
        self._loop = asyncio.get_running_loop()
        self._enter(MemberState.JOINING)
        self._background.start(self._run(), on_end=self._has_ended)
        try:
            await self._known.wait()
        except BaseException:
            await self._background.stop()
            raise
        if self.member.refused or not self._background.running:
            await self._background.stop()

    def refuse_other_loop(self) -> None:
        """Refuse a call from another event loop than the one in which the group was entered.

        Raises:
            WrongLoopError: it is another one.
        """
        self._background.refuse_other_loop()

    async def leave(self, within: float) -> None:
        """Give all slices and the Lease back; after `within` seconds, leave the Lease to run out.

        Raises:
            WrongLoopError: the group was entered in another event loop, and goes on there.
        """
        self.refuse_other_loop()
        self._left = True
        if not self._background.running:
            return
        self._enter(MemberState.LEAVING)
        self.member.leave()
        if not self.member.number and not self.member.stopping():
            self._gone.set()
        self.poke()
        try:
            with shielded():
                async with asyncio.timeout(within):
                    await self._gone.wait()
        except TimeoutError:
            text = "shard group %s: %s could not give its slices within %g s; its lease runs out"
            _log.warning(text, self._full_name, self.member.name, within)
        finally:
            await self._background.stop()

    async def _run(self) -> None:
        member = self.member
        name = f"kinformer shard group {self._full_name}"
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = group
                watch = self._requests.watch(self._saw_member, self._saw_table)
                group.create_task(watch, name=f"{name} watches")
                for caches in self._caches:
                    group.create_task(caches.follow(), name=f"{name} covers slices")
                while not (member.gone or member.refused):
                    self._news.clear()
                    await self._until_news(soon=self._step(group))
                raise _EndedError
        except BaseExceptionGroup as failed:
            failures = failed.split(_EndedError)[1]
            if failures is not None:
                raise _first_of(failures) from None
        finally:
            self._tasks = None

    async def _until_news(self, *, soon: bool) -> None:
        now, until = self._clock(), self.member.valid_until
        # A little more, as a timer may be a little early.
        pause = min(_SOON if soon else _TICK, until - now + 0.001 if until > now else _TICK)
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            pass

    def _has_ended(self) -> None:
        """Stop all work, whatever the reason of the end: nothing renews the Lease any more."""
        self._workable = frozenset()
        failure = self._background.failure
        if failure is not None:
            self._enter(MemberState.FAILED)
            text = "shard group %s has failed: this member stops all work"
            _log.critical(text, self._full_name, exc_info=failure)
        elif self.member.refused:
            self._enter(MemberState.REFUSED)
            _log.critical("shard group %s: %s", self._full_name, self.member.refused)
        else:
            self._enter(MemberState.LEFT)
        everything = frozenset(range(SLICES))
        for worker in self._workers:
            worker.stop(everything, at_once=True)
            worker.close()
        self._known.set()
        self._gone.set()

    def _saw_member(self, name: str, version: int, record: Any) -> None:
        self.member.saw_member(name, version, record, self._clock())
        self.poke()

    def _saw_table(self, version: int, table: Any) -> None:
        self.member.saw_table(version, table, self._clock())
        self.poke()

    async def _send(self, request: Request) -> None:
        answer = await self._requests.send(request)
        self.member.answered(request, answer, self._clock())
        self.poke()

    # ---- one look at the state

    def _step(self, group: asyncio.TaskGroup) -> bool:
        """Bring everything in line with the protocol; return whether handlers are behind: another look is due."""
        member, now = self.member, self._clock()
        if member.table is not None or member.refused:
            self._known.set()
        member.may_join = all(worker.started for worker in self._workers)
        self._ask(group, now)
        self._look_at_wanted()
        behind = self._look_at_caches(group)
        self._stop_slices(now)
        self._begin_slices(now)
        # These reports may call for the next request.
        self._ask(group, now)
        self._look_at_wanted()
        if member.gone:
            self._gone.set()
        self._name_state(now)
        return behind

    def _ask(self, group: asyncio.TaskGroup, now: float) -> None:
        for request in self.member.requests(now):
            group.create_task(self._send(request), name=f"kinformer shard group {self._full_name} request")

    def _look_at_wanted(self) -> None:
        wanted = self.member.wanted()
        if wanted == self._wanted:
            return
        gone = self._wanted - wanted
        self._wanted = wanted
        self._announced -= gone
        for number in gone:
            self._catching_up.pop(number, None)
        self._caches = [caches for caches in self._caches if not caches.ended]
        for caches in self._caches:
            caches.want(wanted)
        for worker in self._workers:
            worker.stop(gone, at_once=True)
            worker.forget(gone)

    def _look_at_caches(self, group: asyncio.TaskGroup) -> bool:
        """Report what the caches show; return whether handlers are behind."""
        member = self.member
        caches = [one for one in self._caches if not one.ended]
        awaited = member.awaited()
        new = self._wanted - self._announced
        if not new and not awaited:
            return False
        behind = any(not worker.caught_up for worker in self._workers if worker.started)
        if behind:
            return True
        for number in new | awaited.keys():
            listed = [one.listed(number) for one in caches]
            if not all(listed):
                continue
            seen = min((one.seen(number) for one in caches), default=0)
            member.cached(number, SliceCache(max(listed, default=0), seen))
            self._announced.add(number)
        due = {
            number: version
            for number, version in awaited.items()
            if self._catching_up.get(number, 0) < version and any(one.seen(number) < version for one in caches)
        }
        if due:
            self._catching_up.update(due)
            for one in caches:
                group.create_task(self._catch_up(one, due), name=f"kinformer shard group {self._full_name} catches up")
        return False

    async def _catch_up(self, caches: SliceCaches, due: Mapping[int, int]) -> None:
        try:
            await caches.catch_up(due)
        except KinformerError as error:
            _log.debug("shard group %s: a cache could not catch up: %s", self._full_name, error)
            await asyncio.sleep(_TICK)
        finally:
            for number in due:
                self._catching_up.pop(number, None)
            self.poke()

    def _stop_slices(self, now: float) -> None:
        member, owned = self.member, self.member.owned()
        stopping = member.stopping()
        hard = stopping - owned
        if not member.is_valid(now):
            hard |= owned
        soft = stopping - hard
        for number in [number for number in self._draining_since if number not in soft]:
            del self._draining_since[number]
        for number in soft:
            self._draining_since.setdefault(number, now)
        late = frozenset(number for number in soft if now - self._draining_since[number] > self._grace)
        self._workable -= stopping | hard
        for worker in self._workers:
            if soft:
                worker.stop(soft, at_once=False)
            if hard or late:
                worker.stop(hard | late, at_once=True)
        for number in stopping:
            if all(worker.has_stopped(number) for worker in self._workers):
                member.stopped(number)
                self._given += number in soft

    def _begin_slices(self, now: float) -> None:
        member = self.member
        owned = member.owned()
        owners = () if member.table is None else member.table.owners
        for number in owned - self._owned_before:
            unowned = not self._owners_before or self._owners_before[number] is None
            planned = number in self._coming_before
            self._came[number] = "planned" if planned else "first" if unowned else "crash"
        self._owned_before, self._coming_before, self._owners_before = owned, member.coming(), owners
        workable = member.workable(now) & self._announced
        gained = workable - self._workable
        self._workable = workable
        if not gained:
            return
        self._handovers.update(self._came.pop(number) for number in gained & self._came.keys())
        for worker in self._workers:
            if worker.started:
                worker.gained(gained)

    def _name_state(self, now: float) -> None:
        member = self.member
        if unowned_of(member, now):
            self._unowned_since = now if self._unowned_since is None else self._unowned_since
        else:
            self._unowned_since = None
        if self._left:
            self._enter(MemberState.LEAVING)
        elif not member.number:
            lost = member.stopping() or self.state not in {MemberState.NEW, MemberState.JOINING}
            self._enter(MemberState.REJOINING if lost else MemberState.JOINING)
        elif not member.is_valid(now):
            self._enter(MemberState.CUT_OFF)
        else:
            self._enter(MemberState.WORKING if member.owned() else MemberState.IDLE)

    def _clock(self) -> float:
        return self._loop_time() + seconds_suspended()

    def _loop_time(self) -> float:
        # The status may be read from another thread.
        return (self._loop or asyncio.get_running_loop()).time()

    def _enter(self, state: MemberState) -> None:
        if state is not self.state:
            self.state, self._since = state, self._loop_time()


class _EndedError(Exception):
    """The member has left, or was refused."""


def _first_of(failures: BaseException) -> BaseException:
    while isinstance(failures, BaseExceptionGroup):
        failures = failures.exceptions[0]
    return failures
