"""An API server that costs the client only its own work: all answers are rendered before the first request.

    python -m benchmarks.api_replay OBJECTS EVENTS [FILE [CERTIFICATE]]

prints its address and serves so many generated pods, and so many updates of them, until it is killed: discovery,
lists in pages of any size, streaming lists, watches, as JSON and, with the FILE that `peers.go.encoded` made, as
protobuf. As a real server, it ignores the limit of a list at version "0", sends all there is to a watch without a
version, and flushes after each event. It does not compress.

Updates are sent only after `GET /replay/begin`, so that the list is over, and its memory measured, when they begin.
`GET /replay/reset?objects=N` takes that back, and shows only the first N pods from then on. Further arguments of it:
`rate=R` sends R updates a second, one at a time, each with the time in nanoseconds in place of its checksum; `delay=S`
answers each request after S seconds; `gzip=1` compresses lists for clients that accept that, as a kube-apiserver does
with answers of more than 128 KB. `GET /replay/counts` returns how many requests waited for their answer at once, at
most, and how many connections there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import ssl
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from benchmarks import generator
from benchmarks.replay import DATA
from benchmarks.wire import JSON, PROTOBUF, Encoding, chunked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["FIRST_UPDATE", "serving"]

FIRST_UPDATE: Final = 20_000_000
"""The version of the first update; each has one more than the one before."""

_WRITE: Final = 1 << 18  # bytes at a time
_ACCEPT: Final = re.compile(rb"\r\naccept: ([^\r]*)", re.IGNORECASE)
_GZIP: Final = re.compile(rb"\r\naccept-encoding: [^\r]*gzip", re.IGNORECASE)
_UPGRADE: Final = re.compile(rb"\r\nupgrade: websocket\r", re.IGNORECASE)
_CHECKSUM: Final = re.compile(rb'(checksum/config(?:":"|\x12\x40))[0-9a-f]{64}')
"""The annotation in JSON and in protobuf: it has the same length with a time in it."""

_COMPRESSED_FROM: Final = 128 * 1024  # bytes (apiserver endpoints/handlers/responsewriters/writers.go)
_PODS: Final = re.compile(r"/api/v1/(namespaces/[^/]+/)?pods")
_DISCOVERY: Final = {"/api": "discovery-api", "/api/v1": "discovery-core-v1", "/version": "version"}
_KIND: Final = b'{"kind":"Pod","apiVersion":"v1",'


class Content:
    """All that is served, in one encoding; rendered once."""

    def __init__(self, encoding: Encoding, items: list[bytes], updates: list[bytes]) -> None:
        self.encoding = encoding
        self._items = items
        self._updates = updates
        self._pages: dict[tuple[int, int], list[bytes]] = {}
        self._initial: dict[int, bytes] = {}
        self._compressed: dict[tuple[int, int, int], bytes] = {}

    def page(self, objects: int, limit: int, number: int) -> bytes:
        """A page of the list of the first objects; the continue token is the number of the next."""
        size = limit or objects
        if (objects, size) not in self._pages:
            items = self._items[:objects]
            starts = range(0, objects, size)
            self._pages[objects, size] = [
                self.encoding.page(items[at : at + size], str(turn + 1) if at + size < objects else "")
                for turn, at in enumerate(starts)
            ]
        return self._pages[objects, size][number]

    def initial(self, objects: int) -> bytes:
        """The first objects as ADDED, in chunks."""
        if objects not in self._initial:
            binary = self.encoding.binary
            whole = [item if binary else _KIND + item[1:] for item in self._items[:objects]]
            self._initial[objects] = b"".join(chunked(self.encoding.event("ADDED", obj)) for obj in whole)
        return self._initial[objects]

    @cached_property
    def single_updates(self) -> list[bytes]:
        """The updates, each in a chunk."""
        return [chunked(self.encoding.event("MODIFIED", obj)) for obj in self._updates]

    @cached_property
    def updates(self) -> list[bytes]:
        """The updates, in chunks, some thirty to a piece."""
        events = self.single_updates
        return [b"".join(events[at : at + 30]) for at in range(0, len(events), 30)]

    def compressed_page(self, objects: int, limit: int, number: int) -> bytes:
        """The same as `page`, compressed as a kube-apiserver does it: at the lowest level."""
        place = (objects, limit, number)
        if place not in self._compressed:
            self._compressed[place] = gzip.compress(self.page(objects, limit, number), 1)
        return self._compressed[place]


class Replay:
    """The server; see the module."""

    def __init__(self, contents: Sequence[Content], objects: int) -> None:
        self._json, *rest = contents
        self._protobuf = rest[0] if rest else None
        self._objects = objects
        self._begun = asyncio.Event()
        self._watches: set[asyncio.Task[None] | None] = set()
        self._rate = self._delay = 0.0
        self._gzip = False
        self._waiting = self._most_waiting = self._connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
        self._connections += 1
        try:
            await self._answer_all(reader, writer)
        finally:
            self._connections -= 1

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if self._delay:
                    self._waiting += 1
                    self._most_waiting = max(self._most_waiting, self._waiting)
                    await asyncio.sleep(self._delay)
                    self._waiting -= 1
                url = urlsplit(request.split(b" ", 2)[1].decode())
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                found = _ACCEPT.search(request)
                binary = found is not None and b"vnd.kubernetes.protobuf" in found[1] and self._protobuf is not None
                content = self._protobuf if binary and self._protobuf else self._json
                if not _PODS.fullmatch(url.path):
                    aggregated = b"APIGroupDiscoveryList" in request
                    writer.write(_plain(*self._other(url.path.rstrip("/"), query, aggregated=aggregated)))
                elif _UPGRADE.search(request):
                    # Fabric8 asks for WebSocket first, and then for a watch as the others do.
                    writer.write(_plain(200, b""))
                elif query.get("watch", "").lower() in {"1", "true"}:
                    self._watches.add(asyncio.current_task())
                    await self._watch(writer, content, query)
                else:
                    # At version "0" a server answers from its cache, and all at once.
                    limit = 0 if query.get("resourceVersion") == "0" else int(query.get("limit", 0))
                    place = (self._objects, limit, int(query.get("continue") or 0))
                    packs = self._gzip and _GZIP.search(request) and len(content.page(*place)) > _COMPRESSED_FROM
                    body = content.compressed_page(*place) if packs else content.page(*place)
                    coding = b"Content-Encoding: gzip\r\n" if packs else b""
                    size = b"Content-Length: %d\r\n\r\n" % len(body)
                    writer.write(_head(content.encoding.list_type) + coding + size)
                    await _write(writer, body)
                await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter, content: Content, query: dict[str, str]) -> None:
        writer.write(_head(content.encoding.watch_type) + b"Transfer-Encoding: chunked\r\n\r\n")
        streams_list = query.get("sendInitialEvents") == "true"
        version = query.get("resourceVersion", "")
        if streams_list or version in {"", "0"}:
            await _write(writer, content.initial(self._objects))
        if streams_list:
            writer.write(chunked(content.encoding.end_of_list()))
        await writer.drain()
        await self._begun.wait()
        if version.isdecimal() and int(version) >= FIRST_UPDATE:
            # A client that reconnects has had its share: one stream is measured.
            await asyncio.Event().wait()
        if self._rate:
            await self._paced(writer, content.single_updates)
        else:
            for piece in content.updates:
                writer.write(piece)
                await writer.drain()
        await asyncio.Event().wait()

    async def _paced(self, writer: asyncio.StreamWriter, events: list[bytes]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for number, event in enumerate(events):
            await asyncio.sleep(began + number / self._rate - clock())
            if writer.is_closing():
                return
            writer.write(_CHECKSUM.sub(rb"\g<1>%064d" % time.time_ns(), event, count=1))

    def _other(self, path: str, query: dict[str, str], *, aggregated: bool) -> tuple[int, bytes]:
        if path == "/replay/begin":
            self._begun.set()
            return 200, b"{}"
        if path == "/replay/reset":
            self._begun = asyncio.Event()
            for watch in self._watches:
                if watch is not None:
                    watch.cancel()
            self._watches.clear()
            self._objects = int(query["objects"])
            self._rate, self._delay = float(query.get("rate", 0)), float(query.get("delay", 0))
            self._gzip = query.get("gzip") == "1"
            self._most_waiting = 0
            # Rendered now, so that no request waits for it.
            for content in (self._json, self._protobuf):
                if content is not None:
                    content.page(self._objects, 500, 0)
                    content.initial(self._objects)
                    _ = content.updates
            return 200, b"{}"
        if path == "/replay/counts":
            return 200, json.dumps({"waiting": self._most_waiting, "connections": self._connections - 1}).encode()
        if aggregated and path in {"/api", "/apis"}:
            return 200, _recorded(f"discovery-aggregated-{path[1:]}")
        if path in _DISCOVERY:
            return 200, _recorded(_DISCOVERY[path])
        if path == "/apis":
            return 200, b'{"kind":"APIGroupList","apiVersion":"v1","groups":[]}'
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound"}
        return 404, json.dumps({**status, "message": f"there is no {path} here", "code": 404}).encode()


def _recorded(name: str) -> bytes:
    answer: str = json.loads((DATA / "recordings" / f"{name}.json").read_text())["response"]["body"]
    return answer.encode()


def _head(content_type: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\n" % (status, b"OK" if status == 200 else b"Not Found", content_type)


def _plain(status: int, body: bytes) -> bytes:
    return _head(b"application/json", status) + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _write(writer: asyncio.StreamWriter, body: bytes) -> None:
    for start in range(0, len(body), _WRITE):
        writer.write(body[start : start + _WRITE])
        await writer.drain()


def _messages(file: Path) -> list[bytes]:
    """Return the messages that `client_go encode` wrote, each after the four bytes of its length."""
    data, found, at = file.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


async def serve(objects: int, events: int, encoded: Path | None, certificate: Path | None) -> None:
    """Serve until cancelled."""
    contents = [Content(JSON, generator.pods(objects), [generator.event(at, objects)[1] for at in range(events)])]
    if encoded is not None:
        messages = _messages(encoded)
        contents.append(Content(PROTOBUF, messages[:objects], messages[objects:]))
    replay = Replay(contents, objects)
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.start_server(replay.answer, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
    print(f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving(objects: int, events: int, encoded: Path | None = None, certificate: Path | None = None) -> Iterator[str]:
    """The server in a process of its own; its address. With a certificate (a PEM file that has its key) it uses TLS."""
    run = [
        sys.executable,
        "-m",
        "benchmarks.api_replay",
        str(objects),
        str(events),
        str(encoded or ""),
        str(certificate or ""),
    ]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.kill()


if __name__ == "__main__":
    files = [Path(name) if name else None for name in [*sys.argv[3:], "", ""][:2]]
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), *files))
