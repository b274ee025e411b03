"""aiohttp's session for one API server: connections, TLS, proxy; the only place that opens a connection.

Lists and watches are sent by the same call. aiohttp resolves the name, tries the addresses (aiohappyeyeballs), speaks
to the proxy, starts TLS and writes the request. Only the response of a watch is parsed by kinformer (`WatchReply`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from kinformer._connector import READS, Connector, send_once
from kinformer._own_loop import OwnLoop
from kinformer._tasks import shielded
from kinformer.client._http.limits import HEAD_LIMIT
from kinformer.client._http.responses import PlainResponse, Response, WatchReply, WatchResponse
from kinformer.config import ContextCache
from kinformer.errors import AlreadyStartedError, NotStartedError, StoppedError

if TYPE_CHECKING:
    import ssl

    import multidict
    import yarl

    from kinformer.config import ClusterConfig, Identity

__all__ = ["HttpSession"]

# With a small buffer the socket pauses for each piece of a list.
_READ_BUFFER: Final = 256 * 1024


class HttpSession:
    """Sends requests to one API server.

    The number of connections has no limit: a watch holds one as long as it lives, and other requests must not wait
    for it. Redirects are not followed, cookies are not kept, nothing is decompressed.

    Args:
        config: the API server.
        connect_timeout: seconds that making a connection may take, TLS included.
    """

    def __init__(self, config: ClusterConfig, *, connect_timeout: float) -> None:
        self._config = config
        self._connect_timeout = connect_timeout
        self._contexts = ContextCache(config.tls) if config.server.startswith("https:") else None
        self._connector: aiohttp.BaseConnector | None = None
        self._reading: aiohttp.ClientSession | None = None
        self._writing: aiohttp.ClientSession | None = None
        self._watching: aiohttp.ClientSession | None = None
        self._open: set[Response] = set()
        self._last_limits = aiohttp.ClientTimeout(connect=connect_timeout, ceil_threshold=float("inf"))
        self._own_loop = OwnLoop("this client was entered")
        self.closed = False
        """True after `close` was called."""

    async def open(self) -> None:
        """Make the session.

        Raises:
            ConfigError: certificates cannot be used.
            AlreadyStartedError: it is open.
            StoppedError: it was closed.
        """
        if self.closed:
            raise StoppedError("this client is closed; make a new one")
        if self._connector is not None:
            raise AlreadyStartedError("this client is open already; enter it once")
        self._own_loop.take()
        if self._contexts is not None:
            # With the authorities of the system this takes some 20 ms, which is too long for the loop.
            await asyncio.to_thread(self._contexts.get)
        if self._config.socket is not None:
            self._connector = aiohttp.UnixConnector(str(self._config.socket), limit=0)
        else:
            self._connector = Connector()
        self._reading = _session(self._connector, aiohttp.ClientResponse)
        self._writing = send_once(_session(self._connector, aiohttp.ClientResponse))
        self._watching = _session(self._connector, WatchReply)

    async def close(self) -> None:
        """Close every connection. Requests in flight fail. Closing twice does nothing.

        Raises:
            WrongLoopError: the session was opened in another loop.
        """
        if not self.closed:
            self.refuse_other_loop()
        self.closed = True
        connector, self._connector = self._connector, None
        for response in self._open:
            # Closing a session does not wake the readers of its responses.
            response.fail(aiohttp.ClientConnectionError("closed"))
        # Without the shield, a cancelled scope of anyio would end this wait at once.
        with shielded():
            if connector is not None:
                # This closes the sessions too. `session.close` fails an assertion in a request that aiohttp is just
                # sending again after a lost connection.
                await connector.close()

    def check_open(self) -> None:
        """Refuse a call unless the session is open.

        Raises:
            NotStartedError, StoppedError: it is not open.
            WrongLoopError: it was opened in another loop.
        """
        if self.closed:
            raise StoppedError("this client is closed; make a new one")
        if self._connector is None:
            raise NotStartedError("this client is not open; use it inside of `async with client:`")
        self.refuse_other_loop()

    def refuse_other_loop(self) -> None:
        """Refuse a call from another loop than that of `open`.

        Raises:
            WrongLoopError: the session was opened in another loop.
        """
        self._own_loop.check()

    async def send(
        self,
        method: str,
        url: yarl.URL,
        headers: multidict.CIMultiDict[str],
        identity: Identity,
        *,
        body: bytes | None = None,
        total: float | None = None,
        silence: float | None = None,
        watch: bool = False,
    ) -> Response:
        """Send a request; return when the head of the response has arrived, for a watch after at most half a second.

        A read or a watch is sent a second time, on a new connection, if the connection ends before the response: the
        server may have closed it while it was idle. A write is sent once.

        Args:
            method: the HTTP method.
            url: the URL, encoded.
            headers: the headers, in the order in which they are sent.
            identity: the source of the client certificate.
            body: the request's body.
            total: seconds that the exchange may take, the body included.
            silence: seconds without a byte of the response after which it fails.
            watch: whether the response is read by `WatchResponse`.

        Raises:
            aiohttp.ClientError, OSError, HttpFormatError: no response came.
        """
        session = self._watching if watch else self._reading if method in READS else self._writing
        if session is None or self.closed:
            self.check_open()
        assert session is not None
        context: ssl.SSLContext | bool = True if self._contexts is None else self._contexts.get(identity.certificate)
        reply = await session.request(
            method,
            url,
            headers=headers,
            data=body,
            timeout=self._limits(total, silence),
            allow_redirects=False,
            proxy=self._config.proxy,
            proxy_headers=None if self._config.proxy is None else {"User-Agent": headers["User-Agent"]},
            ssl=context,
            server_hostname=self._config.tls.server_name if self._contexts is not None else None,
        )
        response = WatchResponse(reply) if isinstance(reply, WatchReply) else PlainResponse(reply, silence or total)
        self._open.add(response)
        return response

    def _limits(self, total: float | None, silence: float | None) -> aiohttp.ClientTimeout:
        # Nearly all requests have the limits of the one before.
        limits = self._last_limits
        if limits.total != total or limits.sock_read != silence:
            # `connect` bounds all of it. `sock_connect` would bound the parts, by a second timer for each connection.
            limits = self._last_limits = aiohttp.ClientTimeout(
                total=total, connect=self._connect_timeout, sock_read=silence, ceil_threshold=float("inf")
            )
        return limits

    async def release(self, response: Response) -> None:
        """Return the connection of a response to the pool, or close it."""
        self._open.discard(response)
        await response.close()


def _session(connector: aiohttp.BaseConnector, response_class: type[aiohttp.ClientResponse]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        response_class=response_class,
        read_bufsize=_READ_BUFFER,
        max_line_size=HEAD_LIMIT,
        max_field_size=HEAD_LIMIT,
    )
