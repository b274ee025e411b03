"""`kinformer serve-api`: the embedded API server alone, for kubectl and for programs in any language."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import shlex
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kinformer.cache._compact.malloc_trim import give_back_free_memory
from kinformer.cli._kubeconfig_file import check_may_be_written
from kinformer.cli._no_authorities import no_default_authorities
from kinformer.cli._session import UsageProblem, print_error, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from kinformer.cli._serve_tls import ServerCertificates

with no_default_authorities():
    from kinformer.testing import ApiServer, Refusal
    from kinformer.testing.fault_spec import FaultSpec

__all__ = ["ServePlan", "serve"]

_MOST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class ServePlan:
    """The servers to run.

    Attributes:
        host: the address to listen on.
        port: the port of the first server; the others have the next ones. 0 takes any free ones.
        instances: the number of servers, which share nothing.
        kubeconfig: the file to write; with several servers, each has a number behind its name.
        demo: put a simulated cluster into the server.
        controllers: names of controllers, with commas; "all" for all, "none" for a server that leaves all to them.
        nodes: the number of nodes.
        faults: faults to inject, in each server.
        snapshot: a file with objects to begin with.
        tls: serve HTTPS, with certificates for the server and for an administrator.
        kubernetes: the Kubernetes release that the servers are like, as "1.37"; "" for the default one.

    Raises:
        UsageProblem: options that contradict each other.
    """

    host: str = "127.0.0.1"
    port: int = 0
    instances: int = 1
    kubeconfig: Path | None = None
    demo: bool = False
    controllers: str = ""
    nodes: int = 1
    faults: Sequence[str] = ()
    snapshot: Path | None = None
    tls: bool = False
    kubernetes: str = ""

    def __post_init__(self) -> None:
        if self.demo and self.kubernetes:
            raise UsageProblem("--demo has a server of its own; leave --kubernetes out")
        if self.demo and (self.instances > 1 or self.tls or self.snapshot is not None):
            raise UsageProblem("--demo is one server without TLS; leave --instances, --tls and --load out")
        if self.port and self.port + self.instances > _MOST_PORT + 1:
            raise UsageProblem(f"--port {self.port}: there are no {self.instances} ports from there on")

    def kubeconfig_of(self, number: int, directory: Path) -> Path:
        """Return the kubeconfig of one server."""
        wanted = self.kubeconfig or directory / "kubeconfig"
        return wanted if self.instances == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")


async def serve(plan: ServePlan) -> int:
    """Print the address and the environment for kubectl of each server, then serve until cancelled.

    Raises:
        UsageProblem: a fault does not parse, there is no controller of a name, the snapshot is not valid, or the
            kubeconfig is a file of another program.
        OSError: the port is in use, or a file cannot be read or written.
    """
    for text in plan.faults:
        _fault(text)
    if not _is_loopback(plan.host):
        secured = "clients without the certificate may do nothing" if plan.tls else "all clients may do everything"
        print_error(f"listens on {plan.host}: {secured}; the paths under /kinformer are for this machine only")
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kinformer-")))
        files = [plan.kubeconfig_of(number, directory) for number in range(plan.instances)]
        for file in files:
            check_may_be_written(file)
        certificates = None
        if plan.tls:
            from kinformer.cli._serve_tls import ServerCertificates

            certificates = ServerCertificates(plan.host)
        # All before the first server listens: a test that has read its line would lose its server again.
        ports = [_free(plan.host, plan.port + number if plan.port else 0) for number in range(plan.instances)]
        for port, file in zip(ports, files, strict=True):
            server = await stack.enter_async_context(_running(plan, port, certificates))
            if certificates is None:
                server.write_kubeconfig(file)
            else:
                certificates.write_kubeconfig(server, file)
            for text in plan.faults:
                server.start_fault(text)
            write(f"API server at {server.url}\nexport KUBECONFIG={shlex.quote(str(file.absolute()))}\n")
        # What the start has used and freed: a megabyte.
        give_back_free_memory()
        # The servers continue when standard output is closed: `serve-api | head -2` is allowed.
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
async def _running(plan: ServePlan, port: int, certificates: ServerCertificates | None) -> AsyncIterator[ApiServer]:
    if plan.demo:
        from datetime import UTC, datetime

        from kinformer.cli._simulated.cluster import simulated_cluster
        from kinformer.cli._simulated.simulation import Simulation

        simulation = Simulation(seed=1, pods=100, started=datetime.now(UTC))
        async with simulated_cluster(simulation, host=plan.host, port=port, control_paths=True) as cluster:
            yield cluster.server
        return
    whole = plan.controllers in {"all", "none"}
    names = plan.controllers if whole else [name for name in plan.controllers.split(",") if name]
    secured = {} if certificates is None else certificates.options()
    try:
        made = ApiServer(
            host=plan.host,
            port=port,
            controllers=names,
            nodes=plan.nodes,
            system_objects=True,
            control_paths=True,
            version=plan.kubernetes or None,
            **secured,
        )
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    if plan.snapshot is not None:
        try:
            made.restore(_text_of(plan.snapshot))
        except Refusal as refusal:
            raise UsageProblem(f"{plan.snapshot}: {refusal}") from None
    async with made as server:
        yield server


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageProblem(f"{path} is no UTF-8") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
