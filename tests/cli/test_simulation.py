"""The script of the demo: always the same for one seed, and a cluster in which all that the demo shows happens."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kinformer.cli._simulated.cluster import SimulatedCluster
from kinformer.cli._simulated.simulation import Change, Crash, Create, Patch, Quarantine, Simulation
from kinformer.testing import ApiServer


def script(seed: int, seconds: float, *, steps: int = 10) -> list[Change]:
    simulation = Simulation(seed=seed)
    changes = simulation.opening()
    for step in range(int(seconds * steps) + 1):
        changes += simulation.advance(step / steps)
    return changes


def test_one_seed_does_the_same_and_another_does_not() -> None:
    assert script(3, 10) == script(3, 10)
    assert script(3, 10) != script(4, 10)


def test_how_often_one_looks_changes_nothing() -> None:
    assert script(5, 10, steps=100) == script(5, 10, steps=1)


def test_everything_the_demo_promises_happens_within_twenty_seconds() -> None:
    changes = script(1, 20)
    patched = [change for change in changes if isinstance(change, Patch)]
    assert any("template" in change.patch.get("spec", {}) for change in patched), "a release"
    assert any("unschedulable" in change.patch.get("spec", {}) for change in patched), "a cordoned node"
    assert any("renewTime" in change.patch.get("spec", {}) for change in patched), "a lease"
    assert any(isinstance(change, Crash) for change in changes)
    assert any(isinstance(change, Quarantine) for change in changes)
    created = Counter(change.ref.kind for change in changes if isinstance(change, Create))
    assert created["Backup"] == 18
    assert created["CustomResourceDefinition"] == 1


@pytest.mark.parametrize(("pods", "nodes"), [(10, 0), (-1, 3)])
def test_an_impossible_cluster_is_refused(pods: int, nodes: int) -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Simulation(seed=1, pods=pods, nodes=nodes)


class Played:
    """A cluster whose time the test moves."""

    def __init__(self, pods: int) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.server = ApiServer(controllers="all", nodes=0, clock=lambda: self.now)
        self.cluster = SimulatedCluster(self.server, Simulation(seed=1, pods=pods, nodes=2, started=self.now))
        self.seen: Counter[str] = Counter()

    def play(self, seconds: float) -> None:
        """Let time pass in steps, and count the states of pods."""
        for _ in range(round(seconds / 0.5)):
            self.now += timedelta(seconds=0.5)
            self.cluster.play(0.5)
            self.server.settle()
            self.seen.update(pod["status"]["phase"] for pod in self.pods())

    def pods(self) -> list[dict[str, Any]]:
        return self.server.list("v1", "Pod")


async def test_its_pods_run_roll_out_crash_and_end() -> None:
    played = Played(pods=12)
    await played.cluster.open()
    at_first = len(played.pods())
    # Of each Deployment, its share, rounded.
    assert 7 <= at_first <= 14
    played.play(6)
    running = [pod for pod in played.pods() if pod["metadata"]["labels"]["app"] != "backup"]
    assert len(running) >= 12
    played.play(8)
    assert {"Pending", "Running", "Succeeded"} <= played.seen.keys()
    assert len(played.server.list("apps/v1", "ReplicaSet")) > 12, "a release makes a ReplicaSet"
    restarts = [
        container.get("restartCount", 0)
        for pod in played.pods()
        for container in pod["status"].get("containerStatuses") or ()
    ]
    assert max(restarts) > 0
    phases = {backup.get("status", {}).get("phase") for backup in played.server.list("demo.example.com/v1", "Backup")}
    assert "Succeeded" in phases
    assert played.cluster.left_out == 0


async def test_it_goes_on_whatever_a_user_deletes() -> None:
    played = Played(pods=12)
    await played.cluster.open()
    played.server.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "backups.demo.example.com")
    played.play(1)
    snapshot = played.server.snapshot()
    played.server.reset()
    played.play(20)
    assert played.cluster.left_out > 0
    # A snapshot of a cluster that runs is valid.
    played.server.restore(snapshot)
    assert played.pods()
