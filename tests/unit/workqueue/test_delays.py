"""The times of delayed keys; test_rate_limiting_queue.py has the rest of their rules."""

from __future__ import annotations

import asyncio
from typing import Any

from kinformer.workqueue._delays import Delays


def test_a_key_is_due_when_its_timer_is_called_within_the_resolution_of_the_clock() -> None:
    class StandsStill(asyncio.SelectorEventLoop):
        """Its clock does not reach the time of a timer; it calls the timer within its resolution."""

        timers = 0

        def __init__(self) -> None:
            super().__init__()
            self._clock_resolution = 0.01

        def time(self) -> float:
            return 5.0

        def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
            self.timers += 1
            if self.timers > 3:
                self.stop()
            return super().call_at(*args, **options)

    loop = StandsStill()

    async def released() -> None:
        done = asyncio.Event()
        delays: Delays[str] = Delays(lambda *_: done.set())
        delays.put("a", loop.time() + 0.005, 0)
        await done.wait()

    try:
        loop.run_until_complete(released())
    finally:
        loop.close()
    assert loop.timers == 1
