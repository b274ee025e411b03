"""SharedInformerFactory: all callers share one informer, one task and one watch per scope."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, Unpack, cast, overload

from kinformer._own_loop import OwnLoop
from kinformer.cache.storage import checked_storage
from kinformer.custom_resources.definition import resource_of
from kinformer.errors import (
    AlreadyStartedError,
    CacheSyncError,
    LifecycleError,
    NotStartedError,
    StoppedError,
    UnknownResourceError,
)
from kinformer.informer._api_groups import ApiGroups
from kinformer.informer._namespace_labels import NamespaceLabels
from kinformer.informer._scoped_source import ScopedSource
from kinformer.informer._shared_informer import SharedInformer
from kinformer.informer._slice_caches import InformerSlices, by_of
from kinformer.informer._uses import Uses
from kinformer.informer.typed import TypedInformer
from kinformer.metrics import NO_METRICS
from kinformer.operators.shard_group import GroupShare, ShardGroup, engine_of
from kinformer.reflector._state_machine import MIN_WATCH_SECONDS, StreamingMemory
from kinformer.resources import NAMESPACES, Resource, builtin_resource
from kinformer.scope import Ranges, Scope, ScopedResource, ScopeSettings, SelectionSettings
from kinformer.status import InformerState

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kinformer.backoff import Backoff
    from kinformer.cache.storage import Storage
    from kinformer.errors import KinformerError
    from kinformer.events import T
    from kinformer.labels import SelectorInput
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector.trim import Trim
    from kinformer.scope import FieldSelectorInput, ScopePart, ShardLike

__all__ = ["InformerSettings", "SharedInformerFactory", "Sources", "checked_settings"]


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


class InformerSettings(SelectionSettings, total=False):
    """The keyword arguments of `SharedInformerFactory.informer` besides `type`.

    Every function that returns an informer takes them.

    Attributes:
        shard: only a share of the objects: a fixed one, or the slices that a `ShardGroup` has at each moment.
        scope: scope to cover, instead of the arguments of `ScopeSettings`; it can change later.
        transform: function that returns the part of each object to keep.
        storage: "plain" or "compact"; by default the storage of the factory.
    """

    shard: ShardLike | ShardGroup | GroupShare | None
    scope: Scope | None
    transform: Transform | None
    storage: Storage | None


GRACE: Final = 30.0
"""Seconds that an informer goes on after its last use: the next request of a user finds it in sync."""

_NAMESPACES: Final = ScopedResource(NAMESPACES, Scope(metadata_only=True))


def _with_settings(scope: Scope, given: ScopeSettings) -> Scope:
    """Return a scope with the settings that keyword arguments add to it: metadata only and a shard.

    Raises:
        TypeError: selectors are given; they belong into the scope.
    """
    selectors = [name for name in ("label_selector", "field_selector") if given.get(name)]
    if selectors:
        msg = f"scope= and {', '.join(selectors)}= both select: put it into the scope, as scope & Labels(...)"
        raise TypeError(msg)
    return replace(
        scope,
        metadata_only=scope.metadata_only or given.get("metadata_only", False),
        shard=given.get("shard") if scope.shard is None else scope.shard,
    )


def checked_settings(resource: Resource | str, settings: InformerSettings) -> Resource:
    """Check the settings of an informer, without a factory.

    Returns:
        The resource.

    Raises:
        UnknownResourceError: no built-in resource of that name, or one that cannot be watched.
        SelectorError: a selector does not parse.
        ValueError: a namespace for a cluster-scoped resource, an unknown storage.
        TypeError: an unknown setting.
    """
    unknown = settings.keys() - InformerSettings.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(InformerSettings.__annotations__))
        msg = f"an informer has no setting {', '.join(map(repr, sorted(unknown)))}; it has type, {known}"
        raise TypeError(msg)
    found = _watchable(resource)
    storage = settings.get("storage")
    if storage is not None:
        checked_storage(storage)
    given = cast(
        "ScopeSettings", {name: value for name, value in settings.items() if name in ScopeSettings.__annotations__}
    )
    scope = settings.get("scope")
    ScopedResource(found, Scope.of(**given) if scope is None else _with_settings(scope, given))
    return found


def _group_share(resource: Resource, shard: object) -> GroupShare | None:
    """Return the share of a shard group that is given as a shard; `None` for another shard.

    Raises:
        ValueError: the group goes by namespace, and the objects have none.
    """
    share = GroupShare(shard) if isinstance(shard, ShardGroup) else shard
    if not isinstance(share, GroupShare):
        return None
    if share.kind == "object" and share.group.by == "namespace" and not resource.namespaced:
        msg = f"{resource.qualified} are cluster-scoped, and the shard group {share.group.name!r} goes by namespace"
        raise ValueError(msg)
    return share


def _asked_for(
    resource: Resource | str | builtins.type[Any], into: builtins.type[Any] | None
) -> tuple[Resource, builtins.type[Any] | None]:
    """Return the requested resource, and the class of its objects."""
    if isinstance(resource, Resource | str):
        return _watchable(resource), into
    return _watchable(resource_of(resource)), into or resource


def _watchable(resource: Resource | str) -> Resource:
    found = builtin_resource(resource, otherwise="await factory.discover({name!r})")
    if not found.watchable:
        msg = (
            f"{found.full_name} cannot be watched, so no informer can follow it: the server has no watch of it; call "
            "client.list or client.get where the server serves them, as often as you need the present state"
        )
        raise UnknownResourceError(msg)
    return found


class SharedInformerFactory(ApiGroups):
    """Makes informers and shares them; starts, syncs and stops them together.

        async with Client() as client:
            factory = SharedInformerFactory(client)
            pods = factory.core.v1.pods
            async with factory:
                await factory.wait_for_cache_sync(timeout=30)

    Entering the context starts all informers made so far; an informer that is made later starts at once. Leaving the
    context stops them, and no task and no watch is left. A stopped factory cannot be started again.

    Args:
        client: a `Client`, or another object that makes sources.
        resync: seconds between resyncs of handlers that do not set their own period; 0 for none.
        namespace: the namespace of informers that do not name one; `None` for all.
        backoff: delays between attempts after a failure.
        trim: fields that every informer removes from the objects that arrive; see `SharedInformer`.
        storage: form of the objects in the caches, unless an informer sets another one: "plain" or "compact".
        on_error: function that is called with every failure of every informer: `on_error(error, informer)`.
        give_up_after: retry budget of each informer in seconds; by default none gives up. See `SharedInformer`.
        on_give_up: function that is called when the budget of an informer is used up; returns whether it goes on.
        streaming_lists: whether lists are streamed if the server supports that (`sendInitialEvents`, KEP-3157). If a
            server does not, the factory remembers that per resource.
        watch_seconds: shortest time that the server is asked to keep a watch open; the longest is twice that. See
            `SharedInformer`.
        concurrent_starts: number of first lists that are under way at once, of all informers and parts of scopes; the
            others wait for their turn.
        own_writes: whether caches follow writes through the client, see `SharedInformer.caught_up`.
        metrics: sink for counts.

    Examples:
        >>> factory = SharedInformerFactory(client, namespace="default")
        >>> pods = factory.informer("pods", label_selector="app=web-0")
        >>> async with factory:
        ...     await factory.wait_for_cache_sync(timeout=30)
        ...     [pod.name for pod in pods.lister]
        ['web-0']
    """

    def __init__(
        self,
        client: Sources,
        *,
        resync: float = 0.0,
        namespace: str | None = None,
        backoff: Backoff | None = None,
        trim: Trim | None = None,
        storage: Storage = "plain",
        on_error: Callable[[KinformerError, SharedInformer], object] | None = None,
        give_up_after: float | None = None,
        on_give_up: Callable[[KinformerError | None, SharedInformer], object] | None = None,
        streaming_lists: bool = True,
        watch_seconds: int = MIN_WATCH_SECONDS,
        concurrent_starts: int = 16,
        own_writes: bool = True,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        if concurrent_starts < 1:
            msg = f"concurrent_starts={concurrent_starts!r} makes no sense: one list at a time at least"
            raise ValueError(msg)
        self._client = client
        self._own_writes = own_writes
        self._resync = resync
        self._namespace = namespace or ""
        self._backoff = backoff
        self._trim = trim
        self._storage = checked_storage(storage)
        self._on_error = on_error
        self._give_up_after = give_up_after
        self._on_give_up = on_give_up
        self._streaming_lists = streaming_lists
        self._watch_seconds = watch_seconds
        self._streaming: dict[Resource, StreamingMemory] = {}
        self._metrics = metrics
        self._informers: dict[ScopedResource, SharedInformer] = {}
        self._transforms: dict[ScopedResource, Transform | None] = {}
        # Informers of shard groups, by the scope without a slice.
        self._followers: dict[tuple[ScopedResource, GroupShare], SharedInformer] = {}
        self._views: dict[tuple[ScopedResource, builtins.type], TypedInformer[Any]] = {}
        self._uses = Uses(self._drop)
        self._starts = asyncio.Semaphore(concurrent_starts)
        self._others: set[SharedInformer] = set()
        # An informer that ends is held by its own task until then, and by nothing here.
        self._ending: weakref.WeakSet[SharedInformer] = weakref.WeakSet()
        self._started = False
        self._own_loop = OwnLoop("this factory was started")
        self._stopped = False

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "started" if self._started else "new"
        return f"<SharedInformerFactory {state} informers={len(self._informers)}>"

    @property
    def informers(self) -> Mapping[ScopedResource, SharedInformer]:
        """Return the informers by resource and scope, without those that were stopped while the factory goes on."""
        self._follow_scopes()
        return dict(self._informers)

    @property
    def client(self) -> Any:
        """The client that the factory was made with, for reads and writes: a `Client`, unless it is another object."""
        return self._client

    @property
    def started(self) -> bool:
        """True if the factory was started, also if it was stopped since."""
        return self._started

    @property
    def stopped(self) -> bool:
        """True if the factory was stopped."""
        return self._stopped

    @overload
    def informer(self, resource: builtins.type[T], **settings: Unpack[InformerSettings]) -> TypedInformer[T]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> SharedInformer: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> TypedInformer[T]: ...

    def informer(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        scope: Scope | None = None,
        namespace: str | Sequence[str] | None = None,
        label_selector: SelectorInput = None,
        field_selector: FieldSelectorInput = None,
        metadata_only: bool = False,
        shard: ShardLike | ShardGroup | GroupShare | None = None,
        transform: Transform | None = None,
        storage: Storage | None = None,
        type: builtins.type[Any] | None = None,  # noqa: A002 - the usual name
    ) -> SharedInformer | TypedInformer[Any]:
        """Return the informer of a resource in a scope: the same one for each call, until it is stopped.

        Args:
            resource: a `Resource`, or the name of a built-in one as kubectl takes it ("pods", "po", "deploy",
                "ingresses.networking.k8s.io"). For the name of a custom resource see `discover`. A class that
                `custom_resource` has decorated stands for its resource, and for `type`.
            scope: scope to cover: `Namespaces`, `Labels`, `Fields` or a combination of them. The informer can change
                it later: `SharedInformer.set_scope`. The following arguments are the short form of a scope that never
                changes.
            namespace: the only namespace to cover, or several; by default the namespace of the factory.
            label_selector: cover only objects with such labels; the server selects.
            field_selector: cover only objects with such fields; the server selects.
            metadata_only: fetch only the metadata of the objects (PartialObjectMetadata).
            shard: cover only a share of the objects, if several programs divide them among themselves: a fixed `Shard`,
                `Ranges`, or the slices that a `ShardGroup` has at each moment.
            transform: function that returns the part of each object to keep. It is not part of the scope: all callers
                give the same function, or none.
            storage: "plain" or "compact"; by default the storage of the factory. Not part of the scope either.
            type: a class of yours (msgspec.Struct, dataclass, TypedDict, pydantic model). With it, the call returns a
                `TypedInformer`: a view of the informer that the call returns without it. Also the same for each call.

        Raises:
            UnknownResourceError: no built-in resource of that name, or one that cannot be watched.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, or not the informer's own transform or storage.
            MissingDependencyError: compact storage without its extra.
            StoppedError: the factory has stopped.
            TypeError: a `type` that objects cannot be decoded into, or a class that is not decorated.
        """
        found, into = _asked_for(resource, type)
        settings = InformerSettings(
            scope=scope,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            transform=transform,
            storage=storage,
        )
        covered, informer, _ = self._obtain(found, settings)
        self._uses.keep(informer)
        return informer if into is None else self._typed_view(covered, informer, into)

    @overload
    def use(
        self,
        resource: Resource | str,
        *,
        type: None = None,
        timeout: float | None = None,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> AbstractAsyncContextManager[SharedInformer]: ...

    @overload
    def use(
        self,
        resource: Resource | str,
        *,
        type: builtins.type[T],
        timeout: float | None = None,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> AbstractAsyncContextManager[TypedInformer[T]]: ...

    def use(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `informer`
        timeout: float | None = None,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> AbstractAsyncContextManager[Any]:
        """Use an informer for a limited time. It ends, and its cache is freed, `grace` seconds after its last use.

            async with factory.use(PODS, scope=Namespaces(tenant), timeout=10) as pods:
                names = [pod.name for pod in pods.lister.list()]

        All uses of one scope share one informer. If `informer` has returned it, before or meanwhile, it does not end.
        Entering the context waits until the cache has synced. If that fails or is cancelled, the use has ended.

        Args:
            resource: as for `informer`.
            type: as for `informer`.
            timeout: seconds to wait for the first list at most; `None` waits for ever.
            grace: seconds from the end of the last use to the end of the informer.
            settings: as for `informer`.

        Raises:
            NotStartedError: on entering, the factory has not been started.
            CacheSyncError: on entering, the cache has not synced in time.
            ValueError: a negative grace; also for the reasons that `informer` has.
        """
        if grace < 0:
            msg = f"grace={grace!r} makes no sense: give the seconds from the last use to the end of the informer"
            raise ValueError(msg)
        found, into = _asked_for(resource, type)
        return self._use(found, into, timeout, grace, settings)

    @asynccontextmanager
    async def _use(
        self,
        resource: Resource,
        into: builtins.type[Any] | None,
        timeout: float | None,
        grace: float,
        settings: InformerSettings,
    ) -> AsyncGenerator[SharedInformer | TypedInformer[Any]]:
        if not self._started:
            msg = "the factory has not been started: nothing can be used; use `async with factory:` or start()"
            raise NotStartedError(msg)
        covered, informer, new = self._obtain(resource, settings)
        self._uses.begin(informer, new=new)
        try:
            await informer.synced(timeout)
            yield informer if into is None else self._typed_view(covered, informer, into)
        finally:
            self._uses.end(informer, grace)

    def _obtain(self, resource: Resource, settings: InformerSettings) -> tuple[ScopedResource, SharedInformer, bool]:
        """Return the key of the informer with these settings, the informer, and whether it is new."""
        scope, namespace = settings.get("scope"), settings.get("namespace")
        transform, storage = settings.get("transform"), settings.get("storage")
        if namespace is None and resource.namespaced:
            namespace = self._namespace
        share = _group_share(resource, settings.get("shard"))
        given = ScopeSettings(
            namespace=namespace,
            label_selector=settings.get("label_selector"),
            field_selector=settings.get("field_selector"),
            metadata_only=settings.get("metadata_only", False),
            shard=cast("ShardLike | None", settings.get("shard")) if share is None else Ranges(by=by_of(share)),
        )
        covered = ScopedResource(resource, Scope.of(**given) if scope is None else _with_settings(scope, given))
        if self._stopped:
            msg = "the factory has stopped: it makes no informers any more; make a new factory"
            raise StoppedError(msg)
        self._follow_scopes()
        informer = self._informers.get(covered) if share is None else self._followers.get((covered, share))
        if informer is not None and not informer.stopped:
            if transform is not None and transform is not self._transform_of(informer):
                msg = f"the informer of {covered} exists already, with another transform; give each the same"
                raise ValueError(msg)
            if storage is not None and checked_storage(storage) != informer.status.storage.storage:
                msg = f"the informer of {covered} exists already, with another storage; give each the same"
                raise ValueError(msg)
            return covered, informer, False
        if share is not None and covered in self._informers:
            msg = f"an informer of {covered} exists that does not follow this group; make it with another factory"
            raise ValueError(msg)
        may_change = scope is not None or not covered.scope.is_single or isinstance(covered.scope.shard, Ranges)
        make = self._make_scoped if may_change else self._make
        informer = self._informers[covered] = make(covered, transform, storage or self._storage)
        self._transforms[covered] = transform
        if share is not None:
            self._followers[covered, share] = informer
            engine_of(share.group).add_caches(
                InformerSlices(informer, covered.scope, share, self._metadata_of(resource))
            )
        if self._started:
            informer.start()
        return covered, informer, True

    def _transform_of(self, informer: SharedInformer) -> Transform | None:
        found = (self._transforms[covered] for covered, one in self._informers.items() if one is informer)
        return next(found, None)

    def _metadata_of(self, resource: Resource) -> Callable[[Scope], ListerWatcher]:
        """Return a function that makes a source of the metadata of objects in a scope of one term."""
        return lambda scope: self._client.list_watch(
            resource,
            namespace=scope.namespace or None,
            label_selector=str(scope.label_selector),
            field_selector=str(scope.field_selector),
            metadata_only=True,
            shard=scope.shard,
        )

    def _follow_scopes(self) -> None:
        """Store each informer under the scope that it covers now, and forget those that were stopped."""
        for covered, informer in [*self._informers.items()]:
            if informer.stopped and informer.status.state is InformerState.STOPPED and not self._stopped:
                self._forget(informer)
            elif informer.scope is not None and informer.scope != covered.scope:
                now = ScopedResource(covered.resource, informer.scope)
                if now in self._informers:
                    # Two informers of one scope: the one that changed goes on, but is not returned any more.
                    self._others.add(informer)
                else:
                    self._informers[now] = informer
                    self._transforms[now] = self._transforms[covered]
                del self._informers[covered], self._transforms[covered]

    def _forget(self, informer: SharedInformer) -> None:
        """Remove an informer and its views."""
        for covered in [covered for covered, found in self._informers.items() if found is informer]:
            del self._informers[covered], self._transforms[covered]
        for key in [key for key, view in self._views.items() if view.informer is informer]:
            del self._views[key]
        for follower in [follower for follower, found in self._followers.items() if found is informer]:
            del self._followers[follower]

    def _drop(self, informer: SharedInformer) -> None:
        """End an informer that is not in use any more."""
        self._forget(informer)
        if not self._stopped and not informer.stopped:
            self._ending.add(informer)
            informer.request_stop()

    @overload
    async def discover(
        self, name: str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> SharedInformer: ...

    @overload
    async def discover(
        self, name: str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> TypedInformer[T]: ...

    async def discover(
        self,
        name: str,
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `informer`
        **settings: Unpack[InformerSettings],
    ) -> SharedInformer | TypedInformer[Any]:
        """Return the informer of a resource by its name in kubectl, also of a custom resource.

        Names of custom resources are, for example, "widgets.v1.example.com" and "wd". Like `informer`, but a name that
        is not built in is looked up by discovery at the API server. If the call is cancelled, no informer is made.

        Raises:
            UnknownResourceError: the server has no such resource; the message gives similar names.
            ApiError: the server refused the discovery.
            TransportError: the server did not answer.
        """
        resource = await self._client.resolve(name)
        checked_settings(resource, settings)
        return self.informer(resource, type=type, **settings)

    def start(self) -> None:
        """Start all informers made so far. An informer that is made later starts at once.

        Raises:
            AlreadyStartedError: the factory was started before.
            StoppedError: the factory was stopped before.
            WrongLoopError: the client was entered in another event loop.
        """
        if self._stopped:
            msg = "the factory has stopped and cannot be started again; make a new one"
            raise StoppedError(msg)
        if self._started:
            msg = "the factory has been started already; informers asked for from now on start by themselves"
            raise AlreadyStartedError(msg)
        self._own_loop.take()
        self._started = True
        try:
            for informer in self._informers.values():
                # An informer that was started on its own goes on, and ends with the factory.
                if informer.status.state is InformerState.NEW:
                    informer.start()
        except BaseException:
            # A factory that fails half way leaves no informer running.
            self._stopped = True
            for informer in self._informers.values():
                informer.request_stop()
            raise

    async def stop(self) -> None:
        """Stop all informers and wait for their end: no task and no watch is left. Stopping twice does no harm.

        If cancelled, all informers still end.

        Raises:
            ExceptionGroup: informers had failed by defects of their own.
            WrongLoopError: the factory was started in another event loop.
        """
        if not self._stopped:
            self._own_loop.check()
        self._stopped = True
        self._uses.close()
        informers = [*self._informers.values(), *self._others, *self._ending]
        for informer in informers:
            informer.request_stop()
        failures: list[Exception] = []
        for informer in informers:
            try:
                await informer.stop()
            except Exception as error:  # noqa: BLE001 - collected, and raised below when all have ended
                failures.append(error)
        if failures:
            msg = "informers failed"
            raise ExceptionGroup(msg, failures)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def wait_for_cache_sync(self, timeout: float | None = None, *, fail_fast: bool = False) -> None:
        """Wait until the first list of every informer is completely in its cache.

        Args:
            timeout: seconds to wait at most, for all together; `None` waits for ever.
            fail_fast: raise as soon as the server answers one informer with 401, 403 or 404, which only a person can
                mend. The informers go on trying all the same.

        Raises:
            CacheSyncError: not in time, or refused; names each cache that has not synced, and its last error.
            StoppedError: an informer ended before that.
            LifecycleError: the factory has not been started, so nothing would ever come.
            WrongLoopError: the factory was started in another event loop.
        """
        if not self._started:
            msg = "the factory has not been started: nothing would ever sync; use `async with factory:` or start()"
            raise LifecycleError(msg)
        self._own_loop.check()
        informers = [*self._informers.items()]
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                for covered, informer in informers:
                    if not informer.has_synced:
                        group.create_task(informer.synced(fail_fast=fail_fast), name=f"kinformer waits for {covered}")
        except TimeoutError:
            raise _not_in_sync(informers, f"after {timeout} s") from _first_error(informers)
        except ExceptionGroup as failed:
            first = failed.exceptions[0]
            if not isinstance(first, CacheSyncError):
                raise first from None
            raise _not_in_sync(informers, "and cannot be") from first.__cause__

    def is_fresh(self, max_age: float) -> bool:
        """Return whether every cache is known to be at most `max_age` seconds old; see `SharedInformer.is_fresh`."""
        return all(informer.is_fresh(max_age) for informer in self._informers.values())

    def _typed_view(
        self, covered: ScopedResource, informer: SharedInformer, into: builtins.type[T]
    ) -> TypedInformer[T]:
        view = self._views.get((covered, into))
        # A new informer of the same scope has replaced one that was stopped.
        if view is None or view.informer is not informer:
            view = self._views[covered, into] = TypedInformer(informer, into)
        return view

    def _builtin(self, resource: Resource) -> SharedInformer:
        return self.informer(resource)

    def _make_scoped(self, covered: ScopedResource, transform: Transform | None, storage: Storage) -> SharedInformer:
        def make(scope: Scope, part: ScopePart) -> ListerWatcher:
            return self._client.list_watch(
                covered.resource,
                namespace=part.namespace or None,
                label_selector=str(part.labels),
                field_selector=str(part.fields),
                metadata_only=scope.metadata_only,
                shard=scope.shard,
            )

        return self._informer_of(
            ScopedSource(covered.scope, make, self._follow_namespaces), covered, transform, storage
        )

    def _follow_namespaces(self) -> NamespaceLabels:
        """Return the one informer of namespaces, metadata only, for all scopes that depend on them."""
        found = self._informers.get(_NAMESPACES)
        new = found is None or found.stopped
        if found is not None and not new:
            informer = found
        else:
            informer = self._informers[_NAMESPACES] = self._make(_NAMESPACES, None, self._storage)
            self._transforms[_NAMESPACES] = None
        if informer.status.state is InformerState.NEW:
            informer.start()
        self._uses.begin(informer, new=new)
        return NamespaceLabels(informer, lambda: self._uses.end(informer, GRACE))

    def _make(self, covered: ScopedResource, transform: Transform | None, storage: Storage) -> SharedInformer:
        scope = covered.scope
        source = self._client.list_watch(
            covered.resource,
            namespace=scope.namespace or None,
            label_selector=str(scope.label_selector),
            field_selector=str(scope.field_selector),
            metadata_only=scope.metadata_only,
            shard=scope.shard,
        )
        return self._informer_of(source, covered, transform, storage)

    def _informer_of(
        self,
        source: ListerWatcher | ScopedSource,
        covered: ScopedResource,
        transform: Transform | None,
        storage: Storage,
    ) -> SharedInformer:
        return SharedInformer(
            source,
            name=str(covered),
            namespace="" if isinstance(source, ScopedSource) else covered.scope.namespace,
            resync=self._resync,
            backoff=self._backoff,
            transform=transform,
            trim=self._trim,
            storage=storage,
            on_error=self._on_error,
            give_up_after=self._give_up_after,
            on_give_up=self._on_give_up,
            streaming=self._streaming_of(covered.resource),
            watch_seconds=self._watch_seconds,
            starts=self._starts,
            own_writes=self._own_writes,
            metrics=self._metrics,
        )

    def _streaming_of(self, resource: Resource) -> StreamingMemory:
        memory = self._streaming.get(resource)
        if memory is None:
            off = "" if self._streaming_lists else "switched off (streaming_lists=False)"
            memory = self._streaming[resource] = StreamingMemory(off)
        return memory


def _not_in_sync(informers: Sequence[tuple[ScopedResource, SharedInformer]], when: str) -> CacheSyncError:
    late = {str(covered): informer for covered, informer in informers if not informer.has_synced}
    causes = {name: informer.status.last_error for name, informer in late.items()}
    listed = "; ".join(
        f"{name}: {cause if cause is not None else f'no error, {late[name].status.listed} objects so far'}"
        for name, cause in causes.items()
    )
    return CacheSyncError(f"{len(late)} of {len(informers)} caches are not in sync {when}: {listed}", causes)


def _first_error(informers: Sequence[tuple[ScopedResource, SharedInformer]]) -> BaseException | None:
    late = (informer.status.last_error for _, informer in informers if not informer.has_synced)
    return next((error for error in late if error is not None), None)
