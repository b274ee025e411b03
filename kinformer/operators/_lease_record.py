"""Leader election without I/O: the beliefs of one replica about a Lease, and the specs that it may write.

`kinformer.operators.leader_election` explains the rules. `_lease_keeper` reads and writes.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["Election"]


class Election:
    """The knowledge of one replica about a Lease. Pure: the caller passes the time.

    All times are seconds on one clock of this replica that never goes back; the wall clock is only written, for people.

    Args:
        identity: our name, which no other living replica has.
        lease_duration: whole seconds that others are to wait before they take the lease from us.
        renew_deadline: seconds that we may believe in a write that succeeded, counted from when it was sent.
    """

    def __init__(self, identity: str, lease_duration: int, renew_deadline: float) -> None:
        self.identity = identity
        self.lease: dict[str, Any] | None = None
        """The Lease as last read or written; `None` when there is none, or none has been seen."""
        self.valid_until = -math.inf
        """Until when we may believe that we lead."""
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        # Outlives the Lease itself, so that a deleted one is not taken before it would have run out.
        self._record: dict[str, Any] = {}
        self._changed_at = -math.inf

    def leads(self, now: float) -> bool:
        """Return whether this replica may believe that it leads."""
        return now < self.valid_until

    @property
    def holder(self) -> str:
        """The holder of the lease, as last seen; "" if there is none. A lease that ran out still names its holder."""
        return self._record.get("holderIdentity") or ""

    @property
    def transitions(self) -> int:
        """Number of times that the lease has changed hands."""
        return self._record.get("leaseTransitions") or 0

    def free_at(self) -> float:
        """Return when the lease may be taken, if nothing changes: minus infinity for at once."""
        if self.holder in {"", self.identity}:
            return -math.inf
        return self._changed_at + (self._record.get("leaseDurationSeconds") or self._lease_duration)

    def observe(self, lease: dict[str, Any] | None, now: float) -> None:
        """A read was answered (`None`: there is no Lease). Seeing another's name ends our belief at once.

        It is the time of the answer that counts: a write that another one sent before our answer came is older.
        """
        self.lease = lease
        if lease is None:
            return
        self._note(lease.get("spec") or {}, now)
        if self.holder != self.identity:
            self.step_down()

    def proposal(self, now: float, wall: datetime) -> dict[str, Any] | None:
        """The spec to write in order to take or renew the lease, or `None` while another replica holds it."""
        if now < self.free_at():
            return None
        ours = self.holder == self.identity
        stamp = wall
        if ours:
            # Others judge by whether the record changes, and the server does not even store an equal one.
            renewed = _parsed(self._record.get("renewTime"))
            stamp = wall if renewed is None else max(wall, renewed + timedelta(microseconds=1))
        taken = self._record.get("acquireTime") if ours else None
        return {
            **((self.lease or {}).get("spec") or {}),
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._lease_duration,
            "acquireTime": taken or _micro_time(stamp),
            "renewTime": _micro_time(stamp),
            "leaseTransitions": self.transitions + (1 if self._record and not ours else 0),
        }

    def wrote(self, lease: dict[str, Any], *, sent: float, now: float) -> None:
        """Our proposal was stored. Too late an answer makes no leader, and ends the belief of one."""
        in_time = now < self.valid_until if self.valid_until > -math.inf else True
        self.lease = lease
        self._note(lease.get("spec") or {}, now)
        until = sent + self._renew_deadline
        self.valid_until = until if in_time and now < until else -math.inf

    def step_down(self) -> None:
        """Stop believing that we lead."""
        self.valid_until = -math.inf

    def release(self, wall: datetime) -> dict[str, Any] | None:
        """The spec that lets others take over at once, or `None` when the lease is not ours."""
        if self.lease is None or self.holder != self.identity:
            return None
        stamp = _micro_time(wall)
        spec = dict(self.lease["spec"])
        # One second is the least the API allows.
        return {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": stamp, "renewTime": stamp}

    def _note(self, record: dict[str, Any], now: float) -> None:
        if record != self._record or self._changed_at == -math.inf:
            self._record, self._changed_at = record, now


def _micro_time(moment: datetime) -> str:
    """As a MicroTime (meta/v1) is written."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parsed(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
