"""No exception of aiohttp, ssl or a socket leaves the client, and every HTTP status becomes its class."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import http_exceptions
from aiohttp.client_reqrep import ConnectionKey

from kinformer import errors
from kinformer.client import Client
from kinformer.client._http.errors import refusal, retry_after, transport_error
from kinformer.config import ClusterConfig
from kinformer.errors import (
    ApiError,
    ConnectError,
    ExpiredError,
    ProtocolError,
    ResourceVersionTooLargeError,
    ServerError,
    StreamBrokenError,
    TLSError,
    TooManyRequestsError,
    TransportError,
    TransportTimeoutError,
    UnauthorizedError,
)
from kinformer.resources import NODES, PODS

if TYPE_CHECKING:
    from tests.wire.conftest import Scripted


@pytest.mark.parametrize("with_status", [True, False])
async def test_every_status_becomes_its_class(scripted: Scripted, client: Client, with_status: bool) -> None:
    for status in (*range(400, 432), 451, 499, *range(500, 512), 599):
        body = {"kind": "Status", "code": status, "message": "no, because"} if with_status else {"error": "no, because"}
        scripted.says(json.dumps(body), status=status)
        with pytest.raises(ApiError, match='cannot get nodes "n": .*no, because') as caught:
            await client.get(NODES, "n")
        assert caught.value.status == status
        assert type(caught.value) is type(errors.api_error(status))
        if status >= 500:
            assert isinstance(caught.value, ServerError)


async def test_an_empty_refusal_says_what_its_status_means(scripted: Scripted, client: Client) -> None:
    scripted.says("", status=502, content_type="text/html")
    with pytest.raises(ServerError, match=r'cannot get nodes "n": Bad Gateway \(502\)'):
        await client.get(NODES, "n")


async def test_a_version_from_the_future_is_told_apart(scripted: Scripted) -> None:
    details = {"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large"}]}
    status = {"kind": "Status", "code": 504, "reason": "Timeout", "message": "Timeout: Too large", "details": details}
    scripted.says(json.dumps(status), status=504)
    async with Client(ClusterConfig.for_server(scripted.url), retry=None) as client:
        with pytest.raises(ResourceVersionTooLargeError) as caught:
            await client.list(PODS)
    assert caught.value.retry_after == 1


async def test_retry_after_is_handed_on(scripted: Scripted) -> None:
    scripted.says("slow down", status=429, content_type="text/plain", Retry_After="7")
    async with Client(ClusterConfig.for_server(scripted.url), retry=None) as client:
        with pytest.raises(TooManyRequestsError, match="slow down") as caught:
            await client.list(PODS)
    assert caught.value.retry_after == 7
    assert len(scripted.seen) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": " 50 "}, 50),
        ({"Retry-After": "999999999"}, 60),
        ({"Retry-After": "9" * 5_000}, 60),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 60),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}, None),
        (
            {"Retry-After": "Mon, 23 Nov 2020 09:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"},
            0,
        ),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "\u0663"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30),
        ({"Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0),
        ({"Retry-After": "Mon, 23 Nov 2020 09:00:00 GMT"}, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_refusal_with_a_body_that_is_no_status_shows_its_text_and_not_all_of_it() -> None:
    error = refusal(500, b"\xff" + b"x" * 10_000, {}, doing="list pods")
    assert isinstance(error, ServerError)
    assert len(str(error)) < 400
    assert isinstance(refusal(410, b'{"kind":"Status","reason":"Expired"}', {}, doing="list pods"), ExpiredError)


def every_exception_of(*modules: Any) -> list[type[BaseException]]:
    found = {
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, Exception)
        and thing.__module__.startswith(("aiohttp", "ssl"))
        and thing is not aiohttp.WSMessageTypeError  # of web sockets, which are not used
    }
    return sorted(found, key=lambda kind: kind.__name__)


def made(kind: type[BaseException]) -> BaseException:
    """An instance, without going through constructors that each want something else."""
    request: Any = SimpleNamespace(real_url="http://h/")
    key: Any = ConnectionKey("h", 1, True, True, None, None, None)
    history: tuple[Any, ...] = ()
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(request, history, status=407, message="no")
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(key, ValueError("the name does not match"))
    if issubclass(kind, aiohttp.client_exceptions.UnixClientConnectorError):
        return kind("/path", key, OSError(2, "gone"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(key, OSError(111, "Connect call failed"))
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"a", b"b", "h", 1)
    if issubclass(kind, aiohttp.InvalidURL):
        return kind("http://h:port/")
    error = kind.__new__(kind)
    Exception.__init__(error, "said")
    if isinstance(error, http_exceptions.HttpProcessingError):
        error.code, error.message = 400, "said"
    return error


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(
    "kind", every_exception_of(aiohttp.client_exceptions, http_exceptions), ids=lambda k: k.__name__
)
def test_every_exception_of_aiohttp_becomes_a_transport_error(kind: type[BaseException], answered: bool) -> None:
    error = transport_error(made(kind), server="https://k:6443", doing="list pods", answered=answered)
    assert isinstance(error, TransportError)
    assert type(error) is not TransportError
    assert str(error).startswith("cannot list pods: ")
    assert "https://k:6443" in str(error)


@pytest.mark.parametrize(
    ("error", "answered", "kind"),
    [
        (ConnectionRefusedError(111, "refused"), False, ConnectError),
        (ConnectionResetError(104, "reset"), False, ConnectError),
        (ConnectionResetError(104, "reset"), True, StreamBrokenError),
        (aiohttp.ServerDisconnectedError(), False, ConnectError),
        (aiohttp.ServerDisconnectedError(), True, StreamBrokenError),
        (aiohttp.ClientPayloadError("half"), True, StreamBrokenError),
        (EOFError(), True, StreamBrokenError),
        (TimeoutError(), False, TransportTimeoutError),
        (aiohttp.ConnectionTimeoutError(), False, TransportTimeoutError),
        (aiohttp.SocketTimeoutError(), True, TransportTimeoutError),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT] alert"), False, TLSError),
        (ssl.SSLCertVerificationError(1, "bad"), False, TLSError),
        (aiohttp.ClientOSError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tls alert"), False, TLSError),
        (socket.gaierror(-2, "Name or service not known"), False, ConnectError),
        (aiohttp.InvalidURL("x"), False, ProtocolError),
    ],
    ids=str,
)
def test_what_happened_decides_the_class(error: BaseException, answered: bool, kind: type[TransportError]) -> None:
    made = transport_error(error, server="https://k:6443", doing="list pods", answered=answered)
    assert type(made) is kind


async def test_a_server_that_is_not_there_is_named_with_the_cause() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Client(ClusterConfig.for_server(url)) as client:
            with pytest.raises(
                ConnectError, match=f"cannot list pods in all namespaces: no connection to {url}: .*[Cc]onnect"
            ):
                await client.list(PODS)
            with pytest.raises(ConnectError, match=f"cannot watch nodes: no connection to {url}"):
                async with client.list_watch(NODES).watch(resource_version="1", timeout_seconds=60):
                    pass


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def raw_server(reply: bytes) -> tuple[asyncio.Server, str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", ConnectError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ProtocolError),
        (JSON_HEAD + b"Content-Length: 100\r\n\r\n{", StreamBrokenError),
        (
            JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
            StreamBrokenError,
        ),
        (
            JSON_HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            TransportError,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", ProtocolError),
    ],
)
async def test_broken_http_is_told_in_our_terms(reply: bytes, kind: type[Exception]) -> None:
    server, url = await raw_server(reply)
    async with server, Client(ClusterConfig.for_server(url), retry=None) as client:
        with pytest.raises(kind, match="cannot list nodes: .*127.0.0.1"):
            await client.list(NODES)
        with pytest.raises(TransportError, match="cannot watch nodes: "):
            async with client.list_watch(NODES).watch(resource_version="1", timeout_seconds=60) as stream:
                async for _ in stream:
                    pass


async def test_401_without_other_credentials_is_raised_at_once(scripted: Scripted) -> None:
    scripted.says('{"kind":"Status","code":401,"reason":"Unauthorized","message":"Unauthorized"}', status=401)
    async with Client(ClusterConfig.for_server(scripted.url, token="hunter2")) as client:
        with pytest.raises(UnauthorizedError, match="cannot list pods in namespace web: Unauthorized") as caught:
            await client.list(PODS, namespace="web")
    assert len(scripted.seen) == 1
    assert scripted.seen[0].headers["Authorization"] == "Bearer hunter2"
    assert "hunter2" not in str(caught.value) + repr(client) + repr(client.config)
