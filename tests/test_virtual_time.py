"""The loop of simulations: it jumps from timer to timer, and a test that would wait for ever fails."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.virtual_time import VirtualLoop


def test_a_year_passes_at_once_and_timers_fire_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, seconds in (("year", 31_536_000.0), ("moment", 0.001), ("turn", 0.0), ("day", 86_400.0)):
                tasks.create_task(wait(name, seconds))

    before = time.process_time()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(all_of_them())
    assert seen == [("turn", 0.0), ("moment", 0.001), ("day", 86_400.0), ("year", 31_536_000.0)]
    assert time.process_time() - before < 10


def test_an_inner_wait_is_set_before_an_outer_timeout_fires() -> None:
    async def shorter() -> str:
        async with asyncio.timeout(2):
            for _ in range(3):
                await asyncio.sleep(0.5)
            return "in time"

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(shorter()) == "in time"


def test_a_test_that_would_wait_for_ever_fails() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        with pytest.raises(RuntimeError, match="would wait for ever"):
            runner.get_loop().run_until_complete(asyncio.Event().wait())
        # The loop is whole: the runner cancels what waits.
        assert runner.run(asyncio.sleep(0, "after")) == "after"


def test_input_that_is_there_is_seen() -> None:
    async def read() -> bytes:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            theirs.sendall(b"x")
            return await asyncio.get_running_loop().sock_recv(ours, 1)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(read()) == b"x"
