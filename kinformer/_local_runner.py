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

__all__ = ["LocalRunner", "local_server"]

_log = logging.getLogger(__name__)

_TURNS: Final = 3
"""Turns of the loop until aiohttp knows a connection: asyncio accepts it in one, makes its transport in the next, and
calls its protocol in a third."""


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """Return whether a failure is one of the server, not a request that is no HTTP."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


# aiohttp logs a traceback for each malformed request, with a part of it: so any client could fill the disk, and tokens
# would be in the log.
_log.addFilter(_is_of_the_server)


def local_server(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], *, handler_cancellation: bool = False
) -> web.Server:
    """Return a server that logs neither requests nor those that are malformed, which get 400.

    Args:
        answer: answers each request.
        handler_cancellation: whether an answer is cancelled when its client goes.
    """
    return web.Server(answer, access_log=None, logger=_log, handler_cancellation=handler_cancellation)


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
