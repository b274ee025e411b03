"""Informers that exist for as long as they are used, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, Labels, Namespaces, SharedInformerFactory
from kinformer.errors import CacheSyncError, NotStartedError
from kinformer.integrations._web.event_source import _journal_of
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COMES_AND_GOES = """
import asyncio, gc, json, os, sys
from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.resources import CONFIGMAPS

async def main():
    resident = []
    async with Client(ClusterConfig.for_server(sys.argv[1])) as client, SharedInformerFactory(client) as factory:
        for number in range(1, 501):
            async with factory.use(CONFIGMAPS, namespace="ab"[number % 2], timeout=60, grace=0) as informer:
                assert informer.lister.list()
            if number in (200, 500):
                gc.collect()
                with open("/proc/self/statm") as pages:
                    resident.append(int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    print(json.dumps(resident))

asyncio.run(main())
"""
"""A process of its own, because the memory of other tests comes and goes. It takes 1.3 s of CPU time."""


def config_map(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        for space in ("a", "b"):
            server.create(build.namespace(space))
            server.create(config_map("x", space))
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


async def test_users_of_one_scope_share_an_informer_that_ends_with_the_last_of_them(
    server: ApiServer, factory: SharedInformerFactory
) -> None:
    async with factory.use(CONFIGMAPS, scope=Namespaces("a"), grace=0) as one:
        async with factory.use(CONFIGMAPS, scope=Namespaces("a"), grace=0) as two:
            assert one is two
            assert [obj.name for obj in one.lister.list()] == ["x"]
        await asyncio.sleep(0.05)
        assert not one.stopped
        assert one in factory.informers.values()
    await until(lambda: one.stopped)
    assert factory.informers == {}
    await until(lambda: not server.open_watches)


async def test_a_user_within_the_grace_finds_the_informer_in_sync(
    server: ApiServer, factory: SharedInformerFactory
) -> None:
    async with factory.use(CONFIGMAPS, namespace="a", grace=60) as one:
        pass
    async with factory.use(CONFIGMAPS, namespace="a", grace=0) as two:
        assert one is two
        assert sum(two.status.lists.values()) == 1
    await asyncio.sleep(0)
    assert not one.stopped, "the grace of the first use is not over"


async def test_an_informer_that_somebody_else_has_lives_on(factory: SharedInformerFactory) -> None:
    before = factory.informer(CONFIGMAPS, namespace="a")
    async with factory.use(CONFIGMAPS, namespace="a", grace=0) as used:
        assert used is before
    async with factory.use(CONFIGMAPS, namespace="b", grace=0) as later:
        assert factory.informer(CONFIGMAPS, namespace="b") is later
    await asyncio.sleep(0.05)
    assert not before.stopped
    assert not later.stopped


async def test_the_cache_of_an_informer_that_has_ended_is_freed(factory: SharedInformerFactory) -> None:
    async with factory.use(CONFIGMAPS, scope=Labels("app!=y"), grace=0) as used:
        gone = weakref.ref(used)
    del used
    await until(lambda: gc.collect() >= 0 and gone() is None)


async def test_an_informer_whose_events_were_journalled_for_browsers_is_freed(factory: SharedInformerFactory) -> None:
    async with factory.use(CONFIGMAPS, namespace="a", grace=0) as used:
        assert _journal_of(used) is _journal_of(used)
        gone = weakref.ref(used)
    del used
    await until(lambda: gc.collect() >= 0 and gone() is None)


async def test_namespaces_are_followed_for_as_long_as_a_scope_needs_them(
    server: ApiServer, factory: SharedInformerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinformer.informer.factory.GRACE", 0.0)
    async with factory.use(CONFIGMAPS, scope=Namespaces(glob="[ab]"), grace=0) as used:
        assert len(used.lister.list()) == 2
        assert len(factory.informers) == 2
    await until(lambda: not factory.informers)
    await until(lambda: not server.open_watches)


async def test_a_use_whose_cache_does_not_sync_has_ended(factory: SharedInformerFactory) -> None:
    with pytest.raises(CacheSyncError):
        async with factory.use(CONFIGMAPS, namespace="a", timeout=0, grace=0):
            pytest.fail("it cannot be in sync after no time")
    await until(lambda: not factory.informers)


async def test_uses_that_make_no_sense_are_refused(client: Client, factory: SharedInformerFactory) -> None:
    with pytest.raises(ValueError, match="grace=-1"):
        factory.use(CONFIGMAPS, grace=-1)
    with pytest.raises(NotStartedError, match="has not been started"):
        async with SharedInformerFactory(client).use(CONFIGMAPS):
            pass
    with pytest.raises(ValueError, match="one list at a time"):
        SharedInformerFactory(client, concurrent_starts=0)


async def test_an_informer_is_found_under_the_scope_that_it_covers_now(factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    await informer.set_scope(Namespaces("a", "b"), 10)
    assert factory.informer(CONFIGMAPS, scope=Namespaces("a", "b")) is informer
    other = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    assert other is not informer
    await other.set_scope(Namespaces("a", "b"), 10)
    assert factory.informer(CONFIGMAPS, scope=Namespaces("a", "b")) is informer
    assert len(factory.informers) == 1


async def test_an_informer_that_was_stopped_is_not_held(factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS)
    await informer.stop()
    assert factory.informers == {}
    assert factory.informer(CONFIGMAPS) is not informer


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it reads the memory of a process in /proc")
@pytest.mark.timeout(120)
async def test_500_informers_that_came_and_went_leave_no_memory_behind(server: ApiServer) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COMES_AND_GOES, server.url, stdout=-1)
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    after_200, after_500 = json.loads(out)
    assert after_500 <= after_200 * 1.02, (after_200, after_500)


async def test_an_informer_has_a_name_of_its_own_whatever_the_others_cover_now(factory: SharedInformerFactory) -> None:
    first = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    await first.synced(10)
    await first.set_scope(Namespaces("b"), 10)
    second = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    assert first is not second
    assert (first.name, second.name) == ("configmaps.v1 in a", "configmaps.v1 in a #2")
    await second.synced(10)
    assert len({informer.name for informer in factory.informers.values()}) == 2
