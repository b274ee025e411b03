"""A server in a process of its own: its command, its log, its life."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Guardian", "ServerProcess", "free_port"]

# Below what clients get (net.ipv4.ip_local_port_range begins at 32768, IANA's at 49152): a client that comes back to a
# server that is down could be given the very port it connects to, and would then be connected to itself.
_PORTS: Final = range(20_000, 32_000)

_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 16 * 1024
_TURN: Final = 0.02
"""Seconds between two looks at a process."""


class ServerProcess:
    """One server, started as often as need be with the same command; its output goes to one log.

    Bound to no event loop: a fixture may start it in one and a test kill it in another.

    Args:
        command: the program and its arguments.
        log: the file that its output is added to.
        guardian: what ends it when we cannot.
    """

    def __init__(self, command: Sequence[str], log: Path, guardian: Guardian) -> None:
        self.name = Path(command[0]).name
        self._command = [*command]
        self._log = log
        self._guardian = guardian
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Report whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> None:
        """Start it; does not wait until it serves.

        Raises:
            OSError: the program cannot be run.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours, and no shell is asked
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the test run, which then ends us as it should.
                process_group=0,
            )
        self._guardian.started(self._process.pid)

    async def terminate(self, patience: float) -> None:
        """Ask it to end (SIGTERM), and kill it if it has not within so many seconds. If cancelled, it is killed."""
        if self._process is None:
            return
        deadline = time.monotonic() + patience  # noqa: TID251 - processes live in real time, also under a virtual clock
        try:
            self._process.terminate()
            while self.running and time.monotonic() < deadline:  # noqa: ASYNC110, TID251
                await asyncio.sleep(_TURN)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), and return when it has ended: some milliseconds, which the loop stands still."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._guardian.ended(process.pid)

    def last_words(self) -> str:
        """The end of its log."""
        with suppress(OSError), self._log.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
            return "\n".join(f"  {line}" for line in lines)
        return ""

    def has_said(self, words: bytes) -> bool:
        """Report whether its log has these words."""
        try:
            return words in self._log.read_bytes()
        except OSError:
            return False


class Guardian:
    """A process that ends servers and removes their folder when this process dies.

    See `kinformer.testing._control_plane.guardian`.

    Args:
        folder: what to remove.
    """

    def __init__(self, folder: Path) -> None:
        program = Path(__file__).with_name("guardian.py")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(program), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def started(self, pid: int) -> None:
        """Take a process under guard."""
        self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """Let it go: it has been waited for, and its id may belong to another process."""
        self._tell(f"-{pid}\n")

    def dismiss(self) -> None:
        """Everything has been cleaned up."""
        self._tell("done\n")
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        # Without a guardian, the rest still works.
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


def free_port() -> int:
    """A free port of 127.0.0.1. Another process may take it: try again then."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            # As servers bind: connections of an earlier server that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    msg = f"no port of 127.0.0.1 between {_PORTS.start} and {_PORTS.stop} is free"
    raise OSError(msg)
