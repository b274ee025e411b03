"""Question: what can a FastAPI service answer from its cache while the cluster changes?

uvicorn, with one worker, is alone on one core. On the other are a server that replays recorded pods of 8.9 KB and then
500 of their updates a second, and the generator: 2,000 requests a second for a random pod each, at their times whether
or not earlier ones were answered (open loop), so a latency counts from the moment when the request was due. The same is
asked as fast as it is answered, and beside it an endpoint that decodes each object and has FastAPI encode it again. In
the end, with 20 event streams open, it is stopped. Its bias: the generator is our own, reads no JSON, and shares
its core with the API server, so it answers for some of the latency; and loopback has no network in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import progress
from benchmarks.replay import chunked, recorded_lines, recorded_list
from benchmarks.table import Row, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 2_000
EVENTS = 500
SECONDS = 10.0
WARM_UP = 2.0
CONNECTIONS = 64
STREAMS = 20

APP = """
import os
from typing import Annotated, Any
from fastapi import Depends, FastAPI
from kinformer import Client, ClusterConfig, Lister
from kinformer.integrations.fastapi import Informers

informers = Informers(client=lambda: Client(ClusterConfig.for_server(os.environ["API"])))
app = FastAPI(lifespan=informers.lifespan)
app.include_router(informers.router("pods"))
app.include_router(informers.health())

@app.get("/decoded/{namespace}/{name}")
async def decoded(namespace: str, name: str, pods: Annotated[Lister, Depends(informers.lister("pods"))]) -> Any:
    pod = pods.get(name, namespace)
    return None if pod is None else pod.to_dict()
"""

_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')


def _later(line: bytes, turn: int) -> bytes:
    """The event with a version that goes on growing, turn by turn."""
    return _VERSION.sub(lambda found: b'"resourceVersion":"%d"' % (int(found[1]) + turn * 1_000_000), line, count=1)


async def serve_api(events_per_second: int) -> None:
    """Print the address; then serve the recorded list, and its updates at a steady pace for ever, until killed."""
    body = recorded_list()
    lines = recorded_lines()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    pause = 0.01
    at_once = max(1, int(events_per_second * pause))

    async def watch(writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        began, sent = clock(), 0
        while True:
            batch = []
            for number in range(sent, sent + at_once):
                turn, which = divmod(number, len(lines))
                batch.append(_later(lines[which], turn) + b"\n")
            writer.write(chunked(b"".join(batch)))
            await writer.drain()
            sent += at_once
            await asyncio.sleep(max(0.0, began + sent / events_per_second - clock()))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if b"sendInitialEvents" in request:
                    writer.write(b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 0\r\n\r\n")
                elif b"watch=" in request:
                    await watch(writer)
                else:
                    writer.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class Connection(asyncio.Protocol):
    """One connection to the service; a request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._due = 0.0
        self._left = -1
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due then."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count the body; its end is the answer."""
        if self._left < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            if not head.startswith((b"http/1.1 200", b"http/1.1 201")):
                self._load.failures += 1
            at = head.index(b"content-length: ") + 16
            length = int(head[at:].split(b"\r", 1)[0])
            self._left = length - (len(self._head) - end - 4)
            self._head = b""
        else:
            self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            self._load.answered(self._due)
            self._load.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is used no more."""
        del exc
        self._load.lost += 1


class Load:
    """Requests, at their times or as fast as they are answered."""

    def __init__(self, port: int, paths: list[str]) -> None:
        self._port = port
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() for path in paths]
        self._free: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._random = random.Random(1)
        self._closed_loop = False
        self.latencies: list[float] = []
        self.failures = 0
        self.lost = 0

    async def connect(self) -> None:
        """Open all connections."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)

    def next_request(self) -> bytes:
        """Return the request to send next: one of them at random."""
        return self._random.choice(self._requests)

    def free(self, connection: Connection) -> None:
        """A connection has nothing to do."""
        if self._closed_loop:
            connection.ask(self.next_request(), time.perf_counter())
        elif self._waiting:
            connection.ask(self.next_request(), self._waiting.popleft())
        else:
            self._free.append(connection)

    def answered(self, due: float) -> None:
        """A request has been answered."""
        self.latencies.append(time.perf_counter() - due)

    async def steady(self, rate: int, seconds: float) -> float:
        """Open loop; returns how many were answered per second."""
        self.latencies.clear()
        began = time.perf_counter()
        sent = 0
        while (now := time.perf_counter()) - began < seconds:
            while sent < (now - began) * rate:
                due = began + sent / rate
                sent += 1
                if self._free:
                    self._free.popleft().ask(self.next_request(), due)
                else:
                    self._waiting.append(due)
            await asyncio.sleep(0.0005)
        until = time.perf_counter() + 5
        while len(self.latencies) < sent and time.perf_counter() < until:
            await asyncio.sleep(0.001)
        # A request without an answer has taken for ever.
        self.latencies += [5.0] * (sent - len(self.latencies))
        return sent / seconds

    async def flat_out(self, seconds: float) -> float:
        """Closed loop; returns how many were answered per second."""
        self.latencies.clear()
        self._closed_loop = True
        began = time.perf_counter()
        free, self._free = self._free, deque()
        for connection in free:
            self.free(connection)
        await asyncio.sleep(seconds)
        self._closed_loop = False
        count = len(self.latencies)
        took = time.perf_counter() - began
        while len(self._free) < CONNECTIONS - self.lost:
            await asyncio.sleep(0.001)
        return count / took

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)] * 1e3


