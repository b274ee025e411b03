"""The clock of an event loop, as a function that costs no object."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["clock_of", "running_clock"]


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return a function that gives the same as `loop.time`.

    Each `loop.time` that an object or a coroutine holds is an object of its own, which the garbage collector visits. A
    running informer would hold ten of them. The loops of asyncio read `time.monotonic`, of which there is one. A loop
    with a clock of its own, such as a loop with virtual time, gives its own method.
    """
    if type(loop).time is asyncio.BaseEventLoop.time and "time" not in vars(loop):
        return time.monotonic  # noqa: TID251 - it is the clock of this loop
    return loop.time


def running_clock() -> Callable[[], float]:
    """Return the clock of the running loop; see `clock_of`."""
    return clock_of(asyncio.get_running_loop())
