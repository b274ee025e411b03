"""The same on uvloop, whose transports are of classes of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kinformer import Added, Client, ClusterConfig, Deleted, SharedInformerFactory, Updated
from kinformer.proxy import CacheProxy, UnixAddress
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer.events import Event

uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this system")

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}


def test_an_informer_on_uvloop_lists_and_watches_and_comes_back() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        gone = asyncio.Event()

        def handler(event: Event) -> None:
            told.append(type(event).__name__)
            if isinstance(event, Deleted):
                gone.set()

        async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
            server.create(CONFIG_MAP)
            factory = SharedInformerFactory(client)
            config_maps = factory.core.v1.configmaps
            config_maps.add_event_handler(handler)
            async with factory:
                await factory.wait_for_cache_sync(timeout=60)
                server.patch("v1", "ConfigMap", "a", {"data": {"x": "1"}}, namespace="default")
                await config_maps.wait_for("a", lambda obj: obj is not None and "data" in obj, 10, namespace="default")
                server.faults.drop_watches()
                server.delete("v1", "ConfigMap", "a", "default")
                async with asyncio.timeout(60):
                    await gone.wait()
        return told

    assert uvloop.run(main()) == [Added.__name__, Updated.__name__, Deleted.__name__]


def test_a_proxy_on_uvloop_serves_lists_and_watches(tmp_path: Path) -> None:
    async def main() -> int:
        async with (
            ApiServer() as server,
            Client(ClusterConfig.for_server(server.url)) as upstream,
            CacheProxy(upstream, [CONFIGMAPS], listen=UnixAddress(tmp_path / "s")),
            Client(ClusterConfig.for_socket(tmp_path / "s")) as client,
        ):
            factory = SharedInformerFactory(client)
            config_maps = factory.informer(CONFIGMAPS)
            async with factory:
                await factory.wait_for_cache_sync(timeout=60)
                server.create(CONFIG_MAP)
                await config_maps.wait_for("a", lambda obj: obj is not None, 60, namespace="default")
                return config_maps.status.failures

    assert uvloop.run(main()) == 0
