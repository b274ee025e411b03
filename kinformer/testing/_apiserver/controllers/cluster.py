"""The state of the cluster as controllers read it: the store, with the indexes that they need."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.rules.selectors import selects_labels
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.storage import Change, Key, Storage

__all__ = ["PODS", "Cluster", "controller_of", "labels_of", "requests_of"]

PODS: Final = ("", "pods")

_ADOPTED: Final = (PODS, ("apps", "replicasets"), ("batch", "jobs"), ("apps", "controllerrevisions"))
"""The resources that a controller adopts if their labels match."""


def controller_of(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of the controller of an object."""
    references: list[Manifest] = manifest["metadata"].get("ownerReferences") or []
    for reference in references:
        if reference.get("controller"):
            return reference
    return None


class Cluster:
    """Reads of the store at this moment. The manifests must not be changed.

    Args:
        registry: the objects and the rules.
        clock: the time.

    Attributes:
        failures: why the last creation of an object by a controller was refused, by the controller's key.
    """

    def __init__(self, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._store = registry.store
        self._clock = clock
        self.failures: dict[tuple[str, Any], str] = {}
        self._by_namespace: dict[Storage, dict[str, dict[Key, None]]] = {}
        self._without_controller: dict[Storage, dict[str, dict[Key, None]]] = {}
        self._pods_by_label: dict[tuple[str, str, str], dict[Key, None]] = {}
        self._pods_by_node: dict[str, dict[Key, None]] = {}
        self._requested: dict[str, dict[str, Decimal]] = {}

    @property
    def now(self) -> datetime:
        """The time of the server."""
        return self._clock()

    @property
    def stamp(self) -> str:
        """The time as objects carry it."""
        return self._registry.now()

    def fill(self) -> None:
        """Index all present objects."""
        for index in (self._by_namespace, self._without_controller, self._pods_by_label, self._pods_by_node):
            index.clear()
        self._requested.clear()
        for storage in self._store.storages():
            for key, stored in self._store.all(storage).items():
                self._enter(storage, key, stored.manifest)

    def observe(self, change: Change) -> None:
        """Index a change."""
        if change.old is not None:
            self._leave(change.storage, change.key, change.old.manifest)
        if change.kind != "DELETED":
            self._enter(change.storage, change.key, change.new.manifest)

    def get(self, storage: Storage, key: Key) -> Manifest | None:
        """Return one object, or `None`."""
        found = self._store.get(storage, key)
        return None if found is None else found.manifest

    def all(self, storage: Storage) -> list[Manifest]:
        """Return the objects of a resource."""
        return [stored.manifest for stored in self._store.all(storage).values()]

    def keys(self, storage: Storage, namespace: str | None = None) -> list[Key]:
        """Return the keys of a resource, of one namespace or of all."""
        if namespace is None:
            return [*self._store.all(storage)]
        return [*self._by_namespace.get(storage, {}).get(namespace, ())]

    def within(self, storage: Storage, namespace: str) -> list[Manifest]:
        """Return the objects of a resource in a namespace."""
        return self._read(storage, self._by_namespace.get(storage, {}).get(namespace, ()))

    def content_of(self, namespace: str) -> list[tuple[Storage, Manifest]]:
        """Return all objects in a namespace."""
        return [
            (storage, manifest) for storage in self._store.storages() for manifest in self.within(storage, namespace)
        ]

    def dependents(self, uid: str) -> list[tuple[Storage, Manifest]]:
        """Return the objects that name the uid as an owner."""
        found = []
        for storage, key in self._registry.life_cycle.dependents(uid):
            manifest = self.get(storage, key)
            if manifest is not None:
                found.append((storage, manifest))
        return found

    def controlled(self, storage: Storage, uid: str) -> list[Manifest]:
        """Return the objects of a resource that the object with the uid controls."""
        found = []
        for place, manifest in self.dependents(uid):
            reference = controller_of(manifest)
            if place == storage and reference is not None and reference["uid"] == uid:
                found.append(manifest)
        return found

    def orphans(self, storage: Storage, namespace: str, selector: Mapping[str, Any]) -> list[Manifest]:
        """Return the objects that no controller has and that a selector selects."""
        keys = self._without_controller.get(storage, {}).get(namespace, ())
        return [one for one in self._read(storage, keys) if selects_labels(selector, labels_of(one))]

    def pods(self, namespace: str, selector: Mapping[str, Any]) -> list[Manifest]:
        """Return the pods of a namespace that a selector selects."""
        wanted = selector.get("matchLabels") or {}
        if wanted:
            candidates = min((self._pods_by_label.get((namespace, *pair), {}) for pair in wanted.items()), key=len)
        else:
            candidates = self._by_namespace.get(PODS, {}).get(namespace, {})
        return [one for one in self._read(PODS, candidates) if selects_labels(selector, labels_of(one))]

    def pods_like(self, namespace: str, pattern: str) -> list[Key]:
        """Return the keys of the pods of a namespace whose names match a pattern of the shell."""
        return [key for key in self.keys(PODS, namespace) if fnmatchcase(key[1], pattern)]

    def pods_on(self, node: str) -> list[Manifest]:
        """Return the pods of a node; "" for those that have none."""
        return self._read(PODS, self._pods_by_node.get(node, ()))

    def number_on(self, node: str) -> int:
        """Return the number of the pods of a node."""
        return len(self._pods_by_node.get(node, ()))

    def requested_on(self, node: str) -> Mapping[str, Decimal]:
        """Return the resources that the pods of a node ask for, together."""
        return self._requested.get(node, {})

    @staticmethod
    def begun_to_delete(manifest: Manifest) -> datetime:
        """Return when the deletion of an object was asked for."""
        metadata = manifest["metadata"]
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return datetime.fromisoformat(metadata["deletionTimestamp"]) - grace

    def storage_of(self, api_version: str, kind: str) -> tuple[Storage, bool] | None:
        """Return the resource of a kind, and whether it has namespaces; `None` for a kind that is not served."""
        found = self._registry.catalog.of_kind(api_version, kind)
        return None if found is None else (found.storage, found.namespaced)

    def _read(self, storage: Storage, keys: Iterable[Key]) -> list[Manifest]:
        objects = self._store.all(storage)
        return [objects[key].manifest for key in keys]

    def _enter(self, storage: Storage, key: Key, manifest: Manifest) -> None:
        self._by_namespace.setdefault(storage, {}).setdefault(key[0], {})[key] = None
        if storage in _ADOPTED and controller_of(manifest) is None:
            self._without_controller.setdefault(storage, {}).setdefault(key[0], {})[key] = None
        if storage == PODS:
            for pair in labels_of(manifest).items():
                self._pods_by_label.setdefault((key[0], *pair), {})[key] = None
            node = manifest["spec"].get("nodeName", "")
            self._pods_by_node.setdefault(node, {})[key] = None
            self._add_requests(node, manifest, 1)

    def _leave(self, storage: Storage, key: Key, manifest: Manifest) -> None:
        _drop(self._by_namespace.get(storage, {}), key[0], key)
        if storage in _ADOPTED:
            _drop(self._without_controller.get(storage, {}), key[0], key)
        if storage == PODS:
            for pair in labels_of(manifest).items():
                _drop(self._pods_by_label, (key[0], *pair), key)
            node = manifest["spec"].get("nodeName", "")
            _drop(self._pods_by_node, node, key)
            self._add_requests(node, manifest, -1)

    def _add_requests(self, node: str, pod: Manifest, sign: int) -> None:
        if node and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
            total = self._requested.setdefault(node, {})
            for resource, amount in requests_of(pod).items():
                total[resource] = total.get(resource, Decimal()) + sign * amount


_number = lru_cache(maxsize=1024)(quantity_number)


def requests_of(pod: Manifest) -> dict[str, Decimal]:
    """Return the resources that the containers of a pod ask for."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"].get("containers") or ():
        for resource, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[resource] = total.get(resource, Decimal()) + _number(amount)
    return total


def labels_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object."""
    return manifest["metadata"].get("labels") or {}


def _drop(index: dict[Any, dict[Key, None]], place: Any, key: Key) -> None:
    keys = index.get(place)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[place]
