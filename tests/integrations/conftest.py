"""Applications as they run: a real web server over loopback, in front of the embedded API server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import pytest
import uvicorn

from kinformer import Client, ClusterConfig
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def config_map(name: str, namespace: str = "default", *, app: str = "web", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": app}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
def connect(api: ApiServer) -> Callable[[], Client]:
    """What `Informers(client=...)` takes."""
    return lambda: Client(ClusterConfig.for_server(api.url))


@dataclass
class Served:
    url: str
    server: uvicorn.Server
    http: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.get(self.url + path, headers=named) as response:
            return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()

    async def json(self, path: str) -> Any:
        status, _, body = await self.get(path)
        assert status == 200, (status, body)
        return json.loads(body)


@asynccontextmanager
async def serving(app: Any, *, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[Served]:
    """Serve an application until the context is left."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan=lifespan, ws="none"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.serve())
        try:
            while not server.started:
                assert not running.done(), "the application did not start"
                await asyncio.sleep(0.005)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            async with aiohttp.ClientSession() as http:
                yield Served(url, server, http)
        finally:
            server.should_exit = True
            await running


@dataclass
class Message:
    event: str
    data: Any


class Browser:
    """Reads server-sent events as the HTML standard says, and remembers the last id."""

    def __init__(self, response: aiohttp.ClientResponse, last_event_id: str) -> None:
        self._response = response
        self.last_event_id = last_event_id
        self.blocks = 0

    async def next(self) -> Message:
        """The next event; heartbeats and ids are passed over."""
        event, data = "message", []
        while True:
            line = (await self._response.content.readline()).decode()
            if not line:
                raise EOFError
            field, _, value = line.rstrip("\n").partition(": ")
            match field:
                case "event":
                    event = value
                case "data":
                    data.append(value)
                case "id":
                    self.last_event_id = value
                case "" | ":":
                    self.blocks += 1
                    if data:
                        return Message(event, json.loads("\n".join(data)))

    async def until(self, event: str) -> list[Message]:
        """All events up to and with the next of that kind."""
        found = [await self.next()]
        while found[-1].event != event:
            found.append(await self.next())
        return found

    async def id_reaches(self, version: int) -> None:
        """Read on, events and all, until the last id has come to a version."""
        while int(self.last_event_id or 0) < version:
            line = (await self._response.content.readline()).decode()
            assert line
            if line.startswith("id: "):
                self.last_event_id = line.removeprefix("id: ").strip()


@asynccontextmanager
async def watching(served: Served, path: str, last_event_id: str = "") -> AsyncIterator[Browser]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with asyncio.timeout(60), served.http.get(served.url + path, headers=headers, read_bufsize=1 << 22) as found:
        assert found.status == 200
        assert found.headers["Content-Type"].startswith("text/event-stream")
        yield Browser(found, last_event_id)
