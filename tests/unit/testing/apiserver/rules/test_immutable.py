"""Fields that a real server does not let change do not change here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kinformer.testing import ApiServer, build
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
        (
            "pods",
            {"activeDeadlineSeconds": 5},
            {},
            "spec.activeDeadlineSeconds: Invalid value: null: must not",
        ),
        ("pods", {"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 6}, "must be less than or equal to previous"),
        (
            "pods",
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            "spec.tolerations: Forbidden",
        ),
        ("nodes", {"podCIDRs": ["10.0.0.0/24"]}, {}, "spec.podCIDRs: Forbidden: node updates may not change podCIDR"),
        ("nodes", {"providerID": "a"}, {"providerID": "b"}, "spec.providerID: Forbidden: node updates may not change"),
        ("nodes", {}, {"externalID": "b"}, "spec.externalID: Forbidden: may not be updated"),
        ("resourcequotas", {"scopes": ["BestEffort"]}, {}, "spec.scopes: Invalid value: null: field is immutable"),
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


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("note", "b", 'message: Invalid value: "b": field is immutable'),
        ("reason", "", 'reason: Invalid value: "": field is immutable'),
        ("related", None, "related: Invalid value: null: field is immutable"),
        (
            "regarding",
            {"kind": "Node"},
            'involvedObject: Invalid value: {"Kind":"Node","Namespace":"","Name":""',
        ),
    ],
)
def test_an_event_of_the_newer_group_does_not_change_but_for_its_series(field: str, value: Any, why: str) -> None:
    before = {"note": "a", "reason": "R", "related": {"kind": "Pod"}, "regarding": {"kind": "Pod"}}
    with pytest.raises(Refusal, match=re.escape(why)):
        change("events.k8s.io/events", before, before | {field: value})
    change("events.k8s.io/events", before, before | {"series": {"count": 2}})
    # The older API of the same objects judges no change.
    change("events", before, before | {field: value})


def test_a_job_does_not_give_up_the_selector_that_it_was_created_with() -> None:
    server = ApiServer()
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry.example.com/c:v1"}]},
    }
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}
    with pytest.raises(Refusal, match="`selector` not auto-generated"):
        server.create(job)
    made = server.create(job | {"spec": spec | {"manualSelector": True}})
    del made["spec"]["manualSelector"]
    with pytest.raises(Refusal, match=re.escape("metadata.labels[controller-uid]: Required value")):
        server.update(made)


def test_an_ephemeral_container_stays_as_it_is() -> None:
    server = ApiServer()
    server.create(build.pod("p", "default"))
    debugger = {"name": "d", "image": "a", "imagePullPolicy": "Always"}
    server.patch("v1", "Pod", "p", {"spec": {"ephemeralContainers": [debugger]}}, subresource="ephemeralcontainers")
    for changed, how in (([debugger | {"image": "b"}], "changed"), ([], "removed")):
        with pytest.raises(Refusal, match=f'existing ephemeral containers "d" may not be {how}'):
            server.patch(
                "v1", "Pod", "p", {"spec": {"ephemeralContainers": changed}}, subresource="ephemeralcontainers"
            )


def test_a_resize_keeps_the_quality_of_service() -> None:
    server = ApiServer()
    server.create(build.pod("p", "default"))
    (container,) = server.get("v1", "Pod", "p")["spec"]["containers"]
    sized = container | {"resources": {"requests": {"cpu": "1"}}}
    # A container without resources has no other resources that change.
    alone = 'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing$'
    with pytest.raises(Refusal, match=alone):
        server.patch("v1", "Pod", "p", {"spec": {"containers": [sized]}}, subresource="resize")
