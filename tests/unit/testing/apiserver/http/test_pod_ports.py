"""Ports of pods: forwarded over WebSocket, and proxied."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from kinformer._local_runner import LocalRunner, local_server
from kinformer.testing import ApiServer
from kinformer.testing.build import pod, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        return web.Response(text=f"{request.method} {request.path_qs} {body.decode()}", status=207)

    runner = LocalRunner(local_server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def forwarded(server: ApiServer, *ports: int) -> dict[int, bytes]:
    """Send a request to the first port; return what came on each channel."""
    url = f"{server.url}/api/v1/namespaces/default/pods/web/portforward"
    query = [("ports", str(port)) for port in ports]
    came: dict[int, bytes] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, params=query, protocols=("v4.channel.k8s.io",)) as socket,
    ):
        await socket.send_bytes(b"\0" + REQUEST)
        async for message in socket:
            came[message.data[0]] = came.get(message.data[0], b"") + message.data[1:]
            if message.data[0] % 2 and len(message.data) > 3:
                break
    return came


async def test_a_forwarded_port_leads_to_the_listener_that_the_test_has_named() -> None:
    async with listener() as port, ApiServer() as server:
        server.create(pod("web"))
        server.pods.forward("we*", 80, "127.0.0.1", port)
        came = await forwarded(server, 80)
        assert came[0].startswith(b"\x50\x00HTTP/1.1 207 ")
        assert came[0].endswith(b"GET /a ")
        assert came[1] == b"\x50\x00"


async def test_a_port_without_a_listener_refuses_connections_on_its_own_channel() -> None:
    async with listener() as port, ApiServer() as server:
        uid = server.create(pod("web"))["metadata"]["uid"]
        server.pods.forward("web", 80, "127.0.0.1", port)
        came = await forwarded(server, 81)
        assert came[0] == b"\x51\x00"
        assert came[1][2:].decode() == (
            f"error forwarding port 81 to pod web, uid {uid}: failed to connect to localhost:81: dial tcp4 "
            "127.0.0.1:81: connect: connection refused"
        )


async def test_a_request_without_an_upgrade_or_with_a_wrong_port_is_refused() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        server.create(pod("web"))
        url = "/api/v1/namespaces/default/pods/web/portforward"
        async with session.get(url) as answer:
            assert (await answer.json())["message"] == "pod web does not have a host assigned"
        server.pods.forward("web", 80, "127.0.0.1", 1)
        async with session.get(url, params={"ports": "80"}) as answer:
            assert answer.status == 400
        async with session.get(url, params={"ports": "80,x"}) as answer:
            assert (await answer.json())["message"] == 'unable to parse "x" as a port: invalid port'


async def test_a_proxied_request_is_answered_by_the_listener_of_a_pod() -> None:
    async with listener() as port, ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        server.create(pod("web", labels={"app": "web"}))
        server.create(service("web", spec={"selector": {"app": "web"}, "ports": [{"port": 8000, "targetPort": 80}]}))
        server.pods.forward("web", 80, "127.0.0.1", port)
        base = "/api/v1/namespaces/default"
        async with session.post(f"{base}/pods/web:80/proxy/a/b?c=d", data="e") as answer:
            assert (answer.status, await answer.text()) == (207, "POST /a/b?c=d e")
        async with session.get(f"{base}/services/http:web:8000/proxy/") as answer:
            assert (answer.status, await answer.text()) == (207, "GET / ")


async def test_a_proxied_request_without_a_listener_has_the_error_of_a_cluster() -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        server.create(service("web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]}))
        base = "/api/v1/namespaces/default"
        async with session.get(f"{base}/services/web/proxy/") as answer:
            assert (answer.status, (await answer.json())["message"]) == (
                503,
                'no endpoints available for service "web"',
            )
        async with session.get(f"{base}/services/web:9/proxy/") as answer:
            assert (await answer.json())["message"] == 'no service port "9" found for service "web:9"'
        server.create(pod("web", labels={"app": "web"}))
        async with session.get(f"{base}/pods/web/proxy/") as answer:
            assert (answer.status, (await answer.json())["message"]) == (400, "address not allowed")
        server.patch("v1", "Pod", "web", {"status": {"podIP": "10.0.0.1"}}, subresource="status")
        async with session.get(f"{base}/pods/web:90/proxy/") as answer:
            assert answer.status == 503
            assert (await answer.json())["message"].endswith("dial tcp 10.0.0.1:90: connect: connection refused")
        server.pods.forward("web", 90, "127.0.0.1", 1)
        async with session.get(f"{base}/pods/web:90/proxy/") as answer:
            assert answer.status == 503
