"""ControlPlane: a real etcd and a real kube-apiserver for tests, as controller-runtime's envtest runs them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from kinformer._connector import Connector
from kinformer.testing._control_plane.files import (
    ADMIN,
    Binaries,
    Credentials,
    write_private,
)
from kinformer.testing._control_plane.server_process import Guardian, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ControlPlane", "ControlPlaneError"]

_TURN: Final = 0.05
"""Seconds between two questions whether a server is ready."""

_PATIENCE: Final = 20.0
"""Seconds that an API server is given to end by itself."""

_ATTEMPTS: Final = 3
_VERSION: Final = re.compile(r"v?\d+\.\d+(\.\d+)?")
_PORT_TAKEN: Final = b"address already in use"

# A folder in memory: etcd writes each change to its log before it answers.
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_ROOM: Final = 2 << 30
"""Bytes that must be free there."""


class ControlPlaneError(RuntimeError):
    """A server of the control plane did not start, or does not answer; the message contains the end of its log."""


class ControlPlane:
    """A real etcd and a real kube-apiserver on this machine, for tests.

        async with ControlPlane() as plane:
            config = ClusterConfig.for_server(plane.url, token=plane.token, ca_file=plane.ca_file)
            async with Client(config) as client:
                ...

    Each starts with an empty cluster of its own, on free ports of 127.0.0.1, with certificates and tokens made for it.
    RBAC decides; the user `kubernetes-admin` may do everything. Nothing else runs: no scheduler, no kubelet and no
    controllers. So pods stay Pending, nothing is collected that lost its owner, and a deleted namespace stays
    Terminating until a client removes its finalizer (`spec.finalizers`, by the `finalize` subresource).

    It needs the programs `etcd` and `kube-apiserver`; see `Binaries.find` for where they are looked for. A start takes
    some seconds, so share one among tests: the fixture `control_plane` of kinformer's pytest plugin does.

    Leaving the context kills both servers and removes all files; so does the end of this process, however it dies. When
    a method is cancelled, no server is left half started: what did not come up is killed. It is bound to no event loop.

    The data is kept in memory where there is room for it (/dev/shm), and etcd does not wait for the disk. It survives
    `kill`, as the kernel has it; not the end of the machine. etcd runs without authentication: store no real secrets.

    Args:
        users: groups by user name; each of them gets a token, as does `kubernetes-admin`.
        feature_gates: feature gates of the API server, as {"WatchList": False}.
        flags: further flags of kube-apiserver, without the dashes; they win over those set here.
        etcd_flags: the same for etcd.
        binaries: the programs, where they are not to be looked for.
        version: the Kubernetes release that runs, as "1.37", or a version, as "v1.37.2"; see `Binaries.find`. Not
            together with `binaries`.
        start_timeout: seconds that both servers together may take to become ready.

    Attributes:
        folder: where its files are, while it runs.
        version: the API server's version, as "v1.36.3"; "" before it was ready for the first time.

    Raises:
        ValueError: a name of a user or a group that a token file cannot hold; `version` together with `binaries`, or a
            version that is no number such as "1.37".
    """

    def __init__(
        self,
        *,
        users: Mapping[str, Sequence[str]] | None = None,
        feature_gates: Mapping[str, bool] | None = None,
        flags: Mapping[str, str] | None = None,
        etcd_flags: Mapping[str, str] | None = None,
        binaries: Binaries | None = None,
        version: str = "",
        start_timeout: float = 120.0,
    ) -> None:
        if version and binaries is not None:
            msg = f"both binaries= and version={version!r} say which programs run; leave one out"
            raise ValueError(msg)
        if version and _VERSION.fullmatch(version) is None:
            msg = f"version={version!r} is no version of Kubernetes; give one as '1.37' or 'v1.37.2'"
            raise ValueError(msg)
        self._users = dict(users or {})
        self._gates = dict(feature_gates or {})
        self._flags = dict(flags or {})
        self._etcd_flags = dict(etcd_flags or {})
        self._binaries = binaries
        self._wanted_version = version
        self._start_timeout = start_timeout
        self._folder: Path | None = None
        self._credentials: Credentials | None = None
        self._guardian: Guardian | None = None
        self._etcd: ServerProcess | None = None
        self._api_server: ServerProcess | None = None
        self._etcd_port = self._port = 0
        self.version = ""

    def __repr__(self) -> str:
        if self._folder is None:
            return "<ControlPlane not running>"
        return f"<ControlPlane {self.url} {self.version or 'starting'}>"

    # Its place, and its users

    @property
    def folder(self) -> Path:
        """The folder of its files: data, certificates, logs.

        Raises:
            RuntimeError: it does not run.
        """
        return self._require_files()

    @property
    def url(self) -> str:
        """The API server's address; the same after each restart."""
        self._require_files()
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        """The certificate authority that signed the API server's certificate (PEM)."""
        return self._secrets.ca_file

    @property
    def token(self) -> str:
        """The bearer token of `kubernetes-admin`."""
        return self._secrets.tokens[ADMIN]

    @property
    def tokens(self) -> dict[str, str]:
        """The bearer tokens of all users, by name; a copy."""
        return dict(self._secrets.tokens)

    @property
    def kubeconfig_file(self) -> Path:
        """A kubeconfig of `kubernetes-admin`; only this user of the machine may read it."""
        return self.folder / "kubeconfig"

    def kubeconfig(self, user: str = ADMIN) -> dict[str, Any]:
        """A kubeconfig of a user, with its token.

        Raises:
            KeyError: there is no such user.
        """
        return self._secrets.kubeconfig(self.url, user)

    def write_kubeconfig(self, path: str | Path, user: str = ADMIN) -> None:
        """Write a kubeconfig of a user to a file that only its owner may read.

        Raises:
            KeyError: the user has no token.
        """
        write_private(Path(path), self.kubeconfig(user))

    def client_certificate(self, user: str, group: str = "") -> tuple[Path, Path]:
        """Issue a client certificate; returns its file and that of its key (PEM), both in `folder`.

        Args:
            user: any name; the user needs no token.
            group: the one group of the user, besides system:authenticated.
        """
        return self._secrets.client_certificate(user, group)

    # Its life

    @property
    def running(self) -> bool:
        """Report whether both servers run; that they are ready was true when they were started."""
        servers = (self._etcd, self._api_server)
        return all(server is not None and server.running for server in servers)

    async def start(self) -> None:
        """Start what does not run, and wait until the API server is ready.

        The first time, an empty cluster is made. After `kill` or `kill_api_server` it goes on with the stored objects,
        at the same address. If it fails or is cancelled the first time, nothing is left behind; later, both are killed.

        Raises:
            BinariesNotFoundError: etcd or kube-apiserver is not on this machine.
            ControlPlaneError: a server ended, or was not ready in time; has the end of its log.
            RuntimeError: trustme is not installed.
        """
        first = self._folder is None
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                if first:
                    self._prepare()
                try:
                    await self._start()
                except ControlPlaneError:
                    # Another process was given one of our ports between our look and the start of the server.
                    if not first or attempt == _ATTEMPTS or not self._lost_a_port():
                        raise
                    self._clean_up()
                else:
                    return
        except BaseException:
            if first:
                self._clean_up()
            else:
                self._kill_both()
            raise

    async def stop(self) -> None:
        """Kill both servers and remove everything. Stopping twice does no harm."""
        self._clean_up()

    async def kill(self) -> None:
        """Kill both servers at once, as kill -9 does; `start` brings them back with the stored objects."""
        self._kill_both()

    async def kill_api_server(self) -> None:
        """Kill the API server alone, as kill -9 does; `start` brings it back."""
        self._require_files()
        if self._api_server is not None:
            self._api_server.kill()

    async def restart(self, *, gracefully: bool = False) -> None:
        """End both servers and start them anew, with the stored objects and at the same address.

        Args:
            gracefully: let the API server end its watches and requests first; else it is killed.

        Raises:
            ControlPlaneError: as `start`.
        """
        self._require_files()
        if gracefully and self._api_server is not None:
            await self._api_server.terminate(_PATIENCE)
        self._kill_both()
        await self.start()

    async def restart_api_server(self, *, gracefully: bool = False) -> None:
        """Restart the API server over the same etcd: its new watch cache has no history.

        Args:
            gracefully: let it end its watches and requests first; else it is killed.

        Raises:
            ControlPlaneError: as `start`.
        """
        self._require_files()
        if self._api_server is not None:
            if gracefully:
                await self._api_server.terminate(_PATIENCE)
            self._api_server.kill()
        await self.start()

    async def compact(self) -> int:
        """Compact etcd: drop the history up to now; requests that need it are answered with 410.

        An API server also keeps the recent past in its own watch cache; `restart_api_server` empties that.

        Returns:
            The revision up to which it was compacted.

        Raises:
            ControlPlaneError: etcd does not run, or refuses.
        """
        status = await self._ask_etcd("maintenance/status", {})
        revision = int(status["header"]["revision"])
        await self._ask_etcd("kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def log(self) -> str:
        """The end of the log of each server, for the message of a test that failed."""
        servers = (self._etcd, self._api_server)
        return "\n".join(f"{server.name}:\n{server.last_words()}" for server in servers if server is not None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._clean_up()

    # How

    def _require_files(self) -> Path:
        if self._folder is None:
            msg = "the control plane is not running; use `async with ControlPlane() as plane:`"
            raise RuntimeError(msg)
        return self._folder

    @property
    def _secrets(self) -> Credentials:
        self._require_files()
        assert self._credentials is not None
        return self._credentials

    def _prepare(self) -> None:
        """Everything but the servers."""
        binaries = self._binaries or Binaries.find(self._wanted_version)
        self._folder = folder = Path(tempfile.mkdtemp(prefix="kinformer-control-plane-", dir=_roomy_folder()))
        self._guardian = Guardian(folder)
        self._credentials = Credentials(folder, self._users)
        self._port, self._etcd_port = free_port(), free_port()
        write_private(folder / "kubeconfig", self.kubeconfig())
        etcd, api_server = (
            _command(program, flags)
            for program, flags in (
                (binaries.etcd, self._flags_of_etcd()),
                (binaries.kube_apiserver, self._flags_of_api_server(self._credentials)),
            )
        )
        self._etcd = ServerProcess(etcd, folder / "etcd.log", self._guardian)
        self._api_server = ServerProcess(api_server, folder / "kube-apiserver.log", self._guardian)

    def _flags_of_etcd(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._etcd_port}"
        return {
            "name": "kinformer",
            "initial-cluster": "kinformer=http://localhost:2380",  # its own address, which is not used
            "data-dir": str(self.folder / "etcd"),
            "listen-client-urls": url,
            "advertise-client-urls": url,
            # It has no peers.
            "listen-peer-urls": "http://127.0.0.1:0",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        } | self._etcd_flags

    def _flags_of_api_server(self, secrets: Credentials) -> dict[str, str]:
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self._etcd_port}",
            # Nothing is forgotten but by `compact`.
            "etcd-compaction-interval": "0",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            # The address of the service `kubernetes` must not be loopback; it is not used.
            "endpoint-reconciler-type": "none",
            "secure-port": str(self._port),
            "cert-dir": str(self.folder),
            "tls-cert-file": str(secrets.server_certificate),
            "tls-private-key-file": str(secrets.server_key),
            "client-ca-file": str(secrets.ca_file),
            "token-auth-file": str(secrets.token_file),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(secrets.service_account_key),
            "service-account-signing-key-file": str(secrets.service_account_key),
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.96.0.0/12",
            "allow-privileged": "true",
            # No controller makes the service account `default`, without which it would admit no pod.
            "disable-admission-plugins": "ServiceAccount",
            "profiling": "false",
        }
        if self._gates:
            flags["feature-gates"] = ",".join(f"{name}={str(on).lower()}" for name, on in self._gates.items())
        return flags | self._flags

    async def _start(self) -> None:
        assert self._etcd is not None
        assert self._api_server is not None
        deadline = time.monotonic() + self._start_timeout  # noqa: TID251 - processes live in real time
        # Loopback needs no proxy, whatever the environment says.
        async with aiohttp.ClientSession(connector=Connector(), trust_env=False) as session:
            if not self._etcd.running:
                self._etcd.start()
            health = f"http://127.0.0.1:{self._etcd_port}/health"
            await self._ready(self._etcd, session, health, {}, deadline)
            if not self._api_server.running:
                self._api_server.start()
            headers = {"Authorization": f"Bearer {self.token}"}
            # Ready, it may still be without its first namespaces, which a background loop makes.
            for path in ("/readyz", "/api/v1/namespaces/default"):
                await self._ready(self._api_server, session, self.url + path, headers, deadline)
            async with session.get(self.url + "/version", headers=headers, ssl=self._trust()) as answer:
                self.version = (await answer.json())["gitVersion"]

    async def _ready(
        self, server: ServerProcess, session: aiohttp.ClientSession, url: str, headers: dict[str, str], deadline: float
    ) -> None:
        said = "nothing"
        trust = self._trust()
        while server.running:
            try:
                async with session.get(url, headers=headers, ssl=trust, timeout=aiohttp.ClientTimeout(10)) as answer:
                    text = await answer.text()
                    if answer.status == 200:
                        return
                    said = f"{answer.status} {text[:500]}"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said = str(error) or type(error).__name__
            if time.monotonic() > deadline:  # noqa: TID251
                msg = (
                    f"{server.name} was not ready within {self._start_timeout:g} seconds (start_timeout); "
                    f"{url} last answered: {said}\n{server.last_words()}"
                )
                raise ControlPlaneError(msg)
            await asyncio.sleep(_TURN)
        msg = f"{server.name} ended before it was ready; the end of its log:\n{server.last_words()}"
        raise ControlPlaneError(msg)

    async def _ask_etcd(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """By etcd's JSON gateway (etcd.io, "gRPC gateway")."""
        self._require_files()
        url = f"http://127.0.0.1:{self._etcd_port}/v3/{method}"
        try:
            async with (
                aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(60)) as session,
                session.post(url, json=body) as answer,
            ):
                said: dict[str, Any] = await answer.json()
                if answer.status == 200:
                    return said
                reason = f"{answer.status} {said.get('message', said)}"
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        msg = f"etcd does not do {method}: {reason}"
        raise ControlPlaneError(msg)

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _lost_a_port(self) -> bool:
        servers = (self._etcd, self._api_server)
        return any(server is not None and server.has_said(_PORT_TAKEN) for server in servers)

    def _kill_both(self) -> None:
        # The API server first: without etcd it would only log errors.
        for server in (self._api_server, self._etcd):
            if server is not None:
                server.kill()

    def _clean_up(self) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        self._kill_both()
        self._etcd = self._api_server = self._credentials = None
        shutil.rmtree(folder, ignore_errors=True)
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian = None


def _command(program: Path, flags: Mapping[str, str]) -> list[str]:
    return [str(program), *(f"--{name}={value}" for name, value in flags.items())]


def _roomy_folder() -> str | None:
    """The folder to keep the data in: in memory if there is room, else where temporary files are."""
    with suppress(OSError):
        if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM:
            return str(_IN_MEMORY)
    return None
