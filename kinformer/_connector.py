"""aiohttp's connections over TCP, none of which outlives the call that closes them.

A connection over TLS that is closed early says so to its peer and waits up to 30 seconds for the answer
(`ssl_shutdown_timeout` of asyncio). aiohttp does not wait for that: neither a cancelled request nor the `close` of its
connector does. If the event loop ends in this time, Python reports the socket as unclosed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from typing import Final

import aiohttp

__all__ = ["READS", "Connector", "end_response", "send_once"]

READS: Final = frozenset({"GET", "HEAD"})
"""The methods of requests that change nothing, and so can be sent again."""

# A dead peer is detected within 30 + 3 * 10 seconds.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

_TURNS_TO_END: Final = 50
"""Turns of the loop in which a socket that was shut down reports its end; four are needed."""


class Connector(aiohttp.TCPConnector):
    """Connections in any number, with TCP keep-alive; after `close`, each of their sockets is closed.

    Args:
        ssl: what TLS trusts, where a request does not say it; default: the authorities of the system.
    """

    def __init__(self, *, ssl: aiohttp.connector.SSLContext | bool = True) -> None:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(limit=0, ssl=ssl, socket_factory=self._make_socket)

    def _make_socket(self, address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """Make a socket with TCP keep-alive, which detects a dead peer; asyncio sets TCP_NODELAY."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if (option := getattr(socket, name, None)) is not None:
                made.setsockopt(socket.IPPROTO_TCP, option, value)
        self._sockets.add(made)
        return made

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close every connection, also those that wait for the end of TLS; return when their sockets are closed.

        A connection whose reading is paused is closed by asyncio within 30 seconds.
        """
        await super().close(abort_ssl=abort_ssl)
        left = [each for each in self._sockets if each.fileno() >= 0]
        for each in left:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS_TO_END):
            if all(each.fileno() < 0 for each in left):
                return
            await asyncio.sleep(0)


def send_once(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Let a session send each request once; return it.

    aiohttp sends a PUT or a DELETE a second time if the connection ends before the response. But the server may have
    processed it: the second PUT is a conflict, and the second DELETE removes a new object of that name.
    """
    session._retry_connection = False
    return session


def end_response(response: aiohttp.ClientResponse) -> None:
    """Return the connection of a response to the pool; break it if a part of the body is unread.

    A connection over TLS that is closed in the middle of a body, while its reading is paused, learns nothing from its
    peer: it stays open for 30 seconds.
    """
    if response.content.at_eof():
        response.release()
        return
    if (connection := response.connection) is not None and (transport := connection.transport) is not None:
        transport.abort()
    response.close()
