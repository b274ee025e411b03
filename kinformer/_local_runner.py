"""The runner of each server of kinformer: when it stops, no connection stays open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler

__all__ = ["BoundedServer", "LocalRunner", "local_server"]

_log = logging.getLogger(__name__)

_TURNS: Final = 3
"""Turns of the loop until aiohttp knows a connection: asyncio accepts it in one, makes its transport in the next, and
calls its protocol in a third."""


FIRST_REQUEST_SECONDS: Final = 32.0
"""Seconds until the head of the first request of a connection must be complete (kube-apiserver: ReadHeaderTimeout in
apiserver/pkg/server/secure_serving.go)."""

IDLE_SECONDS: Final = 90.0
"""Seconds that a connection is kept after an answer, until the head of the next request is complete (IdleTimeout in the
same file)."""


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """Return whether a failure is one of the server, not a request that is no HTTP, nor a client that has gone."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | ConnectionResetError)


# aiohttp logs a traceback for each malformed request, with a part of it, and for each client that goes before its body
# has come: so any client could fill the disk, and tokens would be in the log.
_log.addFilter(_is_of_the_server)


class BoundedServer(web.Server):  # noqa: TID251 - the one place
    """Closes connections that send no request, or only a part of one: each takes a file descriptor."""

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        handler_cancellation: bool,
        first_request_seconds: float,
        idle_seconds: float,
    ) -> None:
        super().__init__(
            self._answered,
            access_log=None,
            logger=_log,
            handler_cancellation=handler_cancellation,
            keepalive_timeout=idle_seconds,
        )
        self._answer = answer
        self._seconds = first_request_seconds
        self._timers: dict[RequestHandler, asyncio.TimerHandle] = {}

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        self._stop_timer(request.protocol)
        return await self._answer(request)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # aiohttp 3.13 begins its own timer after the first answer.
        self._timers[handler] = asyncio.get_running_loop().call_later(self._seconds, handler.force_close)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._stop_timer(handler)

    def _stop_timer(self, handler: RequestHandler) -> None:
        if (timer := self._timers.pop(handler, None)) is not None:
            timer.cancel()


def local_server(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    *,
    handler_cancellation: bool = False,
    first_request_seconds: float = FIRST_REQUEST_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
) -> BoundedServer:
    """Return a server with bounds, which logs neither requests nor those that are malformed.

    A malformed request gets 400. A connection without a complete head is closed.

    Args:
        answer: answers each request.
        handler_cancellation: whether an answer is cancelled when its client goes.
        first_request_seconds: seconds until the head of the first request must be complete.
        idle_seconds: seconds after an answer, until the head of the next request must be complete.
    """
    return BoundedServer(
        answer,
        handler_cancellation=handler_cancellation,
        first_request_seconds=first_request_seconds,
        idle_seconds=idle_seconds,
    )


class LocalRunner(web.ServerRunner):  # noqa: TID251 - the one place
    """Runs a server, and closes also the connections that were accepted just before the end.

    aiohttp closes the connections that it knows. asyncio fails to make the transport of a connection whose server has
    been closed since it was accepted, and leaves the connection open. So no more are accepted first, and the server is
    closed when each connection is known. Those that are still in the handshake of TLS after that are cut.
    """

    async def cleanup(self) -> None:
        """Stop accepting, and close the server and all connections."""
        # Servers of asyncio; aiohttp reads them for `addresses`.
        servers = [server for site in self.sites if (server := getattr(site, "_server", None)) is not None]
        for server in servers:
            for listening in server.sockets:
                # Other loops than asyncio's own accept by other means.
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    asyncio.get_running_loop().remove_reader(listening.fileno())
        await _turns()
        await super().cleanup()
        for server in servers:
            _cut(server)
        await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _cut(server: asyncio.Server) -> None:
    """Cut the connections of a server that are left."""
    # The same as `Server.abort_clients` of Python 3.13; uvloop has neither.
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    left = [each for each in transports.values() if getattr(each, "_server", None) is server]
    for transport in left:
        transport.abort()
