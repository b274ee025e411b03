"""Listener: the address at which the embedded API server listens, and its connections."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aiohttp import web

from kinformer._local_runner import BoundedServer, LocalRunner, local_server
from kinformer._own_loop import OwnLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Listener"]


class Listener:
    """A server of HTTP or HTTPS at one address, which can stop and listen there again.

    Args:
        handle: answers a request.
        host: the address.
        port: the port; 0 for any free one, which is kept from then on.
        ssl_context: to serve HTTPS.

    Attributes:
        ssl_context: the certificate of the next start.
    """

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._handle = handle
        self._host = host
        self._port = port
        self.ssl_context = ssl_context
        self._runner: LocalRunner | None = None
        self._server: BoundedServer | None = None
        self._own_loop = OwnLoop("this API server was started")

    @property
    def listens(self) -> bool:
        """True while it listens."""
        return self._runner is not None

    @property
    def is_secure(self) -> bool:
        """True for HTTPS, False for HTTP."""
        return self.ssl_context is not None

    def trust(self, authority: str) -> None:
        """Take client certificates of an authority, given in PEM, if the server asks for such certificates."""
        if self.ssl_context is not None and self.ssl_context.verify_mode != ssl.CERT_NONE:
            self.ssl_context.load_verify_locations(cadata=authority)

    @property
    def url(self) -> str:
        """The URL of the server.

        Raises:
            RuntimeError: it does not listen.
        """
        if self._runner is None:
            msg = "the API server is not running; use `async with ApiServer() as server:`"
            raise RuntimeError(msg)
        scheme = "https" if self.is_secure else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    @property
    def connections(self) -> int:
        """The number of connections that are open now."""
        return 0 if self._server is None else len(self._server.connections)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
            RuntimeError: it listens already.
        """
        if self._runner is not None:
            msg = f"the API server is running already, at {self.url}"
            raise RuntimeError(msg)
        self._own_loop.take()
        self._server = local_server(self._handle, handler_cancellation=True)
        runner = LocalRunner(self._server, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, ssl_context=self.ssl_context, backlog=1024)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._runner = runner

    def end(self) -> LocalRunner | None:
        """Count as ended from now on; return the runner, whose `cleanup` closes the connections, if it listened.

        Raises:
            WrongLoopError: it was started in another event loop.
        """
        if self._runner is not None:
            self._own_loop.check()
        runner, self._runner = self._runner, None
        return runner
