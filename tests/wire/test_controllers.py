"""Controllers over real connections to a server on a bad day: what should be so becomes so, and then they rest."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kinformer import Controller, ObjectKey, RateLimitingQueue
from kinformer.filters import labels_changed, matches
from kinformer.resources import CONFIGMAPS
from kinformer.testing import build
from kinformer.workqueue.rate_limiters import ItemExponential

if TYPE_CHECKING:
    from kinformer import Client, SharedInformerFactory
    from kinformer.integrations.settling import Settled
    from kinformer.testing import ApiServer, Faults

OBJECTS = 300


def copier(client: Client, factory: SharedInformerFactory) -> Controller[ObjectKey]:
    """Each ConfigMap labelled `copy=yes` has a copy in the namespace `copies`, and no other has one."""
    originals = factory.informer("configmaps", namespace="default")
    copies = factory.informer("configmaps", namespace="copies")

    async def reconcile(key: ObjectKey) -> None:
        original, copy = originals.lister.get(key), copies.lister.get(key.name, namespace="copies")
        wanted = original is not None and original.labels.get("copy") == "yes"
        if wanted and copy is None:
            await client.create(CONFIGMAPS, {"metadata": {"name": key.name}}, namespace="copies")
        elif copy is not None and not wanted:
            await client.delete(CONFIGMAPS, key.name, namespace="copies")

    queue: RateLimitingQueue[ObjectKey] = RateLimitingQueue(ItemExponential(base=0.005, cap=0.1))
    return (
        Controller("copier", reconcile, workers=20, timeout=1, queue=queue)
        .watches(originals, filter=labels_changed & matches("copy"))
        .watches(copies, map=lambda copy: ObjectKey("default", copy.name))
    )


def names(server: ApiServer, namespace: str, label: str | None = None) -> set[str]:
    return {
        found["metadata"]["name"]
        for found in server.list("v1", "ConfigMap", namespace=namespace)
        if label is None or found["metadata"].get("labels", {}).get("copy") == label
    }


@pytest.mark.parametrize("seed", range(2))
async def test_under_faults_every_key_comes_to_what_it_should_be_and_then_it_rests(
    seed: int,
    kube_api: ApiServer,
    kube_client: Client,
    kube_faults: Faults,
    informer_factory: SharedInformerFactory,
    settled: Settled,
) -> None:
    random_ = random.Random(seed)
    kube_api.create(build.namespace("copies"))
    for number in range(OBJECTS // 2):
        kube_api.create(build.config_map(f"c-{number}", labels={"copy": "yes"}))
    async with informer_factory, copier(kube_client, informer_factory) as controller:
        for number in range(OBJECTS):
            name = f"c-{number}"
            match random_.randrange(4):
                case 0 if name in names(kube_api, "default"):
                    kube_api.delete("v1", "ConfigMap", name)
                case 1 if name in names(kube_api, "default"):
                    kube_api.patch("v1", "ConfigMap", name, {"metadata": {"labels": {"copy": "no"}}})
                case 2 if name in names(kube_api, "copies"):
                    kube_api.delete("v1", "ConfigMap", name, namespace="copies")
                case _ if name not in names(kube_api, "default"):
                    kube_api.create(build.config_map(name, labels={"copy": "yes"}))
            if number % 10 == 0:
                match random_.randrange(6):
                    case 0:
                        kube_faults.drop_watches()
                    case 1:
                        kube_faults.cut_mid_line()
                    case 2:
                        kube_faults.expire()
                    case 3:
                        kube_faults.fail_next(5, status=503, verb=random_.choice(["create", "delete"]))
                    case 4:
                        kube_faults.fail_next(3, status=500)
                    case 5:
                        kube_faults.hang(2, verb="create")
            await asyncio.sleep(0.002)
        kube_faults.clear()
        await settled(timeout=30)
        assert names(kube_api, "copies") == names(kube_api, "default", "yes")
        assert controller.status.failing == {}
        version = kube_api.resource_version
        await settled()
        assert kube_api.resource_version == version


async def test_ten_thousand_keys_are_reconciled_once_each_by_twenty_workers(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    for number in range(10_000):
        kube_api.create(build.config_map(f"c-{number}"))
    seen: Counter[str] = Counter()

    async def reconcile(key: ObjectKey) -> None:
        seen[key.name] += 1

    controller = Controller("all", reconcile, workers=20).watches(informer_factory.core.v1.configmaps)
    async with informer_factory, controller:
        await settled(timeout=60)
        assert len(seen) == 10_000
        assert set(seen.values()) == {1}
