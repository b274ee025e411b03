"""The head: what the one pass over an object decodes agrees with what the object's JSON says, whatever it is."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer._heads import decode_answer_head
from kinformer.client._decoding.watches import WatchDecoder
from kinformer.errors import DecodeError
from kinformer.objects import KubeObject, OwnerReference
from kinformer.resources import PODS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.dictionaries(st.sampled_from(["spec", "status", "data", "rules", "kind", "apiVersion"]), JSON)
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "7", "controller": True}


def pod(metadata: dict[str, Any], **sections: Any) -> KubeObject:
    raw = json.dumps({"metadata": {"name": "a", **metadata}, **sections}, separators=(",", ":")).encode()
    return KubeObject.from_json(raw, PODS)


def test_what_controllers_ask_is_decoded_with_the_head() -> None:
    obj = pod(
        {
            "generation": 3,
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["example.com/db"],
            "ownerReferences": [{**OWNER, "controller": False, "name": "other"}, OWNER],
            "annotations": {"a": "b"},
        }
    )
    assert obj.generation == 3
    assert obj.deletion_timestamp == "2026-01-01T00:00:00Z"
    assert obj.finalizers == ("example.com/db",)
    assert [owner.name for owner in obj.owner_references] == ["other", "web"]
    assert obj.controller == OwnerReference("apps/v1", "ReplicaSet", "web", "7", controller=True)
    assert obj.annotations == {"a": "b"}
    assert obj._sections is None, "nothing was decoded for it"


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(("generation", "deletionTimestamp", "finalizers"))])
def test_what_an_object_does_not_have_is_nothing(empty: dict[str, Any]) -> None:
    obj = pod(empty)
    assert (obj.generation, obj.deletion_timestamp, obj.finalizers) == (None, None, ())
    assert (obj.owner_references, obj.controller, obj.annotations) == ((), None, {})
    nothing = pod({"ownerReferences": None, "annotations": None, "labels": None})
    assert (nothing.owner_references, nothing.annotations, nothing.labels) == ((), {}, {})


@pytest.mark.parametrize("field", ["namespace", "uid", "resourceVersion"])
def test_a_null_in_place_of_a_text_is_the_empty_text_as_in_go(field: str) -> None:
    obj = pod({"labels": {"app": "web"}, "generation": 2, field: None})
    assert (obj.namespace, obj.uid, obj.resource_version) == ("", "", "")
    assert (obj.name, obj.labels, obj.generation) == ("a", {"app": "web"}, 2)


def test_a_null_in_place_of_the_value_of_a_label_is_the_empty_text() -> None:
    assert pod({"labels": {"app": None, "tier": "db"}}).labels == {"app": "", "tier": "db"}


def test_an_answer_may_have_nulls_in_place_of_texts() -> None:
    envelope = decode_answer_head(b'{"kind":"Status","metadata":{"name":null,"resourceVersion":null}}')
    assert (envelope.kind, envelope.metadata.name, envelope.metadata.resource_version) == ("Status", "", "")


@pytest.mark.parametrize("field", ["namespace", "uid", "resourceVersion", "name"])
def test_a_number_in_place_of_a_text_is_refused_as_in_go(field: str) -> None:
    with pytest.raises(DecodeError, match="got `int`"):
        pod({"name": "a", field: 5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {f"label-{number}": "x" for number in range(20_000)}),
        ("finalizers", [f"example.com/{number}" for number in range(20_000)]),
        ("ownerReferences", [OWNER] * 20_000),
    ],
)
def test_a_field_that_would_hold_the_loop_is_refused_by_its_size(field: str, value: Any) -> None:
    with pytest.raises(DecodeError, match=rf"metadata\.{field}` has [\d,]+ bytes, and at most"):
        pod({field: value})


@pytest.mark.parametrize("size", [1, 20_000])
def test_a_watch_decodes_heads_as_a_list_does(size: int) -> None:
    fields = {
        "labels": {f"label-{number}": None for number in range(size)},
        "finalizers": ["example.com/a"],
        "ownerReferences": [OWNER],
        "annotations": {"a": "b"},
    }
    raw = json.dumps({"metadata": {"name": "a", **fields}}, separators=(",", ":")).encode()
    (batch,) = WatchDecoder(PODS, doing="watch pods").feed(b'{"type":"MODIFIED","object":%s}\n' % raw)
    if size > 1:
        with pytest.raises(DecodeError) as refused:
            KubeObject.from_json(raw, PODS)
        assert [failure.reason for failure in batch.failures] == [refused.value.reason]
    else:
        obj = KubeObject.from_json(raw, PODS)
        assert [event.object.metadata for event in batch.events] == [obj.metadata]
        assert batch.events[0].object.annotations == obj.annotations


@given(JSON, JSON)
def test_odd_owners_and_finalizers_lose_no_object(owners: Any, finalizers: Any) -> None:
    obj = pod({"ownerReferences": owners, "finalizers": finalizers})
    assert all(isinstance(owner, OwnerReference) for owner in obj.owner_references)
    assert all(isinstance(name, str) for name in obj.finalizers)
    assert obj["metadata"] == {"name": "a", "ownerReferences": owners, "finalizers": finalizers}


def test_objects_of_one_owner_share_it() -> None:
    assert pod({"ownerReferences": [OWNER]}).owner_references is pod({"ownerReferences": [OWNER]}).owner_references


def test_objects_of_different_owners_share_the_kind_of_the_owner() -> None:
    owners = [[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name}] for name in ("a", "b")]
    one, other = (pod({"ownerReferences": owner}).owner_references[0] for owner in owners)
    assert one is not other
    assert one.kind is other.kind
    assert one.api_version is other.api_version


@given(SECTIONS, st.permutations(["metadata", "spec", "status", "data", "rules", "kind", "apiVersion"]), st.booleans())
def test_an_object_reads_as_its_json_however_its_fields_are_ordered(
    sections: dict[str, Any], order: list[str], stored: bool
) -> None:
    fields = {"metadata": {"name": "a", "x": {"spec": 1}}, **sections}
    manifest = {name: fields[name] for name in order if name in fields}
    obj = KubeObject.from_json(json.dumps(manifest, separators=(",", ":")).encode(), PODS)
    if stored:
        # A small object in the cache knows no places.
        obj = KubeObject(obj.raw, obj.metadata, obj.resource, obj.key)
    whole = {"kind": "Pod", "apiVersion": "v1"} | manifest
    for name in ("status", "metadata", "rules", "data", "spec", "missing"):
        view = obj.view()
        assert (name in view) is (name in whole)
        assert view.get(name, 7) == whole.get(name, 7)
        assert view.at(f"{name}.x.spec", "nothing") == KubeObject.at(obj, (name, "x", "spec"), "nothing")
    assert dict(obj) == whole
    assert len(obj) == len(whole)
    assert obj == whole


@pytest.mark.parametrize(
    "raw",
    [
        b'{"metadata":{"name":"a","x":"y,\\"spec\\":{},\\"status\\":{}"},"spec":{"a":1},"status":{"b":2}}',
        b'{"spec":{"old":1},"metadata":{"name":"a"},"spec":{"a":1},"status":{"b":2}}',
        b'{"metadata":{"name":"a"},"nested":{"x":1,"spec":{"a":1},"status":{"b":2}},"spec":{"a":1},"status":{"b":2}}',
        b'{"spec":{"a":1},"status":{"b":2},"metadata":{"name":"a","x":[{"y":1,"spec":{"a":1},"status":{"b":2}}]}}',
        b'{"metadata":{"name":"a"}, "spec": {"a":1}, "status": {"b":2} }',
    ],
)
def test_metadata_is_found_without_its_sections_in_any_spelling(raw: bytes) -> None:
    expected = json.loads(raw)
    obj = KubeObject.from_json(raw, PODS)
    assert obj["metadata"] == expected["metadata"]
    assert obj.view().at("metadata.x", 7) == expected["metadata"].get("x", 7)
    assert obj["spec"] == {"a": 1}
    assert dict(obj) == {"kind": "Pod", "apiVersion": "v1"} | expected


def test_a_view_that_drops_what_was_decoded_decodes_it_again() -> None:
    obj = pod({}, spec={"nodeName": "n1"})
    spec = obj["spec"]
    assert obj["spec"] is spec
    spec["nodeName"] = "changed"
    obj.drop_decoded()
    assert obj["spec"] == {"nodeName": "n1"}
    assert spec == {"nodeName": "changed"}


def test_annotations_are_compared_by_their_meaning() -> None:
    one = pod({"annotations": {"a": "b", "c": "d"}})
    assert one.has_annotations_of(pod({"annotations": {"c": "d", "a": "b"}}))
    assert not one.has_annotations_of(pod({"annotations": {"a": "b"}}))
    assert not one.has_annotations_of(pod({}))
    assert pod({}).has_annotations_of(pod({"annotations": {}}))


def test_a_head_prints_the_decoded_fields_that_the_object_has_and_no_annotation() -> None:
    kubectls_copy = {"kubectl.kubernetes.io/last-applied-configuration": '{"data": {"password": "aHVudGVyMg=="}}'}
    head = pod(
        {"namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [OWNER], "annotations": kubectls_copy}
    )
    text = repr(head.metadata)
    assert text == (
        "Metadata(name='a', namespace='shop', labels={'app': 'web'}, owner_references=(OwnerReference("
        "api_version='apps/v1', kind='ReplicaSet', name='web', uid='7', controller=True, block_owner_deletion=False),))"
    )
    assert repr(pod({}).metadata) == "Metadata(name='a')"
    # rich, and so IPython's pretty printer, asks for this one
    assert dict(head.metadata.__rich_repr__()).keys() == {"name", "namespace", "labels", "owner_references"}


def test_a_view_survives_pickling() -> None:
    obj = pod({"annotations": {"a": "b"}}, spec={"nodeName": "n1"})
    copied = pickle.loads(pickle.dumps(obj))
    assert copied == obj
    assert copied["spec"]["nodeName"] == "n1"
    assert copied.annotations == {"a": "b"}


@pytest.mark.parametrize("metadata", [{"annotations": {"a": "b"}}, {}])
def test_an_object_without_a_name_is_none(metadata: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match=r"no metadata\.name"):
        pod({"name": "", **metadata})


@pytest.mark.parametrize("field", ["namespace", "uid", "resourceVersion"])
def test_null_reads_as_no_value(field: str) -> None:
    obj = pod({"namespace": "shop", "uid": "7", "resourceVersion": "3", field: None})
    expected = {"namespace": "shop", "uid": "7", "resourceVersion": "3", field: ""}
    assert {"namespace": obj.namespace, "uid": obj.uid, "resourceVersion": obj.resource_version} == expected
    assert obj.key.namespace == expected["namespace"]


def test_an_object_whose_name_is_null_is_refused() -> None:
    with pytest.raises(DecodeError):
        pod({"name": None})
