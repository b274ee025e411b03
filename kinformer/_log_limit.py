"""Log of failures that may come with each event: some lines a second, and the number of those between them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

__all__ = ["LINES_PER_SECOND", "LimitedLog"]

LINES_PER_SECOND: Final = 10
"""Lines of one kind and place. A callback that fails for 10,000 events a second would fill the disk else."""


class LimitedLog(msgspec.Struct, gc=False):
    """Logs at most `LINES_PER_SECOND`, by the clock of the running loop. The next line after a gap counts the others.

    An informer has three of them. They lead to nothing but their logger, so the collector need not visit them.

    Attributes:
        logger: where to log.
        what: the kind of the failures, with their place, for the line that counts: "pods: failures of on_error".
    """

    logger: Any
    what: str
    _began: float = float("-inf")
    _lines: int = 0
    _unlogged: int = 0

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
        self.logger.log(level, text, *values, exc_info=exc_info)

    def log_count(self, level: int) -> None:
        """Log how many failures were counted and not logged, if any."""
        if self._unlogged:
            self.logger.log(level, "%s: %d more were not logged", self.what, self._unlogged)
            self._unlogged = 0
