"""A small HTTP server of answers that are functions, for programs without a web framework. It checks `Host`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from kinformer._hosts import is_allowed
from kinformer._local_runner import LocalRunner, local_server
from kinformer._own_loop import OwnLoop
from kinformer._survivable import is_survivable
from kinformer.errors import AlreadyStartedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aiohttp import web

__all__ = ["LocalServer", "Page"]

_log = logging.getLogger(__name__)


class Page(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    content_type: str = "application/json"


class LocalServer:
    """Serves GET and HEAD of some paths.

    Args:
        pages: functions that make the answer, by path.
        host: the address to listen on.
        port: 0 for any free one.
        hosts: names that may stand in a request's `Host`; `None` for any. Loopback is always allowed, and every IP
            address if `host` is not a loopback address.
        owner: the class to name in the refusal of a host.

    Attributes:
        port: as given; while it listens, the port that it listens on.
    """

    def __init__(
        self,
        pages: Mapping[str, Callable[[], Page]],
        *,
        host: str,
        port: int,
        hosts: Collection[str] | None,
        owner: str,
    ) -> None:
        self._pages = dict(pages)
        self._host = host
        self._hosts = hosts
        self._owner = owner
        self._runner: LocalRunner | None = None
        self._own_loop = OwnLoop(f"{owner} was started")
        self.port = port

    @property
    def url(self) -> str:
        """Return the address, without a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            AlreadyStartedError: it listens already.
            OSError: the port cannot be bound.
        """
        from aiohttp import web

        if self._runner is not None:
            msg = f"it is being served already, at {self.url}"
            raise AlreadyStartedError(msg)
        self._own_loop.take()
        runner = LocalRunner(local_server(self._answer), handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Listen no longer. Stopping twice does no harm.

        Raises:
            WrongLoopError: it was started in another event loop.
        """
        if self._runner is not None:
            self._own_loop.check()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        named = request.headers.getall("Host", [])
        if not is_allowed(named, self._hosts, listening_on=self._host):
            refusal = f"this server is not {', '.join(named)!r}; name that host in {self._owner}(hosts=...)"
            return web.json_response({"error": refusal}, status=403)
        page = self._pages.get(request.path.rstrip("/"))
        if page is None:
            return web.json_response({"error": f"the pages are {', '.join(self._pages)}"}, status=404)
        if request.method not in {"GET", "HEAD"}:
            return web.json_response({"error": "this can only be read"}, status=405)
        try:
            made = page()
        except BaseException as error:
            # What a page reads may be a user's: collectors of metrics, for example.
            if not is_survivable(error):
                raise
            _log.error("%s: the page %s failed", self._owner, request.path, exc_info=error)
            return web.json_response({"error": "this page failed; see the log"}, status=500)
        headers = {"Cache-Control": "no-store", "Content-Type": made.content_type}
        return web.Response(status=made.status, body=made.body, headers=headers)
