"""Random schedules for a controller: events, failures, waits and stops. Nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinformer.controller import Controller, Requeue, TerminalError
from kinformer.workqueue import LOW_PRIORITY, Debounce, RateLimitingQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable

SCHEDULES = int(os.environ.get("KINFORMER_SCHEDULES", "150"))
KEYS = "abcde"
DEBOUNCE = Debounce(quiet=0.5, max_wait=2)


class World:
    """A controller whose reconciles take random times and have random ends, and what happened to it."""

    def __init__(self, seed: int, workers: int, *, drain: bool, timeout: float | None) -> None:
        self.random = random.Random(seed)
        self.running: Counter[str] = Counter()
        self.started: defaultdict[str, list[float]] = defaultdict(list)
        self.asked: defaultdict[str, list[float]] = defaultdict(list)
        self.violations: list[str] = []
        self.troubled = True
        queue: RateLimitingQueue[str] = RateLimitingQueue(ItemExponential(base=0.1, cap=5), oldest_every=4)
        self.controller: Controller[str] = Controller(
            "random", self.reconcile, workers=workers, queue=queue, drain=drain, timeout=timeout, grace=30
        )
        self.controller.before_reconcile(self.hold)

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    async def reconcile(self, key: str) -> Requeue | None:
        self.running[key] += 1
        # Not by assert: what a reconcile raises is only a failure of its key.
        if self.running[key] > 1 or self.running.total() > self.controller.workers:
            self.violations.append(f"{self.now()}: {dict(self.running)}")
        self.started[key].append(self.now())
        try:
            await asyncio.sleep(self.random.choice([0, 0, 0.1, 1, 3]))
            end = self.random.random() if self.troubled else 1
            if end < 0.2:
                raise ValueError(key)
            if end < 0.25:
                raise TerminalError(key)
            if end < 0.3:
                raise asyncio.CancelledError
            return Requeue(after=self.random.choice([0, 0.3])) if end < 0.4 else None
        finally:
            self.running[key] -= 1

    def hold(self, key: str) -> Awaitable[None] | None:
        if not self.troubled or self.random.random() < 0.8:
            return None
        return self.wait()

    async def wait(self) -> None:
        await asyncio.sleep(self.random.choice([0, 0.2, 2]))
        if self.random.random() < 0.2:
            raise OSError("it never came")

    def add(self, key: str, how: str, priority: int) -> None:
        self.asked[key].append(self.now())
        queue = self.controller.queue
        match how:
            case "now":
                queue.add(key, priority=priority)
            case "later":
                queue.add_after(key, 1, priority=priority)
            case "debounced":
                queue.add_debounced(key, DEBOUNCE, priority=priority)
            case "replaced":
                queue.add_after(key, 0.4, priority=priority, replace=True)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0.05, 0.5, 2]),
        st.sampled_from(KEYS),
        st.sampled_from(["now", "now", "later", "debounced", "replaced"]),
        st.sampled_from([LOW_PRIORITY, 0, 5]),
    ),
    max_size=40,
)
many = settings(
    max_examples=SCHEDULES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def run(main: Any) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, left
    finally:
        loop.close()


@many
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 3), limited=st.booleans(), events=EVENTS)
def test_whatever_is_asked_for_is_reconciled_after_it_was_asked_for(
    seed: int, workers: int, limited: bool, events: list[tuple[float, str, str, int]]
) -> None:
    async def main() -> None:
        world = World(seed, workers, drain=False, timeout=2 if limited else None)
        async with world.controller as controller:
            for pause, key, how, priority in events:
                await asyncio.sleep(pause)
                world.add(key, how, priority)
            # A TerminalError lets a key rest, so trouble ends before the last word.
            await asyncio.sleep(1)
            world.troubled = False
            for key in world.asked:
                world.add(key, "now", LOW_PRIORITY)
            await asyncio.sleep(200)
            status = controller.status
            assert (status.queued, status.delayed, status.aside, status.in_progress) == (0, 0, 0, {})
            # With a limit of 2 s, those that take 3 s fail now and then, but not for ever.
            assert status.failing == {}
            assert world.violations == []
            for key, moments in world.asked.items():
                assert world.started[key][-1] >= moments[-1]

    run(main())


@many
@given(
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 3),
    drain=st.booleans(),
    events=EVENTS,
    cancel_after=st.sampled_from([0, 0.01, 0.3, 1, 3]),
    again_after=st.sampled_from([None, 0, 0.1, 2]),
)
def test_it_can_be_stopped_at_any_moment_and_leaves_nothing(
    seed: int,
    workers: int,
    drain: bool,
    events: list[tuple[float, str, str, int]],
    cancel_after: float,
    again_after: float | None,
) -> None:
    async def main() -> None:
        world = World(seed, workers, drain=drain, timeout=None)
        controller = world.controller
        async with asyncio.TaskGroup() as group:
            running = group.create_task(controller.run())
            await asyncio.sleep(0)
            for pause, key, how, priority in events:
                await asyncio.sleep(pause / 10)
                world.add(key, how, priority)
            await asyncio.sleep(cancel_after)
            stopped_at = world.now()
            running.cancel()
            if again_after is not None:
                await asyncio.sleep(again_after)
                running.cancel()
            await asyncio.wait([running])
        assert world.violations == []
        assert world.running.total() == 0
        status = controller.status
        assert (status.state, status.delayed, status.aside, status.in_progress) == ("stopped", 0, 0, {})
        assert controller.queue.processing == frozenset()
        if again_after is None:
            assert world.now() <= stopped_at + 30
        if drain and again_after is None and world.now() < stopped_at + 30:
            assert status.queued == 0

    run(main())
