"""Patches from changed objects: the operations make the changed object, and touch nothing else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.testing._apiserver.rules.json_patch import apply_json_patch
from kinformer.webhooks._patches import difference, rebase

NAMES = st.sampled_from(["name", "a", "b/c", "d~e", ""])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.text("xy", max_size=2)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
MANIFESTS = st.dictionaries(NAMES, VALUES, max_size=4)


@settings(max_examples=50)
@given(MANIFESTS, MANIFESTS)
def test_the_operations_make_the_second_of_the_first(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert difference(apply_json_patch(before, difference(before, after)), after) == []


@settings(max_examples=50)
@given(MANIFESTS)
def test_equal_objects_need_no_operation(manifest: dict[str, Any]) -> None:
    assert difference(manifest, copy.deepcopy(manifest)) == []


@settings(max_examples=50)
@given(MANIFESTS, MANIFESTS)
def test_a_class_that_knows_all_fields_makes_exactly_its_object(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert rebase(before, before, after) == after


@settings(max_examples=50)
@given(MANIFESTS, MANIFESTS)
def test_nothing_changes_without_a_change(full: dict[str, Any], known: dict[str, Any]) -> None:
    assert rebase(full, known, copy.deepcopy(known)) == full


def test_true_is_not_one() -> None:
    assert difference({"a": True}, {"a": 1}) == [{"op": "replace", "path": "/a", "value": 1}]


def test_unknown_fields_stay_and_defaults_are_not_written() -> None:
    full = {"spec": {"image": "a", "unknown": {"deep": 1}}}
    before = {"spec": {"image": "a", "replicas": 1, "paused": False}}
    after = {"spec": {"image": "b", "replicas": 1, "paused": True}}
    made = rebase(full, before, after)
    assert made == {"spec": {"image": "b", "unknown": {"deep": 1}, "paused": True}}
    assert difference(full, made) == [
        {"op": "replace", "path": "/spec/image", "value": "b"},
        {"op": "add", "path": "/spec/paused", "value": True},
    ]


def test_items_keep_their_unknown_fields_wherever_they_go() -> None:
    full = [{"name": "a", "image": "1", "x": "A"}, {"name": "b", "image": "1", "x": "B"}]
    before = [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]
    moved = [{"name": "new", "image": "0"}, {"name": "b", "image": "2"}, {"name": "a", "image": "1"}]
    assert rebase(full, before, moved) == [
        {"name": "new", "image": "0"},
        {"name": "b", "image": "2", "x": "B"},
        {"name": "a", "image": "1", "x": "A"},
    ]
    assert rebase(full, before, before[1:]) == full[1:]


def test_items_without_a_key_are_changed_at_their_place() -> None:
    full = [{"from": 1, "x": 1}, {"from": 2, "x": 2}]
    assert rebase(full, [{"from": 1}, {"from": 2}], [{"from": 1}, {"from": 3}]) == [
        {"from": 1, "x": 1},
        {"from": 3, "x": 2},
    ]
