"""`kinformer shards`: a shard group by its Leases: members, slices, ranges, moves, and slices without an owner."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._escapes import escaped
from kinformer.cli._session import EXIT_FAILURE, UsageProblem, print_error, write
from kinformer.operators._shard_leases import (
    MalformedLeaseError,
    member_of,
    member_record,
    selector_of,
    table_record,
    valid_name,
)
from kinformer.operators._shard_records import UNREADABLE_MEMBER, Incarnation
from kinformer.operators._shard_view import peer_state
from kinformer.operators._slice_assignment import runs
from kinformer.operators.shard_status import PeerState
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.cli._connect import ServerChoice
    from kinformer.objects import KubeObject
    from kinformer.operators._shard_records import MemberRecord, Table

__all__ = ["print_group", "report"]

_TITLES: Final = ("MEMBER", "TERM", "STATE", "SLICES", "RANGES", "GETS", "LEASE")
_DEFAULT_LEASE: Final = 15.0


async def print_group(name: str, namespace: str, server: ServerChoice) -> int:
    """Print a group; the exit code is 1 if a slice has no living owner.

    Raises:
        UsageProblem: no group can have this name.
    """
    if not valid_name(name):
        msg = f"{name!r} cannot be the name of a shard group: lower case, digits and '-'"
        raise UsageProblem(msg)
    async with connected(server) as client:
        where = namespace or client.config.namespace
        leases = await client.list(LEASES, namespace=where, label_selector=selector_of(name))
    if not any(lease.name == name for lease in leases):
        print_error(f"there is no shard group {name} in namespace {where}; -n names another one")
        return EXIT_FAILURE
    try:
        lines, unowned = report(name, leases, datetime.now(UTC))
    except MalformedLeaseError as error:
        print_error(str(error))
        return EXIT_FAILURE
    write("".join(f"{escaped(line)}\n" for line in lines))
    return EXIT_FAILURE if unowned else 0


def report(name: str, leases: Iterable[KubeObject], now: datetime) -> tuple[list[str], int]:
    """Return the lines of a report, and the number of slices without a living owner.

    Whether a Lease has run out is judged by the time in it and this machine's clock, which may be wrong. Members do not
    do that.

    Args:
        name: name of the group.
        leases: its Leases.
        now: the time.

    Raises:
        MalformedLeaseError: the Lease of the table has no table.
    """
    table: Table | None = None
    members: dict[str, tuple[MemberRecord, float, PeerState]] = {}
    for lease in leases:
        member = member_of(name, lease.name)
        if member == "":
            table = table_record(lease)
        elif member is not None:
            record, age = _record_of(lease), _age(lease, now)
            members[member] = record, age, peer_state(record, age, _lease_duration(lease))
    if table is None:
        return [], 0
    have = Counter(table.owners)
    gets = Counter(handover.to for handover in table.handovers.values())
    rows: list[tuple[str, ...]] = [_TITLES]
    living: set[Incarnation] = set()
    for member, (record, age, state) in sorted(members.items()):
        me = Incarnation(member, record.number)
        if state in {PeerState.LIVING, PeerState.LEAVING}:
            living.add(me)
        ranges = len(runs(table.owners, me))
        rows.append((member, str(me.number), str(state), str(have[me]), str(ranges), str(gets[me]), f"{age:.1f}s ago"))
    unowned = sum(count for owner, count in have.items() if owner is None or owner not in living)
    size, moving = len(table.owners), len(table.handovers)
    about = f"{name}: {size} slices by {table.by}, generation {table.generation}, {len(living)} living members"
    lines = [f"{about}, {moving} slices about to move", "", *_aligned(rows)]
    if unowned:
        lost = {owner for owner in have if owner is not None and owner not in living}
        whose = f"; of {', '.join(f'{one.member}#{one.number}' for one in sorted(lost))}" if lost else ""
        lines += ["", f"{unowned} slices have no living owner{whose}"]
    return lines, unowned


def _record_of(lease: KubeObject) -> MemberRecord:
    try:
        return member_record(lease)
    except MalformedLeaseError:
        return UNREADABLE_MEMBER


def _lease_duration(lease: KubeObject) -> float:
    try:
        return float(lease.at("spec.leaseDurationSeconds", _DEFAULT_LEASE))
    except (ValueError, TypeError):
        return _DEFAULT_LEASE


def _age(lease: KubeObject, now: datetime) -> float:
    """Return the seconds since a Lease was renewed, by the time in it."""
    try:
        return max(0.0, (now - datetime.fromisoformat(str(lease.at("spec.renewTime", "")))).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
