"""A server that sends what a real kube-apiserver sent, as fast as it is taken; runs in a process of its own.

`python -m benchmarks.replay ROUNDS` prints its address, then serves the recorded list of 300 pods and, as a watch, the
480 recorded updates ROUNDS times over, with versions that go on growing, until it is killed. With a second number it
serves so many pods, made of the recorded ones, in pages and by streaming, and no events.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import sys
from pathlib import Path

DATA = Path(__file__).parent.parent / "tests" / "data"
OBJECTS = 300
EVENTS_PER_ROUND = 480

_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


def recorded_list() -> bytes:
    """The recorded list."""
    return gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes())


def recorded_lines() -> list[bytes]:
    """The recorded events, one line each."""
    return gzip.decompress((DATA / "bulk-pods-300.watch.jsonl.gz").read_bytes()).splitlines()


def rounds_of_events(rounds: int) -> bytes:
    """The recorded events again and again; the versions of each round are higher than those before."""
    lines = recorded_lines()
    step = 1_000_000

    def later(line: bytes, turn: int) -> bytes:
        return _VERSION.sub(lambda found: b'"resourceVersion":"%d"' % (int(found[1]) + turn * step), line, count=1)

    return b"".join(later(line, turn) + b"\n" for turn in range(rounds) for line in lines)


def chunked(lines: bytes) -> bytes:
    """As a Go server frames a stream: a chunk for each event."""
    return b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines.splitlines(keepends=True))


PAGE = 500
_CONTINUE = re.compile(rb"continue=(\d+)")


def pages_of(items: list[bytes]) -> list[bytes]:
    """A list in pages of 500, as a kube-apiserver writes them; the continue token is the number of the next page."""
    pages = []
    for start in range(0, len(items), PAGE):
        more = b',"continue":"%d"' % (start // PAGE + 1) if start + PAGE < len(items) else b""
        body = b",".join(items[start : start + PAGE])
        head = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9000000"%s},"items":[' % more
        pages.append(head + body + b"]}\n")
    return pages


def streamed(items: list[bytes]) -> bytes:
    """The same as a streaming list."""
    head = b'{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1",'
    end = (
        b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9000000",'
        b'"annotations":{"k8s.io/initial-events-end":"true"}}}}\n'
    )
    return b"".join(head + item[1:] + b"}\n" for item in items) + end


async def serve(rounds: int, items: list[bytes]) -> None:
    """Serve until cancelled: plain HTTP written by hand, so that serving costs next to nothing.

    With items of its own, it serves those, in pages and by streaming, and no events; else the recording.
    """
    pages = pages_of(items) if items else [recorded_list()]
    stream = b"" if items else chunked(rounds_of_events(rounds))
    initial = chunked(streamed(items)) if items else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if b"sendInitialEvents" in request and items:
                    writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
                    for start in range(0, len(initial), 1 << 18):
                        writer.write(initial[start : start + (1 << 18)])
                        await writer.drain()
                elif b"sendInitialEvents" in request:
                    writer.write(b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 0\r\n\r\n")
                elif b"watch=" not in request:
                    found = _CONTINUE.search(request)
                    body = pages[int(found[1]) if found else 0]
                    writer.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                else:
                    writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
                    for start in range(0, len(stream), 1 << 18):
                        writer.write(stream[start : start + (1 << 18)])
                        await writer.drain()
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    wanted: list[bytes] = []
    if len(sys.argv) > 2:
        from benchmarks.objects import pods

        wanted = pods(int(sys.argv[2]))
    asyncio.run(serve(int(sys.argv[1]), wanted))
