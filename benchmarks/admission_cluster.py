"""Question: how long does a real kube-apiserver wait for an admission webhook that answers from a cache?

The validating webhook of a WebhookServer looks into an index of an informer, whether another ConfigMap has the same
owner. A generator creates 500 ConfigMaps a second through a real kube-apiserver, which asks the webhook for each of
them, and sends each to the informer: 500 admissions and 500 events a second. A probe in a process of its own asks the
webhook 100 times a second besides, over HTTPS, and measures its answers. Webhook and probe have priority (nice -15, if
that is permitted): so the webhook has one core as if it were alone on it. The kube-apiserver, etcd and the generator
have the rest of both cores, and wait for it: their own waiting is in the histogram of the kube-apiserver. Then the
Secret with the certificate loses its key four times: the webhook makes another certificate, and has it trusted. Its
bias: loopback has no network in it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import progress
from benchmarks.fastapi_service import Connection, Load, _cores, _cpu_seconds, _pinned
from benchmarks.table import Row, plain
from kinformer import Client, ClusterConfig
from kinformer.resources import NAMESPACES, SECRETS
from kinformer.testing import ControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

RATE: Final = 500
PROBES: Final = 100
SECONDS: Final = 10.0
CONNECTIONS: Final = 32
ROTATIONS: Final = 4
NAMESPACE: Final = "load"
PATH: Final = "/validate/unique"

_BUCKET: Final = re.compile(
    r'apiserver_admission_webhook_admission_duration_seconds_bucket\{(.*?le="([^"]+)".*?)\} (\d+)'
)

PROGRAM: Final = """
import asyncio, sys
from kinformer import Client, ClusterConfig, Manager, SharedInformerFactory
from kinformer.resources import CONFIGMAPS, VALIDATINGWEBHOOKCONFIGURATIONS
from kinformer.webhooks import Allow, CertificateSecret, Deny, Webhooks, WebhookServer

async def main(kubeconfig, namespace):
    async with Client(await ClusterConfig.load(kubeconfig)) as client:
        factory = SharedInformerFactory(client, namespace=namespace)
        maps = factory.core.v1.configmaps
        maps.add_indexers({"owner": lambda each: [each.at("data.owner", "")]})
        webhooks = Webhooks(namespace)
        only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}

        @webhooks.validating(CONFIGMAPS, informers=[maps], namespace_selector=only)
        async def unique(request):
            others = maps.lister.by_index("owner", request.new.at("data.owner", ""))
            return Deny("taken") if any(each.name != request.new.name for each in others) else Allow()

        secret = CertificateSecret(client, namespace, "tls", hosts=["127.0.0.1"], look_every=0.1)
        server = WebhookServer(webhooks, secret, port=0)
        async with Manager(host="").add(server, factory) as manager:
            await manager.ready(timeout=60)
            for configuration in webhooks.configurations(server.url):
                await client.create(VALIDATINGWEBHOOKCONFIGURATIONS, configuration)
            await secret.load(webhooks)
            print("listens on", server.port, flush=True)
            await asyncio.get_running_loop().create_future()

asyncio.run(main(*sys.argv[1:]))
"""


PROBE: Final = """
import http.client, json, ssl, sys, time

port, path, authority = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rate, seconds = float(sys.argv[4]), float(sys.argv[5])
body = sys.stdin.buffer.read()
trusted = ssl.create_default_context(cadata=authority)
asked = http.client.HTTPSConnection("127.0.0.1", port, context=trusted)
took, failures, began = [], 0, time.perf_counter()
for number in range(int(rate * seconds)):
    time.sleep(max(0.0, began + number / rate - time.perf_counter()))
    start = time.perf_counter()
    asked.request("POST", path, body, {"Content-Type": "application/json"})
    answer = asked.getresponse()
    allowed = json.loads(answer.read())["response"]["allowed"]
    took.append(time.perf_counter() - start)
    failures += answer.status != 200 or not allowed
print(json.dumps([failures, *sorted(took)]))
"""


class Requests(Load):
    """POST requests over HTTPS, each with the next body."""

    def __init__(self, port: int, context: ssl.SSLContext, requests: Iterator[bytes], connections: int) -> None:
        super().__init__(port, [])
        self._next = requests
        self._context = context
        self._connections = connections

    def next_request(self) -> bytes:
        """Return the request to send next."""
        return next(self._next)

    async def connect(self) -> None:
        """Open all connections."""
        for _ in range(self._connections):
            await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), "127.0.0.1", self._port, ssl=self._context
            )


def _request(path: str, port: int, body: dict[str, Any], token: str = "") -> bytes:
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def _config_map(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"owner": f"owner of {name}"}}


def _review() -> dict[str, Any]:
    asked = {
        "uid": "probe",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "probe",
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "userInfo": {"username": "probe"},
        "object": _config_map("probe"),
        "dryRun": False,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


async def _histogram(plane: ControlPlane) -> dict[float, int]:
    """Return how many calls of the webhook took up to each number of seconds, as the kube-apiserver counts them."""

    def read() -> str:
        request = urllib.request.Request(f"{plane.url}/metrics", headers={"Authorization": f"Bearer {plane.token}"})
        trusted = ssl.create_default_context(cafile=str(plane.ca_file))
        with urllib.request.urlopen(request, context=trusted) as answer:
            text: bytes = answer.read()
        return text.decode()

    found: dict[float, int] = {}
    for labels, bound, count in _BUCKET.findall(await asyncio.to_thread(read)):
        if "unique" in labels:
            found[float(bound)] = found.get(float(bound), 0) + int(count)
    return found


def _first() -> None:
    """Give this process priority, if that is permitted."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


