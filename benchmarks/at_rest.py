"""The cost of something to this process: of its start, and then of being there at rest."""

from __future__ import annotations

import asyncio
import gc
import time

__all__ = ["RestMeter"]


class RestMeter:
    """Measures from its creation, just before something is started."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        gc.collect()
        self._before = self._process.memory_info().rss
        self._began = time.process_time()

    async def measure(self, *, settle: float, seconds: float) -> tuple[float, float, float]:
        """Return the part of a core at rest, and the CPU seconds and bytes of the start; call it when all is up.

        Args:
            settle: seconds of rest before memory is looked at.
            seconds: seconds for which the CPU is measured.
        """
        started = time.process_time() - self._began
        await asyncio.sleep(settle)
        gc.collect()
        held = self._process.memory_info().rss - self._before
        clock, began = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - began) / (time.perf_counter() - clock), started, held
