"""The server dies and comes back, forgets its past, or is young again: nothing is lost, and nothing invented."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from kinformer import (
    AlreadyExistsError,
    Backoff,
    Deleted,
    NotFoundError,
    ServerError,
    ServiceUnavailableError,
    SharedInformerFactory,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
    Updated,
)
from kinformer.resources import CONFIGMAPS
from tests.apiserver.following import Follower, caught_up
from tests.apiserver.lying_proxy import LyingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import Client
    from tests.apiserver.clusters import Cluster

# An API server that starts refuses requests for a moment: its roles and its keys for tokens are not there yet.
_MEANWHILE = (TransportError, ServerError, ServiceUnavailableError, TooManyRequestsError, UnauthorizedError)

QUICK = Backoff(initial=0.05, maximum=0.5)


class Writers:
    """Writers that never give up: each has names of its own, and says in every object which write it is.

    Attributes:
        attempted: every content that was ever sent, by name: what a server may show, whether or not it answered.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._numbers = itertools.count(1)
        self.attempted: dict[str, set[str]] = {}
        self.done = 0

    async def write(self, writer: int, until: asyncio.Event) -> None:
        """Create, change and delete, round and round."""
        for turn in itertools.count():
            if until.is_set():
                return
            name = f"c-{writer}-{turn % 7}"
            try:
                match turn % 3:
                    case 0:
                        await self._create(name)
                    case 1:
                        await self._change(name)
                    case _:
                        await self._client.delete(CONFIGMAPS, name, namespace=self._namespace)
            except (NotFoundError, AlreadyExistsError):
                pass
            except _MEANWHILE:
                await asyncio.sleep(0.02)
            else:
                self.done += 1

    async def have_written(self, more: int) -> None:
        """Wait for so many more writes."""
        enough = self.done + more
        async with asyncio.timeout(60):
            while self.done < enough:
                await asyncio.sleep(0.01)

    def _content(self, name: str) -> dict[str, str]:
        number = str(next(self._numbers))
        self.attempted.setdefault(name, set()).add(number)
        return {"write": number}

    async def _create(self, name: str) -> None:
        manifest = {"metadata": {"name": name}, "data": self._content(name)}
        await self._client.create(CONFIGMAPS, manifest, namespace=self._namespace)

    async def _change(self, name: str) -> None:
        await self._client.patch(CONFIGMAPS, name, {"data": self._content(name)}, namespace=self._namespace)


def check_nothing_is_invented(follower: Follower, writers: Writers) -> None:
    for key, events in follower.events_of.items():
        for event in events:
            assert event.obj["data"]["write"] in writers.attempted[key.partition("/")[2]]


@pytest.mark.timeout(300)
async def test_killed_five_times_under_writes_nothing_is_lost_and_nothing_invented(
    cluster: Cluster, client: Client
) -> None:
    writers = Writers(client, cluster.namespace)
    factories = [
        SharedInformerFactory(client, namespace=cluster.namespace, backoff=QUICK, streaming_lists=streaming)
        for streaming in (True, False)
    ]
    informers = [factory.core.v1.configmaps for factory in factories]
    followers = [Follower(informer) for informer in informers]
    async with factories[0], factories[1]:
        for factory in factories:
            await factory.wait_for_cache_sync(timeout=60)
        for _ in range(5):
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for writer in range(5):
                    group.create_task(writers.write(writer, ended))
                await writers.have_written(30)
                await cluster.kill()
                await cluster.start()
                await writers.have_written(30)
                ended.set()
            await caught_up(cluster, CONFIGMAPS, *informers)
            for follower in followers:
                follower.check()
                check_nothing_is_invented(follower, writers)
        assert all(informer.status.watches >= 6 for informer in informers)


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[LyingProxy]:
    """Between the informers and the server; writers go straight to it."""
    async with LyingProxy(cluster.port) as proxy:
        yield proxy


NAMES = ("stays", "goes", "changes", "exchanged")


