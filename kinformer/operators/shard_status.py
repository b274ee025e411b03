"""Status of a shard group, as one of its members sees it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MemberState", "PeerState", "PeerStatus", "ShardGroupStatus", "SliceState"]


class MemberState(enum.StrEnum):
    """The state of this member."""

    NEW = "new"
    JOINING = "joining"
    """It has no Lease yet: it reads the table, or waits until its controllers have started."""
    IDLE = "idle"
    """It has a Lease, and no slice yet."""
    WORKING = "working"
    CUT_OFF = "cut off"
    """Its Lease was not renewed in time. All work has stopped until it is renewed, or lost."""
    REJOINING = "rejoining"
    """Its Lease was lost. It comes back when the last work has ended."""
    LEAVING = "leaving"
    """It gives all slices away."""
    LEFT = "left"
    REFUSED = "refused"
    """The group was made with other settings."""
    FAILED = "failed"
    """The group ended by a defect, or because its client was closed."""


class PeerState(enum.StrEnum):
    """The state of a member, by its Lease."""

    LIVING = "living"
    LEAVING = "leaving"
    LATE = "late"
    """It has not renewed its Lease for longer than the lease duration, and is about to lose it."""
    ENDED = "ended"
    """It has given its Lease back, or has lost it."""
    UNREADABLE = "unreadable"
    """Something else than a member has changed its Lease. If it lives, it comes back as the next incarnation."""


class SliceState(enum.StrEnum):
    """The state of a slice, as this member sees it. Slices of other members are not counted."""

    OWNED = "owned"
    """Work on it may begin."""
    WAITING = "waiting"
    """It belongs to this member, whose caches do not show it yet or whose Lease is not valid now."""
    DRAINING = "draining"
    """Its work ends, and then another member gets it."""
    COMING = "coming"
    """It is to come to this member, whose caches do not show it yet."""
    READY = "ready"
    """It is to come to this member, whose caches show it."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A member of the group, by its Lease.

    Attributes:
        name: name of the member.
        incarnation: number of its unbroken term.
        state: its state.
        slices: number of slices that the table gives it.
        age: seconds since this member saw its Lease change.
    """

    name: str
    incarnation: int
    state: PeerState
    slices: int
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardGroupStatus:
    """A shard group at one moment, as this member sees it. Times are the event loop's (`loop.time()`, seconds).

    Attributes:
        group: "namespace/name" of the group.
        name: name of this member.
        by: "uid" or "namespace": the property of an object that decides its slice.
        state: state of this member.
        since: time at which it entered that state.
        taken_at: time of this status.
        incarnation: number of its unbroken term; 0 before it has joined.
        remaining: seconds for which its Lease is valid if no renewal succeeds any more.
        generation: number of changes of the table so far; 0 before it was read.
        members: all members, this one first.
        slices: number of this member's slices, by state.
        moving: number of slices for which the table has an intended change of their owner.
        unowned: number of slices that no living member owns.
        unowned_for: seconds since slices were first without an owner; 0 if there are none.
        handovers: number of slices that this member got, by reason: "planned", "crash" (the last owner lost its Lease)
            or "first" (it had no owner).
        given: number of slices that this member gave away.
        conflicts: number of writes of the table that another member was faster with.
        last_error: failure of the last request; `None` if it succeeded.
    """

    group: str
    name: str
    by: str
    state: MemberState
    since: float
    taken_at: float
    incarnation: int
    remaining: float
    generation: int
    members: tuple[PeerStatus, ...]
    slices: Mapping[SliceState, int]
    moving: int
    unowned: int
    unowned_for: float
    handovers: Mapping[str, int]
    given: int
    conflicts: int
    last_error: BaseException | None
