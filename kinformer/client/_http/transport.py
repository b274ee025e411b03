"""Requests to one API server: renewed credentials, repetitions, time limits, and errors in kinformer's terms."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from kinformer._version import __version__
from kinformer.backoff import RetryPolicy
from kinformer.client._http.authorization import Authorization
from kinformer.client._http.errors import WIRE_ERRORS, is_lost_connection, redirected, refusal, transport_error
from kinformer.client._http.limits import ANSWER_LIMIT, ERROR_BODY_LIMIT
from kinformer.client._http.overload import Gate, RequestKind
from kinformer.client._http.request_head import RequestHeads
from kinformer.client._http.request_tally import ClientStatus, RequestTally
from kinformer.client._http.responses import Response, WatchResponse
from kinformer.client._http.session import HttpSession
from kinformer.errors import ApiError, ConnectError, KinformerError, StoppedError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence

    from kinformer.client._http.response_parser import Pieces
    from kinformer.config import ClusterConfig, Identity
    from kinformer.metrics import RequestMetrics

__all__ = ["Answer", "Incoming", "Transport", "WatchBody"]

USER_AGENT: Final = f"kinformer/{__version__} (python {platform.python_version()}; {platform.system().lower()})"

_NO_RETRY: Final = RetryPolicy(attempts=0)


class Answer(NamedTuple):
    """A whole response of status 2xx."""

    status: int
    content_type: str
    body: bytes


class Incoming(NamedTuple):
    """A response of status 2xx whose body is still coming.

    Attributes:
        content_type: its media type.
        pieces: its body, in the pieces in which it comes, decompressed.
    """

    content_type: str
    pieces: AsyncIterator[bytes]


class _Request(NamedTuple):
    method: str
    path: str
    doing: str
    params: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes | None = None
    patient: bool = False
    watch: bool = False
    late_head: bool = False
    subresource: bool = False

    @property
    def kind(self) -> RequestKind:
        return RequestKind.of(self.method, watch=self.watch)


class Transport:
    """Sends requests to one API server.

    Args:
        config: the API server.
        timeout: seconds that a plain request may take as a whole, with its repetitions.
        connect_timeout: seconds that making a connection may take, TLS included.
        user_agent: put in front of our own.
        metrics: the sink for the number and the duration of requests.
        retry: which requests are repeated; `None` for none.
        max_answer_bytes: the bound of one response's body, decompressed, where it has to be in memory as a whole.

    Raises:
        ConfigError: a configured header cannot be sent.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        timeout: float,
        connect_timeout: float,
        user_agent: str = "",
        metrics: RequestMetrics | None = None,
        retry: RetryPolicy | None = None,
        max_answer_bytes: int = ANSWER_LIMIT,
    ) -> None:
        self.config = config
        self.timeout = timeout
        self.max_answer_bytes = max_answer_bytes
        self._retry = retry or _NO_RETRY
        self._heads = RequestHeads(config, user_agent=f"{user_agent} {USER_AGENT}".strip())
        self._session = HttpSession(config, connect_timeout=connect_timeout)
        self._authorization = Authorization(config.credentials)
        self._tally = RequestTally(metrics, urlsplit(config.server).netloc.rpartition("@")[2])
        self._gate = Gate(self._tally)

    @property
    def server(self) -> str:
        """The server's address, for errors."""
        return self.config.server

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        return self._session.closed

    @property
    def status(self) -> ClientStatus:
        """The numbers of requests, and the kinds that are held back."""
        tally = self._tally
        return ClientStatus(
            requests=dict(tally.requests), retries=dict(tally.retries), waits=tally.waits, held=self._gate.held()
        )

    async def open(self) -> None:
        """Make the session.

        Raises:
            ConfigError: certificates cannot be used.
            AlreadyStartedError: it is open.
            StoppedError: it was closed.
        """
        await self._session.open()

    async def close(self) -> None:
        """Close every connection. Requests in flight fail with `StoppedError`. Closing twice does nothing."""
        await self._session.close()

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
        subresource: bool = False,
    ) -> Answer:
        """Send a request and read the whole response.

        Args:
            method: the HTTP method.
            path: the path, as `Resource.path` makes it.
            doing: the request in words, for errors ("list pods in namespace web").
            params: the query.
            headers: the request's own headers.
            body: the request's body.
            patient: whether the response may be long: then the time limit is for silence, not for the whole of it.
            subresource: whether a 429 may be about this one object (an eviction), so that others need not wait.

        Raises:
            ApiError: the server refused.
            TransportError: no whole response came, or one that is too large.
            ConfigError: there are no credentials to be had.
            LifecycleError: the client is not open.
        """
        sent = _Request(method, path, doing, params, headers or {}, body, patient, subresource=subresource)
        async with self._answered(sent, self._retry) as response:
            with self.translated(doing, answered=True):
                content = await response.read_all(self.max_answer_bytes)
            return Answer(response.status, response.content_type, content)

    @contextlib.asynccontextmanager
    async def incoming(
        self,
        path: str,
        *,
        doing: str,
        params: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        retry: bool = False,
    ) -> AsyncIterator[Incoming]:
        """Send a GET and read the response as it comes; leaving before its end closes the connection.

        Args:
            path: the path, as `Resource.path` makes it.
            doing: the request in words, for errors.
            params: the query.
            headers: the request's own headers.
            retry: whether the request is repeated as the client's policy has it.

        Raises:
            As `request`; also from the pieces. The time limit is for silence.
        """
        sent = _Request("GET", path, doing, params, headers, patient=True)
        async with (
            self._answered(sent, self._retry if retry else _NO_RETRY) as response,
            contextlib.aclosing(self._pieces(response, doing)) as pieces,
        ):
            yield Incoming(response.content_type, pieces)

    async def _pieces(self, response: Response, doing: str) -> AsyncGenerator[bytes, None]:
        while True:
            with self.translated(doing, answered=True):
                piece = await response.read_some()
            if not piece:
                return
            yield piece

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        doing: str,
        params: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        silence: float,
        check: Callable[[str], object],
        late_head: bool = False,
    ) -> AsyncIterator[WatchBody]:
        """Send a GET whose response goes on. Leaving closes the connection.

        Args:
            path: the path.
            doing: the request in words, for errors.
            params: the query.
            headers: the request's own headers.
            silence: seconds without a byte after which the stream is given up.
            check: called with the media type; raises for one that is no watch.
            late_head: whether to return after half a second without the head of a response. What `request` would raise
                is raised by reading then, and the head must still come within the client's `timeout`.

        Raises:
            As `request`.
        """
        sent = _Request("GET", path, doing, params, headers, watch=True, late_head=late_head)
        async with self._answered(sent, _NO_RETRY) as response:
            assert isinstance(response, WatchResponse)
            if response.status:
                check(response.content_type)
            yield WatchBody(self, sent, response, silence=silence, check=check)

    async def late_head(self, request: _Request, response: WatchResponse) -> None:
        """Wait for the head of a watch that was handed over without one.

        Raises:
            As `request`.
        """
        with self.translated(request.doing, answered=False):
            async with asyncio.timeout_at(response.counted.began + self.timeout):
                await response.head()
        response.counted.end(response.status)
        refused = await self._refusal(request, response)
        if isinstance(refused, UnauthorizedError):
            # It is too late for a second try of the same watch; the next one has renewed credentials.
            await self._authorization.renewed(response.identity)
        if refused is not None:
            raise refused

    @contextlib.contextmanager
    def translated(self, doing: str, *, answered: bool, limit: float | None = None) -> Iterator[None]:
        """Raise what aiohttp, ssl, a socket or a decoder raises as kinformer's errors."""
        try:
            yield
        except KinformerError:  # some of which are OSErrors too
            raise
        except WIRE_ERRORS as error:
            if self.closed:
                raise StoppedError(f"cannot {doing}: this client was closed") from error
            seconds = f"{self.timeout if limit is None else limit:g} seconds"
            raise transport_error(error, server=self.server, doing=doing, answered=answered, limit=seconds) from error

    @contextlib.asynccontextmanager
    async def _answered(self, request: _Request, retry: RetryPolicy) -> AsyncIterator[Response]:
        """Send a request, again where the policy says so; give a response of status 2xx, and release it."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.timeout
        limit = self.timeout
        repeated = 0
        response: Response | None = None
        while response is None:
            await self._gate.passed(request.kind, deadline=deadline, doing=request.doing)
            try:
                response = await self._exchange(request, limit)
                continue
            except ApiError as error:
                delay, code = retry.refusal_delay(error), str(error.status)
                if delay is None or repeated >= retry.attempts or clock() + delay >= deadline:
                    raise
            except ConnectError as error:
                delay, code = retry.lost_read_delay, "<error>"
                may = retry.lost_reads and request.kind is RequestKind.READ and is_lost_connection(error)
                if not may or repeated >= retry.attempts or clock() + delay >= deadline:
                    raise
            await asyncio.sleep(delay)
            limit = deadline - clock()
            repeated += 1
            self._tally.retried(request.method, code)
        try:
            yield response
        finally:
            response.counted.end()
            await self._session.release(response)

    async def _exchange(self, request: _Request, limit: float) -> Response:
        """Send a request, a second time with renewed credentials after a 401.

        Raises:
            ApiError: the server refused.
        """
        identity = await self._authorization.identity()
        result = await self._send(request, identity, limit)
        if isinstance(result, UnauthorizedError):
            renewed = await self._authorization.renewed(identity)
            if renewed is not None:
                result = await self._send(request, renewed, limit)
        if isinstance(result, ApiError):
            raise result
        return result

    async def _send(self, request: _Request, identity: Identity, limit: float) -> Response | ApiError:
        """Send a request once; returns the response, or the refusal that it is."""
        counted = self._tally.sent(request.method)
        response: Response | None = None
        accepted = False
        try:
            with self.translated(request.doing, answered=False, limit=limit):
                url = self._heads.url(request.path, request.params)
                headers = self._heads.headers(request.headers, identity)
                # The head of a watch may take as long as a plain request; its body has a limit of its own.
                async with asyncio.timeout(limit if request.watch else None):
                    response = await self._session.send(
                        request.method,
                        url,
                        headers,
                        identity,
                        body=request.body,
                        total=None if request.patient or request.watch else limit,
                        silence=self.timeout if request.patient else None,
                        watch=request.watch,
                    )
                    if isinstance(response, WatchResponse) and not request.late_head:
                        await response.head()
            response.counted, response.identity = counted, identity
            if response.status:
                counted.end(response.status)
                if (refused := await self._refusal(request, response)) is not None:
                    return refused
            accepted = True
            return response
        finally:
            if not accepted:
                counted.end()
                if response is not None:
                    await self._session.release(response)

    async def _refusal(self, request: _Request, response: Response) -> ApiError | None:
        """The error that a response is; `None` for one of status 2xx.

        Raises:
            ProtocolError: it is a redirection, or switches to another protocol.
        """
        status = response.status
        if 200 <= status < 300:
            return None
        if status < 400:
            raise redirected(status, response.headers, server=self.server, doing=request.doing)
        with self.translated(request.doing, answered=True):
            async with asyncio.timeout(self.timeout):
                said = await response.read_start(ERROR_BODY_LIMIT)
        refused = refusal(status, said, response.headers, doing=request.doing)
        if not request.subresource:
            self._gate.refused(request.kind, refused)
        return refused


class WatchBody:
    """The body of a watch.

    Args:
        transport: whose errors are raised.
        request: the request.
        response: the response; its head may be missing.
        silence: seconds without a byte after which the stream is given up.
        check: called with the media type when a missing head has come.
    """

    __slots__ = ("_check", "_headless", "_request", "_response", "_silence", "_transport")

    def __init__(
        self,
        transport: Transport,
        request: _Request,
        response: WatchResponse,
        *,
        silence: float,
        check: Callable[[str], object],
    ) -> None:
        self._transport = transport
        self._request = request
        self._response = response
        self._silence = silence
        self._check = check
        self._headless = not response.status

    async def read(self, take: Callable[[Pieces], object]) -> bool:
        """Give the bytes received meanwhile to a function; waits for some.

        If cancelled, nothing is lost: the next call goes on.

        Args:
            take: called with pieces that are good until it returns.

        Returns:
            False, without a call, when the response has ended.

        Raises:
            ApiError: the server refused, later than after half a second.
            TransportError: the stream broke, was silent for too long, or is no watch.
        """
        if self._headless:
            await self._transport.late_head(self._request, self._response)
            self._headless = False
            self._check(self._response.content_type)
        with self._transport.translated(self._request.doing, answered=True, limit=self._silence):
            return await self._response.read(take, self._silence)
