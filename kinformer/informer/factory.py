"""SharedInformerFactory: all callers share one informer, one task and one watch per scope."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, overload

from kinformer._declared_paths import checked_paths
from kinformer._own_loop import OwnLoop
from kinformer.cache.storage import checked_storage
from kinformer.errors import (
    AlreadyStartedError,
    NotStartedError,
    StoppedError,
)
from kinformer.informer._api_groups import ApiGroups
from kinformer.informer._by_scope import InformersByScope
from kinformer.informer._joint_sync import wait_until_synced
from kinformer.informer._maker import InformerMaker
from kinformer.informer._namespace_labels import NamespaceLabels
from kinformer.informer._uses import Uses
from kinformer.informer.settings import InformerSettings, checked_settings, requested, scope_of
from kinformer.metrics import NO_METRICS
from kinformer.reflector._state_machine import MIN_WATCH_SECONDS
from kinformer.resources import NAMESPACES, Resource
from kinformer.scope import Ranges, Scope, ScopedResource
from kinformer.status import InformerState

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kinformer.backoff import Backoff
    from kinformer.cache.storage import Storage
    from kinformer.errors import KinformerError
    from kinformer.events import T
    from kinformer.informer._maker import Sources
    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.informer.typed import TypedInformer
    from kinformer.labels import SelectorInput
    from kinformer.metrics import Metrics
    from kinformer.operators.shard_group import GroupShare, ShardGroup
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector.trim import Trim
    from kinformer.scope import FieldSelectorInput, ShardLike

__all__ = ["SharedInformerFactory"]

GRACE: Final = 30.0
"""Seconds that an informer goes on after its last use: the next request of a user finds it in sync."""

_NAMESPACES: Final = ScopedResource(NAMESPACES, Scope(metadata_only=True))


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
        self._namespace = namespace or ""
        self._storage = checked_storage(storage)
        self._maker = InformerMaker(
            client,
            self._follow_namespaces,
            streaming_lists=streaming_lists,
            resync=resync,
            backoff=backoff,
            trim=trim,
            on_error=on_error,
            give_up_after=give_up_after,
            on_give_up=on_give_up,
            watch_seconds=watch_seconds,
            starts=asyncio.Semaphore(concurrent_starts),
            own_writes=own_writes,
            metrics=metrics,
        )
        self._informers = InformersByScope()
        self._uses = Uses(self._drop)
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
        self._informers.follow_scopes(keep_stopped=self._stopped)
        return dict(self._informers.items())

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
        paths: Sequence[str] = (),
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
            paths: paths that handlers and index functions read by `at`, for example `["spec.nodeName"]`; they are added
                to those that other callers have declared. See `SharedInformer.declare_paths`.
            type: a class of yours (msgspec.Struct, dataclass, TypedDict, pydantic model). With it, the call returns a
                `TypedInformer`: a view of the informer that the call returns without it. Also the same for each call.

        Raises:
            UnknownResourceError: no built-in resource of that name, or one that cannot be watched.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, not the informer's own transform or storage, or a
                text that is no path.
            MissingDependencyError: compact storage without its extra.
            StoppedError: the factory has stopped.
            TypeError: a `type` that objects cannot be decoded into, or a class that is not decorated.
        """
        found, into = requested(resource, type)
        settings = InformerSettings(
            scope=scope,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            transform=transform,
            storage=storage,
            paths=paths,
        )
        covered, informer, _ = self._obtain(found, settings)
        self._uses.keep(informer)
        return informer if into is None else self._informers.typed_view(covered, informer, into)

    @overload
    def use(
        self,
        resource: Resource | str,
        *,
        type: None = None,
        timeout: float | None = None,
        grace: float = GRACE,
        fail_fast: bool = False,
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
        fail_fast: bool = False,
        **settings: Unpack[InformerSettings],
    ) -> AbstractAsyncContextManager[TypedInformer[T]]: ...

    def use(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `informer`
        timeout: float | None = None,
        grace: float = GRACE,
        fail_fast: bool = False,
        **settings: Unpack[InformerSettings],
    ) -> AbstractAsyncContextManager[Any]:
        """Use an informer for a limited time. It ends, and its cache is freed, after its last use and a time of grace.

            async with factory.use(PODS, scope=Namespaces(tenant), timeout=10) as pods:
                names = [pod.name for pod in pods.lister.list()]

        All uses of one scope share one informer. If `informer` has returned it, before or meanwhile, it does not end.
        Entering the context waits until the cache has synced. If that fails or is cancelled, the use has ended.

        Args:
            resource: as for `informer`.
            type: as for `informer`.
            timeout: seconds to wait for the first list at most; `None` waits for ever.
            grace: seconds for which the informer goes on at least after the end of this use.
            fail_fast: raise as soon as the server refuses the list (401, 403, 404), which only a person can mend.
            settings: as for `informer`.

        Raises:
            NotStartedError: on entering, the factory has not been started.
            CacheSyncError: on entering, the cache has not synced in time, or is refused.
            ValueError: a negative grace; also for the reasons that `informer` has.
        """
        if grace < 0:
            msg = f"grace={grace!r} makes no sense: give the seconds from the last use to the end of the informer"
            raise ValueError(msg)
        found, into = requested(resource, type)
        return self._use(found, into, timeout, grace, settings, fail_fast=fail_fast)

    @asynccontextmanager
    async def _use(
        self,
        resource: Resource,
        into: builtins.type[Any] | None,
        timeout: float | None,
        grace: float,
        settings: InformerSettings,
        *,
        fail_fast: bool,
    ) -> AsyncGenerator[SharedInformer | TypedInformer[Any]]:
        if not self._started:
            raise self._not_started("nothing can be used")
        covered, informer, new = self._obtain(resource, settings)
        self._uses.begin(informer, new=new)
        try:
            await informer.synced(timeout, fail_fast=fail_fast)
            yield informer if into is None else self._informers.typed_view(covered, informer, into)
        finally:
            self._uses.end(informer, grace)

    def _not_started(self, consequence: str) -> NotStartedError:
        remedy = "use `async with factory:` or start(), or wait for `manager.ready()` if a Manager starts it"
        return NotStartedError(f"the factory has not been started: {consequence}; {remedy}")

    def _obtain(self, resource: Resource, settings: InformerSettings) -> tuple[ScopedResource, SharedInformer, bool]:
        """Return the key of the informer with these settings, the informer, and whether it is new."""
        transform, storage = settings.get("transform"), settings.get("storage")
        paths = checked_paths(settings.get("paths", ()))
        covered, share = scope_of(resource, settings, self._namespace)
        if self._stopped:
            msg = "the factory has stopped: it makes no informers any more; make a new factory"
            raise StoppedError(msg)
        self._informers.follow_scopes()
        informer = self._informers.find(covered, share)
        if informer is not None:
            if transform is not None and transform is not self._informers.transform_of(informer):
                msg = f"the informer of {covered} exists already, with another transform; give each the same"
                raise ValueError(msg)
            if storage is not None and checked_storage(storage) != informer.status.storage.storage:
                msg = f"the informer of {covered} exists already, with another storage; give each the same"
                raise ValueError(msg)
            informer.declare_paths(*paths)
            return covered, informer, False
        if share is not None and covered in self._informers:
            msg = f"an informer of {covered} exists that does not follow this group; make it with another factory"
            raise ValueError(msg)
        single, by_ranges = covered.scope.is_single, isinstance(covered.scope.shard, Ranges)
        may_change = settings.get("scope") is not None or not single or by_ranges
        make = self._maker.scoped_informer if may_change else self._maker.informer
        name = self._informers.free_name(str(covered))
        informer = make(name, covered, transform, storage or self._storage)
        informer.declare_paths(*paths)
        self._informers.add(covered, informer, transform, share)
        if share is not None:
            # Imported here, because most programs have no shard group.
            from kinformer.informer._slice_caches import InformerSlices
            from kinformer.operators.shard_group import engine_of

            engine_of(share.group).add_caches(
                InformerSlices(informer, covered.scope, share, self._maker.metadata_of(resource))
            )
        if self._started:
            informer.start()
        return covered, informer, True

    def _drop(self, informer: SharedInformer) -> None:
        """End an informer that is not in use any more."""
        self._informers.forget(informer)
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
            for informer in self._informers:
                # An informer that was started on its own goes on, and ends with the factory.
                if informer.status.state is InformerState.NEW:
                    informer.start()
        except BaseException:
            # A factory that fails half way leaves no informer running.
            self._stopped = True
            for informer in self._informers:
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
        informers = [*self._informers, *self._informers.replaced, *self._ending]
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
            NotStartedError: the factory has not been started, so nothing would ever come.
            WrongLoopError: the factory was started in another event loop.
        """
        if not self._started:
            raise self._not_started("nothing would ever sync")
        self._own_loop.check()
        await wait_until_synced(self._informers.items(), timeout, fail_fast=fail_fast)

    def is_fresh(self, max_age: float) -> bool:
        """Return whether every cache is known to be at most `max_age` seconds old; see `SharedInformer.is_fresh`."""
        return all(informer.is_fresh(max_age) for informer in self._informers)

    def _builtin(self, resource: Resource) -> SharedInformer:
        return self.informer(resource)

    def _follow_namespaces(self) -> NamespaceLabels:
        """Return the one informer of namespaces, metadata only, for all scopes that depend on them."""
        informer = self._informers.find(_NAMESPACES)
        new = informer is None
        if informer is None:
            informer = self._maker.informer(str(_NAMESPACES), _NAMESPACES, None, self._storage)
            self._informers.add(_NAMESPACES, informer)
        if informer.status.state is InformerState.NEW:
            informer.start()
        self._uses.begin(informer, new=new)
        return NamespaceLabels(informer, lambda: self._uses.end(informer, GRACE))
