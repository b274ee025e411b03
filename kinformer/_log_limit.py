"""Log of failures that may come with each event: some lines a second, and the number of those between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

__all__ = ["LINES_PER_SECOND", "LimitedLog"]

LINES_PER_SECOND: Final = 10
"""Lines of one kind and place. A callback that fails for 10,000 events a second would fill the disk else."""


class LimitedLog:
    """Logs at most `LINES_PER_SECOND`, by the clock of the running loop. The next line after a gap counts the others.

    Args:
        logger: where to log.
        what: the kind of the failures, with their place, for the line that counts: "pods: failures of on_error".
    """

    __slots__ = ("_began", "_lines", "_logger", "_unlogged", "_what")

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._began = float("-inf")
        self._lines = 0
        self._unlogged = 0

    def log(self, level: int, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a failure, or count it."""
        now = asyncio.get_running_loop().time()
        if now - self._began >= 1.0:
            self.log_count(level)
            self._began, self._lines = now, 0
        if self._lines >= LINES_PER_SECOND:
            self._unlogged += 1
            return
        self._lines += 1
        self._logger.log(level, text, *values, exc_info=exc_info)

    def log_count(self, level: int) -> None:
        """Log how many failures were counted and not logged, if any."""
        if self._unlogged:
            self._logger.log(level, "%s: %d more were not logged", self._what, self._unlogged)
            self._unlogged = 0
