"""The steps that every request takes: gate, credentials, retries, time limits, and kinformer's own errors."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

from kinformer._clock import running_clock
from kinformer.backoff import RetryPolicy
from kinformer.client._http.authorization import Authorization
from kinformer.client._http.errors import WIRE_ERRORS, is_lost_connection, redirected, refusal, transport_error
from kinformer.client._http.limits import ERROR_BODY_LIMIT, HEAD_WITHIN
from kinformer.client._http.overload import Gate, RequestKind
from kinformer.client._http.responses import Response, WatchResponse
from kinformer.errors import (
    ApiError,
    ConnectError,
    KinformerError,
    StoppedError,
    TransportTimeoutError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from kinformer.client._http.request_head import RequestHeads
    from kinformer.client._http.request_tally import RequestTally
    from kinformer.client._http.server_warnings import ServerWarnings
    from kinformer.client._http.session import HttpSession
    from kinformer.config import ClusterConfig, Identity

__all__ = ["NO_RETRY", "Exchange", "OutgoingRequest"]

NO_RETRY: Final = RetryPolicy(attempts=0)


class OutgoingRequest(NamedTuple):
    """One request of a caller, before it has credentials.

    Attributes:
        method: the HTTP method.
        path: the path, as `Resource.path` makes it.
        doing: the request in words, for errors.
        params: the query.
        headers: the request's own headers.
        body: its body.
        may_be_long: whether the response may be long; then the time limit is for silence, not for the whole of it.
        watch: whether it is a watch.
        late_head: whether a watch counts as open before the head of its response has come.
        subresource: whether a 429 may be about one object only.
        silence: of a watch, seconds without a byte after which its server counts as gone.
    """

    method: str
    path: str
    doing: str
    params: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes | None = None
    may_be_long: bool = False
    watch: bool = False
    late_head: bool = False
    subresource: bool = False
    silence: float | None = None

    @property
    def kind(self) -> RequestKind:
        """The kind by which the gate holds requests back."""
        return RequestKind.of(self.method, watch=self.watch)


class Exchange:
    """Sends the requests of one client, each through the same steps.

    Args:
        config: the API server and the credentials.
        session: the connections.
        heads: makes the URL and the headers of a request.
        tally: counts requests and repetitions.
        timeout: seconds that a plain request may take as a whole, with its repetitions.
        warnings: passes on the warnings of responses.
    """

    def __init__(
        self,
        config: ClusterConfig,
        session: HttpSession,
        heads: RequestHeads,
        tally: RequestTally,
        timeout: float,
        warnings: ServerWarnings,
    ) -> None:
        self._warnings = warnings
        self.gate = Gate(tally)
        self._server = config.server if config.socket is None else f"unix:{config.socket}"
        self._timeout = timeout
        self._session = session
        self._heads = heads
        self._authorization = Authorization(config.credentials)
        self._tally = tally

    @contextlib.asynccontextmanager
    async def answered(self, request: OutgoingRequest, retry: RetryPolicy) -> AsyncIterator[Response]:
        """Send a request as `answer` does; yield the response, and release it."""
        response = await self.answer(request, retry)
        try:
            yield response
        finally:
            await self.release(response)

    async def release(self, response: Response) -> None:
        """Take note that a response is read, or will not be read further."""
        response.counted.end()
        await self._session.release(response)

    async def answer(self, request: OutgoingRequest, retry: RetryPolicy) -> Response:
        """Send a request, and repeat it as the retry policy says; return the response of status 2xx.

        The caller must `release` it.
        """
        self._session.check_open()  # before any wait: in another loop, none of them would end
        clock = running_clock()
        began = clock()
        deadline = began + self._timeout
        repeated = 0
        kind = request.kind
        limit = self._timeout
        while True:
            if self.gate.holds(kind):
                await self.gate.passed(kind, deadline=deadline, doing=request.doing)
                limit = deadline - clock()
            try:
                response = await self._send_authorized(request, limit)
            except ApiError as error:
                if error.status < 500 and not error.retry_after:
                    self.gate.processed(kind)
                delay, code = retry.refusal_delay(error), str(error.status)
                if delay is None or repeated >= retry.attempts or clock() + delay >= deadline:
                    if repeated and not request.subresource:
                        self.gate.given_up(kind, error, since=began)
                    raise
            except ConnectError as error:
                delay, code = retry.lost_read_delay, "<error>"
                safe = retry.lost_reads and kind is RequestKind.READ and is_lost_connection(error)
                if not safe or repeated >= retry.attempts or clock() + delay >= deadline:
                    raise
            else:
                self.gate.processed(kind)
                return response
            # A request that the gate holds back waits there, with all others.
            if not self.gate.holds(kind):
                await asyncio.sleep(delay)
            repeated += 1
            limit = deadline - clock()
            self._tally.retried(request.method, code)

    async def late_head(self, request: OutgoingRequest, response: WatchResponse) -> None:
        """Wait for the head of a watch that was handed over without one.

        It must come within 20 seconds, within the client's `timeout`, and within the silence that the watch allows. A
        server that hangs looks the same as one that sends the head with its first event, so an informer lists then.

        Raises:
            As `Transport.request`.
        """
        within = min(self._timeout, HEAD_WITHIN, request.silence or HEAD_WITHIN)
        try:
            with self.translated(request.doing, answered=False, limit=within):
                async with asyncio.timeout_at(response.counted.began + within):
                    await response.head()
        except TransportTimeoutError as error:
            error.answered = False
            raise
        response.counted.end(response.status)
        refused = await self._refusal(request, response)
        if isinstance(refused, UnauthorizedError):
            # It is too late for a second try of the same watch; the next one has renewed credentials.
            await self._authorization.renewed(response.identity)
        if refused is not None:
            raise refused

    def translated(self, doing: str, *, answered: bool, limit: float | None = None) -> _Translation:
        """Raise exceptions of aiohttp, ssl, a socket or a decoder as kinformer's errors: use it in `with`."""
        return _Translation(self, doing, answered, limit)

    def translation(
        self, error: BaseException, doing: str, *, answered: bool, limit: float | None = None
    ) -> KinformerError:
        """Return kinformer's error for one of `WIRE_ERRORS` that is none of kinformer's."""
        if self._session.closed:
            return StoppedError(f"cannot {doing}: this client was closed")
        seconds = f"{self._timeout if limit is None else limit:.3g} seconds"
        return transport_error(error, server=self._server, doing=doing, answered=answered, limit=seconds)

    async def _send_authorized(self, request: OutgoingRequest, limit: float) -> Response:
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

    async def _send(self, request: OutgoingRequest, identity: Identity, limit: float) -> Response | ApiError:
        """Send a request once; return the response, or the error of a refusal."""
        counted = self._tally.sent(request.method)
        response: Response | None = None
        accepted = False
        try:
            try:
                url = self._heads.url(request.path, request.params)
                headers = self._heads.headers(request.headers, identity)
                sending = self._session.send(
                    request.method,
                    url,
                    headers,
                    identity,
                    body=request.body,
                    total=None if request.may_be_long or request.watch else limit,
                    silence=self._timeout if request.may_be_long else None,
                    watch=request.watch,
                )
                if request.watch or request.may_be_long:
                    # The head of a watch may take as long as a plain request; its body has a limit of its own. So has
                    # the body of a list. `silence` does not bound its head: aiohttp stops the clock at an answer of
                    # 1xx.
                    async with asyncio.timeout(limit if request.watch else self._timeout):
                        response = await sending
                        if isinstance(response, WatchResponse) and not request.late_head:
                            await response.head()
                else:
                    response = await sending
            except WIRE_ERRORS as error:
                # As `translated`, which is an object more for each request.
                if isinstance(error, KinformerError):
                    raise
                raise self.translation(error, request.doing, answered=False, limit=limit) from error
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

    async def _refusal(self, request: OutgoingRequest, response: Response) -> ApiError | None:
        """Make the error of a refused request; `None` for a response of status 2xx.

        Raises:
            ProtocolError: it is a redirection, or switches to another protocol.
        """
        status = response.status
        self._warnings.received(response.headers)
        if 200 <= status < 300:
            return None
        if status < 400:
            raise redirected(status, response.headers, server=self._server, doing=request.doing)
        with self.translated(request.doing, answered=True):
            async with asyncio.timeout(self._timeout):
                start = await response.read_start(ERROR_BODY_LIMIT)
        refused = refusal(status, start, response.headers, doing=request.doing)
        if not request.subresource:
            self.gate.refused(request.kind, refused)
        return refused


class _Translation:
    """Raises the exceptions of its `with` block as kinformer's errors.

    It is a class because each request enters it two or three times: a generator function of `contextlib` costs several
    times as much.
    """

    __slots__ = ("_answered", "_doing", "_exchange", "_limit")

    def __init__(self, exchange: Exchange, doing: str, answered: bool, limit: float | None) -> None:
        self._exchange = exchange
        self._doing = doing
        self._answered = answered
        self._limit = limit

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Some of kinformer's errors are OSErrors too.
        if error is None or isinstance(error, KinformerError) or not isinstance(error, WIRE_ERRORS):
            return
        raise self._exchange.translation(error, self._doing, answered=self._answered, limit=self._limit) from error
