"""Informers and their handlers as series: read from their status at the moment of a scrape.

Counters never go back. What an informer had counted when it ended is kept under its name, and an informer that takes
its place goes on from there. Informers of the same name (of two factories, say) are added up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias

from kinformer.errors import DecodeError, IndexFunctionError, TransformError
from kinformer.informer.registration import CATCH_UP_BUCKETS
from kinformer.integrations.prometheus._families import counters, gauges, histograms
from kinformer.metrics import Histogram
from kinformer.status import Health, InformerState, health_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from kinformer.informer import SharedInformer

__all__ = ["LIST_BUCKETS", "InformerSeries"]

LIST_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, from a few objects on loopback to a large cluster that is slow."""

_LEFT_OUT: Final = (DecodeError.__name__, TransformError.__name__, IndexFunctionError.__name__)

_Totals: TypeAlias = "Counter[tuple[str, ...]]"

_COUNTERS: Final = {
    "changes": ("Objects added to, updated in and deleted from the cache; handlers are called for these.", ("type",)),
    "watch_events": ("Events that watches brought, also those that changed nothing.", ()),
    "lists": ("Lists finished, by why they were made.", ("reason",)),
    "watches": ("Watches the API server answered.", ()),
    "watch_ends": (
        "Watches that ended: closed by the server, interrupted by us, or the class of the error.",
        ("reason",),
    ),
    "errors": ("Errors met, also those that were overcome by themselves, by class.", ("error",)),
    "left_out": ("Objects that could not be decoded, transformed or indexed, by the class of the error.", ("error",)),
    "foreign_events": ("Objects and events of other shards that the API server has sent.", ()),
}


class InformerSeries:
    """All informers, by name."""

    def __init__(self) -> None:
        self._live: dict[int, SharedInformer] = {}
        self._ended: defaultdict[str, _Totals] = defaultdict(Counter)
        self._shown: defaultdict[str, _Totals] = defaultdict(Counter)
        self._lists: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LIST_BUCKETS))

    def started(self, informer: SharedInformer) -> None:
        """Read an informer from now on."""
        self._live[id(informer)] = informer

    def stopped(self, informer: SharedInformer) -> None:
        """Keep the counts of an informer, and release the informer."""
        if self._live.pop(id(informer), None) is not None:
            self._ended[informer.name].update(_totals_of(informer))

    def listed(self, name: str, seconds: float) -> None:
        """A list took so long."""
        self._lists[name].observe(seconds)

    def families(self) -> Iterator[Metric]:
        """Everything, as it is now."""
        live = [*self._live.values()]
        yield from _state(live)
        totals = {name: Counter(ended) for name, ended in [*self._ended.items()]}
        for informer in live:
            totals.setdefault(informer.name, Counter()).update(_totals_of(informer))
        for name, counted in totals.items():
            shown = self._shown[name]
            for key, count in counted.items():
                # Read beside a blocked loop, parts may not fit together; a counter that goes back looks like a restart.
                shown[key] = max(count, shown[key])
        for family, (text, labels) in _COUNTERS.items():
            yield counters(
                f"kinformer_informer_{family}",
                text,
                ("informer", *labels),
                {
                    (name, *key[1:]): count
                    for name in totals
                    for key, count in self._shown[name].items()
                    if key[0] == family
                },
            )
        yield histograms(
            "kinformer_informer_list_duration_seconds",
            "How long lists took, from the request until the last object was queued.",
            ("informer",),
            {(name,): duration for name, duration in [*self._lists.items()]},
        )
        yield from _handlers(live)


def _totals_of(informer: SharedInformer) -> _Totals:
    """Return the counts of an informer, by family and label."""
    status = informer.status
    totals: _Totals = Counter(
        {
            ("watch_events",): status.events,
            ("watches",): status.watches,
            ("foreign_events",): status.foreign_events,
        }
    )
    for family, counted in (
        ("changes", status.changes._asdict()),
        ("lists", status.lists),
        ("watch_ends", status.watch_ends),
        ("errors", status.errors),
        ("left_out", {error: status.errors.get(error, 0) for error in _LEFT_OUT}),
    ):
        for label, count in counted.items():
            totals[family, label] = count
    return totals