def _probed(port: int, authority: str, seconds: float) -> tuple[int, list[float]]:
    """Return the number of failures, and the seconds of each answer in order of length."""
    given = [str(port), PATH, authority, str(PROBES), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *given],
        input=json.dumps(_review()).encode(),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=_first,
    )
    failures, *took = json.loads(done.stdout)
    return int(failures), took


def _webhook(process: subprocess.Popen[str], prefix: str) -> int:
    """Return the number at the end of the next line of the webhook's process that begins so."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        if line.startswith(prefix):
            return int(line.split()[-1])
        said += line
    msg = f"the webhook ended: {said}"
    raise RuntimeError(msg)


async def measure(plane: ControlPlane, client: Client, webhook: subprocess.Popen[str]) -> list[Row]:
    """Create objects at a steady rate, then go on while the certificate is made anew."""
    seconds = 3.0 if progress.is_quick() else SECONDS
    port = await asyncio.to_thread(_webhook, webhook, "listens on")
    server = urllib.parse.urlsplit(plane.url).port or 443
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    created = (_request(path, server, _config_map(f"c{number}"), plane.token) for number in itertools.count())
    trusted = ssl.create_default_context(cafile=str(plane.ca_file))
    writes = Requests(server, trusted, created, CONNECTIONS)
    # The authority of the webhook is in the Secret; the probe measures, so it trusts the authority that it finds there.
    authority = await _authority(client)
    await writes.connect()
    await writes.steady(RATE, 3.0)
    before, cpu = await _histogram(plane), _cpu_seconds(webhook.pid)
    progress.step(1, 2, "steady")
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(asyncio.to_thread(_probed, port, authority, seconds))
        rate = await writes.steady(RATE, seconds)
    cpu = (_cpu_seconds(webhook.pid) - cpu) / seconds
    after = await _histogram(plane)
    calls = {bound: after[bound] - before.get(bound, 0) for bound in after}
    probe_failures, took = probing.result()
    p50, p99 = (took[int(share * len(took))] * 1e3 for share in (0.5, 0.99))
    asked = max(calls.values())
    failures = writes.failures + writes.lost + probe_failures
    progress.step(2, 2, "the certificate is made anew")
    seen = set[str]()

    async def rotate() -> None:
        for _ in range(ROTATIONS):
            await asyncio.sleep(0.7)
            await client.patch(SECRETS, "tls", {"data": {"tls.key": ""}}, namespace=NAMESPACE)
            await asyncio.sleep(0.7)
            seen.add(await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port)))

    writes.failures = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(rotate())
        await writes.steady(RATE, ROTATIONS * 1.4 + 0.5)
    refused = writes.failures + writes.lost
    sent = len(writes.latencies)
    return [
        Row(
            f"{rate:,.0f} admissions/s beside {rate:,.0f} events/s, p99 of the webhook",
            f"{p99:.1f} ms",
            "≤ 5 ms",
            p99 <= 5,
        ),
        Row("… median", f"{p50:.1f} ms"),
        Row("… within 5 ms, as the kube-apiserver counts, with the rest of two cores", f"{calls[0.005] / asked:.1%}"),
        Row("… within 25 ms", f"{calls[0.025] / asked:.1%}"),
        Row("… not answered, or refused", f"{failures}", "0", failures == 0),
        Row("… of one core, the informer included", f"{cpu:.0%}", "< 100 %", cpu < 1),
        Row(f"{len(seen)} new certificates under {sent:,} writes: refused", f"{refused}", "0", refused == 0),
    ]


async def _authority(client: Client) -> str:
    secret = await client.get(SECRETS, "tls", namespace=NAMESPACE)
    return base64.b64decode(secret.at("data", {})["ca.crt"]).decode()


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[tuple[ControlPlane, Client, Path]]:
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory) / "config"
        async with ControlPlane() as plane:
            plane.write_kubeconfig(kubeconfig)
            config = ClusterConfig.for_server(plane.url, plane.token, ca_file=plane.ca_file)
            async with Client(config) as client:
                await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
                yield plane, client, kubeconfig


async def _measured(core: int) -> list[Row]:
    async with _cluster() as (plane, client, kubeconfig):
        webhook = _pinned([sys.executable, "-c", PROGRAM, str(kubeconfig), NAMESPACE], core)
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, webhook.pid, -15)
        try:
            return await measure(plane, client, webhook)
        finally:
            webhook.kill()
            webhook.wait()
            assert webhook.stdout is not None
            webhook.stdout.close()


def main() -> list[Row]:
    """Run the question."""
    mine = os.sched_getaffinity(0)
    with _cores() as (core, _):
        # The control plane may use both cores: its processes get the affinity that this one has when it starts them.
        os.sched_setaffinity(0, mine)
        return asyncio.run(_measured(core))


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
