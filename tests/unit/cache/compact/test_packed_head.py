"""Heads as bytes: equal to the heads they were made of, small, and decoded for a reader alone."""

from __future__ import annotations

import gc
import pickle
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.cache._compact.indexer import CompactIndexer, CompactPolicy
from kinformer.cache._compact.packed_head import (
    UnpackableError,
    common_of,
    head_of,
    pack_common,
    pack_state,
    state_of,
    version_of,
)
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.cache._process_deltas import apply_changes
from kinformer.events import Updated
from kinformer.labels import LabelSelector
from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject, Metadata
from kinformer.resources import CONFIGMAPS, PODS
from tests.sources import pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.events import Event

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}

METADATA: list[dict[str, Any]] = [
    {"name": "a"},
    {
        "name": "a",
        "namespace": "n",
        "uid": "53b4e0c6-1f4e-4a3a-a0f8-6f2a37b1c9d4",
        "resourceVersion": "9007199254740993",
    },
    {"name": "ä", "namespace": "n", "uid": "not a uuid", "resourceVersion": "no number"},
    {"name": "a", "labels": {"app": "web", "empty": None, "text": ""}},
    {"name": "a", "labels": {}},
    {"name": "a", "generation": 2**63, "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y", "z"]},
    {"name": "a", "generation": "two", "deletionTimestamp": {"odd": [1, 2.5, None]}},
    {"name": "a", "ownerReferences": [OWNER, {**OWNER, "name": "b", "blockOwnerDeletion": True}], "annotations": {}},
    {"name": "a", "ownerReferences": [{"apiVersion": 1, "kind": ["odd"], "name": None, "uid": {"odd": 1}}]},
]


def stored_one(*objects: KubeObject) -> CompactIndexer:
    """Return a cache that holds these objects compressed."""
    indexer = CompactIndexer(policy=CompactPolicy(first_bytes=1, worth=10.0))
    for obj in objects:
        indexer.put(obj.key, obj)
        for _ in indexer.work():
            pass
    return indexer


def heads_of(indexer: CompactIndexer) -> list[bytes | Metadata]:
    """Return the common parts of stored objects; a `Metadata` is one that a read has left decoded."""
    stored = indexer.copy().values()
    assert all(isinstance(one, PackedObject) for one in stored)
    return [one.packed[1] for one in stored if isinstance(one, PackedObject)]


@pytest.mark.parametrize("metadata", METADATA)
def test_a_head_that_was_packed_is_the_head_it_was(metadata: dict[str, Any]) -> None:
    obj = KubeObject.from_dict({"metadata": metadata}, PODS)
    packed, common = pack_state(obj.metadata, 7, b"frame"), pack_common(obj.metadata)
    head = head_of(packed, common, obj.key)
    assert head == obj.metadata
    assert (head.annotations is None) is (obj.metadata.annotations is None)
    version, state = version_of(packed), state_of(packed)
    assert (version.uid, version.resource_version) == (obj.uid, obj.resource_version)
    assert (state.json_bytes, state.frame) == (7, b"frame")
    (stored,) = stored_one(obj).list()
    assert isinstance(stored, PackedObject)
    assert (stored.name, stored.namespace, stored.uid, stored.labels) == (obj.name, obj.namespace, obj.uid, obj.labels)
    assert stored.resource_version == obj.resource_version
    assert stored.metadata == obj.metadata
    assert stored.owner_references == obj.owner_references
    assert stored.finalizers == obj.finalizers
    assert stored.annotations == obj.annotations
    assert (stored.generation, stored.deletion_timestamp) == (obj.generation, obj.deletion_timestamp)
    assert stored == obj
    assert pickle.loads(pickle.dumps(stored)) == obj


def test_an_object_whose_head_cannot_be_packed_is_held_as_it_is() -> None:
    odd = pod("a")
    odd.metadata.generation = 2**70
    with pytest.raises(UnpackableError):
        pack_state(odd.metadata, 1, b"")
    owners = KubeObject.from_dict({"metadata": {"name": "a", "ownerReferences": [OWNER]}}, PODS)
    owners.metadata._owners = (type(owners.owner_references[0])("v1", "Pod", 2**70, "u"),)  # type: ignore[arg-type]
    with pytest.raises(UnpackableError):
        pack_common(owners.metadata)
    indexer = stored_one(pod("b"), odd)
    found = indexer.get_by_key(odd.key)
    assert type(found) is KubeObject
    assert found == odd
    assert found.generation == 2**70


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="there the depth of calls takes nothing from what encoders have"
)
def test_a_head_that_is_nested_too_deeply_for_the_present_stack_is_held_as_it_is() -> None:
    nested = b"[" * 600 + b"]" * 600
    odd = KubeObject.from_json(b'{"metadata":{"name":"a","deletionTimestamp":' + nested + b"}}", PODS)

    def pack(depth: int) -> None:
        if depth:
            pack(depth - 1)
        else:
            pack_state(odd.metadata, 1, b"")

    with pytest.raises(UnpackableError):
        pack(500)


