"""The whole pipeline on what a real kube-apiserver sent: 300 pods of 8.9 KB and 480 updates, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer import Added, Client, ClusterConfig, SharedInformerFactory, Updated
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import KubeObject
    from kinformer.events import Event

pytestmark = pytest.mark.usefixtures("storage")


class Replay:
    """Serves the recorded list once, then the recorded watch, in pieces that respect no line."""

    def __init__(self) -> None:
        self.list_body = gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes())
        self.watch_body = gzip.decompress((DATA / "bulk-pods-300.watch.jsonl.gz").read_bytes())
        self.requests: list[dict[str, str]] = []
        self.url = ""

    async def pods(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.query))
        if "watch" not in request.query:
            return web.Response(body=self.list_body, content_type="application/json")
        if "sendInitialEvents" in request.query:
            # As a server without streaming lists answers: what was recorded is a list, then a watch.
            return web.json_response({"kind": "Status", "code": 422, "reason": "Invalid"}, status=422)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(self.watch_body), 50_021):
            await response.write(self.watch_body[start : start + 50_021])
        await response.write_eof()
        return response


@pytest.fixture
async def replay() -> AsyncIterator[Replay]:
    server = Replay()
    app = web.Application()
    app.router.add_get("/api/v1/pods", server.pods)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def test_each_handler_sees_300_adds_and_480_updates_in_order_and_the_cache_ends_where_the_recording_does(
    replay: Replay,
) -> None:
    recorded: dict[str, list[str]] = defaultdict(list)
    for item in json.loads(replay.list_body)["items"]:
        recorded[f"{item['metadata']['namespace']}/{item['metadata']['name']}"].append(
            item["metadata"]["resourceVersion"]
        )
    lines = replay.watch_body.splitlines()
    last: dict[str, Any] = {}
    for line in lines:
        metadata = json.loads(line)["object"]["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        recorded[key].append(metadata["resourceVersion"])
        last[key] = json.loads(line)["object"]
    assert (len(recorded), len(lines)) == (300, 480)

    async def slow(event: Event) -> None:
        second.append(event)

    first: list[Event] = []
    second: list[Event] = []
    async with Client(ClusterConfig.for_server(replay.url)) as client:
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        pods.add_event_handler(first.append)
        pods.add_event_handler(slow)
        final_version = json.loads(lines[-1])["object"]["metadata"]["resourceVersion"]
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            async for event in pods.events():
                if event.obj.resource_version == final_version:
                    break
            # The other handlers may be behind on a busy machine.
            while len(first) < 780 or len(second) < 780:
                await asyncio.sleep(0.01)
            cached = {str(obj.key): obj for obj in pods.lister.list()}

    for seen in (first, second):
        # Each object is added first; the first change of one may come before another one is added.
        assert Counter(type(event) for event in seen) == {Added: 300, Updated: 480}
        assert all(event.initial for event in seen if isinstance(event, Added))
        history: dict[str, list[str]] = defaultdict(list)
        before: dict[str, KubeObject] = {}
        for event in seen:
            key = str(event.key)
            if isinstance(event, Updated):
                assert event.old == before[key]
            before[key] = event.obj
            history[key].append(event.obj.resource_version)
        assert history == recorded
    assert {key: obj.resource_version for key, obj in cached.items()} == {
        key: versions[-1] for key, versions in recorded.items()
    }
    assert all(cached[key].to_dict() == manifest for key, manifest in last.items())
    assert replay.requests[0]["sendInitialEvents"] == "true"
    assert replay.requests[1] == {"resourceVersion": "0", "limit": "500"}
    assert replay.requests[2]["allowWatchBookmarks"] == "true"
    assert replay.requests[2]["resourceVersion"] == json.loads(replay.list_body)["metadata"]["resourceVersion"]
