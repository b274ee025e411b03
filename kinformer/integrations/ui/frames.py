"""How the page's server-sent events are written."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["ALIVE", "RETRY", "frame"]

RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds until a browser comes back."""

ALIVE: Final = b": alive\n\n"

_encode = msgspec.json.Encoder().encode


def frame(event: str, data: Any) -> bytes:
    """One event; JSON has no line breaks."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), _encode(data))
