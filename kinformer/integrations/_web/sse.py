"""Frames of server-sent events (HTML standard, 9.2), for `/watch/...` and for the page."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = [
    "ALIVE",
    "HEARTBEAT_SECONDS",
    "NOT_IN_SYNC",
    "RESET",
    "RETRY",
    "SYNCED",
    "frame",
    "frame_of_json",
    "position",
]

HEARTBEAT_SECONDS: Final = 15.0
"""The longest silence of a stream. The HTML standard advises it against proxies that drop silent connections."""

RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds until a browser connects again."""

ALIVE: Final = b": alive\n\n"
NOT_IN_SYNC: Final = b": not in sync yet\n\n"

_encode = msgspec.json.Encoder().encode


def frame(event: str, data: Any) -> bytes:
    """Return one event with its data as JSON, which msgspec writes without line breaks."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), _encode(data))


def frame_of_json(event: bytes, raw: bytes) -> bytes:
    """Return one event with JSON of unknown origin as its data.

    A line break would end the field of an event stream. Outside of strings, where JSON has none, it means nothing, so a
    space takes its place.
    """
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %s\ndata: %s\n\n" % (event, raw)


def position(version: str) -> bytes:
    """Return the frame that sets the browser's last event id.

    Without data it is no event, so it also keeps a silent stream alive.
    """
    return b"id: %s\n\n" % version.encode()


RESET: Final = frame("reset", {})
SYNCED: Final = frame("synced", {})
