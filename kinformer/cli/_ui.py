"""`kinformer ui`: a page with the caches of some resources, on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import webbrowser
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import uvicorn

from kinformer.cli._client_imports import Client
from kinformer.cli._connect import ServerChoice, connected, impersonating
from kinformer.cli._selection import Selection
from kinformer.cli._session import write
from kinformer.cli._simulated.manifests import BACKUP_GROUP, NODE_LEASES
from kinformer.config import ClusterConfig
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations.starlette import close_event_streams
from kinformer.integrations.ui import Dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from kinformer.cli._simulated.cluster import SimulatedCluster

__all__ = ["PageOptions", "ui"]

HOST: Final = "127.0.0.1"

_USUAL: Final = ("pods", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "services", "configmaps",
                 "nodes", "events")  # fmt: skip
"""The resources that are watched by default; Secrets are not among them."""

_BREAK_EVERY: Final = 45.0
"""Seconds between two outages of the demo cluster, which show the recovery of informers."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """The resources to show, and the address of the page.

    Attributes:
        resources: names as in kubectl; empty for the default resources.
        namespace: the namespace; by default that of the context.
        all_namespaces: whether to show all namespaces.
        label_selector: a selector as in kubectl.
        port: the port; 0 takes any free one.
        open_browser: whether to open the page in the browser.
        pods: approximate number of pods in the demo cluster.

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


async def ui(options: PageOptions, server: ServerChoice) -> int:
    """Serve the page until cancelled.

    Raises:
        UnknownResourceError: the server has no such resource.
        OSError: the port is in use.
    """
    async with _client(options, server) as (client, cluster), asyncio.TaskGroup() as tasks:
        factory = SharedInformerFactory(client)
        await _ask_for_informers(factory, client, options, demo=cluster is not None)
        title = "demo cluster" if cluster is not None else client.config.server
        page = Dashboard(factory, title=title)
        async with factory:
            looking = tasks.create_task(page.watch(), name="kinformer ui")
            accidents = tasks.create_task(_accidents(cluster), name="kinformer ui demo") if cluster else None
            try:
                await _serve(page, options)
            finally:
                looking.cancel()
                if accidents is not None:
                    accidents.cancel()
    return 0


@contextlib.asynccontextmanager
async def _client(options: PageOptions, server: ServerChoice) -> AsyncIterator[tuple[Client, SimulatedCluster | None]]:
    if not server.demo:
        async with connected(server) as client:
            yield client, None
        return
    from kinformer.cli._simulated.cluster import simulated_cluster
    from kinformer.cli._simulated.simulation import Simulation

    simulation = Simulation(seed=1, pods=options.pods, nodes=6, started=datetime.now(UTC))
    async with simulated_cluster(simulation) as cluster:
        config = impersonating(ClusterConfig.for_server(cluster.server.url), server)
        async with Client(config) as client:
            yield client, cluster


async def _ask_for_informers(
    factory: SharedInformerFactory, client: Client, options: PageOptions, *, demo: bool
) -> None:
    # Show the whole demo cluster unless a namespace is given.
    selection = options.selection if options.namespace or not demo else Selection("", True, options.label_selector)

    async def ask(name: str) -> None:
        strict = bool(options.resources)
        resource, namespace = await selection.resolved(client, name, watched=True, strict=strict)
        factory.informer(resource, namespace=namespace, label_selector=options.label_selector)

    if demo and not options.resources:
        backups = f"backups.v1.{BACKUP_GROUP}"
        for name in ("pods", "deployments", "replicasets", "nodes", backups, "namespaces", "events"):
            await ask(name)
        factory.informer("pods", namespace=options.namespace or None, label_selector="tier=web")
        factory.informer("leases", namespace=NODE_LEASES)
        return
    for name in options.resources or _USUAL:
        await ask(name)


async def _accidents(cluster: SimulatedCluster) -> None:
    while True:
        await asyncio.sleep(_BREAK_EVERY)
        cluster.break_everything()


class _Server(uvicorn.Server):
    """A uvicorn server without signal handlers: the command has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(page: Dashboard, options: PageOptions) -> None:
    config = uvicorn.Config(
        page,
        host=HOST,
        port=options.port,
        log_level="warning",
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        # Do not wait for clients that have stopped reading.
        timeout_graceful_shutdown=1,
    )
    sock = _bound(options.port)
    server = _Server(config)
    url = f"http://{HOST}:{sock.getsockname()[1]}/"
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[sock]), name="kinformer ui server")
        try:
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            write(f"kinformer ui at {url} (Ctrl-C ends it)\n")
            if options.open_browser:
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
        msg = f"cannot listen on port {port}: {error.strerror}; --port 0 takes any free port"
        raise OSError(msg) from error
    return sock
