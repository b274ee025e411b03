"""Exec plugins: programs that return credentials (`aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`).

The protocol is client.authentication.k8s.io (client-go's plugin/pkg/client/auth/exec; KEP-541). A plugin runs within
bounds: of time, of output, and of processes left behind. Its standard error goes to the terminal, where a person reads
its questions, or is discarded; like its standard output it never gets into an error, a log line or a status.
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

import msgspec

from kinformer._tasks import ended, whole
from kinformer.config._kubeconfig_schema import ExecConfig, typed
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

__all__ = ["ExecCredential", "ExecPlugin"]

VERSIONS: Final = frozenset(f"client.authentication.k8s.io/{v}" for v in ("v1", "v1beta1"))
MODES: Final = ("Never", "IfAvailable", "Always")

TIME_LIMIT: Final = 60.0
"""Seconds that a plugin may take which cannot talk to a person."""

INTERACTIVE_TIME_LIMIT: Final = 600.0
"""Seconds that a plugin may take which can: a person reads, finds a phone, and types."""

OUTPUT_LIMIT: Final = 1 << 20
"""Bytes that a plugin may write to its standard output; a credential with a certificate has some 10 KB."""

DRAIN_LIMIT: Final = 1.0
"""Seconds that output may still come after the plugin ended, when a process that it left behind holds the pipe open."""


@dataclass(frozen=True, slots=True, repr=False)
class ExecCredential:
    """The credential that a plugin returned.

    Attributes:
        token: a bearer token, or "".
        certificate: a client certificate (PEM), or "".
        key: its key (PEM), or "".
        lifetime: for how many seconds it is valid from now on; `None` until the server refuses it.
    """

    token: str
    certificate: str
    key: str
    lifetime: float | None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str | None = None
    kind: str | None = None
    status: _Status | None = None


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """The `exec` section of a kubeconfig user."""

    command: str
    args: tuple[str, ...] = field(repr=False)  # some plugins take secrets here
    env: Mapping[str, str] = field(repr=False)
    api_version: str
    interactive_mode: str
    install_hint: str
    cluster: Mapping[str, Any] | None = field(repr=False)
    where: str

    @classmethod
    def from_kubeconfig(
        cls, section: Mapping[str, Any] | ExecConfig, *, where: str, base: Path | None, cluster: Mapping[str, Any]
    ) -> ExecPlugin:
        """Read the section.

        Args:
            section: the value of `exec`.
            where: the user and its file, for errors.
            base: the directory of that file; commands with a slash are relative to it.
            cluster: the description of the cluster that the plugin gets if it asks for it.

        Raises:
            ConfigError: the section cannot be understood; names the field and the user.
        """
        if not isinstance(section, ExecConfig):
            section = typed(section, ExecConfig, f"{where}: exec")
        command, version = section.command, section.api_version
        if not command:
            msg = f"{where}: the exec plugin has no command"
            raise ConfigError(msg)
        if version is None or version not in VERSIONS:
            msg = (
                f"{where}: exec plugin {command!r} has apiVersion {version!r}; known are {', '.join(sorted(VERSIONS))}"
            )
            raise ConfigError(msg)
        # client-go demands a mode of v1. Kubeconfigs without one are common, so they get the default of v1beta1.
        mode = section.interactive_mode or "IfAvailable"
        if mode not in MODES:
            msg = f"{where}: exec plugin {command!r} has interactiveMode {mode!r}; known are {', '.join(MODES)}"
            raise ConfigError(msg)
        variables = [variable for variable in section.env or () if variable is not None]
        if not all(variable.name for variable in variables):
            msg = f"{where}: exec plugin {command!r} has an entry in env without a name"
            raise ConfigError(msg)
        if base is not None and os.sep in command:
            command = str(base / command)
        return cls(
            command=command,
            args=tuple(argument or "" for argument in section.args or ()),
            env={str(variable.name): variable.value or "" for variable in variables},
            api_version=version,
            interactive_mode=mode,
            install_hint=section.install_hint or "",
            cluster=cluster if section.provide_cluster_info else None,
            where=where,
        )

    async def run(self) -> ExecCredential:
        """Run the plugin once.

        When cancelled, once or several times, the plugin's process is killed with its children before the cancellation
        goes on.

        Raises:
            ConfigError: the plugin is not installed, failed, took more than a minute (ten minutes where it may talk to
                a person), wrote more than 1 MiB, or returned something that is no credential. The message shows
                nothing that the plugin wrote.
        """
        interactive = self.interactive_mode != "Never" and _at_terminal()
        if self.interactive_mode == "Always" and not interactive:
            raise self._failed("needs a terminal (interactiveMode: Always), and there is none")
        limit = INTERACTIVE_TIME_LIMIT if interactive else TIME_LIMIT
        async with _Output.pipe() as (output, writing):
            try:
                starting = asyncio.create_subprocess_exec(
                    self.command,
                    *self.args,
                    env={**os.environ, **self.env, "KUBERNETES_EXEC_INFO": self._info(interactive)},
                    stdin=None if interactive else asyncio.subprocess.DEVNULL,
                    stdout=writing,
                    stderr=None if interactive or _is_terminal(sys.stderr) else asyncio.subprocess.DEVNULL,
                    # A session of its own, so that killing it reaches its children; an interactive plugin needs ours.
                    start_new_session=not interactive,
                )
                # Cancelled in the middle, asyncio would kill the process alone and leave its children.
                process = await whole(starting, functools.partial(_end, group=not interactive))
            except OSError as error:
                hint = f". {self.install_hint.strip()}" if self.install_hint else "; is it installed, and in PATH?"
                raise self._failed(f"cannot be run: {error.strerror or error}{hint}") from error
            finally:
                os.close(writing)
            try:
                async with asyncio.timeout(limit):
                    await output.end_or_end_of(process)
            except TimeoutError:
                raise self._failed(f"did not answer within {limit:g} seconds") from None
            finally:
                await _end(process, group=not interactive)
            if not await output.drained() and not interactive:
                _kill_group(process)
        if output.too_long:
            raise self._failed(f"wrote more than {OUTPUT_LIMIT >> 20} MiB to its standard output")
        if process.returncode:
            seen = "" if interactive else "; run it in a terminal to see its messages"
            raise self._failed(f"ended with exit code {process.returncode}{seen}")
        return self._read(bytes(output.data))

    def _info(self, interactive: bool) -> str:
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        return json.dumps({"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec})

    def _read(self, output: bytes) -> ExecCredential:
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except msgspec.ValidationError:
            raise self._failed("did not answer with an ExecCredential whose fields have the right types") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            answer = self._read_yaml(output)
        status = answer.status
        if status is None or answer.kind != "ExecCredential":
            raise self._failed("did not answer with an ExecCredential that has a status")
        if answer.api_version != self.api_version:
            raise self._failed(f"answered in another apiVersion than {self.api_version!r}, in which it was asked")
        token, certificate, key = (
            status.token or "",
            status.client_certificate_data or "",
            status.client_key_data or "",
        )
        if bool(certificate) != bool(key):
            raise self._failed("handed out a certificate without a key, or a key without a certificate")
        if not token and not certificate:
            raise self._failed("handed out neither a token nor a certificate")
        return ExecCredential(token, certificate, key, self._lifetime(status.expiration_timestamp))

    def _read_yaml(self, output: bytes) -> _Answer:
        """Read an answer in YAML, or in JSON with a byte order mark, which client-go takes as well."""
        from kinformer.config._yaml import YamlError, read_yaml

        try:
            return msgspec.convert(read_yaml(output), _Answer)
        except (YamlError, msgspec.ValidationError):
            raise self._failed("did not answer with JSON") from None

    def _lifetime(self, expires: str | None) -> float | None:
        if not expires:
            return None
        try:
            when = dt.datetime.fromisoformat(expires)
            if when.tzinfo is None:
                when = when.replace(tzinfo=dt.UTC)
            return (when - dt.datetime.now(dt.UTC)).total_seconds()
        except (ValueError, OverflowError):
            raise self._failed("handed out an expirationTimestamp that is no RFC 3339 time") from None

    def _failed(self, what: str) -> ConfigError:
        return ConfigError(f"{self.where}: exec plugin {self.command!r} {what}")


class _Output(asyncio.Protocol):
    """The standard output of a plugin, read from a pipe up to a bound.

    asyncio's own pipes of a process have no bound, and stay open as long as any process holds their other end.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.too_long = False
        self._stopped = asyncio.Event()
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def pipe(cls) -> AsyncIterator[tuple[_Output, int]]:
        """Open a pipe; gives its reader, and the descriptor to write to, which the caller closes."""
        reading, writing = os.pipe()
        pipe = os.fdopen(reading, "rb", buffering=0)
        try:
            transport, output = await asyncio.get_running_loop().connect_read_pipe(cls, pipe)
        except BaseException:
            pipe.close()
            os.close(writing)
            raise
        output._transport = transport
        try:
            yield output, writing
        finally:
            transport.close()

    def data_received(self, data: bytes) -> None:
        if len(self.data) + len(data) > OUTPUT_LIMIT:
            self.too_long = True
            self.data.clear()
            if self._transport is not None:
                self._transport.close()
        else:
            self.data += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        self._stopped.set()

    async def end_or_end_of(self, process: Process) -> None:
        """Wait until the process has ended, or has written too much."""
        async with asyncio.TaskGroup() as tasks:
            stopped = tasks.create_task(self._stopped.wait())
            ended = tasks.create_task(process.wait())
            await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self.too_long:
                ended.cancel()

    async def drained(self) -> bool:
        """Read to the end what a process that has ended wrote; `False` when another process holds the pipe open."""
        try:
            async with asyncio.timeout(DRAIN_LIMIT):
                await self._stopped.wait()
        except TimeoutError:
            return False
        return True


def _at_terminal() -> bool:
    return _is_terminal(sys.stdin)


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


async def _end(process: Process, *, group: bool) -> None:
    """Leave no process behind, however often the caller is cancelled."""
    if process.returncode is not None:
        return
    if group:
        _kill_group(process)
    else:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await ended(process.wait())


def _kill_group(process: Process) -> None:
    """Kill the process and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
