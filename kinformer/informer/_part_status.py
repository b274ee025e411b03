"""Status of the parts of a scope, each by itself and as a whole. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.status import InformerState, ScopeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.status import StatusRecord

__all__ = ["fold", "fold_counts", "fold_nothing", "part_status"]

_LIVING: Final = (InformerState.WAITING, InformerState.LISTING, InformerState.WATCHING)
"""The states of a part, the worst first: the whole is in the worst state of its parts."""

_COUNTS: Final = ("watches", "events", "left_out")
_COUNTERS: Final = ("lists", "watch_ends", "errors")


def part_status(
    scope: str, record: StatusRecord, now: float, *, objects: int, listed: bool, shares_watch: bool
) -> ScopeStatus:
    """Return the status of one part."""
    well = record.is_well(now)
    return ScopeStatus(
        scope=scope,
        state=record.state,
        since=record.since,
        has_synced=listed,
        objects=objects,
        received_version=record.received_version,
        failures=0 if well else record.failures,
        last_error=record.last_error,
        retry_at=record.retry_at,
        shares_watch=shares_watch,
    )


def fold_counts(whole: StatusRecord, record: StatusRecord, folded: StatusRecord) -> None:
    """Add the new counts of a part to the record of the whole.

    Args:
        whole: the record of the informer.
        record: the record of the part.
        folded: the counts of the part that the whole contains already.
    """
    for name in _COUNTS:
        new = getattr(record, name)
        setattr(whole, name, getattr(whole, name) + new - getattr(folded, name))
        setattr(folded, name, new)
    for name in _COUNTERS:
        new, old = getattr(record, name), getattr(folded, name)
        sums = getattr(whole, name)
        for label, number in new.items():
            if number != old.get(label, 0):
                sums[label] = sums.get(label, 0) + number - old.get(label, 0)
        setattr(folded, name, new.copy())


def fold_nothing(whole: StatusRecord, now: float, last_contact: float | None) -> None:
    """Update the record of a whole that has no parts: there is nothing to list, and nothing that can fail.

    Args:
        whole: the record of the informer.
        now: the present time.
        last_contact: the time up to which it is known that there are no parts.
    """
    if whole.state in _LIVING:
        whole.enter(InformerState.WATCHING, now)
        whole.failures, whole.failing_since, whole.retry_at = 0, None, None
        whole.listed, whole.received_version, whole.last_contact = 0, "", last_contact


def fold(whole: StatusRecord, parts: Sequence[tuple[StatusRecord, StatusRecord]]) -> None:
    """Update the record of the whole.

    Args:
        whole: the record of the informer.
        parts: the record of each part, and the counts of it that the whole contains already.
    """
    for record, folded in parts:
        fold_counts(whole, record, folded)
    if whole.state not in _LIVING or not parts:
        return
    records = [record for record, _ in parts]
    states = {record.state for record in records}
    state = next((state for state in _LIVING if state in states), whole.state)
    whole.enter(state, max(record.since for record in records))
    whole.failures = max(record.failures for record in records)
    whole.failing_since = min((r.failing_since for r in records if r.failing_since is not None), default=None)
    whole.retry_at = min((r.retry_at for r in records if r.retry_at is not None), default=None)
    whole.opened_at = max(record.opened_at for record in records)
    whole.well_after = max(record.well_after for record in records)
    whole.listed = sum(record.listed for record in records)
    whole.last_event_at = max((r.last_event_at for r in records if r.last_event_at is not None), default=None)
    whole.streaming_off = next((record.streaming_off for record in records if record.streaming_off), "")
    contacts = [record.last_contact for record in records if record.lists]
    whole.last_contact = min((at for at in contacts if at is not None), default=None)
    whole.received_version = min((r.received_version for r in records if r.received_version), key=int, default="")
    failed = [record for record in records if record.last_error_at is not None]
    if failed:
        last = max(failed, key=lambda record: record.last_error_at or 0.0)
        if whole.last_error_at is None or (last.last_error_at or 0.0) >= whole.last_error_at:
            whole.last_error, whole.last_error_at = last.last_error, last.last_error_at
