"""Keeps a checksum of its data on every ConfigMap, by as many replicas as you start.

    python examples/sharded_checksums.py --replicas-in default &
    python examples/sharded_checksums.py --replicas-in default &
    kinformer shards checksums -n default

Each replica works on its share of the ConfigMaps (`ShardGroup`). Start one more, and it takes a share of the others;
stop one with Ctrl-C, and it hands its share over first. `Manager` starts and stops the parts in order.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging

from kinformer import (
    Client,
    ClusterConfig,
    ConflictError,
    Controller,
    NotFoundError,
    NotOursError,
    ObjectKey,
    Requeue,
    ShardGroup,
    SharedInformerFactory,
)
from kinformer.manager import Manager
from kinformer.resources import CONFIGMAPS

CHECKSUM = "example.com/checksum"

log = logging.getLogger("checksums")


def parts(client: Client, namespace: str) -> tuple[ShardGroup, SharedInformerFactory, Controller[ObjectKey]]:
    """Return the parts of one replica, in the order in which they start."""
    group = ShardGroup(client, "checksums", namespace=namespace, by="uid")
    factory = SharedInformerFactory(client)
    maps = factory.informer(CONFIGMAPS, shard=group)

    async def reconcile(key: ObjectKey) -> Requeue | None:
        found = maps.lister.get(key)
        if found is None:
            return None
        data = json.dumps(found.to_dict().get("data", {}), sort_keys=True)
        checksum = hashlib.sha256(data.encode()).hexdigest()[:16]
        if found.annotations.get(CHECKSUM) == checksum:
            return None
        # The version makes a write of a former owner a conflict; the check makes it rare.
        head = {"annotations": {CHECKSUM: checksum}, "resourceVersion": found.resource_version}
        try:
            group.check(found)
            await client.patch(CONFIGMAPS, found, {"metadata": head})
        except (NotOursError, NotFoundError):
            return None
        except ConflictError:
            return Requeue(after=0.1)
        log.info("%s: %s", key, checksum)
        return None

    return group, factory, Controller("checksums", reconcile, shards=group).watches(maps)


async def run(namespace: str, kubeconfig: str | None) -> None:
    """Work on a share of the ConfigMaps until SIGTERM or SIGINT comes."""
    async with Client(await ClusterConfig.load(kubeconfig)) as client:
        await Manager(port=0).add(*parts(client, namespace)).run()


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas-in", default="default", metavar="NAMESPACE", help="namespace of the Leases")
    parser.add_argument("--kubeconfig", help="by default as kubectl finds it, or the Pod's service account")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(run(arguments.replicas_in, arguments.kubeconfig))


if __name__ == "__main__":
    main()
