"""Counts the uses of informers that exist only while they are in use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.informer._shared_informer import SharedInformer

__all__ = ["Uses"]


@dataclass(slots=True)
class _Count:
    users: int = 0
    until: float = 0.0  # the latest time that a use has asked for
    end: asyncio.TimerHandle | None = None


class Uses:
    """The users of each informer that `SharedInformerFactory.use` has made.

    Args:
        drop: called with an informer after the grace period of its last use.
    """

    def __init__(self, drop: Callable[[SharedInformer], None]) -> None:
        self._drop = drop
        self._counts: dict[SharedInformer, _Count] = {}

    def begin(self, informer: SharedInformer, *, new: bool) -> None:
        """Count one more use. An informer that is neither new nor counted does not end by disuse."""
        if new:
            self._counts[informer] = _Count()
            informer.on_demand = True
        count = self._counts.get(informer)
        if count is not None:
            count.users += 1
            if count.end is not None:
                count.end.cancel()
                count.end = None

    def end(self, informer: SharedInformer, grace: float) -> None:
        """Count one use less. After the last use, drop the informer when the grace of each use is over."""
        count = self._counts.get(informer)
        if count is None:
            return
        loop = asyncio.get_running_loop()
        count.users -= 1
        count.until = max(count.until, loop.time() + grace)
        if not count.users:
            count.end = loop.call_at(count.until, self._over, informer)

    def keep(self, informer: SharedInformer) -> None:
        """Stop counting an informer: a caller has it without an end of use, so it does not end by disuse."""
        count = self._counts.pop(informer, None)
        informer.on_demand = False
        if count is not None and count.end is not None:
            count.end.cancel()

    def close(self) -> None:
        """Drop no informer from now on."""
        for informer in [*self._counts]:
            self.keep(informer)

    def _over(self, informer: SharedInformer) -> None:
        del self._counts[informer]
        self._drop(informer)
