"""Exec plugins: programs that hand out credentials (`aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`).

The protocol is client.authentication.k8s.io (client-go's plugin/pkg/client/auth/exec; KEP-541). kubernetes_asyncio's
own runner gives the plugin no time limit, leaves its process behind when the caller is cancelled, never tells it of
the cluster (`provideClusterInfo`), and does not know plugins that lie next to the kubeconfig.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio

from kinformer._tasks import whole
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ExecCredential", "ExecPlugin"]

VERSIONS: Final = frozenset(f"client.authentication.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1"))

# A plugin that talks to a person may take as long as the person does; one that does not has a minute.
TIME_LIMIT: Final = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class ExecCredential:
    """What a plugin handed out.

    Attributes:
        token: a bearer token, or "".
        certificate: a client certificate (PEM), or "".
        key: its key (PEM), or "".
        lifetime: for how many seconds this is good, counted from now; `None` until the server refuses it.
    """

    token: str
    certificate: str
    key: str
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """The `exec` section of a kubeconfig user."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    api_version: str
    interactive_mode: str
    install_hint: str
    cluster: Mapping[str, Any] | None = field(repr=False)
    where: str

    @classmethod
    def from_kubeconfig(
        cls, section: Mapping[str, Any], *, where: str, base: Path | None, cluster: Mapping[str, Any]
    ) -> ExecPlugin:
        """Read the section.

        Args:
            section: the value of `exec`.
            where: the user and the file it stands in, for errors.
            base: the directory of that file; commands with a slash are relative to it.
            cluster: what the plugin is told of the cluster, if it asks for it.

        Raises:
            ConfigError: the section cannot be understood; names what and where.
        """
        command = section.get("command")
        if not isinstance(command, str) or not command:
            msg = f"{where}: the exec plugin has no command"
            raise ConfigError(msg)
        version = section.get("apiVersion")
        if version not in VERSIONS:
            msg = (
                f"{where}: exec plugin {command!r} has apiVersion {version!r}; known are {', '.join(sorted(VERSIONS))}"
            )
            raise ConfigError(msg)
        try:
            env = {str(item["name"]): str(item["value"]) for item in section.get("env") or ()}
            args = tuple(str(arg) for arg in section.get("args") or ())
        except (TypeError, KeyError) as error:
            msg = f"{where}: exec plugin {command!r} needs a list of args, and env as a list of name and value"
            raise ConfigError(msg) from error
        if base is not None and os.sep in command:
            command = str(base / command)
        return cls(
            command=command,
            args=args,
            env=env,
            api_version=version,
            interactive_mode=str(section.get("interactiveMode") or "IfAvailable"),
            install_hint=str(section.get("installHint") or ""),
            cluster=cluster if section.get("provideClusterInfo") else None,
            where=where,
        )

    async def run(self) -> ExecCredential:
        """Run the plugin once.

        When cancelled, the plugin's process is killed, and its children with it, before the cancellation goes on.

        Raises:
            ConfigError: it is not installed, failed, took more than a minute (unless it may talk to a person), or
                handed out something that is no credential. What it wrote to its standard error is shown; what it
                wrote to its standard output never is.
        """
        interactive = self.interactive_mode != "Never" and _at_terminal()
        if self.interactive_mode == "Always" and not interactive:
            raise self._failed("needs a terminal (interactiveMode: Always), and there is none")
        try:
            starting = asyncio.create_subprocess_exec(
                self.command,
                *self.args,
                env={**os.environ, **self.env, "KUBERNETES_EXEC_INFO": self._info(interactive)},
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # A session of its own, so that killing it reaches its children; one who talks to us must stay in ours.
                start_new_session=not interactive,
            )
            # Cancelled in the middle, asyncio would kill the process alone, and wait for its children to let go.
            process = await whole(starting, functools.partial(_end, group=not interactive))
        except OSError as error:
            hint = f". {self.install_hint.strip()}" if self.install_hint else "; is it installed, and in PATH?"
            raise self._failed(f"cannot be run: {error.strerror or error}{hint}") from error
        try:
            async with asyncio.timeout(None if interactive else TIME_LIMIT):
                output, complaint = await process.communicate()
        except TimeoutError:
            raise self._failed(f"did not answer within {TIME_LIMIT:g} seconds") from None
        finally:
            await _end(process, group=not interactive)
        if process.returncode:
            said = " ".join(complaint.decode(errors="replace").split())[:400]
            raise self._failed(f"ended with exit code {process.returncode}" + (f": {said}" if said else ""))
        return self._read(output)

    def _info(self, interactive: bool) -> str:
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        return json.dumps({"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec})

    def _read(self, output: bytes) -> ExecCredential:
        try:
            answer = json.loads(output)
        except ValueError:
            raise self._failed("did not answer with JSON") from None
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict) or answer.get("kind") != "ExecCredential":
            raise self._failed("did not answer with an ExecCredential that has a status")
        if answer.get("apiVersion") != self.api_version:
            raise self._failed(f"answered as {answer.get('apiVersion')!r}, and was asked as {self.api_version!r}")
        token, certificate, key = (
            str(status.get(name) or "") for name in ("token", "clientCertificateData", "clientKeyData")
        )
        if bool(certificate) != bool(key):
            raise self._failed("handed out a certificate without a key, or a key without a certificate")
        if not token and not certificate:
            raise self._failed("handed out neither a token nor a certificate")
        return ExecCredential(token, certificate, key, self._lifetime(status.get("expirationTimestamp")))

    def _lifetime(self, expires: object) -> float | None:
        if not expires:
            return None
        try:
            when = dt.datetime.fromisoformat(str(expires))
        except ValueError:
            raise self._failed("handed out an expirationTimestamp that is no RFC 3339 time") from None
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return (when - dt.datetime.now(dt.UTC)).total_seconds()

    def _failed(self, what: str) -> ConfigError:
        return ConfigError(f"{self.where}: exec plugin {self.command!r} {what}")


def _at_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False


async def _end(process: Process, *, group: bool) -> None:
    """Leave no process behind."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    # Not only wait(): the pipes are to be read to their end, or their transports would stay open.
    with anyio.CancelScope(shield=True):
        await process.communicate()
