"""A program beside a control plane: when the process that started it dies, it ends the servers of that process.

    python guardian.py FOLDER        on stdin, a line for each process: +PID when it starts, -PID when it has ended

A test run may be killed with no chance to clean up. Its end of our stdin closes then, however it died: what runs is
killed, and the folder removed. The line "done" means that all has been cleaned up already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["guard"]


def guard(folder: str, lines: Iterable[str]) -> None:
    """Follow the started processes, until the lines end or say that all is done."""
    running: set[int] = set()
    for line in lines:
        what, pid = line[0], line[1:].strip()
        if what == "d":
            return
        if what == "+":
            running.add(int(pid))
        else:
            running.discard(int(pid))
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    # Those that are being killed may still write for a moment.
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):  # noqa: PTH110 - a program that must start at once imports little
            return
        time.sleep(0.05)  # noqa: TID251 - there is no loop here


if __name__ == "__main__":
    # A signal for the test run (Ctrl-C, the end of a terminal) is not for this process, which ends after it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guard(sys.argv[1], sys.stdin)
