"""All clients in one run, and the ratios between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import generator
from benchmarks.api_replay import serving
from benchmarks.peers import go, java, rust
from benchmarks.peers.building import MissingError
from benchmarks.peers.measurement import WARM_UP
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PEERS", "PICTURES", "Peer", "main", "page"]

OURS: Final = "kinformer"
RIVAL: Final = "client-go, protobuf"
RIVAL_PLAIN: Final = "client-go, protobuf, plain list"
WATCH: Final = "kubernetes_asyncio, Watch"

FEW: Final = 50
"""The objects of the run that is subtracted."""

_PATIENCE: Final = 90.0  # seconds for one run
_ENOUGH: Final = 220.0  # seconds after which no client is measured again
_LAST: Final = 320.0  # seconds after which no client is measured for the first time

PICTURES: Final = {
    "benchmarks-watch": "CPU time per watch event, by client, on a logarithmic scale",
    "benchmarks-sync": "CPU time per object of the first list, by client, on a logarithmic scale",
    "benchmarks-held": "Memory per object held, by client",
}
"""The plots of this question, and their captions."""


class Peer(NamedTuple):
    """A client, and how it is measured.

    Attributes:
        name: in tables.
        how: it is used, and what that means for its figures.
        run: its name in `clients`, or the arguments of the Go program.
        objects: in the list, and
        events: measured: fewer of the slow ones, which cost as much per event.
        rounds: how often.
        streams: for client-go, whether it streams its first list.
        language: "rust" or "java" for a program that is built with its own tools.
    """

    name: str
    how: str
    run: str
    objects: int = 5000
    events: int = 12_000
    rounds: int = 3
    streams: bool | None = None
    language: str = ""


PEERS: Final = (
    Peer(OURS, "Informer with its index and a plain handler; the first list by streaming, as by default.", OURS),
    Peer("kinformer on uvloop", "The same, run by `uvloop.run`.", "kinformer-uvloop"),
    Peer(
        "kinformer, compact storage",
        'The same with `storage="compact"`: objects are compressed after the handler was called with them.',
        "kinformer-compact",
    ),
    Peer(
        RIVAL,
        "Generated clientset with protobuf, shared informer, one handler; the first list by streaming, its default. "
        "Decodes all into structs; collects garbage on other threads, whose time counts.",
        "protobuf",
        streams=True,
    ),
    Peer(
        RIVAL_PLAIN,
        'The same with WatchListClient off: a list at version "0", which comes in one page.',
        "protobuf",
        streams=False,
    ),
    Peer("client-go, JSON", "As custom resources have it; streaming.", "json", events=4000, streams=True),
    Peer(
        "client-go, JSON, plain list",
        'The same with WatchListClient off: a list at version "0", which comes in one page.',
        "json",
        events=4000,
        streams=False,
    ),
    Peer(
        "kube-rs, Store",
        "`watcher` with `streaming_lists`, `default_backoff` and `reflect` into a `Store`; its stream is the handler. "
        "Decodes all into structs; its Store has no indexes, so the loop reads node and phase.",
        "kube_rs",
        language="rust",
    ),
    Peer(
        "Fabric8, SharedIndexInformer",
        "`runnableInformer` with one handler, and an index where it reads, on the JVM with its defaults. The time of "
        "its compiler and its collector counts; what the JVM keeps for later counts as held.",
        "fabric8",
        events=8000,
        language="java",
    ),
    Peer(
        "lightkube, watch",
        "`AsyncClient.list`, then `watch`; a dict by hand. Decodes into dataclasses with msgspec. No cache, no resume "
        "after an expired version.",
        "lightkube",
    ),
    Peer(
        "cloudcoil, AsyncInformer",
        "`Config` with `Cache`; pydantic models. Its handlers get nothing of the first list, of which it takes only "
        "the first page (of 500 objects), so the list is that long.",
        "cloudcoil",
        objects=500,
        events=1500,
    ),
    Peer(
        "kubernetes, Watch",
        "`list_pod_for_all_namespaces` by pages, then `watch.Watch`; a dict by hand. pydantic models; threads.",
        "kubernetes-watch",
        objects=1000,
        events=700,
        rounds=2,
    ),
    Peer(
        "kubernetes, SharedInformer",
        "The official client's own informer, in a thread; it lists in one page.",
        "kubernetes-informer",
        objects=1000,
        events=700,
        rounds=2,
    ),
    Peer(
        WATCH,
        "`list_pod_for_all_namespaces` by pages, then `watch.Watch`; a dict by hand. Decodes each event twice.",
        "kubernetes_asyncio",
        objects=1000,
        events=700,
        rounds=2,
    ),
    Peer(
        "kopf, on.event",
        'An operator with one `@kopf.on.event`, for "reads" an `@kopf.index`, too. A task per object, and a log line '
        "per event that is thrown away; it keeps no objects, so it holds only its own notes of each.",
        "kopf",
        objects=1000,
        events=700,
        rounds=2,
    ),
    Peer(
        "kr8s, watch",
        "`watch`, which begins with all there is; a dict by hand. `Box` objects.",
        "kr8s",
        objects=300,
        events=200,
        rounds=1,
    ),
)


class _Failed(Exception):  # noqa: N818 - it is a result
    """A client could not be measured; says why in one line."""


def _run(peer: Peer, url: str, objects: int, events: int, *, reads: bool) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/replay/reset?objects={objects}") as answer:
        answer.read()
    environment = dict(os.environ)
    how = "reads" if reads else "names"
    if peer.language:
        try:
            program = [str(rust.built())] if peer.language == "rust" else java.command()
        except MissingError as missing:
            raise _Failed(str(missing)) from missing
        run = [*program, url, str(objects), str(events), str(int(events * WARM_UP)), how]
    elif peer.streams is None:
        run = [sys.executable, "-m", "benchmarks.peers.clients", peer.run, url, str(objects), str(events), how]
    else:
        try:
            client_go = go.built()
        except MissingError as missing:
            raise _Failed(str(missing)) from missing
        environment["KUBE_FEATURE_WatchListClient"] = str(peer.streams).lower()
        run = [str(client_go), "informer", "-url", url, "-encoding", peer.run, "-objects", str(objects)]
        run += ["-events", str(events), "-warm-up", str(int(events * WARM_UP)), *(["-reads"] if reads else [])]
    try:
        done = subprocess.run(run, capture_output=True, text=True, timeout=_PATIENCE, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise _Failed(f"not done within {_PATIENCE:.0f} s") from None
    if done.returncode:
        raise _Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


class Figures(NamedTuple):
    """Of one client: CPU microseconds per object and per event, and bytes per object."""

    sync: float
    watch: float
    reads: float
    held: float


def _measured(peers: Sequence[Peer], url: str) -> dict[str, Figures | str]:
    """By name, the figures, or why there are none."""
    best: dict[str, dict[str, float]] = {peer.name: {} for peer in peers}
    failed: dict[str, str] = {}
    rounds = max(peer.rounds for peer in peers)
    began = time.perf_counter()
    total, done = sum(peer.rounds for peer in peers), 0
    for turn in range(rounds):
        for peer in peers:
            if turn >= peer.rounds or peer.name in failed or (turn and time.perf_counter() - began > _ENOUGH):
                continue
            if time.perf_counter() - began > _LAST:
                failed[peer.name] = f"no time was left after {_LAST:.0f} s"
                continue
            step(done, total, peer.name)
            done += 1
            least = best[peer.name]

            def keep(name: str, value: float, least: dict[str, float] = least) -> None:
                least[name] = min(least.get(name, value), value)

            try:
                few = _run(peer, url, FEW, 0, reads=False)
                keep("few sync", few["sync"])
                keep("few held", few["held"])
                many = _run(peer, url, peer.objects, peer.events, reads=False)
                keep("sync", many["sync"])
                keep("held", many["held"])
                keep("watch", many["event"])
                keep("reads", _run(peer, url, peer.objects, peer.events, reads=True)["event"])
            except (_Failed, KeyError, ValueError, OSError) as error:
                failed[peer.name] = str(error) or type(error).__name__
    figures: dict[str, Figures | str] = {}
    for peer in peers:
        least = best[peer.name]
        if peer.name in failed and "reads" not in least:
            figures[peer.name] = failed[peer.name]
            continue
        more = peer.objects - FEW
        figures[peer.name] = Figures(
            sync=(least["sync"] - least["few sync"]) / more,
            watch=least["watch"],
            reads=least["reads"],
            held=(least["held"] - least["few held"]) / more,
        )
    return figures


def _quick(peer: Peer) -> Peer | None:
    if peer.name not in {OURS, RIVAL, WATCH, "client-go, JSON", "lightkube, watch"}:
        return None
    return peer._replace(events=peer.events // 2, rounds=2 if peer.name in {OURS, RIVAL} else 1)


def main() -> list[Row]:
    """Rows in the series "sync", "watch", "reads" and "held" (one for each client), "ratios" and "size"."""
    peers = [small for peer in PEERS if (small := _quick(peer))] if is_quick() else list(PEERS)
    objects = max(peer.objects for peer in peers)
    events = int(max(peer.events for peer in peers) * (1 + WARM_UP)) + 1
    step(0, 1, "rendering, building client-go")
    try:
        encoded = go.encoded(objects, events)
    except MissingError:
        encoded = None  # client-go's rows say why
    with serving(objects, events, encoded) as url:
        figures = _measured(peers, url)
    size = sum(map(len, generator.pods(500))) / 500
    rows = _ratios(figures, size)
    ours = figures.get(OURS)
    for series, unit in (("watch", "µs"), ("sync", "µs"), ("reads", "µs"), ("held", "kB")):
        for name, found in figures.items():
            if isinstance(found, str):
                rows.append(Row(name, f"not measured: {found}", series=series))
                continue
            number: float = getattr(found, series)
            shown = number / 1e3 if unit == "kB" else number
            ratio = f", {number / getattr(ours, series):.2f} ×" if isinstance(ours, Figures) else ""
            rows.append(Row(name, f"{shown:,.1f} {unit}{ratio}", number=number, series=series))
    rows.append(Row("JSON of an object", f"{size / 1e3:.1f} kB", number=size, series="size"))
    return rows


def _ratios(figures: dict[str, Figures | str], size: float) -> list[Row]:
    """Return the project's own targets, relative to others."""
    wanted = (
        ("watch event, of client-go with protobuf", "watch", RIVAL, "≤ 0.33 ×", 1 / 3),
        ("watch event, of kubernetes_asyncio's Watch", "watch", WATCH, "≤ 0.020 ×", 1 / 50),
        ("object of the first list, of client-go with protobuf", "sync", RIVAL, "≤ 0.50 ×", 0.5),
        ("event whose handler and index read, of client-go with protobuf", "reads", RIVAL, "≤ 0.80 ×", 0.8),
    )
    rows = []
    ours = figures.get(OURS)
    for what, series, other, target, bound in wanted:
        theirs = figures.get(other)
        plain = figures.get(RIVAL_PLAIN)
        if other == RIVAL and isinstance(theirs, Figures) and isinstance(plain, Figures):
            # The cheaper of its two ways, whichever that is.
            theirs = Figures(*map(min, theirs, plain))
        if not isinstance(ours, Figures) or not isinstance(theirs, Figures):
            why = next((found for found in (ours, theirs) if isinstance(found, str)), "not asked")
            rows.append(Row(what, f"not measured: {why}", target, series="ratios"))
            continue
        ratio = getattr(ours, series) / getattr(theirs, series)
        rows.append(Row(what, f"{ratio:.{2 if bound > 0.1 else 3}f} ×", target, ratio <= bound, ratio, "ratios"))
    for name in (OURS, RIVAL):
        found = figures.get(name)
        if isinstance(found, Figures):
            ratio = found.held / size
            rows.append(Row(f"memory held, of the JSON: {name}", f"{ratio:.2f} ×", number=ratio, series="ratios"))
    return rows


