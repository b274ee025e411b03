"""The records of a shard group as Leases, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.objects import KubeObject
from kinformer.operators._shard_leases import (
    MalformedLeaseError,
    member_lease,
    member_of,
    member_record,
    table_lease,
    table_record,
    valid_name,
)
from kinformer.operators._shard_records import Acknowledgement, Handover, Incarnation, MemberRecord, Table
from kinformer.resources import LEASES

WALL = datetime(2026, 1, 2, tzinfo=UTC)

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
numbers = st.integers(1, 1 << 31)
slices = st.integers(0, 255)
incarnations = st.builds(Incarnation, names, numbers)
records = st.builds(
    MemberRecord,
    number=numbers,
    holds=st.booleans(),
    table=st.text(max_size=30),
    leaving=st.booleans(),
    ready=st.dictionaries(slices, st.builds(Acknowledgement, numbers, names), max_size=5),
    renewal=numbers,
)


def stored(manifest: dict[str, Any]) -> KubeObject:
    head = {**manifest["metadata"], "namespace": "ops", "resourceVersion": "7"}
    return KubeObject.from_dict({**manifest, "metadata": head}, LEASES)


@settings(max_examples=30, deadline=None)
@given(names, names, records)
def test_a_member_comes_back_as_it_was_written(group: str, name: str, record: MemberRecord) -> None:
    lease = stored(member_lease(group, name, record, duration=15, wall=WALL, owner=None))
    assert member_record(lease) == record
    assert member_of(group, lease.name) == name


few = st.lists(incarnations, min_size=1, max_size=30, unique=True)


@settings(max_examples=15, deadline=None)
@given(names, few, st.data())
def test_a_table_comes_back_as_it_was_written(group: str, members: list[Incarnation], data: st.DataObject) -> None:
    chosen = st.sampled_from([None, *members])
    table = Table(
        id="m.1",
        generation=data.draw(numbers),
        by="uid",
        owners=tuple(data.draw(st.lists(chosen, min_size=16, max_size=16)) * 16),
        handovers={data.draw(slices): Handover(data.draw(st.sampled_from(members)), "m.2")},
    )
    lease = stored(table_lease(group, table, wall=WALL))
    assert table_record(lease) == table
    assert member_of(group, lease.name) == ""


def test_the_table_of_30_members_has_less_than_4_kb() -> None:
    members = [Incarnation(f"web-{number}-7d9f8c6b5-abcde-12345678", 1) for number in range(30)]
    owners = tuple(members[number % 30] for number in range(256))
    lease = table_lease("sites", Table(id="x", generation=1, by="uid", owners=owners), wall=WALL)
    assert len(str(lease)) < 4096


@pytest.mark.parametrize(
    "content",
    [None, "", "no JSON", "[]", "{}", '{"v":2}', '{"v":1}', '{"v":1,"members":["a"],"owner":"02","slices":1,"to":{}}'],
)
def test_other_leases_are_refused_with_their_name(content: str | None) -> None:
    annotations = {} if content is None else {"kinformer.dev/shards": content}
    manifest = {"metadata": {"name": "sites", "annotations": annotations}, "spec": {"leaseTransitions": 1}}
    for record_of in (member_record, table_record):
        with pytest.raises(MalformedLeaseError, match="ops/sites"):
            record_of(stored(manifest))


def test_names_fit_into_the_name_and_the_label_of_a_lease() -> None:
    assert valid_name("sites")
    assert valid_name("a" * 63)
    assert not any(map(valid_name, ("", "Sites", "a.b", "-a", "a-", "a" * 64, "a_b")))
