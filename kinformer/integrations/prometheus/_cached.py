"""The counts of cached clients, of all of them together, as families of Prometheus."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from kinformer.integrations.prometheus._families import counters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from kinformer.metrics import CachedClientCounts

__all__ = ["CachedClientSeries"]


class CachedClientSeries:
    """Sums the counts of cached clients, also of those that were freed."""

    def __init__(self) -> None:
        self._living: set[Any] = set()
        self._reads: Counter[tuple[str, ...]] = Counter()
        self._fetches: Counter[tuple[str, ...]] = Counter()
        self._applies: Counter[tuple[str, ...]] = Counter()
        self._others: Counter[str] = Counter()

    def follow(self, client: object, counts: CachedClientCounts) -> None:
        """Read the counts of a client, until it is freed."""
        self._living.add(counts)
        weakref.finalize(client, self._freed, counts).atexit = False

    def families(self) -> Iterator[Metric]:
        """Yield everything, as it is now."""
        whole = CachedClientSeries()
        whole._reads, whole._fetches = self._reads.copy(), self._fetches.copy()
        whole._applies, whole._others = self._applies.copy(), self._others.copy()
        for counts in [*self._living]:
            whole._add(counts)
        name = "kinformer_cached_client"
        yield counters(f"{name}_answers", "Questions that caches answered.", ("verb",), whole._reads)
        text = "Questions for the API server, because no cache could answer."
        yield counters(f"{name}_fetches", text, ("reason",), whole._fetches)
        text = "Applies: sent, or saved because nothing would have changed."
        yield counters(f"{name}_applies", text, ("result",), whole._applies)
        for count, text in (
            ("refusals", "Questions that no cache could answer, and that raised CacheMissError."),
            ("waits", "Times that a question waited until a cache showed an own write, or a version."),
            ("started_informers", "Informers that were started to answer questions."),
        ):
            number: dict[tuple[str, ...], int] = {(): whole._others[count]}
            yield counters(f"{name}_{count}", text, (), number)

    def _freed(self, counts: CachedClientCounts) -> None:
        self._living.discard(counts)
        self._add(counts)

    def _add(self, counts: CachedClientCounts) -> None:
        for verb, number in counts.from_cache.items():
            self._reads[verb,] += number
        for reason, number in counts.from_server.items():
            self._fetches[reason,] += number
        self._applies["sent",] += counts.applies_sent
        for reason, number in counts.applies_saved.items():
            self._applies[reason,] += number
        self._others["refusals"] += counts.refused
        self._others["waits"] += counts.waits
        self._others["started_informers"] += counts.started
