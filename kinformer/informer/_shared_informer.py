"""SharedInformer: one reflector and one cache, many handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, Self

from kinformer._own_writes.catch_up import OwnWrites
from kinformer._own_writes.pending import Outcome
from kinformer._tasks import BackgroundTask
from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.cache.delta_fifo import DeltaFIFO
from kinformer.cache.indexer import Indexer
from kinformer.cache.lister import Lister
from kinformer.cache.snapshot import CacheSnapshot
from kinformer.cache.storage import checked_storage
from kinformer.errors import (
    AlreadyStartedError,
    CacheSyncError,
    ForbiddenError,
    KinformerError,
    NotFoundError,
    NotStartedError,
    StoppedError,
    UnauthorizedError,
    UnexpectedError,
    WaitTimeoutError,
)
from kinformer.informer._dispatcher import Dispatcher
from kinformer.informer._failure_listeners import FailureListeners
from kinformer.informer._mailbox import make_mailbox
from kinformer.informer._waiters import holds
from kinformer.informer.event_stream import EventStream
from kinformer.informer.registration import HandlerRegistration, handler_of, name_of
from kinformer.metrics import NO_METRICS, guarded
from kinformer.objects import KubeObject
from kinformer.operators.wait_conditions import Condition
from kinformer.reflector._reflector import STREAM_DEADLINE, Reflector
from kinformer.reflector._state_machine import MIN_WATCH_SECONDS, ReflectorMachine, StreamingMemory
from kinformer.status import InformerState, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from kinformer._own_writes.pending import PendingWrites
    from kinformer.backoff import Backoff
    from kinformer.cache.indexer import IndexFunction
    from kinformer.cache.storage import Storage
    from kinformer.errors import IndexFunctionError, ObjectError
    from kinformer.events import Delivery, EventHandler
    from kinformer.informer._mailbox import Mailbox
    from kinformer.informer._waiters import Predicate
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.objects import ObjectKey
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector.trim import Trim
    from kinformer.resources import Resource
    from kinformer.scope import Shard
    from kinformer.status import InformerStatus

__all__ = ["SharedInformer"]

_log = logging.getLogger(__name__)

MINIMUM_RESYNC: Final = 1.0
"""The shortest resync period, in seconds (client-go shared_informer.go, minimumResyncPeriod)."""

_ENDED: Final = frozenset({InformerState.STOPPED, InformerState.FAILED, InformerState.GAVE_UP})

_REFUSALS: Final = (UnauthorizedError, ForbiddenError, NotFoundError)


class SharedInformer:
    """Keeps a cache equal to the API server, and tells any number of handlers what changes.

    Made by a `SharedInformerFactory`, or by hand for use on its own:

        async with SharedInformer(client.list_watch(PODS)) as pods:
            await pods.synced(timeout=30)

    It runs once. After `stop` the cache can still be read, but is not kept up any more.

    Order: the cache is changed first, then the handlers are told, so that a handler never sees a cache older than its
    event (it may see a newer one). Each handler is told of each object's changes in the order they happened.

    Args:
        source: where the objects come from.
        name: for logs, errors and metrics; the resource's full name by default.
        namespace: the only namespace the source covers, or "" for all; lets the lister do without it.
        resync: seconds between resyncs of handlers that do not ask for their own; 0 for none.
        backoff: when to try again after a failure.
        transform: called exactly once for each object that arrives, before it is stored, with its manifest; it returns
            the manifest to keep, or `None` to leave the object out. It must not change name, namespace, uid or version.
        trim: what to cut out of each object that arrives, before the transform and much cheaper: `Trim()` cuts
            `managedFields` and kubectl's copy of what was applied, often more than half of an object.
        storage: how the cache holds objects: "plain", as the JSON that came, or "compact", compressed to a tenth or
            less, for some 10 µs more per change and per object of which more than the head is read. Wants
            `pip install 'kinformer[compact]'`.
        on_error: told of every failure: `on_error(error, informer)`. Called on the loop; keep it short. More can be
            added with `add_error_handler`.
        give_up_after: the retry budget: seconds of failure without a single success, after which the informer gives
            up; by default it never does.
        on_give_up: asked then, with the last error: `on_give_up(error, informer)`. If it returns true, the informer
            goes on for as long again, else it ends in the state GAVE_UP, its cache readable as it was last.
        streaming: whether its lists are streamed, shared with others of the same resource; by default they are where
            source and server do so.
        stream_deadline: seconds that a streaming list may make no progress, before a paged one takes its place.
        watch_seconds: how long a watch is asked to last, at least; at most it is twice that. A connection that died
            without a word (half-open) is noticed 5 seconds after that at the latest.
        own_writes: whether the cache is kept up with what is written through the client that the source is of, see
            `caught_up`.
        metrics: told of what is counted.

    Raises:
        MissingDependencyError: compact storage without its extra.
        ValueError: a storage that is unknown, a resync or `watch_seconds` that makes no sense.
    """

    def __init__(
        self,
        source: ListerWatcher,
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
        own_writes: bool = True,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._source = source
        self._sees_own_writes = own_writes
        self._content: Literal["whole", "trimmed", "transformed"] = (
            "transformed" if transform is not None else "whole" if trim is None else "trimmed"
        )
        self._resource = source.resource
        self._name = name or source.resource.full_name
        self._resync = _checked_resync(resync)
        self._listeners = FailureListeners(self, self._name, on_error, on_give_up)
        self._metrics = metrics = guarded(metrics)
        self._record = StatusRecord()
        compact = CompactIndexer(on_error=self._index_failed) if checked_storage(storage) == "compact" else None
        self._compact = compact
        self._indexer = Indexer(on_error=self._index_failed) if compact is None else compact
        self._lister = Lister(self._indexer, source.resource, namespace)
        self._fifo = DeltaFIFO(self._indexer)
        if watch_seconds < 1:
            msg = f"watch_seconds={watch_seconds!r} makes no sense: it is how many seconds a watch lasts, 1 at least"
            raise ValueError(msg)
        machine = ReflectorMachine(
            streaming=StreamingMemory() if streaming is None else streaming, watch_seconds=watch_seconds
        )
        if backoff is not None:
            machine.backoff = backoff
        self._reflector = Reflector(
            source,
            self._fifo,
            name=self._name,
            machine=machine,
            status=self._record,
            transform=transform,
            trim=trim,
            cached=self._indexer.known_as,
            pack=None if compact is None else compact.pack,
            on_error=self._failed,
            give_up_after=give_up_after,
            on_give_up=lambda error: self._listeners.go_on_after(error, self._record.failures),
            stream_deadline=stream_deadline,
            metrics=metrics,
        )
        # Set when it has synced, ended, or been refused; who waits looks for himself which of them it was.
        self._news = asyncio.Event()
        self._dispatcher = Dispatcher(
            self._fifo,
            self._indexer,
            name=self._name,
            on_synced=self._news.set,
            on_listed=self._list_is_cached,
        )
        self._own_writes = OwnWrites(source, self._dispatcher.pending_writes, self._reflector.observe)
        self._background = BackgroundTask(f"kinformer informer {self._name}")
        self._clock: Callable[[], float] = lambda: 0.0
        self._ending = False
        self._refusal: KinformerError | None = None
        self._relists: list[tuple[int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<SharedInformer {self._name} {self._record.state} objects={len(self._indexer)}>"

    @property
    def name(self) -> str:
        """What it is called in logs, errors and metrics."""
        return self._name

    @property
    def resource(self) -> Resource:
        """What is cached."""
        return self._resource

    @property
    def lister(self) -> Lister:
        """Reads of the cache; it may be kept."""
        return self._lister

    @property
    def indexer(self) -> Indexer:
        """The cache itself; only the informer may write to it."""
        return self._indexer

    @property
    def content(self) -> Literal["whole", "trimmed", "transformed"]:
        """How much of each object is in the cache: all, all but what a `Trim` cuts, or what a transform made of it."""
        return self._content

    @property
    def pending_writes(self) -> PendingWrites:
        """The writes through its client that the cache does not show yet."""
        return self._dispatcher.pending_writes

    @property
    def has_synced(self) -> bool:
        """Whether the first list is wholly in the cache. Never goes back to false."""
        return self._dispatcher.has_synced

    @property
    def stopped(self) -> bool:
        """Whether it has come to its end: it was stopped, it gave up, or it failed by a defect of its own."""
        return self._record.state in _ENDED

    @property
    def is_live(self) -> bool:
        """Whether a watch is open at this moment, and the cache follows the server.

        After watches that failed and brought nothing, a new one counts only when it brings something, or has been open
        for longer than any of them was.
        """
        return self._record.is_well(self._clock())

    def is_fresh(self, max_age: float) -> bool:
        """Whether the cache is known to be no older than so many seconds.

        That is: it has synced, and the server was heard of within that time: an event, a bookmark, or the answer to a
        list or a watch. API servers send a bookmark each minute to a watch that has had an event, and end a watch that
        never had one after 5 to 10 minutes; so `max_age` is sensibly 75 at least, and 610 for resources that hardly
        ever change.

        Raises:
            ValueError: a negative age.
        """
        if max_age < 0:
            msg = f"max_age={max_age!r} makes no sense: it is the age in seconds that is allowed"
            raise ValueError(msg)
        contact = self._record.last_contact
        return (
            self._dispatcher.has_synced
            and not self.stopped
            and contact is not None
            and self._clock() - contact <= max_age
        )

    @property
    def resource_version(self) -> str:
        """Everything up to this version is in the cache; single objects may be newer. "" before the first list."""
        return self._dispatcher.resource_version

    @property
    def status(self) -> InformerStatus:
        """How it is at this moment. May be asked from any thread."""
        dispatcher = self._dispatcher
        return self._record.snapshot(
            self._clock(),
            has_synced=dispatcher.has_synced,
            resource_version=dispatcher.resource_version,
            storage=self._indexer.storage_status,
            changes=dispatcher.changes,
            sharding=getattr(self._source, "sharding", ""),
            foreign_events=getattr(self._source, "foreign_events", 0),
        )

    @property
    def shard(self) -> Shard | None:
        """The share of the objects that it covers; `None` if it covers all."""
        return getattr(self._source, "shard", None)

    async def find(self, key: ObjectKey) -> KubeObject | None:
        """Read the metadata of one object from the server, also if another shard covers it; `None` if there is none.

        Raises:
            ApiError: the server refused.
            TransportError: no complete answer came.
        """
        find: Callable[[ObjectKey], Awaitable[KubeObject | None]] | None = getattr(self._source, "find", None)
        return self._indexer.get_by_key(key) if find is None else await find(key)

    @property
    def handlers(self) -> tuple[HandlerRegistration, ...]:
        """The handlers there are now."""
        return self._dispatcher.registrations

    @property
    def pending(self) -> int:
        """How many objects have changes that have arrived and are not in the cache yet."""
        return len(self._fifo)

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes, at any time; what is in the cache is indexed at once.

        Args:
            indexers: by name, functions from an object to the values it is found under:
                `{"node": lambda pod: [pod.at("spec.nodeName", "")]}`.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added.
            StoppedError: the informer has stopped.
        """
        self._refuse_if_stopped("indexers were not added")
        self._indexer.add_indexers(indexers)

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
        """Tell a handler of every change, at any time; the first it hears of is everything in the cache.

        Args:
            on_event: a plain or coroutine function that takes the whole event; or instead of it some of the following.
            on_add: takes the new object.
            on_update: takes the old and the new object.
            on_delete: takes the last known state.
            resync: seconds after which this handler is told of every object again, as an update from itself to itself
                (at least 1); 0 for never; by default the informer's own period.
            delivery: "every" event, or only the "latest" state per object when the handler falls behind.
            name: for logs; by default the function's own.

        Raises:
            StoppedError: the informer has stopped.
            TypeError: no function was given, or both forms.
            ValueError: no such delivery, or a negative resync.
        """
        handler = handler_of(on_event, on_add, on_update, on_delete)
        name = name or name_of(on_event, on_add, on_update, on_delete)
        return self.register(handler, make_mailbox(delivery), name=name, resync=resync)

    def register(
        self, handler: EventHandler, mailbox: Mailbox, *, name: str, resync: float | None = None
    ) -> HandlerRegistration:
        """What `add_event_handler` does, for those who bring a mailbox of their own; the handler gets what it gives.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: a negative resync.
        """
        self._refuse_if_stopped(f"handler {name} was not added")
        registration = HandlerRegistration(
            name,
            handler,
            mailbox,
            resync=self._resync if resync is None else _checked_resync(resync),
            forget=self._dispatcher.forget,
            failed=self._handler_failed,
            ending=lambda: self._ending,
        )
        self._dispatcher.register(registration)
        return registration

    def events(self, *, delivery: Delivery = "every", initial: bool = True) -> EventStream:
        """Iterate over the changes: first `Added(initial=True)` for everything in the cache, then what happens.

        Events are collected from this call on, not from the first step of the iteration.

        Args:
            delivery: "every" event, or only the "latest" state per object when the consumer falls behind.
            initial: whether it begins with what is in the cache. Without, and with a `snapshot` taken right after this
                call, the consumer of a large cache goes through it at its own pace.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: no such delivery.
        """
        return self.attach(make_mailbox(delivery), initial=initial)

    def attach(self, mailbox: Mailbox, *, initial: bool = True) -> EventStream[Any]:
        """What `events` does, for those who bring a mailbox of their own; the iterator gives what it gives.

        Raises:
            StoppedError: the informer has stopped.
        """
        self._refuse_if_stopped("there are no events to iterate over")
        stream: EventStream[Any] = EventStream(mailbox, self._dispatcher.detach)
        self._dispatcher.attach(stream, initial=initial)
        return stream

    def start(self) -> None:
        """Begin to list and watch, in the background of the running event loop.

        Raises:
            AlreadyStartedError: it has been started before; informers run once.
        """
        if self._record.state is not InformerState.NEW:
            msg = f"informer {self._name} has been started already; an informer runs once, make a new one"
            raise AlreadyStartedError(msg)
        self._clock = asyncio.get_running_loop().time
        self._record.enter(InformerState.LISTING, self._clock())
        if self._sees_own_writes:
            self._own_writes.begin()
        self._background.start(self._run(), on_end=self._finish)
        self._metrics.informer_started(self)

    async def stop(self) -> None:
        """End it: the watch is closed, waiting events are dropped, and handlers that are running are cancelled.

        When this has returned, no task and no connection is left. Stopping twice does no harm. If cancelled, the
        informer has still been told to end. A handler that stops its own informer is cancelled at this call.

        Raises:
            ExceptionGroup: the informer had failed by a defect of its own; see `status.last_error`.
        """
        if self._record.state is InformerState.NEW:
            self._finish()
            return
        await self._background.stop()

    def request_stop(self) -> None:
        """Tell it to end without waiting; `stop` waits."""
        if self._record.state is InformerState.NEW:
            self._finish()
        self._background.cancel()

    async def synced(self, timeout: float | None = None, *, fail_fast: bool = False) -> None:
        """Wait until the first list is wholly in the cache.

        Args:
            timeout: seconds to wait at most; `None` waits for ever.
            fail_fast: do not wait for what only a person can mend: raise as soon as the server answers with 401, 403
                or 404. (The informer goes on trying all the same.)

        Raises:
            CacheSyncError: not in time, or refused; names the last error the informer met.
            StoppedError: the informer ended before that.
        """
        try:
            async with asyncio.timeout(timeout):
                while not (self._dispatcher.has_synced or self.stopped or (fail_fast and self._refusal is not None)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            cause = self._record.last_error
            why = f"last error: {cause}" if cause is not None else f"no error, {self._record.listed} objects so far"
            msg = f"cache of {self._name} is not in sync after {timeout} s; {why}"
            raise CacheSyncError(msg, {self._name: cause}) from cause
        if self._dispatcher.has_synced:
            return
        if self.stopped:
            raise self._ended("before its cache was in sync") from (self._background.failure or self._record.last_error)
        msg = f"cache of {self._name} cannot sync: {self._refusal}"
        raise CacheSyncError(msg, {self._name: self._refusal}) from self._refusal

    async def wait_for(
        self,
        key: ObjectKey | str,
        predicate: Predicate | None = None,
        timeout: float | None = None,
        *,
        namespace: str | None = None,
    ) -> KubeObject | None:
        """Wait until an object of the cache is as wanted; returns it (`None` where its absence was wanted).

            await pods.wait_for("web-0", phase("Running") & condition_true("Ready"), 60, namespace="shop")
            await pods.wait_for("web-0", lambda pod: pod and pod.at("spec.nodeName"), 60, namespace="shop")

        Args:
            key: a key, or a name.
            predicate: takes the object, or `None` where there is none (once the cache has synced); by default that
                there is one. Those of `kinformer.operators.wait_conditions` have names, compose, and say in the
                error what was not so. It is called at once and then with each change of the object, so what lasts for a
                moment only is not missed, as long as the cache itself sees it.
            timeout: seconds to wait at most; `None` waits for ever.
            namespace: of a name, unless the informer covers one namespace only.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started, so nothing would ever come.
            ValueError: no namespace was named.
            Exception: what the predicate raises.
        """
        where = self._lister.key_of(key, namespace)
        wanted = predicate or _is_there
        self._refuse_unless_running("there is nothing to wait for")
        now = self._indexer.get_by_key(where)
        if (now is not None or self._dispatcher.has_synced) and holds(wanted, now):
            return now
        try:
            async with asyncio.timeout(timeout):
                return await self._dispatcher.waiters.wait(where, wanted)
        except TimeoutError as error:
            if isinstance(error, KinformerError):
                raise
            state = "in the cache, but not as wanted" if where in self._indexer else "not in the cache"
            why = f": {wanted.why_not(self._indexer.get_by_key(where))}" if isinstance(wanted, Condition) else ""
            msg = f"{self._resource.qualified} {where} is {state} after {timeout} s{why}{self._trouble()}"
            raise WaitTimeoutError(msg) from self._record.last_error

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None = None, timeout: float | None = 5.0
    ) -> None:
        """Wait until the cache shows what was written: reads after this are not older than that.

            pod = await client.patch(PODS, "web-0", {...}, namespace="shop")
            await pods.caught_up(pod)

        For most writes that takes no longer than a turn of the loop: the answer to a write through the informer's own
        client goes into the cache ahead of the watch. Deletions, and what an informer with field selectors has, come
        by the watch. A `Controller` does this by itself for each key. Cancelling leaves nothing behind.

        Args:
            what: an object, as the server answered with it: wait for that version of it, or a newer one; an
                `ObjectKey`: for all that was written to that object through the client so far, deletions included; a
                resource version: until everything up to it is in the cache, which for a quiet resource may be a minute,
                when the next bookmark comes; nothing: for all that was written through the client so far.
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer has ended, or did before that.
            NotStartedError: the informer has not been started.
            DecodeError: this is no object.
            ValueError: this is no version, or an object without one.
        """
        self._refuse_unless_running("nothing is caught up with")
        outcome = await self._own_writes.caught_up(what, timeout)
        if outcome is Outcome.STOPPED:
            raise self._ended("before it had caught up")
        if outcome is Outcome.GIVEN_UP:
            named = what.key if isinstance(what, KubeObject) else "an object" if isinstance(what, Mapping) else what
            msg = (
                f"the cache of {self._name} has not caught up with {named or 'what was written'} after {timeout} s, it "
                f"is at version {self.resource_version or '0'}{self._trouble()}"
            )
            raise WaitTimeoutError(msg) from self._record.last_error

    async def relist(self, timeout: float | None = None) -> None:
        """List anew, whatever goes on, and wait until the cache is that list.

        What was missed is told to the handlers, as after an outage. If cancelled, the list is made all the same.

        Args:
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            WaitTimeoutError: not in time; the informer goes on trying.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
        """
        self._refuse_unless_running("nothing is listed")
        self._reflector.relist()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._relists.append((self._reflector.next_list, done))
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError as error:
            msg = f"{self._name} is not listed anew after {timeout} s{self._trouble()}"
            raise WaitTimeoutError(msg) from error

    def reconnect(self) -> None:
        """Close the watch and open another, from the version the cache has come to; cuts short a wait for a retry.

        For when one knows better: the network is back, the load balancer has moved. Nothing is lost, nothing is told.

        Raises:
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        self._refuse_unless_running("there is no watch")
        self._reflector.reconnect()

    def observe(self, obj: KubeObject | Mapping[str, Any]) -> bool:
        """Take an object from the answer to a write into the cache, ahead of the watch; returns whether it was taken.

        It is not when the cache has come to its version already (the object may have changed or gone since), when it
        is outside of what the informer covers, or when that cannot be told here (field selectors other than name and
        namespace). Handlers are told once: the watch's own event of that version is the same.

        What is written through the client that the informer lists with is observed without this (`own_writes`); it is
        for what others wrote.

            informer.observe(await another_client.patch(PODS, "web-0", {...}, namespace="shop"))

        Raises:
            DecodeError: this is no object.
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        self._refuse_unless_running("nothing was observed")
        if not isinstance(obj, KubeObject):
            obj = KubeObject.from_dict(dict(obj), self._resource)
        return bool(self._source.covers(obj)) and self._reflector.observe(self._source.as_listed(obj))

    def snapshot(self) -> CacheSnapshot:
        """The whole cache as it is now, with the version it has come to; nothing that follows changes it."""
        # The version first: when another thread asks, the objects may go on meanwhile, and may not fall behind it.
        version = self._dispatcher.resource_version
        return CacheSnapshot(self._indexer.copy(), version)

    def add_error_handler(self, on_error: Callable[[KinformerError, SharedInformer], object]) -> Callable[[], None]:
        """Have a function told of every failure from now on; returns what ends that."""
        return self._listeners.add(on_error)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                # The handlers' tasks first, then what feeds them.
                parts = {"cache": self._dispatcher.run(group), "reflector": self._reflect()}
                if self._compact is not None:
                    parts["storage"] = self._compact.upkeep()
                tasks = [group.create_task(part, name=f"kinformer {name} {self._name}") for name, part in parts.items()]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    # From here on a cancellation of a handler's task is the informer's end.
                    self._ending = True
                if self._record.state is not InformerState.GAVE_UP:
                    # A part that ends by cancellation, or returns, leaves half of an informer.
                    ended = ", ".join(task.get_name() for task in tasks if task.done())
                    msg = f"{ended} ended, though nothing had asked it to"
                    raise UnexpectedError(msg)
        except BaseExceptionGroup as error:
            self._record.failed(error, self._clock())
            self._record.enter(InformerState.FAILED, self._clock())
            _log.critical("%s: the informer failed by a defect of its own", self._name, exc_info=error)
            failure = UnexpectedError(f"informer {self._name} failed by a defect of its own")
            failure.__cause__ = error
            self._metrics.failed(self._name, failure)
            self._listeners.tell(failure)
            raise

    async def _reflect(self) -> None:
        await self._reflector.run()
        # It returns only when it gives up; otherwise it ends by cancellation.
        self._record.enter(InformerState.GAVE_UP, self._clock())
        self._background.cancel()

    def _finish(self) -> None:
        self._fifo.close()
        started = self._record.state is not InformerState.NEW
        if self._record.state not in _ENDED:
            self._record.enter(InformerState.STOPPED, self._clock())
        if started:
            self._metrics.informer_stopped(self)
        self._dispatcher.close()
        self._own_writes.close()
        self._news.set()
        self._dispatcher.waiters.fail(lambda: self._ended("before the object was as wanted"))
        for _, done in self._relists:
            if not done.done():
                done.set_exception(self._ended("before it had listed anew"))

    def _list_is_cached(self, lists: int) -> None:
        if self._compact is not None:
            self._compact.list_has_come()
        for number, done in self._relists:
            if number <= lists and not done.done():
                done.set_result(None)
        self._relists = [(number, done) for number, done in self._relists if not done.done()]

    def _refuse_unless_running(self, consequence: str) -> None:
        if self._record.state is InformerState.NEW:
            msg = f"informer {self._name} has not been started: {consequence}; use `async with` or start()"
            raise NotStartedError(msg)
        self._refuse_if_stopped(consequence)

    def _ended(self, when: str) -> StoppedError:
        gave_up = self._record.state is InformerState.GAVE_UP
        how = f"gave up {when}: {self._record.last_error}" if gave_up else f"stopped {when}"
        return StoppedError(f"informer {self._name} {how}")

    def _trouble(self) -> str:
        """What is wrong just now, for errors."""
        record = self._record
        return f"; the informer is failing: {record.last_error}" if record.failures else ""

    def _refuse_if_stopped(self, consequence: str) -> None:
        if self.stopped:
            msg = f"informer {self._name} has stopped already: {consequence}; make a new informer"
            raise StoppedError(msg)

    def report(self, error: ObjectError) -> None:
        """Say that one object cannot be used, to the log, the metrics, the status and `on_error`; all else goes on."""
        self._record.failed(error, self._clock())
        self._metrics.failed(self._name, error)
        _log.warning("%s: %s", self._name, error)
        self._listeners.tell(error)

    def _index_failed(self, error: IndexFunctionError) -> None:
        self._record.left_out += 1
        self.report(error)

    def _handler_failed(self, handler: str, error: BaseException) -> None:
        self._record.handler_failures += 1
        self._metrics.handler_failed(self._name, handler, error)

    def _failed(self, error: KinformerError) -> None:
        if not self._dispatcher.has_synced and isinstance(error, _REFUSALS):
            self._refusal = error
            self._news.set()
        self._listeners.tell(error)


def _is_there(obj: KubeObject | None) -> bool:
    return obj is not None


def _checked_resync(seconds: float) -> float:
    if seconds < 0:
        msg = f"resync={seconds!r} makes no sense: it is seconds between resyncs, 0 for none"
        raise ValueError(msg)
    return max(seconds, MINIMUM_RESYNC) if seconds else 0.0
