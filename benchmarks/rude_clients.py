"""The clients that `rude_server` puts to the test, each as its documentation has it.

Each follows the ConfigMaps of one namespace and prints a line of JSON for whatever it learns:

    {"state": {name: version}}      its view of the namespace, after a change
    {"odd": "..."}                  something handed out as an event that is none
    {"trouble": "..."}              an error that its user gets to see

Where a client hands out a stream that ends by an exception, its user is taken to begin again after a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "default"
WATCH_SECONDS = 5
_lock = threading.Lock()


def say(**line: Any) -> None:
    with _lock:
        print(json.dumps(line), flush=True)


class Troubles(logging.Handler):
    """A log record of level warning or above counts as a report to the user."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say(trouble=f"{record.name}: {record.getMessage()}"[:200])


class State:
    """The state that a user of the events believes in."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}

    def listed(self, versions: dict[str, str]) -> None:
        """Take a whole list."""
        self._versions = versions
        say(state=self._versions)

    def event(self, kind: Any, obj: Any) -> None:
        """Take an event, if it is one."""
        metadata = obj.get("metadata") if isinstance(obj, dict) else getattr(obj, "metadata", None)
        if not isinstance(metadata, dict) and metadata is not None:
            version = getattr(metadata, "resource_version", None) or getattr(metadata, "resourceVersion", None)
            metadata = {"name": metadata.name, "resourceVersion": version}
        if kind == "BOOKMARK":
            return
        if kind not in {"ADDED", "MODIFIED", "DELETED"} or not metadata or not metadata.get("name"):
            say(odd=f"{kind} {str(obj)[:80]}")
            return
        if kind == "DELETED":
            self._versions.pop(metadata["name"], None)
        else:
            self._versions[metadata["name"]] = metadata["resourceVersion"]
        say(state=self._versions)


async def kinformer(url: str) -> None:
    from kinformer import Client, ClusterConfig, SharedInformerFactory

    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(
            client, watch_seconds=WATCH_SECONDS, on_error=lambda error, _: say(trouble=str(error)[:200])
        )
        informer = factory.informer("configmaps", namespace=NAMESPACE)

        def changed(event: Any) -> None:
            del event
            say(state={obj.name: obj.resource_version for obj in informer.lister})

        informer.add_event_handler(changed)
        async with factory:
            await asyncio.get_running_loop().create_future()


async def kubernetes_asyncio(url: str) -> None:
    from kubernetes_asyncio import client, watch

    configuration = client.Configuration(host=url)
    state = State()
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        while True:
            try:
                listed = await core.list_namespaced_config_map(NAMESPACE)
                state.listed({item.metadata.name: item.metadata.resource_version for item in listed.items})
                async with watch.Watch().stream(
                    core.list_namespaced_config_map, NAMESPACE, resource_version=listed.metadata.resource_version
                ) as stream:
                    async for event in stream:
                        if isinstance(event, dict):
                            state.event(event.get("type"), event.get("raw_object", event.get("object")))
                        else:
                            say(odd=str(event)[:80])
            except Exception as error:
                say(trouble=repr(error)[:200])
                await asyncio.sleep(1)


async def lightkube(url: str) -> None:
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.resources.core_v1 import ConfigMap

    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "anybody"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )
    client = AsyncClient(config=config, namespace=NAMESPACE, trust_env=False)
    state = State()
    while True:
        try:
            listing = client.list(ConfigMap)
            state.listed({item.metadata.name: item.metadata.resourceVersion async for item in listing})
            version = await _version(listing)
            async for kind, obj in client.watch(ConfigMap, resource_version=version):
                state.event(kind, obj)
            say(trouble="the watch ended")
        except Exception as error:
            say(trouble=repr(error)[:200])
        await asyncio.sleep(1)


async def _version(listing: Any) -> str | None:
    version = getattr(listing, "resourceVersion", None)
    return await version if asyncio.iscoroutine(version) else version


async def kr8s(url: str) -> None:
    import kr8s as library

    api = await library.asyncio.api(url=url)
    state = State()
    while True:
        try:
            async for kind, obj in api.watch("configmaps", namespace=NAMESPACE):
                state.event(kind, obj.raw)
            say(trouble="the watch ended")
        except Exception as error:
            say(trouble=repr(error)[:200])
        await asyncio.sleep(1)


def kubernetes_watch(url: str) -> None:
    from kubernetes import client, watch

    core = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    state = State()
    while True:
        try:
            listed = core.list_namespaced_config_map(NAMESPACE)
            state.listed({item.metadata.name: item.metadata.resource_version for item in listed.items})
            for event in watch.Watch().stream(
                core.list_namespaced_config_map, NAMESPACE, resource_version=listed.metadata.resource_version
            ):
                if isinstance(event, dict):
                    state.event(event.get("type"), event.get("raw_object", event.get("object")))
                else:
                    say(odd=str(event)[:80])
            say(trouble="the watch ended")
        except Exception as error:
            say(trouble=repr(error)[:200])
        time.sleep(1)  # noqa: TID251 - a synchronous client in a process of its own


def kubernetes_informer(url: str) -> None:
    from kubernetes import client
    from kubernetes.informer import SharedInformer

    core = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    informer = SharedInformer(list_func=core.list_namespaced_config_map, namespace=NAMESPACE)

    def changed(obj: Any) -> None:
        del obj
        say(state={item.metadata.name: item.metadata.resource_version for item in informer.cache.list()})

    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, changed)
    informer.add_event_handler("ERROR", lambda error: say(trouble=repr(error)[:200]))
    informer.start()
    threading.Event().wait()


CLIENTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "kinformer": ("kinformer", kinformer),
    "kubernetes_asyncio": ("kubernetes_asyncio list + Watch", kubernetes_asyncio),
    "kubernetes_informer": ("kubernetes SharedInformer", kubernetes_informer),
    "kubernetes_watch": ("kubernetes list + Watch", kubernetes_watch),
    "lightkube": ("lightkube list + watch", lightkube),
    "kr8s": ("kr8s watch", kr8s),
}
"""By the name on the command line: what to call it in a table, and what runs it."""


def main() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[Troubles()])
    name, url = sys.argv[1:]
    _, run = CLIENTS[name]
    if name == "kinformer":
        # It reports by on_error already.
        logging.disable(logging.CRITICAL)
    if asyncio.iscoroutinefunction(run):
        asyncio.run(run(url))
    else:
        run(url)


if __name__ == "__main__":
    main()
