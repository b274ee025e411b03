"""Question: how much does an event cost with handlers as people write them?

One informer and one handler per run, each in a process of its own, over HTTP: CPU time per watch event of the recorded
pods (8.9 KB). All that read a section have an index on `spec.nodeName`, read in the same way, as client-go's run has.
Beside them stands client-go with protobuf, whose handler and index read the same fields: its objects are decoded as a
whole in each case, so one figure stands for all. The runs are interleaved and the least of three counts; "× scan"
is the multiple of the time in which msgspec skips over the event once, in the same run.

Its bias: events come as fast as they are taken, in large batches. Single events cost several times as much in each
client (see `latency`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from benchmarks import generator
from benchmarks.api_replay import serving
from benchmarks.peers import go
from benchmarks.peers.measurement import WARM_UP, Measurement
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.controller._event_mapping import EventMapping, own_key
from kinformer.controller._ownership import OwnerKeys, Ownership
from kinformer.events import Updated
from kinformer.filters import annotations_changed, generation_changed, labels_changed
from kinformer.resources import PODS, REPLICASETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kinformer.objects import KubeObject

OBJECTS: Final = 2000
EVENTS: Final = 12_000
ROUNDS: Final = 3


class Container(msgspec.Struct):
    """A part of the class for typed informers."""

    name: str
    image: str = ""


class Condition(msgspec.Struct):
    """A part of the class for typed informers."""

    type: str
    status: str


class PodSpec(msgspec.Struct, rename="camel"):
    """A part of the class for typed informers."""

    node_name: str = ""
    containers: list[Container] = []


class PodStatus(msgspec.Struct, rename="camel"):
    """A part of the class for typed informers."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] = []


class PodMetadata(msgspec.Struct, rename="camel"):
    """A part of the class for typed informers."""

    name: str
    namespace: str = ""
    uid: str = ""


class Pod(msgspec.Struct):
    """Ten fields of a pod, for typed informers."""

    metadata: PodMetadata
    spec: PodSpec
    status: PodStatus


class _Discarding:
    """In place of a controller's queue."""

    def add(self, key: object, **how: object) -> None:
        """Take a key."""

    def hold_back(self, key: object) -> None:
        """Take a key that waits for a write."""


def _conditions(pod: KubeObject) -> str:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    owner = next((o["name"] for o in pod["metadata"].get("ownerReferences", [])), "")
    return f"{pod['status']['phase']} {ready} {owner} {pod['spec'].get('nodeName')}"


def _mapped(**how: Any) -> Callable[[KubeObject, KubeObject], str]:
    keys_of = how.pop("keys_of", own_key)
    mapping: Any = EventMapping(None, keys_of, how.pop("admit", None), _Discarding())  # type: ignore[arg-type]

    def handle(old: KubeObject, new: KubeObject) -> str:
        mapping.on_event(Updated(old, new))
        return new.name

    return handle


HANDLERS: Final[dict[str, tuple[str, Callable[[Any, Any], str]]]] = {
    "names": ("names", lambda _, new: new.name),
    "status": ('obj["status"]["phase"]', lambda _, new: new["status"]["phase"]),
    "paths": ('obj.at("status.phase")', lambda _, new: new.at("status.phase")),
    "declared": ('obj.at("status.phase"), declared', lambda _, new: new.at("status.phase")),
    "three": ("conditions, owner and node, from three sections", lambda _, new: _conditions(new)),
    "to_dict": ("obj.to_dict()", lambda _, new: new.to_dict()["status"]["phase"]),
    "owns": ("Controller.owns", _mapped(keys_of=OwnerKeys(REPLICASETS, Ownership("benchmark")))),
    "generation": ("generation_changed", _mapped(admit=generation_changed)),
    "labels": ("labels_changed", _mapped(admit=labels_changed)),
    "annotations": ("annotations_changed", _mapped(admit=annotations_changed)),
    "deletion": ("deletion_timestamp", lambda _, new: "no" if new.deletion_timestamp is None else "yes"),
    "typed": ("typed informer, a Struct of ten fields", lambda _, new: new.status.phase),
    "compact": ('obj["status"]["phase"], compact storage', lambda _, new: new["status"]["phase"]),
}

WITHOUT_INDEX: Final = {"names", "owns", "generation", "labels", "annotations", "deletion", "typed"}
"""Those whose index reads the namespace, so that the row shows what the handler itself costs."""


