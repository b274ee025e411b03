"""Passes requests on to the API server as they are, and their answers back as they come."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import aiohttp
import multidict
import yarl
from aiohttp import web

from kinformer._connector import READS, Connector, end_response, send_once
from kinformer.config import ContextCache, Identity
from kinformer.errors import KinformerError
from kinformer.proxy._bodies import Refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from kinformer.config import ClusterConfig

__all__ = ["Forwarder", "Others"]

Others: TypeAlias = Literal["read", "proxy", "caller", "refuse"]
"""What happens to requests that the caches do not answer: reads of the proxied resources and discovery are passed on
with the identity of the proxy, all requests are, all are passed on with that of the caller, or all are refused."""

BODY_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a request's body; an API server takes 3 MiB."""

_CONNECT_TIMEOUT: Final = 10.0

_AS: Final = "impersonate-"
"""The beginning of the headers that ask for the rights of another user."""

_DISCOVERY: Final = re.compile(r"/version/?|/openapi/v[23](/[a-z0-9./-]*)?|/api(/v1)?/?|/apis(/[a-z0-9.-]+){0,2}/?")

_DOTS: Final = re.compile(r"/\.{0,2}/|/\.{1,2}$")
"""Steps of a path that name no segment: `//`, `/./`, `/../`."""

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "host", "content-length", "expect"}
)  # fmt: skip
"""Headers that concern one connection (RFC 9110, 7.6.1), and those that each request of the proxy has of its own."""

_WIRE_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)


