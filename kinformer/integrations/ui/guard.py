"""Who may read the page: nobody from another site, and nobody by a name that is not ours.

A page on the internet can have a browser ask a server on its own loopback. Its answers are unreadable for that page, as
long as the browser takes them for another site's. By DNS rebinding (a name that first means the attacker's address and
then 127.0.0.1) they would be the page's own; but then the `Host` is that name.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK: Final = frozenset({"localhost"})
"""The names by which a page on loopback is asked for, besides its addresses, which cannot be rebound."""

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
    """Refuses what comes from elsewhere, and has browsers keep the answers to themselves.

    Args:
        app: what is guarded.
        hosts: names that may stand in `Host`, besides loopback addresses; `None` for any, where a proxy in front sees
            to that.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = LOOPBACK) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        why = self._refusal(scope["method"], headers)
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

    def _refusal(self, method: str, headers: dict[str, str]) -> str:
        if method not in {"GET", "HEAD"}:
            return "this page only answers questions (GET)"
        host = headers.get("host", "")
        name = _name(host)
        if self._hosts is not None and not (name in self._hosts or _is_loopback(name)):
            return f"this page is not {host!r}; open it by its address, or name that host when you start it (hosts=)"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "this page is not for other sites"
        # Another site may link to the page, but not read from it, nor show it in itself.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site not in {"none", "same-origin"} and mode != "navigate":
            return "this page is not for other sites"
        return ""


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
