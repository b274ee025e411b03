"""Question: do twenty informers stay right, and small, for ten minutes under faults, at 500 writes a second?

    python -m benchmarks.soak [--minutes 10]

`kinformer serve-api` runs in a process of its own and goes wrong again and again, in every way a watch or a list can; a
second process writes. Here, handlers check every event, and each cache is compared with the server in the end,
object by object. Exits with 1 when a cache differs, a handler got an impossible history, tasks or sockets
have grown, or the memory after the last minute is more than 5 % above that after the fifth.

Its bias: one server, on loopback, that is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil

from kinformer import Added, Client, ClusterConfig, Deleted, KinformerError, SharedInformerFactory, Updated
from kinformer.cli._simulated.compare import compare_with_server
from kinformer.resources import CONFIGMAPS, LEASES, NAMESPACES, PODS, SECRETS, SERVICES

if TYPE_CHECKING:
    from kinformer import ObjectKey, SharedInformer
    from kinformer.events import Event
    from kinformer.objects import KubeObject

WRITES_PER_SECOND = 500
OBJECTS = 2000
TEAMS = tuple(f"team-{number}" for number in range(6))
APPS = ("web", "api", "batch", "cache")
PICTURE = Path("docs/img/soak.svg")
SAMPLE_SECONDS = 5.0

# At random moments, so far apart on the average: every pair of faults meets sooner or later.
FAULTS = (
    "drop:about=7",
    "end:about=11",
    "cut:about=13",
    "garbage:about=17",
    "error:status=500,about=19",
    "error:status=429,about=23",
    "expire:about=29",
    "fail:status=503,verb=watch,count=9,about=31",
    "fail:status=500,verb=list,count=3,about=37",
    "fail:status=503,verb=watch,count=3,about=41,html=<html>503</html>",
    "status-on-stream:about=43",
    "freeze:resource=configmaps,about=53",
    "empty:about=59",
    "down:about=83,seconds=2",
    "lag:writes=200,about=97",
    "lag:writes=0,about=67",
)


class Checked:
    """A handler that checks its events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events = 0
        self.problems: list[str] = []
        self._told: dict[ObjectKey, tuple[str, int]] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.events += 1
        known = self._told.get(event.key)
        match event:
            case Added(obj):
                self._expect(known is None, "added twice", event)
                self._told[event.key] = _state(obj)
            case Updated(old, new):
                self._expect(known == _state(old), "old is not the last delivered state", event)
                self._expect(_state(new)[1] > _state(old)[1], "not newer than the old state", event)
                self._told[event.key] = _state(new)
            case Deleted():
                self._expect(known is not None, "the deletion of an unknown object", event)
                self._told.pop(event.key, None)

    def _expect(self, holds: bool, problem: str, event: Event) -> None:
        if not holds:
            self.problems.append(f"{self.name}: {problem}: {type(event).__name__} {event.key}")


def _state(obj: KubeObject) -> tuple[str, int]:
    return obj.uid, int(obj.resource_version)


