"""The frame of each request: the check of its `Host`, and the answer to a request that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from kinformer._hosts import is_allowed
from kinformer.proxy._bodies import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["answered", "check_host"]


def check_host(request: web.BaseRequest, listening_on: str) -> None:
    """Check that a request names this server by loopback, or by an address if it listens on others.

    Raises:
        Refusal: it does not.
    """
    named = request.headers.getall("Host", [""])
    if len(named) != 1 or not is_allowed(named[0], (), listening_on=listening_on):
        raise Refusal(403, "Forbidden", "this server is reached by loopback names and addresses only")


async def answered(response: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Return a response, or the answer to a request that is refused, or whose client has gone."""
    try:
        return await response
    except Refusal as refusal:
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return web.Response(status=refusal.code, body=refusal.body, content_type="application/json", headers=headers)
    except ConnectionError:
        return web.Response(status=499)
