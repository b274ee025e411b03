"""Autoscalers follow the resources that pods use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing.build import deployment

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime

AUTOSCALING = "autoscaling/v2"
HPA = "HorizontalPodAutoscaler"


def _prepared(cluster: ClusterInTime, **spec: Any) -> None:
    made = deployment("web", replicas=2)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    cluster.create(made)
    target = {"type": "Utilization", "averageUtilization": 50}
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    manifest = {"apiVersion": AUTOSCALING, "kind": HPA, "metadata": {"name": "web"}, "spec": body | spec}
    cluster.create(manifest)


def _replicas(cluster: ClusterInTime) -> int:
    replicas: int = cluster.get("apps/v1", "Deployment", "web")["spec"]["replicas"]
    return replicas


def test_without_a_metric_nothing_is_scaled(cluster: ClusterInTime) -> None:
    _prepared(cluster)
    assert cluster.condition(AUTOSCALING, HPA, "web", "ScalingActive") == ("False", "FailedGetResourceMetric")
    assert _replicas(cluster) == 2


def test_a_load_above_the_target_grows_the_deployment_within_its_limits(cluster: ClusterInTime) -> None:
    cluster.server.pods.uses("web-*", cpu="75m")
    _prepared(cluster)
    assert _replicas(cluster) == 3
    assert "SuccessfulRescale: New size: 3; reason: cpu resource utilization (percentage of request) above target" in (
        cluster.events(HPA)
    )
    status = cluster.status(AUTOSCALING, HPA, "web")
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 3)
    assert status["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 75, "averageValue": "75m"}}}
    ]
    cluster.server.pods.uses("web-*", cpu="900m")
    cluster.later(15)
    assert _replicas(cluster) == 5
    assert cluster.condition(AUTOSCALING, HPA, "web", "ScalingLimited") == ("True", "TooManyReplicas")


def test_a_load_near_the_target_changes_nothing(cluster: ClusterInTime) -> None:
    cluster.server.pods.uses("web-*", cpu="53m")
    _prepared(cluster)
    cluster.later(60, step=15)
    assert _replicas(cluster) == 2


def test_a_smaller_load_shrinks_the_deployment_only_after_a_while(cluster: ClusterInTime) -> None:
    cluster.server.pods.uses("web-*", cpu="10m")
    _prepared(cluster)
    cluster.later(240, step=15)
    assert _replicas(cluster) == 2
    assert cluster.condition(AUTOSCALING, HPA, "web", "AbleToScale") == ("True", "ScaleDownStabilized")
    cluster.later(90, step=15)
    assert _replicas(cluster) == 1


def test_a_target_that_does_not_exist_is_reported(cluster: ClusterInTime) -> None:
    _prepared(cluster, scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"})
    assert cluster.condition(AUTOSCALING, HPA, "web", "AbleToScale") == ("False", "FailedGetScale")
