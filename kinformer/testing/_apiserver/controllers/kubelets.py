"""The kubelets of all nodes: they run the pods that are bound to a node, as scripted."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.controllers.actions import Again, Delete, Record, SetStatus
from kinformer.testing._apiserver.controllers.cluster import PODS
from kinformer.testing._apiserver.controllers.loop import Controller
from kinformer.testing._apiserver.controllers.pod_runs import PodRun
from kinformer.testing._apiserver.controllers.pods import is_deleting, is_finished, phase_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from kinformer.testing._apiserver.controllers.actions import Action, Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.store.storage import Change, Key

__all__ = ["NODES", "kubelet_controller", "node_manifest", "pod_address"]

NODES: Final = ("", "nodes")


def node_manifest(name: str, address: str, now: str) -> Manifest:
    """Return a node that is ready, as its kubelet registers it."""
    capacity = {"cpu": "16", "ephemeral-storage": "100Gi", "memory": "64Gi", "pods": "110"}
    conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    labels = {f"{prefix}/{key}": value for prefix in ("beta.kubernetes.io", "kubernetes.io")
              for key, value in (("arch", "amd64"), ("os", "linux"))}  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": "10.244.0.0/16", "podCIDRs": ["10.244.0.0/16"], "providerID": f"kinformer://{name}"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "allocatable": capacity,
            "capacity": capacity,
            "conditions": [
                {
                    "type": kind,
                    "status": state,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                    "reason": reason,
                    "message": message,
                }
                for kind, state, reason, message in conditions
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "kinformer",
                "kubeletVersion": "v1.36.3",
                "containerRuntimeVersion": "containerd://2.0.0",
            },
        },
    }


def pod_address(number: int) -> str:
    """Return an IP address for a pod."""
    return f"10.244.{number >> 8 & 255}.{number & 255}"


def kubelet_controller(scripts: PodScripts) -> Controller:
    """Return the kubelets."""
    return Controller("kubelet", _Kubelets(scripts).reconcile, {PODS: _of_pod, NODES: _of_node}, manager="kubelet")


def _of_pod(change: Change, _cluster: Cluster) -> list[Key]:
    pod = change.new.manifest
    # A pod that is stored as a running one needs nothing yet.
    runs = change.kind == "ADDED" and phase_of(pod) == "Running" and not is_deleting(pod)
    return [change.key] if pod["spec"].get("nodeName") and not runs else []


def _of_node(change: Change, cluster: Cluster) -> list[Key]:
    if change.kind == "MODIFIED":
        return []
    pods = cluster.pods_on(change.key[1])
    return [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods]


class _Kubelets:
    """The containers of all pods, and the writes of their kubelets.

    Args:
        scripts: the behaviour of pods.
    """

    def __init__(self, scripts: PodScripts) -> None:
        self._scripts = scripts
        self._runs: dict[Key, tuple[str, PodRun]] = {}
        self._numbers = itertools.count(2)

    def reconcile(self, key: Key, cluster: Cluster) -> Iterator[Action]:
        """Run a pod up to now."""
        pod = cluster.get(PODS, key)
        known = self._runs.get(key)
        if known is not None and (pod is None or pod["metadata"]["uid"] != known[0]):
            del self._runs[key]
            self._scripts.forget(*key)
            known = None
        if pod is None or not pod["spec"].get("nodeName"):
            return
        node = cluster.get(NODES, ("", pod["spec"]["nodeName"]))
        if node is None:
            # There is no kubelet to run it.
            return
        if is_finished(pod) and known is None:
            if is_deleting(pod):
                yield Delete(PODS, pod, grace=0)
            return
        run = self._begun(key, pod, node, cluster.now) if known is None else known[1]
        yield from self._run(key, pod, run, cluster)

    def _begun(self, key: Key, pod: Manifest, node: Manifest, now: datetime) -> PodRun:
        addresses = (node.get("status") or {}).get("addresses") or ()
        host = next((one["address"] for one in addresses if one["type"] == "InternalIP"), "")
        address = (pod.get("status") or {}).get("podIP") or (
            host if pod["spec"].get("hostNetwork") else pod_address(next(self._numbers))
        )
        run = PodRun(pod, address, host, now, self._scripts.script_of(*key))
        self._runs[key] = (pod["metadata"]["uid"], run)
        return run

    def _run(self, key: Key, pod: Manifest, run: PodRun, cluster: Cluster) -> Iterator[Action]:
        now, script = cluster.now, self._scripts.script_of(*key)
        before = {one.name: one.started for one in (*run.init, *run.main)}
        if not is_deleting(pod):
            run.advance(now, script, self._scripts.exits_of(*key))
        for one in (*run.init, *run.main):
            if one.started != before[one.name]:
                self._scripts.write_output(*key, one.name, one.output)
        for container, reason, message, warning in run.news:
            kind = "initContainers" if any(one.name == container for one in run.init) else "containers"
            yield Record(pod, reason, message, warning, f"spec.{kind}{{{container}}}")
        run.news.clear()
        if is_deleting(pod):
            yield from self._stop(pod, run, script.stops_after, cluster)
            return
        status = run.status(pod, cluster.stamp)
        if status != pod.get("status"):
            yield SetStatus(pod | {"status": status})
        due = run.next_due(now, script)
        if due is not None:
            yield Again((due - now).total_seconds())

    @staticmethod
    def _stop(pod: Manifest, run: PodRun, seconds: float, cluster: Cluster) -> Iterator[Action]:
        """End the containers, and then remove the pod."""
        metadata = pod["metadata"]
        grace = metadata.get("deletionGracePeriodSeconds") or 0
        begun = cluster.begun_to_delete(pod)
        rest = (begun + timedelta(seconds=min(seconds, grace)) - cluster.now).total_seconds()
        running = [one for one in (*run.init, *run.main) if one.state == "running"]
        for one in running:
            yield Record(pod, "Killing", f"Stopping container {one.name}", field=f"spec.containers{{{one.name}}}")
        if rest > 0 and running:
            yield Again(rest)
            return
        run.kill(cluster.now)
        # The last status shows that the containers have ended: those that wait for a pod to be unready see it.
        status = run.status(pod, cluster.stamp)
        if status != pod.get("status"):
            yield SetStatus(pod | {"status": status})
        yield Delete(PODS, pod, grace=0)
