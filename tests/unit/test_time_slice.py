"""`TimeSlice`: all tasks of kinformer together hold the loop for one budget per turn."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from kinformer import set_time_slice
from kinformer._time_slice import DEFAULT_SLICE_SECONDS, TimeSlice, _budget_of, _budgets, spend_turn

STEP = 0.0005


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on only when a test says so: work has a duration, and waiting has none."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def work(self, seconds: float = STEP) -> None:
        self.now += seconds


def run(main: object) -> None:
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(main)  # type: ignore[arg-type]


async def busy(loop: SteppedLoop, steps: int, done: list[tuple[int, str]], name: str, turns: list[int]) -> None:
    time_slice = TimeSlice()
    await time_slice.begin()
    for _ in range(steps):
        loop.work()
        done.append((turns[0], name))
        if time_slice.over:
            await time_slice.begin()


async def count_turns(turns: list[int]) -> None:
    while True:
        turns[0] += 1
        await asyncio.sleep(0)


@pytest.mark.parametrize("tasks", [1, 2, 20, 100])
def test_many_busy_tasks_hold_the_loop_no_longer_than_one(tasks: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        turns, done = [0], list[tuple[int, str]]()
        async with asyncio.TaskGroup() as group:
            counter = group.create_task(count_turns(turns))
            await asyncio.gather(*(busy(loop, 7, done, str(number), turns) for number in range(tasks)))
            counter.cancel()
        assert len(done) == 7 * tasks, "all of it was done"
        per_turn = [sum(turn == seen for seen, _ in done) for turn in {turn for turn, _ in done}]
        assert max(per_turn) * STEP <= DEFAULT_SLICE_SECONDS + STEP
        # Not needlessly little, either: in the turns between, tasks are woken.
        assert len(per_turn) <= 7 * tasks * STEP / DEFAULT_SLICE_SECONDS + 1

    run(main())


def test_tasks_have_their_turns_in_the_order_in_which_they_asked() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        turns, done = [0], list[tuple[int, str]]()
        await asyncio.gather(*(busy(loop, 9, done, name, turns) for name in "abcdefghijklmnop"))
        order = [name for _, name in done]
        first = [order.index(name) for name in "abcdefghijklmnop"]
        assert first == sorted(first)
        assert order.index("p") < max(at for at, name in enumerate(order) if name == "a")

    run(main())


def test_a_task_that_is_cancelled_while_it_waits_delays_nobody() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        turns, done = [0], list[tuple[int, str]]()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(busy(loop, 4, done, str(number), turns)) for number in range(30)]
            await asyncio.sleep(0)
            for task in tasks[1:29]:
                task.cancel()
        assert [name for _, name in done].count("29") == 4
        assert not _budget_of(loop).waiting

    run(main())


def test_in_a_turn_in_which_no_task_has_begun_one_begins_at_once_and_else_in_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        time_slice = TimeSlice()
        await time_slice.begin()
        # However much time has passed: the thread may not have been scheduled, and the turn is the same.
        loop.work(1.0)
        assert time_slice.over
        turns = [0]
        async with asyncio.TaskGroup() as group:
            counter = group.create_task(count_turns(turns))
            await time_slice.begin()
            assert 1 <= turns[0] <= 2
            await asyncio.sleep(0)
            begun = time_slice.begin()
            with pytest.raises(StopIteration):
                begun.send(None)
            counter.cancel()
        assert not time_slice.over

    run(main())


def test_slices_do_not_add_to_a_long_step_of_their_turn() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        spend_turn()
        loop.work(DEFAULT_SLICE_SECONDS)
        begun = TimeSlice().begin()
        waiter = begun.send(None)  # for the next turn
        assert isinstance(waiter, asyncio.Future)
        await asyncio.wait([waiter])
        with pytest.raises(StopIteration):
            begun.send(None)

    spend_turn()  # no loop, no turn
    run(main())


def test_the_budget_can_be_set_for_a_loop_and_for_no_other() -> None:
    async def main() -> None:
        set_time_slice(0.004)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        time_slice = TimeSlice()
        await time_slice.begin()
        loop.work(0.003)
        assert not time_slice.over
        loop.work(0.003)
        assert time_slice.over

    async def other() -> None:
        assert _budget_of(asyncio.get_running_loop()).seconds == DEFAULT_SLICE_SECONDS

    run(main())
    run(other())
    with pytest.raises(RuntimeError):
        set_time_slice(0.004)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_budget_of_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        set_time_slice(seconds)


def test_a_budget_goes_with_its_loop() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        TimeSlice()
        return weakref.ref(asyncio.get_running_loop())

    with asyncio.Runner() as runner:
        loop = runner.run(main())
        assert loop() in _budgets
    gc.collect()
    assert loop() is None


def test_steps_in_callbacks_share_the_budget_of_their_turn() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        time_slice, turns, done = TimeSlice(), [0], list[int]()

        def step() -> None:
            if time_slice.begin_step(loop.time()):
                loop.work()
                time_slice.end_step(loop.time())
                done.append(turns[0])

        async with asyncio.TaskGroup() as group:
            counter = group.create_task(count_turns(turns))
            await asyncio.sleep(0)
            for _ in range(100):
                loop.call_soon(step)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            counter.cancel()
        assert 1 < len(done) * STEP / DEFAULT_SLICE_SECONDS <= 2, "the first step of a turn does not count"

    run(main())


def test_a_step_after_a_rest_needs_no_turn_of_its_own() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        time_slice = TimeSlice()
        for _ in range(3):
            loop.work(0.01)
            assert time_slice.begin_step(loop.time())
            assert not _budget_of(loop).scheduled
        assert time_slice.begin_step(loop.time())
        assert _budget_of(loop).scheduled

    run(main())


def test_a_step_lets_tasks_that_wait_go_first() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        time_slice = TimeSlice()
        await time_slice.begin()
        loop.work(1.0)
        waiting = loop.create_task(TimeSlice().begin())
        await asyncio.sleep(0)
        loop.work(1.0)
        assert not time_slice.begin_step(loop.time())
        await waiting

    run(main())


def test_the_tasks_of_a_loop_share_one_slice_and_the_loop_goes_all_the_same() -> None:
    async def slices() -> tuple[TimeSlice, TimeSlice]:
        return TimeSlice(), TimeSlice()

    with asyncio.Runner() as runner:
        one, other = runner.run(slices())
        assert one is other
        loop = weakref.ref(runner.get_loop())
    del runner
    gc.collect()
    assert loop() is None


def test_loops_that_take_turns_have_each_its_own_slice() -> None:
    async def present() -> TimeSlice:
        return TimeSlice()

    with asyncio.Runner() as one, asyncio.Runner() as other:
        firsts = one.run(present()), other.run(present())
        assert firsts[0] is not firsts[1]
        assert (one.run(present()), other.run(present())) == firsts
