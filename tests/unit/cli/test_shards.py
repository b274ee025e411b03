"""`kinformer shards`: the report of a group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kinformer.cli._shards import report
from kinformer.objects import KubeObject
from kinformer.operators._shard_leases import member_lease, table_lease
from kinformer.operators._shard_records import Handover, Incarnation, MemberRecord, Table
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
A, B, C = Incarnation("a", 1), Incarnation("b", 2), Incarnation("c", 1)


def lease(manifest: dict[str, Any]) -> KubeObject:
    head = {**manifest["metadata"], "namespace": "ops", "resourceVersion": "7"}
    return KubeObject.from_dict({**manifest, "metadata": head}, LEASES)


def member(one: Incarnation, age: float, *, holds: bool = True) -> KubeObject:
    record = MemberRecord(number=one.number, holds=holds, table="t")
    wall = NOW - timedelta(seconds=age)
    return lease(member_lease("sites", one.member, record, duration=15, wall=wall, owner=None))


def table(owners: Sequence[Incarnation | None], to: dict[int, Incarnation]) -> KubeObject:
    handovers = {number: Handover(one, "i") for number, one in to.items()}
    made = Table(id="t", generation=9, by="uid", owners=tuple(owners), handovers=handovers)
    return lease(table_lease("sites", made, wall=NOW))


def test_each_member_has_a_line_with_its_slices_ranges_and_moves() -> None:
    owners = [A] * 64 + [B] * 128 + [A] * 64
    lines, unowned = report("sites", [table(owners, {5: B}), member(A, 1.5), member(B, 0.4)], NOW)
    assert unowned == 0
    assert lines[0] == "sites: 256 slices by uid, generation 9, 2 living members, 1 slices about to move"
    assert [line.split() for line in lines[3:]] == [
        ["a", "1", "living", "128", "2", "0", "1.5s", "ago"],
        ["b", "2", "living", "128", "1", "1", "0.4s", "ago"],
    ]


def test_a_lease_that_was_edited_is_shown_as_unreadable_and_one_of_another_group_not_at_all() -> None:
    edited, stray = member(A, 1).to_dict(), member(B, 1).to_dict()
    edited["spec"]["leaseTransitions"] = 7
    stray["metadata"]["name"] = "other-b"
    leases = [table([A] * 128 + [B] * 128, {}), lease(edited), lease(stray), member(B, 1)]
    lines, unowned = report("sites", leases, NOW)
    assert unowned == 128
    assert [line.split()[:4] for line in lines[3:5]] == [["a", "0", "unreadable", "0"], ["b", "2", "living", "128"]]


def test_slices_without_a_living_owner_are_counted_with_their_last_owner() -> None:
    owners = [A] * 200 + [C] * 40 + [None] * 16
    lines, unowned = report("sites", [table(owners, {}), member(A, 1), member(C, 40)], NOW)
    assert unowned == 56
    assert lines[-1] == "56 slices have no living owner; of c#1"
    assert "late" in lines[4]
    _, unowned = report("sites", [table([B] * 256, {}), member(B, 1, holds=False)], NOW)
    assert unowned == 256
