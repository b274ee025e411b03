"""Disruption budgets count the healthy pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer.testing.build import deployment

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

POLICY = "policy/v1"


def _budget(**spec: Any) -> dict[str, Any]:
    body = {"selector": {"matchLabels": {"app": "web"}}} | spec
    return {"apiVersion": POLICY, "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": body}


def _deployment(replicas: int) -> dict[str, Any]:
    return deployment("web", replicas=replicas, labels={"app": "web"})


@pytest.mark.parametrize(
    ("spec", "allowed", "desired"),
    [
        ({"minAvailable": 2}, 2, 2),
        ({"minAvailable": "50%"}, 2, 2),
        ({"maxUnavailable": 1}, 1, 3),
        ({"maxUnavailable": "30%"}, 2, 2),
        ({"maxUnavailable": 0}, 0, 4),
    ],
)
def test_the_evictions_that_are_allowed(
    cluster: ClusterInTime, spec: dict[str, Any], allowed: int, desired: int
) -> None:
    cluster.create(_deployment(4))
    cluster.create(_budget(**spec))
    status = cluster.status(POLICY, "PodDisruptionBudget", "web")
    counts = (status["disruptionsAllowed"], status["desiredHealthy"], status["currentHealthy"], status["expectedPods"])
    assert counts == (allowed, desired, 4, 4)
    wanted = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    assert cluster.condition(POLICY, "PodDisruptionBudget", "web", "DisruptionAllowed") == wanted


def test_a_pod_that_is_not_ready_is_not_healthy(cluster: ClusterInTime) -> None:
    cluster.create(_deployment(3))
    cluster.create(_budget(minAvailable=2))
    name = cluster.pods(app="web")[0]["metadata"]["name"]
    cluster.server.pods.ready(name, False)
    cluster.server.settle()
    status = cluster.status(POLICY, "PodDisruptionBudget", "web")
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 2)


def test_without_pods_nothing_is_allowed(cluster: ClusterInTime) -> None:
    cluster.create(_budget(minAvailable=0))
    assert cluster.status(POLICY, "PodDisruptionBudget", "web")["disruptionsAllowed"] == 0
