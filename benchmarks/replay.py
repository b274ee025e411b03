"""A server that sends what a real kube-apiserver sent, as fast as it is taken; runs in a process of its own.

`python -m benchmarks.replay ROUNDS` prints its address, then serves the recorded list of 300 pods and, as a watch, the
480 recorded updates ROUNDS times over, with versions that go on growing, until it is killed.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
from pathlib import Path

from aiohttp import web

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


async def serve(rounds: int) -> None:
    """Serve until cancelled."""
    body, stream = recorded_list(), rounds_of_events(rounds)

    async def pods(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(stream), 65536):
            await response.write(stream[start : start + 65536])
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/api/v1/pods", pods)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
