"""Fields that a real server does not let change do not change here."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing._apiserver.rules.immutable import validate_change
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.status import Refusal

CATALOG = Catalog()
LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_000}
TERMS = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}


def change(place: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    group, _, plural = place.rpartition("/")
    kind = CATALOG.lookup(group, "v1", plural)
    assert kind is not None
    metadata = {"metadata": {"name": "x"}}
    validate_change(kind, metadata | before, metadata | after)


@pytest.mark.parametrize(
    ("place", "old", "new", "why"),
    [
        *(
            ("batch/jobs", {}, {field: value}, f"spec.{field}: Invalid value: .*: field is immutable")
            for field, value in (
                ("managedBy", "x.io/y"),
                ("backoffLimitPerIndex", 1),
                ("podFailurePolicy", {"rules": []}),
                ("successPolicy", {"rules": []}),
            )
        ),
        ("services", LOCAL, LOCAL | {"healthCheckNodePort": 30_001}, "spec.healthCheckNodePort: Forbidden"),
        (
            "services",
            LOCAL,
            LOCAL | {"loadBalancerClass": "x.io/y"},
            "spec.loadBalancerClass: .*may not change once set",
        ),
        ("persistentvolumes", {}, {"volumeMode": "Block"}, 'volumeMode: Invalid value: "Block": field is immutable'),
        ("persistentvolumes", {"nodeAffinity": TERMS}, {}, "nodeAffinity: Invalid value: null: field is immutable"),
        ("persistentvolumeclaims", {"volumeName": "a"}, {"volumeName": "b"}, "spec is immutable after creation"),
    ],
)
def test_a_change_is_refused(place: str, old: dict[str, Any], new: dict[str, Any], why: str) -> None:
    with pytest.raises(Refusal, match=why):
        change(place, {"spec": old}, {"spec": new})


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        ("services", LOCAL, LOCAL),
        ("services", {"type": "ClusterIP"}, LOCAL),
        ("persistentvolumes", {}, {"volumeMode": "Filesystem"}),
        ("persistentvolumes", {}, {"nodeAffinity": TERMS}),
        ("persistentvolumeclaims", {}, {"volumeName": "a"}),
    ],
)
def test_a_change_is_taken(place: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    change(place, {"spec": old}, {"spec": new})


def test_the_group_of_a_role_has_a_default() -> None:
    role = {"kind": "Role", "name": "r"}
    whole = role | {"apiGroup": "rbac.authorization.k8s.io"}
    change("rbac.authorization.k8s.io/rolebindings", {"roleRef": whole}, {"roleRef": role})
    with pytest.raises(Refusal, match="cannot change roleRef"):
        change("rbac.authorization.k8s.io/rolebindings", {"roleRef": whole}, {"roleRef": whole | {"name": "s"}})
