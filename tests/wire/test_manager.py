"""Manager over real sockets and as a process: probes, metrics, Host, signals, and a blocked loop that is named."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from kinformer import Client, ClusterConfig, Manager, SharedInformerFactory
from kinformer.testing import ApiServer
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


async def asked(manager: Manager, path: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(manager.url + path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_probes_know_the_caches_and_the_end() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.faults.fail_next(2, status=503, resource="pods")
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods
        async with Manager(port=0).add(factory) as manager:
            status, text = await asked(manager, "/readyz")
            assert status == 503
            assert "not started yet: SharedInformerFactory" in text
            assert (await asked(manager, "/livez"))[0] == 200
            await pods.synced(timeout=60)
            async with asyncio.timeout(60):
                while not manager.is_ready:
                    await asyncio.sleep(0.01)
            assert (await asked(manager, "/readyz"))[0] == 200
            status, text = await asked(manager, "/metrics")
            assert (status, "python_info" in text) == (200, True)
            status, text = await asked(manager, "/kinformer/status")
            assert json.loads(text)["informers"][0]["name"] == "pods.v1"
            assert (await asked(manager, "/secret"))[0] == 404
            assert (await asked(manager, "/livez", Host="evil.example.com"))[0] == 403

            class Slow(contextlib.AbstractAsyncContextManager[None]):
                async def __aenter__(self) -> None:
                    entered.set()

                async def __aexit__(self, *_: object) -> None:
                    seen.append(await asked(manager, "/readyz"))

            entered = asyncio.Event()
            seen: list[tuple[int, str]] = []
            manager.add(Slow())
            async with asyncio.timeout(60):
                await entered.wait()
        assert seen[0][0] == 503
        assert "the manager is stopping" in seen[0][1]


async def test_liveness_fails_once_a_part_has_failed() -> None:
    class Last(contextlib.AbstractAsyncContextManager[None]):
        async def __aexit__(self, *_: object) -> None:
            seen.append(await asked(manager, "/livez"))

    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise ValueError("a secret")

    seen: list[tuple[int, str]] = []
    manager = Manager(port=0).add(Last(), fails)
    with pytest.raises(ValueError, match="a secret"):
        await manager.run()
    ((status, text),) = seen
    assert status == 503
    assert "fails has failed: ValueError" in text
    assert "a secret" not in text


async def test_a_blocked_loop_is_logged_with_the_code_that_blocks_it(caplog: pytest.LogCaptureFixture) -> None:
    def blocks_the_loop() -> None:
        # Until the blockade is noticed: on a busy machine, that takes longer than the limit.
        loop = asyncio.get_running_loop()
        until = loop.time() + 60
        while not caplog.records and loop.time() < until:
            time.sleep(0.05)  # noqa: TID251 - that is the fault

    with caplog.at_level(logging.CRITICAL):
        async with Manager(host="", blocked_after=0.2):
            blocks_the_loop()
            await asyncio.sleep(0.1)
    (record,) = caplog.records
    assert "the event loop has been blocked for 0.2 s" in record.getMessage()
    assert "blocks_the_loop" in record.getMessage()


SOURCE = """
import asyncio, contextlib
from kinformer import Manager, SharedInformerFactory

class Slow(contextlib.AbstractAsyncContextManager):
    async def __aenter__(self):
        print("started", flush=True)
    async def __aexit__(self, *_):
        print("stopping", flush=True)
        await asyncio.sleep(0.1)
        print("stopped", flush=True)

def manager(client):
    factory = SharedInformerFactory(client)
    factory.core.v1.pods
    return Manager(port=0).add(factory, Slow())

def slow(client):
    class VerySlow(Slow):
        async def __aexit__(self, *_):
            print("stopping", flush=True)
            await asyncio.sleep(60)
    return Manager(port=0).add(VerySlow())

def failing(client):
    async def fails():
        raise ValueError("boom")
    return Manager(port=0).add(fails)

def wrong(client):
    return 5
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "my_operator.py").write_text(SOURCE)
    return tmp_path


async def started(folder: Path, target: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kinformer", "run", target, *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_operator_and_the_exit_code_is_0(module: Path, number: signal.Signals) -> None:
    async with ApiServer() as server:
        process = await started(module, "my_operator", "--server", server.url)
        assert await line(process) == "started"
        process.send_signal(number)
        assert [await line(process), await line(process)] == ["stopping", "stopped"]
        assert await process.wait() == 0


async def test_a_second_signal_ends_the_process_at_once(module: Path) -> None:
    async with ApiServer() as server:
        process = await started(module, "my_operator:slow", "--server", server.url)
        assert await line(process) == "started"
        process.send_signal(signal.SIGTERM)
        assert await line(process) == "stopping"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 1


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        ("my_operator:failing", 1, "boom"),
        ("my_operator:wrong", 2, "returned a int, and not the Manager"),
        ("my_operator:nothing", 2, "is no function"),
    ],
)
async def test_a_failure_and_a_wrong_target_are_one_line_and_an_exit_code(
    module: Path, target: str, code: int, reason: str
) -> None:
    async with ApiServer() as server:
        process = await started(module, target, "--server", server.url)
        async with asyncio.timeout(60):
            _, error = await process.communicate()
    assert reason in error.decode()
    assert process.returncode == code


async def test_reload_starts_the_operator_anew_after_a_change_and_logs_what_it_logs(module: Path) -> None:
    source = """
import logging
from kinformer import Manager

def manager(client):
    logging.getLogger("mine").info("this is logged")
    async def hello():
        print("VERSION", flush=True)
    return Manager(host="").add(hello)
"""
    file = module / "my_operator.py"
    file.write_text(source.replace("VERSION", "one"))
    async with ApiServer() as server:
        process = await started(module, "my_operator", "--server", server.url, "--reload")
        assert await line(process) == "one"
        file.write_text(source.replace("VERSION", "number two"))
        assert await line(process) == "number two"
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert b"INFO mine: this is logged" in errors
    assert b"my_operator.py has changed; the operator starts anew" in errors
    assert process.returncode == 128 + signal.SIGTERM


async def test_the_demo_has_the_resources_of_the_modules_classes(module: Path) -> None:
    (module / "my_operator.py").write_text("""
import msgspec
from kinformer import Manager, SharedInformerFactory
from kinformer.custom_resources import CustomResource, ObjectMeta, custom_resource

@custom_resource(group="example.com", version="v1", kind="Site")
class Site(CustomResource, msgspec.Struct):
    metadata: ObjectMeta

def manager(client):
    factory = SharedInformerFactory(client)
    sites = factory.informer(Site)
    async def look():
        print(sites.lister.list(), flush=True)
        made.stop()
    made = Manager(host="").add(factory, look)
    return made
""")
    process = await started(module, "my_operator", "--demo")
    assert await line(process) == "[]"
    assert await process.wait() == 0
