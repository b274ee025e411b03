"""`kinformer ui`: a page about the caches of some resources, on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import webbrowser
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import uvicorn

from kinformer.cli._connect import ServerChoice, connected
from kinformer.cli._selection import Selection
from kinformer.cli._session import write
from kinformer.cli._simulated.manifests import BACKUP_GROUP, NODE_LEASES
from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations.starlette import close_event_streams
from kinformer.integrations.ui import Dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from kinformer.cli._simulated.cluster import SimulatedCluster

__all__ = ["Choice", "ui"]

HOST: Final = "127.0.0.1"

_USUAL: Final = ("pods", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "services", "configmaps",
                 "nodes", "events")  # fmt: skip
"""What is watched when nothing is named; Secrets are not among it."""

_BREAK_EVERY: Final = 45.0
"""Seconds between two accidents of the demo's cluster, so that there is something to see of how informers come back."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be shown.

    Attributes:
        resources: as kubectl names them; none for the usual ones.
        namespace: by default that of the context.
        all_namespaces: whichever they are in.
        label_selector: as kubectl takes it.
        port: where to listen; 0 for any free port.
        open_browser: whether to open the page.
        pods: how many the demo's cluster has, about.

    Raises:
        UsageProblem: the selector does not parse, or two parts contradict each other.
    """

    resources: Sequence[str] = ()
    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    port: int = 0
    open_browser: bool = False
    pods: int = 300

    def __post_init__(self) -> None:
        _ = self.selection

    @property
    def selection(self) -> Selection:
        """The objects to show."""
        return Selection(self.namespace, self.all_namespaces, self.label_selector)


async def ui(choice: Choice, server: ServerChoice) -> int:
    """Serve the page until cancelled.

    Raises:
        UnknownResourceError: the server has no such resource.
        OSError: the port cannot be had.
    """
    async with _client(choice, server) as (client, cluster), asyncio.TaskGroup() as tasks:
        factory = SharedInformerFactory(client)
        await _ask_for_informers(factory, client, choice, demo=cluster is not None)
        title = "demo cluster" if cluster is not None else client.config.server
        page = Dashboard(factory, title=title)
        async with factory:
            looking = tasks.create_task(page.watch(), name="kinformer ui")
            accidents = tasks.create_task(_accidents(cluster), name="kinformer ui demo") if cluster else None
            try:
                await _serve(page, choice)
            finally:
                looking.cancel()
                if accidents is not None:
                    accidents.cancel()
    return 0


@contextlib.asynccontextmanager
async def _client(choice: Choice, server: ServerChoice) -> AsyncIterator[tuple[Client, SimulatedCluster | None]]:
    if not server.demo:
        async with connected(server) as client:
            yield client, None
        return
    from kinformer.cli._simulated.cluster import simulated_cluster
    from kinformer.cli._simulated.simulation import Simulation

    simulation = Simulation(seed=1, pods=choice.pods, nodes=6, started=datetime.now(UTC))
    async with (
        simulated_cluster(simulation) as cluster,
        Client(ClusterConfig.for_server(cluster.server.url)) as client,
    ):
        yield client, cluster


async def _ask_for_informers(factory: SharedInformerFactory, client: Client, choice: Choice, *, demo: bool) -> None:
    # The demo's cluster is there to be seen, so all of it is shown unless a namespace is given.
    selection = choice.selection if choice.namespace or not demo else Selection("", True, choice.label_selector)

    async def ask(name: str) -> None:
        strict = bool(choice.resources)
        resource, namespace = await selection.resolved(client, name, watched=True, strict=strict)
        factory.informer(resource, namespace=namespace, label_selector=choice.label_selector)

    if demo and not choice.resources:
        for name in ("pods", "deployments", "replicasets", "nodes", f"backups.v1.{BACKUP_GROUP}", "namespaces"):
            await ask(name)
        factory.informer("pods", namespace=choice.namespace or None, label_selector="tier=web")
        factory.informer("leases", namespace=NODE_LEASES)
        return
    for name in choice.resources or _USUAL:
        await ask(name)


async def _accidents(cluster: SimulatedCluster) -> None:
    while True:
        await asyncio.sleep(_BREAK_EVERY)
        cluster.break_everything()


class _Server(uvicorn.Server):
    """uvicorn, without hands on the signals: those are the command's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(page: Dashboard, choice: Choice) -> None:
    config = uvicorn.Config(
        page,
        host=HOST,
        port=choice.port,
        log_level="warning",
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        # Who has stopped reading is not waited for.
        timeout_graceful_shutdown=1,
    )
    sock = _bound(choice.port)
    server = _Server(config)
    url = f"http://{HOST}:{sock.getsockname()[1]}/"
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[sock]), name="kinformer ui server")
        try:
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            write(f"kinformer ui at {url} (Ctrl-C ends it)\n")
            if choice.open_browser:
                await asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            close_event_streams()
            await asyncio.wait([serving], timeout=0.6)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        msg = f"port {port} cannot be had: {error.strerror}; --port 0 takes any free one"
        raise OSError(msg) from error
    return sock
