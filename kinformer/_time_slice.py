"""One budget of time per turn of the event loop, for all tasks of kinformer together.

A task that always has work never waits, and would never let others have their turn. So each task works in slices.
 The slices of all tasks share one budget: however many informers and handlers are busy, the loop is held for the
budget once per turn, and not once per task. Tasks that find the budget used up wait in a queue, first come first
served.

    time_slice = TimeSlice()
    await time_slice.begin()
    for item in many:
        ...
        if time_slice.over:
            await time_slice.begin()
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

from kinformer._clock import clock_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["DEFAULT_SLICE_SECONDS", "TimeSlice", "give_way", "set_time_slice", "spend_turn"]

DEFAULT_SLICE_SECONDS: Final = 0.0015
"""Seconds per turn of the loop. The task that uses up the budget finishes its step, so that a turn takes some 2 ms."""

# How many of the waiting tasks are woken in one turn. The budget is for as many as it suffices for; the rest waits on.
_WOKEN: Final = 8

# Two steps with less time between them count as steps of one turn, until the next turn shows that they were not.
_REST: Final = 0.001


class _Budget:
    """The budget of one event loop. It holds no reference to the loop, so that it goes with the loop."""

    __slots__ = (
        "__weakref__",
        "fresh",
        "returned",
        "scheduled",
        "seconds",
        "stepped_at",
        "time_slice",
        "until",
        "waiting",
    )

    def __init__(self) -> None:
        self.seconds = DEFAULT_SLICE_SECONDS
        self.until = self.stepped_at = float("-inf")
        self.fresh = True  # in this turn no task has begun yet
        self.scheduled = False
        self.time_slice: TimeSlice | None = None
        self.waiting: deque[asyncio.Future[None]] = deque()
        # Of tasks that were woken in their order, and found that those before them had used up the budget.
        self.returned: deque[asyncio.Future[None]] = deque()

    def admits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a task may go on now. The first task of a turn begins the budget."""
        if not self.fresh:
            return loop.time() < self.until
        # That the turn is over cannot be seen on the clock: a thread that was not scheduled looks like a loop at rest.
        self.fresh = False
        self.until = loop.time() + self.seconds
        if not self.scheduled:
            self.scheduled = True
            loop.call_soon(self.next_turn, loop)
        return True

    def next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn: wake the first of the waiting tasks."""
        self.scheduled = False
        self.fresh = True
        woken = 0
        for queue in (self.returned, self.waiting):
            while queue and woken < _WOKEN:
                waiter = queue.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    woken += 1
        self.wake_later(loop)

    def wake_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that the waiting tasks are woken in the next turn."""
        if (self.waiting or self.returned) and not self.scheduled:
            self.scheduled = True
            loop.call_soon(self.next_turn, loop)


def _no_loop() -> None:
    return None


_budgets: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Budget] = weakref.WeakKeyDictionary()


def _budget_of(loop: asyncio.AbstractEventLoop) -> _Budget:
    budget = _budgets.get(loop)
    if budget is None:
        budget = _budgets[loop] = _Budget()
    return budget


# The loop that asked last, and its time slice, which does not hold it.
_latest: tuple[Callable[[], asyncio.AbstractEventLoop | None], TimeSlice | None] = (_no_loop, None)


class TimeSlice:
    """The part that each task has of the running loop's budget.

    It has no state of its own, so all tasks of a loop have the same one: an informer would hold four of them.

    Attributes:
        clock: the clock of the loop.
    """

    __slots__ = ("_budget", "clock")

    clock: Callable[[], float]
    _budget: _Budget

    def __new__(cls) -> Self:
        """Return the one of the running loop."""
        global _latest  # noqa: PLW0603 - the start of an informer asks seven times, and a weak dict takes 1 µs
        loop = asyncio.get_running_loop()
        known, latest = _latest
        if latest is not None and known() is loop:
            return latest  # type: ignore[return-value]
        budget = _budget_of(loop)
        found = budget.time_slice
        if found is None:
            found = super().__new__(cls)
            found._budget = budget
            found.clock = clock_of(loop)
            if getattr(found.clock, "__self__", None) is not loop:
                # Otherwise it would hold the loop, which could not go: a loop with a clock of its own.
                budget.time_slice = found
        if budget.time_slice is found:
            _latest = (weakref.ref(loop), found)
        return found  # type: ignore[return-value]

    @property
    def over(self) -> bool:
        """True if the budget of this turn is used up; then the task must `begin` again before it goes on."""
        return self.clock() >= self._budget.until

    def begin_step(self, now: float) -> bool:
        """Begin a short step in a callback of the loop, which cannot wait; return whether the budget suffices.

        A loop at rest has nothing else to do, so the first step after a rest does not have to find out when its turn is
        over. That would cost another turn.

        Args:
            now: the loop's time.
        """
        budget = self._budget
        if budget.waiting or budget.returned:
            return False
        if budget.fresh:
            if now - budget.stepped_at < _REST:
                return budget.admits(asyncio.get_running_loop())
            budget.until = now + budget.seconds
            budget.stepped_at = now
            return True
        return now < budget.until

    def end_step(self, now: float) -> None:
        """Note when a step ended; it may be left out after a step of some microseconds.

        Args:
            now: the loop's time.
        """
        self._budget.stepped_at = now

    async def begin(self) -> float:
        """Begin a slice: at once where the budget of this turn suffices, else in a later turn of the loop.

        If cancelled, the task has no slice, and others are not delayed.

        Returns:
            The end of the slice, in the loop's time: to be compared where `over` would cost too much. It is also past
            after a wait for something else, in which the turn has become another.
        """
        budget, loop = self._budget, asyncio.get_running_loop()
        if not budget.waiting and not budget.returned and budget.admits(loop):
            return budget.until
        queue = budget.waiting
        while True:
            waiter = loop.create_future()
            queue.append(waiter)
            budget.wake_later(loop)
            await waiter
            if budget.admits(loop):
                return budget.until
            queue = budget.returned


async def give_way() -> None:
    """End a slice of a fixed size, whatever time it took, and begin the next one.

    Where no event loop runs, and a caller steps through the coroutine by hand, it gives way and nothing more.
    """
    await asyncio.sleep(0)
    try:
        time_slice = TimeSlice()
    except RuntimeError:
        return
    await time_slice.begin()


def spend_turn() -> None:
    """Begin the budget of this turn, if it has not begun, before a step that is not sliced and may use it up.

    Tasks that begin a slice after it then wait for the next turn, so that their slices do not add to the step.
    Where no event loop runs, there are no turns.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    _budget_of(loop).admits(loop)


def set_time_slice(seconds: float) -> None:
    """Set for how long all tasks of kinformer together hold the running event loop, per turn of the loop.

    A smaller budget lets other tasks of the program have their turn earlier; a larger one saves the loop some turns
    while there is a backlog. A single step that takes longer, such as a slow handler, is not interrupted.

    Args:
        seconds: the budget, 0.0015 by default.

    Raises:
        ValueError: the budget is not positive.
        RuntimeError: no event loop runs in this thread.
    """
    if not seconds > 0:
        msg = f"the time slice must be a positive number of seconds, not {seconds!r}"
        raise ValueError(msg)
    _budget_of(asyncio.get_running_loop()).seconds = seconds
