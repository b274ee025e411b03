"""The simulated cluster: everything it says can be done, and it is always the same for one seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from kinformer.cli._simulated.cluster import simulated_cluster
from kinformer.cli._simulated.simulation import Bind, Change, Create, Patch, Ref, Remove, Simulation


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class Store:
    """Refuses what an API server would refuse."""

    def __init__(self) -> None:
        self.objects: dict[Ref, dict[str, Any]] = {}

    def write(self, change: Change) -> None:
        match change:
            case Create(manifest, owner):
                assert change.ref not in self.objects
                assert owner is None or owner in self.objects
                self.objects[change.ref] = manifest
            case Patch(ref, patch, _):
                # A server lets nobody change what a pod is made of.
                assert ref.kind != "Pod" or "spec" not in patch
                self.objects[ref] = merge(self.objects[ref], patch)
            case Bind(ref, node):
                assert "nodeName" not in self.objects[ref]["spec"]
                self.objects[ref] = merge(self.objects[ref], {"spec": {"nodeName": node}})
            case Remove(ref, grace):
                if grace:
                    assert self.objects[ref]["spec"]["nodeName"]
                    self.objects[ref] = merge(self.objects[ref], {"metadata": {"deletionTimestamp": "now"}})
                else:
                    del self.objects[ref]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [obj for ref, obj in self.objects.items() if ref.kind == kind]


def live(store: Store, app: str = "") -> list[dict[str, Any]]:
    return [
        pod
        for pod in store.of("Pod")
        if "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["labels"]["app"] != "backup"
        and pod["metadata"]["labels"]["tier"] != "quarantine"
        and (not app or pod["metadata"]["labels"]["app"] == app)
    ]


def run(seed: int, seconds: int, *, pods: int = 300, nodes: int = 6) -> tuple[Store, list[Change]]:
    simulation, store = Simulation(seed=seed, pods=pods, nodes=nodes), Store()
    changes = simulation.opening()
    for tenth in range(seconds * 10):
        changes += simulation.advance(tenth / 10)
    for change in changes:
        store.write(change)
    return store, changes


@pytest.mark.parametrize("seed", range(8))
def test_two_minutes_of_it_can_all_be_written(seed: int) -> None:
    store, changes = run(seed, 120, pods=120, nodes=4)
    assert 90 <= len(live(store)) <= 200
    assert len(store.of("ReplicaSet")) <= 12 * 4
    assert len(changes) > 3000


def test_one_seed_does_the_same_and_another_does_not() -> None:
    assert run(3, 10)[1] == run(3, 10)[1]
    assert run(3, 10)[1] != run(4, 10)[1]


def test_how_often_one_looks_changes_nothing() -> None:
    often, seldom = Simulation(seed=5), Simulation(seed=5)
    assert often.opening() == seldom.opening()
    steps = [change for i in range(1001) for change in often.advance(i / 100)]
    assert steps == seldom.advance(10.0)


def test_everything_the_demo_promises_happens_within_twenty_seconds() -> None:
    _, changes = run(1, 20)
    patched = [change for change in changes if isinstance(change, Patch)]
    phases = Counter(change.patch["status"]["phase"] for change in patched if "phase" in change.patch.get("status", {}))
    assert {"Pending", "Running", "Succeeded", "Failed"} <= phases.keys()
    assert any(isinstance(change, Remove) and change.grace for change in changes)
    assert any("template" in change.patch.get("spec", {}) for change in patched), "a release"
    assert any("unschedulable" in change.patch.get("spec", {}) for change in patched), "a cordoned node"
    assert any("renewTime" in change.patch.get("spec", {}) for change in patched), "a lease"
    assert any(change.patch.get("metadata", {}).get("labels", {}).get("tier") == "quarantine" for change in patched)
    created = Counter(change.ref.kind for change in changes if isinstance(change, Create))
    assert created["Backup"] == 18
    assert created["CustomResourceDefinition"] == 1


def test_a_rollout_ends_with_all_pods_of_the_new_version() -> None:
    simulation, store = Simulation(seed=2, pods=120), Store()
    for change in simulation.opening():
        store.write(change)
    released = None
    second = 0.0
    while released is None:
        second += 0.1
        for change in simulation.advance(second):
            store.write(change)
            if isinstance(change, Patch) and "template" in change.patch.get("spec", {}):
                released = change
    wanted = released.patch["spec"]["template"]["spec"]["containers"][0]["image"]
    images: set[str] = set()
    for i in range(150):
        for change in simulation.advance(second + i / 10):
            store.write(change)
        images = {pod["spec"]["containers"][0]["image"] for pod in live(store, released.ref.name)}
        if images == {wanted}:
            return
    pytest.fail(f"still running {images}")


def test_it_starts_with_most_of_its_objects_and_soon_has_all() -> None:
    simulation, store = Simulation(seed=1, pods=300), Store()
    for change in simulation.opening():
        store.write(change)
    at_first = len(live(store))
    for change in simulation.advance(4.0):
        store.write(change)
    assert 170 <= at_first <= 190
    assert len(live(store)) >= 295


@pytest.mark.parametrize(("pods", "nodes"), [(10, 0), (-1, 3)])
def test_an_impossible_cluster_is_refused(pods: int, nodes: int) -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Simulation(seed=1, pods=pods, nodes=nodes)


async def test_a_large_cluster_can_be_used_before_all_of_it_is_written() -> None:
    simulation = Simulation(seed=1, pods=200, nodes=3, started=datetime.now(UTC))
    async with simulated_cluster(simulation, at_once=100) as cluster:
        assert not cluster.is_open
        before = len(cluster.server.list("v1", "Pod"))
        assert len(cluster.server.list("v1", "Node")) == 3
        while not cluster.is_open:
            await asyncio.sleep(0)
        assert before < 60 < 100 < len(cluster.server.list("v1", "Pod"))
        await cluster.rest()
    async with simulated_cluster(Simulation(seed=1, pods=20, nodes=3, started=datetime.now(UTC))) as whole:
        assert whole.is_open