@dataclass
class Samples:
    """The measurements, one entry every five seconds."""

    at: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)

    def take(self, at: float, live: int, events: int) -> None:
        """Measure now."""
        process = psutil.Process()
        self.at.append(at)
        self.rss.append(process.memory_info().rss / 1e6)
        self.tasks.append(len(asyncio.all_tasks()))
        self.sockets.append(len(process.net_connections()))
        self.live.append(live)
        self.events.append(events)

    def around(self, values: list[Any], minute: float) -> float:
        """The median within the minute before that one."""
        chosen = sorted(v for t, v in zip(self.at, values, strict=True) if (minute - 1) * 60 <= t <= minute * 60)
        return float(chosen[len(chosen) // 2]) if chosen else float(values[-1])


def informers_of(factory: SharedInformerFactory) -> dict[str, SharedInformer]:
    """Twenty of them: whole, by namespace, by label, by field, metadata only."""
    found = {"configmaps": factory.informer(CONFIGMAPS), "secrets": factory.informer(SECRETS)}
    for namespace in TEAMS:
        found[f"configmaps in {namespace}"] = factory.informer(CONFIGMAPS, namespace=namespace)
    for app in APPS:
        found[f"configmaps of {app}"] = factory.informer(CONFIGMAPS, label_selector={"app": app})
    for app in APPS[:2]:
        found[f"secrets but {app}"] = factory.informer(SECRETS, label_selector=f"app!={app}")
    found["one configmap"] = factory.informer(CONFIGMAPS, field_selector="metadata.name=object-7")
    found["metadata of configmaps"] = factory.informer(CONFIGMAPS, metadata_only=True)
    for kind in (PODS, SERVICES, LEASES):
        found[kind.plural] = factory.informer(kind)
    found["namespaces"] = factory.core.v1.namespaces
    assert len(found) == 20
    return found


async def write(url: str) -> None:
    """Create, change, relabel and delete, at a steady rate, until the process is ended; says how many in the end."""
    rng = random.Random(1)
    done = refused = 0

    async def one(client: Client) -> None:
        nonlocal done, refused
        number = rng.randrange(OBJECTS)
        kind = CONFIGMAPS if number % 4 else SECRETS
        name, namespace = f"object-{number}", TEAMS[number % len(TEAMS)]
        metadata = {"name": name, "namespace": namespace, "labels": {"app": rng.choice(APPS)}}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": kind.kind, "metadata": metadata}
        try:
            if rng.random() < 0.07:
                await client.delete(kind, name, namespace=namespace)
            else:
                data = {"v": "dmFsdWU=" * rng.randrange(1, 40)}
                await client.patch(kind, name, body | {"data": data}, namespace=namespace)
            done += 1
        except KinformerError as error:
            if getattr(error, "status", 0) != 404:
                refused += 1
                return
            with contextlib.suppress(KinformerError):
                await client.create(kind, body, namespace=namespace)
                done += 1

    async with Client(ClusterConfig.for_server(url)) as client:
        for namespace in TEAMS:
            with contextlib.suppress(KinformerError):
                await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        clock = asyncio.get_running_loop().time
        began, count = clock(), 0
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    count += 25
                    for _ in range(25):
                        tasks.create_task(one(client))
                    await asyncio.sleep(max(0.0, began + count / WRITES_PER_SECOND - clock()))
        finally:
            print(json.dumps({"done": done, "refused": refused, "seconds": clock() - began}), flush=True)


async def soak(minutes: float) -> int:
    """Run it; returns the exit code."""
    serving = ["-m", "kinformer", "serve-api"]
    for fault in FAULTS:
        serving += ["--fault", f"{fault},after=5"]
    server = await asyncio.create_subprocess_exec(sys.executable, *serving, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().split()[-1]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.soak", "--write", url, stdout=asyncio.subprocess.PIPE
    )
    try:
        return await _soak(minutes, url, writer)
    finally:
        for process in (writer, server):
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _soak(minutes: float, url: str, writer: asyncio.subprocess.Process) -> int:
    clock = asyncio.get_running_loop().time
    samples = Samples()
    errors: dict[str, int] = {}

    def failed(error: KinformerError, _: SharedInformer) -> None:
        errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1

    before_tasks = len(asyncio.all_tasks())
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client, watch_seconds=10, on_error=failed)
        informers = informers_of(factory)
        handlers = {name: Checked(name) for name in informers}
        for name, informer in informers.items():
            informer.add_event_handler(handlers[name])
        began = clock()
        cpu = time.process_time()
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            print(
                f"{len(informers)} informers in sync after {clock() - began:.1f} s; {minutes:g} minutes of faults begin"
            )
            while clock() - began < minutes * 60:
                await asyncio.sleep(SAMPLE_SECONDS)
                live = sum(informer.is_live for informer in informers.values())
                samples.take(clock() - began, live, sum(handler.events for handler in handlers.values()))
                if len(samples.at) % 12 == 0:
                    print(_line(samples), flush=True)
            if writer.returncode is not None:
                raise RuntimeError("the writer has failed; its error is above")
            writer.terminate()
            written = json.loads((await writer.stdout.read()).splitlines()[-1])  # type: ignore[union-attr]
            cpu = time.process_time() - cpu
            different = await _differences(url, factory, informers)
            problems = [problem for handler in handlers.values() for problem in handler.problems]
            relists = sum(informer.status.relists for informer in informers.values())
            watches = sum(informer.status.watches for informer in informers.values())
    after_tasks = len(asyncio.all_tasks())
    fifth = samples.around(samples.rss, min(5.0, minutes / 2))
    last = samples.around(samples.rss, minutes)
    growth = last / fifth - 1
    sockets = max(samples.sockets)
    print(
        f"\n{written['done']:,} writes ({written['done'] / written['seconds']:.0f}/s, {written['refused']:,} refused), "
        f"{samples.events[-1]:,} events delivered, {relists:,} relists, {watches:,} watches, "
        f"{cpu / samples.events[-1] * 1e6:.0f} µs CPU per event delivered\n"
        f"errors reported: {', '.join(f'{count} {name}' for name, count in sorted(errors.items()))}\n"
        f"memory: {fifth:.1f} MB after the fifth minute, {last:.1f} MB after the last ({growth:+.1%})\n"
        f"tasks: at most {max(samples.tasks)}, {after_tasks - before_tasks} left; sockets: at most {sockets}\n"
        f"impossible histories: {len(problems)}; caches that differ: {len(different)}"
    )
    for line in [*problems[:10], *different]:
        print("  " + line)
    draw(samples)
    print(f"wrote {PICTURE}")
    limit = 2 * len(informers) + 40
    wrong = problems or different or growth > 0.05 or after_tasks > before_tasks or sockets > limit
    return 1 if wrong else 0


async def _differences(url: str, factory: SharedInformerFactory, informers: dict[str, SharedInformer]) -> list[str]:
    """Return the caches that differ from the server; the faults continue, so a caller may have to look again."""
    identities = {informer: identity for identity, informer in factory.informers.items()}
    different = []
    async with aiohttp.ClientSession() as session:
        for name, informer in informers.items():
            said = "the server never answered"
            # Refusals that were meant for lists have piled up, and are used up here.
            for _ in range(400):
                try:
                    found = await compare_with_server(session, url, identities[informer], informer, timeout=5)
                except (aiohttp.ClientError, KeyError, ValueError):
                    await asyncio.sleep(0.05)
                    continue
                said = found.differences()
                if found.equal or identities[informer].scope.metadata_only:
                    break
            if identities[informer].scope.metadata_only:
                # The server's whole objects are no measure for it; their versions are.
                whole = informers["configmaps"].snapshot()
                parts = informer.snapshot()
                same = {k: o.resource_version for k, o in whole.items()} == {
                    k: o.resource_version for k, o in parts.items()
                }
                said = "" if same else "versions differ"
            if said:
                different.append(f"{name}: {said}")
    return different


def _line(samples: Samples) -> str:
    return (
        f"  {samples.at[-1] / 60:4.1f} min  {samples.rss[-1]:6.1f} MB  {samples.tasks[-1]:3} tasks  "
        f"{samples.sockets[-1]:3} sockets  {samples.live[-1]:2} live  {samples.events[-1]:,} events"
    )


def draw(samples: Samples) -> None:
    """Memory, live informers and events over time."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kinformer"
    from matplotlib import pyplot as plt

    minutes = [at / 60 for at in samples.at]
    rates = [0.0] + [
        (after - before) / SAMPLE_SECONDS for before, after in zip(samples.events, samples.events[1:], strict=False)
    ]
    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(8, 5.5), layout="constrained")
    for axis, values, label, color in (
        (axes[0], samples.rss, "memory, MB", "#2f6fde"),
        (axes[1], rates, "events delivered /s", "#3a9d5d"),
        (axes[2], samples.live, "informers live, of 20", "#c77d1e"),
    ):
        axis.plot(minutes, values, color=color, linewidth=1.4)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_title("Twenty informers under faults, 500 writes/s", loc="left", fontsize=11)
    axes[2].set_xlabel("minutes")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        loop = asyncio.Runner()
        with loop, contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            import signal

            task = loop.get_loop().create_task(write(arguments.write))
            loop.get_loop().add_signal_handler(signal.SIGTERM, task.cancel)
            loop.get_loop().run_until_complete(task)
        return
    # on_error counts the errors; a line for each would be thousands.
    logging.disable(logging.CRITICAL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    del soft
    sys.exit(asyncio.run(soak(arguments.minutes)))


if __name__ == "__main__":
    main()
