"""Which `Host` a request may name, so that a page on the internet cannot read a server on loopback by DNS rebinding.

Such a page has a name that first means the attacker's address, and then 127.0.0.1. The browser takes the answers for
the page's own, but the request still names the attacker's host. Addresses cannot be rebound, names can.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["LOOPBACK", "is_allowed", "is_loopback", "name_in"]

LOOPBACK: Final = frozenset({"localhost"})
"""The names that always mean this machine, besides its loopback addresses."""


_FORM: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A name or an address, and a port: no user, no path, no query (RFC 9110, 7.2)."""


def name_in(host: str) -> str:
    """Return the name or address in a `Host` header, without port and brackets; "" for anything else."""
    if not _FORM.fullmatch(host):
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    """Return whether this is a loopback address."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_allowed(given: Sequence[str], hosts: Collection[str] | None, *, listening_on: str = "127.0.0.1") -> bool:
    """Return whether a request with these `Host` headers is answered.

    Args:
        given: each `Host` header of the request. A request with several is never allowed (RFC 9112, 3.2).
        hosts: names that are allowed besides loopback; `None` for any.
        listening_on: the address that the server listens on. If it is not a loopback address, the server is meant to be
            reached over the network, and any address is allowed.
    """
    if len(given) > 1:
        return False
    if hosts is None:
        return True
    name = name_in("".join(given))
    if is_loopback(name) or name in LOOPBACK or name in {one.lower() for one in hosts}:
        return True
    if is_loopback(listening_on) or listening_on in LOOPBACK:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
