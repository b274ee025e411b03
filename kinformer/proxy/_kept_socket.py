"""A Unix socket that is made anew when its file is removed, as by a service that cleans `/tmp`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from kinformer.proxy._listen import UnixAddress

__all__ = ["inode_of", "keep_socket"]

# The logger that users know.
_log = logging.getLogger("kinformer.proxy")

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the file."""


def inode_of(path: Path) -> int:
    """Return the inode of a file; 0 if there is none."""
    try:
        return path.lstat().st_ino
    except OSError:
        return 0


async def keep_socket(address: UnixAddress, mine: int, listen: Callable[[], Awaitable[int]]) -> None:
    """Look at the file of a socket until cancelled. Make it anew when it is removed; log it when it is replaced.

    Without its file a socket has no new connections, and nothing shows why: those that are open go on.

    Args:
        address: the address that this process listens on now.
        mine: the inode of its socket.
        listen: listens on it once more, and returns the new inode; an OSError is logged, and it is called again later.
    """
    said = ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = inode_of(address.path)
        if now == mine:
            said = ""
        elif now:
            text = "%s was replaced by another file: this proxy gets no new connections"
            said = _say(said, text, address.path)
        else:
            try:
                mine = await listen()
            except OSError as error:
                said = _say(said, "the socket was removed, and cannot be made anew: %s", error)
                continue
            said = ""
            _log.warning("%s was removed, and is made anew", address.path)


def _say(said: str, text: str, about: object) -> str:
    """Log an error unless it was the last one; return its text."""
    if (new := text % about) != said:
        _log.error("%s", new)
    return new
