"""The status of a controller, for dashboards and health checks."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kinformer._survivable import text_of
from kinformer.status import class_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.metrics import ReconcileResult

__all__ = ["ControllerState", "ControllerStatus", "KeyFailure", "in_a_line"]

K = TypeVar("K", bound=Hashable)

_LONGEST: Final = 300


class ControllerState(enum.StrEnum):
    """The stages in the life of a controller."""

    NEW = "new"
    WAITING_FOR_CACHES = "waiting for caches"
    STANDING_BY = "standing by"
    """Its caches are filled; another replica leads."""
    RUNNING = "running"
    STOPPING = "stopping"
    """It takes no more work; reconciles are under way."""
    STOPPED = "stopped"
    FAILED = "failed"
    """Its workers ended although it was not stopped; `last_error` is the reason, and the log has the traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFailure:
    """A key whose last reconcile failed. Times are the event loop's (`loop.time()`, seconds).

    Attributes:
        failures: number of failures in a row.
        error: the class and text of the last exception, in a line of 300 characters at most; the log has the whole
            text and the traceback.
        since: time of the first of them.
        at: time of the last of them.
        terminal: whether it was a `TerminalError`: the key is not tried again before its next event.
    """

    failures: int
    error: str
    since: float
    at: float
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerStatus(Generic[K]):
    """A controller at one moment. Times are the event loop's (`loop.time()`, seconds).

    Attributes:
        name: the controller's name.
        state: the stage of its life.
        taken_at: time of this status.
        workers: maximum number of reconciles at once.
        depth: number of keys that wait for a worker, by priority.
        delayed: number of keys that wait for their time: a retry, a `Requeue`, events that are to calm down.
        aside: number of keys that wait for a hook of `before_reconcile`, for own writes, or for the time that a server
            has asked for.
        in_progress: the keys being reconciled, and for how many seconds.
        failing: the keys whose last reconcile failed.
        last_error: the last failure, as in `KeyFailure.error`, also when it has been overcome; "" if there was none.
        last_error_key: its key; `None` if there was none.
        last_error_at: its time; `None` if there was none.
        results: number of reconciles by result.
        own_write_waits: number of times that a key had to wait until the caches showed the writes for it.
        own_write_timeouts: number of times that this took too long; reconcile was called with caches that were behind.
        not_ours: number of keys that were dropped because another shard owns them.
        metrics_failures: number of times that metrics of the controller or of its queue raised: their figures may be
            wrong.
    """

    name: str
    state: ControllerState
    taken_at: float
    workers: int
    depth: Mapping[int, int]
    delayed: int
    aside: int
    in_progress: Mapping[K, float]
    failing: Mapping[K, KeyFailure]
    last_error: str
    last_error_key: K | None
    last_error_at: float | None
    results: Mapping[ReconcileResult, int]
    own_write_waits: int
    own_write_timeouts: int
    not_ours: int = 0
    metrics_failures: int = 0

    @property
    def queued(self) -> int:
        """Number of keys that wait for a worker."""
        return sum(self.depth.values())


def in_a_line(error: BaseException) -> str:
    """Return an exception for a table: its class, and the first line of its text."""
    lines = text_of(error).strip().splitlines()
    text = f"{class_of(error)}: {lines[0]}" if lines else class_of(error)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
