"""`KubeObject.at`: the first path of a view is found without decoding the rest, and means what walking there means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.objects import KubeObject
from kinformer.resources import PODS

MISSING = object()
NAMES = st.sampled_from(["spec", "status", "a", "b", "node name", "ü", "0", "kind", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "text", "a.b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def pod(**fields: Any) -> KubeObject:
    raw = json.dumps({"metadata": {"name": "a", "namespace": "b"}, **fields}).encode()
    return KubeObject.from_json(raw, PODS)


@given(st.dictionaries(st.sampled_from(["spec", "status"]), VALUES), st.lists(NAMES, min_size=1, max_size=4))
def test_a_path_asked_first_a_path_asked_later_and_a_walk_agree(fields: dict[str, Any], steps: list[str]) -> None:
    obj = pod(**fields)
    # In quotes, any name is a step.
    first, *others = steps
    path = (first if first.isidentifier() else f"['{first}']") + "".join(f"['{step}']" for step in others)
    if any("'" in step for step in steps):
        return
    walked = obj.view().at(tuple(steps), default=MISSING)
    asked = obj.view()
    assert asked.at(path, default=MISSING) == walked
    assert asked.at(path, default=MISSING) == walked
    assert dict(asked) == dict(obj.view()), "what was asked first hides nothing"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.nodeName", "node-1"),
        ("spec.containers.0.image", "web"),
        ("spec.containers.image", MISSING),
        ("spec.nodeName.first", MISSING),
        ("status.phase", MISSING),
        ("status.reason", None),
        ("spec.affinity.nodeAffinity", MISSING),
        ("spec.missing.further", MISSING),
        ("metadata.name", "a"),
        ("kind", "Pod"),
        ("kind.of", MISSING),
        ("apiVersion", "v1"),
    ],
)
def test_where_a_path_leads(path: str, expected: Any) -> None:
    obj = pod(spec={"nodeName": "node-1", "containers": [{"image": "web"}], "affinity": None}, status={"reason": None})
    assert obj.view().at(path, default=MISSING) == expected


@pytest.mark.parametrize("name", ["back\\slash", 'quo"te', "tab\t"])
def test_any_name_can_be_a_step(name: str) -> None:
    obj = pod(spec={name: {"a": 1}})
    assert obj.view().at(f"spec['{name}'].a") == 1
    assert obj.view().at(f"spec.a['{name}']", MISSING) is MISSING


@pytest.mark.parametrize(
    ("labels", "expected"), [({"app": "web"}, "web"), ({"app": ""}, ""), ({"app": None}, None), ({}, MISSING)]
)
def test_labels_are_read_as_a_walk_reads_them(labels: dict[str, Any], expected: Any) -> None:
    raw = json.dumps({"metadata": {"name": "a", "labels": labels}}).encode()
    obj = KubeObject.from_json(raw, PODS)
    assert obj.at("metadata.labels.app", MISSING) == expected
    assert obj.at(("metadata", "labels", "app"), MISSING) == expected


def test_the_view_can_be_read_as_a_mapping_after_one_path_was_asked() -> None:
    obj = pod(spec={"nodeName": "node-1"}).view()
    assert obj.at("spec.nodeName") == "node-1"
    assert list(obj) == ["kind", "apiVersion", "metadata", "spec"]
    assert "spec" in obj
    assert len(obj) == 4
    assert obj["spec"] == {"nodeName": "node-1"}
