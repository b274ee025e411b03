"""A thread that notices a blocked event loop, and logs the code that blocks it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from typing import Final

__all__ = ["Watchdog"]

_log = logging.getLogger(__name__)

_BEATS: Final = 4
"""Looks of the thread within the limit."""


class Watchdog:
    """Logs where the event loop is, once per blockade, when it has not come to its next turn for too long.

    A blocked loop answers no probe either, so that the kubelet restarts the container; this log says why.

    Args:
        limit: seconds of real time.

    Attributes:
        blockades: number of blockades so far.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._beat = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self.blockades = 0

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._loop_thread = threading.get_ident()
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._watch, args=(loop,), name="kinformer watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        silent = 0
        self._ask(loop)
        while not self._over.wait(self._limit / _BEATS):
            if self._beat.is_set():
                silent = 0
                self._ask(loop)
                continue
            silent += 1
            if silent == _BEATS:
                self.blockades += 1
                frame = sys._current_frames().get(self._loop_thread)
                # Files, lines and names of functions; no values.
                where = "".join(traceback.format_stack(frame)[-8:]) if frame is not None else "unknown"
                _log.critical("the event loop has been blocked for %g s, at:\n%s", self._limit, where)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat.clear()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._beat.set)
