"""Question: what does an event of another kind of object cost?

Pods are one shape among others. Here are updates of Kubernetes Events (0.9 KB), custom resources with sorted keys
(10 KB), Nodes with 50 images (15 KB), EndpointSlices of 100 endpoints (23 KB) and ConfigMaps of one text of 500 KB,
over HTTP as JSON: CPU time per event with a handler that looks at names, and with one that reads one field as people
write it; beside them client-go, whose informer of custom resources is the dynamic one. All objects are made here, after
objects of real clusters. The runs are interleaved and the least of two counts. "× scan" is the multiple of the time in
which msgspec skips over the event once.

Its bias: client-go reads JSON, the only form of custom resources; with protobuf, which it asks for with built-in kinds,
it takes about a seventh (see `peers`). Events come as fast as they are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from benchmarks.peers import go
from benchmarks.peers.measurement import WARM_UP, Measurement
from benchmarks.progress import is_quick, step
from benchmarks.table import Row, plain
from benchmarks.wire import chunked
from kinformer import Client, ClusterConfig, SharedInformer
from kinformer.resources import CONFIGMAPS, ENDPOINTSLICES, EVENTS, NODES, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer import KubeObject

OBJECTS: Final = 100
ROUNDS: Final = 2
_BYTES: Final = 24_000_000
"""Of all events of one run, so that large objects do not take longer than small ones."""

_MOST: Final = 8_000  # events of one run
_MADE: Final = b'"resourceVersion":"1000000"'
_PIECE: Final = 1 << 18
_TEXT: Final = "".join(f"{number * 2654435761 % 2**32:08x} = [{number}, true]\n" for number in range(22_000))[:500_000]


def _managed(fields: dict[str, Any], times: int) -> list[dict[str, Any]]:
    entry = {"operation": "Update", "apiVersion": "v1", "time": "2026-11-23T08:35:54Z", "fieldsType": "FieldsV1"}
    return [{"manager": f"manager-{number}", **entry, "fieldsV1": fields} for number in range(times)]


def _metadata(name: str, number: int, **others: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": f"team-{number % 20}",
        "uid": f"66299cbb-10b9-4c1f-a797-{number:012d}",
        "resourceVersion": "1000000",
        "creationTimestamp": "2026-11-23T08:35:54Z",
        **others,
    }


def _event(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        f"f:{name}": {} for name in ("count", "firstTimestamp", "involvedObject", "lastTimestamp", "message")
    }
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": _metadata(f"web-{number}.18{number:010x}", number, managedFields=_managed(fields, 1)),
        "involvedObject": {
            "kind": "Pod",
            "namespace": f"team-{number % 20}",
            "name": f"web-{number}",
            "apiVersion": "v1",
        },
        "reason": "Scheduled",
        "message": f"Successfully assigned team-{number % 20}/web-{number} to node-1",
        "source": {"component": "default-scheduler"},
        "firstTimestamp": "2026-11-23T08:35:54Z",
        "lastTimestamp": "2026-11-23T08:35:54Z",
        "count": 1,
        "type": "Normal",
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    }


def _application(number: int) -> dict[str, Any]:
    fields = {
        "f:spec": {f"f:field{place}": {".": {}, "f:a": {}, "f:b": {}} for place in range(40)},
        "f:status": {f"f:field{place}": {} for place in range(30)},
    }
    source = {"repoURL": "https://git.example.com/org/repo.git", "path": "deploy/app", "targetRevision": "HEAD"}
    history = {"deployedAt": "2026-01-01T00:00:00Z", "source": source}
    resource = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "x", "status": "Synced"}
    return {
        "apiVersion": "example.com/v1",
        "kind": "Application",
        "metadata": _metadata(
            f"app-{number}",
            number,
            generation=1,
            labels={"team": f"team-{number % 10}", "env": "prod"},
            annotations={"note": "x" * 200},
            finalizers=["example.com/finalizer"],
            managedFields=_managed(fields, 2),
        ),
        "spec": {
            "project": "default",
            "source": {**source, "helm": {"values": "a: b\nc: d\n" * 30}},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "x"},
            "syncPolicy": {"automated": {"prune": True}},
        },
        "status": {
            "health": {"status": "Healthy"},
            "history": [{"id": place, "revision": f"{place:040x}", **history} for place in range(10)],
            "resources": [
                {**resource, "name": f"part-{place}", "health": {"status": "Healthy"}} for place in range(30)
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _node(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "f:status": {"f:conditions": {f"k:{place}": {"f:status": {}} for place in range(6)}, "f:images": {}}
    }
    metadata = _metadata(
        f"node-{number}",
        number,
        labels={f"label-{place}.example.com/x": f"value-{place}" for place in range(25)},
        annotations={f"annotation-{place}": "y" * 60 for place in range(10)},
        managedFields=_managed(fields, 4),
    )
    del metadata["namespace"]
    condition = {
        "status": "False",
        "lastHeartbeatTime": "2026-11-23T08:35:54Z",
        "reason": "KubeletHas",
        "message": "well",
    }
    volumes = [f"kubernetes.io/csi/x^volume-{place}" for place in range(30)]
    image = "registry.example.com/org/image"
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {"podCIDR": "10.0.0.0/24", "providerID": "x"},
        "status": {
            "capacity": {"cpu": "64", "memory": "1Ki", "pods": "110"},
            "conditions": [{"type": name, **condition} for name in ("MemoryPressure", "DiskPressure", "Ready")],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "images": [
                {"names": [f"{image}-{place}@sha256:{place:064x}", f"{image}-{place}:v1"], "sizeBytes": place * 1000}
                for place in range(50)
            ],
            "volumesInUse": volumes,
            "volumesAttached": [{"name": name, "devicePath": ""} for name in volumes],
            "nodeInfo": {"kubeletVersion": "v1.36.1"},
        },
    }


def _endpoint_slice(number: int) -> dict[str, Any]:
    target = {"kind": "Pod", "namespace": "t", "uid": "66299cbb-10b9-4c1f-a797-3a7c8fa2c5ec"}
    endpoint = {"conditions": {"ready": True, "serving": True, "terminating": False}, "zone": "a"}
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": _metadata(
            f"service-{number}", number, generation=1, labels={"kubernetes.io/service-name": f"service-{number}"}
        ),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.1.{place}.{number % 250}"],
                **endpoint,
                "targetRef": {**target, "name": f"web-{place}"},
                "nodeName": f"node-{place}",
            }
            for place in range(100)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def _config_map(number: int) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": _metadata(f"config-{number}", number),
        "data": {"values.yaml": _TEXT},
    }


class Shape(NamedTuple):
    """A kind of object, and one read of it."""

    resource: Resource
    make: Callable[[int], dict[str, Any]]
    field: str
    read: Callable[[KubeObject], object]

    def raws(self, objects: int) -> list[bytes]:
        """Return the JSON of so many objects; that of custom resources with sorted keys, as a server sends it."""
        sorts = self.resource.group == "example.com"
        return [
            json.dumps(self.make(number), separators=(",", ":"), sort_keys=sorts).encode() for number in range(objects)
        ]


SHAPES: Final = {
    "Event": Shape(EVENTS, _event, 'obj["reason"]', lambda obj: obj["reason"]),
    "custom resource": Shape(
        Resource("example.com", "v1", "applications", "Application"),
        _application,
        'obj["status"]["health"]',
        lambda obj: obj["status"]["health"]["status"],
    ),
    "Node": Shape(NODES, _node, 'obj["status"]["conditions"]', lambda obj: obj["status"]["conditions"][0]["type"]),
    "EndpointSlice": Shape(
        ENDPOINTSLICES, _endpoint_slice, 'obj["endpoints"]', lambda obj: obj["endpoints"][0]["zone"]
    ),
    "ConfigMap": Shape(CONFIGMAPS, _config_map, 'obj["data"]', lambda obj: obj["data"]["values.yaml"]),
}


def _versioned(raw: bytes, version: int) -> bytes:
    return raw.replace(_MADE, b'"resourceVersion":"%d"' % version, 1)


async def serve(name: str, events: int) -> None:
    """Serve the objects of a shape, and updates of them, until cancelled."""
    shape = SHAPES[name]
    raws = shape.raws(OBJECTS)
    resource = shape.resource
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": {"resourceVersion": "1000000"}}
    listed = json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"items":[' + b",".join(raws) + b"]}"
    refused = json.dumps(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422, "message": "no"}
    ).encode()
    lines = [
        b'{"type":"MODIFIED","object":' + _versioned(raws[number % OBJECTS], 2_000_000 + number) + b"}\n"
        for number in range(events)
    ]
    begun = asyncio.Event()
    watches: set[asyncio.Task[None] | None] = set()  # the loop itself holds no task that waits for ever

    def plain_answer(status: bytes, body: bytes) -> bytes:
        return (
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
        )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                url = urlsplit(request.split(b" ", 2)[1].decode())
                query = parse_qs(url.query)
                if url.path == "/replay/begin":
                    begun.set()
                    writer.write(plain_answer(b"200 OK", b"{}"))
                elif url.path == "/replay/reset":
                    begun = asyncio.Event()
                    writer.write(plain_answer(b"200 OK", b"{}"))
                elif "sendInitialEvents" in query:
                    writer.write(plain_answer(b"422 Unprocessable Entity", refused))
                elif "watch" in query:
                    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    writer.write(head)
                    watches.add(asyncio.current_task())
                    await begun.wait()
                    if int(query.get("resourceVersion", ["0"])[0]) < 2_000_000:
                        for line in lines:
                            writer.write(chunked(line))
                            if writer.transport.get_write_buffer_size() > _PIECE:
                                await writer.drain()
                    await writer.drain()
                    await asyncio.Event().wait()
                else:
                    writer.write(plain_answer(b"200 OK", listed))
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def _serving(name: str, events: int) -> Iterator[str]:
    run = [sys.executable, "-m", "benchmarks.shapes", "serve", name, str(events)]
    with subprocess.Popen(run, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.kill()


async def ours(name: str, measured: Measurement) -> None:
    """Measure kinformer, in this process."""
    shape = SHAPES[name]
    done, listed = asyncio.Event(), asyncio.Event()

    def added(_: object) -> None:
        if measured.is_last_added():
            listed.set()

    def updated(_: KubeObject, new: KubeObject) -> None:
        if measured.event(str(shape.read(new)) if measured.reads else new.name):
            done.set()

    measured.start()
    async with Client(ClusterConfig.for_server(measured.url)) as client:
        informer = SharedInformer(client.list_watch(shape.resource))
        informer.add_event_handler(on_add=added, on_update=updated)
        async with informer:
            await listed.wait()
            measured.listed()
            await done.wait()


def _cost(run: list[str]) -> float:
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return float(json.loads(done.stdout.splitlines()[-1])["event"])


def _scan_limit(raws: list[bytes]) -> float:
    decode = msgspec.json.Decoder(msgspec.defstruct("Nothing", [])).decode
    best = float("inf")
    for _ in range(20):
        began = time.process_time()
        for raw in raws:
            decode(raw)
        best = min(best, (time.process_time() - began) / len(raws))
    return best * 1e6


def _measured(name: str, program: str | None) -> list[Row]:
    shape = SHAPES[name]
    raws = shape.raws(20)
    size = len(raws[0])
    events = min(_MOST, _BYTES // size) // (4 if is_quick() else 1)
    resource = shape.resource
    run = [sys.executable, "-m", "benchmarks.shapes"]
    costs: dict[str, float] = {}
    limit = float("inf")
    with _serving(name, events + int(events * WARM_UP)) as url:
        runs = {how: [*run, how, name, url, str(events)] for how in ("names", "reads")}
        if program is not None:
            kind = ["-resource", f"{resource.group}/{resource.version}/{resource.plural}", "-objects", str(OBJECTS)]
            runs["client-go"] = [program, "kind", "-url", url, *kind, "-events", str(events)]
            runs["client-go"] += ["-warm-up", str(int(events * WARM_UP))]
        for _ in range(1 if is_quick() else ROUNDS):
            limit = min(limit, _scan_limit(raws))
            for how, command in runs.items():
                with urllib.request.urlopen(f"{url}/replay/reset") as answer:
                    answer.read()
                costs[how] = min(costs.get(how, float("inf")), _cost(command))
    rival = costs.get("client-go")
    rows: list[Row] = []
    for how, what in (("names", f"{name}, {size / 1000:.1f} KB, names"), ("reads", f"{name}, {shape.field}")):
        cost = costs[how]
        beside = f", {cost / rival:.3f} × client-go" if rival else ""
        wanted = how == "reads" and resource.group == "example.com"
        reached = cost <= rival / 8 if wanted and rival else None
        value = f"{cost:.1f} µs, {cost / limit:.1f} × scan{beside}"
        rows.append(Row(what, value, "≤ 0.125 × client-go" if wanted else "", reached, cost))
    if rival:
        rows.append(Row(f"{name}, client-go, JSON", f"{rival:.0f} µs", number=rival))
    return rows


def main() -> list[Row]:
    """Rows by shape."""
    step(0, len(SHAPES), "building client-go")
    try:
        program, why = str(go.built()), ""
    except go.MissingError as error:
        program, why = None, str(error)
    rows: list[Row] = []
    for place, name in enumerate(SHAPES):
        step(place, len(SHAPES), name)
        rows += _measured(name, program)
    if why:
        rows.append(Row(f"client-go not measured: {why}", ""))
    return rows


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    match sys.argv[1:]:
        case []:
            print(__doc__)
            print(plain(main()))
        case ["serve", name, events]:
            asyncio.run(serve(name, int(events)))
        case [how, name, url, events]:
            measurement = Measurement(url, OBJECTS, int(events), reads=how == "reads")
            asyncio.run(ours(name, measurement))
            print(json.dumps(measurement.found))
