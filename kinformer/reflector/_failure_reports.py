"""Reports of a reflector: failures that a retry overcomes, and objects that are left out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kinformer._log_limit import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.errors import KinformerError, ObjectError
    from kinformer.metrics import Metrics
    from kinformer.status import StatusRecord

__all__ = ["FailureReports"]

_log = logging.getLogger(__name__)


class FailureReports:
    """Reports each failure in the status, in the metrics and to a callback.

    It does not know the reflector: a reflector that its own parts lead back to is freed by the collector only.

    Args:
        name: the name in logs and metrics.
        status: the record of the informer.
        metrics: receives the failures.
        on_error: called with every failure; `None` for no callback.
    """

    def __init__(
        self, name: str, status: StatusRecord, metrics: Metrics, on_error: Callable[[KinformerError], None] | None
    ) -> None:
        self._name = name
        self._status = status
        self._metrics = metrics
        self._on_error = on_error
        self._limited = LimitedLog(_log, f"{name}: objects left out")

    def failed(self, error: KinformerError) -> None:
        """Report a failure."""
        self._status.failed(error, asyncio.get_running_loop().time())
        self._metrics.failed(self._name, error)
        if self._on_error is not None:
            self._on_error(error)

    def left_out(self, error: ObjectError) -> None:
        """Report an object that cannot be used, with a log line of limited rate."""
        self._status.left_out += 1
        self._limited.log(logging.WARNING, "%s: left out: %s", self._name, error)
        self.failed(error)
