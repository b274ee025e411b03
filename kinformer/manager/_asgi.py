"""The probes and metrics of a manager as an ASGI application, to be mounted in FastAPI or Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kinformer.integrations._web.local_server import Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kinformer.manager._manager import Manager

__all__ = ["ManagerApp"]


class ManagerApp:
    """Answers the paths of a manager's HTTP server.

    Mounted, it answers below the path of the mount. Served by itself, it starts and stops the manager with the server's
    lifespan. It does not check `Host`: the application around it does.

    Args:
        manager: the manager.
        pages: functions that make the answer, by path.
    """

    def __init__(self, manager: Manager, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._manager = manager
        self._pages = pages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI application."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            msg = f"a manager answers HTTP alone, not {scope['type']}"
            raise RuntimeError(msg)
        page = self._page(scope)
        length = (b"content-length", str(len(page.body)).encode())
        headers = [(b"content-type", page.content_type.encode()), (b"cache-control", b"no-store"), length]
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})

    def _page(self, scope: Any) -> Page:
        # Servers and frameworks differ in whether the path has the path of the mount before it.
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        make = self._pages.get(path)
        if make is None:
            return _refusal(404, f"the pages are {', '.join(self._pages)}")
        if scope["method"] not in {"GET", "HEAD"}:
            return _refusal(405, "this can only be read")
        return make()

    async def _lifespan(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        try:
            await self._manager.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._manager.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def _refusal(status: int, text: str) -> Page:
    return Page(status, msgspec.json.encode({"error": text}))
