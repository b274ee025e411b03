"""A label on each namespace of many clusters: the name of the cluster that the namespace is in.

    python examples/fleet_labels.py --directory /etc/clusters      # one kubeconfig per cluster
    python examples/fleet_labels.py                                # the contexts of the kubeconfig

A file that is put into the directory is a cluster that joins, and one that is removed is a cluster that leaves. The
same function, `labels_of`, would work on one cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import logging

from kinformer import Cluster, Controller, Fleet, Manager, ObjectKey
from kinformer.fleet import KubeconfigContexts, KubeconfigDirectory
from kinformer.resources import NAMESPACES

LABEL = "example.com/cluster"


def labels_of(cluster: Cluster) -> Controller[ObjectKey]:
    """Keep the label on the namespaces of one cluster."""
    namespaces = cluster.informer(NAMESPACES, metadata_only=True)

    async def reconcile(key: ObjectKey) -> None:
        found = namespaces.lister.get(key)
        if found is None or found.deletion_timestamp or found.labels.get(LABEL) == cluster.name:
            return
        change = {"metadata": {"labels": {LABEL: cluster.name}, "uid": found.uid}}
        await cluster.client.patch(NAMESPACES, key.name, change)

    return Controller("fleet-labels", reconcile, timeout=60).watches(namespaces)


async def main(arguments: argparse.Namespace) -> None:
    """Run until stopped."""
    provider = KubeconfigDirectory(arguments.directory, poll=arguments.poll) if arguments.directory else (
        KubeconfigContexts(poll=arguments.poll)
    )  # fmt: skip
    fleet = Fleet(provider).add(labels_of)
    await Manager(port=arguments.port).add(fleet).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", help="a directory with one kubeconfig per cluster")
    parser.add_argument("--poll", type=float, default=5.0, help="seconds between two looks at the files")
    parser.add_argument("--port", type=int, default=8080, help="of the probes")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    asyncio.run(main(parser.parse_args()))