async def ours(name: str, measured: Measurement) -> None:
    """Measure one handler, in this process."""
    done, listed = asyncio.Event(), asyncio.Event()
    handle = HANDLERS[name][1]

    def added(_: object) -> None:
        if measured.is_last_added():
            listed.set()

    def updated(old: Any, new: Any) -> None:
        if measured.event(handle(old, new)):
            done.set()

    measured.start()
    async with Client(ClusterConfig.for_server(measured.url)) as client:
        factory = SharedInformerFactory(client, storage="compact" if name == "compact" else "plain")
        pods = factory.core.v1.pods
        if name == "declared":
            pods.declare_paths("spec.nodeName", "status.phase")
            pods.add_indexers({"node": lambda pod: [pod.at("spec.nodeName", "")]})
        elif name not in WITHOUT_INDEX:
            pods.add_indexers({"node": lambda pod: [pod["spec"].get("nodeName", "")]})
        informer: Any = factory.informer(PODS, type=Pod) if name == "typed" else pods
        informer.add_event_handler(on_add=added, on_update=updated)
        async with factory:
            await listed.wait()
            if name == "compact":
                await asyncio.sleep(1.5)  # its background work is no part of an event
            measured.listed()
            await done.wait()


def _run(run: list[str]) -> float:
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return float(json.loads(done.stdout.splitlines()[-1])["event"])


def least_of(runs: dict[str, list[str]], rounds: int, prepare: Callable[[], None]) -> dict[str, float]:
    """Return the least of several interleaved runs of each program, in CPU microseconds per event."""
    costs = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            prepare()
            costs[name] = min(costs[name], _run(run))
    return costs


def _scan_limit(events: int) -> float:
    class Nothing(msgspec.Struct):
        """Has no fields, so that everything is skipped."""

    decode = msgspec.json.Decoder(Nothing).decode
    raws = [generator.event(at, OBJECTS)[1] for at in range(min(events, 116))]
    best = float("inf")
    for _ in range(20):
        began = time.process_time()
        for raw in raws:
            decode(raw)
        best = min(best, (time.process_time() - began) / len(raws))
    return best * 1e6


def main() -> list[Row]:
    """Rows in the order of `HANDLERS`, then client-go's."""
    events = EVENTS // 3 if is_quick() else EVENTS
    total = int(events * (1 + WARM_UP)) + 1
    costs: dict[str, float] = {}
    limit = float("inf")
    why = ""
    step(0, 1, "rendering, building client-go")
    try:
        program: Path | None = go.built()
        encoded: Path | None = go.encoded(OBJECTS, total)
    except go.MissingError as error:
        program, encoded, why = None, None, str(error)
    with serving(OBJECTS, total, encoded) as url:
        for turn in range(ROUNDS):
            for place, name in enumerate([*HANDLERS, "client-go"]):
                step(turn * (len(HANDLERS) + 1) + place, ROUNDS * (len(HANDLERS) + 1), name)
                run = [sys.executable, "-m", "benchmarks.handlers", name, url, str(OBJECTS), str(events)]
                if name == "client-go":
                    if program is None:
                        continue
                    run = [str(program), "informer", "-url", url, "-encoding", "protobuf", "-objects", str(OBJECTS)]
                    run += ["-events", str(events), "-warm-up", str(int(events * WARM_UP)), "-reads"]
                limit = min(limit, _scan_limit(events))
                costs[name] = min(costs.get(name, float("inf")), _run(run))
    rival = costs.get("client-go")
    rows = [Row("scan limit: msgspec skips over an event", f"{limit:.1f} µs", number=limit)]
    for name, (what, _) in HANDLERS.items():
        cost = costs[name]
        beside = f", {cost / rival:.2f} × client-go" if rival else ""
        target, reached = _target(name, cost / limit, cost / rival if rival else None)
        rows.append(Row(what, f"{cost:.1f} µs, {cost / limit:.1f} × scan{beside}", target, reached, cost))
    if rival:
        rows.append(Row("client-go, protobuf, handler and index read", f"{rival:.1f} µs", number=rival))
    else:
        rows.append(Row(f"client-go not measured: {why}", ""))
    return rows


_OF_SCAN: Final = {"names": 2.0, "status": 4.5} | dict.fromkeys(
    ("owns", "generation", "labels", "annotations", "deletion"), 4.0
)
_OF_RIVAL: Final = {"names": 0.2, "status": 0.4, "three": 0.7, "to_dict": 1.3, "typed": 0.5}


def _target(name: str, of_scan: float, of_rival: float | None) -> tuple[str, bool | None]:
    words: list[str] = []
    reached: bool | None = None
    if name in _OF_SCAN:
        words.append(f"≤ {_OF_SCAN[name]:g} × scan")
        reached = of_scan <= _OF_SCAN[name]
    if name in _OF_RIVAL:
        words.append(f"≤ {_OF_RIVAL[name]:g} × client-go")
        if of_rival is not None:
            reached = reached is not False and of_rival <= _OF_RIVAL[name]
    return ", ".join(words), reached


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if len(sys.argv) > 1:
        measurement = Measurement(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), reads=True)
        asyncio.run(ours(sys.argv[1], measurement))
        print(json.dumps(measurement.found))
    else:
        print(__doc__)
        print(plain(main()))
