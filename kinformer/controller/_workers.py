"""The workers of a controller: they take keys from its queue and call reconcile, and go on whatever that does.

queue ──get──▶ hooks: must something happen first? ──no──▶ reconcile(key) ──▶ done, again later, or failed
  ▲                │ yes: put aside, and the worker takes another key
  └── given back ──┘ when it has happened
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from kinformer.controller.reconcile import ReconcileContext, Requeue, TerminalError, current_reconcile
from kinformer.controller.status import KeyFailure, in_a_line
from kinformer.errors import StoppedError
from kinformer.workqueue import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from kinformer._own_writes.gate import WriteGate
    from kinformer.metrics import ControllerMetrics, FailureCause, ReconcileResult
    from kinformer.operators.leader_election import Leadership
    from kinformer.workqueue import RateLimitingQueue

__all__ = ["Hook", "Reconcile", "Workers"]

K = TypeVar("K", bound=Hashable)

# Logs go by the name users know.
_log = logging.getLogger("kinformer.controller")

# Seconds until it is tried again after what must not happen: a limiter or a queue of the user's own that raises.
_PAUSE_AFTER_BUG: Final = 1.0

Reconcile: TypeAlias = Callable[[K], Awaitable[Requeue | None]]
Hook: TypeAlias = Callable[[K], Awaitable[object] | None]


class Workers(Generic[K]):
    """So many workers on one queue.

    Args:
        name: the controller's, for logs and task names.
        queue: where keys come from.
        reconcile: what is called with them.
        count: how many workers.
        timeout: seconds for one reconcile; `None` for no limit.
        gate: holds keys back until the caches show what was written for them.

    Attributes:
        count: as given.
        hooks: asked before each reconcile (`Controller.before_reconcile`).
        metrics: told of each reconcile.
        in_progress: the keys being reconciled, and the loop's time at which that began.
        aside: what is awaited for the keys that were put aside.
        failing: the keys whose last reconcile failed.
        last_failure: the key that failed last, with what, and when.
        results: how many reconciles have ended how.
    """

    def __init__(
        self,
        name: str,
        queue: RateLimitingQueue[K],
        reconcile: Reconcile[K],
        count: int,
        timeout: float | None,
        *,
        gate: WriteGate[K],
    ) -> None:
        self.count = count
        self.hooks: list[Hook[K]] = []
        self.metrics: ControllerMetrics | None = None
        self.in_progress: dict[K, float] = {}
        self.aside: set[asyncio.Task[BaseException | None]] = set()
        self.failing: dict[K, KeyFailure] = {}
        self.last_failure: tuple[K, str, float] | None = None
        self.results: Counter[ReconcileResult] = Counter()
        self._name = name
        self._queue = queue
        self._reconcile = reconcile
        self._timeout = timeout
        self._gate = gate
        self._leadership: Leadership | None = None
        self._runner: asyncio.Task[Any] | None = None
        self._leadership_is_over = False
        # Nothing is begun any more: what is queued is dropped.
        self._discarding = False

    def discard(self) -> None:
        """Begin nothing any more; give up what is aside. What is under way goes on."""
        self._discarding = True
        for task in self.aside:
            task.cancel()

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
        """When leadership is lost, whoever leads next need not wait for us."""
        await leadership.lost()
        busy = len(self.in_progress)
        _log.warning("controller %s: leadership is over; cancelling %d reconciles", self._name, busy)
        self.discard()
        self._leadership_is_over = True
        for worker in workers:
            worker.cancel()

    @property
    def _told_to_end(self) -> bool:
        """Whether a cancellation of a worker comes from us, and not from a reconcile that cancels its own task."""
        return self._leadership_is_over or (self._runner is not None and self._runner.cancelling() > 0)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        # A reconcile may have swallowed the cancellation that was meant for the worker, so it is not waited for.
        while not self._told_to_end:
            try:
                if not await self._work_once(group):
                    return
            except asyncio.CancelledError:
                if self._told_to_end:
                    raise
                _shake_off_cancellation()
                _log.warning("controller %s: a reconcile has cancelled its worker, which goes on", self._name)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # Not a reconcile's: a bug in here or in a queue of the user's own. One must not stop all the others.
                _log.exception("controller %s: a worker failed, and goes on", self._name)
                await asyncio.sleep(_PAUSE_AFTER_BUG)

    async def _work_once(self, group: asyncio.TaskGroup) -> bool:
        """Work on one key; return whether there will be more."""
        try:
            key = await self._queue.get()
        except StoppedError:
            if not self.aside:
                return False
            # The queue is drained, and what is aside will be queued once more.
            await asyncio.wait(self.aside, return_when=asyncio.FIRST_COMPLETED)
            return True
        aside = False
        try:
            if self._discarding or not (self._leadership is None or self._leadership.is_leader):
                return False
            aside = self._put_aside(key, group)
            if not aside:
                await self._process(key)
        finally:
            if not aside:
                self._queue.done(key)
        # With work waiting, and a reconcile that never really waits, nobody else would have a turn.
        await asyncio.sleep(0)
        return True

    def _put_aside(self, key: K, group: asyncio.TaskGroup) -> bool:
        """Ask the hooks; if one of them wants something awaited, have that done, and return whether it is so."""
        for hook in self.hooks:
            try:
                waiting = hook(key)
            except Exception as error:  # noqa: BLE001 - a user's function; logged with its traceback by _failed
                self._failed(key, "failed before it began", error)
                self._queue.done(key)
                return True
            if waiting is not None:
                name = f"kinformer controller {self._name} waits before a reconcile"
                task = group.create_task(self._outcome_of(waiting), name=name)
                self.aside.add(task)
                # Not at the end of the coroutine: that is not reached when the task is cancelled before its first step.
                task.add_done_callback(functools.partial(self._come_back, key, waiting))
                return True
        return False

    async def _outcome_of(self, waiting: Awaitable[object]) -> BaseException | None:
        """What the awaitable raised; our own cancellation excepted."""
        try:
            await waiting
        except Exception as error:  # noqa: BLE001 - a user's awaitable; logged with its traceback by _failed
            return error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error
        return None

    def _come_back(self, key: K, waiting: Awaitable[object], task: asyncio.Task[BaseException | None]) -> None:
        """A key that was put aside is no longer."""
        self.aside.discard(task)
        error = None if task.cancelled() else task.result()
        if task.cancelled():
            if inspect.iscoroutine(waiting):
                waiting.close()
        elif error is None:
            self._queue.give_back(key)
            return
        else:
            self._failed(key, "failed before it began", error)
        self._queue.done(key)

    async def _process(self, key: K) -> None:
        limit = asyncio.timeout(self._timeout)
        outcome: Requeue | None = None
        cause: FailureCause | None = None
        began = self.in_progress[key] = asyncio.get_running_loop().time()
        failure = self.failing.get(key)
        attempt = 1 if failure is None else failure.failures + 1
        token = current_reconcile.set(ReconcileContext(self._name, key, attempt, self._priority(key)))
        try:
            async with limit:
                with self._gate.recording(key):
                    outcome = await self._reconcile(key)
            if not (outcome is None or isinstance(outcome, Requeue)):
                msg = f"reconcile returned a {type(outcome).__name__}; expected None or Requeue(after=...)"
                raise TypeError(msg)  # noqa: TRY301 - a failure of the reconcile like any other
        except TerminalError as error:
            cause = "terminal"
            self._failed(key, "failed for good", error, terminal=True)
        except asyncio.CancelledError as error:
            if self._told_to_end:
                _log.warning("controller %s: reconcile of %s was cancelled", self._name, key)
                raise
            # Not by us: something that the reconcile awaited was cancelled, or it has cancelled its own task.
            _shake_off_cancellation()
            cause = "cancelled"
            self._failed(key, "was cancelled from within", error)
        except Exception as error:  # noqa: BLE001 - a user's reconcile; logged with its traceback by _failed
            cause = "timeout" if limit.expired() else "raised"
            self._failed(key, f"took longer than {self._timeout} s" if limit.expired() else "failed", error)
        else:
            self.failing.pop(key, None)
            if outcome is not None:
                priority = self._priority(key) if outcome.priority is None else outcome.priority
                self._queue.add_after(key, outcome.after, priority=priority)
            self._queue.forget(key)
        finally:
            current_reconcile.reset(token)
            del self.in_progress[key]
        self._count(_result(outcome, cause), asyncio.get_running_loop().time() - began, cause)

    def _count(self, result: ReconcileResult, seconds: float, cause: FailureCause | None) -> None:
        self.results[result] += 1
        if self.metrics is not None:
            try:
                self.metrics.reconciled(result, seconds, cause)
            except Exception:  # noqa: BLE001 - logged with its traceback
                _log.exception("controller %s: its metrics raised", self._name)

    def _priority(self, key: K) -> int:
        priority = self._queue.priority(key)
        return DEFAULT_PRIORITY if priority is None else priority

    def _failed(self, key: K, how: str, error: BaseException, *, terminal: bool = False) -> None:
        """Log and keep what a key failed with, and have the key come again."""
        now = asyncio.get_running_loop().time()
        before = self.failing.get(key)
        text = in_a_line(error)
        failures, since = (1, now) if before is None else (before.failures + 1, before.since)
        self.failing[key] = KeyFailure(failures=failures, error=text, since=since, at=now, terminal=terminal)
        self.last_failure = (key, text, now)
        message = "controller %s: reconcile of %s %s (failure %d)"
        _log.error(message, self._name, key, how, failures, exc_info=error)
        try:
            if terminal:
                self._queue.forget(key)
            else:
                self._queue.add_rate_limited(key, priority=self._priority(key))
        except Exception:  # noqa: BLE001 - logged with its traceback
            # A limiter of the user's own. The key must come again all the same, and the worker go on.
            message = "controller %s: the rate limiter failed; %s comes again in %s s"
            _log.exception(message, self._name, key, _PAUSE_AFTER_BUG)
            self._queue.add_after(key, _PAUSE_AFTER_BUG, priority=self._priority(key))


def _shake_off_cancellation() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _result(outcome: Requeue | None, cause: FailureCause | None) -> ReconcileResult:
    if cause is not None:
        return "error"
    if outcome is None:
        return "success"
    return "requeue_after" if outcome.after > 0 else "requeue"
