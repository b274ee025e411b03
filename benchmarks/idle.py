"""Question: what do 200 idle informers cost, and what does their start cost?

200 custom resources, empty, each with its informer and its watch; all they get is bookmarks. A kube-apiserver sends one
a minute to each watch; the second figure is with one a second. CPU time of the process over 20 seconds on the clock, as
a part of one core; memory and CPU time per informer from before they start to when all have synced. Its bias: one
process, one client, no TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.at_rest import RestMeter
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, Resource, SharedInformerFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

INFORMERS: Final = 200
SETTLE: Final = 1.0  # seconds

_EMPTY: Final = b'{"kind":"ThingList","apiVersion":"example.com/v1","metadata":{"resourceVersion":"9"},"items":[]}'
_PLURAL: Final = re.compile(rb"/(things\d+)[? ]")


def _resource(number: int) -> Resource:
    return Resource("example.com", "v1", f"things{number}", "Thing")


async def serve(every: float) -> None:
    """Empty lists, and bookmarks so many seconds apart, the watches' turns spread evenly; until cancelled."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    versions = itertools.count(1000)
    turns = itertools.count()

    def bookmark(annotations: bytes = b"") -> bytes:
        line = (
            b'{"type":"BOOKMARK","object":{"kind":"Thing","apiVersion":"example.com/v1",'
            b'"metadata":{"resourceVersion":"%d","creationTimestamp":null%s}}}\n' % (next(versions), annotations)
        )
        return b"%x\r\n%s\r\n" % (len(line), line)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if not _PLURAL.search(request):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                elif b"watch=" not in request:
                    writer.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(_EMPTY), _EMPTY))
                else:
                    writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
                    if b"sendInitialEvents" in request:
                        writer.write(bookmark(b',"annotations":{"k8s.io/initial-events-end":"true"}'))
                    await asyncio.sleep(every * (next(turns) % INFORMERS) / INFORMERS)
                    while not writer.is_closing():
                        writer.write(bookmark())
                        await asyncio.sleep(every)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=INFORMERS)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def _serving(every: float) -> Iterator[str]:
    run = [sys.executable, "-m", "benchmarks.idle", "--serve", str(every)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.kill()


async def cost(url: str, seconds: float) -> tuple[float, float, float]:
    """The part of a core, and per informer CPU milliseconds and kilobytes to start."""
    async with Client(ClusterConfig.for_server(url)) as client:
        # What the first connection and the first import cost is not the hundredth informer's.
        warm = SharedInformerFactory(client)
        warm.informer(_resource(0))
        async with warm:
            await warm.wait_for_cache_sync(timeout=20)
        factory = SharedInformerFactory(client)
        informers = [factory.informer(_resource(number)) for number in range(INFORMERS)]
        meter = RestMeter()
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            part, started, held = await meter.measure(settle=SETTLE, seconds=seconds)
            assert all(informer.is_live for informer in informers)
    return part, started / INFORMERS * 1e3, held / INFORMERS / 1e3


def main() -> list[Row]:
    logging.disable(logging.WARNING)
    seconds = 5.0 if is_quick() else 20.0
    step(0, 2, "a bookmark a minute")
    with _serving(60.0) as url:
        slow, started, held = asyncio.run(cost(url, seconds))
    step(1, 2, "a bookmark a second")
    with _serving(1.0) as url:
        fast, _, _ = asyncio.run(cost(url, seconds / 2))
    return [
        Row(f"{INFORMERS} informers, a bookmark a minute each", f"{slow:.2%} of a core", "< 0.5 %", slow < 0.005, slow),
        Row(f"{INFORMERS} informers, a bookmark a second each", f"{fast:.2%} of a core", number=fast),
        Row("… CPU time per bookmark", f"{fast / INFORMERS * 1e6:.0f} µs"),
        Row("to start an informer of an empty resource", f"{started:.2f} ms CPU"),
        Row("memory of an informer that holds nothing", f"{held:.0f} kB"),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(float(sys.argv[2])))
    else:
        print(__doc__)
        print(plain(main()))
