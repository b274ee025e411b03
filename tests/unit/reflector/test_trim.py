"""Trimming: what is cut is gone, what is kept stays byte for byte, and nothing else is lost."""

from __future__ import annotations

import gzip
import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.informer import SharedInformer
from kinformer.objects import KubeObject
from kinformer.reflector.trim import LAST_APPLIED, Trim
from kinformer.resources import PODS
from tests.paths import DATA
from tests.sources import FakeSource, pod

names = st.text(min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def made(manifest: dict[str, Any], **layout: Any) -> KubeObject:
    return KubeObject.from_json(json.dumps(manifest, **layout).encode(), PODS)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(names, values, max_size=4),
    st.lists(st.dictionaries(names, values, max_size=3), max_size=3),
    st.dictionaries(names | st.just(LAST_APPLIED), st.text(max_size=20), max_size=4),
    st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}]),
)
def test_what_is_left_is_the_manifest_without_what_was_cut(
    more: dict[str, Any], managed: list[Any], annotations: dict[str, str], layout: dict[str, Any]
) -> None:
    metadata = {"name": "a", "namespace": "default", "managedFields": managed, "annotations": annotations, "uid": "u"}
    manifest = {**more, "kind": "Pod", "apiVersion": "v1", "metadata": metadata}
    obj = made(manifest, **layout)
    left = Trim()(obj)
    del metadata["managedFields"]
    annotations.pop(LAST_APPLIED, None)
    assert left.to_dict() == manifest
    assert (left.metadata, left.key, left.resource) == (obj.metadata, obj.key, obj.resource)


def test_the_recorded_pods_lose_more_than_a_third_and_nothing_that_is_read() -> None:
    items = msgspec.json.decode(gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes()))["items"]
    before = after = 0
    for item in items:
        obj = made(item, separators=(",", ":"))
        left = Trim()(obj)
        before += len(obj.raw)
        after += len(left.raw)
        del item["metadata"]["managedFields"]
        assert left.to_dict() == {"kind": "Pod", "apiVersion": "v1"} | item
    assert after < before * 2 / 3


def test_an_object_with_nothing_to_cut_is_kept_itself() -> None:
    obj = made({"metadata": {"name": "a", "annotations": {"x": "y"}}, "spec": {"note": "about managedFields"}})
    assert Trim()(obj) is obj
    mentioned = made({"metadata": {"name": "a"}, "spec": {"managedFields": 1}})
    assert Trim()(mentioned) is mentioned


@pytest.mark.parametrize(
    "raw",
    [
        b'{"metadata":{"name":"a","managedFields":[{"f":[1]}],"uid":"u"},"spec":{"managedFields":[1]}}',
        b'{"spec":{"x":1,"managedFields":[1]},"metadata":{"name":"a","managedFields":[{}]}}',
        b'{"metadata":{"name":"a","labels":{"x":"y","managedFields":"z"},"managedFields":[]},"data":{}}',
        b'{"metadata":{"managedFields":[{"manager":"x]"}],"name":"a"}}',
        b'{"metadata":{"name":"a","managedFields":[{"manager":"],"}],"uid":"u"}}',
        b'{"metadata":{"name":"a","x":",\\"managedFields\\":[]","managedFields":null}}',
        b'{"x":{"a":1,"managedFields":[7]},"metadata":{"name":"a"}}',
    ],
)
def test_only_the_field_of_the_metadata_is_cut_in_any_spelling(raw: bytes) -> None:
    obj = KubeObject.from_json(raw, PODS)
    expected = json.loads(raw)
    expected["metadata"].pop("managedFields", None)
    left = Trim()(obj)
    assert json.loads(left.raw) == expected
    # What is read of it is found in what is left, and nothing holds the bytes that were cut.
    assert dict(left) == {"kind": "Pod", "apiVersion": "v1"} | expected
    assert left.places is None or left.places is not obj.places or left is obj


