"""One aiohttp session per client: connections, time limits, authorization, and errors in kinformer's terms."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import platform
import socket
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import anyio
import multidict
import yarl

from kinformer._version import __version__
from kinformer.client._http.errors import WIRE_ERRORS, NotConnectedError, refusal, transport_error
from kinformer.client._http.raw_stream import RawStream, open_raw_stream
from kinformer.client._http.response_parser import Pieces, whole
from kinformer.config import ClusterConfig, ContextCache, Identity
from kinformer.errors import AlreadyStartedError, KinformerError, NotStartedError, ProtocolError, StoppedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from kinformer.metrics import RequestMetrics

__all__ = ["Answer", "Body", "Transport"]

USER_AGENT: Final = f"kinformer/{__version__} (python {platform.python_version()}; {platform.system().lower()})"

# A dead peer is found out within 30 + 3 * 10 seconds, as by Go's net.Dialer (30 s) within an order of magnitude.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

# A watch is read in pieces of up to twice this; a buffer that is small costs a pause of the socket for each piece.
_READ_BUFFER: Final = 256 * 1024


class Incoming(NamedTuple):
    """An answer that is still coming.

    Attributes:
        content_type: what it says it is.
        pieces: its body, in the pieces in which it comes, decompressed.
    """

    content_type: str
    pieces: AsyncIterator[bytes]


class Answer(NamedTuple):
    """A whole answer, its status a success."""

    status: int
    content_type: str
    body: bytes


class Body(NamedTuple):
    """An answer that goes on.

    Attributes:
        content_type: of what.
        read: gives what has come meanwhile to a function, in pieces that are good until that returns; waits for some.
            Returns false, without calling it, when the answer has ended.
    """

    content_type: str
    read: Callable[[Callable[[Pieces], object]], Awaitable[bool]]


class Transport:
    """Speaks HTTP to one API server.

    There is no limit on the number of connections: a watch holds one for as long as it lives, and must never keep
    another request waiting. Redirects are not followed, cookies are not kept.

    Args:
        config: the server.
        timeout: seconds that a plain request may take as a whole.
        connect_timeout: seconds that making a connection may take, TLS included.
        user_agent: put in front of our own.
        metrics: told of each request.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        timeout: float,
        connect_timeout: float,
        user_agent: str = "",
        metrics: RequestMetrics | None = None,
    ) -> None:
        self.config = config
        self.timeout = timeout
        self._connect_timeout = connect_timeout
        self._user_agent = f"{user_agent} {USER_AGENT}".strip()
        self._metrics = metrics
        self._host = urlsplit(config.server).netloc.rpartition("@")[2]
        self._contexts = ContextCache(config.tls) if config.server.startswith("https:") else None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._reading: set[aiohttp.ClientResponse] = set()
        self._streams: set[RawStream] = set()
        # Waiting for somebody else's renewal; also makes sure that a plugin runs once, whoever is cancelled.
        self._renewing = asyncio.Lock()

    @property
    def server(self) -> str:
        """The server's address, for errors."""
        return self.config.server

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def open(self) -> None:
        """Make the session.

        Raises:
            ConfigError: certificates cannot be used.
            AlreadyStartedError: it is open.
            StoppedError: it was closed.
        """
        if self._closed:
            raise StoppedError("this client is closed; make a new one")
        if self._session is not None:
            raise AlreadyStartedError("this client is open already; enter it once")
        if self._contexts is not None:
            # With the authorities of the system this takes some 20 ms, which is too long for the loop.
            await asyncio.to_thread(self._contexts.get)
        connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            read_bufsize=_READ_BUFFER,
            headers={"User-Agent": self._user_agent},
        )

    async def close(self) -> None:
        """Close every connection. What is in flight fails with `StoppedError`. Closing twice does nothing."""
        self._closed = True
        session, self._session = self._session, None
        for response in self._reading:
            # A session that closes forgets to tell those who wait for more of an answer.
            response.content.set_exception(aiohttp.ClientConnectionError("closed"))
        for stream in self._streams:
            stream.fail(ConnectionError("closed"))
        if session is not None:
            # Also when a cancelled anyio scope is being left, in which every unshielded wait ends at once.
            with anyio.CancelScope(shield=True):
                await session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        patient: bool = False,
    ) -> Answer:
        """Send a request and read the whole answer.

        Args:
            method: the HTTP method.
            path: the path, as `Resource.path` makes it.
            doing: what this is, for errors ("list pods in namespace web").
            params: the query.
            headers: sent along.
            body: what to send.
            patient: the answer may be long: the time limit is for silence, not for the whole of it.

        Raises:
            ApiError: the server refused.
            TransportError: no whole answer came.
            ConfigError: there are no credentials to be had.
            LifecycleError: the client is not open.
        """
        limits = self._limits(patient=patient)
        answered = False
        try:
            async with self._answered(method, path, doing, params, headers, body, limits) as response:
                answered = True
                content = await response.read()
                return Answer(response.status, response.content_type, content)
        except KinformerError:  # some of which are OSErrors too
            raise
        except WIRE_ERRORS as error:
            raise self._translated(error, doing, answered=answered, limit=self.timeout) from error

    @contextlib.asynccontextmanager
    async def incoming(
        self, path: str, *, doing: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str]
    ) -> AsyncIterator[Incoming]:
        """Send a GET and read the answer as it comes; leaving before its end closes the connection.

        What reading raises is translated here. The time limit is for silence.

        Args:
            path: the path, as `Resource.path` makes it.
            doing: what this is, for errors ("list pods in namespace web").
            params: the query.
            headers: sent along.

        Raises:
            As `request`.
        """
        limits = self._limits(patient=True)
        answered = False
        try:
            async with self._answered("GET", path, doing, params, headers, None, limits) as response:
                answered = True
                yield Incoming(response.content_type, response.content.iter_any())
        except KinformerError:  # some of which are OSErrors too
            raise
        except WIRE_ERRORS as error:
            raise self._translated(error, doing, answered=answered, limit=self.timeout) from error

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        doing: str,
        params: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        silence: float,
    ) -> AsyncIterator[Body]:
        """Open a GET whose answer goes on; entering returns when its head has come.

        The caller reads the body, and translates what that raises with `stream_error`. Leaving closes the connection.

        Args:
            path: the path.
            doing: what this is, for errors.
            params: the query.
            headers: sent along.
            silence: seconds without a byte after which the stream is given up.

        Raises:
            As `request`.
        """
        if self.config.proxy is None:
            streaming = self._raw_stream(path, doing, params, headers, silence)
        else:
            streaming = self._proxied_stream(path, doing, params, headers, silence)
        async with contextlib.AsyncExitStack() as stack:
            try:
                body = await stack.enter_async_context(streaming)
            except KinformerError:
                raise
            except WIRE_ERRORS as error:
                raise self._translated(error, doing, answered=False, limit=self.timeout) from error
            yield body

    @contextlib.asynccontextmanager
    async def _proxied_stream(
        self, path: str, doing: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str], silence: float
    ) -> AsyncIterator[Body]:
        """Through a proxy, aiohttp knows the way."""
        limits = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._connect_timeout,
            connect=self._connect_timeout,
            sock_read=silence,
            ceil_threshold=float("inf"),
        )
        async with self._answered("GET", path, doing, params, headers, None, limits, self.timeout) as response:

            async def read(take: Callable[[Pieces], object]) -> bool:
                data = await response.content.readany()
                if data:
                    take(whole(data))
                return bool(data)

            yield Body(response.content_type, read)

    @contextlib.asynccontextmanager
    async def _raw_stream(
        self, path: str, doing: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str], silence: float
    ) -> AsyncIterator[Body]:
        """On a connection of its own; a second time with renewed credentials after a 401, as `_answered`."""
        url = urlsplit(self._url(path, params))
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        identity = await self._identity()
        for last in (False, True):
            stream: RawStream | None = None
            try:
                async with asyncio.timeout(self.timeout):
                    async with self._counted("GET") as counted:
                        stream = await self._connect(url.hostname or "", url.port, target, identity, headers)
                        self._streams.add(stream)
                        await stream.head()
                        head = stream.parser
                        counted(head.status)
                    said = b"" if 200 <= head.status < 300 else await stream.read_to_end()
                if 200 <= head.status < 300:
                    content_type = head.headers.get("content-type", "application/octet-stream").partition(";")[0]
                    yield Body(content_type.strip().lower(), functools.partial(stream.read, silence=silence))
                    return
                if 300 <= head.status < 400:
                    raise self._redirected(head.headers.get("location", ""), head.status, doing)
                refused = refusal(head.status, said, head.headers, doing=doing)
                renewed = await self._renewed(identity) if head.status == 401 and not last else None
                if renewed is None:
                    raise refused
                identity = renewed
            finally:
                if stream is not None:
                    self._streams.discard(stream)
                    await stream.close()

    async def _connect(
        self, host: str, port: int | None, target: str, identity: Identity, headers: Mapping[str, str]
    ) -> RawStream:
        if self._session is None:
            raise self._not_open()
        secure = self._contexts is not None
        place = f"[{host}]" if ":" in host else host
        sent = {
            "Host": place if port is None else f"{place}:{port}",
            "User-Agent": self._user_agent,
            **{name: ", ".join(values) for name, values in self.config.headers.items()},
            **headers,
        }
        if identity.authorization:
            sent["Authorization"] = identity.authorization
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await open_raw_stream(
                    host,
                    port or (443 if secure else 80),
                    target=target,
                    headers=sent,
                    context=None if self._contexts is None else self._contexts.get(identity.certificate),
                    server_hostname=self.config.tls.server_name,
                    tune=_tune,
                )
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"not within {self._connect_timeout:g} seconds") from error
        except ssl.SSLError:
            raise
        except OSError as error:
            raise NotConnectedError(error) from error

    def stream_error(self, error: BaseException, *, doing: str, silence: float) -> Exception:
        """What to raise for an error met while reading a stream; to be chained."""
        return self._translated(error, doing, answered=True, limit=silence)

    def _limits(self, *, patient: bool) -> aiohttp.ClientTimeout:
        """For the whole of an answer, or with patience for silence only."""
        return aiohttp.ClientTimeout(
            total=None if patient else self.timeout,
            sock_connect=self._connect_timeout,
            connect=self._connect_timeout,
            sock_read=self.timeout if patient else None,
            ceil_threshold=float("inf"),
        )

    @contextlib.asynccontextmanager
    async def _answered(
        self,
        method: str,
        path: str,
        doing: str,
        params: Sequence[tuple[str, str]],
        headers: Mapping[str, str] | None,
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
        head_limit: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, a second time with renewed credentials after a 401; yield the answer if it is a success."""
        url = yarl.URL(self._url(path, params), encoded=True)
        identity = await self._identity()
        for last in (False, True):
            async with asyncio.timeout(head_limit):  # the head only: credentials have limits of their own
                response = await self._send(method, url, identity, headers, body, limits)
            self._reading.add(response)
            try:
                if 200 <= response.status < 300:
                    yield response
                    return
                if 300 <= response.status < 400:
                    raise self._redirected(response.headers.get("Location", ""), response.status, doing)
                async with asyncio.timeout(self.timeout):
                    said = await response.read()
                refused = refusal(response.status, said, response.headers, doing=doing)
                renewed = await self._renewed(identity) if response.status == 401 and not last else None
                if renewed is None:
                    raise refused
                identity = renewed
            finally:
                self._reading.discard(response)
                response.release() if response.content.at_eof() else response.close()

    async def _send(
        self,
        method: str,
        url: yarl.URL,
        identity: Identity,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise self._not_open()
        sent = multidict.CIMultiDict[str]()
        for name, values in self.config.headers.items():
            for value in values:
                sent.add(name, value)
        sent.update(headers or {})
        if identity.authorization:
            sent["Authorization"] = identity.authorization
        context: ssl.SSLContext | bool = True if self._contexts is None else self._contexts.get(identity.certificate)
        async with self._counted(method) as counted:
            response = await self._session.request(
                method,
                url,
                headers=sent,
                data=body,
                timeout=limits,
                allow_redirects=False,
                proxy=self.config.proxy,
                ssl=context,
                server_hostname=self.config.tls.server_name if self._contexts is not None else None,
            )
            counted(response.status)
            return response

    @contextlib.asynccontextmanager
    async def _counted(self, method: str) -> AsyncIterator[Callable[[int], None]]:
        """Tell the metrics of one request: of the status that is given to what this yields, else of an error."""
        if self._metrics is None:
            yield lambda _: None
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        codes: list[int] = []
        try:
            yield codes.append
        finally:
            # Also a request that is cancelled: it has been sent, and nobody knows what became of it.
            code = str(codes[0]) if codes else "<error>"
            self._metrics.requested(method, self._host, code, loop.time() - began)

    async def _identity(self) -> Identity:
        if self._session is None:
            raise self._not_open()
        credentials = self.config.credentials
        if (identity := credentials.current()) is not None:
            return identity
        async with self._renewing:
            if (identity := credentials.current()) is not None:
                return identity
            return await credentials.renew()

    async def _renewed(self, refused: Identity) -> Identity | None:
        """Another identity than the one refused, or `None`; one renewal serves all that were refused meanwhile."""
        credentials = self.config.credentials
        async with self._renewing:
            identity = credentials.current()
            if identity is None or identity == refused:
                identity = await credentials.renew(refused=True)
        return None if identity == refused else identity

    def _url(self, path: str, params: Sequence[tuple[str, str]]) -> str:
        url = self.config.server + quote(path, safe="/:@!$&'()*+,;=~-._")
        return f"{url}?{urlencode(params, quote_via=quote)}" if params else url

    def _translated(self, error: BaseException, doing: str, *, answered: bool, limit: float) -> Exception:
        if self._closed:
            return StoppedError(f"cannot {doing}: this client was closed")
        return transport_error(error, server=self.server, doing=doing, answered=answered, limit=f"{limit:g} seconds")

    def _redirected(self, location: str, status: int, doing: str) -> ProtocolError:
        # Of the target only the host is shown: login pages put secrets into their queries.
        target = urlsplit(location).hostname or "another path"
        return ProtocolError(
            f"cannot {doing}: {self.server} redirects ({status}) to {target}; "
            "an API server never does, so this may be the address of a login page or a proxy"
        )

    def _not_open(self) -> StoppedError | NotStartedError:
        if self._closed:
            return StoppedError("this client is closed; make a new one")
        return NotStartedError("this client is not open; use it inside of `async with client:`")


def _socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket for aiohttp."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    _tune(made)
    return made


def _tune(made: socket.socket) -> None:
    """Let a socket find out by itself when the other end is gone (asyncio sets TCP_NODELAY)."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
