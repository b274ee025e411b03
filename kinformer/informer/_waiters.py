"""Calls that wait until a predicate holds for an object of the cache."""

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
"""Takes an object, or `None` if it does not exist; returns a true value if the wait is over."""


class Waiters:
    """Ends each wait as soon as its predicate holds for its object.

    Predicates are called synchronously, once per change of their object, with the state of the cache at that moment.

    Args:
        look: returns the object of a key, or `None`.
    """

    def __init__(self, look: Callable[[ObjectKey], KubeObject | None]) -> None:
        self._look = look
        self.waiting: dict[ObjectKey, list[_Waiter]] = {}
        """The waits, by the key of their object."""
        self.absence_counts = False
        """True once the cache has synced. Before that, an object that is not in the cache may exist all the same."""

    def __len__(self) -> int:
        return sum(len(waiters) for waiters in self.waiting.values())

    async def wait(self, key: ObjectKey, predicate: Predicate) -> KubeObject | None:
        """Wait until the predicate holds for the object; return the object. The first test is at the next `check`.

        Raises:
            Exception: the exception of the predicate.
            asyncio.CancelledError: also when `cancel` is called.
        """
        waiter = _Waiter(predicate, asyncio.get_running_loop().create_future())
        self.waiting.setdefault(key, []).append(waiter)
        try:
            return await waiter.met
        finally:
            waiters = self.waiting[key]
            waiters.remove(waiter)
            if not waiters:
                del self.waiting[key]

    def check(self, keys: Iterable[ObjectKey]) -> None:
        """Test the predicates of objects that have changed, and end each wait whose predicate holds."""
        for key in {key for key in keys if key in self.waiting}:
            obj = self._look(key)
            if obj is not None or self.absence_counts:
                for waiter in self.waiting[key]:
                    waiter.look_at(obj)

    def check_all(self) -> None:
        """Test the predicates of all objects."""
        self.check(tuple(self.waiting))

    def fail(self, error: Callable[[], BaseException]) -> None:
        """End every wait with an error."""
        for waiters in self.waiting.values():
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
        except Exception as error:  # noqa: BLE001 - a user's function; only this wait fails
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
