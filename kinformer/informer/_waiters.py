"""Those who wait until an object of the cache is as they want it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from kinformer._survivable import is_survivable
from kinformer.errors import UnexpectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["Predicate", "Waiters", "holds"]

Predicate: TypeAlias = Callable[["KubeObject | None"], object]
"""Takes an object, or `None` where there is none; what it returns is true when the wait is over."""


class Waiters:
    """Wakes those who wait as soon as the object they wait for is as they want it.

    Predicates are called with the cache's state at that moment, synchronously, once per change of their object.

    Args:
        look: the object of a key, or `None`.
    """

    def __init__(self, look: Callable[[ObjectKey], KubeObject | None]) -> None:
        self._look = look
        self._waiting: dict[ObjectKey, list[_Waiter]] = {}
        self.absence_counts = False
        """Whether an object that is not there is known to be absent; before the first list, it may just not be yet."""

    def __len__(self) -> int:
        return sum(len(waiters) for waiters in self._waiting.values())

    async def wait(self, key: ObjectKey, predicate: Predicate) -> KubeObject | None:
        """Wait until the predicate holds of the object; returns the object. It is not looked at before `check`.

        Raises:
            Exception: what the predicate raises.
            asyncio.CancelledError: also when `cancel` is called.
        """
        waiter = _Waiter(predicate, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key, []).append(waiter)
        try:
            return await waiter.met
        finally:
            waiters = self._waiting[key]
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[key]

    def check(self, keys: Iterable[ObjectKey]) -> None:
        """These objects have changed: wake those for whom they are right now."""
        for key in {key for key in keys if key in self._waiting}:
            obj = self._look(key)
            if obj is not None or self.absence_counts:
                for waiter in self._waiting[key]:
                    waiter.look_at(obj)

    def check_all(self) -> None:
        """Any object may have changed."""
        self.check(tuple(self._waiting))

    def fail(self, error: Callable[[], BaseException]) -> None:
        """Let all of them fail."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                if not waiter.met.done():
                    waiter.met.set_exception(error())


class _Waiter:
    __slots__ = ("met", "predicate")

    def __init__(self, predicate: Predicate, met: asyncio.Future[KubeObject | None]) -> None:
        self.predicate = predicate
        self.met = met

    def look_at(self, obj: KubeObject | None) -> None:
        if self.met.done():
            return
        try:
            if holds(self.predicate, obj):
                self.met.set_result(obj)
        except Exception as error:  # noqa: BLE001 - a user's function; it fails the wait, and nothing else
            self.met.set_exception(error)


def holds(predicate: Predicate, obj: KubeObject | None) -> bool:
    """Return whether a predicate holds for an object.

    Raises:
        UnexpectedError: the predicate raised an exception that cannot travel through a future, or would look like the
            end of something else: `StopIteration` out of `next(...)`, `CancelledError`, another `BaseException`.
        Exception: any other exception of the predicate.
    """
    try:
        return bool(predicate(obj))
    except BaseException as error:
        if not is_survivable(error):
            raise
        if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
            raise
        msg = f"the predicate raised {type(error).__name__}"
        raise UnexpectedError(msg) from error
