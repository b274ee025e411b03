"""The lowest version of all parts of a scope, kept while each part moves on by itself. Pure."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["HasVersion", "LowestVersion"]

SPARE_ENTRIES: Final = 64
"""Number of entries of closed parts above which, if they are also the majority, they are thrown out."""


class HasVersion(Protocol):
    """A part that has reached a version."""

    @property
    def version(self) -> int:
        """The version; 0 before the first list."""
        ...


class LowestVersion:
    """The lowest version of those parts that have listed.

    A heap has an entry for each part. An entry may be too low, but never too high. So it costs nothing that a part
    moves on: its entry is corrected when it has become the lowest one. The time for `version` is logarithmic in the
    number of parts, on the average over all moves.

    Args:
        parts: the parts that count; the owner adds and removes them.
    """

    __slots__ = ("_entries", "_numbers", "_parts")

    def __init__(self, parts: Collection[HasVersion]) -> None:
        self._parts = parts
        self._entries: list[tuple[int, int, HasVersion]] = []
        self._numbers = itertools.count()

    @property
    def version(self) -> int:
        """The lowest version; 0 if no part has listed."""
        entries, parts = self._entries, self._parts
        while entries:
            version, number, part = entries[0]
            if part not in parts or not part.version:
                heapq.heappop(entries)
            elif version != part.version:
                heapq.heapreplace(entries, (part.version, number, part))
            else:
                return version
        return 0

    def moved(self, part: HasVersion, before: int) -> None:
        """Record that a part has reached another version than before."""
        if 0 < before <= part.version:
            return
        if part.version < before or len(self._entries) > 2 * len(self._parts) + SPARE_ENTRIES:
            # After a restore of the cluster the entry is too high.
            self._entries = [(one.version, next(self._numbers), one) for one in self._parts if one.version]
            heapq.heapify(self._entries)
        elif part.version:
            heapq.heappush(self._entries, (part.version, next(self._numbers), part))
