"""`kinformer run --reload`: runs the command in a process of its own, and starts it anew when a file changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kinformer.cli._session import print_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from kinformer.cli._connect import ServerChoice

__all__ = ["changed", "run_with_reload", "times_of_files"]

_LOOK_EVERY: Final = 0.3
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_STOP_WITHIN: Final = 35.0
"""Seconds: more than the grace period of a manager."""
_END_WITHIN: Final = 0.5
"""Seconds for the operator when this command itself is ended."""


async def run_with_reload(arguments: Sequence[str], server: ServerChoice) -> int:
    """Run `kinformer` with these arguments, without `--reload`, until cancelled; start it anew after each change.

    A simulated cluster goes on meanwhile. An operator that has ended is started by the next change.

    Args:
        arguments: the command line.
        server: the server that it names.
    """
    async with _command(arguments, server) as command:
        before = await asyncio.to_thread(times_of_files, Path())
        while True:
            process = await asyncio.create_subprocess_exec(*command)
            try:
                before, file = await _next_change(before, process)
                print_error(f"{file} has changed; the operator starts anew")
                await _stop(process, _STOP_WITHIN)
            finally:
                await _stop(process, _END_WITHIN)


@contextlib.asynccontextmanager
async def _command(arguments: Sequence[str], server: ServerChoice) -> AsyncIterator[list[str]]:
    rest = [each for each in arguments if each not in {"--reload", "--demo"}]
    command = [sys.executable, "-m", "kinformer", *rest]
    if not server.demo:
        yield command
        return
    from kinformer.cli._connect import demo_server

    async with demo_server() as url:
        yield [*command, "--install", "--server", url]


async def _next_change(
    before: Mapping[str, float], process: asyncio.subprocess.Process
) -> tuple[dict[str, float], str]:
    """Wait for a change; return the times of the files, and one file that has changed."""
    said = False
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        if process.returncode is not None and not said:
            said = True
            print_error(f"the operator has ended with exit code {process.returncode}; it starts anew after a change")
        now = await asyncio.to_thread(times_of_files, Path())
        if file := changed(before, now):
            return now, file


async def _stop(process: asyncio.subprocess.Process, within: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def times_of_files(folder: Path) -> dict[str, float]:
    """Return the Python files below a folder with the times of their last changes, in hidden folders none."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in _SKIPPED]
        for file in files:
            if file.endswith(".py"):
                path = Path(place, file)
                # A file may go between two looks.
                with contextlib.suppress(OSError):
                    found[str(path)] = path.stat().st_mtime
    return found


def changed(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Return a file that is new, has gone or has changed; "" if there is none."""
    return next((each for each in sorted({*before, *now}) if before.get(each) != now.get(each)), "")
