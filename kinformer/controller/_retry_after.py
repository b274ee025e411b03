"""Obeys servers that ask for patience: a key that failed waits for as long as the server asked.

429 and 503 come with `Retry-After` (RFC 9110, section 10.2.3). The error of such an answer has `retry_after`, in
seconds. The reconcile may have wrapped it; so its causes and the members of exception groups are searched as well.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from kinformer._survivable import is_survivable
from kinformer.errors import MAX_RETRY_AFTER, ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Patience", "retry_after_of"]

_log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


def retry_after_of(error: BaseException) -> float:
    """Return the longest wait, in seconds, that an `ApiError` in an exception asks for; 0 if none asks.

    The exception itself, its `__cause__`, its `__context__` and the members of groups are searched. The result is
    `MAX_RETRY_AFTER` at most.
    """
    longest = 0.0
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        current = left.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, ApiError) and current.retry_after and math.isfinite(current.retry_after):
            longest = max(longest, current.retry_after)
        if isinstance(current, BaseExceptionGroup):
            left.extend(current.exceptions)
        left += [current.__cause__, current.__context__]
    return min(longest, MAX_RETRY_AFTER)


class Patience(Generic[K]):
    """The keys that must not be reconciled before the time that a server asked for, whatever brings them back.

    Args:
        release: called with a key whose time has come, if `must_wait` returned true for it.
    """

    def __init__(self, release: Callable[[K], None]) -> None:
        self._release_key = release
        self._until: dict[K, float] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._until)

    def postpone(self, key: K, seconds: float) -> None:
        """Let a key wait for so many seconds from now."""
        self._until[key] = max(asyncio.get_running_loop().time() + seconds, self._until.get(key, 0.0))

    def must_wait(self, key: K) -> bool:
        """Return whether a key has to wait; if so, `release` is called when its time has come."""
        until = self._until.get(key)
        if until is None:
            return False
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            self._forget(key)
            return False
        if key not in self._timers:
            self._timers[key] = loop.call_at(until, self._release, key)
        return True

    def close(self) -> None:
        """Release all keys. A key whose `__hash__` or `__eq__` raises by now is dropped, and holds up no other."""
        timers = [*self._timers.values()]
        for key in [*self._until]:
            try:
                self._release(key)
            except BaseException as error:
                if not is_survivable(error):
                    raise
                _log.exception("a key that waits for a server is dropped: its __hash__ or __eq__ raises")
        for timer in timers:
            timer.cancel()
        self._until.clear()
        self._timers.clear()

    def _release(self, key: K) -> None:
        if self._forget(key):
            self._release_key(key)

    def _forget(self, key: K) -> bool:
        """Drop a key; return whether it was waiting."""
        self._until.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return timer is not None
