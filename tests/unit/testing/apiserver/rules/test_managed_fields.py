"""Server-side apply and the owners of fields, on the embedded server's rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kinformer.testing import Refusal
from kinformer.testing._apiserver.rules.managed_fields import Manager, record_update, server_side_apply
from kinformer.testing._apiserver.store.structure import builtin, of_schema

NOW = "2026-11-23T08:48:13Z"


def config(data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": data}


def apply(
    current: dict[str, Any] | None, wanted: dict[str, Any], manager: str, *, force: bool = False, now: str = NOW
) -> dict[str, Any]:
    return server_side_apply(
        current,
        wanted,
        structure=builtin(wanted["apiVersion"], wanted["kind"]),
        manager=Manager(manager, wanted["apiVersion"]),
        force=force,
        now=now,
    )


def update(current: dict[str, Any] | None, wanted: dict[str, Any], manager: str) -> dict[str, Any]:
    managed = record_update(
        *(current, wanted),
        structure=builtin(wanted["apiVersion"], wanted["kind"]),
        custom=False,
        manager=Manager(manager, wanted["apiVersion"]),
        now=NOW,
    )
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


def test_an_item_that_its_applier_drops_goes_even_if_another_manager_owns_a_field_of_it() -> None:
    # As a kube-apiserver 1.36 does: an update of a field does not make an owner of the item.
    def pod(container: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}

    made = apply(None, pod({"name": "web", "image": "1", "tty": True}), "alice")
    changed = update(made, pod({"name": "web", "image": "2", "tty": True}) | {"metadata": made["metadata"]}, "bob")
    left = apply(changed, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "alice")
    assert "spec" not in left


def test_lists_of_custom_resources_are_applied_whole() -> None:
    def widget(*containers: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "x.io/v1", "kind": "W", "metadata": {"name": "w"}, "spec": {"containers": [*containers]}}

    structure = of_schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    alice, bob = Manager("alice", "x.io/v1"), Manager("bob", "x.io/v1")
    made = server_side_apply(None, widget({"name": "a"}), structure=structure, manager=alice, force=False, now=NOW)
    with pytest.raises(Refusal, match=r"\.spec\.containers"):
        server_side_apply(made, widget({"name": "b"}), structure=structure, manager=bob, force=False, now=NOW)


def test_an_apply_of_the_status_has_its_own_entry() -> None:
    wanted = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}, "status": {"phase": "Ready"}}
    base = update(None, wanted | {"status": {}, "spec": {"nodeName": "n"}}, "alice")
    alice = Manager("alice", "v1", "status")
    made = server_side_apply(base, wanted, structure=builtin("v1", "Pod"), manager=alice, force=False, now=NOW)
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
