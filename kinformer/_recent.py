"""A bounded cache of recent entries, in two generations: when the younger one is full, the older one is dropped.

No entry has to be counted or given back, and the cache keeps no entry alive for longer than two generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MadeOnce", "RecentCache"]

K = TypeVar("K")
V = TypeVar("V")


class RecentCache(Generic[K, V]):
    """Holds at least the `size` keys that were used last, with their values, and at most twice as many."""

    __slots__ = ("_older", "_size", "_younger")

    def __init__(self, size: int) -> None:
        self._size = size
        self._younger: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        """Return the number of entries; a key in both generations counts twice."""
        return len(self._younger) + len(self._older)

    def get(self, key: K) -> V | None:
        """Return the value of a key, which makes it a recent one; `None` if there is none."""
        found = self._younger.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        if len(self._younger) >= self._size:
            self._older, self._younger = self._younger, {}
        self._younger[key] = value

    def get_or_make(self, key: K, make: Callable[[K], V]) -> V:
        """Return the value of a key; make and keep it if there is none. An exception of `make` changes nothing.

        A value of `None` is made again each time.
        """
        found = self._younger.get(key)
        if found is None:
            found = self._older.get(key)
            if found is None:
                found = make(key)
            self.put(key, found)
        return found


class MadeOnce(dict[K, V]):
    """Values that are made when they are first read. `made[key]` calls no Python function for a known key.

    It keeps at least the `size` keys that were made last, and at most twice as many. A value of `None` is kept as any
    other. An exception of `make` changes nothing.
    """

    __slots__ = ("_make", "_older", "_size")

    def __init__(self, size: int, make: Callable[[K], V]) -> None:
        super().__init__()
        self._size = size
        self._make = make
        self._older: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        """Take the value from the older generation, or make it."""
        found = self._older.get(key, self)
        value: V = self._make(key) if found is self else found  # type: ignore[assignment]
        if len(self) >= self._size:
            self._older = dict(self)
            self.clear()
        self[key] = value
        return value
