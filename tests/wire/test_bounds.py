"""A hostile server against an informer in a process of its own: memory, how long the loop is held, and the error.

Held is the CPU time of one callback of the loop, which a busy machine does not change.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import os
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.forked_programs import ForkedPrograms
from tests.wire.raw_server import CHUNKED, LIST, REFUSE_STREAM, RawServer, answer, chunk, event, is_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLIENT = r"""
import asyncio, gc, json, logging, sys, time
import asyncio.events as events
logging.disable(logging.CRITICAL)
from kinformer import Client, ClusterConfig, SharedInformerFactory
held, run = [0.0], events.Handle._run
def _run(self):
    began = time.thread_time()
    try:
        return run(self)
    finally:
        held[0] = max(held[0], time.thread_time() - began)
def used():
    # Not ru_maxrss, which begins with the parent's.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
async def main():
    async with Client(ClusterConfig.for_server(sys.argv[1], trust_env=False), max_answer_bytes=32 << 20) as client:
        factory = SharedInformerFactory(client, streaming_lists=False)
        pods = factory.core.v1.pods
        texts = set()
        async with factory:
            deadline = time.monotonic() + float(sys.argv[2])
            while time.monotonic() < deadline and not {*pods.status.errors} & {*sys.argv[3].split("|")}:
                await asyncio.sleep(0.02)
                texts.add(str(pods.status.last_error))
            texts.add(str(pods.status.last_error))
            state = str(pods.status.state)
    errors = dict(pods.status.errors)
    print(json.dumps({"errors": errors, "texts": sorted(texts), "state": state, "objects": len(pods.lister)}))
async def warm_up():
    # What is done for the first time, and may import modules, is no part of the attack.
    async with Client(ClusterConfig.for_server(sys.argv[1], trust_env=False)) as client:
        factory = SharedInformerFactory(client, streaming_lists=False, namespace="warm-up")
        pods = factory.core.v1.pods
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            while not pods.status.errors:
                await asyncio.sleep(0.01)
