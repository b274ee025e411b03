"""Keeps the page from other sites: requests by a foreign name and from foreign pages are refused.

A page on the internet can have a browser ask a server on its own loopback. The answers are unreadable for that page, as
long as the browser takes them for another site's; `kinformer._hosts` says how a page gets around that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

from kinformer._hosts import LOOPBACK, is_allowed

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Refuses requests from elsewhere, and makes browsers keep the answers to themselves.

    Args:
        app: the application to guard.
        hosts: names that may stand in `Host`, besides loopback; `None` for any, if a proxy in front checks them.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = LOOPBACK) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        why = self._refusal(scope["method"], named, headers)
        if why:
            await PlainTextResponse(f"{why}\n", status_code=403)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, method: str, named: list[str], headers: dict[str, str]) -> str:
        if method not in {"GET", "HEAD"}:
            return "this page only answers questions (GET)"
        host = ", ".join(named)
        if not is_allowed(named, self._hosts):
            return f"this page is not {host!r}; open it by its address, or name that host when you start it (hosts=)"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "this page is not for other sites"
        # Another site may link to the page, but not read from it, nor show it in itself.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site not in {"none", "same-origin"} and mode != "navigate":
            return "this page is not for other sites"
        return ""
