"""The records of a shard group as Leases, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.objects import KubeObject
from kinformer.operators._shard_leases import (
    MalformedLeaseError,
    _checksum,
    member_lease,
    member_of,
    member_record,
    table_lease,
    table_record,
    valid_name,
)
from kinformer.operators._shard_records import Acknowledgement, Handover, Incarnation, MemberRecord, Table
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

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


MEMBER = member_lease("sites", "a", MemberRecord(number=3, table="t", renewal=9), duration=15, wall=WALL, owner=None)
OWNED = table_lease("sites", Table(id="t", generation=5, by="uid", owners=(Incarnation("a", 3), None)), wall=WALL)
CONTENT, CHECKSUM = "kinformer.dev/shards", "kinformer.dev/shards-checksum"


def with_content(lease: dict[str, Any], text: str | None, *, right_checksum: bool = False) -> dict[str, Any]:
    """The Lease with another text in its annotation; `None` for no annotation."""
    head = lease["metadata"]
    annotations = {**head["annotations"], CONTENT: text}
    if text is None:
        del annotations[CONTENT]
    elif right_checksum:
        annotations[CHECKSUM] = _checksum(head["name"], text, lease["spec"])
    return {**lease, "metadata": {**head, "annotations": annotations}}


def with_spec(lease: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**lease, "spec": {**lease["spec"], **changes}}


def fields(lease: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lease["metadata"]["annotations"][CONTENT])
    return content


def edits(lease: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Lease as a person or another program may leave it behind."""
    content, head = fields(lease), lease["metadata"]
    texts = [None, "", "no JSON", "null", "5", "[]", "{}", '"v"', "[" * 9999, '{"v":1e999}', '{"v":99}']
    made = {f"text {str(text)[:9]}": with_content(lease, text) for text in texts}
    for name in content:
        values: list[Any] = [None, 7, "x", [], {"999": ["x", "y"]}]
        for value in values:
            changed = json.dumps({**content, name: value}, separators=(",", ":"))
            made[f"{name} {value}"] = with_content(lease, changed)
        rest = {each: value for each, value in content.items() if each != name}
        made[f"no {name}"] = with_content(lease, json.dumps(rest))
    for number in (-1, 0, 4, 2147483647, None, "x"):
        made[f"term {number}"] = with_spec(lease, leaseTransitions=number)
    for holder in ("b", None, 5) if "holderIdentity" in lease["spec"] else ("b", 5):
        made[f"holder {holder}"] = with_spec(lease, holderIdentity=holder)
    made["no spec"] = {**lease, "spec": None}
    made["copied"] = {**lease, "metadata": {**head, "name": "sites-copy"}}
    made["no checksum"] = {**lease, "metadata": {**head, "annotations": {CONTENT: head["annotations"][CONTENT]}}}
    return made


@pytest.mark.parametrize(("lease", "record_of"), [(MEMBER, member_record), (OWNED, table_record)])
def test_a_lease_that_anything_else_has_changed_has_no_record_and_the_error_names_it(
    lease: dict[str, Any], record_of: Callable[[KubeObject], object]
) -> None:
    record_of(stored(lease))
    for edit, edited in edits(lease).items():
        with pytest.raises(MalformedLeaseError, match=f"ops/{edited['metadata']['name']} "):
            pytest.fail(f"{edit}: {record_of(stored(edited))}")


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"v":1}', '{"v":"1"}', '{"v":1,"members":["a"],"owner":"02"}'])
def test_a_lease_whose_checksum_is_right_may_have_no_record_all_the_same(text: str) -> None:
    for lease, record_of in ((MEMBER, member_record), (OWNED, table_record)):
        with pytest.raises(MalformedLeaseError):
            record_of(stored(with_content(lease, text, right_checksum=True)))


def test_the_table_of_another_version_of_the_format_is_known_as_such() -> None:
    table = table_record(stored(with_content(OWNED, '{"v":2,"new":[]}', right_checksum=True)))
    assert table.format == 2


def test_what_people_add_to_a_lease_does_no_harm() -> None:
    head = MEMBER["metadata"]
    labels = {**head["labels"], "team": "b"}
    annotations = {**head["annotations"], "note": "hands off"}
    noted = with_spec({**MEMBER, "metadata": {**head, "labels": labels, "annotations": annotations}}, strategy="x")
    assert member_record(stored(noted)) == member_record(stored(MEMBER))


def test_a_lease_with_the_label_and_another_name_is_no_lease_of_the_group() -> None:
    assert [member_of("sites", name) for name in ("sites", "sites-a", "sites-", "site", "other", "a-sites-b")] == [
        *("", "a", None, None, None, None)
    ]


def test_names_fit_into_the_name_and_the_label_of_a_lease() -> None:
    assert valid_name("sites")
    assert valid_name("a" * 63)
    assert not any(map(valid_name, ("", "Sites", "a.b", "-a", "a-", "a" * 64, "a_b")))
