"""SharedInformer: one watch and one cache for any number of handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from kinformer._notebook_table import escape
from kinformer._own_writes.pending import set_pending_writes
from kinformer.informer._core import InformerCore
from kinformer.informer._failure_listeners import FailureListeners
from kinformer.informer._handler_task import handler_of, name_of
from kinformer.informer._mailbox import make_mailbox
from kinformer.metrics import NO_METRICS, guarded
from kinformer.reflector._reflector import STREAM_DEADLINE
from kinformer.reflector._state_machine import MIN_WATCH_SECONDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from kinformer.backoff import Backoff
    from kinformer.cache.indexer import Indexer, IndexFunction
    from kinformer.cache.lister import Lister
    from kinformer.cache.snapshot import CacheSnapshot
    from kinformer.cache.storage import Storage
    from kinformer.errors import KinformerError
    from kinformer.events import Delivery, EventHandler
    from kinformer.informer._scoped_source import ScopedSource
    from kinformer.informer._waiters import Predicate
    from kinformer.informer.event_stream import EventStream
    from kinformer.informer.registration import HandlerRegistration
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.operators.shard_group import GroupShare
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector._state_machine import StreamingMemory
    from kinformer.reflector.trim import Trim
    from kinformer.resources import Resource
    from kinformer.scope import Scope, ShardLike
    from kinformer.status import InformerStatus

__all__ = ["SharedInformer", "core_of"]


class SharedInformer:
    """Keeps a cache equal to the API server, and delivers every change to any number of handlers.

    Made by a `SharedInformerFactory`, or by hand for use on its own:

        async with SharedInformer(client.list_watch(PODS)) as pods:
            await pods.synced(timeout=30)

    An informer runs once. After `stop` the cache can still be read, but it is not updated any more.

    Order: a change goes into the cache first, and then to the handlers. So a handler never sees a cache older than its
    event, but it may see a newer one. Each handler gets the changes of each object in the order in which they happened.

    Attributes:
        on_demand: true while only uses keep it (`SharedInformerFactory.use`). Readiness does not wait for it then.

    Args:
        source: source of the objects.
        name: name for logs, errors and metrics; the full name of the resource by default.
        namespace: the only namespace that the source covers, or "" for all. With it, the lister needs no namespace.
        resync: seconds between resyncs of handlers that do not set their own period; 0 for none.
        backoff: delays between attempts after a failure.
        transform: function that is called exactly once for each object that arrives, with its manifest, before the
            object is stored. It returns the manifest to keep, or `None` to leave the object out. It must not change
            name, namespace, uid or resource version.
        trim: fields to remove from each object that arrives. It runs before the transform and costs much less.
            `Trim()` removes `managedFields` and kubectl's last-applied annotation, often more than half of an object.
        storage: form of the objects in the cache: "plain", the JSON as it arrived, or "compact", compressed to a tenth
            or less, for some 10 µs more per change, and per object that is read beyond its head. "compact" needs
            `pip install 'kinformer[compact]'`.
        on_error: function that is called with every failure: `on_error(error, informer)`. It runs on the loop, so keep
            it short. `add_error_handler` adds more.
        give_up_after: retry budget: seconds of failure without a single success, after which the informer gives up.
            By default it never gives up.
        on_give_up: function that is called then, with the last error: `on_give_up(error, informer)`. If it returns
            true, the informer gets the same budget again. Otherwise it ends in the state GAVE_UP; its cache can be read
            as it was last.
        streaming: whether its lists are streamed, shared with other informers of the resource. By default they are
            streamed if source and server support that.
        stream_deadline: seconds without progress after which a streaming list is replaced by a paged one.
        watch_seconds: shortest time that the server is asked to keep a watch open; the longest is twice that. A
            connection that died silently (half-open) is noticed at the latest 5 seconds after that.
        starts: limit on the first lists that are under way at once, shared with other informers.
        own_writes: whether the cache is kept up with the writes of the source's client, see `caught_up`.
        metrics: sink for counts.

    Raises:
        MissingDependencyError: compact storage without its extra.
        ValueError: unknown storage, negative `resync`, or `watch_seconds` below 1.

    Examples:
        >>> pods.add_event_handler(on_add=lambda pod: print("new:", pod.name))
        <HandlerRegistration ...>
        >>> pod = await pods.wait_for("web-0", lambda pod: pod is not None, timeout=30, namespace="default")
        >>> pod.at("spec.nodeName")
        'node-1'
    """

    def __init__(
        self,
        source: ListerWatcher | ScopedSource,
        *,
        name: str = "",
        namespace: str = "",
        resync: float = 0.0,
        backoff: Backoff | None = None,
        transform: Transform | None = None,
        trim: Trim | None = None,
        storage: Storage = "plain",
        on_error: Callable[[KinformerError, SharedInformer], object] | None = None,
        give_up_after: float | None = None,
        on_give_up: Callable[[KinformerError | None, SharedInformer], object] | None = None,
        streaming: StreamingMemory | None = None,
        stream_deadline: float = STREAM_DEADLINE,
        watch_seconds: int = MIN_WATCH_SECONDS,
        starts: asyncio.Semaphore | None = None,
        own_writes: bool = True,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        name = name or source.resource.full_name
        self.on_demand = False
        self._listeners = FailureListeners(self, name, on_error, on_give_up)
        self._metrics = guarded(metrics)
        self._content: Literal["whole", "trimmed", "transformed"] = (
            "transformed" if transform is not None else "whole" if trim is None else "trimmed"
        )
        self._core = InformerCore(
            source,
            name=name,
            namespace=namespace,
            resync=resync,
            backoff=backoff,
            transform=transform,
            trim=trim,
            storage=storage,
            listeners=self._listeners,
            give_up_after=give_up_after,
            streaming=streaming,
            stream_deadline=stream_deadline,
            watch_seconds=watch_seconds,
            starts=starts,
            own_writes=own_writes,
            metrics=self._metrics,
            on_end=self._ended,
        )
        set_pending_writes(self, self._core.dispatcher.pending_writes)

    def _ended(self) -> None:
        self._metrics.informer_stopped(self)

    def __repr__(self) -> str:
        core = self._core
        return f"<SharedInformer {core.name} {core.record.state} objects={len(core.indexer)}>"

    def _repr_html_(self) -> str:
        """The state and the first objects as a table, for Jupyter."""
        return f"<p>{escape(repr(self))}</p>{self.lister._repr_html_()}"

    @property
    def name(self) -> str:
        """Name in logs, errors and metrics."""
        return self._core.name

    @property
    def resource(self) -> Resource:
        """Resource of the cached objects."""
        return self._core.source.resource

    @property
    def lister(self) -> Lister:
        """Reads of the cache. May be kept."""
        return self._core.lister

    @property
    def indexer(self) -> Indexer:
        """The cache itself. Only the informer may write to it."""
        return self._core.indexer

    @property
    def content(self) -> Literal["whole", "trimmed", "transformed"]:
        """Content of the cached objects: all of it, all but what a `Trim` removes, or the result of a transform."""
        return self._content

    @property
    def has_synced(self) -> bool:
        """True once the first list is completely in the cache. Never goes back to false."""
        return self._core.dispatcher.has_synced

    @property
    def stopped(self) -> bool:
        """True if the informer has ended: it was stopped, it gave up, or it failed by a defect of its own."""
        return self._core.life_cycle.stopped

    @property
    def is_live(self) -> bool:
        """True if a watch is open now, so that the cache follows the server.

        After watches that failed and brought nothing, a new watch counts only when it brings something, or has been
        open for longer than any of them was.
        """
        return self._core.present_record.is_well(self._core.life_cycle.clock())

    def is_fresh(self, max_age: float) -> bool:
        """Return whether the cache is known to be at most `max_age` seconds old.

        True means: the informer has synced, and the server has sent something within that time (an event, a bookmark,
        or the answer to a list or a watch). API servers send a bookmark each minute to a watch that has had an event,
        and end a watch that has had none after 5 to 10 minutes. So a sensible `max_age` is 75 at least, and 610 for
        resources that hardly ever change.

        Raises:
            ValueError: a negative age.
        """
        if max_age < 0:
            msg = f"max_age={max_age!r} makes no sense: give the highest allowed age in seconds"
            raise ValueError(msg)
        contact = self._core.present_record.last_contact
        return (
            self.has_synced
            and not self.stopped
            and contact is not None
            and self._core.life_cycle.clock() - contact <= max_age
        )

    @property
    def resource_version(self) -> str:
        """Version of the cache; "" before the first list. All changes up to it are in it; objects may be newer."""
        return self._core.dispatcher.resource_version

    @property
    def status(self) -> InformerStatus:
        """Present status. May be read from any thread."""
        return self._core.status()

    @property
    def shard(self) -> ShardLike | None:
        """Shard of the objects that the informer covers; `None` if it covers all."""
        return getattr(self._core.source, "shard", None)

    @property
    def group_share(self) -> GroupShare | None:
        """The share of a shard group that the informer follows; `None` if it follows none."""
        return self._core.group_share

    @property
    def scope(self) -> Scope | None:
        """The scope that the informer covers now, if it was made with `scope=`; else `None`."""
        return self._core.relists.scope

    @property
    def covered_scopes(self) -> tuple[Scope, ...] | None:
        """The scopes whose objects are all in the cache now, each of one list and watch; `None` if `scope` is.

        They differ from `scope` while it changes, while namespaces come and go, and where the server refuses a part.
        The same tuple is returned until they change.
        """
        return self._core.relists.covered

    async def set_scope(self, scope: Scope, timeout: float | None = None) -> None:
        """Cover another scope from now on; return when the cache shows it.

        Objects that stay in the scope are not listed again, and handlers get no event of them. New parts are listed
        while the old watches go on; their objects come as `Added`. Objects that are outside now come as `Deleted` with
        `out_of_scope`, after all new parts have listed. A part that the server refuses does not hold up the others; see
        `status.scopes`. If cancelled, the switch goes on; of two that overlap, the later one counts. Before the start,
        the scope is the one to begin with.

        Args:
            scope: the scope, with the `metadata_only` of the present one. Its shard may be another one: then only the
                ranges that the present one lacks are listed, and one watch covers all of them in the end.
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            TypeError: the informer was not made with `scope=`, or follows a shard group; or the value is no scope.
            ValueError: another `metadata_only`, or namespaces for a cluster-scoped resource.
            WaitTimeoutError: not in time; the switch goes on.
            StoppedError: the informer has ended, or ended before that.
        """
        if self._core.group_share is not None:
            msg = f"{self.name} covers the slices of a shard group, which sets its scope"
            raise TypeError(msg)
        await self._core.relists.set_scope(self.resource, scope, timeout)

    async def find(self, key: ObjectKey) -> KubeObject | None:
        """Read the metadata of one object from the server, also if another shard covers it; `None` if there is none.

        Raises:
            ApiError: the server refused.
            TransportError: no complete answer came.
        """
        find: Callable[[ObjectKey], Awaitable[KubeObject | None]] | None = getattr(self._core.source, "find", None)
        return self._core.indexer.get_by_key(key) if find is None else await find(key)

    @property
    def handlers(self) -> tuple[HandlerRegistration, ...]:
        """The registered handlers."""
        return self._core.handlers

    @property
    def pending(self) -> int:
        """Number of objects with changes that have arrived, but are not in the cache yet."""
        return len(self._core.fifo)

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> Awaitable[None]:
        """Add indexes, at any time. Reads may use them at once.

        If the cache is large, its objects are indexed in the background, so that other tasks have their turn. `await`
        of the result waits until that is done. A read of an index that comes earlier indexes the rest of the objects
        itself: it is complete, but holds the loop for some 5 µs per object.

        Args:
            indexers: by name, functions from an object to its index values:
                `{"node": lambda pod: [pod.at("spec.nodeName", "")]}`.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added.
            StoppedError: the informer has stopped.
        """
        return self._core.add_indexers(indexers)

    def declare_paths(self, *paths: str) -> None:
        """Declare paths that handlers, filters and index functions read by `at`, at any time.

        The pass that decodes the head of an object notes the values at these paths on its way, so that `at` finds them
        without going over the object again: 0.4 µs in place of 2 to 3 µs for each path of a pod of 9 KB. Objects that
        arrived before are read as without the declaration; so are fields of `metadata`, objects that a transform has
        made, and cached objects in compact storage. What `at` returns is the same in all cases.

        The place of a section that contains a declared path is not noted. So a handler that reads other fields of the
        same section by `[]` pays for one more pass over the object; declare those fields, too.

        Args:
            paths: as `KubeObject.at` takes them: "spec.nodeName", "status.phase", "spec.containers[0].image".

        Raises:
            ValueError: a text that is no path; nothing was declared.
            TypeError: a path is not a string.
        """
        self._core.declare_paths(paths)

    def add_event_handler(
        self,
        on_event: EventHandler | None = None,
        *,
        on_add: Callable[[KubeObject], Awaitable[object] | object] | None = None,
        on_update: Callable[[KubeObject, KubeObject], Awaitable[object] | object] | None = None,
        on_delete: Callable[[KubeObject], Awaitable[object] | object] | None = None,
        resync: float | None = None,
        delivery: Delivery = "every",
        name: str = "",
    ) -> HandlerRegistration:
        """Add a handler, at any time. It gets an `Added` for every object in the cache, then every change.

        Args:
            on_event: plain function or coroutine function that takes the whole event; or, instead of it, some of these:
            on_add: takes the new object.
            on_update: takes the old and the new object.
            on_delete: takes the last known state.
            resync: seconds after which this handler gets every object again, as an update from itself to itself (at
                least 1); 0 for never; by default the period of the informer.
            delivery: "every" event, or only the "latest" state of each object when the handler falls behind.
            name: name for logs; by default the name of the function.

        Raises:
            StoppedError: the informer has stopped.
            TypeError: no function was given, or both forms.
            ValueError: unknown delivery, or a negative resync.
        """
        handler = handler_of(on_event, on_add, on_update, on_delete)
        name = name or name_of(on_event, on_add, on_update, on_delete)
        return self._core.register(handler, make_mailbox(delivery), name=name, resync=resync)

    def events(self, *, delivery: Delivery = "every", initial: bool = True) -> EventStream:
        """Iterate over the changes: first `Added(initial=True)` for every object in the cache, then every change.

        Events are collected from this call on, not from the first step of the iteration.

        Args:
            delivery: "every" event, or only the "latest" state of each object when the consumer falls behind.
            initial: whether the iteration begins with the objects in the cache. For a large cache, give False and take
                a `snapshot` right after this call; then the consumer goes through the snapshot at its own pace.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: unknown delivery.
        """
        return self._core.attach(make_mailbox(delivery), initial=initial)

    def start(self) -> None:
        """Start to list and watch, in the background of the running event loop.

        Raises:
            AlreadyStartedError: the informer was started before; informers run once.
        """
        self._core.start()
        self._metrics.informer_started(self)

    async def stop(self) -> None:
        """End the informer: close the watch, drop the events that wait, and cancel the handlers that run.

        When this has returned, no task and no connection is left. Stopping twice does no harm. If the call is
        cancelled, the informer ends all the same. A handler that stops its own informer is cancelled at this call.

        Raises:
            ExceptionGroup: the informer had failed by a defect of its own; see `status.last_error`.
        """
        await self._core.life_cycle.stop()

    def request_stop(self) -> None:
        """End the informer without waiting for its end; `stop` waits."""
        self._core.life_cycle.request_stop()

    async def synced(self, timeout: float | None = None, *, fail_fast: bool = False) -> None:
        """Wait until the first list is completely in the cache.

        Args:
            timeout: seconds to wait at most; `None` waits for ever.
            fail_fast: raise as soon as the server answers with 401, 403 or 404, which only a person can mend. The
                informer goes on trying all the same.

        Raises:
            CacheSyncError: not in time, or refused; names the last error of the informer.
            StoppedError: the informer ended before that.
        """
        await self._core.waits.synced(timeout, fail_fast=fail_fast)

    async def wait_for(
        self,
        key: ObjectKey | str,
        predicate: Predicate | None = None,
        timeout: float | None = None,
        *,
        namespace: str | None = None,
    ) -> KubeObject | None:
        """Wait until a predicate holds for an object; return the object, or `None` if its absence was wanted.

            await pods.wait_for("web-0", phase("Running") & condition_true("Ready"), 60, namespace="shop")
            await pods.wait_for("web-0", lambda pod: pod and pod.at("spec.nodeName"), 60, namespace="shop")

        Args:
            key: a key, or a name.
            predicate: takes the object, or `None` if it does not exist (once the cache has synced). By default it holds
                if the object exists. The conditions of `kinformer.operators.wait_conditions` have names, can be
                combined, and explain in the error why they do not hold. The predicate is called at once and then with
                each change of the object. So a state that lasts only a moment is not missed if the cache has it.
            timeout: seconds to wait at most; `None` waits for ever.
            namespace: namespace of a name, unless the informer covers one namespace only.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started, so no object would ever come.
            ValueError: the namespace is missing.
            Exception: the exception of the predicate.
        """
        return await self._core.waits.wait_for(key, predicate, timeout, namespace)

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None = None, timeout: float | None = 5.0
    ) -> None:
        """Wait until the cache shows a write. Later reads of the cache are not older than it.

            pod = await client.patch(PODS, "web-0", {...}, namespace="shop")
            await pods.caught_up(pod)

        For most writes this takes at most one turn of the loop: the answer to a write through the informer's own
        client goes into the cache ahead of the watch. Deletions come by the watch, and so does every write if the
        informer has field selectors. A `Controller` does this by itself for each key. Cancelling leaves nothing behind.

        Args:
            what: an object, as the server answered with it: wait for this version of it, or a newer one. An
                `ObjectKey`: wait for every write to this object through the client so far, deletions included. A
                resource version: wait until every change up to it is in the cache, which for a quiet resource may take
                a minute, until the next bookmark. `None`: wait for every write through the client so far.
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer has ended, or ended before that.
            NotStartedError: the informer has not been started.
            DecodeError: `what` is a mapping, but no object.
            ValueError: `what` is no version, or an object without one.
        """
        await self._core.written.caught_up(what, timeout)

    async def relist(self, timeout: float | None = None) -> None:
        """List again, whatever the informer does now, and wait until the cache is equal to that list.

        Handlers get the changes that the watch had missed, as after an outage. If cancelled, the list is made all the
        same.

        Args:
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            WaitTimeoutError: not in time; the informer goes on trying.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
        """
        await self._core.relists.relist(timeout)

    def reconnect(self) -> None:
        """Close the watch and open another one from the version of the cache; also cuts short a wait for a retry.

        Useful if the program knows that the network is back, or that a load balancer has moved. No change is lost, and
        none is delivered twice.

        Raises:
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        self._core.relists.reconnect()

    def observe(self, obj: KubeObject | Mapping[str, Any]) -> bool:
        """Take the answer to a write into the cache, ahead of the watch; return whether it was taken.

        The object is not taken in three cases: the cache has reached its version already (the object may have changed
        or gone since); it lies outside of what the informer covers; or that cannot be decided here (field selectors
        other than name and namespace). Handlers get the change once: the watch's event of that version is the same.

        Writes through the informer's own client are observed without this call (`own_writes`). It is for the writes of
        other clients.

            informer.observe(await another_client.patch(PODS, "web-0", {...}, namespace="shop"))

        Raises:
            DecodeError: this is no object.
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        return self._core.written.observe(obj)

    def snapshot(self) -> CacheSnapshot:
        """Return the whole cache as it is now, with its version. Later changes do not affect it."""
        return self._core.snapshot()

    def add_error_handler(self, on_error: Callable[[KinformerError, SharedInformer], object]) -> Callable[[], None]:
        """Add a function that is called with every failure from now on; return a function that removes it."""
        return self._listeners.add(on_error)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()


def core_of(informer: SharedInformer) -> InformerCore:
    """Return the parts of an informer. For this package only: users have the methods of the informer."""
    return informer._core
