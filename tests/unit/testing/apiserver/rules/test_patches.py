"""Patches of the embedded server: merge, JSON, strategic, and server-side apply with its ownership."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kinformer.testing import Refusal
from kinformer.testing._apiserver.rules.field_sets import record_update, server_side_apply
from kinformer.testing._apiserver.rules.patches import apply_json_patch, apply_merge_patch, apply_strategic_patch

NOW = "2026-11-23T08:48:13Z"


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
    "patch",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "test", "path": "/absent", "value": 2}],
        [{"op": "remove", "path": "/absent"}],
        [{"op": "replace", "path": "/absent", "value": 1}],
        [{"op": "add", "path": "/absent/below", "value": 1}],
        [{"op": "copy", "from": "/absent", "path": "/b"}],
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
        None,
        7,
        ["text"],
        [{"op": "grow", "path": "/a"}],
        [{"path": "/a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
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
    result: dict[str, Any] = apply_strategic_patch(POD, patch)
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
    merged = apply_strategic_patch(current, patch)["topologySpreadConstraints"]
    assert merged == [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2}]


# Server-side apply


def config(data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": data}


def apply(
    current: dict[str, Any] | None, wanted: dict[str, Any], manager: str, *, force: bool = False, now: str = NOW
) -> dict[str, Any]:
    return server_side_apply(current, wanted, manager=manager, force=force, now=now, custom=False)


def update(current: dict[str, Any] | None, wanted: dict[str, Any], manager: str) -> dict[str, Any]:
    managed = record_update(current, wanted, manager=manager, now=NOW, custom=False)
    return wanted | {"metadata": wanted["metadata"] | {"managedFields": managed}}


def owners(manifest: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in manifest["metadata"]["managedFields"]}


def test_what_is_created_belongs_to_its_creator_by_update() -> None:
    made = update(None, config({"a": "1"}), "alice")
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "alice",
            "operation": "Update",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
        }
    ]


def test_what_is_updated_changes_hands_and_what_is_not_stays() -> None:
    first = update(None, config({"a": "1", "b": "1"}), "alice")
    second = update(first, config({"a": "2", "b": "1"}, managedFields=first["metadata"]["managedFields"]), "bob")
    assert owners(second) == {
        ("alice", "Update"): {"f:data": {".": {}, "f:b": {}}},
        ("bob", "Update"): {"f:data": {"f:a": {}}},
    }


def test_what_is_removed_belongs_to_nobody() -> None:
    first = update(None, config({"a": "1", "b": "1"}), "alice")
    second = update(first, config({"b": "1"}), "bob")
    assert owners(second) == {("alice", "Update"): {"f:data": {".": {}, "f:b": {}}}}


def test_the_applier_owns_what_it_names_and_nothing_else() -> None:
    made = apply(None, config({"a": "1"}, labels={"app": "web"}), "alice")
    assert owners(made) == {("alice", "Apply"): {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:app": {}}}}}


def test_applying_the_same_again_changes_nothing_not_even_the_time() -> None:
    made = apply(None, config({"a": "1"}), "alice")
    assert apply(made, config({"a": "1"}), "alice", now="2027-01-01T00:00:00Z") == made


def test_applying_less_removes_what_was_applied_before() -> None:
    made = apply(None, config({"a": "1", "b": "1"}), "alice")
    assert apply(made, config({"b": "1"}), "alice")["data"] == {"b": "1"}


def test_applying_less_leaves_what_somebody_else_has_applied_too() -> None:
    shared = apply(apply(None, config({"a": "1", "b": "1"}), "alice"), config({"a": "1"}), "bob")
    less = apply(shared, config({"b": "1"}), "alice")
    assert less["data"] == {"a": "1", "b": "1"}
    assert owners(less) == {("alice", "Apply"): {"f:data": {"f:b": {}}}, ("bob", "Apply"): {"f:data": {"f:a": {}}}}


def test_applying_leaves_what_it_never_had() -> None:
    updated = update(None, config({"x": "1"}), "alice")
    assert apply(updated, config({"y": "2"}), "bob")["data"] == {"x": "1", "y": "2"}


def test_applying_another_value_conflicts_and_names_the_manager_and_the_field() -> None:
    made = update(None, config({"a": "1"}), "alice")
    with pytest.raises(Refusal) as refused:
        apply(made, config({"a": "2"}), "bob")
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "alice" using v1: .data.a'
    assert refused.value.details == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "alice" using v1', "field": ".data.a"},
        ],
    }


def test_several_conflicts_are_listed_manager_by_manager() -> None:
    made = apply(apply(None, config({"a": "1", "b": "1"}), "alice"), config({"c": "1"}), "carol")
    with pytest.raises(Refusal) as refused:
        apply(made, config({"a": "2", "b": "2", "c": "2"}), "bob")
    assert refused.value.message == (
        'Apply failed with 3 conflicts: conflicts with "alice":\n- .data.a\n- .data.b\n'
        'conflicts with "carol":\n- .data.c'
    )


def test_a_conflict_in_a_list_names_the_item_by_its_key() -> None:
    def deployment(image: str) -> dict[str, Any]:
        containers = [{"name": "web", "image": image, "ports": [{"containerPort": 80, "hostPort": int(image)}]}]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}}

    made = apply(None, deployment("1"), "alice")
    with pytest.raises(Refusal) as refused:
        apply(made, deployment("2"), "bob")
    assert refused.value.details is not None
    assert [cause["field"] for cause in refused.value.details["causes"]] == [
        '.spec.containers[name="web"].image',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].hostPort',
    ]


def test_applying_the_same_value_shares_the_field_without_conflict() -> None:
    made = apply(update(None, config({"a": "1"}), "alice"), config({"a": "1"}), "bob")
    assert owners(made) == {
        ("alice", "Update"): {"f:data": {".": {}, "f:a": {}}},
        ("bob", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_a_forced_apply_takes_the_field_over() -> None:
    made = apply(update(None, config({"a": "1", "b": "1"}), "alice"), config({"a": "2"}), "bob", force=True)
    assert made["data"] == {"a": "2", "b": "1"}
    assert owners(made) == {
        ("alice", "Update"): {"f:data": {".": {}, "f:b": {}}},
        ("bob", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_a_forced_apply_drops_a_manager_that_has_nothing_left() -> None:
    made = apply(apply(None, config({"a": "1"}), "alice"), config({"a": "2"}), "bob", force=True)
    assert [*owners(made)] == [("bob", "Apply")]


def test_containers_are_applied_by_name() -> None:
    def pod(*containers: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [*containers]}}

    made = apply(None, pod({"name": "web", "image": "1"}), "alice")
    both = apply(made, pod({"name": "side", "image": "1"}), "bob")
    assert [c["name"] for c in both["spec"]["containers"]] == ["web", "side"]
    without = apply(both, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "bob")
    assert without["spec"]["containers"] == [{"name": "web", "image": "1"}]


def test_an_item_stays_as_long_as_somebody_else_has_a_field_of_it() -> None:
    def pod(container: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}

    made = apply(None, pod({"name": "web", "image": "1", "tty": True}), "alice")
    changed = update(made, pod({"name": "web", "image": "2", "tty": True}) | {"metadata": made["metadata"]}, "bob")
    left = apply(changed, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "alice")
    assert left["spec"]["containers"] == [{"name": "web", "image": "2"}]


def test_lists_of_custom_resources_are_applied_whole() -> None:
    def widget(*containers: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "x.io/v1", "kind": "W", "metadata": {"name": "w"}, "spec": {"containers": [*containers]}}

    made = server_side_apply(None, widget({"name": "a"}), manager="alice", force=False, now=NOW, custom=True)
    with pytest.raises(Refusal, match=r"\.spec\.containers"):
        server_side_apply(made, widget({"name": "b"}), manager="bob", force=False, now=NOW, custom=True)


def test_an_apply_of_the_status_has_its_own_entry() -> None:
    base = update(None, config({"a": "1"}), "alice")
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "status": {"phase": "Ready"}}
    made = server_side_apply(base, wanted, manager="alice", force=False, now=NOW, custom=False, subresource="status")
    entry = made["metadata"]["managedFields"][0]
    assert (entry["operation"], entry["subresource"], entry["fieldsV1"]) == (
        *("Apply", "status"),
        {"f:status": {"f:phase": {}}},
    )


def test_apply_leaves_the_current_object_alone() -> None:
    current = apply(None, config({"a": "1", "b": "1"}, finalizers=["x/a"]), "alice")
    before = copy.deepcopy(current)
    apply(current, config({"a": "2"}), "alice")
    apply(current, config({"a": "3"}), "bob", force=True)
    assert current == before
