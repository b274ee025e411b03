"""Error callbacks of an informer, and the callback that decides whether it gives up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from kinformer._callables import check_function
from kinformer._log_limit import LimitedLog
from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.errors import KinformerError

__all__ = ["FailureListeners"]

I = TypeVar("I")  # noqa: E741 - an informer

OnError: TypeAlias = "Callable[[KinformerError, I], object]"
OnGiveUp: TypeAlias = "Callable[[KinformerError | None, I], object]"

# The logger of the informer: a reader of the log looks for its name.
_log = logging.getLogger("kinformer.informer._shared_informer")


class FailureListeners(Generic[I]):
    """Calls functions of users. If one raises, that is logged, and the informer goes on.

    Args:
        informer: the informer, passed to each function.
        name: name of the informer, for the log.
        on_error: first function to call with each failure.
        on_give_up: function that returns whether to go on; without it the informer gives up.
    """

    def __init__(self, informer: I, name: str, on_error: OnError[I] | None, on_give_up: OnGiveUp[I] | None) -> None:
        if on_error is not None:
            check_function("on_error", on_error, "error", "informer")
        if on_give_up is not None:
            check_function("on_give_up", on_give_up, "error", "informer")
        self._informer = informer
        self._name = name
        self._on_error: tuple[OnError[I], ...] = () if on_error is None else (on_error,)
        self._on_give_up = on_give_up
        self._limited = LimitedLog(_log, f"{name}: failures of on_error")

    def add(self, on_error: OnError[I]) -> Callable[[], None]:
        """Add a function to call with each failure; return a function that removes it."""
        check_function("on_error", on_error, "error", "informer")
        self._on_error = (*self._on_error, on_error)

        def remove() -> None:
            left = [*self._on_error]
            if on_error in left:
                left.remove(on_error)
                self._on_error = tuple(left)

        return remove

    def notify(self, error: KinformerError) -> None:
        """Call every error function with a failure."""
        for on_error in self._on_error:
            try:
                on_error(error, self._informer)
            except BaseException as raised:  # a user's function; the informer goes on
                if not is_survivable(raised):
                    raise
                self._limited.log(logging.ERROR, "%s: on_error raised", self._name, exc_info=raised)

    def go_on_after(self, error: KinformerError | None, failures: int) -> bool:
        """Return whether `on_give_up` wants another attempt after this many failures in a row."""
        go_on = False
        if self._on_give_up is not None:
            try:
                go_on = bool(self._on_give_up(error, self._informer))
            except BaseException as raised:  # a user's function; no answer means no
                if not is_survivable(raised):
                    raise
                _log.exception("%s: on_give_up raised", self._name)
        if not go_on:
            _log.error("%s: giving up after %s failures in a row: %s", self._name, failures, error)
        return go_on
