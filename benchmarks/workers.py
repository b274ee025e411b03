"""Question: what do the workers of a service cost, if they share one list and one watch?

uvicorn with one worker and with four, of a FastAPI application that serves 10,000 pods of 9 KB. The API server is a
replay in a process of its own, which sends 400 updates a second. Memory is that of all workers when all caches are in
sync, by the kernel: USS counts pages that a process has for itself, PSS adds its part of shared ones. CPU is that of
all workers, per event of the cluster. Each worker notes when its handler gets an event; all processes have one clock.
"Behind the first" is the time after the first of the four. Its bias: all of this shares the cores of one machine with
the API server and whatever else runs, so latencies are upper bounds. `python -m benchmarks.workers OBJECTS` tries
another number of pods.
"""

from __future__ import annotations

import array
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks import progress
from benchmarks.api_replay import serving
from benchmarks.table import Row, plain

OBJECTS = 10_000
RATE = 400
EVENTS = 4_000
WORKERS = 4
PATIENCE = 120.0

APP = """
import array, os, time
from contextlib import asynccontextmanager
from fastapi import FastAPI
from kinformer import Client, ClusterConfig, SharedInformerFactory, Updated
from kinformer.integrations.fastapi import Informers

seen = array.array("q")

def note(event):
    if isinstance(event, Updated):
        seen.append(int(event.new.resource_version))
        seen.append(time.monotonic_ns())

def make(client):
    factory = SharedInformerFactory(client, storage=os.environ["STORAGE"])
    factory.core.v1.pods.add_event_handler(note)
    return factory

informers = Informers(
    make,
    client=lambda: Client(ClusterConfig.for_server(os.environ["API"])),
    sync_timeout=100,
    shared=os.environ["SHARED"] == "yes" and os.environ["OUT"] + "/d",
)

@asynccontextmanager
async def lifespan(app):
    yield
    with open(f"{os.environ['OUT']}/{os.getpid()}", "wb") as file:
        seen.tofile(file)

app = FastAPI(lifespan=informers.around(lifespan))
app.include_router(informers.router("pods"))

@app.get("/state")
async def state():
    pods = informers.factory.core.v1.pods
    serves = informers.workers is not None and informers.workers.serves
    return {"pid": os.getpid(), "serves": serves, "synced": pods.has_synced, "objects": len(pods.lister.list())}
"""


class Measured(NamedTuple):
    """One service."""

    watches: int
    uss: float
    pss: float
    cpu: float
    behind_median: float
    behind_p99: float
    lost: int


def _workers_of(service: subprocess.Popen[bytes], workers: int) -> list[psutil.Process]:
    parent = psutil.Process(service.pid)
    if workers == 1:
        return [parent]
    return [each for each in parent.children() if "resource_tracker" not in " ".join(each.cmdline())]


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _states(port: int, workers: int, until: Any) -> dict[int, dict[str, Any]]:
    """Ask for the state until each worker has answered, and each fulfils a condition."""
    states: dict[int, dict[str, Any]] = {}
    give_up = time.perf_counter() + PATIENCE
    while time.perf_counter() < give_up:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=5) as answer:
                state = json.load(answer)
        except OSError:
            time.sleep(0.2)  # noqa: TID251 - there is no loop
            continue
        states[state["pid"]] = state
        if len(states) >= workers and all(until(each) for each in states.values()):
            return states
        time.sleep(0.02)  # noqa: TID251 - there is no loop
    msg = f"not ready after {PATIENCE:g} s: {states}"
    raise TimeoutError(msg)


def measure(objects: int, workers: int, *, shared: bool, storage: str) -> Measured:
    """Run one service."""
    port = 8931
    with tempfile.TemporaryDirectory() as folder, serving(objects, EVENTS) as url:
        Path(folder, "app.py").write_text(APP)
        path = os.pathsep.join([str(Path.cwd()), folder])
        settings = {"API": url, "PYTHONPATH": path, "STORAGE": storage, "SHARED": "yes" if shared else "no"}
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--workers", str(workers)]
        urllib.request.urlopen(f"{url}/replay/reset?objects={objects}&rate={RATE}").read()
        command += ["--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        service = subprocess.Popen(command, env={**os.environ, **settings, "OUT": folder}, cwd=folder)
        try:
            _states(port, workers, lambda each: each["synced"] and each["objects"] == objects)
            # Temporary memory of the lists is given back.
            time.sleep(4)  # noqa: TID251 - there is no loop
            running = _workers_of(service, workers)
            memory = [each.memory_full_info() for each in running]
            to = int(url.rpartition(":")[2])
            watches = sum(
                1 for each in running for one in each.net_connections("tcp") if one.raddr and one.raddr.port == to
            )
            before = _cpu(running)
            urllib.request.urlopen(f"{url}/replay/begin").read()
            time.sleep(EVENTS / RATE + 2)  # noqa: TID251 - there is no loop
            cpu = (_cpu(running) - before) / EVENTS
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(30)
        times: defaultdict[int, list[int]] = defaultdict(list)
        for each in running:
            seen = array.array("q", Path(folder, str(each.pid)).read_bytes())
            for version, at in zip(seen[::2], seen[1::2], strict=True):
                times[version].append(at)
    behind = sorted((at - min(found)) / 1e6 for found in times.values() for at in found if at != min(found)) or [0.0]
    return Measured(
        watches,
        sum(each.uss for each in memory) / 1e6,
        sum(each.pss for each in memory) / 1e6,
        cpu * 1e6,
        behind[len(behind) // 2],
        behind[len(behind) * 99 // 100],
        EVENTS * workers - sum(map(len, times.values())),
    )


def main(objects: int = OBJECTS) -> list[Row]:
    """Measure all services."""
    services = [(1, False, "plain"), (WORKERS, False, "compact"), (WORKERS, True, "compact")]
    rows: list[Row] = []
    wanted: tuple[str, bool | None]
    alone = 0.0
    for workers, shared, storage in services:
        name = f"{workers} worker{'s' * (workers > 1)}, {storage}{', shared' * shared}"
        progress.step(len(rows), len(services) * 6, name)
        found = measure(objects, workers, shared=shared, storage=storage)
        alone = alone or found.uss
        share = found.uss / alone
        wanted = ("≤ 1.6 of 1 plain worker", share <= 1.6) if shared else ("", None)
        rows.append(Row(f"{name}: connections to the API server", f"{found.watches}"))
        rows.append(Row(f"{name}: memory, USS", f"{found.uss:.0f} MB ({share:.2f})", *wanted))
        rows.append(Row(f"{name}: memory, PSS", f"{found.pss:.0f} MB"))
        rows.append(Row(f"{name}: CPU of all workers per event", f"{found.cpu:.0f} µs"))
        if workers > 1:
            rows.append(Row(f"{name}: behind the first, median", f"{found.behind_median:.2f} ms"))
            wanted = ("≤ 5 ms", found.behind_p99 <= 5) if shared else ("", None)
            rows.append(Row(f"{name}: behind the first, p99", f"{found.behind_p99:.2f} ms", *wanted))
        wanted = ("0", found.lost == 0) if shared else ("", None)
        rows.append(Row(f"{name}: events that no handler got", f"{found.lost}", *wanted))
    return rows


if __name__ == "__main__":
    print(plain(main(*map(int, sys.argv[1:]))))
