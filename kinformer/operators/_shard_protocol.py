"""The protocol of a shard group, without I/O: given the time and the records that were read, it returns the requests.

`ShardMember` is the state of one member. The caller executes the requests of `requests`, and passes to it

- the answers (`answered`), and what watches bring (`saw_member`, `saw_table`), in any order and however late;
- the state of the caches (`cached`), and that the work on a slice has ended (`stopped`).

It works on a slice only while `may_work` is true. The rules R1 to R13, which the comments name, are explained in
docs/design/0012-shard-groups.md. All times are seconds on one clock of this member that never goes back. Clocks of
different members are never compared, but their rates may differ by the ratio of lease_duration to renew_deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

from kinformer.operators._shard_peers import ShardPeers
from kinformer.operators._shard_plan import TablePlan
from kinformer.operators._shard_records import (
    FORMAT,
    UNREADABLE_TABLE,
    Acknowledgement,
    Answer,
    DeleteMember,
    Done,
    Incarnation,
    ListMembers,
    MemberRecord,
    ReadMember,
    ReadTable,
    Request,
    Table,
    Unanswered,
    WriteMember,
    WriteTable,
)

if TYPE_CHECKING:
    from kinformer.operators._shard_plan import Living

__all__ = ["ShardMember", "ShardTimes", "SliceCache"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTimes:
    """The times of a group, in seconds.

    Attributes:
        lease_duration: others wait so long after the last renewal that they saw.
        renew_deadline: a member believes so long in a renewal, from when it was sent.
        renew_period: time between renewals.
        retry_period: time until a failed request is repeated.
        settle: slices move between living members only if no member has come or gone for so long.
        handover: an intended hand-over is withdrawn after so long.
        forget: the Lease of a member that has ended is deleted after so long.
    """

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    renew_period: float = 3.0
    retry_period: float = 0.5
    settle: float = 5.0
    handover: float = 60.0
    forget: float = 3600.0


class SliceCache(NamedTuple):
    """The cache of one slice.

    Attributes:
        listed: the resource version of its list.
        seen: the version up to which the cache has come, and its handlers have been called.
    """

    listed: int
    seen: int


class ShardMember:
    """The state of one member of a group.

    Args:
        name: name of the member, which no other process has or has had.
        by: "uid" or "namespace".
        slices: number of slices.
        times: the times of the group.

    Attributes:
        may_join: whether the member may take part; it only reads until then.
        leaving: whether the member is to give all its slices and end.
        gone: whether it has left; there are no requests any more.
        refused: the reason why it cannot join: the table was made for another group. "" if it can.
    """

    def __init__(self, name: str, *, by: str, slices: int, times: ShardTimes) -> None:
        self.name = name
        self.may_join = True
        self.leaving = False
        self.gone = False
        self.refused = ""
        self.table: Table | None = None
        self.number = 0
        self.valid_until = -math.inf
        self._by = by
        self._slices = slices
        self._times = times
        self._last_number = 0
        self._own_version = 0
        self._own: MemberRecord | None = None
        self._own_known = False
        self._own_read_needed = False
        self._renew_at = -math.inf
        self._lease_retry_at = -math.inf
        self._lease_busy = False
        self._table_version = 0
        self._table_read_needed = True
        self._listed_members = False
        # Whether the members were just listed, and none may be given slices.
        self._alone = False
        self._work_retry_at = -math.inf
        self._work_busy = False
        # Requests under way whose answers belong to a state that the server has lost.
        self._void_lease_answer = False
        self._void_work_answer = False
        self._released = False
        self._peers = ShardPeers(name, lease_duration=times.lease_duration, forget=times.forget)
        self._resting_until = -math.inf
        self._owned: frozenset[int] = frozenset()
        self._owned_since: dict[int, int] = {}
        self._coming: frozenset[int] = frozenset()
        self._caches: dict[int, SliceCache] = {}
        self._draining: set[int] = set()
        self._drained: set[int] = set()
        self._ending: set[int] = set()
        self._deadlines: dict[str, float] = {}
        self._intents = 0
        self._renewals = 0
        # R8: the table version that an unanswered write of ours was made for.
        self._doubt: int | None = None

    # ---- what the caller may do

    @property
    def me(self) -> Incarnation:
        """The present incarnation; number 0 before the member has joined."""
        return Incarnation(self.name, self.number)

    def is_valid(self, now: float) -> bool:
        """Return whether the member may believe in its Lease."""
        return self.number > 0 and now < self.valid_until

    def owned(self) -> frozenset[int]:
        """Return the slices that the newest table gives to this incarnation, whether it may work on them or not."""
        return self._owned

    def workable(self, now: float) -> frozenset[int]:
        """Return the slices on which work may begin."""
        # R1
        if not self.is_valid(now):
            return frozenset()
        return self._owned - self._draining if self._draining else self._owned

    def may_work(self, number: int, now: float) -> bool:
        """Return whether work on a slice may begin."""
        return number in self.workable(now)

    def may_finish(self, number: int, now: float) -> bool:
        """Return whether work may begin that must precede the end of a slice: for objects that were deleted."""
        return self.is_valid(now) and number in self._owned and number not in self._drained

    def token(self, number: int) -> int:
        """Return the version of the table that gave a slice to this incarnation; 0 if it has not got the slice."""
        return self._owned_since.get(number, 0)

    @property
    def lease_duration(self) -> float:
        """Seconds that a member waits before it takes another one for lost."""
        return self._times.lease_duration

    def others(self, now: float) -> dict[str, tuple[MemberRecord, float]]:
        """Return the last seen record of each other member with a Lease, and the seconds since it changed."""
        return self._peers.records(now)

    def awaited(self) -> dict[int, int]:
        """Return the slices to give that the next owner has listed, and the version that the cache must reach first."""
        if self.table is None or not self.number or not self.table.handovers:
            return {}
        return dict(TablePlan(self.table, self.me, self._living()).acknowledged())

    def coming(self) -> frozenset[int]:
        """Return the slices that this member is to get."""
        return self._coming

    def stopping(self) -> frozenset[int]:
        """Return the slices to stop: call `stopped` for each when its last reconcile has ended.

        Those that are not owned any more are to be stopped at once: cancel their reconciles.
        """
        return frozenset(self._draining - self._drained | self._ending)

    def wanted(self) -> frozenset[int]:
        """Return the slices to cache: those owned, and those that this member is to get."""
        return self._owned | self._coming

    # ---- what the caller reports

    def cached(self, number: int, cache: SliceCache) -> None:
        """Take note of the cache of a slice that is wanted."""
        if number in self.wanted():
            self._caches[number] = cache

    def stopped(self, number: int) -> None:
        """Take note that no work on a slice is under way, and that none began since it was in `stopping`."""
        self._ending.discard(number)
        if number in self._draining:
            self._drained.add(number)

    def leave(self) -> None:
        """Begin to give all slices, and end then."""
        self.leaving = True

    def saw_member(self, name: str, version: int, record: MemberRecord | None, now: float) -> None:
        """Take note of a member's Lease, or with `None` of its deletion at a version."""
        if name == self.name:
            self._saw_own(version, record)
            return
        self._table_read_needed |= self._peers.saw(name, version, record, self.table, now)

    def saw_table(self, version: int, table: Table | None, now: float) -> None:
        """Take note of what a watch shows of the table, or with `None` of its deletion at a version."""
        # Only a most recent read shows the first table: a watch may be behind a deletion.
        if self.table is None:
            return
        # R2
        if version <= self._table_version:
            return
        if table is None or table == UNREADABLE_TABLE:
            # R12
            self._begin_anew(now)
        else:
            self._take_note(version, table, now)

    def _take_note(self, version: int, table: Table, now: float) -> None:
        if table.format != FORMAT:
            # R12
            self.refused = f"the table has the format {table.format}, and this version of kinformer knows {FORMAT}"
            self._stop_all()
            return
        if table.by != self._by or len(table.owners) != self._slices:
            # R12
            self.refused = (
                f"the table has {len(table.owners)} slices by {table.by}, and this member {self._slices} by {self._by}"
            )
            self._stop_all()
            return
        known = self.table
        if known is not None and (table.id != known.id or table.generation <= known.generation):
            # R12
            self._begin_anew(now)
            return
        self.table, self._table_version = table, version
        if known is None or table.id != known.id:
            self._listed_members = False
            self._peers.follow(table, now)
        self._follow()

    # ---- requests

    def requests(self, now: float) -> list[Request]:
        """Return the requests to send now. Report the answer of each by `answered`.

        At most one concerns the own Lease, and at most one anything else.
        """
        if self.gone or self.refused or now < self._resting_until:
            return []
        found: list[Request] = []
        if not self._lease_busy and now >= self._lease_retry_at:
            request = self._lease_request(now)
            if request is not None:
                self._lease_busy = True
                found.append(request)
        if not self._work_busy and now >= self._work_retry_at:
            work = self._work_request(now)
            if work is not None:
                self._work_busy = True
                found.append(work)
        return found

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Take note of the answer to a request."""
        own = isinstance(request, ReadMember | WriteMember | DeleteMember) and request.member == self.name
        if own:
            void, self._lease_busy, self._void_lease_answer = self._void_lease_answer, False, False
        else:
            void, self._work_busy, self._void_work_answer = self._void_work_answer, False, False
        if void:
            return
        if isinstance(answer, Unanswered):
            if own:
                self._lease_retry_at = now + self._times.retry_period
            else:
                self._work_retry_at = now + self._times.retry_period
        match request:
            case WriteMember() if own:
                self._own_written(request, answer, now)
            case ReadMember() if own:
                self._own_read(request, answer, now)
            case DeleteMember() if own:
                self.gone = True
            case WriteMember() | DeleteMember():
                self._table_read_needed |= self._peers.written(request, answer, self.table, now)
            case ReadMember():
                self._table_read_needed |= self._peers.read(request, answer, self.table, now)
            case ListMembers():
                self._members_listed(answer, now)
            case ReadTable():
                self._table_read(request, answer, now)
            case WriteTable():
                self._table_written(request, answer, now)

    # ---- the own Lease

    def _lease_request(self, now: float) -> Request | None:
        if not self.number and (self.table is None or not self.may_join):
            # An incarnation follows one table, which it must know first.
            return None
        if not self._own_known or self._own_read_needed:
            return ReadMember(self.name, self._own_version)
        if not self.number:
            if self._ending:
                # R4: a new incarnation declares the old one dead, so nothing of the old one may be under way.
                return None
            if self._released and self._own is not None:
                return DeleteMember(self.name, self._own_version)
            if self.leaving:
                self.gone = True
                return None
            record = self._own
            number = max(self._last_number, record.number if record is not None else 0) + 1
            return self._write_own(now, number)
        if self.leaving and self._has_given_all():
            # R11
            self.valid_until = -math.inf
            return self._write_own(now, self.number, holds=False)
        assert self._own is not None
        current = self._own.leaving == self.leaving and self._own.ready == self._acknowledgements()
        return None if current and now < self._renew_at else self._write_own(now, self.number)

    def _write_own(self, now: float, number: int, *, holds: bool = True) -> WriteMember:
        self._renewals += 1
        assert self.table is not None
        ready = self._acknowledgements() if number == self.number else {}
        record = MemberRecord(
            number=number,
            holds=holds,
            table=self.table.id,
            leaving=self.leaving,
            ready=ready,
            renewal=self._renewals,
        )
        return WriteMember(self.name, self._own_version, record, now)

    def _own_written(self, request: WriteMember, answer: Answer, now: float) -> None:
        if not isinstance(answer, Done):
            self._own_read_needed = True
            return
        record = request.record
        if answer.version > self._own_version:
            self._own_version, self._own = answer.version, record
        if answer.version != self._own_version:
            # A newer state was seen before the answer came.
            return
        if not record.holds:
            self._released = True
            self._stop_all()
            return
        if not self.number and record.number > self._last_number:
            if self.table is None or record.table != self.table.id:
                return
            self.number = self._last_number = record.number
            self._follow()
        if record.number != self.number:
            return
        if now < request.sent + self._times.renew_deadline:
            self.valid_until = max(self.valid_until, request.sent + self._times.renew_deadline)
        self._renew_at = request.sent + self._times.renew_period

    def _own_read(self, request: ReadMember, answer: Answer, now: float) -> None:
        if not isinstance(answer, Done):
            return
        self._own_read_needed, self._own_known = False, True
        if answer.version < request.floor:
            if answer.value is not None:
                # R12: a most recent read that is older than a state seen before.
                self._own_version, self._own = answer.version, cast("MemberRecord", answer.value)
                self._begin_anew(now)
                return
            self._own_version, self._own = 0, None
            self._lose_incarnation()
            return
        if answer.version > self._own_version or self._own is None:
            self._saw_own(answer.version, cast("MemberRecord | None", answer.value))
        if self._own is None:
            self._own_version = 0
        if self.number and not self._holds_own():
            self._lose_incarnation()

    def _saw_own(self, version: int, record: MemberRecord | None) -> None:
        # R2
        if version <= self._own_version:
            return
        self._own_version, self._own = version, record
        if record is None:
            self._own_read_needed = True
        # R4: also a fence that the watch has brought ends the incarnation.
        if self.number and not self._holds_own():
            self._lose_incarnation()

    def _holds_own(self) -> bool:
        return self._own is not None and self._own.holds and self._own.number == self.number

    def _lose_incarnation(self) -> None:
        """Stop all work and come back as the next incarnation."""
        # R4
        self._stop_all()

    def _stop_all(self) -> None:
        self.number = 0
        self.valid_until = -math.inf
        self._ending |= self._owned - self._drained
        self._owned = self._coming = frozenset()
        self._owned_since.clear()
        self._draining.clear()
        self._drained.clear()
        self._caches.clear()
        self._deadlines.clear()
        self._doubt = None
        self._renew_at = -math.inf

    def _begin_anew(self, now: float) -> None:
        """The server has lost writes: stop, and wait until every member that works by them has noticed it."""
        # R12
        self._stop_all()
        self._resting_until = now + self._times.lease_duration
        self.table, self._table_version, self._table_read_needed = None, 0, True
        self._peers.clear()
        self._own_known, self._own_version, self._own = False, 0, None
        self._listed_members = False
        self._void_lease_answer, self._void_work_answer = self._lease_busy, self._work_busy

    def _acknowledgements(self) -> dict[int, Acknowledgement]:
        assert self.table is not None
        if not self.table.handovers:
            return {}
        me = self.me
        return {
            number: Acknowledgement(self._caches[number].listed, handover.intent)
            for number, handover in self.table.handovers.items()
            if handover.to == me and number in self._caches
        }

    def _has_given_all(self) -> bool:
        return not self.wanted() and self._doubt is None

    # ---- the other members

    def is_dead(self, incarnation: Incarnation | None) -> bool:
        """Return whether an incarnation can never work again."""
        if incarnation is None:
            return True
        if incarnation.member == self.name:
            return incarnation.number != self.number
        return self._peers.is_dead(incarnation)

    def _living(self) -> Living:
        """Return the incarnations that may be given slices, in an order that all members know."""
        assert self.table is not None
        found = self._peers.living(self.table)
        if not self.leaving:
            found[self.me] = self._acknowledgements()
        return dict(sorted(found.items()))

    def _members_listed(self, answer: Answer, now: float) -> None:
        if not isinstance(answer, Done):
            return
        self._listed_members = True
        for name, (version, record) in cast("dict[str, tuple[int, MemberRecord]]", answer.value).items():
            self.saw_member(name, version, record, now)
        self._alone = self.table is not None and not self._living()

    # ---- the table

    def _work_request(self, now: float) -> Request | None:
        if self.table is None or self._table_read_needed:
            if self.table is None and not self._table_read_needed:
                empty = Table(
                    id=self._new_intent(),
                    generation=1,
                    by=self._by,
                    owners=(None,) * self._slices,
                )
                # Version 0, or that of a table that has no record.
                return WriteTable(self._table_version, empty)
            return ReadTable(self._table_version)
        if not self.is_valid(now):
            self._alone = False
            return None
        if not self._listed_members:
            return ListMembers()
        self._peers.note_missing(self.table, now)
        overdue = self._peers.overdue(self.table, now)
        if overdue is not None:
            return overdue
        if self._doubt is not None:
            if self._doubt < self._table_version:
                self._doubt = None
            else:
                # R8: make sure that the unanswered write can no longer be applied.
                return WriteTable(self._table_version, replace(self.table, generation=self.table.generation + 1))
        return self._decision(now)

    def _table_read(self, request: ReadTable, answer: Answer, now: float) -> None:
        if not isinstance(answer, Done):
            return
        self._table_read_needed = False
        if answer.version < request.floor:
            # R12: a most recent read that is older than a state seen before, or of nothing.
            self._begin_anew(now)
        elif answer.value == UNREADABLE_TABLE:
            # R12
            if self.table is not None:
                self._begin_anew(now)
            self._table_version = answer.version
        elif answer.value is not None and answer.version > self._table_version:
            self._take_note(answer.version, cast("Table", answer.value), now)

    def _table_written(self, request: WriteTable, answer: Answer, now: float) -> None:
        if isinstance(answer, Done):
            if answer.version > self._table_version:
                self._take_note(answer.version, request.table, now)
            return
        self._table_read_needed = True
        if isinstance(answer, Unanswered) and self.number and request.version == self._table_version:
            # R8
            self._doubt = request.version

    def _follow(self) -> None:
        """Bring the rest of the state in line with the newest table."""
        table = self.table
        assert table is not None
        if self._doubt is not None and self._doubt < self._table_version:
            self._doubt = None
        me = self.me
        owned = self._owned = frozenset(number for number, owner in enumerate(table.owners) if owner == me)
        self._owned_since = {number: self._owned_since.get(number, self._table_version) for number in owned}
        self._coming = frozenset(number for number, handover in table.handovers.items() if handover.to == me)
        wanted = self.wanted()
        for number in [number for number in self._caches if number not in wanted]:
            del self._caches[number]
        if self._doubt is None:
            self._draining &= owned & {*table.handovers} if not self._is_last() else owned
            self._drained &= self._draining
        live = {handover.intent for handover in table.handovers.values()}
        self._deadlines = {intent: at for intent, at in self._deadlines.items() if intent in live}

    def _is_last(self) -> bool:
        return self.leaving and self.table is not None and not self._living()

    def _next_intent(self) -> str:
        self._intents += 1
        return f"{self.number}.{self._intents}"

    def _decision(self, now: float) -> Request | None:
        """Return the next change of the table, if there is one."""
        assert self.table is not None
        living = self._living()
        plan = TablePlan(self.table, self.me, living)
        if living:
            self._plan_moves(plan, now)
        elif self.leaving:
            # R11: the last member stops everything, and leaves it without an owner.
            self._draining |= self._owned
            if self._owned and self._owned <= self._drained:
                if not self._alone:
                    # The watch may be late to show a member that has joined.
                    return ListMembers()
                plan.abandon(self._owned)
            self._alone = False
        changed = plan.changed
        return None if changed is None else WriteTable(self._table_version, changed)

    def _plan_moves(self, plan: TablePlan, now: float) -> None:
        assert self.table is not None
        # R9, R11: what stopped when there was no other member goes on until the next owner has listed it.
        self._draining &= self.table.handovers.keys()
        late = {intent for intent, at in self._deadlines.items() if now > at}
        self._draining -= plan.withdraw(late)
        self._drained &= self._draining
        me = self.me
        # R6
        dead = {owner for owner in {*self.table.owners} if owner != me and self.is_dead(owner)}
        if None in dead and self._peers.lost_table_is_followed(self.table, now):
            # R12: members that follow a lost table may work on any slice that has no owner.
            dead.discard(None)
        plan.take(dead)
        # R10
        if self.leaving or now - self._peers.changed_at >= self._times.settle:
            for intent in plan.intend(self._new_intent, leaving=self.leaving):
                self._deadlines[intent] = now + self._times.handover
        for number, version in plan.acknowledged():
            cache = self._caches.get(number)
            # R9: our handlers were called for everything before that list.
            if cache is None or cache.seen < version:
                continue
            # R7: first stop, then write.
            self._draining.add(number)
            if number in self._drained:
                plan.give(number)

    def _new_intent(self) -> str:
        return f"{self.name}.{self._next_intent()}"
