"""An event loop on virtual time, for worlds that are wholly in memory: no sockets, no threads, no subprocesses.

The loop never waits: with nothing ready, its clock jumps to the next timer. It differs from looptime in what it leaves
out: looptime turns 42 times before each jump, so that sockets and threads may have their say, and a simulation has
none. A schedule takes a third less CPU time. Tests with sockets or threads use looptime.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectors import SelectorKey

__all__ = ["VirtualLoop"]


class _NeverWaits(selectors.DefaultSelector):
    """Looks for input only when the loop is idle, and moves the clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []
        ready = super().select(0)
        if not ready:
            if timeout is None:
                msg = "nothing is ready and no timer is set: the test would wait for ever"
                raise RuntimeError(msg)
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0 and jumps from timer to timer.

    Raises:
        RuntimeError: from `run_until_complete`, if all tasks wait and no timer is set.
    """

    def __init__(self) -> None:
        self._never_waits = _NeverWaits()
        super().__init__(self._never_waits)
        # With the resolution of the real clock, a nanosecond, a timer after a month would never be due: the float of
        # that time has no such digits.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self._never_waits.now

    def take(self, seconds: float) -> None:
        """Let time pass within a step, as if it computed for so long."""
        self._never_waits.now += seconds
