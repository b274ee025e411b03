"""The informers whose events bring work to a controller: which events, for which keys, while it runs and before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from kinformer.controller._arguments import check_callable, untyped
from kinformer.controller._event_mapping import EventMapping, Filter, Keys, Source, TypedSource, own_key
from kinformer.controller._ownership import OwnerKeys, group_share_of
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.controller._ownership import Ownership
    from kinformer.controller._watches import Watches
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.workqueue import Debounce, RateLimitingQueue

__all__ = ["WorkSources"]

K = TypeVar("K", bound=Hashable)
OfObjects = TypeVar("OfObjects", bound="WorkSources[ObjectKey]")


class WorkSources(ABC, Generic[K]):
    """The part of a controller that listens to informers."""

    name: str
    queue: RateLimitingQueue[K]
    _debounce: Debounce | None
    _ownership: Ownership[K]
    _watches: Watches[K]

    @abstractmethod
    def _refuse_if_stopped(self) -> None:
        """Raise `StoppedError` if the controller has stopped: it listens to no other informer."""

    @overload
    def watches(
        self: OfObjects,
        informer: Source | TypedSource,
        map: None = None,
        filter: Filter | None = None,
        *,
        priority: int | None = None,
    ) -> OfObjects: ...

    @overload
    def watches(
        self,
        informer: Source | TypedSource,
        map: Callable[[KubeObject], Keys[K]],
        filter: Filter | None = None,
        *,
        priority: int | None = None,
    ) -> Self: ...

    def watches(
        self,
        informer: Source | TypedSource,
        map: Callable[[KubeObject], Any] | None = None,  # noqa: A002 - the usual name
        filter: Filter | None = None,  # noqa: A002 - the usual name
        *,
        priority: int | None = None,
    ) -> Any:
        """Have the events of an informer bring work. The handler is registered when the controller starts.

        A controller that runs takes further informers, too: the handler is registered at once, and the objects in the
        cache bring work, with a low priority. Reconciles go on meanwhile, so await `informer.synced()` before the call
        if they read that cache. See `unwatch` for the opposite.

        Args:
            informer: what to listen to; the controller waits for its cache before it calls reconcile the first time.
            map: from an object to what must be reconciled because of it: one key, or a list, set or iterator of keys,
                or `None` for nothing. Of an update both the new and the old object are mapped. The object's own key
                when left out. If it raises, the informer logs and counts that as a handler's failure.
            filter: takes an event (`Added`, `Updated`, `Deleted`); returns whether it counts. All do when left out.
                `kinformer.filters` has some that can be combined, and that never swallow a deletion.
            priority: of the keys it brings. When left out, they have `DEFAULT_PRIORITY`, and `LOW_PRIORITY` where an
                object was there already or was resynced.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            StoppedError: the controller, or the informer, has stopped.
            ValueError: the informer is sharded in a way that does not fit the others.
        """
        self._refuse_if_stopped()
        source = untyped(self.name, informer, call="watches()")
        check_callable(self.name, "map", map, "obj")
        check_callable(self.name, "filter", filter, "event")
        if map is None:
            self._ownership.add_primary(source)
        else:
            self._ownership.add_other(source, None)
        self._listen(source, own_key if map is None else map, filter, priority)
        return self

    def owns(
        self,
        informer: Source | TypedSource,
        owner: Resource | Source | TypedSource,
        filter: Filter | None = None,  # noqa: A002 - the usual name
        *,
        priority: int | None = None,
    ) -> Self:
        """Have the events of an informer bring work for the objects that control (own) its objects.

        Also while the controller runs, as `watches` does.

        The owner is found in `metadata.ownerReferences`: the one reference with `controller: true`, if its kind and
        API group are those of `owner`; other objects bring no work.

        Args:
            informer: the informer of the owned objects; the controller waits for its cache before it calls reconcile.
            owner: the owners' resource, or their informer (for its resource: it is not itself watched).
            filter: as for `watches`.
            priority: as for `watches`.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            StoppedError: the controller, or the informer, has stopped.
            ValueError: the owners live in namespaces and the owned do not, which Kubernetes does not allow; or the
                informer is sharded in a way that does not fit the others.
        """
        self._refuse_if_stopped()
        source = untyped(self.name, informer, call="owns()")
        owner_source: Source | None = None
        if isinstance(owner, Resource):
            owners = owner
        else:
            owner_source = untyped(self.name, owner, call="owns(owner=...)")
            owners = owner_source.resource
        owned = source.resource
        if owners.namespaced and not owned.namespaced:
            msg = (
                f"controller {self.name!r}: {owned.qualified} are cluster-scoped and cannot be owned by "
                f"{owners.qualified}, which live in namespaces; use watches(..., map=...)"
            )
            raise ValueError(msg)
        check_callable(self.name, "filter", filter, "event")
        self._ownership.add_other(source, owners, owner_source)
        self._listen(source, OwnerKeys(owners, self._ownership), filter, priority)
        return self

    def _listen(
        self, source: Source, keys_of: Callable[[KubeObject], Any], admit: Filter | None, priority: int | None
    ) -> None:
        on_deleted = self._ownership.deleted if keys_of is own_key else None
        on_departed = None
        if group_share_of(source) is not None:
            on_departed = self._ownership.departed if keys_of is own_key else _of_another_replica
        mapping = EventMapping(
            *(source, keys_of, admit, self.queue, self._debounce, priority, on_deleted, on_departed),
        )
        try:
            self._watches.add(mapping)
        except BaseException:
            if source not in self._watches.sources:
                self._ownership.remove(source)
            raise

    @property
    def sources(self) -> list[Source]:
        """The watched informers, each once."""
        return self._watches.sources

    async def unwatch(self, informer: Source | TypedSource) -> None:
        """End all that `watches` and `owns` arranged for an informer, also while the controller runs.

        The events that wait for the controller are mapped first, and no later one is. Keys that are queued already stay
        in the queue, are delayed as before, and are reconciled: none is lost. The controller holds no reference to the
        informer afterwards, so the end of a `factory.use` frees its cache. Not from inside a filter or map.

        If cancelled, no later event is mapped, but some that waited may not have been.

        Raises:
            ValueError: the controller does not watch this informer.
        """
        source = untyped(self.name, informer, call="unwatch()")
        if source not in self._watches.sources:
            msg = f"controller {self.name!r} does not watch this informer of {source.resource.qualified}"
            raise ValueError(msg)
        try:
            await self._watches.remove(source)
        finally:
            self._ownership.remove(source)


def _of_another_replica(obj: KubeObject) -> None:
    """Do nothing: the owner of the object is worked on elsewhere."""
