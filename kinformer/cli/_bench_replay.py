"""`kinformer bench --replay`: the recording is served by another process, so that its cost is not measured."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._bench import BenchPlan
from kinformer.cli._bench_view import bench
from kinformer.cli._connect import ServerChoice
from kinformer.cli._replay import speed_of
from kinformer.cli._session import UsageProblem
from kinformer.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["replayed"]

_LONGEST: Final = 86_400.0
_AT: Final = "replay at "


async def replayed(
    path: Path,
    speed: str,
    resources: Sequence[str],
    seconds: float | None,
    selection: Mapping[str, Any],
    server: ServerChoice,
    output: str,
) -> int:
    """Measure the informers of a recording, print the result, and return the exit code.

    Raises:
        UsageProblem: options that contradict each other.
        RecordingError: the file is no recording, or is damaged.
    """
    if server != ServerChoice():
        raise UsageProblem("--replay names the server; leave the other options that do out")
    speed_of(speed)
    namespaces = dict(selection)
    namespaces["all_namespaces"] = not namespaces.get("namespace")
    async with _process(path, speed) as url:
        plan = BenchPlan(resources, seconds=_LONGEST if seconds is None else seconds, **namespaces)
        return await bench(replace(plan, watched=lambda: _played(url)), ServerChoice(server=url), output)


@contextlib.asynccontextmanager
async def _process(path: Path, speed: str) -> AsyncIterator[str]:
    arguments = ("-m", "kinformer", "replay", str(path), "--speed", speed, "--hold")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = (await process.stdout.readline()).decode().strip()
        if not line.startswith(_AT):
            raise RecordingError((await process.stderr.read()).decode().strip().removeprefix("kinformer: "))
        yield line.removeprefix(_AT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _played(url: str) -> None:
    """Begin with the events, and return when all were sent."""
    import aiohttp

    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"{url}/kinformer/replay?wait", timeout=aiohttp.ClientTimeout(total=None)) as answer,
    ):
        state = await answer.json()
    if state["failed"]:
        raise RecordingError(state["failed"])
    # The last events are on their way to the handlers.
    await asyncio.sleep(0.2)
