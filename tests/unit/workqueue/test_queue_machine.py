"""Calls of a queue in any order, beside a model."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kinformer.errors import StoppedError
from kinformer.workqueue import LOW_PRIORITY, RateLimitingQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.unit.workqueue.queue_probes import Counts, turns
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable


P = ParamSpec("P")
T = TypeVar("T")


KEYS = st.integers(0, 4)
PRIORITIES = st.sampled_from([LOW_PRIORITY, 0, 0, 7])
OLDEST_EVERY = 3


class QueueMachine(RuleBasedStateMachine):
    """Any sequence of calls, moments and cancellations, compared with a queue made of plain lists.

    No key is lost, none is with two workers, none is queued twice, and each comes in its turn and at its time: by
    priority, but each so manyth time the one that has waited longest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.counts = Counts()
        self.queue: RateLimitingQueue[int] = RateLimitingQueue(
            ItemExponential(base=1, cap=8), name="machine", metrics=self.counts, oldest_every=OLDEST_EVERY
        )
        self.getters: list[asyncio.Task[int]] = []
        self.drains: list[tuple[asyncio.Task[None], list[bool]]] = []
        # The model.
        # What waits, the oldest first: priority, and when it got that.
        self.queued: dict[int, tuple[int, int]] = {}
        self.entered = 0
        self.turns = 0
        self.processing: dict[int, int] = {}
        self.dirty: dict[int, int] = {}
        self.due: dict[int, tuple[float, int, int]] = {}
        self.adds = self.takes = self.dones = self.retries = 0
        self.failures: Counter[int] = Counter()
        self.stopped = False
        self.expected: list[int] = []

    def teardown(self) -> None:
        async def end() -> None:
            await self.queue.shut_down()
            tasks = [*self.getters, *(task for task, _ in self.drains)]
            await asyncio.gather(*tasks, return_exceptions=True)

        try:
            self.loop.run_until_complete(end())
        finally:
            self.loop.close()

    def within(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def run() -> T:
            return call(*args, **kwargs)

        return self.loop.run_until_complete(run())

    def model_queue(self, key: int, priority: int) -> None:
        self.entered += 1
        self.queued[key] = (priority, self.entered)

    def model_add(self, key: int, priority: int = 0) -> None:
        if self.stopped:
            return
        if key in self.queued:
            if priority > self.queued[key][0]:
                self.model_queue(key, priority)
            return
        if key in self.processing:
            self.adds += key not in self.dirty
            self.dirty[key] = max(priority, self.dirty.get(key, priority))
        else:
            self.adds += 1
            self.model_queue(key, priority)

    def model_take(self) -> int:
        oldest = next(iter(self.queued))
        if self.turns + 1 >= OLDEST_EVERY:
            key = oldest
        else:
            key = min(self.queued, key=lambda key: (-self.queued[key][0], self.queued[key][1]))
        self.turns = 0 if key == oldest else self.turns + 1
        assert key not in self.processing
        self.processing[key] = self.queued.pop(key)[0]
        self.takes += 1
        return key

    def model_serve(self) -> None:
        """Workers that wait take what is queued."""
        while self.queued and len(self.expected) < len(self.getters):
            self.expected.append(self.model_take())

    def model_release(self, until: float) -> None:
        for moment in sorted({due for due, _, _ in self.due.values() if due <= until}):
            together = [key for key, (due, _, _) in self.due.items() if due == moment]
            for key in sorted(together, key=lambda key: self.due[key][1]):
                self.model_add(key, self.due.pop(key)[2])
            self.model_serve()

    def settle(self) -> None:
        """Let everything that is to happen now happen, and compare what the workers got."""
        self.loop.run_until_complete(turns(6))
        self.model_serve()
        finished = [getter for getter in self.getters if getter.done()]
        self.getters = [getter for getter in self.getters if not getter.done()]
        if self.stopped:
            told_to_end = [getter for getter in finished if isinstance(getter.exception(), StoppedError)]
            finished = [getter for getter in finished if getter not in told_to_end]
            assert not self.getters
        assert Counter(getter.result() for getter in finished) == Counter(self.expected)
        self.expected = []

    @initialize(keys=st.lists(KEYS, max_size=5))
    def begin(self, keys: list[int]) -> None:
        # Without any loop running.
        for key in keys:
            self.queue.add(key)
            self.model_add(key)

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: int, priority: int) -> None:
        self.within(self.queue.add, key, priority=priority)
        self.model_add(key, priority)
        self.settle()

    @rule()
    def get_nowait(self) -> None:
        if self.queued:
            assert self.within(self.queue.get_nowait) == self.model_take()
        else:
            with pytest.raises(StoppedError if self.stopped else asyncio.QueueEmpty):
                self.within(self.queue.get_nowait)

    @rule()
    def wait(self) -> None:
        self.getters.append(self.loop.create_task(self.queue.get()))
        self.settle()

    @precondition(lambda self: self.getters)
    @rule(data=st.data())
    def cancel_a_waiting_worker(self, data: st.DataObject) -> None:
        getter = self.getters.pop(data.draw(st.integers(0, len(self.getters) - 1)))
        getter.cancel()
        self.settle()
        assert getter.cancelled()

    @precondition(lambda self: self.getters)
    @rule(key=KEYS)
    def cancel_the_worker_whose_turn_it_is(self, key: int) -> None:
        def add_and_cancel(getter: asyncio.Task[int]) -> None:
            self.queue.add(key)
            getter.cancel()

        getter = self.getters.pop(0)
        self.within(add_and_cancel, getter)
        self.model_add(key)
        self.settle()
        assert getter.cancelled()

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.within(self.queue.done, key)
        self.model_done(key)

    def model_done(self, key: int) -> None:
        del self.processing[key]
        self.dones += 1
        if key in self.dirty:
            self.model_queue(key, self.dirty.pop(key))
        self.settle()

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.within(self.queue.give_back, key)
        self.adds += key not in self.dirty
        self.dirty[key] = max(self.processing[key], self.dirty.get(key, LOW_PRIORITY))
        self.model_done(key)

    @rule(key=KEYS)
    def done_with_what_nobody_has(self, key: int) -> None:
        if key not in self.processing:
            with pytest.raises(ValueError, match="not being processed"):
                self.within(self.queue.done, key)

    def model_add_after(self, key: int, delay: float, priority: int = 0, replace: bool = False) -> None:
        if self.stopped:
            return
        self.retries += 1
        if replace:
            self.due.pop(key, None)
        if delay <= 0:
            self.model_add(key, priority)
            return
        due = self.loop.time() + delay
        known = self.due.get(key)
        if known is not None and known[0] <= due:
            self.due[key] = (known[0], known[1], max(priority, known[2]))
        else:
            self.entered += 1
            self.due[key] = (due, self.entered, priority if known is None else max(priority, known[2]))

    @rule(key=KEYS, delay=st.integers(-1, 12), priority=PRIORITIES, replace=st.booleans())
    def add_after(self, key: int, delay: int, priority: int, replace: bool) -> None:
        self.within(self.queue.add_after, key, delay, priority=priority, replace=replace)
        self.model_add_after(key, delay, priority, replace)
        self.settle()

    @rule(key=KEYS)
    def cancel_delayed(self, key: int) -> None:
        assert self.within(self.queue.cancel_delayed, key) is (self.due.pop(key, None) is not None)

    @rule(key=KEYS, priority=PRIORITIES)
    def add_rate_limited(self, key: int, priority: int) -> None:
        self.within(self.queue.add_rate_limited, key, priority=priority)
        if not self.stopped:
            self.model_add_after(key, min(8, 2 ** self.failures[key]), priority)
            self.failures[key] += 1

    @rule(key=KEYS)
    def forget(self, key: int) -> None:
        self.within(self.queue.forget, key)
        self.failures[key] = 0

    @rule(seconds=st.integers(1, 20))
    def let_time_pass(self, seconds: int) -> None:
        until = self.loop.time() + seconds
        self.loop.run_until_complete(asyncio.sleep(seconds))
        assert self.loop.time() == until
        self.model_release(until)
        self.settle()

    @precondition(lambda self: self.stopped or len(self.processing) + len(self.queued) > 2)
    @rule(drain=st.booleans())
    def shut_down(self, drain: bool) -> None:
        self.stopped = True
        self.due = {}
        if drain:
            self.drains.append((self.loop.create_task(self.queue.shut_down(drain=True)), [False]))
        else:
            self.loop.run_until_complete(self.queue.shut_down())
            for _, forced in self.drains:
                forced[0] = True
        self.settle()

    @invariant()
    def counts_agree(self) -> None:
        state = " shutting down" if self.stopped else ""
        assert repr(self.queue) == (
            f"<RateLimitingQueue queued={len(self.queued)} processing={len(self.processing)}{state}"
            f" delayed={len(self.due)}>"
        )
        assert self.queue.depth == Counter(priority for priority, _ in self.queued.values())
        for key in range(5):
            assert self.queue.num_requeues(key) == self.failures[key]
            assert self.queue.priority(key) == self.processing.get(key)

    @invariant()
    def what_is_measured_agrees(self) -> None:
        kinds = self.counts.kinds()
        assert (kinds["added"], kinds["finished"], kinds["retried"]) == (self.adds, self.dones, self.retries)
        # What was added before there was a loop has no time of waiting.
        assert self.takes - 5 <= kinds["taken"] <= self.takes

    @invariant()
    def draining_ends_when_all_is_done_or_it_is_forced(self) -> None:
        idle = not self.queued and not self.processing
        for task, forced in self.drains:
            assert task.done() == (idle or forced[0])


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
