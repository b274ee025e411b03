"""Owner references: who is one, who can be, and that what others wrote stays."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.objects import KubeObject
from kinformer.operators.owners import (
    AlreadyOwnedError,
    OwnerReference,
    controller_of,
    disowned_by,
    is_owned_by,
    owned_by,
    owners_of,
)
from kinformer.resources import DEPLOYMENTS, NODES, REPLICASETS


def deployment(name: str = "web", uid: str = "u1", namespace: str = "default") -> KubeObject:
    return KubeObject.from_dict({"metadata": {"name": name, "namespace": namespace, "uid": uid}}, DEPLOYMENTS)


MANIFEST: dict[str, Any] = {"kind": "ReplicaSet", "metadata": {"name": "web-1"}, "spec": {"replicas": 1}}
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1"}


def test_an_owner_is_added_to_a_copy() -> None:
    made = owned_by(MANIFEST, deployment())
    assert made["metadata"]["ownerReferences"] == [{**WEB, "controller": True, "blockOwnerDeletion": True}]
    assert made["spec"] == MANIFEST["spec"]
    assert "ownerReferences" not in MANIFEST["metadata"]
    assert is_owned_by(made, deployment())
    assert is_owned_by(made, deployment(), controller=True)
    assert not is_owned_by(made, deployment(uid="u2"))
    found = controller_of(made)
    assert found == OwnerReference("apps/v1", "Deployment", "web", "u1", controller=True, block_owner_deletion=True)
    assert found.is_of(DEPLOYMENTS)
    assert not found.is_of(REPLICASETS)
    assert owned_by(made, deployment()) == made


def test_one_who_manages_nothing_is_an_owner_too() -> None:
    made = owned_by(MANIFEST, deployment(), controller=False, block_owner_deletion=False)
    assert made["metadata"]["ownerReferences"] == [WEB]
    assert controller_of(made) is None
    assert not is_owned_by(made, deployment(), controller=True)


def test_there_is_one_controller_and_any_number_of_owners() -> None:
    made = owned_by(owned_by(MANIFEST, deployment()), deployment("other", "u2"), controller=False)
    assert [owner.name for owner in owners_of(made)] == ["web", "other"]
    with pytest.raises(AlreadyOwnedError, match="ReplicaSet web-1 is controlled by Deployment web already") as caught:
        owned_by(made, deployment("other", "u2"))
    assert caught.value.owner.uid == "u1"


def test_an_owner_that_was_recreated_replaces_its_old_self() -> None:
    made = owned_by(owned_by(MANIFEST, deployment()), deployment(uid="u9"))
    assert [owner.uid for owner in owners_of(made)] == ["u9"]


def test_entries_of_others_are_left_as_they_are() -> None:
    strange = {"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "ux", "future": [1]}
    made = owned_by({"metadata": {"name": "a", "ownerReferences": [strange]}}, deployment())
    assert made["metadata"]["ownerReferences"][0] == strange
    assert disowned_by(made, deployment())["metadata"]["ownerReferences"] == [strange]


def test_an_owner_is_taken_off_by_its_uid() -> None:
    made = owned_by(MANIFEST, deployment())
    assert disowned_by(made, deployment(uid="u2")) == made
    assert disowned_by(made, deployment())["metadata"]["ownerReferences"] == []
    assert disowned_by(MANIFEST, deployment())["metadata"]["ownerReferences"] == []


def test_an_owner_lies_in_the_same_namespace_or_in_none() -> None:
    with pytest.raises(ValueError, match="same namespace, or in none"):
        owned_by({"metadata": {"name": "a", "namespace": "other"}}, deployment())
    node = KubeObject.from_dict({"metadata": {"name": "n", "uid": "un"}}, NODES)
    assert is_owned_by(owned_by({"metadata": {"name": "a", "namespace": "other"}}, node), node)


def test_an_owner_must_be_as_the_server_has_it() -> None:
    with pytest.raises(ValueError, match=r"needs metadata\.uid"):
        owned_by(MANIFEST, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}})


def test_objects_of_a_cache_can_be_owned_and_asked() -> None:
    raw = {"metadata": {"name": "a", "namespace": "default", "ownerReferences": None}}
    obj = KubeObject.from_dict(raw, REPLICASETS)
    assert owners_of(obj) == []
    made = owned_by(obj, deployment())
    assert (made["kind"], made["apiVersion"]) == ("ReplicaSet", "apps/v1")
    assert is_owned_by(KubeObject.from_dict(made, REPLICASETS), deployment())
