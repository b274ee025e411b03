"""The clients in Python, each used as its documentation has it, in a process of its own.

    python -m benchmarks.peers.clients NAME URL OBJECTS EVENTS READS

prints the measurements as one line of JSON. READS is "reads" where handler and index look into each object. A client
without a cache gets the usual one: a dict by namespace and name, and one of names by node.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from benchmarks.peers.measurement import Measurement, authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.cache.storage import Storage

__all__ = ["CLIENTS", "PAGED"]

PAGED = "KINFORMER_BENCH_PAGED"
"""Environment variable: "1" where kinformer lists by pages."""


class Cache:
    """The cache by hand, and the index by node where it is asked for."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self.nodes: dict[str, set[tuple[str, str]]] = defaultdict(set)

    def put(self, key: tuple[str, str], obj: Any, node: str | None = None) -> None:
        """Add or replace; pods do not change their node."""
        self.objects[key] = obj
        if node is not None:
            self.nodes[node].add(key)


async def kinformer(measured: Measurement, storage: Storage = "plain") -> None:
    """Informer with the index on the namespace that each has, one handler."""
    from kinformer import Client, ClusterConfig, KubeObject, SharedInformerFactory

    done = asyncio.Event()
    listed = asyncio.Event()

    def added(pod: KubeObject) -> None:
        assert pod["status"]["phase"] if measured.reads else pod.name
        if measured.is_last_added():
            listed.set()

    def updated(old: KubeObject, new: KubeObject) -> None:
        del old
        if measured.event(new["status"]["phase"] if measured.reads else new.name):
            done.set()

    measured.start()
    async with Client(ClusterConfig.for_server(measured.url, ca_file=authority())) as client:
        factory = SharedInformerFactory(client, storage=storage, streaming_lists=not os.environ.get(PAGED))
        pods = factory.core.v1.pods
        if measured.reads:
            pods.add_indexers({"node": lambda pod: [pod["spec"].get("nodeName", "")]})
        pods.add_event_handler(on_add=added, on_update=updated)
        async with factory:
            await listed.wait()
            if storage == "compact":
                await asyncio.sleep(1.5)  # its background work counts
            if not measured.listed():
                await done.wait()


async def kinformer_compact(measured: Measurement) -> None:
    """The same with its objects compressed."""
    await kinformer(measured, "compact")


async def kubernetes_asyncio(measured: Measurement) -> None:
    """List by pages, then Watch."""
    from kubernetes_asyncio import client, watch

    cache = Cache()

    def put(pod: Any) -> str:
        key = (pod.metadata.namespace, pod.metadata.name)
        cache.put(key, pod, pod.spec.node_name if measured.reads else None)
        return str(pod.status.phase if measured.reads else pod.metadata.name)

    measured.start()
    async with client.ApiClient(client.Configuration(host=measured.url)) as api:
        core = client.CoreV1Api(api)
        more: str | None = None
        while True:
            page: Any = await core.list_pod_for_all_namespaces(limit=500, **({"_continue": more} if more else {}))
            for pod in page.items:
                put(pod)
            more = page.metadata._continue
            if not more:
                break
        version = page.metadata.resource_version
        del page
        assert len(cache.objects) == measured.objects
        if measured.listed():
            return
        stream: Any = watch.Watch().stream(core.list_pod_for_all_namespaces, resource_version=version)
        async with stream:
            async for event in stream:
                if measured.event(put(event["object"])):
                    return


def kubernetes_watch(measured: Measurement) -> None:
    """List by pages, then Watch."""
    from kubernetes import client, watch

    cache = Cache()

    def put(pod: Any) -> str:
        key = (pod.metadata.namespace, pod.metadata.name)
        cache.put(key, pod, pod.spec.node_name if measured.reads else None)
        return str(pod.status.phase if measured.reads else pod.metadata.name)

    measured.start()
    core = client.CoreV1Api(client.ApiClient(client.Configuration(host=measured.url)))
    more: str | None = None
    while True:
        page: Any = core.list_pod_for_all_namespaces(limit=500, **({"_continue": more} if more else {}))
        for pod in page.items:
            put(pod)
        more = page.metadata._continue
        if not more:
            break
    version = page.metadata.resource_version
    del page
    assert len(cache.objects) == measured.objects
    if measured.listed():
        return
    for event in watch.Watch().stream(core.list_pod_for_all_namespaces, resource_version=version):
        if measured.event(put(event["object"])):
            return


def kubernetes_informer(measured: Measurement) -> None:
    """SharedInformer, two handlers; its cache has no index, so one is kept by the handlers."""
    from kubernetes import client
    from kubernetes.informer import ADDED, MODIFIED, SharedInformer

    core = client.CoreV1Api(client.ApiClient(client.Configuration(host=measured.url)))
    listed, done = threading.Event(), threading.Event()
    nodes: dict[str, set[str]] = defaultdict(set)

    def read(pod: Any) -> str:
        if not measured.reads:
            return str(pod.metadata.name)
        nodes[pod.spec.node_name].add(f"{pod.metadata.namespace}/{pod.metadata.name}")
        return str(pod.status.phase)

    def added(pod: Any) -> None:
        assert read(pod)
        if measured.is_last_added():
            listed.set()

    def updated(pod: Any) -> None:
        if measured.event(read(pod)):
            done.set()

    informer = SharedInformer(list_func=core.list_pod_for_all_namespaces)
    informer.add_event_handler(ADDED, added)
    informer.add_event_handler(MODIFIED, updated)
    measured.start()
    informer.start()
    listed.wait()
    if not measured.listed():
        done.wait()


