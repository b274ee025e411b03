"""Builds indexes that were added to a full cache, in time slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer._time_slice import TimeSlice

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from kinformer.cache._informer_indexer import InformerIndexer

__all__ = ["IndexBuild"]

_STEP: Final = 16
"""Objects that are indexed between two reads of the clock: some 70 µs with a usual function."""


class IndexBuild:
    """Indexes that were added to a full cache. Awaiting it waits until every object is indexed.

    The awaiting task takes part in the work, so it also ends when the informer has stopped.
    """

    __slots__ = ("_indexer", "_names")

    def __init__(self, indexer: InformerIndexer, names: Sequence[str]) -> None:
        self._indexer = indexer
        self._names = names

    def __await__(self) -> Generator[object, None, None]:
        return self.run().__await__()

    async def run(self) -> None:
        """Index the objects of the cache, in time slices."""
        time_slice: TimeSlice | None = None
        for name in self._names:
            while self._indexer.index_some(name, _STEP):
                if time_slice is None:
                    time_slice = TimeSlice()
                if time_slice.over:
                    await time_slice.begin()