async def write_while_nobody_watches(client: Client, namespace: str) -> None:
    """One object changes, one goes, one comes, one comes and goes, and one is exchanged for another of its name."""
    await client.patch(CONFIGMAPS, "changes", {"data": {"a": "2"}}, namespace=namespace)
    await client.patch(CONFIGMAPS, "changes", {"data": {"a": "3"}}, namespace=namespace)
    await client.patch(CONFIGMAPS, "goes", {"data": {"a": "last"}}, namespace=namespace)
    await client.delete(CONFIGMAPS, "goes", namespace=namespace)
    await client.create(CONFIGMAPS, {"metadata": {"name": "comes"}}, namespace=namespace)
    await client.create(CONFIGMAPS, {"metadata": {"name": "flits"}}, namespace=namespace)
    await client.delete(CONFIGMAPS, "flits", namespace=namespace)
    await client.delete(CONFIGMAPS, "exchanged", namespace=namespace)
    await client.create(CONFIGMAPS, {"metadata": {"name": "exchanged"}, "data": {"a": "new"}}, namespace=namespace)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("outage", ["the network alone", "API server restarted", "both killed", "past forgotten"])
async def test_what_happened_while_the_watch_was_cut_is_told_when_it_is_back(
    cluster: Cluster, client: Client, proxy: LyingProxy, outage: str, streaming: bool
) -> None:
    space = cluster.namespace
    for name in NAMES:
        await client.create(CONFIGMAPS, {"metadata": {"name": name}, "data": {"a": "1"}}, namespace=space)
    async with cluster.client(url=proxy.url) as far:
        factory = SharedInformerFactory(far, namespace=space, backoff=QUICK, streaming_lists=streaming)
        maps = factory.core.v1.configmaps
        follower = Follower(maps)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            # A write that is seen, so that the watch has a version of its own.
            await client.patch(CONFIGMAPS, "stays", {"data": {"a": "2"}}, namespace=space)
            await caught_up(cluster, CONFIGMAPS, maps)
            proxy.part()
            await write_while_nobody_watches(client, space)
            match outage:
                case "API server restarted":
                    await cluster.restart_api_server()
                case "both killed":
                    await cluster.kill()
                    await cluster.start()
                case "past forgotten":
                    await cluster.forget_past()
            relisted = outage != "the network alone"
            proxy.join()
            await caught_up(cluster, CONFIGMAPS, maps)
            async with asyncio.timeout(60):
                while relisted and not follower.events_of[f"{space}/exchanged"][2:]:
                    await asyncio.sleep(0.01)
            follower.check()
            lists = dict(maps.status.lists)
            told = {name: follower.events_of[f"{space}/{name}"] for name in (*NAMES, "comes", "flits")}
    stories = {name: [type(event).__name__ for event in events] for name, events in told.items()}
    assert stories["stays"] == ["Added", "Updated"]
    assert stories["exchanged"] == ["Added", "Deleted", "Added"]
    gone, exchanged = told["goes"][-1], told["exchanged"][1]
    assert isinstance(gone, Deleted)
    assert isinstance(exchanged, Deleted)
    if not relisted:
        # Every single change is in the watch that goes on where the other was cut.
        assert sum(lists.values()) == 1
        assert stories["changes"] == ["Added", "Updated", "Updated"]
        assert stories["goes"] == ["Added", "Updated", "Deleted"]
        assert stories["comes"] == ["Added"]
        assert stories["flits"] == ["Added", "Deleted"]
        assert gone.final_state_known
        assert exchanged.final_state_known
        assert gone.obj["data"]["a"] == "last"
        return
    # The past is gone: events can only give the present objects, and the absence of others.
    assert sum(lists.values()) == 2
    assert stories["changes"] == ["Added", "Updated"]
    changed = told["changes"][-1]
    assert isinstance(changed, Updated)
    assert (changed.old["data"]["a"], changed.new["data"]["a"]) == ("1", "3")
    assert stories["goes"] == ["Added", "Deleted"]
    assert stories["flits"] == []
    assert not gone.final_state_known
    assert not exchanged.final_state_known
    assert gone.obj["data"]["a"] == "1"
