"""The Events that controllers write about objects."""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.rules.writing import Write
from kinformer.testing._apiserver.store.status import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.controllers.actions import Manifest, Record
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.storage import Key

__all__ = ["Recorder"]

_KEPT: Final = timedelta(hours=1)
"""The life of an Event (kube-apiserver --event-ttl)."""

_EVENTS: Final = ("", "events")


class Recorder:
    """Writes Events; one that was written before is counted once more, as client-go's recorder does.

    Args:
        registry: the objects and the rules.
        clock: the time.
    """

    def __init__(self, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._clock = clock
        self._written: dict[tuple[str, ...], Key] = {}
        self._expires: deque[tuple[datetime, tuple[str, ...]]] = deque()
        self._managed: dict[tuple[str, bool, bool], list[Manifest]] = {}
        self._numbers = itertools.count(1)

    def record(self, event: Record, component: str) -> None:
        """Write an Event about an object; nothing happens if the server refuses it."""
        self._expire()
        about = event.about["metadata"]
        same = (about["uid"], event.reason, event.message, event.field, component)
        key = self._written.get(same)
        try:
            if key is not None and self._registry.store.get(_EVENTS, key) is not None:
                self._count(key)
            else:
                self._write(event, component, same)
        except Refusal:
            # Its namespace ends.
            return

    def _write(self, event: Record, component: str, same: tuple[str, ...]) -> None:
        about, now = event.about, self._clock()
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        name = f"{metadata['name']}.{int(now.timestamp() * 1e6):x}{next(self._numbers):04x}"
        involved = {
            "kind": about["kind"],
            "namespace": metadata.get("namespace"),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": about["apiVersion"],
            "resourceVersion": metadata.get("resourceVersion"),
            "fieldPath": event.field,
        }
        stamp = self._registry.now()
        manifest: Manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {field: value for field, value in involved.items() if value},
            "reason": event.reason,
            "message": event.message,
            "source": {"component": component},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": "Warning" if event.warning else "Normal",
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": "",
        }
        kind = self._registry.catalog.of_kind("v1", "Event")
        assert kind is not None
        # All Events of a component have the same fields, so that the first one shows the managers of the others.
        shape = (component, bool(event.field), "namespace" in metadata)
        known = self._managed.get(shape)
        if known is None:
            made = self._registry.create(kind, namespace, manifest, Write(component)).manifest
            self._managed[shape] = made["metadata"].get("managedFields") or []
        else:
            self._registry.check_namespace(kind, namespace, name)
            managed = [entry | {"time": stamp} for entry in known]
            manifest["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp, "managedFields": managed}
            self._registry.put(kind, namespace, manifest)
        self._written[same] = (namespace, name)
        self._expires.append((now + _KEPT, same))

    def _count(self, key: Key) -> None:
        kind = self._registry.catalog.of_kind("v1", "Event")
        assert kind is not None
        current = self._registry.get(kind, *key).manifest
        counted = {"count": current.get("count", 1) + 1, "lastTimestamp": self._registry.now()}
        self._registry.put(kind, key[0], current | counted)

    def _expire(self) -> None:
        now = self._clock()
        while self._expires and self._expires[0][0] <= now:
            _, same = self._expires.popleft()
            key = self._written.pop(same, None)
            found = None if key is None else self._registry.store.get(_EVENTS, key)
            if key is not None and found is not None:
                self._registry.life_cycle.remove(self._registry.catalog.versions_of(_EVENTS)[0], key, found.manifest)
