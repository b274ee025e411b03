"""A read-only, namespaced view of a cache: the reads of an application."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

from kinformer._notebook_table import MOST_ROWS, object_table
from kinformer._time_slice import TimeSlice
from kinformer.cache.indexer import NAMESPACE_INDEX
from kinformer.errors import SwappedArgumentsWarning, UnsyncedReadWarning
from kinformer.labels import LabelSelector
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from kinformer.cache.indexer import Indexer
    from kinformer.labels import SelectorInput
    from kinformer.resources import Resource

__all__ = ["Lister", "one_selector"]

_CHUNK: Final = 64
"""Objects that an iteration looks at between two reads of the clock."""


def one_selector(selector: SelectorInput, label_selector: SelectorInput) -> SelectorInput:
    """Return the one selector of the two parameters for it.

    Raises:
        TypeError: both are given.
    """
    if selector is not None and label_selector is not None:
        raise TypeError("selector= and label_selector= are the same parameter; give one of them")
    return label_selector if selector is None else selector


class Lister:
    """Reads of a cache: plain calls, no await, no request.

    Each read returns the present state of the cache. Until the informer has synced, objects may be missing. A program
    that takes a missing object for a deleted one does harm then. So the first read before that gives an
    `UnsyncedReadWarning`; wait with `informer.synced()` or `factory.wait_for_cache_sync()`. A `get` that finds its
    object gives none.

    Other threads may read while the event loop runs. Each object they get is complete. A list may contain some of the
    changes that happen during the read and lack others; `SharedInformer.snapshot` returns the state of one moment.

    Args:
        indexer: the cache.
        resource: the kind of its objects.
        namespace: the only namespace the cache covers, or "" for all of them.
        synced: returns whether the cache has had its first list; by default it has.

    Examples:
        >>> pods.lister.get("web-0", namespace="default")
        <Pod default/web-0 resourceVersion=...>
        >>> pods.lister.get("nothing", namespace="default") is None
        True
        >>> [pod.name for pod in pods.lister.list(namespace="default", label_selector={"app": "web-0"})]
        ['web-0']
    """

    __slots__ = ("_indexer", "_namespace", "_synced", "_warned", "resource")

    def __init__(
        self, indexer: Indexer, resource: Resource, namespace: str = "", *, synced: Callable[[], bool] | None = None
    ) -> None:
        self._indexer = indexer
        self.resource = resource
        self._namespace = namespace
        self._synced = synced
        self._warned = False

    def __repr__(self) -> str:
        where = f" namespace={self._namespace}" if self._namespace else ""
        return f"<{type(self).__name__} {self.resource.full_name}{where} objects={len(self._indexer)}>"

    def _repr_html_(self) -> str:
        """The first objects as a table, for Jupyter. It gives no warning before the first list."""
        objects = next(self._indexer.chunks(None, "", MOST_ROWS), [])
        count = len(self._indexer)
        more = f", the first {len(objects)} of them" if count > len(objects) else ""
        noun = "object" if count == 1 else "objects"
        return object_table(f"{self.resource.full_name}: {count:,} {noun}{more}", objects)

    def __len__(self) -> int:
        self._check_synced()
        return len(self._indexer)

    def __iter__(self) -> Iterator[KubeObject]:
        self._check_synced()
        for chunk in self._indexer.chunks(None, "", _CHUNK):
            yield from chunk

    def __aiter__(self) -> AsyncIterator[KubeObject]:
        return self.each()

    def __contains__(self, key: object) -> bool:
        found = key in self._indexer
        if not found:
            self._check_synced()
        return found

    def get(self, name: str | ObjectKey, namespace: str | None = None) -> KubeObject | None:
        """Return one object, or `None` if the cache has none of that name.

        A call with name and namespace in the wrong order returns `None`. It gives a `SwappedArgumentsWarning` if the
        cache has the object of the right order.

        Args:
            name: its name, or a whole `ObjectKey`.
            namespace: its namespace; not needed for a cluster-scoped resource, nor if the informer covers one
                namespace only.

        Raises:
            ValueError: the resource is namespaced, and no namespace was given.
        """
        found = self._indexer.get_by_key(self.key_of(name, namespace))
        if found is None:
            self._check_synced()
            if namespace and isinstance(name, str) and ObjectKey(name, namespace) in self._indexer:
                msg = (
                    f"get({name!r}, {namespace!r}) of {self.resource.full_name} found nothing, but there is an object "
                    f"{namespace!r} in namespace {name!r}: the name comes first, get({namespace!r}, namespace={name!r})"
                )
                warnings.warn(msg, SwappedArgumentsWarning, stacklevel=2)
        return found

    def key_of(self, name: str | ObjectKey, namespace: str | None = None) -> ObjectKey:
        """Return the key for the arguments of `get`, whether or not the object exists.

        Raises:
            ValueError: the resource is namespaced, and no namespace was given.
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
        """Return the objects that have a value in an index; see `SharedInformer.add_indexers`.

        Raises:
            UnknownIndexError: there is no index of that name.
        """
        self._check_synced()
        return self._indexer.by_index(index, value)

    async def each(
        self,
        namespace: str | None = None,
        selector: SelectorInput = None,
        *,
        label_selector: SelectorInput = None,
    ) -> AsyncGenerator[KubeObject, None]:
        """Yield the objects that `list` returns, and let other tasks have their turn every millisecond or two.

            async for pod in pods.lister.each(selector="app=web"):
                ...

        `list` takes half a microsecond per object at once: 50 ms for 100,000. Without arguments, `async for pod in
        pods.lister` is the same. The cache may change meanwhile: each object comes at most once, in its state at the
        beginning or in a later one. An object that is deleted meanwhile may be left out, and a new one is.

        Args:
            namespace: the namespace; `None` or "" for all.
            selector: as for `list`.
            label_selector: as for `list`.

        Raises:
            SelectorError: the selector does not parse.
        """
        self._check_synced()
        wanted = LabelSelector.parse(one_selector(selector, label_selector))
        time_slice = TimeSlice()
        await time_slice.begin()
        for chunk in self._indexer.chunks(wanted or None, namespace or "", _CHUNK):
            for obj in chunk:
                yield obj
                if time_slice.over:
                    await time_slice.begin()
            if time_slice.over:
                await time_slice.begin()

    def keys(self) -> list[ObjectKey]:
        """Return the keys of all objects."""
        self._check_synced()
        return [*self._indexer.list_keys()]

    def _check_synced(self) -> None:
        """Warn at the first read of a cache without its first list."""
        if self._synced is None:
            return
        if self._synced():
            self._synced = None
        elif not self._warned:
            self._warned = True
            msg = (
                f"the cache of {self.resource.full_name} was read before its first list: objects may be missing; "
                "await informer.synced() or factory.wait_for_cache_sync() first"
            )
            warnings.warn(msg, UnsyncedReadWarning, stacklevel=3)

    # The last method, because below it the annotation list[...] would mean this method.
    def list(
        self,
        namespace: str | None = None,
        selector: SelectorInput = None,
        *,
        label_selector: SelectorInput = None,
    ) -> list[KubeObject]:
        """Return the objects of a namespace (or of all) whose labels match the selector, in no particular order.

        The call takes half a microsecond per object, and no other task runs meanwhile; see `each` for a large cache.

        Args:
            namespace: the namespace; `None` or "" for all.
            selector: "app=web,tier!=cache", {"app": "web"}, or a `LabelSelector`; everything by default.
            label_selector: the same by its name in the verbs of the client; give one of the two.

        Raises:
            SelectorError: the selector does not parse.
            TypeError: both selectors are given.
        """
        self._check_synced()
        wanted = LabelSelector.parse(one_selector(selector, label_selector))
        if wanted:
            return self._indexer.select(wanted, namespace or "")
        return self._indexer.by_index(NAMESPACE_INDEX, namespace) if namespace else self._indexer.list()
