"""How a controller is: what `Controller.status` returns, for dashboards and health checks."""

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
    """Where a controller is in its life."""

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
        failures: how many there were in a row.
        error: the class of the last exception and what it says, in a line of 300 characters at most; the whole of it,
            with its traceback, is in the log.
        since: when the first of them was.
        at: when the last of them was.
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
        state: where it is in its life.
        taken_at: when this status was taken.
        workers: how many reconciles may run at once.
        depth: how many keys wait for a worker, by priority.
        delayed: how many keys wait for their time: a retry, a `Requeue`, events that are to calm down.
        aside: how many keys wait for what `before_reconcile` asked for.
        in_progress: the keys being reconciled, and for how many seconds.
        failing: the keys whose last reconcile failed.
        last_error: what went wrong last, as in `KeyFailure.error`, also when it has been overcome; "" if nothing did.
        last_error_key: with which key; `None` if nothing did.
        last_error_at: when; `None` if nothing did.
        results: how many reconciles have ended how.
        own_write_waits: how often a key had to wait until the caches showed what was written for it.
        own_write_timeouts: how often that took too long, and reconcile was called with caches that were behind.
        not_ours: how many keys were dropped because another shard owns them.
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

    @property
    def queued(self) -> int:
        """How many keys wait for a worker."""
        return sum(self.depth.values())


def in_a_line(error: BaseException) -> str:
    """An exception for a table: its class, and the first line of what it says."""
    lines = text_of(error).strip().splitlines()
    text = f"{class_of(error)}: {lines[0]}" if lines else class_of(error)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
