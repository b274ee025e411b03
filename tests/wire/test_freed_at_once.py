"""Ended parts and watches are freed at once: cyclic garbage waits for a collection, which holds the loop."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from kinformer import Client, ClusterConfig, Namespaces, SharedInformerFactory
from kinformer.client._watch_stream import WatchStream
from kinformer.reflector._reflector import Reflector
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS_OF_A_WATCH = (Reflector, WatchStream)


OF_OTHER_TESTS: list[object] = []
"""Parts that tests before have left, as long as a test of this file runs."""


@pytest.fixture
def without_the_collector() -> Iterator[None]:
    gc.collect()
    OF_OTHER_TESTS[:] = parts()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        OF_OTHER_TESTS.clear()


def parts() -> list[object]:
    return [obj for obj in gc.get_objects() if type(obj) in PARTS_OF_A_WATCH]


def alive() -> dict[str, int]:
    known = {id(obj) for obj in OF_OTHER_TESTS}
    counts = Counter(type(obj).__name__ for obj in parts() if id(obj) not in known)
    return {part.__name__: counts[part.__name__] for part in PARTS_OF_A_WATCH}


async def are_alive(reflectors: int, streams: int) -> None:
    """Wait until only so many are left."""
    wanted = {"Reflector": reflectors, "WatchStream": streams}
    for _ in range(200):
        if alive() == wanted:
            return
        await asyncio.sleep(0.01)
    assert alive() == wanted


@pytest.mark.usefixtures("without_the_collector")
async def test_the_parts_that_leave_a_scope_are_freed_without_a_collection() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        for name in ("a", "b", "c"):
            server.create(build.namespace(name))
            server.create(build.config_map("x", namespace=name))
        async with SharedInformerFactory(client) as factory:
            informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
            await informer.synced(timeout=10)
            await are_alive(2, 2)
            await informer.set_scope(Namespaces("c"), timeout=10)
            await are_alive(1, 1)


@pytest.mark.usefixtures("without_the_collector")
async def test_a_watch_that_failed_is_freed_without_a_collection() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(build.config_map("x"))
        async with SharedInformerFactory(client) as factory:
            informer = factory.informer(CONFIGMAPS)
            await informer.synced(timeout=10)
            await are_alive(1, 1)
            watches = informer.status.watches
            server.faults.drop_watches()
            while informer.status.watches == watches:
                await asyncio.sleep(0.01)
            await are_alive(1, 1)


@pytest.mark.usefixtures("without_the_collector")
async def test_the_connection_of_a_watch_that_ended_is_freed_without_a_collection() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        port = urlsplit(server.url).port

        def connections() -> int:
            """Connections to the server, open or closed."""
            found = [obj for obj in gc.get_objects() if type(obj).__name__ == "_SelectorSocketTransport"]
            return sum(one.get_extra_info("peername")[1] == port for one in found)

        for name in ("a", "b"):
            server.create(build.namespace(name))
        async with SharedInformerFactory(client) as factory:
            informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
            await informer.synced(timeout=10)
            before = connections()
            await informer.set_scope(Namespaces("a"), timeout=10)
            for _ in range(200):
                if connections() < before:
                    break
                await asyncio.sleep(0.01)
            assert connections() == before - 1
