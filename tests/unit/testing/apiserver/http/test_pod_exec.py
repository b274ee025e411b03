"""Commands that are run in pods, over WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing.build import pod


async def execute(server: ApiServer, *command: str, given: bytes = b"", name: str = "web") -> dict[int, bytes]:
    """Run a command in a pod; returns what came on each channel."""
    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if given else []
    came: dict[int, bytes] = {}
    url = f"{server.url}/api/v1/namespaces/default/pods/{name}/exec"
    async with (
        asyncio.timeout(10),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, params=query, protocols=("v5.channel.k8s.io",)) as socket,
    ):
        assert socket.protocol == "v5.channel.k8s.io"
        if given:
            await socket.send_bytes(b"\0" + given)
            await socket.send_bytes(b"\xff\0")
        async for message in socket:
            came[message.data[0]] = came.get(message.data[0], b"") + message.data[1:]
    return came


def ending(came: dict[int, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(came[3])
    return found


async def running(server: ApiServer) -> None:
    server.create(
        pod("web", spec={"containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "b"}]}]})
    )
    server.settle()


async def test_a_simple_command_has_its_effect() -> None:
    async with ApiServer(controllers="all") as server:
        await running(server)
        came = await execute(server, "sh", "-c", "echo $A; hostname; date foo; exit 3")
        assert came[1] == b"b\nweb\n"
        assert came[2] == b"date: invalid date 'foo'\n"
        assert ending(came)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert ending(await execute(server, "true"))["status"] == "Success"
        assert await execute(server, "cat", given=b"hello") == {1: b"hello", 3: b'{"metadata":{},"status":"Success"}'}


async def test_a_scripted_command_gives_its_answer_and_an_unknown_one_is_not_found() -> None:
    async with ApiServer(controllers="all") as server:
        await running(server)
        server.pods.command("web*", ["psql", "-c", "select 1"], "1\n", errors="note\n", exit_code=2)
        came = await execute(server, "psql", "-c", "select 1")
        assert (came[1], came[2], ending(came)["reason"]) == (b"1\n", b"note\n", "NonZeroExitCode")
        came = await execute(server, "psql")
        assert came[2] == b"sh: 1: psql: not found\n"
        assert ending(came)["details"]["causes"][0]["message"] == "127"


async def test_a_pod_that_does_not_run_is_refused() -> None:
    async with ApiServer(controllers="all") as server:
        server.pods.script("web", image_error="not found")
        await running(server)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await execute(server, "true")
        assert caught.value.status == 500


async def test_a_scripted_command_needs_no_kubelet() -> None:
    async with ApiServer() as server:
        server.create(pod("web", spec={"containers": [{"name": "app", "image": "app:1"}]}))
        server.pods.command("web", ["date"], "now\n")
        assert (await execute(server, "date"))[1] == b"now\n"


async def test_attach_sends_the_output_of_a_container_and_its_exit_code() -> None:
    async with ApiServer(controllers="all") as server:
        await running(server)
        server.pods.logs("web", "one\n")
        url = f"{server.url}/api/v1/namespaces/default/pods/web/attach"
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession() as session,
            session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as socket,
        ):
            assert (await socket.receive()).data == b"\x01one\n"
            server.pods.logs("web", "one\ntwo\n")
            assert (await socket.receive()).data == b"\x01two\n"
            server.pods.crash("web", exit_code=3)
            server.settle()
            ended = json.loads((await socket.receive()).data[1:])
            assert ended["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