def _state(live: list[SharedInformer]) -> Iterator[Metric]:
    """Yield the present state; for informers of one name the sum, or the worst."""
    objects: Counter[tuple[str, ...]] = Counter()
    pending: Counter[tuple[str, ...]] = Counter()
    whole: Counter[tuple[str, ...]] = Counter()
    stored: Counter[tuple[str, ...]] = Counter()
    states: Counter[tuple[str, ...]] = Counter()
    healths: Counter[tuple[str, ...]] = Counter()
    shardings: Counter[tuple[str, ...]] = Counter()
    synced: dict[tuple[str, ...], float] = {}
    versions: dict[tuple[str, ...], float] = {}
    silences: dict[tuple[str, ...], float] = {}
    failures: dict[tuple[str, ...], float] = {}
    for informer in live:
        status = informer.status
        key = (informer.name,)
        objects[key] += status.objects
        pending[key] += informer.pending
        whole[key] += status.storage.json_bytes
        stored[key] += status.storage.stored_bytes + status.storage.dictionary_bytes
        for state in InformerState:
            states[informer.name, state.value] += state is status.state
        for health in Health:
            healths[informer.name, health.value] += health is health_of(status)
        if status.sharding:
            for sharding in ("server", "here", "unknown"):
                shardings[informer.name, sharding] += sharding == status.sharding
        synced[key] = min(synced.get(key, 1.0), float(status.has_synced))
        failures[key] = max(failures.get(key, 0.0), status.failures)
        if status.resource_version.isdecimal():
            version = float(status.resource_version)
            versions[key] = min(versions.get(key, version), version)
        if status.silent_for is not None:
            silences[key] = max(silences.get(key, 0.0), status.silent_for)
    one = ("informer",)
    name = "kinformer_informer"
    yield gauges(f"{name}_objects", "Objects in the cache.", one, objects)
    yield gauges(f"{name}_json_bytes", "Size of the objects in the cache, as JSON.", one, whole)
    yield gauges(
        f"{name}_stored_bytes",
        "What the cache holds of them: the same, or less with compact storage; without some 500 bytes per object.",
        one,
        stored,
    )
    yield gauges(f"{name}_pending_objects", "Objects with changes that are on their way into the cache.", one, pending)
    yield gauges(f"{name}_synced", "Whether the first list is wholly in the cache: 1 or 0.", one, synced)
    yield gauges(f"{name}_state", "Informers in this state: of one alone, 1 or 0.", ("informer", "state"), states)
    yield gauges(f"{name}_health", "Informers of this health: of one alone, 1 or 0.", ("informer", "health"), healths)
    yield gauges(
        f"{name}_sharding",
        "Informers whose shard is filtered by the API server, here, or unknown: of one alone, 1 or 0.",
        ("informer", "sharding"),
        shardings,
    )
    yield gauges(f"{name}_resource_version", "The version the cache has been brought to.", one, versions)
    yield gauges(
        f"{name}_staleness_seconds",
        "Seconds since the API server's last sign of life: an event, a bookmark, or the answer to a list or a watch.",
        one,
        silences,
    )
    yield gauges(f"{name}_failures", "Failures in a row; 0 when all is well.", one, failures)


def _handlers(live: list[SharedInformer]) -> Iterator[Metric]:
    """The handlers of all informers; of handlers of one name the sum, and of their delays the longest."""
    waiting: Counter[tuple[str, ...]] = Counter()
    behind: dict[tuple[str, ...], float] = {}
    failures: Counter[tuple[str, ...]] = Counter()
    catch_ups: dict[tuple[str, ...], Histogram] = {}
    for informer in live:
        now = informer.status.taken_at
        for handler in informer.handlers:
            key = (informer.name, handler.name)
            waiting[key] += handler.waiting
            since = handler.behind_since
            behind[key] = max(behind.get(key, 0.0), 0.0 if since is None else now - since)
            failures[key] += handler.failures
            catch_ups.setdefault(key, Histogram(CATCH_UP_BUCKETS)).add(handler.catch_ups)
    labels = ("informer", "handler")
    name = "kinformer_handler"
    yield gauges(f"{name}_waiting_events", "Events that wait for the handler.", labels, waiting)
    yield gauges(
        f"{name}_behind_seconds",
        "Seconds since the handler last had nothing to do; no event has waited for longer. 0 while it has nothing.",
        labels,
        behind,
    )
    yield histograms(
        f"{name}_catch_up_seconds",
        "Seconds from the first event that waited until none did; an upper bound of what each of them waited.",
        labels,
        catch_ups,
    )
    yield counters(f"{name}_failures", "How often the handler raised.", labels, failures)
