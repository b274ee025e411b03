"""A status that a client writes is judged as by a real server."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing._apiserver.rules.status_validation import validate_status
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.status import Refusal

CATALOG = Catalog()
START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def conditions(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": "True"} for kind in kinds]


def causes(place: str, status: dict[str, Any], old: dict[str, Any], spec: dict[str, Any], **metadata: str) -> list[str]:
    group, _, rest = place.rpartition("/")
    kind = CATALOG.lookup(group, "v2" if group == "autoscaling" else "v1", rest)
    assert kind is not None
    before = {"metadata": {"name": "x", **metadata}, "spec": spec, "status": old}
    try:
        validate_status(kind, before, before | {"status": status})
    except Refusal as refusal:
        details = refusal.details or {}
        return [f"{cause['field']}: {cause['message']}" for cause in details["causes"]]
    return []


NOT_NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"


@pytest.mark.parametrize(
    ("place", "field"),
    [
        *(("apps/deployments", field) for field in ("observedGeneration", "updatedReplicas", "collisionCount")),
        ("apps/replicasets", "fullyLabeledReplicas"),
        ("apps/statefulsets", "currentReplicas"),
        ("apps/daemonsets", "numberReady"),
        ("replicationcontrollers", "availableReplicas"),
        ("batch/jobs", "active"),
        ("autoscaling/horizontalpodautoscalers", "desiredReplicas"),
        ("policy/poddisruptionbudgets", "currentHealthy"),
    ],
)
def test_a_count_is_never_negative(place: str, field: str) -> None:
    assert f"status.{field}: {NOT_NEGATIVE}" in causes(place, {field: -1}, {}, {})
    assert causes(place, {field: 0}, {}, {}) == []


def test_no_part_of_the_replicas_is_more_than_all_of_them() -> None:
    found = causes("apps/deployments", {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}, {}, {})
    assert found == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]


DONE = {"startTime": START, "completionTime": END, "conditions": conditions("SuccessCriteriaMet", "Complete")}
JOBS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (DONE, {}, ""),
    ({"startTime": START, "conditions": conditions("FailureTarget", "Failed")}, {}, ""),
    (DONE | {"conditions": conditions("Complete")}, {}, "without the SuccessCriteriaMet=true condition"),
    (DONE | {"completionTime": None}, {}, "completionTime is required for Complete jobs"),
    (DONE | {"startTime": None}, {}, "startTime is required for finished job"),
    (DONE | {"completionTime": "2025-01-01T00:00:00Z"}, {}, "must be equal to or after `startTime`"),
    (DONE | {"active": 1}, {}, "active>0 is invalid for finished job"),
    (DONE | {"uncountedTerminatedPods": {"failed": ["u"]}}, {}, "must be empty for finished job"),
    (
        DONE | {"conditions": conditions("SuccessCriteriaMet", "Complete", "Failed")},
        {},
        "Complete=True and Failed=true",
    ),
    ({"startTime": START, "conditions": conditions("Failed")}, {}, "without the FailureTarget=true condition"),
    ({"completionTime": END}, {}, "cannot set completionTime when there is no Complete=True condition"),
    ({"startTime": START}, DONE, "cannot disable the terminal Complete=True condition"),
    ({"ready": 2, "active": 1}, {}, "cannot set more ready pods than active"),
    ({"succeeded": 1}, {"succeeded": 2}, "cannot decrease the succeeded counter"),
    ({"completedIndexes": "0-1"}, {}, "cannot set non-empty completedIndexes when non-indexed completion mode"),
    ({"failedIndexes": "0"}, {}, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"),
]


@pytest.mark.parametrize(("status", "old", "why"), JOBS)
def test_the_status_of_a_job_agrees_with_itself(status: dict[str, Any], old: dict[str, Any], why: str) -> None:
    found = causes("batch/jobs", status, old, {"completions": 5})
    assert any(why in one for one in found) if why else found == []


def test_a_job_that_ended_wrongly_may_have_other_changes() -> None:
    wrong = {"conditions": conditions("Complete")}
    assert causes("batch/jobs", wrong | {"succeeded": 1}, wrong, {}) == []


@pytest.mark.parametrize(
    ("place", "status", "why"),
    [
        ("pods", {"podIP": "x"}, "status.podIPs[0]"),
        ("pods", {"qosClass": "Guaranteed"}, "field is immutable"),
        ("pods", {"nominatedNodeName": "A B"}, "status.nominatedNodeName"),
        ("nodes", {"capacity": {"cpu": "-1"}}, "status.capacity.cpu"),
        ("resourcequotas", {"used": {"pods": "-1"}}, "status.used[pods]"),
        ("namespaces", {"phase": "Terminating"}, "may only be 'Active' if `deletionTimestamp` is empty"),
    ],
)
def test_the_status_of_other_kinds_has_values_that_can_be(place: str, status: dict[str, Any], why: str) -> None:
    assert why in causes(place, status, {"qosClass": "BestEffort"}, {})[0]


def test_a_namespace_that_is_deleted_is_terminating() -> None:
    assert causes("namespaces", {"phase": "Active"}, {}, {}, deletionTimestamp=START) != []
    assert causes("namespaces", {"phase": "Terminating"}, {}, {}, deletionTimestamp=START) == []


@pytest.mark.parametrize(
    ("place", "status", "why"),
    [
        ("pods", {"conditions": [{}]}, 'status.conditions[0].Type: Invalid value: "": name part must be non-empty'),
        ("pods", {"nominatedNodeName": "n"}, "status.nominatedNodeName: Forbidden: may not be set on pods"),
        ("pods", {"resourceClaimStatuses": [{}]}, "must match the name of an entry in `spec.resourceClaims`"),
        ("pods", {"extendedResourceClaimStatus": {}}, "requestMappings: Required value: at least one request mapping"),
        ("resourcequotas", {"used": {"x": "1"}}, 'status.used[x]: Invalid value: "x": must be a standard resource'),
        (
            "persistentvolumeclaims",
            {"capacity": {"storage": "-1"}},
            "status.capacity[storage]: Invalid value: -1",
        ),
        ("persistentvolumeclaims", {"allocatedResources": {"cpu": "1"}}, 'value: "cpu": supported values: "storage"'),
        ("persistentvolumeclaims", {"allocatedResourceStatuses": {"storage": "x"}}, '"ControllerResizeInProgress"'),
        ("nodes", {"declaredFeatures": ["x"]}, 'status.declaredFeatures[0]: Invalid value: "x": invalid feature name'),
        (
            "certificates.k8s.io/certificatesigningrequests",
            {"conditions": [{"type": "Approved"}]},
            "status.conditions[0].status: Required value",
        ),
        ("flowcontrol.apiserver.k8s.io/flowschemas", {"conditions": [{}]}, "status.conditions[0].type: Required value"),
    ],
)
def test_a_part_of_a_status_is_judged(place: str, status: dict[str, Any], why: str) -> None:
    assert why in "; ".join(causes(place, status, {}, {"nodeName": "node-1"}))