class Forwarder:
    """Sends requests of callers to the API server.

    Use it in `async with`. A write is sent once, because the server may have processed it when its connection is lost.
    A read is sent a second time then. Any request is sent once more, with renewed credentials, after the server has
    refused those of the proxy (401).

    Args:
        config: the API server and the identity of the proxy.
        others: whose identity is used.
        reads: returns whether a path is one of the proxied resources.
    """

    def __init__(self, config: ClusterConfig, others: Others, reads: Callable[[str], bool] = lambda _: False) -> None:
        self._reads = reads
        self._config = config
        self._others = others
        self._impersonates = any(name.lower().startswith(_AS) for name in config.headers)
        # The client certificate is the identity of the proxy: a request with that of the caller goes without.
        tls = replace(config.tls, certificate=None) if others == "caller" else config.tls
        self._contexts = ContextCache(tls) if config.server.startswith("https:") else None
        self._reading: aiohttp.ClientSession | None = None
        self._writing: aiohttp.ClientSession | None = None
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self._contexts is not None:
            await asyncio.to_thread(self._contexts.get)
        socket = self._config.socket
        connector = Connector() if socket is None else aiohttp.UnixConnector(str(socket), limit=0)
        self._reading, self._writing = _session(connector), send_once(_session(connector))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for session in (self._reading, self._writing):
            if session is not None:
                await session.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass on one request and its answer.

        Raises:
            Refusal: the request is not passed on, or the server cannot be reached.
        """
        if self._others == "refuse" or (self._others == "read" and not self._is_read(request)):
            reads = "" if self._others == "refuse" else ", reads"
            msg = f"this proxy answers lists{reads} and watches of its resources only; send others to the API server"
            raise Refusal(403, "Forbidden", msg)
        if not request.raw_path.startswith("/"):
            # Put behind the server's address, anything else could lead to another server.
            raise Refusal(400, "BadRequest", "the target of a request begins with a slash")
        if "Upgrade" in request.headers:
            msg = "this proxy passes on no upgraded connections (exec, attach, port-forward); ask the API server itself"
            raise Refusal(400, "BadRequest", msg)
        headers = self._headers(request)
        body = await _body(request)
        identity = await self._identity()
        try:
            reply = await self._send(request, headers, body, identity)
            if reply.status == 401 and self._others != "caller" and (new := await self._renewed(identity)) is not None:
                end_response(reply)
                reply = await self._send(request, headers, body, new)
        except _WIRE_ERRORS as error:
            raise _unreachable(error, request) from error
        try:
            return await self._pass_back(request, reply)
        finally:
            end_response(reply)

    def _is_read(self, request: web.BaseRequest) -> bool:
        """Return whether a request reads no more than the caches show to each reader, or asks for discovery."""
        if request.method not in READS or any(name.lower().startswith(_AS) for name in request.headers):
            return False
        path, _, _ = request.raw_path.partition("?")
        if _DOTS.search(path) is not None:
            # A server or a gateway that normalises paths would answer with something else than discovery.
            return False
        return _DISCOVERY.fullmatch(path) is not None or self._reads(path)

    def _headers(self, request: web.BaseRequest) -> multidict.CIMultiDict[str]:
        named = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
        own = self._others != "caller"
        headers = multidict.CIMultiDict[str]()
        for name, value in request.headers.items():
            lower = name.lower()
            if lower in _HOP_BY_HOP or lower in named or (own and lower == "authorization"):
                continue
            if own and self._impersonates and lower.startswith(_AS):
                msg = "this proxy acts as another user itself, so its callers cannot"
                raise Refusal(403, "Forbidden", msg)
            headers.add(name, value)
        if own:
            for name, values in self._config.headers.items():
                headers.popall(name, None)
                for value in values:
                    headers.add(name, value)
        # aiohttp would add its own; the server answers in the coding that the caller takes.
        headers.setdefault("Accept-Encoding", "identity")
        headers.setdefault("User-Agent", "kinformer-proxy")
        return headers

    async def _send(
        self, request: web.BaseRequest, headers: multidict.CIMultiDict[str], body: bytes, identity: Identity
    ) -> aiohttp.ClientResponse:
        session = self._reading if request.method in READS else self._writing
        assert session is not None
        sent = headers.copy()
        if identity.authorization:
            sent["Authorization"] = identity.authorization
        context: ssl.SSLContext | bool = True
        if self._contexts is not None:
            context = self._contexts.get(identity.certificate)
        return await session.request(
            request.method,
            yarl.URL(f"{self._config.server}{request.raw_path}", encoded=True),
            headers=sent,
            data=body or None,
            skip_auto_headers=("Content-Type", "Accept"),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, connect=_CONNECT_TIMEOUT),
            proxy=self._config.proxy,
            ssl=context,
            server_hostname=self._config.tls.server_name if self._contexts is not None else None,
        )

    async def _pass_back(self, request: web.BaseRequest, reply: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, reason=reply.reason)
        for name, value in reply.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                response.headers.add(name, value)
        length = reply.headers.get("Content-Length")
        if request.method == "HEAD" or reply.status in {204, 304}:
            if length is not None:
                response.headers["Content-Length"] = length
        elif length is not None:
            response.content_length = int(length)
        await response.prepare(request)
        try:
            async for piece in reply.content.iter_any():
                await response.write(piece)
        except _WIRE_ERRORS:
            # The head has gone out: only a broken connection shows the caller that the answer is not whole.
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response

    async def _identity(self) -> Identity:
        """Return the identity of the proxy, or none for that of the caller.

        Raises:
            Refusal: no credentials could be obtained.
        """
        if self._others == "caller":
            return Identity()
        credentials = self._config.credentials
        if (identity := credentials.current()) is not None:
            return identity
        try:
            async with self._renewing:
                return credentials.current() or await credentials.renew()
        except KinformerError as error:
            raise Refusal(502, "BadGateway", "the proxy has no credentials for the API server") from error

    async def _renewed(self, refused: Identity) -> Identity | None:
        credentials = self._config.credentials
        try:
            async with self._renewing:
                identity = credentials.current()
                if identity is None or identity == refused:
                    identity = await credentials.renew(refused=True)
        except KinformerError:
            return None
        return None if identity == refused else identity


async def _body(request: web.BaseRequest) -> bytes:
    """Read the body of a request.

    Raises:
        Refusal: it is too long.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > BODY_LIMIT:
            msg = f"the body has more than {BODY_LIMIT} bytes"
            raise Refusal(413, "RequestEntityTooLarge", msg)
        pieces.append(piece)
    return b"".join(pieces)


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
    )


def _unreachable(error: BaseException, request: web.BaseRequest) -> Refusal:
    # Clients obey `Retry-After` for a write, too. But a write that was sent may have been processed.
    not_processed = request.method in READS or isinstance(error, aiohttp.ClientConnectorError)
    msg = f"the proxy cannot reach the API server ({type(error).__name__})"
    return Refusal(503, "ServiceUnavailable", msg, retry_after=1 if not_processed else None)
