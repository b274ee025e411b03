"""The clock of a loop, as a function that all its objects share."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kinformer._clock import clock_of, running_clock

if TYPE_CHECKING:
    import pytest


class OwnClock(asyncio.SelectorEventLoop):
    """A loop whose time stands still."""

    def time(self) -> float:
        return 7.0


def test_the_loops_of_asyncio_share_one_function() -> None:
    with asyncio.Runner() as one, asyncio.Runner() as other:
        assert clock_of(one.get_loop()) is clock_of(other.get_loop()) is time.monotonic  # noqa: TID251


def test_a_loop_with_a_clock_of_its_own_keeps_it() -> None:
    async def now() -> float:
        return running_clock()()

    with asyncio.Runner(loop_factory=OwnClock) as runner:
        assert runner.run(now()) == 7.0


def test_a_clock_that_was_replaced_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with asyncio.Runner() as runner:
        monkeypatch.setattr(runner.get_loop(), "time", lambda: 9.0)
        assert clock_of(runner.get_loop())() == 9.0