def page(rows: list[Row]) -> str:
    """The ratios, all clients side by side, and how each was used."""
    ratios = [row for row in rows if row.series == "ratios"]
    values = {(row.series, row.what): row for row in rows}
    lines = [
        "| | µs per object of the first list | µs per event | … reading | kB per object held |",
        "|---|--:|--:|--:|--:|",
    ]
    ours = {series: values.get((series, OURS)) for series in ("sync", "watch", "reads", "held")}
    for peer in PEERS:
        first = values.get(("watch", peer.name))
        if first is None:
            continue
        if first.number is None:
            lines.append(f"| {peer.name} | {first.value} | | | |")
            continue
        cells = []
        for series, own in ours.items():
            number = values[series, peer.name].number or 0.0
            shown = number / 1e3 if series == "held" else number
            times = f" ({number / own.number:.1f} ×)" if own and own.number and peer.name != OURS else ""
            cells.append(f"{shown:,.{1 if shown < 100 else 0}f}{times}")
        name = f"**{peer.name}**" if peer.name == OURS else peer.name
        lines.append(f"| {name} | {' | '.join(cells)} |")
    notes = "\n".join(f"- **{peer.name}**: {peer.how}" for peer in PEERS)
    return f"{markdown(ratios)}\n\nIn brackets, of kinformer:\n\n" + "\n".join(lines) + f"\n\n{notes}"
