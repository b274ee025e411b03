"""Makes the informers of a factory, each with a source of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from kinformer.informer._scoped_source import ScopedSource
from kinformer.informer._shared_informer import SharedInformer
from kinformer.reflector._state_machine import StreamingMemory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kinformer.backoff import Backoff
    from kinformer.cache.storage import Storage
    from kinformer.errors import KinformerError
    from kinformer.informer._namespace_labels import NamespaceLabels
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector.trim import Trim
    from kinformer.resources import Resource
    from kinformer.scope import Scope, ScopedResource, ScopePart, ShardLike

__all__ = ["CommonOptions", "InformerMaker", "Sources"]


class Sources(Protocol):
    """The part of a client that a factory needs."""

    def list_watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
    ) -> ListerWatcher:
        """Return a source of a resource's objects within a scope."""
        ...

    async def resolve(self, name: str) -> Resource:
        """Return the resource of a name as kubectl takes it; use discovery if the resource is not built in."""
        ...


class CommonOptions(TypedDict):
    """The arguments of `SharedInformer` that all informers of a factory have in common."""

    resync: float
    backoff: Backoff | None
    trim: Trim | None
    on_error: Callable[[KinformerError, SharedInformer], object] | None
    give_up_after: float | None
    on_give_up: Callable[[KinformerError | None, SharedInformer], object] | None
    watch_seconds: int
    starts: asyncio.Semaphore
    own_writes: bool
    metrics: Metrics


class InformerMaker:
    """Makes informers that have their client and most options in common.

    Args:
        client: makes the sources.
        follow_namespaces: returns the labels of all namespaces, for scopes that depend on them.
        streaming_lists: whether lists are streamed if the server supports that. A refusal that one informer met counts
            for all informers of the resource.
        common: the other options.
    """

    def __init__(
        self,
        client: Sources,
        follow_namespaces: Callable[[], NamespaceLabels],
        *,
        streaming_lists: bool,
        **common: Unpack[CommonOptions],
    ) -> None:
        self._client = client
        self._follow_namespaces = follow_namespaces
        self._streaming_lists = streaming_lists
        self._streaming: dict[Resource, StreamingMemory] = {}
        self._common = common

    def informer(
        self, name: str, covered: ScopedResource, transform: Transform | None, storage: Storage
    ) -> SharedInformer:
        """Return a new informer of a scope of one term, which never changes."""
        source = self._source(covered.resource, covered.scope, metadata_only=covered.scope.metadata_only)
        return self._informer_of(name, source, covered, transform, storage)

    def scoped_informer(
        self, name: str, covered: ScopedResource, transform: Transform | None, storage: Storage
    ) -> SharedInformer:
        """Return a new informer of a scope that has several terms or can change."""

        def source_of(scope: Scope, part: ScopePart) -> ListerWatcher:
            return self._client.list_watch(
                covered.resource,
                namespace=part.namespace or None,
                label_selector=str(part.labels),
                field_selector=str(part.fields),
                metadata_only=scope.metadata_only,
                shard=scope.shard,
            )

        source = ScopedSource(covered.scope, source_of, self._follow_namespaces)
        return self._informer_of(name, source, covered, transform, storage)

    def metadata_of(self, resource: Resource) -> Callable[[Scope], ListerWatcher]:
        """Return a function that makes a source of the metadata of objects in a scope of one term."""
        return lambda scope: self._source(resource, scope, metadata_only=True)

    def _source(self, resource: Resource, scope: Scope, *, metadata_only: bool) -> ListerWatcher:
        return self._client.list_watch(
            resource,
            namespace=scope.namespace or None,
            label_selector=str(scope.label_selector),
            field_selector=str(scope.field_selector),
            metadata_only=metadata_only,
            shard=scope.shard,
        )

    def _informer_of(
        self,
        name: str,
        source: ListerWatcher | ScopedSource,
        covered: ScopedResource,
        transform: Transform | None,
        storage: Storage,
    ) -> SharedInformer:
        return SharedInformer(
            source,
            name=name,
            namespace="" if isinstance(source, ScopedSource) else covered.scope.namespace,
            transform=transform,
            storage=storage,
            streaming=self._streaming_of(covered.resource),
            **self._common,
        )

    def _streaming_of(self, resource: Resource) -> StreamingMemory:
        memory = self._streaming.get(resource)
        if memory is None:
            off = "" if self._streaming_lists else "switched off (streaming_lists=False)"
            memory = self._streaming[resource] = StreamingMemory(off)
        return memory
