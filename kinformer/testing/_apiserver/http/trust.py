"""The requests that are taken at all: for a host name of this server, not from a web page, and not too large.

A web page that is open in a developer's browser can send requests to loopback. By DNS rebinding it can also read the
answers, under a host name of its own. Such a name has a dot, so names without one are taken.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

__all__ = ["check_trust", "read_body"]

MOST_BYTES: Final = 3 * 1024 * 1024
"""Bytes of a request's body (apiserver server/config.go, MaxRequestBodyBytes)."""

_CLUSTER_NAMES: Final = (".localhost", ".svc", ".svc.cluster.local")


def check_trust(request: web.BaseRequest, allowed: Collection[str]) -> None:
    """Refuse a request for another host, and one that a web page of another origin has sent.

    Args:
        request: the request.
        allowed: host names that are taken beside the usual ones; "*" for all.

    Raises:
        Refusal: 403.
    """
    if "*" in allowed:
        return
    host = _name(request.headers.get("Host", ""))
    if not _is_ours(host, allowed):
        msg = (
            f'the host name "{host}" is not one of this server; if it is meant, allow it: '
            f'ApiServer(allowed_hosts=["{host}"])'
        )
        raise status.Refusal(403, msg, "Forbidden", {})
    origin = request.headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("Host", ""):
        raise status.Refusal(403, f'requests from web pages of "{origin}" are not taken', "Forbidden", {})


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _is_ours(host: str, allowed: Collection[str]) -> bool:
    host = host.rstrip(".")
    if not host or "." not in host or host in allowed or host.endswith(_CLUSTER_NAMES):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def read_body(request: web.BaseRequest, most: int = MOST_BYTES) -> bytes:
    """The body of a request.

    Args:
        request: the request.
        most: the number of bytes that are taken.

    Raises:
        Refusal: 413, it is too long.
    """
    parts: list[bytes] = []
    left = most
    async for part in request.content.iter_any():
        left -= len(part)
        if left < 0:
            message = f"Request entity too large: limit is {most}"
            raise status.Refusal(413, message, "RequestEntityTooLarge", {})
        parts.append(part)
    return b"".join(parts)
