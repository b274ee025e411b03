"""Question: how long do writes wait for an admission webhook that answers from a cache, while the cluster changes?

A WebhookServer is alone on one core: a validating webhook for pods looks into the cache of an informer, which gets 500
updates of pods of 8.9 KB a second. On the other core are the server that replays them, and the generator: 500 reviews a
second over HTTPS, of a recorded pod each, at their times whether or not earlier ones were answered. In the midst, the
files of the certificate are replaced, and half of the connections are opened anew. Its bias: the generator shares its
core with the API server, keeps 16 connections of HTTP/1.1 open, and loopback has no network in it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks import progress
from benchmarks.fastapi_service import EVENTS, Connection, Load, _cores, _cpu_seconds, _pinned
from benchmarks.replay import recorded_list
from benchmarks.table import Row, plain

RATE: Final = 500
SECONDS: Final = 10.0
CONNECTIONS: Final = 16
PATH: Final = "/validate/known"

PROGRAM: Final = """
import asyncio, sys
from kinformer import Client, ClusterConfig, Manager, SharedInformerFactory
from kinformer.resources import PODS
from kinformer.webhooks import Allow, CertificateFiles, Deny, Webhooks, WebhookServer

async def main(url, folder):
    async with Client(ClusterConfig.for_server(url)) as client:
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        webhooks = Webhooks()

        @webhooks.validating(PODS, informers=[pods])
        async def known(request):
            found = pods.lister.get(request.new.key)
            return Deny("unknown") if found is None else Allow()

        files = CertificateFiles(f"{folder}/tls.crt", f"{folder}/tls.key", look_every=0.5)
        server = WebhookServer(webhooks, files, port=0)
        async with Manager(host="").add(server, factory) as manager:
            while not manager.is_ready:
                await asyncio.sleep(0.01)
            print("listens on", server.port, flush=True)
            await asyncio.get_running_loop().create_future()

asyncio.run(main(*sys.argv[1:]))
"""


class Reviews(Load):
    """Reviews over HTTPS.

    Attributes:
        refused: number of answers that do not admit.
    """

    def __init__(self, port: int, pods: list[dict[str, Any]], context: ssl.SSLContext) -> None:
        super().__init__(port, [])
        self._requests = [_review(port, pod) for pod in pods]
        self._context = context
        self._connections: list[Connection] = []

    async def connect(self) -> None:
        """Open all connections."""
        for _ in range(CONNECTIONS):
            await self._open()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(self), "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost"
        )
        self._connections.append(made)

    async def renew(self) -> str:
        """Open half of the connections anew; return the serial number of the certificate that they see."""
        serial = ""
        for _ in range(CONNECTIONS // 2):
            await self._open()
            certificate = self._connections[-1]._transport.get_extra_info("peercert")
            serial = str(certificate["serialNumber"])
        return serial


def _review(port: int, pod: dict[str, Any]) -> bytes:
    metadata = pod["metadata"]
    request = {
        "uid": metadata["uid"],
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "operation": "UPDATE",
        "userInfo": {"username": "a"},
        "object": {"apiVersion": "v1", "kind": "Pod"} | pod,
        "oldObject": {"apiVersion": "v1", "kind": "Pod"} | pod,
        "dryRun": False,
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    head = f"POST {PATH}?timeout=10s HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _issue(authority: Any, folder: Path) -> None:
    issued = authority.issue_cert("localhost", "127.0.0.1")
    # The key first: the server refuses a pair that does not fit, and looks again.
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))


async def measure(port: int, pid: int, pods: list[dict[str, Any]], authority: Any, folder: Path) -> list[Row]:
    """Ask before, while and after the certificate is replaced."""
    seconds = 3.0 if progress.is_quick() else SECONDS
    context = ssl.create_default_context()
    authority.configure_trust(context)
    load = Reviews(port, pods, context)
    await load.connect()
    await load.steady(RATE, 2.0)
    load.failures = 0
    cpu = _cpu_seconds(pid)
    progress.step(1, 2, "steady")
    rate = await load.steady(RATE, seconds)
    cpu = (_cpu_seconds(pid) - cpu) / seconds
    # `steady` counts a request without an answer as one of five seconds.
    answered = sum(latency != 5.0 for latency in load.latencies)
    median, p99 = load.percentile(0.5), load.percentile(0.99)
    steady_failures = load.failures + load.lost
    before = str(load._connections[0]._transport.get_extra_info("peercert")["serialNumber"])
    progress.step(2, 2, "the certificate is replaced")

    async def replace() -> str:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(_issue, authority, folder)
        await asyncio.sleep(1.5)
        return await load.renew()

    async with asyncio.TaskGroup() as group:
        replaced = group.create_task(replace())
        await load.steady(RATE, 4.0)
    rotated = load.percentile(0.99)
    failures = load.failures + load.lost
    return [
        Row(f"{rate:,.0f} admissions/s beside {EVENTS} events/s, p99", f"{p99:.1f} ms", "< 5 ms", p99 < 5),
        Row("… median", f"{median:.1f} ms"),
        Row("… not answered, or not with 200", f"{steady_failures}", "0", steady_failures == 0),
        Row("… of one core", f"{cpu:.0%}", "< 100 %", cpu < 1),
        Row("… each costs, with one event", f"{cpu * seconds / max(1, answered) * 1e6:.0f} µs CPU"),
        Row("while the certificate is replaced, p99", f"{rotated:.1f} ms"),
        Row(
            "… new connections have the new one", str(replaced.result() != before), "True", replaced.result() != before
        ),
        Row("… not answered, or not with 200", f"{failures}", "0", failures == 0),
    ]


def main() -> list[Row]:
    """Run the question."""
    import trustme

    pods = json.loads(recorded_list())["items"]
    authority = trustme.CA()
    with _cores() as (core, ours), tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        _issue(authority, folder)
        api = _pinned([sys.executable, "-m", "benchmarks.fastapi_service", "api"], ours)
        assert api.stdout is not None
        url = api.stdout.readline().strip()
        service = _pinned([sys.executable, "-c", PROGRAM, url, directory], core)
        try:
            assert service.stdout is not None
            # The server for the test refuses streaming lists, which is logged.
            port = next(int(line.split()[-1]) for line in service.stdout if line.startswith("listens on"))
            return asyncio.run(measure(port, service.pid, pods, authority, folder))
        finally:
            for process in (service, api):
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()


if __name__ == "__main__":
    print(__doc__)
    print(plain(main()))
