"""The three forms of a request: read as a whole, read as it arrives, and the stream of a watch."""

from __future__ import annotations

import contextlib
import platform
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from kinformer._version import __version__
from kinformer.client._http.errors import WIRE_ERRORS
from kinformer.client._http.exchange import NO_RETRY, Exchange, OutgoingRequest
from kinformer.client._http.limits import ANSWER_LIMIT
from kinformer.client._http.request_head import RequestHeads
from kinformer.client._http.request_tally import ClientStatus, RequestTally
from kinformer.client._http.responses import Response, WatchResponse
from kinformer.client._http.server_warnings import ServerWarnings
from kinformer.client._http.session import HttpSession
from kinformer.client._http.watch_body import WatchBody
from kinformer.errors import KinformerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from kinformer.backoff import RetryPolicy
    from kinformer.config import ClusterConfig
    from kinformer.metrics import RequestMetrics

__all__ = ["Answer", "Incoming", "Transport"]

USER_AGENT: Final = f"kinformer/{__version__} (python {platform.python_version()}; {platform.system().lower()})"


class Answer(NamedTuple):
    """A whole response of status 2xx."""

    status: int
    content_type: str
    body: bytes


class Incoming(NamedTuple):
    """A response of status 2xx whose body is still arriving.

    Attributes:
        content_type: its media type.
        pieces: its body in pieces as they arrive, decompressed.
    """

    content_type: str
    pieces: AsyncIterator[bytes]


class Transport:
    """Sends requests to one API server.

    Args:
        config: the API server.
        timeout: seconds that a plain request may take as a whole, with its repetitions.
        connect_timeout: seconds that making a connection may take, TLS included.
        user_agent: the name of the program, written before kinformer's own User-Agent.
        metrics: the sink for the number and the duration of requests.
        retry: which requests are repeated; `None` for none.
        max_answer_bytes: the bound of one response's body, decompressed, where it has to be in memory as a whole.
        warnings: passes on the warnings of the server; by default they are logged.

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
        warnings: ServerWarnings | None = None,
    ) -> None:
        self.config = config
        self.timeout = timeout
        self.max_answer_bytes = max_answer_bytes
        self._retry = retry or NO_RETRY
        self._heads = heads = RequestHeads(config, user_agent=f"{user_agent} {USER_AGENT}".strip())
        self._session = HttpSession(config, connect_timeout=connect_timeout)
        self._tally = RequestTally(metrics, urlsplit(config.server).netloc.rpartition("@")[2])
        self._exchange = Exchange(config, self._session, heads, self._tally, timeout, warnings or ServerWarnings(None))

    @property
    def server(self) -> str:
        """The server's address, for errors."""
        return self.config.server if self.config.socket is None else f"unix:{self.config.socket}"

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        return self._session.closed

    @property
    def status(self) -> ClientStatus:
        """The numbers of requests, and the kinds that are held back."""
        tally = self._tally
        return ClientStatus(
            requests=dict(tally.requests),
            retries=dict(tally.retries),
            waits=tally.waits,
            held=self._exchange.gate.held(),
            metrics_failures=tally.metrics_failures,
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

    def refuse_other_loop(self) -> None:
        """Refuse a call from another loop than that of `open`.

        Raises:
            WrongLoopError: the session was opened in another loop.
        """
        self._session.refuse_other_loop()

    async def request(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        may_be_long: bool = False,
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
            may_be_long: whether the response may be long; then the time limit is for silence, not for the whole of it.
            subresource: whether a 429 may be about this one object (an eviction), so that others need not wait.

        Raises:
            ApiError: the server refused.
            TransportError: no whole response came, or one that is too large.
            ConfigError: no credentials could be obtained.
            LifecycleError: the client is not open.
        """
        sent = OutgoingRequest(method, path, doing, params, headers or {}, body, may_be_long, subresource=subresource)
        response = await self._exchange.answer(sent, self._retry)
        try:
            try:
                content = await response.read_all(self.max_answer_bytes)
            except WIRE_ERRORS as error:
                if isinstance(error, KinformerError):
                    raise
                raise self._exchange.translation(error, doing, answered=True) from error
            return Answer(response.status, response.content_type, content)
        finally:
            await self._exchange.release(response)

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
        """Send a GET and read the response as it arrives. Leaving before its end closes the connection.

        Args:
            path: the path, as `Resource.path` makes it.
            doing: the request in words, for errors.
            params: the query.
            headers: the request's own headers.
            retry: whether the request is repeated as the client's `RetryPolicy` says.

        Raises:
            As `request`; reading the pieces raises the same. The time limit is for silence.
        """
        sent = OutgoingRequest("GET", path, doing, params, headers, may_be_long=True)
        async with (
            self._exchange.answered(sent, self._retry if retry else NO_RETRY) as response,
            contextlib.aclosing(self._pieces(response, doing)) as pieces,
        ):
            yield Incoming(response.content_type, pieces)

    async def _pieces(self, response: Response, doing: str) -> AsyncGenerator[bytes, None]:
        while True:
            with self._exchange.translated(doing, answered=True):
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
        may_be_compressed: bool = False,
    ) -> AsyncIterator[WatchBody]:
        """Send a GET whose response is a stream without a known end. Leaving closes the connection.

        Args:
            path: the path.
            doing: the request in words, for errors.
            params: the query.
            headers: the request's own headers.
            silence: seconds without a byte after which the stream is closed.
            check: called with the media type; raises if that cannot be a watch.
            late_head: whether to return after half a second without the head of a response. Reading then raises the
                errors of `request`, and the head must still come within the client's `timeout`.
            may_be_compressed: whether the stream may come compressed, if the configuration allows it. A compressor that
                is not made for streams holds events back until its buffer is full.

        Raises:
            As `request`.
        """
        encoding = self._heads.stream_encoding if may_be_compressed else "identity"
        headers = {**headers, "Accept-Encoding": encoding}
        sent = OutgoingRequest(*("GET", path, doing, params, headers), watch=True, late_head=late_head, silence=silence)
        response = await self._exchange.answer(sent, NO_RETRY)
        try:
            assert isinstance(response, WatchResponse)
            if response.status:
                check(response.content_type)
            yield WatchBody(self._exchange, sent, response, silence=silence, check=check)
        finally:
            await self._exchange.release(response)
