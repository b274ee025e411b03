"""Failures of an informer and of its parts: each is recorded, counted, logged and reported to the listeners."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from kinformer._log_limit import LimitedLog
from kinformer.errors import ForbiddenError, KinformerError, NotFoundError, UnauthorizedError, UnexpectedError
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kinformer.errors import IndexFunctionError, ObjectError
    from kinformer.informer._failure_listeners import FailureListeners
    from kinformer.metrics import Metrics
    from kinformer.status import StatusRecord

__all__ = ["FailureHandling"]

_log = logging.getLogger(__name__)

_REFUSALS: Final = (UnauthorizedError, ForbiddenError, NotFoundError)


class FailureHandling:
    """Knows what to do with each kind of failure.

    Args:
        name: name of the informer.
        record: status of the informer.
        listeners: error callbacks of users.
        metrics: sink that counts failures.

    Attributes:
        refusal: the 401, 403 or 404 that the server has answered before the first list was complete, if any.
        on_refused: called when `refusal` is set.
    """

    def __init__(self, name: str, record: StatusRecord, listeners: FailureListeners[Any], metrics: Metrics) -> None:
        self.refusal: KinformerError | None = None
        self.on_refused: Callable[[], None] = lambda: None
        self.listeners = listeners
        self._name = name
        self._record = record
        self._metrics = metrics
        self._limited = LimitedLog(_log, f"{name}: objects that cannot be used or indexed")

    def of_reflector(self, error: KinformerError, *, synced: bool, of_all: bool) -> None:
        """Handle a failed list or watch. The reflector has recorded and logged it.

        Args:
            error: the failure.
            synced: whether the first list is in the cache.
            of_all: whether a refusal is one of all objects, and not of a part of the scope.
        """
        if not synced and of_all and isinstance(error, _REFUSALS):
            self.refusal = error
            self.on_refused()
        self.listeners.notify(error)

    def of_object(self, error: ObjectError, now: float) -> None:
        """Handle an object that cannot be used. Everything else goes on."""
        self._record.failed(error, now)
        self._metrics.failed(self._name, error)
        self._limited.log(logging.WARNING, "%s: %s", self._name, error)
        self.listeners.notify(error)

    def of_index(self, error: IndexFunctionError, now: float) -> None:
        """Handle an index function that raised: the object is left out of its index."""
        self._record.left_out += 1
        self.of_object(error, now)

    def of_handler(self, handler: str, error: BaseException) -> None:
        """Handle a handler that raised. The handler's task has logged it."""
        self._record.handler_failures += 1
        self._metrics.handler_failed(self._name, handler, error)

    def of_informer(self, error: BaseException, now: float) -> None:
        """Handle a defect of the informer itself, which ends it."""
        self._record.failed(error, now)
        self._record.enter(InformerState.FAILED, now)
        _log.critical("%s: the informer failed by a defect of its own", self._name, exc_info=error)
        failure = UnexpectedError(f"informer {self._name} failed by a defect of its own")
        failure.__cause__ = error
        self._metrics.failed(self._name, failure)
        self.listeners.notify(failure)

    def go_on_after(self, error: KinformerError | None) -> bool:
        """Return whether the informer goes on after its retry budget is spent."""
        return self.listeners.go_on_after(error, self._record.failures)

    @property
    def trouble(self) -> str:
        """Ending for the message of an error: the present failure of the informer, if it has one."""
        record = self._record
        return f"; the informer is failing: {record.last_error}" if record.failures else ""
