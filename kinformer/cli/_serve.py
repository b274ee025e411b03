"""`kinformer serve-api`: the embedded API server alone, for kubectl and for programs in any language."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import shlex
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kinformer.cli._kubeconfig_file import check_may_be_written, kubeconfig_file
from kinformer.cli._session import UsageProblem, print_error, write
from kinformer.cli._simulated.cluster import simulated_cluster
from kinformer.cli._simulated.simulation import Simulation
from kinformer.testing import ApiServer
from kinformer.testing.fault_spec import FaultSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

__all__ = ["serve"]


async def serve(
    *,
    host: str,
    port: int,
    kubeconfig: Path | None,
    demo: bool,
    controllers: str = "",
    nodes: int = 1,
    faults: Sequence[str] = (),
) -> int:
    """Print the address and the environment for kubectl, then serve until cancelled.

    Raises:
        UsageProblem: a fault does not parse, there is no controller of a name, or the kubeconfig is a file of another
            program.
        OSError: the port is in use, or the kubeconfig cannot be written.
    """
    specs = [_fault(text) for text in faults]
    if kubeconfig is not None:
        check_may_be_written(kubeconfig)
    if not _is_loopback(host):
        print_error(f"without authentication, all clients that reach {host} may read and write everything")
    with kubeconfig_file(kubeconfig) as path:
        async with _running(
            host=host, port=_free(host, port), demo=demo, controllers=controllers, nodes=nodes
        ) as server:
            server.write_kubeconfig(path)
            write(f"API server at {server.url}\nexport KUBECONFIG={shlex.quote(str(path.absolute()))}\n")
            # The server continues when standard output is closed: `serve-api | head -2` is allowed.
            async with asyncio.TaskGroup() as tasks:
                for spec in specs:
                    tasks.create_task(spec.run(server.faults), name=f"kinformer fault {spec.name}")
                await asyncio.get_running_loop().create_future()
    return 0


def _free(host: str, port: int) -> int:
    """Return the port if a server can listen on it.

    Raises:
        OSError: the port is in use, or not allowed; the message names the remedy.
    """
    if port:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((host, port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    msg = f"cannot listen on port {port}: {error.strerror}; --port 0 takes any free port"
                    raise OSError(msg) from error
    return port


def _fault(text: str) -> FaultSpec:
    """Parse one `--fault`.

    Raises:
        UsageProblem: the text does not parse.
    """
    try:
        return FaultSpec.parse(text)
    except ValueError as error:
        raise UsageProblem(str(error)) from None


@contextlib.asynccontextmanager
async def _running(*, host: str, port: int, demo: bool, controllers: str, nodes: int) -> AsyncIterator[ApiServer]:
    if demo:
        simulation = Simulation(seed=1, pods=100, started=datetime.now(UTC))
        async with simulated_cluster(simulation, host=host, port=port) as cluster:
            yield cluster.server
    else:
        names = controllers if controllers == "all" else [name for name in controllers.split(",") if name]
        try:
            made = ApiServer(host=host, port=port, controllers=names, nodes=nodes)
        except ValueError as error:
            raise UsageProblem(str(error)) from None
        async with made as server:
            yield server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