inner: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([[], {}, 1, None, "]", ',"spec":', '"managedFields"', ',\\"status\\":{}']),
    lambda more: (
        st.lists(more, max_size=2)
        | st.dictionaries(st.sampled_from(["spec", "status", "metadata", "managedFields", "x"]), more, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["labels", "x", "managedFields", "spec"]), inner, max_size=3),
    st.none() | st.lists(st.dictionaries(st.sampled_from(["f:x]", "manager"]), inner, max_size=2), max_size=2),
    st.lists(
        st.tuples(st.sampled_from(["kind", "x", "metadata2", "spec", "status", "data"]), inner),
        max_size=4,
        unique_by=lambda field: field[0],
    ),
    st.integers(0, 4),
)
def test_the_field_is_cut_wherever_it_lies_among_fields_that_look_like_it(
    before: dict[str, Any], managed: list[Any] | None, others: list[tuple[str, Any]], at: int
) -> None:
    metadata: dict[str, Any] = {"name": "a", **before, "labels": {"app": "web"}}
    if managed is not None:
        metadata["managedFields"] = managed
    fields = [*others[:at], ("metadata", metadata), *others[at:]]
    obj = made(dict(fields), separators=(",", ":"))
    left = Trim()(obj)
    expected = {name: dict(value) if name == "metadata" else value for name, value in fields}
    expected["metadata"].pop("managedFields", None)
    assert json.loads(left.raw) == expected
    view = left.view()
    for name in ("metadata", "spec", "status", "data"):
        assert view.get(name, "nothing") == expected.get(name, "nothing")
    assert left.metadata == obj.metadata


def test_what_is_left_holds_none_of_the_earlier_bytes() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "7"}
    metadata = {"name": "a", "annotations": {"x": "y"}, "ownerReferences": [owner], "finalizers": ["a/b"]}
    obj = made(
        {"metadata": {**metadata, "managedFields": [{"manager": "me"}]}, "spec": {"a": [1]}, "status": {"b": 2}},
        separators=(",", ":"),
    )
    raw = obj.raw
    left = Trim()(obj)
    del obj
    # The name here and the argument of the call, which Python 3.14 does not count.
    assert sys.getrefcount(raw) == (1 if sys.version_info >= (3, 14) else 2)
    assert (left.annotations, left.finalizers, left.owner_references[0].name) == ({"x": "y"}, ("a/b",), "web")
    assert (left["spec"], left["status"]) == ({"a": [1]}, {"b": 2})


def test_only_what_is_asked_for_is_cut() -> None:
    metadata = {"name": "a", "managedFields": [{}], "annotations": {"x": "1", "y": "2", LAST_APPLIED: "{}"}}
    obj = made({"metadata": metadata})
    assert Trim(managed_fields=False, annotations=("x",))(obj)["metadata"] == {
        "name": "a",
        "managedFields": [{}],
        "annotations": {"y": "2", LAST_APPLIED: "{}"},
    }
    assert Trim(annotations=())(obj)["metadata"] == {"name": "a", "annotations": metadata["annotations"]}


@pytest.mark.usefixtures("storage")
@pytest.mark.looptime
async def test_an_informer_trims_lists_and_events_before_its_transform() -> None:
    seen: list[Any] = []

    def transform(manifest: dict[str, Any]) -> dict[str, Any]:
        seen.append(manifest["metadata"].get("managedFields"))
        return manifest

    def managed(name: str, version: int) -> KubeObject:
        manifest = pod(name, version).to_dict()
        manifest["metadata"]["managedFields"] = [{"manager": "me"}]
        return made(manifest)

    source = FakeSource(managed("a", 3))
    async with SharedInformer(source, trim=Trim(), transform=transform, namespace="default") as informer:
        stream = await source.watched()
        stream.added(managed("b", 11))
        await informer.wait_for("b", timeout=1)
        assert [dict(obj) for obj in informer.lister.list()] == [dict(pod("a", 3)), dict(pod("b", 11))]
        assert informer.observe(managed("c", 20))
        await informer.wait_for("c", timeout=1)
        assert seen == [None, None, None]
    plain = FakeSource(managed("a", 3))
    async with SharedInformer(plain, trim=Trim(), namespace="default") as informer:
        stream = await plain.watched()
        stream.modified(managed("a", 11))
        stream.deleted(managed("a", 12))
        await informer.wait_for("a", lambda obj: obj is None, timeout=1)