def test_packed_parts_take_no_more_memory_than_their_length() -> None:
    obj, frame = pod("a", labels={"app": "web"}), b"x" * 600
    tracemalloc.start()
    try:
        makers: list[Callable[[], bytes]] = [
            lambda: pack_state(obj.metadata, 1, frame),
            lambda: pack_common(obj.metadata),
        ]
        for make in makers:
            make()
            before = tracemalloc.get_traced_memory()[0]
            part = make()
            taken = tracemalloc.get_traced_memory()[0] - before
            # `sys.getsizeof` does not know of the rest of a buffer.
            assert taken <= sys.getsizeof(part) + 100
    finally:
        tracemalloc.stop()


def test_no_read_and_no_change_leaves_a_head_decoded_in_the_cache() -> None:
    pods = [pod(f"p{n}", labels={"app": f"a{n % 3}"}) for n in range(9)]
    indexer = stored_one(*pods)
    wanted = LabelSelector.parse("app=a1")
    assert [obj.name for obj in indexer.select(wanted)] == ["p1", "p4", "p7"]
    assert [obj.name for obj in indexer.select(wanted, "default")] == ["p1", "p4", "p7"]
    assert [obj.name for part in indexer.chunks(wanted, "", 2) for obj in part] == ["p1", "p4", "p7"]
    assert len(indexer.select(LabelSelector.parse("app!=a1,app in (a0,a2),!other"))) == 6
    assert {type(head) for head in heads_of(indexer)} == {bytes}
    for obj in indexer.list():
        assert obj.metadata.labels
        assert indexer.known_as(obj) == obj
        assert indexer.version_of(obj.key) == (obj.uid, obj.resource_version)
        indexer.update(obj)
    assert {type(head) for head in heads_of(indexer)} == {bytes}
    events: list[Event] = []
    repeated = [Delta(DeltaType.UPDATED, obj) for obj in pods]
    assert apply_changes(repeated, indexer, events, initial=False) == 0
    assert events == []
    changed = pod("p0", 2, labels={"app": "a0"})
    apply_changes([Delta(DeltaType.UPDATED, changed)], indexer, events, initial=False)
    (event,) = events
    assert isinstance(event, Updated)
    assert event.old == pods[0]
    assert event.old.labels == {"app": "a0"}
    assert {type(head) for head in heads_of(indexer)} == {bytes}


def test_equal_labels_and_owners_of_compressed_objects_are_held_once() -> None:
    def owned(number: int, version: int) -> KubeObject:
        metadata = {"name": f"c{number}", "namespace": "n", "resourceVersion": str(version), "labels": {"a": "b"}}
        return KubeObject.from_dict({"metadata": {**metadata, "ownerReferences": [OWNER]}}, CONFIGMAPS)

    indexer = stored_one(*(owned(n, 1) for n in range(20)))
    assert len({id(head) for head in heads_of(indexer)}) == 1
    assert len({id(key.namespace) for key in indexer.list_keys()}) == 1
    other = owned(99, 1)
    for n in range(2_000):
        other = KubeObject.from_dict({"metadata": {"name": "other", "labels": {"n": str(n)}}}, CONFIGMAPS)
        indexer.put(other.key, other)
    indexer.delete(other.key)
    for n in range(20):
        indexer.put(owned(n, 2).key, owned(n, 2))
    assert len({id(head) for head in heads_of(indexer)}) == 1, "taken over from the state before"


def test_decoded_common_parts_are_bounded_and_a_view_keeps_its_own() -> None:
    (view,) = stored_one(pod("a", labels={"app": "web"})).list()
    labels = view.metadata.labels
    for n in range(5_000):
        assert common_of[pack_common(pod("a", labels={"n": str(n)}).metadata)].labels == {"n": str(n)}
    assert len(common_of) <= 1024
    assert view.metadata.labels is labels


def test_the_collector_has_nothing_to_look_at_in_a_compressed_object() -> None:
    (stored,) = stored_one(pod("a", labels={"app": "web"})).copy().values()
    assert not gc.is_tracked(stored)
    assert not gc.is_tracked(stored.metadata)
