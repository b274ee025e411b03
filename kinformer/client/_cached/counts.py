"""The counts of a cached client."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CachedClientStatus", "Counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedClientStatus:
    """The counts of a `CachedClient`; they only grow.

    Attributes:
        from_cache: answers that caches gave, by verb: "get", "list".
        from_server: questions for the server, by the reason why no cache could answer, such as "not covered".
        refused: questions that raised `CacheMissError`.
        waits: times that a question waited until a cache showed a write of this client, or a version.
        started: informers that were started to answer.
        applies_sent: applies that were sent.
        applies_saved: applies that were not sent because nothing would have changed, by reason: "same version",
            "same state", "same fields".
    """

    from_cache: Mapping[str, int]
    from_server: Mapping[str, int]
    refused: int
    waits: int
    started: int
    applies_sent: int
    applies_saved: Mapping[str, int]


@dataclass(eq=False, slots=True)
class Counts:
    """The same counts, as the client changes them. They do not refer to the client, so metrics may keep them."""

    from_cache: dict[str, int] = field(default_factory=lambda: {"get": 0, "list": 0})
    from_server: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    waits: int = 0
    started: int = 0
    applies_sent: int = 0
    applies_saved: Counter[str] = field(default_factory=Counter)

    def status(self) -> CachedClientStatus:
        """Return the counts so far."""
        return CachedClientStatus(
            from_cache=dict(self.from_cache),
            from_server=dict(self.from_server),
            refused=self.refused,
            waits=self.waits,
            started=self.started,
            applies_sent=self.applies_sent,
            applies_saved=dict(self.applies_saved),
        )
