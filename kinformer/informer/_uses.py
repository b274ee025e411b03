"""Counts the users of informers that exist for as long as they are used."""

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
    end: asyncio.TimerHandle | None = None


class Uses:
    """The users of each informer that `SharedInformerFactory.use` has made.

    Args:
        drop: called with an informer that has had no user for as long as its last user allowed.
    """

    def __init__(self, drop: Callable[[SharedInformer], None]) -> None:
        self._drop = drop
        self._counts: dict[SharedInformer, _Count] = {}

    def begin(self, informer: SharedInformer, *, new: bool) -> None:
        """Count one user more. An informer that is not new and not counted stays uncounted: it lives on anyway."""
        if new:
            self._counts[informer] = _Count()
        count = self._counts.get(informer)
        if count is not None:
            count.users += 1
            if count.end is not None:
                count.end.cancel()
                count.end = None

    def end(self, informer: SharedInformer, grace: float) -> None:
        """Count one user less. After the last one, drop the informer in `grace` seconds."""
        count = self._counts.get(informer)
        if count is None:
            return
        count.users -= 1
        if not count.users:
            count.end = asyncio.get_running_loop().call_later(grace, self._over, informer)

    def keep(self, informer: SharedInformer) -> None:
        """Let an informer live on without users: a caller asked for it without saying when the use ends."""
        count = self._counts.pop(informer, None)
        if count is not None and count.end is not None:
            count.end.cancel()

    def close(self) -> None:
        """Drop nothing any more."""
        for informer in [*self._counts]:
            self.keep(informer)

    def _over(self, informer: SharedInformer) -> None:
        del self._counts[informer]
        self._drop(informer)
