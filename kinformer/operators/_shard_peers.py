"""The other members of a shard group, by their Leases: which of them live, which are dead, and which to fence. Pure.

The rules R2, R3, R5, R12 and R13, which the comments name, are explained in docs/design/0012-shard-groups.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from kinformer.operators._shard_records import (
    Acknowledgement,
    Answer,
    DeleteMember,
    Done,
    Incarnation,
    MemberRecord,
    ReadMember,
    Request,
    Table,
    WriteMember,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ShardPeers"]


@dataclass(slots=True)
class _Peer:
    """Another member's Lease as last seen."""

    version: int
    record: MemberRecord
    changed_at: float
    exists: bool = True
    other_table_since: float = math.inf
    unsure: bool = False
    """Whether a write of ours was refused: the Lease must be read."""


class ShardPeers:
    """All members but one.

    Args:
        name: name of the member whose view this is.
        lease_duration: seconds after the last renewal that was seen, after which a member is fenced.
        forget: seconds after which the Lease of a member that has ended is deleted.

    Attributes:
        changed_at: time at which a member last came or went.
    """

    def __init__(self, name: str, *, lease_duration: float, forget: float) -> None:
        self.changed_at = -math.inf
        self._name = name
        self._lease_duration = lease_duration
        self._forget = forget
        self._peers: dict[str, _Peer] = {}
        self._last_named: tuple[Table, list[Incarnation]] | None = None

    def records(self, now: float) -> dict[str, tuple[MemberRecord, float]]:
        """Return the last seen record of each member with a Lease, and the seconds since it changed."""
        return {name: (peer.record, now - peer.changed_at) for name, peer in self._peers.items() if peer.exists}

    def clear(self) -> None:
        """Forget all members."""
        self._peers.clear()

    def follow(self, table: Table, now: float) -> None:
        """Take note that this member follows another table from now on."""
        for peer in self._peers.values():
            peer.other_table_since = now if _follows_another(peer.record, table) else math.inf

    def saw(self, name: str, version: int, record: MemberRecord | None, table: Table | None, now: float) -> bool:
        """Take note of a member's Lease, or with `None` of its deletion at a version.

        Returns:
            Whether the member and this one follow different tables, of which one is lost.
        """
        peer = self._peers.get(name)
        # R2
        if peer is not None and version <= peer.version:
            if version == peer.version:
                peer.unsure = False
            elif record is not None and record.readable and not record.holds and record.number == peer.record.number:
                # R5: an incarnation that had no Lease once has none for ever, also if its deletion was seen first.
                peer.record = replace(peer.record, holds=False)
            return False
        before = peer.record if peer is not None and peer.exists else None
        if record is not None and not record.readable and peer is not None:
            # R13: the incarnations that were dead stay dead, and any other one may live.
            record = replace(peer.record, holds=True, leaving=False, ready={}, readable=False)
        if record is None:
            if peer is not None:
                # The process may live. Its record counts until it would have run out.
                peer.version, peer.exists, peer.unsure, peer.changed_at = version, False, False, now
                self.changed_at = now
            return False
        mismatch = _follows_another(record, table)
        since = peer.other_table_since if peer is not None and mismatch else math.inf
        self._peers[name] = _Peer(version, record, now, other_table_since=min(since, now) if mismatch else math.inf)
        if _standing(before) != _standing(record):
            self.changed_at = now
        return mismatch and since == math.inf

    def written(self, request: WriteMember | DeleteMember, answer: Answer, table: Table | None, now: float) -> bool:
        """Take note of the answer to a write of another member's Lease; the result is that of `saw`."""
        peer = self._peers[request.member]
        if not isinstance(answer, Done):
            peer.unsure = True
        elif isinstance(request, WriteMember):
            return self.saw(request.member, answer.version, request.record, table, now)
        else:
            peer.exists = False
        return False

    def read(self, request: ReadMember, answer: Answer, table: Table | None, now: float) -> bool:
        """Take note of the answer to a read of another member's Lease; the result is that of `saw`."""
        if not isinstance(answer, Done):
            return False
        peer = self._peers.get(request.member)
        if peer is not None:
            peer.unsure = False
            if answer.value is None and peer.exists:
                peer.exists, peer.changed_at = False, now
        if answer.value is None:
            return False
        return self.saw(request.member, answer.version, cast("MemberRecord", answer.value), table, now)

    def is_dead(self, incarnation: Incarnation) -> bool:
        """Return whether an incarnation of another member can never work again."""
        peer = self._peers.get(incarnation.member)
        if peer is None:
            return False
        # R5: an incarnation that is newer than the Lease as we know it is alive. We are behind.
        record = peer.record
        return record.number > incarnation.number or (record.number == incarnation.number and not record.holds)

    def living(self, table: Table) -> dict[Incarnation, Mapping[int, Acknowledgement]]:
        """Return the incarnations of other members that may be given slices, with their acknowledgements."""
        return {
            Incarnation(name, peer.record.number): peer.record.ready
            for name, peer in self._peers.items()
            if peer.exists and _takes_part(peer.record) and not peer.record.leaving and peer.record.table == table.id
        }

    def lost_table_is_followed(self, table: Table, now: float) -> bool:
        """Return whether a member may work by a table that was deleted.

        Its Lease may have been renewed just before it was fenced, so it may work for a while after that.
        """
        return any(
            peer.record.table != table.id and (peer.record.holds or now - peer.changed_at <= self._lease_duration)
            for peer in self._peers.values()
        )

    def overdue(self, table: Table, now: float) -> Request | None:
        """Return the fence of a member that has not renewed, or a read of one that may have."""
        for name, peer in self._peers.items():
            if peer.unsure:
                return ReadMember(name, 0)
            # R13: a Lease without a record says too little about its incarnation.
            number = max(peer.record.number, self._highest_named(name, table), 1)
            if not peer.record.holds:
                if number > peer.record.number and now - peer.changed_at > self._lease_duration:
                    # R13: it was fenced as a lower one, by a member that knew less.
                    return WriteMember(name, peer.version, replace(peer.record, number=number), now)
                ended = peer.exists and now - peer.changed_at > self._forget
                if ended and all(incarnation.member != name for incarnation in self._named(table)):
                    return DeleteMember(name, peer.version)
                continue
            # R3: by our clock, since we saw the last change.
            since = min(peer.changed_at, peer.other_table_since)
            if now - since > self._lease_duration:
                fenced = replace(peer.record, number=number, holds=False, ready={}, readable=True)
                return WriteMember(name, peer.version if peer.exists else 0, fenced, now)
        return None

    def note_missing(self, table: Table, now: float) -> None:
        """Count incarnations that the table names and that have no Lease as members that are to run out."""
        for name, number in self._named(table):
            if name == self._name:
                continue
            peer = self._peers.get(name)
            if peer is None or (not peer.exists and peer.record.number < number):
                version = 0 if peer is None else peer.version
                record = MemberRecord(number=number, table=table.id)
                self._peers[name] = _Peer(version, record, now, exists=False)

    def _highest_named(self, name: str, table: Table) -> int:
        """Return the number of the newest incarnation of a member that a table names; 0 for none."""
        return max((number for member, number in self._named(table) if member == name), default=0)

    def _named(self, table: Table) -> list[Incarnation]:
        """Return the incarnations that a table names, in order."""
        if self._last_named is None or self._last_named[0] is not table:
            owners = {owner for owner in table.owners if owner is not None}
            self._last_named = table, sorted(owners | {handover.to for handover in table.handovers.values()})
        return self._last_named[1]


def _takes_part(record: MemberRecord) -> bool:
    return record.holds and record.readable


def _follows_another(record: MemberRecord, table: Table | None) -> bool:
    return table is not None and _takes_part(record) and record.table != table.id


def _standing(record: MemberRecord | None) -> tuple[int, bool] | None:
    """Return the properties of a member that matter to the quotas; `None` if it takes no part."""
    return (record.number, record.leaving) if record is not None and _takes_part(record) else None