def _pinned(command: list[str], core: int, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
    )
    os.sched_setaffinity(process.pid, {core})
    return process


@contextlib.contextmanager
def _cores() -> Iterator[tuple[int, int]]:
    """The service's core and ours; where there is but one, both."""
    mine = os.sched_getaffinity(0)
    first, *others = sorted(mine)
    os.sched_setaffinity(0, {others[0] if others else first})
    try:
        yield first, others[0] if others else first
    finally:
        os.sched_setaffinity(0, mine)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _port_of(service: subprocess.Popen[str]) -> int:
    assert service.stdout is not None
    said = ""
    for line in service.stdout:
        said += line
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    msg = f"the service did not start: {said}"
    raise RuntimeError(msg)


async def _streams(port: int) -> list[asyncio.StreamWriter]:
    """Open event streams, and read until each has sent all objects."""
    writers = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        writer.write(b"GET /watch/pods?namespace=default HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        await reader.readuntil(b"event: synced")
        writers.append((reader, writer))

    async def drain(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass

    for reader, _ in writers:
        _READING.add(asyncio.get_running_loop().create_task(drain(reader)))
    return [writer for _, writer in writers]


_READING: set[asyncio.Task[None]] = set()


async def measure(port: int, pid: int, names: list[str]) -> list[Row]:
    seconds = 3.0 if progress.is_quick() else SECONDS
    load = Load(port, [f"/pods/{name}" for name in names])
    await load.connect()
    await load.steady(RATE, WARM_UP)
    cpu = _cpu_seconds(pid)
    progress.step(1, 4, "steady")
    rate = await load.steady(RATE, seconds)
    cpu = (_cpu_seconds(pid) - cpu) / seconds
    median, p99, longest = load.percentile(0.5), load.percentile(0.99), load.percentile(1.0)
    failures = load.failures + load.lost
    rows = [
        Row(f"{rate:,.0f} requests/s beside {EVENTS} events/s, p99", f"{p99:.1f} ms", "< 20 ms", p99 < 20),
        Row("… median", f"{median:.1f} ms"),
        Row("… longest", f"{longest:.1f} ms"),
        Row("… not answered, or not with 200", f"{failures}", "0", failures == 0),
        Row("… of one core", f"{cpu:.0%}", "< 100 %", cpu < 1),
    ]
    progress.step(2, 4, "flat out")
    raw, raw_cpu = await _flat_out(load, pid, seconds / 2)
    decoding = Load(port, [f"/decoded/{name}" for name in names])
    await decoding.connect()
    progress.step(3, 4, "flat out, decoded")
    decoded, decoded_cpu = await _flat_out(decoding, pid, seconds / 2)
    return [
        *rows,
        Row("as fast as it answers: cached bytes", f"{raw:,.0f} requests/s", number=raw),
        Row("… each costs the service", f"{raw_cpu:.0f} µs CPU", number=raw_cpu),
        Row("as fast as it answers: decoded and encoded again", f"{decoded:,.0f} requests/s", number=decoded),
        Row("… each costs the service", f"{decoded_cpu:.0f} µs CPU", number=decoded_cpu),
    ]


async def _flat_out(load: Load, pid: int, seconds: float) -> tuple[float, float]:
    """Requests per second, and CPU microseconds of each, those of the events included."""
    cpu = _cpu_seconds(pid)
    began = time.perf_counter()
    rate = await load.flat_out(seconds)
    answered = rate * (time.perf_counter() - began)
    return rate, (_cpu_seconds(pid) - cpu) / answered * 1e6


async def shut_down(service: subprocess.Popen[str], port: int) -> Row:
    writers = await _streams(port)
    began = time.perf_counter()
    service.send_signal(signal.SIGTERM)
    while service.poll() is None and time.perf_counter() - began < 20:
        await asyncio.sleep(0.005)
    took = time.perf_counter() - began
    for writer in writers:
        writer.close()
    for task in _READING:
        task.cancel()
    return Row(f"from SIGTERM to its end, {STREAMS} event streams open", f"{took:.2f} s", "< 1 s", took < 1)


def main() -> list[Row]:
    names = [
        f"{namespace}/{name}"
        for name, namespace in (
            (item["metadata"]["name"], item["metadata"]["namespace"]) for item in _recorded()["items"]
        )
    ]
    with _cores() as (core, ours), tempfile.TemporaryDirectory() as directory:
        Path(directory, "service.py").write_text(APP)
        api = _pinned([sys.executable, "-m", "benchmarks.fastapi_service", "api"], ours)
        assert api.stdout is not None
        url = api.stdout.readline().strip()
        command = [sys.executable, "-m", "uvicorn", "service:app", "--app-dir", directory, "--port", "0"]
        service = _pinned([*command, "--no-access-log"], core, API=url)
        try:
            port = _port_of(service)
            rows = asyncio.run(measure(port, service.pid, names))
            return [*rows, asyncio.run(shut_down(service, port))]
        finally:
            for process in (service, api):
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()


def _recorded() -> dict[str, list[dict[str, dict[str, str]]]]:
    import msgspec

    found: dict[str, list[dict[str, dict[str, str]]]] = msgspec.json.decode(recorded_list())
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["api"]:
        asyncio.run(serve_api(EVENTS))
    else:
        print(__doc__)
        print(plain(main()))
