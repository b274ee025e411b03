"""Clusters of workers, each with a scheduler pod: dask-gateway does this with its own informers and queue.

    kubectl apply -f examples/gateway_crd.yaml
    python examples/gateway.py --namespace dask

A controller without `Controller`: handlers put keys into a `RateLimitingQueue`, and workers take them. That is more
code, and shows each part: the changes of a pod that concern a cluster, the retries and their times, and the steps of
the end. For most controllers, `Controller` (examples/shop_operator.py) does the same in three lines.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from kinformer import (
    Added,
    AlreadyExistsError,
    Client,
    ClusterConfig,
    Deleted,
    KinformerError,
    NotFoundError,
    ObjectKey,
    RateLimitingQueue,
    Resource,
    SharedInformerFactory,
    StoppedError,
    Updated,
    owned_by,
)
from kinformer.operators.owners import controller_of
from kinformer.resources import PODS

if TYPE_CHECKING:
    from kinformer import KubeObject
    from kinformer.events import Event

CLUSTERS = Resource("gateway.dask.org", "v1alpha1", "daskclusters", "DaskCluster")
LABELS = {"app.kubernetes.io/name": "dask-gateway"}

log = logging.getLogger("gateway")


class Gateway:
    """Keeps a scheduler pod for each running cluster, and says in its status how that is.

    Args:
        client: writes. `kinformer.Client`.
        namespace: where the clusters and pods are.
        workers: how many clusters are worked on at once.
    """

    def __init__(self, client: Client, namespace: str, workers: int = 4) -> None:
        self.client = client
        self.workers = workers
        self.factory = SharedInformerFactory(client, namespace=namespace)
        self.clusters = self.factory.informer(CLUSTERS)
        self.pods = self.factory.informer(PODS, label_selector=LABELS)
        self.queue: RateLimitingQueue[ObjectKey] = RateLimitingQueue()
        self.clusters.add_event_handler(self.on_cluster)
        self.pods.add_event_handler(self.on_pod)

    def on_cluster(self, event: Event) -> None:
        """A cluster has changed: work on it, unless it was only its status that did."""
        match event:
            case Updated(old, new) if old.at("metadata.generation") == new.at("metadata.generation"):
                pass
            case _:
                self.queue.add(event.key)

    def on_pod(self, event: Event) -> None:
        """A pod has changed: does that matter to its cluster?"""
        owner = controller_of(event.obj)
        if owner is None or not owner.is_of(CLUSTERS):
            return
        match event:
            case Added() | Deleted():
                matters = True
            case Updated(old, new):
                matters = old.at("status.phase") != new.at("status.phase")
            case _:
                matters = False
        if matters:
            self.queue.add(ObjectKey(event.obj.namespace, owner.name))

    async def run(self) -> None:
        """Work until cancelled; then complete the running reconciles, and leave the rest to the next start."""
        async with self.factory:
            await self.factory.wait_for_cache_sync(timeout=60)
            async with asyncio.TaskGroup() as group:
                for number in range(self.workers):
                    group.create_task(self.work(), name=f"gateway worker {number}")
                try:
                    await asyncio.Event().wait()
                finally:
                    await self.queue.shut_down()

    async def work(self) -> None:
        """Take keys until the queue is shut down."""
        while True:
            try:
                key = await self.queue.get()
            except StoppedError:
                return
            try:
                # What an earlier turn wrote is in the caches before this one reads them.
                for informer in (self.clusters, self.pods):
                    await informer.caught_up(
                        key if informer is self.clusters else ObjectKey(key.namespace, pod_name(key))
                    )
                await self.reconcile(key)
            except KinformerError as error:
                log.warning("%s is tried again: %s", key, error)
                self.queue.add_rate_limited(key)
            else:
                self.queue.forget(key)
            finally:
                self.queue.done(key)

    async def reconcile(self, key: ObjectKey) -> None:
        """Make one cluster match its specification."""
        cluster = self.clusters.lister.get(key)
        if cluster is None or cluster.at("metadata.deletionTimestamp"):
            # Its pod goes with it: Kubernetes deletes what an owner leaves behind.
            return
        pod = self.pods.lister.get(pod_name(key), namespace=key.namespace)
        if not cluster.at("spec.active", True):
            await self.stop(cluster, pod)
        elif cluster.at("status.phase") in {"Stopped", "Failed"}:
            # It was, and ended: that is for good.
            await self.delete(pod)
        elif pod is None:
            await self.start(cluster)
        elif pod.at("status.phase") in {"Succeeded", "Failed"}:
            await self.set_phase(cluster, "Failed" if pod.at("status.phase") == "Failed" else "Stopped")
            await self.delete(pod)
        else:
            await self.set_phase(cluster, "Running" if pod.at("status.phase") == "Running" else "Pending")

    async def start(self, cluster: KubeObject) -> None:
        """Make the scheduler pod."""
        container = {"name": "scheduler", "image": cluster.at("spec.image", "ghcr.io/dask/dask:latest")}
        manifest = {
            "metadata": {"name": pod_name(cluster.key), "namespace": cluster.namespace, "labels": LABELS},
            "spec": {"containers": [container | {"args": ["dask", "scheduler"]}], "restartPolicy": "Never"},
        }
        with contextlib.suppress(AlreadyExistsError):
            await self.client.create(PODS, owned_by(manifest, cluster))
        await self.set_phase(cluster, "Pending")

    async def stop(self, cluster: KubeObject, pod: KubeObject | None) -> None:
        """A cluster that is not to be active any more."""
        await self.delete(pod)
        await self.set_phase(cluster, "Stopped")

    async def delete(self, pod: KubeObject | None) -> None:
        """Delete this very pod, if it is there."""
        if pod is not None and not pod.at("metadata.deletionTimestamp"):
            with contextlib.suppress(NotFoundError):
                await self.client.delete(PODS, pod, uid=pod.uid)

    async def set_phase(self, cluster: KubeObject, phase: str) -> None:
        """Say how the cluster is."""
        if cluster.at("status.phase") != phase:
            with contextlib.suppress(NotFoundError):
                await self.client.patch_status(CLUSTERS, cluster, {"status": {"phase": phase}})


def pod_name(cluster: ObjectKey) -> str:
    """The name of a cluster's scheduler pod; it follows from the cluster, so that there can be only one."""
    return f"dask-scheduler-{cluster.name}"


async def main(arguments: argparse.Namespace) -> None:
    """Run until stopped."""
    config = await ClusterConfig.load(kubeconfig=arguments.kubeconfig, context=arguments.context)
    async with Client(config) as client:
        await Gateway(client, arguments.namespace, arguments.workers).run()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", help="instead of KUBECONFIG, ~/.kube/config or the pod's service account")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--namespace", default="default", help="where clusters and pods are")
    parser.add_argument("--workers", type=int, default=4, help="clusters worked on at once")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments()))
