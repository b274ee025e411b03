"""examples/workers_app.py under uvicorn with several workers, each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from kinformer.testing import ApiServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no Unix sockets on this system")


def pod(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


@contextlib.asynccontextmanager
async def uvicorn_with_workers(number: int, environment: dict[str, str]) -> AsyncIterator[str]:
    """Run the example; the socket is this test's, so no other process can take its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "examples.workers_app:app", "--workers", str(number)),
            *("--fd", str(listening.fileno()), "--log-level", "critical", "--timeout-graceful-shutdown", "1"),
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            pass_fds=[listening.fileno()],
        )
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def answer(url: str, path: str) -> Any:
    # A connection for each question: any worker may accept it.
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(url + path) as response,
        ):
            return await response.json() if response.status == 200 else None
    return None


async def answers(url: str, path: str, enough: Callable[[list[Any]], object]) -> list[Any]:
    """Ask until the last 20 answers are enough."""
    had: list[Any] = []
    async with asyncio.timeout(120):
        while not enough(had):
            had = [*had, await answer(url, path)][-20:]
            if had[-1] is None:
                had = []
                await asyncio.sleep(0.05)
    return had


def of_two_workers(had: list[Any]) -> bool:
    """Whether one worker of two serves."""
    return {each["serves"] for each in had} == {True, False} and len({each["pid"] for each in had}) == 2


def all_have(name: str) -> Callable[[list[Any]], bool]:
    def holds(had: list[Any]) -> bool:
        return len(had) == 20 and all(name in {each["metadata"]["name"] for each in one["items"]} for one in had)

    return holds


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory with a short path: that of a Unix socket has some 100 bytes at most, and pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="kin-") as made:
        yield Path(made)


async def test_the_workers_of_uvicorn_share_and_a_killed_one_is_succeeded(
    api: ApiServer, tmp_path: Path, runtime: Path
) -> None:
    api.create(pod("first"))
    api.write_kubeconfig(tmp_path / "kubeconfig")
    environment = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "XDG_RUNTIME_DIR": str(runtime)}
    async with uvicorn_with_workers(2, environment) as url:
        had = await answers(url, "/worker", of_two_workers)
        await answers(url, "/cache/pods", all_have("first"))
        assert len(api.open_watches) == 1
        (serving,) = {each["pid"] for each in had if each["serves"]}
        os.kill(serving, signal.SIGKILL)
        api.create(pod("second"))

        def has_a_successor(had: list[Any]) -> bool:
            return of_two_workers(had) and serving not in {each["pid"] for each in had}

        await answers(url, "/worker", has_a_successor)
        await answers(url, "/cache/pods", all_have("second"))
        assert len(api.open_watches) == 1
    assert list((runtime / "kinformer").iterdir()) == []
