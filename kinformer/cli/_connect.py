"""The API server of a command: from a kubeconfig, at a URL, or embedded with a demo cluster."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kinformer.cli._client_imports import Client
from kinformer.cli._durations import seconds_of
from kinformer.cli._session import UsageProblem
from kinformer.config import ClusterConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["ServerChoice", "connected", "demo_server", "impersonating"]


_DEMO_SEED: Final = 1
_NO_LIMIT: Final = 365 * 86_400.0
_CONNECTING: Final = 10.0
"""Seconds that a connection may take, if a request may take longer: the default of the client."""
_TIMEOUT: Final = 30.0
"""Seconds that a request may take, unless the command line says otherwise: the default of the client."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The options of the command line that choose the server.

    Raises:
        UsageProblem: two of them contradict each other.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    server: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    request_timeout: str = ""
    demo: bool = False

    def __post_init__(self) -> None:
        named = {
            "--server": self.server is not None,
            "--demo": self.demo,
            "--kubeconfig or --context": self.kubeconfig is not None or self.context is not None,
        }
        given = [name for name, is_given in named.items() if is_given]
        if len(given) > 1:
            msg = f"{' and '.join(given)} name different servers; give one of them"
            raise UsageProblem(msg)
        trust = {
            "--token-file": self.token_file is not None,
            "--certificate-authority": self.ca_file is not None,
            "--insecure": self.insecure,
        }
        alone = [name for name, is_given in trust.items() if is_given]
        if alone and self.server is None:
            msg = f"{alone[0]} goes with --server only; a kubeconfig has its own settings for trust"
            raise UsageProblem(msg)
        if self.insecure and self.ca_file is not None:
            msg = "--insecure trusts every server, so --certificate-authority has no effect; leave one out"
            raise UsageProblem(msg)
        if self._socket == "":
            raise UsageProblem("--server unix: names no socket; expected unix:/run/app/kinformer.sock")
        if self._socket and (self.insecure or self.ca_file is not None or self.token_file is not None):
            msg = (
                "--server unix:PATH takes no token and no certificates: only one user of the system can use the socket"
            )
            raise UsageProblem(msg)
        if self.as_groups and not self.as_user:
            msg = "--as-group goes with --as: the server impersonates groups only together with a user"
            raise UsageProblem(msg)
        _ = self.timeout

    @property
    def timeout(self) -> float:
        """The seconds that one request may take; 30 by default, and a year for 0, which is no limit for kubectl.

        Raises:
            UsageProblem: `--request-timeout` does not parse.
        """
        if not self.request_timeout:
            return _TIMEOUT
        try:
            return seconds_of(self.request_timeout) or _NO_LIMIT
        except UsageProblem as error:
            raise UsageProblem(f"--request-timeout: {error}") from error

    @property
    def _socket(self) -> str | None:
        server = self.server
        return server.removeprefix("unix:") if server is not None and server.startswith("unix:") else None

    def of_server(self) -> ClusterConfig:
        """Return the configuration that `--server` names: a URL, or the Unix socket of `kinformer proxy`.

        Raises:
            ConfigError: the URL cannot be used.
        """
        assert self.server is not None
        if self._socket is not None:
            return ClusterConfig.for_socket(self._socket)
        return ClusterConfig.for_server(
            self.server, token_file=self.token_file, ca_file=self.ca_file, verify=not self.insecure
        )


@contextlib.asynccontextmanager
async def connected(choice: ServerChoice) -> AsyncIterator[Client]:
    """Return a client of the server; with `demo`, the server runs as long as the client.

    Raises:
        ConfigError: no server is found, or its configuration cannot be used.
    """
    if choice.demo:
        async with _demo_client(choice) as client:
            yield client
        return
    if choice.server is not None:
        config = choice.of_server()
    else:
        config = await ClusterConfig.load(choice.kubeconfig, choice.context)
    async with _client(config, choice) as client:
        yield client


def _client(config: ClusterConfig, choice: ServerChoice) -> Client:
    timeout = choice.timeout
    return Client(impersonating(config, choice), timeout=timeout, connect_timeout=min(timeout, _CONNECTING))


def impersonating(config: ClusterConfig, choice: ServerChoice) -> ClusterConfig:
    """Return the configuration with the user of `--as`, instead of the one that a kubeconfig impersonates."""
    return config.as_user(choice.as_user, groups=choice.as_groups) if choice.as_user else config


@contextlib.asynccontextmanager
async def _demo_client(choice: ServerChoice) -> AsyncIterator[Client]:
    from kinformer.cli._simulated.simulation import SPACES

    async with demo_server() as url:
        config = ClusterConfig.for_server(url, namespace=SPACES[0])
        async with _client(config, choice) as client:
            yield client


@contextlib.asynccontextmanager
async def demo_server() -> AsyncIterator[str]:
    """Run the embedded API server with a simulated cluster; return its address."""
    # Imported here: few commands need the embedded server.
    from datetime import UTC, datetime

    from kinformer.cli._simulated.cluster import simulated_cluster
    from kinformer.cli._simulated.simulation import Simulation

    simulation = Simulation(seed=_DEMO_SEED, pods=40, nodes=3, started=datetime.now(UTC))
    async with simulated_cluster(simulation) as cluster:
        yield cluster.server.url