asyncio.run(warm_up())
# Nor is a collection of everything that the program has imported.
gc.collect()
gc.freeze()
base = used()
events.Handle._run = _run
asyncio.run(main())
print(json.dumps({"mib": used() - base, "held": held[0] * 1000}))
"""


class Case(NamedTuple):
    """An attack, the error that it comes to (if any), and the MiB that it may take."""

    respond: Callable[[bytes, asyncio.StreamWriter], Any]
    error: str
    mib: int = 60
    watch: bool = True


async def flood(writer: asyncio.StreamWriter, first: bytes, piece: bytes, total: int) -> None:
    writer.write(first)
    for _ in range(total // len(piece)):
        writer.write(piece)
        await writer.drain()


def endless(first: bytes, piece: bytes, total: int = 300 << 20) -> Callable[[bytes, asyncio.StreamWriter], Any]:
    return lambda head, writer: flood(writer, first, piece, total)


def bomb(size: int) -> bytes:
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(press.compress(b"a" * (1 << 20)) for _ in range(size >> 20)), press.flush()])


@functools.cache
def compressed() -> bytes:
    """A response of 300 MiB; to compress it takes a second."""
    return answer(bomb(300 << 20), "200 OK", "Content-Encoding: gzip")


REFUSED = CHUNKED.replace(b"200 OK", b"403 Forbidden")
ITEMS = CHUNKED + chunk(LIST[:-2])
DEEP = b',{"metadata":{"name":"deep","namespace":"d"},"spec":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"


def repeated_page(head: bytes, writer: asyncio.StreamWriter) -> bytes:
    page = json.loads(LIST)
    page["metadata"]["continue"] = "again"
    return answer(json.dumps(page).encode())


ATTACKS = {
    "an event without end": Case(endless(CHUNKED, chunk(b"x" * 65_536)), "ProtocolError"),
    "an event in chunks of a byte": Case(endless(CHUNKED, b"1\r\nx\r\n" * 10_000, 10 << 20), "StreamBrokenError"),
    "empty lines without end": Case(endless(CHUNKED, chunk(b"\n" * 65_536), 2 << 20), "ProtocolError"),
    "empty lines after large events": Case(
        endless(
            CHUNKED + b"".join(chunk(event("ADDED", "a", n)[:-3] + b" " * 9_000 + b"}}\n") for n in range(300)),
            chunk(b"\n" * 500_000),
            2 << 20,
        ),
        "ProtocolError",
    ),
    "small chunks after large events": Case(
        endless(
            CHUNKED + b"".join(chunk(event("ADDED", "a", n)[:-3] + b" " * 9_000 + b"}}\n") for n in range(300)),
            chunk(b"\n") * 100_000,
            3 << 20,
        ),
        "ProtocolError",
    ),
    "trailers without end": Case(endless(CHUNKED + b"0\r\n", b"A: b\r\n" * 10_000), "ProtocolError"),
    "informational responses without end": Case(
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000), "ProtocolError"
    ),
    "a header without end": Case(endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536), "ProtocolError"),
    "a chunk's size without end": Case(endless(CHUNKED, b"0" * 65_536), "ProtocolError"),
    "a pretty-printed document without end": Case(
        endless(CHUNKED, chunk(b"{\n" + b' "a": 1,\n' * 7_000)), "ProtocolError"
    ),
    "a pretty-printed list": Case(
        lambda head, writer: answer(
            json.dumps({"kind": "PodList", "items": [{"a": n} for n in range(20_000)]}, indent=2).encode()
        ),
        "ProtocolError",
    ),
    "an error without end, to a watch": Case(endless(REFUSED, chunk(b"x" * 65_536)), "ForbiddenError"),
    "gzip that is 500 times its size, to a watch": Case(lambda head, writer: compressed(), "ProtocolError"),
    "lines of garbage": Case(endless(CHUNKED, chunk(b"garbage\n" * 3_000), 4 << 20), "MalformedStreamError", 100),
    "an error without end, to a list": Case(endless(REFUSED, chunk(b"x" * 65_536)), "ForbiddenError", watch=False),
    "a list without end": Case(endless(CHUNKED, chunk(b"x" * 65_536)), "ProtocolError", 120, watch=False),
    "gzip that is 500 times its size, to a list": Case(
        lambda head, writer: compressed(), "ProtocolError", 120, watch=False
    ),
    "an item without end": Case(endless(ITEMS, chunk(b'{"x":"' + b"x" * 65_536)), "ProtocolError", 120, watch=False),
    "a header without end, to a list": Case(
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536), "ProtocolError", watch=False
    ),
    "pages without end": Case(repeated_page, "ProtocolError", watch=False),
}


@pytest.fixture(scope="module")
def forked_clients() -> Iterator[ForkedPrograms]:
    with ForkedPrograms("kinformer.client", "kinformer.informer.factory", "anyio._backends._asyncio") as programs:
        yield programs


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("client") / "client.py"
    path.write_text(CLIENT)
    return path


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_hostile_answer_takes_bounded_memory_holds_the_loop_for_a_moment_and_is_a_clear_error(
    name: str, program: Path, forked_clients: ForkedPrograms
) -> None:
    case = ATTACKS[name]
    if "gzip" in name:
        compressed()

    def respond(head: bytes, writer: asyncio.StreamWriter) -> Any:
        if b"sendInitialEvents" in head:
            return answer(REFUSE_STREAM, "422 Unprocessable")
        if b"/namespaces/warm-up/" in head:
            return answer(b'{"kind":"Status","code":500}', "500 Oh") if is_watch(head) else answer()
        return case.respond(head, writer) if is_watch(head) is case.watch else answer()

    async with RawServer(respond) as server:
        arguments = [str(program), server.url, "50", case.error]
        ended = await asyncio.to_thread(forked_clients.run, arguments, env=os.environ, timeout=100)
    assert ended.code == 0, ended.err[-2000:]
    seen, cost = map(json.loads, ended.out.splitlines())
    assert set(seen["errors"]) & set(case.error.split("|")), seen
    assert seen["state"] != "failed", seen
    assert max(map(len, seen["texts"])) < 500
    assert cost["mib"] <= case.mib, (cost, seen)
    assert cost["held"] <= 25, (cost, seen)


async def test_a_compressed_list_is_read_in_pieces() -> None:
    """200 objects of 1 MB in 0.2 MB of gzip: read as 200 objects, as nothing has to be held of it but they."""
    item = b'{"metadata":{"name":"p%d","namespace":"d","uid":"u%d","resourceVersion":"1"},"spec":{"pad":"%s"}}'
    items = b",".join(item % (n, n, b"a" * 1_000_000) for n in range(40))
    body = gzip.compress(LIST.split(b'"items"')[0] + b'"items":[' + items + b"]}")
    from kinformer import Client, ClusterConfig
    from kinformer.resources import PODS

    async with RawServer(lambda head, writer: answer(body, "200 OK", "Content-Encoding: gzip")) as server:
        config = ClusterConfig.for_server(server.url, trust_env=False)
        async with Client(config, max_answer_bytes=8 << 20) as client:
            assert len(await client.list(PODS)) == 40
