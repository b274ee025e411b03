"""The consequences of a reconcile: the key is done, comes again later, or failed; counts and logs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer._log_limit import LimitedLog
from kinformer._survivable import is_survivable
from kinformer.controller._retry_after import Patience, retry_after_of
from kinformer.controller.status import KeyFailure, in_a_line
from kinformer.metrics import SinkGuard
from kinformer.workqueue import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.controller.reconcile import Requeue
    from kinformer.metrics import ControllerMetrics, FailureCause, ReconcileResult
    from kinformer.workqueue import RateLimitingQueue

__all__ = ["PAUSE_AFTER_BUG", "MisuseError", "Outcomes"]

K = TypeVar("K", bound=Hashable)

# The logger that users know.
_log = logging.getLogger("kinformer.controller")

PAUSE_AFTER_BUG: Final = 1.0
"""Seconds until the next try after a failure of a user's own limiter or queue."""


class MisuseError(TypeError):
    """The reconcile returned something that is not allowed; trying again cannot help."""


class Outcomes(Generic[K]):
    """Draws the consequences of the reconciles of one controller.

    Args:
        name: name of the controller, for logs.
        queue: where keys come again.

    Attributes:
        metrics: notified of each reconcile.
        failing: the keys whose last reconcile failed.
        last_failure: the key that failed last, its error, and the time; `None` if none failed.
        results: number of reconciles by result.
        patience: the keys for which a server has asked for patience.
    """

    def __init__(self, name: str, queue: RateLimitingQueue[K]) -> None:
        self.failing: dict[K, KeyFailure] = {}
        self.last_failure: tuple[K, str, float] | None = None
        self.results: Counter[ReconcileResult] = Counter()
        self.patience: Patience[K] = Patience(queue.release)
        self._metrics: SinkGuard | None = None
        self._name = name
        self._queue = queue
        self._misuse_was_logged = False
        self._limited = LimitedLog(_log, f"controller {name}: failures of reconcile")

    def report_to(self, metrics: ControllerMetrics) -> None:
        """Notify metrics of each reconcile from now on."""
        self._metrics = SinkGuard(metrics)

    @property
    def metrics_failures(self) -> int:
        """Number of times that the metrics of the controller raised."""
        return 0 if self._metrics is None else self._metrics.failures

    def attempt(self, key: K) -> int:
        """Return the number of the next attempt: 1 after a success, 2 after one failure, ..."""
        failure = self.failing.get(key) if self.failing else None
        return 1 if failure is None else failure.failures + 1

    def priority(self, key: K) -> int:
        """Return the priority with which a key was taken."""
        priority = self._queue.priority(key)
        return DEFAULT_PRIORITY if priority is None else priority

    def succeeded(self, key: K, outcome: Requeue | None) -> None:
        """Forget the failures of a key; queue it again if the reconcile asked for that."""
        if self.failing:
            self.failing.pop(key, None)
        if outcome is not None:
            priority = self.priority(key) if outcome.priority is None else outcome.priority
            self._queue.add_after(key, outcome.after, priority=priority)
        self._limit("forget", key, lambda: self._queue.forget(key))

    def failed(self, key: K, how: str, error: BaseException) -> None:
        """Log and keep the failure of a key, and let the key come again."""
        self._note(key, how, error, terminal=False)
        patience = retry_after_of(error)
        priority = self.priority(key)
        if patience:
            self.patience.postpone(key, patience)
        if not self._limit(
            "when", key, lambda: self._queue.add_rate_limited(key, priority=priority, at_least=patience)
        ):
            self._queue.add_after(key, max(PAUSE_AFTER_BUG, patience), priority=priority)

    def failed_for_good(self, key: K, error: BaseException) -> None:
        """Log and keep the failure of a key, which rests until its next event."""
        self._note(key, "failed for good", error, terminal=True)
        self._limit("forget", key, lambda: self._queue.forget(key))

    def misused(self, key: K, error: MisuseError) -> None:
        """Keep a wrong return value as a failure for good; log it once for the controller, without a traceback."""
        self._keep(key, error, terminal=True)
        if not self._misuse_was_logged:
            self._misuse_was_logged = True
            _log.error("controller %s: %s; the key rests until its next event (logged once)", self._name, error)
        self._limit("forget", key, lambda: self._queue.forget(key))

    def count(self, outcome: Requeue | None, cause: FailureCause | None, seconds: float) -> None:
        """Count a reconcile that has ended."""
        result = _result(outcome, cause)
        self.results[result] += 1
        if self._metrics is not None:
            self._metrics.call("reconciled", result, seconds, cause)

    def _note(self, key: K, how: str, error: BaseException, *, terminal: bool) -> None:
        failure = self._keep(key, error, terminal=terminal)
        message = "controller %s: reconcile of %s %s (failure %d)"
        self._limited.log(logging.ERROR, message, self._name, key, how, failure.failures, exc_info=error)

    def _keep(self, key: K, error: BaseException, *, terminal: bool) -> KeyFailure:
        now = asyncio.get_running_loop().time()
        before = self.failing.get(key)
        text = in_a_line(error)
        failures, since = (1, now) if before is None else (before.failures + 1, before.since)
        failure = KeyFailure(failures=failures, error=text, since=since, at=now, terminal=terminal)
        self.failing[key] = failure
        self.last_failure = (key, text, now)
        return failure

    def _limit(self, method: str, key: K, call: Callable[[], None]) -> bool:
        """Call the rate limiter, which may be a user's own; return whether it worked."""
        try:
            call()
        except BaseException as error:
            if not is_survivable(error):
                raise
            message = "controller %s: the rate limiter failed in %s for %s"
            _log.error(message, self._name, method, key, exc_info=error)
            return False
        return True


def _result(outcome: Requeue | None, cause: FailureCause | None) -> ReconcileResult:
    if cause is not None:
        return "error"
    if outcome is None:
        return "success"
    return "requeue_after" if outcome.after > 0 else "requeue"
