"""A read-only, namespaced view of a cache: what an application asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.cache.indexer import NAMESPACE_INDEX
from kinformer.labels import LabelSelector
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.cache.indexer import Indexer
    from kinformer.labels import SelectorInput
    from kinformer.resources import Resource

__all__ = ["Lister"]


class Lister:
    """Reads of a cache: plain calls, no await, no request.

    Each answer is the cache as it is now. Until the informer has synced, that may be nothing or a part.

    Other threads may read, too, while the event loop goes on: each object they get is whole; a list may have some of
    what happens meanwhile and not the rest (`SharedInformer.snapshot` has neither less nor more than one moment).

    Args:
        indexer: the cache.
        resource: what is in it.
        namespace: the only namespace the cache covers, or "" for all of them.
    """

    __slots__ = ("_indexer", "_namespace", "resource")

    def __init__(self, indexer: Indexer, resource: Resource, namespace: str = "") -> None:
        self._indexer = indexer
        self.resource = resource
        self._namespace = namespace

    def __len__(self) -> int:
        return len(self._indexer)

    def __iter__(self) -> Iterator[KubeObject]:
        return iter(self._indexer.list())

    def __contains__(self, key: object) -> bool:
        return key in self._indexer

    def get(self, name: str | ObjectKey, namespace: str | None = None) -> KubeObject | None:
        """One object, or `None` when the cache has none of that name.

        Args:
            name: its name, or a whole `ObjectKey`.
            namespace: where it lives; not needed for a cluster-scoped resource, nor when the informer covers one
                namespace only.

        Raises:
            ValueError: the resource lives in namespaces, and which one was not said.
        """
        return self._indexer.get_by_key(self.key_of(name, namespace))

    def key_of(self, name: str | ObjectKey, namespace: str | None = None) -> ObjectKey:
        """The key of an object, whether there is one or not; takes what `get` takes.

        Raises:
            ValueError: the resource lives in namespaces, and which one was not said.
        """
        if isinstance(name, ObjectKey):
            return name
        if namespace is None:
            namespace = self._namespace
        if self.resource.namespaced and not namespace:
            msg = (
                f"{self.resource.qualified} live in namespaces, and this cache covers all of them: "
                f"say which one {name!r} is in, get({name!r}, namespace=...)"
            )
            raise ValueError(msg)
        return ObjectKey(namespace, name)

    def by_index(self, index: str, value: str) -> list[KubeObject]:
        """The objects an index has under a value; see `SharedInformer.add_indexers`.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        return self._indexer.by_index(index, value)

    def keys(self) -> list[ObjectKey]:
        """The keys of all objects."""
        return [*self._indexer.list_keys()]

    # Last, because below it the annotation list[...] would mean this method.
    def list(self, namespace: str | None = None, selector: SelectorInput = None) -> list[KubeObject]:
        """The objects of a namespace (or of all) whose labels the selector selects, in no particular order.

        Args:
            namespace: `None` or "" for all.
            selector: "app=web,tier!=cache", {"app": "web"}, or a `LabelSelector`; everything by default.

        Raises:
            SelectorError: the selector does not parse.
        """
        wanted = LabelSelector.parse(selector)
        if wanted:
            return self._indexer.select(wanted, namespace or "")
        return self._indexer.by_index(NAMESPACE_INDEX, namespace) if namespace else self._indexer.list()
