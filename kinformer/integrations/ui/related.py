"""Objects that belong together: the owners of an object, the objects that it owns, and the Events about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer._time_slice import TimeSlice
from kinformer.objects import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kinformer._display.columns import Column
    from kinformer._heads import OwnerReference
    from kinformer.informer import SharedInformer
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Relations"]

_FRESH: Final = 1.5
"""Seconds for which one look at all caches serves all open pages."""

_DEEPEST: Final = 4
"""Levels of owners and of owned objects: a CronJob, its Jobs, their pods, and one more."""

_MOST_OWNED: Final = 200
_MOST_EVENTS: Final = 50
_EVENT_GROUPS: Final = frozenset({"", "events.k8s.io"})
_OF_STATE: Final = ("STATUS", "READY")
"""The columns that say how an object is: of the first one that its resource has."""


class _Place(NamedTuple):
    """An object in the cache of an informer."""

    informer: str
    obj: KubeObject


@dataclass(slots=True)
class _Look:
    """One look at all caches.

    Attributes:
        at: the time of the look.
        owned: the objects with an owner, by the UIDs of their owners.
    """

    at: float = float("-inf")
    owned: dict[str, list[_Place]] = field(default_factory=dict)


class Relations:
    """Finds the relations of objects in the caches of the page.

    Args:
        informers: returns the informers of the page, by name.
        columns: returns the columns of a resource.
    """

    def __init__(
        self,
        informers: Callable[[], Mapping[str, SharedInformer]],
        columns: Callable[[Resource], Sequence[Column]],
    ) -> None:
        self._informers = informers
        self._columns = columns
        self._last = _Look()

    async def of(self, obj: KubeObject) -> dict[str, Any]:
        """Return owners, owned objects and Events as data for the page; it gives way to other tasks."""
        look = await self._look()
        owned = [*self._owned(obj.uid, look, frozenset({obj.uid}))]
        events = await self._events(obj)
        return {
            "owners": [*self._owners(obj, frozenset({obj.uid}))],
            "owned": owned[:_MOST_OWNED],
            "more": max(0, len(owned) - _MOST_OWNED),
            "events": events,
        }

    async def _look(self) -> _Look:
        now = asyncio.get_running_loop().time()
        if now - self._last.at >= _FRESH:
            self._last = await self._look_at_all(now)
        return self._last

    async def _look_at_all(self, now: float) -> _Look:
        look = _Look(now)
        seen: set[str] = set()
        time_slice = TimeSlice()
        await time_slice.begin()
        for name, informer in self._informers().items():
            for key in [*informer.indexer.list_keys()]:
                obj = informer.indexer.get_by_key(key)
                if obj is not None and obj.owner_references and obj.uid not in seen:
                    seen.add(obj.uid)  # two informers may have it
                    for owner in obj.owner_references:
                        look.owned.setdefault(owner.uid, []).append(_Place(name, obj))
                if time_slice.over:
                    await time_slice.begin()
        return look

    def _owned(self, uid: str, look: _Look, above: frozenset[str], depth: int = 0) -> Iterator[dict[str, Any]]:
        now = datetime.now(UTC)
        places = sorted(look.owned.get(uid, ()), key=lambda place: (place.obj.resource.kind, place.obj.key))
        for place in places:
            obj = place.obj
            if obj.uid in above:
                continue
            yield {
                **_row(obj.resource.kind, obj.key, depth),
                "informer": place.informer,
                "state": self._state(obj, now),
            }
            if depth + 1 < _DEEPEST:
                yield from self._owned(obj.uid, look, above | {obj.uid}, depth + 1)

    def _owners(self, obj: KubeObject, below: frozenset[str], depth: int = 0) -> Iterator[dict[str, Any]]:
        for owner in obj.owner_references:
            if owner.uid in below:
                continue
            found = self._object_of(owner, obj.namespace)
            key = ObjectKey(obj.namespace, owner.name) if found is None else found.obj.key
            informer = None if found is None else found.informer
            yield {**_row(owner.kind, key, depth), "informer": informer, "state": ""}
            if found is not None and depth + 1 < _DEEPEST:
                yield from self._owners(found.obj, below | {owner.uid}, depth + 1)

    def _object_of(self, owner: OwnerReference, namespace: str) -> _Place | None:
        group = owner.api_version.rpartition("/")[0]
        for name, informer in self._informers().items():
            resource = informer.resource
            if (resource.group, resource.kind) != (group, owner.kind):
                continue
            key = ObjectKey(namespace if resource.namespaced else "", owner.name)
            found = informer.indexer.get_by_key(key)
            if found is not None and found.uid == owner.uid:
                return _Place(name, found)
        return None

    def _state(self, obj: KubeObject, now: datetime) -> str:
        columns = {column.title: column for column in self._columns(obj.resource)}
        found = next((columns[title] for title in _OF_STATE if title in columns), None)
        return "" if found is None else f"{found.cell(obj, now)}" + (" ready" if found.title == "READY" else "")

    async def _events(self, obj: KubeObject) -> list[dict[str, Any]] | None:
        """Return the Events about an object, the latest first; `None` if no informer has Events."""
        watched = [
            informer
            for informer in self._informers().values()
            if informer.resource.plural == "events" and informer.resource.group in _EVENT_GROUPS
        ]
        if not watched:
            return None
        found: dict[str, dict[str, Any]] = {}
        time_slice = TimeSlice()
        await time_slice.begin()
        for informer in watched:
            about = "regarding" if informer.resource.group else "involvedObject"
            for key in [*informer.indexer.list_keys()]:
                event = informer.indexer.get_by_key(key)
                if event is not None and event.at(f"{about}.uid", "") == obj.uid:
                    found[event.uid] = _event(event)
                if time_slice.over:
                    await time_slice.begin()
        return sorted(found.values(), key=lambda event: event["at"], reverse=True)[:_MOST_EVENTS]


def _row(kind: str, key: ObjectKey, depth: int) -> dict[str, Any]:
    return {"kind": kind, "namespace": key.namespace, "name": key.name, "depth": depth}


_TIMES: Final = (
    "series.lastObservedTime",
    "lastTimestamp",
    "deprecatedLastTimestamp",
    "eventTime",
    "metadata.creationTimestamp",
)
_COUNTS: Final = ("series.count", "count", "deprecatedCount")


def _event(event: KubeObject) -> dict[str, Any]:
    message = event.at("message", None) or event.at("note", None)
    return {
        "type": _text(event.at("type", "")),
        "reason": _text(event.at("reason", "")),
        "message": _text(message),
        "count": next((count for path in _COUNTS if isinstance(count := event.at(path, None), int)), 1),
        "at": next((_text(time) for path in _TIMES if (time := event.at(path, None))), ""),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