async def lightkube(measured: Measurement) -> None:
    """`list`, then `watch` from its version."""
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.resources.core_v1 import Pod

    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": measured.url}}],
            "users": [{"name": "u", "user": {"token": "anybody"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )
    cache = Cache()

    def put(pod: Any) -> str:
        key = (pod.metadata.namespace, pod.metadata.name)
        cache.put(key, pod, pod.spec.nodeName if measured.reads else None)
        return str(pod.status.phase if measured.reads else pod.metadata.name)

    client = AsyncClient(config=config, trust_env=False)
    measured.start()
    listing = client.list(Pod, namespace="*", chunk_size=500)
    async for pod in listing:
        put(pod)
    assert len(cache.objects) == measured.objects
    if measured.listed():
        return
    async for _, pod in client.watch(Pod, namespace="*", resource_version=listing.resourceVersion):
        if measured.event(put(pod)):
            return


async def kr8s(measured: Measurement) -> None:
    """`watch`, which begins with all there is."""
    import kr8s as library

    cache = Cache()

    def put(pod: Any) -> str:
        cache.put((pod.namespace, pod.name), pod, pod.spec.nodeName if measured.reads else None)
        return str(pod.status.phase if measured.reads else pod.name)

    measured.start()
    api: Any = await library.asyncio.api(url=measured.url)
    async for kind, pod in api.watch("pods", namespace=library.ALL):
        read = put(pod)
        if kind == "ADDED":
            if len(cache.objects) == measured.objects and measured.listed():
                return
        elif measured.event(read):
            return


async def kopf(measured: Measurement) -> None:
    """An operator with `on.event`, and an index by node where it is asked for; it keeps no objects."""
    import kopf as library

    registry = library.OperatorRegistry()
    settings = library.OperatorSettings()
    settings.posting.enabled = False
    settings.networking.error_backoffs = []
    stop = asyncio.Event()
    seen: set[str] = set()

    @library.on.login(registry=registry)
    def login(**_: Any) -> Any:
        return library.ConnectionInfo(server=measured.url)

    def heard(read: str, uid: str) -> None:
        if len(seen) < measured.objects:
            seen.add(uid)
            if len(seen) == measured.objects and measured.listed():
                stop.set()
        elif measured.event(read):
            stop.set()

    if measured.reads:

        @library.index("pods", registry=registry)
        def node(spec: Any, name: str, **_: Any) -> Any:
            return {spec.get("nodeName"): name}

        @library.on.event("pods", registry=registry)
        def phase(uid: str, status: Any, **_: Any) -> None:
            heard(status.get("phase"), uid)
    else:

        @library.on.event("pods", registry=registry)
        def names(uid: str, name: str, **_: Any) -> None:
            heard(name, uid)

    measured.start()
    await library.operator(
        registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=stop, memo=library.Memo()
    )


async def cloudcoil(measured: Measurement) -> None:
    """An AsyncInformer through Config and Cache; handlers get nothing of the first list."""
    from cloudcoil.client import Config  # before caching: the library's modules import each other
    from cloudcoil.caching import Cache as CloudcoilCache  # isort: skip
    from cloudcoil.models.kubernetes.core.v1 import Pod

    done = asyncio.Event()
    config = Config(server=measured.url, token="anybody", cache=CloudcoilCache(resources=[Pod], wait_for_sync=True))
    measured.start()
    async with config:
        informer: Any = config.cache.get_informer(Pod)
        if measured.reads:
            informer.add_index("node", lambda pod: pod.spec.node_name)

        def updated(old: Any, new: Any) -> None:
            del old
            if measured.event(new.status.phase if measured.reads else new.metadata.name):
                done.set()

        informer.on_update(updated)
        held = len(informer.list())
        if held != measured.objects:
            raise RuntimeError(f"its cache holds {held} of {measured.objects} objects")
        if not measured.listed():
            await done.wait()


CLIENTS: dict[str, Callable[[Measurement], Any]] = {
    "kinformer": kinformer,
    "kinformer-compact": kinformer_compact,
    "kinformer-uvloop": kinformer,
    "kubernetes_asyncio": kubernetes_asyncio,
    "kubernetes-watch": kubernetes_watch,
    "kubernetes-informer": kubernetes_informer,
    "lightkube": lightkube,
    "kr8s": kr8s,
    "kopf": kopf,
    "cloudcoil": cloudcoil,
}


def main() -> None:
    """Run one client."""
    name, url, objects, events, reads = sys.argv[1:]
    logging.disable(logging.WARNING)
    measured = Measurement(url, int(objects), int(events), reads == "reads")
    run = CLIENTS[name]
    if not inspect.iscoroutinefunction(run):
        run(measured)
    elif name.endswith("uvloop"):
        import uvloop

        uvloop.run(run(measured))
    else:
        asyncio.run(run(measured))
    print(json.dumps(measured.found), flush=True)
    # Some clients leave threads behind that cannot be ended.
    os._exit(0)


if __name__ == "__main__":
    main()
