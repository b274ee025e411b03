"""The other members and the slices of a shard group, for its status. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kinformer.operators._shard_records import Incarnation
from kinformer.operators.shard_status import PeerState, PeerStatus

if TYPE_CHECKING:
    from kinformer.operators._shard_protocol import ShardMember
    from kinformer.operators._shard_records import MemberRecord

__all__ = ["peer_state", "peers_of", "unowned_of"]


def peer_state(record: MemberRecord, age: float, lease_duration: float) -> PeerState:
    """Return the state of a member by its Lease, which was seen to change `age` seconds ago."""
    if not record.holds:
        return PeerState.ENDED
    if not record.readable:
        return PeerState.UNREADABLE
    if age > lease_duration:
        return PeerState.LATE
    return PeerState.LEAVING if record.leaving else PeerState.LIVING


def peers_of(member: ShardMember, now: float) -> tuple[PeerStatus, ...]:
    """Return all members: the own one first, and the others in the order of their names."""
    owners = Counter(owner for owner in (member.table.owners if member.table is not None else ()) if owner is not None)
    own = PeerState.ENDED if not member.number else PeerState.LEAVING if member.leaving else PeerState.LIVING
    found = [PeerStatus(member.name, member.number, own, owners[member.me], 0.0)]
    for name, (record, age) in sorted(member.others(now).items()):
        state = peer_state(record, age, member.lease_duration)
        found.append(PeerStatus(name, record.number, state, owners[Incarnation(name, record.number)], age))
    return tuple(found)


def unowned_of(member: ShardMember, now: float) -> frozenset[int]:
    """Return the slices that no living member owns, as far as this member knows."""
    if member.table is None:
        return frozenset()
    late = {
        Incarnation(name, record.number)
        for name, (record, age) in member.others(now).items()
        if record.holds and age > member.lease_duration
    }
    owners = member.table.owners
    dead = {owner for owner in {*owners} if member.is_dead(owner) or owner in late}
    return frozenset(number for number, owner in enumerate(owners) if owner in dead) if dead else frozenset()
