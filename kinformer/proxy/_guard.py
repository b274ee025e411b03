"""The frame of each request: the check of its `Host`, and the answer to a request that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from kinformer._hosts import is_allowed
from kinformer.proxy._bodies import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["answered", "check_host", "refuse_websocket"]


def check_host(request: web.BaseRequest, listening_on: str) -> None:
    """Check that a request names this server by loopback, or by an address if it listens on others.

    Raises:
        Refusal: it does not.
    """
    if not is_allowed(request.headers.getall("Host", []), (), listening_on=listening_on):
        raise Refusal(403, "Forbidden", "this server is reached by loopback names and addresses only")


def refuse_websocket(request: web.BaseRequest) -> None:
    """Refuse a watch by WebSocket, so that the client asks for a chunked answer.

    Fabric8 asks for a WebSocket first. It takes 200 and 503 without an upgrade as "not offered here"
    (BaseOperation.java of 8.0.0), but repeats the request for minutes after 503.

    Raises:
        Refusal: a WebSocket is asked for.
    """
    if "Upgrade" in request.headers:
        raise Refusal(200, "ServiceUnavailable", "a watch of this server is a chunked answer, not a WebSocket")


async def answered(response: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Return a response, or the answer to a request that is refused, or whose client has gone."""
    try:
        return await response
    except Refusal as refusal:
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return web.Response(status=refusal.code, body=refusal.body, content_type="application/json", headers=headers)
    except ConnectionError:
        return web.Response(status=499)
