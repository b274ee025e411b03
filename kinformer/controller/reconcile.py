"""The results of a reconcile, and the context of the call for it and its log records."""

from __future__ import annotations

import logging
import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["ReconcileContext", "ReconcileLogFilter", "Requeue", "TerminalError", "current_reconcile"]


@dataclass(frozen=True, slots=True)
class Requeue:
    """The result of a reconcile that wants to be called again.

    Args:
        after: seconds to wait; 0 is as soon as a worker is free, without any backoff.
        priority: with which the key comes again; the one it came with when left out.

    Raises:
        ValueError: `after` is negative or not finite.
        TypeError: `priority` is no whole number.

    Examples:
        >>> async def reconcile(key):
        ...     pod = pods.lister.get(key)
        ...     return None if pod is None else Requeue(after=60)
        >>> (await reconcile(ObjectKey("default", "web-0"))).after
        60
    """

    after: float
    priority: int | None = None

    def __post_init__(self) -> None:
        if not (self.after >= 0 and math.isfinite(self.after)):
            msg = f"Requeue(after={self.after}): expected a finite number of seconds, 0 or more"
            raise ValueError(msg)
        if not (self.priority is None or isinstance(self.priority, int)):
            msg = f"Requeue(priority={self.priority!r}): expected a whole number, or None for that of the key"
            raise TypeError(msg)


class TerminalError(Exception):
    """Raised by a reconcile that need not be tried again: it is logged, and the key rests until its next event."""


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """The call of reconcile that is under way.

    Attributes:
        controller: the controller's name.
        key: the key.
        attempt: 1 for the first try since the last success, 2 after one failure, ...
        priority: with which the key was queued.
    """

    controller: str
    key: Hashable
    attempt: int
    priority: int


current_reconcile: Final[ContextVar[ReconcileContext | None]] = ContextVar("kinformer_reconcile", default=None)
"""The reconcile that the running code belongs to, also in tasks it has made; `None` outside of any."""


class ReconcileLogFilter(logging.Filter):
    """Puts `controller`, `key` and `attempt` into each log record made within a reconcile, by any code.

        handler.addFilter(ReconcileLogFilter())
        handler.setFormatter(logging.Formatter("%(levelname)s %(controller)s %(key)s %(message)s"))

    Outside of any reconcile they are "-". It lets every record pass.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        context = current_reconcile.get()
        record.controller = "-" if context is None else context.controller
        record.key = "-" if context is None else str(context.key)
        record.attempt = "-" if context is None else context.attempt
        return True
