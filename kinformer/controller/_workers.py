"""The workers of a controller: they take keys from its queue, call reconcile, and go on whatever that does.

queue ──get──▶ hooks: must something happen first? ──no──▶ reconcile(key) ──▶ done, again later, or failed
  ▲                │ yes: put aside, and the worker takes another key
  └── given back ──┘ when it has happened
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from kinformer._survivable import is_survivable
from kinformer.controller._before_reconcile import BeforeReconcile
from kinformer.controller._outcomes import PAUSE_AFTER_BUG, MisuseError, Outcomes
from kinformer.controller.reconcile import ReconcileContext, Requeue, TerminalError, current_reconcile
from kinformer.errors import StoppedError
from kinformer.workqueue._faulty_keys import removed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kinformer.controller._ownership import Ownership
    from kinformer.metrics import FailureCause
    from kinformer.operators.leadership import Leadership
    from kinformer.workqueue import RateLimitingQueue

__all__ = ["Reconcile", "Workers"]

K = TypeVar("K", bound=Hashable)

# The logger that users know.
_log = logging.getLogger("kinformer.controller")

_DROPS_PER_TURN = 100
"""Number of keys of other replicas that a worker drops before other tasks have a turn."""

Reconcile: TypeAlias = Callable[[K], Awaitable[Requeue | None]]


class Workers(Generic[K]):
    """A fixed number of workers on one queue.

    Args:
        name: name of the controller, for logs and tasks.
        queue: where keys come from.
        reconcile: called with the keys.
        count: number of workers.
        timeout: seconds for one reconcile; `None` for no limit.
        recording: returns a context in which the writes of the body belong to a key.
        ownership: which keys belong to this replica.

    Attributes:
        count: as given.
        before: the hooks before a reconcile, and the keys that wait for them.
        outcomes: the consequences of reconciles.
        in_progress: the keys being reconciled, and the loop's time at which that began.
    """

    def __init__(
        self,
        name: str,
        queue: RateLimitingQueue[K],
        reconcile: Reconcile[K],
        count: int,
        timeout: float | None,
        *,
        recording: Callable[[K], AbstractContextManager[None]],
        ownership: Ownership[K],
    ) -> None:
        self.count = count
        self.outcomes: Outcomes[K] = Outcomes(name, queue)
        self.before: BeforeReconcile[K] = BeforeReconcile(name, queue, self.outcomes)
        self.before.hooks.append(ownership.unknown)
        self.in_progress: dict[K, float] = {}
        self._name = name
        self._queue = queue
        self._reconcile = reconcile
        self._timeout = timeout
        self._recording = recording
        self._ownership = ownership
        self._leadership: Leadership | None = None
        self._runner: asyncio.Task[Any] | None = None
        self._leadership_is_over = False
        # No reconcile begins any more: queued keys are dropped.
        self._discarding = False
        self._limits: dict[K, asyncio.Timeout] = {}
        self._revoked: set[K] = set()
        self._drops = 0

    def seconds_in_progress(self, now: float) -> dict[K, float]:
        """Return the keys that are being reconciled, and for how many seconds.

        A key whose `__hash__` or `__eq__` raises by now is left out.
        """
        found: dict[K, float] = {}
        for key, began in self.in_progress.items():
            try:
                found[key] = now - began
            except BaseException as error:
                if not is_survivable(error):
                    raise
        return found

    def revoke(self, key: K) -> None:
        """Cancel the reconcile of a key that does not belong to this replica any more; it is no failure of the key."""
        limit = self._limits.get(key)
        if limit is not None and key not in self._revoked:
            self._revoked.add(key)
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    def discard(self) -> None:
        """Begin no reconcile any more and cancel the waits of hooks. Reconciles under way go on."""
        self._discarding = True
        self.before.cancel()

    async def run(self, leadership: Leadership | None = None) -> None:
        """Work until the queue was shut down and is empty, or leadership is lost, or this is cancelled."""
        self._leadership = leadership
        self._runner = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            name = f"kinformer controller {self._name}"
            workers = [
                group.create_task(self._work(group), name=f"{name} worker {number}") for number in range(self.count)
            ]
            if leadership is not None:
                watch = group.create_task(self._lead(leadership, workers), name=f"{name} leads")
                await asyncio.wait(workers)
                watch.cancel()

    async def _lead(self, leadership: Leadership, workers: list[asyncio.Task[None]]) -> None:
        """Cancel the workers when leadership is lost, so that the next leader need not wait for them."""
        try:
            await leadership.lost()
        except BaseException as error:
            if not is_survivable(error):
                raise
            _log.error("controller %s: the leadership cannot be watched any more", self._name, exc_info=error)
        busy = len(self.in_progress)
        _log.warning("controller %s: leadership is over; cancelling %d reconciles", self._name, busy)
        self.discard()
        self._leadership_is_over = True
        for worker in workers:
            worker.cancel()

    @property
    def _must_end(self) -> bool:
        """True if a cancellation of a worker is ours, and not that of a reconcile that cancels its own task."""
        return self._leadership_is_over or (self._runner is not None and self._runner.cancelling() > 0)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        # A reconcile may have swallowed the cancellation of the worker; so the flag is checked, too.
        while not self._must_end:
            try:
                if not await self._work_once(group):
                    return
            except asyncio.CancelledError:
                if self._must_end:
                    raise
                _drop_cancellations()
                _log.warning("controller %s: a reconcile has cancelled its worker, which goes on", self._name)
            except BaseException as error:
                if not is_survivable(error):
                    raise
                # Not of a reconcile: a defect in here or in a user's own queue. The other workers must go on.
                # A failure of one key, such as of its `__hash__`, does not hold up the next key.
                _log.error("controller %s: a worker failed, and goes on", self._name, exc_info=error)
                await asyncio.sleep(0)

    async def _next_key(self) -> K:
        """Return the next key of the queue. After a failure of the queue, pause before the error is raised."""
        try:
            return await self._queue.get()
        except StoppedError:
            raise
        except BaseException as error:
            if is_survivable(error):
                await asyncio.sleep(PAUSE_AFTER_BUG)
            raise

    async def _work_once(self, group: asyncio.TaskGroup) -> bool:
        """Work on one key; return whether more may come."""
        try:
            key = await self._next_key()
        except StoppedError:
            if not self.before.waits:
                return False
            # The queue is drained, and a key that waits for a hook will be queued once more.
            await asyncio.wait(self.before.waits, return_when=asyncio.FIRST_COMPLETED)
            return True
        aside = False
        try:
            if self._discarding or not (self._leadership is None or self._leadership.is_leader):
                return False
            if self._ownership.drops(key):
                self._queue.forget(key)
                self._drops += 1
                if self._drops % _DROPS_PER_TURN == 0:
                    await asyncio.sleep(0)
                return True
            aside = self.before.put_aside(key, group)
            if not aside:
                await self._process(key)
        finally:
            if not aside:
                self._queue.done(key)
        # With work waiting, and a reconcile that never really waits, no other task would have a turn.
        await asyncio.sleep(0)
        return True

    async def _process(self, key: K) -> None:
        limit = asyncio.timeout(self._timeout)
        outcomes = self.outcomes
        outcome: Requeue | None = None
        cause: FailureCause | None = None
        began = self.in_progress[key] = asyncio.get_running_loop().time()
        context = ReconcileContext(self._name, key, outcomes.attempt(key), outcomes.priority(key))
        token = current_reconcile.set(context)
        try:
            async with limit:
                self._limits[key] = limit
                self._ownership.begins(key)
                with self._recording(key):
                    outcome = await self._called(key)
        except TerminalError as error:
            cause = "terminal"
            outcomes.failed_for_good(key, error)
        except MisuseError as error:
            cause = "terminal"
            outcomes.misused(key, error)
        except asyncio.CancelledError as error:
            if self._must_end:
                _log.warning("controller %s: reconcile of %s was cancelled", self._name, key)
                raise
            # Something that the reconcile awaited was cancelled, or it has cancelled its own task.
            _drop_cancellations()
            cause = "cancelled"
            outcomes.failed(key, "was cancelled from within", error)
        except BaseException as error:
            if not is_survivable(error):
                raise
            if key in self._revoked:
                cause = "cancelled"
                _log.warning("controller %s: reconcile of %s was cancelled: its slice was lost", self._name, key)
                # If the slice comes back, the work is to be done; else the key is dropped when it is taken.
                self._queue.add(key, priority=outcomes.priority(key))
                return
            cause = "timeout" if limit.expired() else "raised"
            outcomes.failed(key, f"took longer than {self._timeout} s" if limit.expired() else "failed", error)
        else:
            if not self._revoked or key not in self._revoked:
                outcomes.succeeded(key, outcome)
                self._ownership.ended_well(key)
        finally:
            current_reconcile.reset(token)
            removed(self.in_progress, key)
            removed(self._limits, key)
            if self._revoked:
                self._revoked.discard(key)
            self._ownership.ended(key)
        outcomes.count(outcome, cause, asyncio.get_running_loop().time() - began)

    async def _called(self, key: K) -> Requeue | None:
        """Call reconcile and check the result."""
        call: Any = self._reconcile(key)
        if not inspect.isawaitable(call):
            msg = (
                f"reconcile is a plain function and returned a {type(call).__name__}; write `async def reconcile(key)`"
            )
            raise MisuseError(msg)
        outcome: Any = await call
        if outcome is None or isinstance(outcome, Requeue):
            return outcome
        if inspect.iscoroutine(outcome):
            outcome.close()
        msg = f"reconcile returned a {type(outcome).__name__}; expected None or Requeue(after=...)"
        raise MisuseError(msg)


def _drop_cancellations() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
