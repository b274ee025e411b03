"""What came lately, remembered in bounded space: two tables, of which the older is dropped when the younger is full.

Nothing has to be counted or given back, and nothing is kept alive for longer than that.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Lately"]

K = TypeVar("K")
V = TypeVar("V")


class Lately(Generic[K, V]):
    """At least the last `size` different keys with their values, at most twice as many."""

    __slots__ = ("_older", "_size", "_younger")

    def __init__(self, size: int) -> None:
        self._size = size
        self._younger: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def get(self, key: K) -> V | None:
        """The value of a key that came lately, which from now on it has done again; else `None`."""
        found = self._younger.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._younger) >= self._size:
            self._older, self._younger = self._younger, {}
        self._younger[key] = value
