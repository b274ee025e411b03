"""Patches of the embedded server: merge, JSON and strategic."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kinformer.testing import Refusal
from kinformer.testing._apiserver.rules.json_patch import apply_json_patch
from kinformer.testing._apiserver.rules.patches import apply_merge_patch, apply_strategic_patch
from kinformer.testing._apiserver.store.structure import builtin, builtin_type


@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        # The cases of RFC 7386, appendix A, that have an object for a target.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, ["c"], ["c"]),
    ],
)
def test_a_merge_patch_does_what_rfc_7386_says(current: Any, patch: Any, result: Any) -> None:
    assert apply_merge_patch(current, patch) == result


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ([], {"a": {"b": [1, 2]}}),
        ([{"op": "test", "path": "/a/b/0", "value": 1}], {"a": {"b": [1, 2]}}),
        ([{"op": "add", "path": "/a/b/-", "value": 3}], {"a": {"b": [1, 2, 3]}}),
        ([{"op": "add", "path": "/a/b/0", "value": 0}], {"a": {"b": [0, 1, 2]}}),
        ([{"op": "replace", "path": "/a/b", "value": "x"}], {"a": {"b": "x"}}),
        ([{"op": "remove", "path": "/a/b/1"}], {"a": {"b": [1]}}),
        ([{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": [1, 2]}),
        ([{"op": "copy", "from": "/a/b/1", "path": "/c"}], {"a": {"b": [1, 2]}, "c": 2}),
        ([{"op": "add", "path": "/a/x~1y", "value": 1}], {"a": {"b": [1, 2], "x/y": 1}}),
    ],
)
def test_a_json_patch_does_what_rfc_6902_says(patch: Any, result: Any) -> None:
    assert apply_json_patch({"a": {"b": [1, 2]}}, patch) == result


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ([{"op": "test", "path": "/absent", "value": None}], {"a": [1, 2]}),
        ([{"op": "replace", "path": "/absent", "value": 3}], {"a": [1, 2], "absent": 3}),
        ([{"op": "copy", "from": "/absent", "path": "/b"}], {"a": [1, 2], "b": None}),
        ([{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
    ],
)
def test_a_json_patch_takes_what_the_go_library_of_kubernetes_takes(patch: Any, result: Any) -> None:
    document = {"a": [1, 2]}
    assert apply_json_patch(document, patch) == result
    assert document == {"a": [1, 2]}


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "test", "path": "/absent", "value": 2}],
        [{"op": "remove", "path": "/absent"}],
        [{"op": "replace", "path": "/absent/below", "value": 1}],
        [{"op": "add", "path": "/absent/below", "value": 1}],
        [{"op": "grow", "path": "/a"}],
        [{"path": "/a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "", "value": 5}],
    ],
)
def test_a_json_patch_that_does_not_fit_the_object_is_422_without_details(patch: Any) -> None:
    with pytest.raises(Refusal) as refused:
        apply_json_patch({"a": 1}, patch)
    # patch-json-test-fails.json
    assert refused.value.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "add"},
        "text",
        7,
        ["text"],
        [{"op": 5}],
        [{"op": "add", "path": 5, "value": 1}],
    ],
)
def test_what_is_no_json_patch_is_400(patch: Any) -> None:
    with pytest.raises(Refusal) as refused:
        apply_json_patch({"a": 1}, patch)
    assert (refused.value.code, refused.value.reason) == (400, "BadRequest")


POD = {
    "metadata": {"name": "web", "labels": {"app": "web"}, "finalizers": ["x/a", "x/b"]},
    "spec": {
        "containers": [
            {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}], "args": ["a", "b"]},
            {"name": "log", "image": "log:1", "ports": [{"containerPort": 53, "protocol": "UDP", "name": "dns"}]},
        ],
        "tolerations": [{"key": "one"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}


def strategic(patch: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(POD)
    result: dict[str, Any] = apply_strategic_patch(POD, patch, builtin("v1", "Pod"))
    assert before == POD, "the patched object is left alone"
    return result


def test_a_strategic_patch_merges_containers_by_name_and_keeps_the_others() -> None:
    result = strategic({"spec": {"containers": [{"name": "log", "image": "log:2"}, {"name": "new", "image": "n"}]}})
    containers = result["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in containers] == [("web", "web:1"), ("log", "log:2"), ("new", "n")]
    assert containers[1]["ports"] == [{"containerPort": 53, "protocol": "UDP", "name": "dns"}]


def test_a_strategic_patch_merges_lists_inside_of_merged_items() -> None:
    env = [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]
    result = strategic({"spec": {"containers": [{"name": "web", "env": env, "args": ["c"]}]}})
    web = result["spec"]["containers"][0]
    # The order is that of the patch.
    assert web["env"] == [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]
    assert web["args"] == ["c"], "a list without a key is replaced"


def test_a_strategic_patch_names_a_port_by_its_number_alone() -> None:
    ports = [{"containerPort": 53, "name": "other"}]
    result = strategic({"spec": {"containers": [{"name": "log", "ports": ports}]}})
    assert result["spec"]["containers"][1]["ports"] == [{"containerPort": 53, "protocol": "UDP", "name": "other"}]


def test_a_strategic_patch_replaces_lists_that_have_no_key() -> None:
    assert strategic({"spec": {"tolerations": [{"key": "two"}]}})["spec"]["tolerations"] == [{"key": "two"}]


def test_a_strategic_patch_takes_out_what_is_null_and_what_is_marked_for_deletion() -> None:
    patch = {
        "metadata": {"labels": {"app": None, "new": "x"}},
        "spec": {"containers": [{"name": "web", "$patch": "delete"}], "volumes": None},
    }
    result = strategic(patch)
    assert result["metadata"]["labels"] == {"new": "x"}
    assert [c["name"] for c in result["spec"]["containers"]] == ["log"]
    assert "volumes" not in result["spec"]


def test_a_strategic_patch_can_replace_an_item_a_list_and_a_structure() -> None:
    item = strategic({"spec": {"containers": [{"name": "web", "image": "web:2", "$patch": "replace"}]}})
    assert item["spec"]["containers"][0] == {"name": "web", "image": "web:2"}
    whole = strategic({"spec": {"containers": [{"$patch": "replace"}, {"name": "only", "image": "o"}]}})
    assert whole["spec"]["containers"] == [{"name": "only", "image": "o"}]
    labels = strategic({"metadata": {"labels": {"$patch": "replace", "b": "2"}}})
    assert labels["metadata"]["labels"] == {"b": "2"}


def test_a_strategic_patch_keeps_only_the_retained_keys() -> None:
    result = strategic({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"s": 1}}]}})
    assert result["spec"]["volumes"] == [{"name": "v", "secret": {"s": 1}}]


def test_a_strategic_patch_adds_to_finalizers_and_takes_out_the_ones_it_names() -> None:
    assert strategic({"metadata": {"finalizers": ["x/b", "x/c"]}})["metadata"]["finalizers"] == ["x/a", "x/b", "x/c"]
    removed = strategic({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"]}})
    assert removed["metadata"]["finalizers"] == ["x/b"]


def test_a_strategic_patch_sets_the_order_it_asks_for() -> None:
    order: list[dict[str, Any]] = [{"name": "log"}, {"name": "web"}]
    result = strategic({"spec": {"$setElementOrder/containers": order}})
    assert [c["name"] for c in result["spec"]["containers"]] == ["log", "web"]
    ports = [{"containerPort": 80, "name": "http"}]
    by_number = [{"containerPort": 53}, {"containerPort": 80}]
    patch = {"spec": {"containers": [{"name": "log", "ports": ports, "$setElementOrder/ports": by_number}]}}
    assert [p["containerPort"] for p in strategic(patch)["spec"]["containers"][1]["ports"]] == [53, 80]


def test_strategic_merging_goes_by_the_first_key_of_a_list_alone() -> None:
    # patchMergeKey of topologySpreadConstraints is topologyKey; only apply goes by both of its map keys.
    current = {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}
    patch = {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]}
    merged = apply_strategic_patch(current, patch, builtin_type("core/v1.PodSpec"))["topologySpreadConstraints"]
    assert merged == [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2}]


def test_null_is_a_json_patch_without_operations() -> None:
    assert apply_json_patch({"a": 1}, None) == {"a": 1}


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"$patch": "foo"}, "unknown patch type: foo in map: map[$patch:foo]"),
        ({"$setElementOrder/x": 5}, "the directive $setElementOrder/x needs a list"),
    ],
)
def test_a_directive_that_makes_no_sense_is_refused(patch: dict[str, Any], why: str) -> None:
    with pytest.raises(Refusal) as refused:
        apply_strategic_patch({"a": 1}, patch)
    assert refused.value.message == why


@pytest.mark.parametrize("directive", [[], ["replace"], {"a": 1}, 5])
def test_a_directive_that_is_no_text_is_refused(directive: Any) -> None:
    with pytest.raises(Refusal, match="unknown patch type"):
        apply_strategic_patch({"a": 1}, {"$patch": directive})


def test_an_item_that_a_strategic_patch_names_twice_is_merged_once() -> None:
    twice = [{"name": "log"}, {"name": "log", "image": "log:2"}]
    result = strategic({"spec": {"containers": twice, "$setElementOrder/containers": twice}})
    assert [one["name"] for one in result["spec"]["containers"]].count("log") == 1


def test_what_stands_in_front_of_the_first_slash_of_a_path_counts_for_nothing() -> None:
    patch = [{"op": "add", "path": "x/a", "value": 2}]
    assert apply_json_patch({"a": 1}, patch) == {"a": 2}
