"""One server process: its command, its log, its start and its end."""

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
    """One server, which can be started repeatedly with the same command; all its output goes to one log.

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
        """Report whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> None:
        """Start the process; do not wait until it serves.

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
        """Send SIGTERM, and kill the process if it has not ended in time. A cancelled call also kills it."""
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
        """Kill the process (SIGKILL), and return when it has ended. This blocks the loop for some milliseconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._guardian.ended(process.pid)

    def last_words(self) -> str:
        """Return the end of its log."""
        with suppress(OSError), self._log.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
            return "\n".join(f"  {line}" for line in lines)
        return ""

    def has_said(self, words: bytes) -> bool:
        """Report whether its log contains a text."""
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
        """Guard a process: end it when this process dies."""
        self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """Stop guarding a process that has ended, because its id may belong to another process later."""
        self._tell(f"-{pid}\n")

    def dismiss(self) -> None:
        """End the guard after the cleanup."""
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
    """Return a free port of 127.0.0.1. If another process takes it, call this again."""
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
