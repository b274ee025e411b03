"""Pods run as scripted, and as their commands say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinformer.testing.build import deployment, pod

if TYPE_CHECKING:
    from tests.unit.testing.apiserver.controllers.clusters import ClusterInTime


def _pod(name: str, *command: str, policy: str = "Always", **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app", "image": "app:1"} | ({"command": list(command)} if command else {})
    return pod(name, spec={"containers": [container], "restartPolicy": policy} | spec)


def _container(cluster: ClusterInTime, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.status("v1", "Pod", name)["containerStatuses"][0]
    return found


def test_a_pod_is_scheduled_runs_and_becomes_ready(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web"))
    found = cluster.get("v1", "Pod", "web")
    assert found["spec"]["nodeName"] == "node-1"
    status = found["status"]
    assert (status["phase"], status["hostIP"], status["podIP"]) == ("Running", "172.18.0.2", "10.244.0.2")
    assert {one["type"]: one["status"] for one in status["conditions"]} == dict.fromkeys(
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"], "True"
    )
    container = status["containerStatuses"][0]
    assert container["image"] == "docker.io/library/app:1"
    assert container["containerID"].startswith("containerd://")
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
    assert [event.partition(":")[0] for event in cluster.events("Pod")] == ["Scheduled", "Pulled", "Created", "Started"]


def test_a_pod_starts_and_becomes_ready_when_its_script_says_so(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("web-*", starts_after=2, ready_after=3)
    cluster.create(_pod("web-0"))
    assert cluster.status("v1", "Pod", "web-0")["phase"] == "Pending"
    assert _container(cluster, "web-0")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    cluster.later(2)
    assert cluster.status("v1", "Pod", "web-0")["phase"] == "Running"
    assert cluster.condition("v1", "Pod", "web-0", "Ready") == ("False", "ContainersNotReady")
    cluster.later(3)
    assert cluster.condition("v1", "Pod", "web-0", "Ready") == ("True", "")


def test_a_crash_restarts_the_container_at_once_and_then_ever_later(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web"))
    cluster.server.pods.crash("web", exit_code=3)
    assert (_container(cluster, "web")["restartCount"], _container(cluster, "web")["ready"]) == (1, True)
    assert _container(cluster, "web")["lastState"]["terminated"]["exitCode"] == 3
    cluster.server.pods.crash("web", reason="OOMKilled", exit_code=137)
    waiting = _container(cluster, "web")["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    # The texts of a kubelet 1.36 (kuberuntime_manager.go, doBackOff).
    pod = f"web_default({cluster.server.get('v1', 'Pod', 'web')['metadata']['uid']})"
    assert waiting["message"] == f"back-off 10s restarting failed container=app pod={pod}"
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("False", "ContainersNotReady")
    assert cluster.status("v1", "Pod", "web")["phase"] == "Running"
    cluster.later(10)
    assert _container(cluster, "web")["lastState"]["terminated"]["reason"] == "OOMKilled"
    cluster.server.pods.crash("web")
    assert _container(cluster, "web")["state"]["waiting"]["message"].startswith("back-off 20s")
    assert f"BackOff: Back-off restarting failed container app in pod {pod}" in cluster.events("Pod")


def test_readiness_follows_the_test(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web"))
    cluster.server.pods.ready("web", False)
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("False", "ContainersNotReady")
    cluster.server.pods.ready("web")
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("True", "")


def test_a_command_runs_as_long_as_it_says_and_its_output_is_the_log(cluster: ClusterInTime) -> None:
    cluster.create(_pod("good", "sh", "-c", "echo hello; sleep 5", policy="Never"))
    cluster.create(_pod("bad", "sh", "-c", "sleep 1 && exit 4", policy="Never"))
    cluster.later(2)
    assert cluster.status("v1", "Pod", "good")["phase"] == "Running"
    assert cluster.status("v1", "Pod", "bad")["phase"] == "Failed"
    assert _container(cluster, "bad")["state"]["terminated"]["exitCode"] == 4
    cluster.later(4)
    assert cluster.status("v1", "Pod", "good")["phase"] == "Succeeded"
    assert cluster.condition("v1", "Pod", "good", "Ready") == ("False", "PodCompleted")
    assert cluster.server.pods.text_of("default", "good", "app") == "hello\n"


def test_on_failure_restarts_only_what_failed(cluster: ClusterInTime) -> None:
    cluster.create(_pod("once", policy="OnFailure"))
    cluster.server.pods.crash("once")
    assert _container(cluster, "once")["restartCount"] == 1
    cluster.server.pods.succeed("once")
    assert cluster.status("v1", "Pod", "once")["phase"] == "Succeeded"


def test_init_containers_run_before_the_others_and_sidecars_beside_them(cluster: ClusterInTime) -> None:
    init = [
        {"name": "first", "image": "init:1", "command": ["sleep", "2"]},
        {"name": "sidecar", "image": "proxy:1", "restartPolicy": "Always"},
    ]
    cluster.create(_pod("web", initContainers=init))
    status = cluster.status("v1", "Pod", "web")
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert cluster.condition("v1", "Pod", "web", "Initialized") == ("False", "ContainersNotInitialized")
    cluster.later(3)
    status = cluster.status("v1", "Pod", "web")
    assert status["phase"] == "Running"
    assert [next(iter(one["state"])) for one in status["initContainerStatuses"]] == ["terminated", "running"]
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("True", "")


def test_an_image_that_cannot_be_pulled_keeps_the_pod_pending(cluster: ClusterInTime) -> None:
    cluster.server.pods.script("web", image_error="not found")
    cluster.create(_pod("web"))
    waiting = _container(cluster, "web")["state"]["waiting"]
    assert waiting == {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "app:1": ErrImagePull: not found',
    }
    cluster.server.pods.script("web")
    assert cluster.status("v1", "Pod", "web")["phase"] == "Running"


def test_a_deleted_pod_is_given_the_time_that_its_containers_take_but_not_more_than_its_grace_period(
    cluster: ClusterInTime,
) -> None:
    cluster.server.pods.script("slow*", stops_after=100)
    cluster.create(_pod("slow", terminationGracePeriodSeconds=10))
    cluster.create(_pod("fast"))
    cluster.delete("v1", "Pod", "slow")
    cluster.delete("v1", "Pod", "fast")
    assert cluster.names("v1", "Pod") == ["slow"]
    cluster.later(9)
    assert cluster.names("v1", "Pod") == ["slow"]
    cluster.later(2)
    assert cluster.names("v1", "Pod") == []


def test_a_pod_with_a_finalizer_stays_with_its_containers_ended(cluster: ClusterInTime) -> None:
    held = _pod("web")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.create(held)
    cluster.delete("v1", "Pod", "web")
    assert cluster.status("v1", "Pod", "web")["phase"] == "Succeeded"
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("False", "PodCompleted")
    assert "terminated" in _container(cluster, "web")["state"]
    cluster.patch("v1", "Pod", "web", {"metadata": {"finalizers": None}})
    assert cluster.names("v1", "Pod") == []


def test_readiness_gates_count(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web", readinessGates=[{"conditionType": "example.com/lb"}]))
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("False", "ReadinessGatesNotReady")
    assert cluster.condition("v1", "Pod", "web", "ContainersReady") == ("True", "")
    conditions = cluster.status("v1", "Pod", "web")["conditions"]
    gate = {"type": "example.com/lb", "status": "True"}
    cluster.patch("v1", "Pod", "web", {"status": {"conditions": [*conditions, gate]}}, subresource="status")
    assert cluster.condition("v1", "Pod", "web", "Ready") == ("True", "")


def test_a_pod_of_a_node_that_does_not_exist_does_not_run(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web", nodeName="nowhere"))
    assert cluster.status("v1", "Pod", "web")["phase"] == "Pending"


async def test_a_watch_sees_that_a_deleted_pod_is_no_longer_ready(cluster: ClusterInTime) -> None:
    cluster.create(_pod("web"))
    version = cluster.server.resource_version
    cluster.delete("v1", "Pod", "web")
    states = [
        {one["type"]: one["status"] for one in change.new.manifest["status"]["conditions"]}["Ready"]
        for change in cluster.server._store.since(("", "pods"), version)
    ]
    assert states[0] == "True"
    assert set(states[1:]) == {"False"}


def test_a_pod_that_runs_when_its_kubelet_first_sees_it_goes_on(cluster: ClusterInTime) -> None:
    cluster.create(deployment("web", replicas=0))
    cluster.server.patch("apps/v1", "Deployment", "web", {"spec": {"replicas": 30}})
    assert cluster.server.fill_replicasets() == 30
    cluster.server.settle()
    assert cluster.status("apps/v1", "Deployment", "web")["readyReplicas"] == 30
    assert len({pod["status"]["podIP"] for pod in cluster.pods()}) == 30
    assert cluster.events("Pod") == []
    name = cluster.pods()[0]["metadata"]["name"]
    address = cluster.status("v1", "Pod", name)["podIP"]
    cluster.later(5)
    cluster.server.pods.crash(name)
    assert _container(cluster, name)["restartCount"] == 1
    assert cluster.status("v1", "Pod", name)["podIP"] == address
