"""SharedInformer: one reflector and one cache, many handlers."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Final, Self

from kinformer._tasks import BackgroundTask
from kinformer.delta_fifo import DeltaFIFO, DeltaType
from kinformer.errors import AlreadyStartedError, CacheSyncError, KinformerError, StoppedError
from kinformer.event_stream import EventStream
from kinformer.events import Added, Deleted, Updated
from kinformer.indexer import Indexer
from kinformer.lister import Lister
from kinformer.mailbox import make_mailbox
from kinformer.metrics import NO_METRICS
from kinformer.objects import version_number
from kinformer.reflector import Reflector
from kinformer.reflector_machine import ReflectorMachine
from kinformer.registration import SLICE_SECONDS, HandlerRegistration, handler_of
from kinformer.status import InformerState, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kinformer.backoff import Backoff
    from kinformer.delta_fifo import Popped
    from kinformer.errors import IndexFunctionError
    from kinformer.events import Delivery, Event, EventHandler
    from kinformer.indexer import IndexFunction
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.objects import KubeObject
    from kinformer.reflector import Transform
    from kinformer.resources import Resource
    from kinformer.status import InformerStatus

__all__ = ["SharedInformer"]

_log = logging.getLogger(__name__)

MINIMUM_RESYNC: Final = 1.0
"""The shortest resync period, in seconds (client-go shared_informer.go, minimumResyncPeriod)."""

_POPS_PER_CLOCK: Final = 8


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
        on_error: told of every failure: `on_error(error, informer)`. Called on the loop; keep it short.
        metrics: told of what is counted.
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
        on_error: Callable[[KinformerError, SharedInformer], object] | None = None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._resource = source.resource
        self._name = name or source.resource.full_name
        self._resync = _checked_resync(resync)
        self._on_error = on_error
        self._metrics = metrics
        self._record = StatusRecord()
        self._indexer = Indexer(on_error=self._index_failed)
        self._lister = Lister(self._indexer, source.resource, namespace)
        self._fifo = DeltaFIFO(self._indexer)
        self._reflector = Reflector(
            source,
            self._fifo,
            name=self._name,
            machine=ReflectorMachine() if backoff is None else ReflectorMachine(backoff),
            status=self._record,
            transform=transform,
            on_error=self._tell,
            metrics=metrics,
        )
        self._registrations: list[HandlerRegistration] = []
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._background = BackgroundTask(f"kinformer informer {self._name}")
        self._group: asyncio.TaskGroup | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._has_synced = False
        self._settled = asyncio.Event()

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
    def has_synced(self) -> bool:
        """Whether the first list is wholly in the cache. Never goes back to false."""
        return self._has_synced

    @property
    def stopped(self) -> bool:
        """Whether it has come to its end: it was stopped, or it failed by a defect of its own."""
        return self._record.state in {InformerState.STOPPED, InformerState.FAILED}

    @property
    def status(self) -> InformerStatus:
        """How it is at this moment. May be asked from any thread."""
        return self._record.snapshot(self._clock(), has_synced=self._has_synced, objects=len(self._indexer))

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> None:
        """Add indexes, at any time; what is in the cache is indexed at once.

        Args:
            indexers: by name, functions from an object to the values it is found under:
                `{"node": lambda pod: [pod["spec"].get("nodeName", "")]}`.

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
        first = next(part for part in (on_event, on_add, on_update, on_delete) if part is not None)
        name = name or f"{getattr(first, '__qualname__', type(first).__qualname__)}"
        self._refuse_if_stopped(f"handler {name} was not added")
        registration = HandlerRegistration(
            name,
            handler,
            make_mailbox(delivery),
            resync=self._resync if resync is None else _checked_resync(resync),
            forget=self._forget,
            failed=self._handler_failed,
        )
        self._bring_up_to_date(registration)
        self._registrations.append(registration)
        if self._group is not None:
            self._start_handler(registration, self._group)
        return registration

    def events(self, *, delivery: Delivery = "every") -> EventStream:
        """Iterate over the changes: first `Added(initial=True)` for everything in the cache, then what happens.

        Events are collected from this call on, not from the first step of the iteration.

        Args:
            delivery: "every" event, or only the "latest" state per object when the consumer falls behind.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: no such delivery.
        """
        self._refuse_if_stopped("there are no events to iterate over")
        stream = EventStream(make_mailbox(delivery), self._streams.discard)
        self._bring_up_to_date(stream)
        self._streams.add(stream)
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
        self._background.start(self._run(), on_end=self._finish)

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

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until the first list is wholly in the cache.

        Args:
            timeout: seconds to wait at most; `None` waits for ever.

        Raises:
            CacheSyncError: not in time; names the last error the informer met.
            StoppedError: the informer stopped before that.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            cause = self._record.last_error
            why = f"last error: {cause}" if cause is not None else f"no error, {self._record.listed} objects so far"
            msg = f"cache of {self._name} is not in sync after {timeout} s; {why}"
            raise CacheSyncError(msg, {self._name: cause}) from cause
        if not self._has_synced:
            msg = f"informer {self._name} stopped before its cache was in sync"
            raise StoppedError(msg) from self._background.failure

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for registration in self._registrations:
                    self._start_handler(registration, group)
                group.create_task(self._reflector.run(), name=f"kinformer reflector {self._name}")
                group.create_task(self._process(), name=f"kinformer cache {self._name}")
        except BaseExceptionGroup as error:
            self._record.failed(error, self._clock())
            self._record.enter(InformerState.FAILED, self._clock())
            _log.critical("%s: the informer failed by a defect of its own", self._name, exc_info=error)
            raise

    def _finish(self) -> None:
        self._group = None
        self._fifo.close()
        if self._record.state is not InformerState.FAILED:
            self._record.enter(InformerState.STOPPED, self._clock())
        for listener in self._listeners():
            listener.close()
        self._registrations.clear()
        self._settled.set()

    def _start_handler(self, registration: HandlerRegistration, group: asyncio.TaskGroup) -> None:
        registration.start(group)
        if registration.resync:
            name = f"kinformer resync {registration.name}"
            registration.end_with(group.create_task(self._resync_handler(registration), name=name))

    def _bring_up_to_date(self, listener: HandlerRegistration | EventStream) -> None:
        """What is in the cache, for one who comes late; nothing can happen between this and what follows."""
        if len(self._indexer):
            listener.put([Added(obj, initial=True) for obj in self._indexer.list()])
        if self._has_synced:
            listener.put_mark()

    async def _process(self) -> None:
        """Take what the reflector queued, change the cache, and tell the handlers; never long at a time."""
        fifo, clock = self._fifo, self._clock
        while True:
            await fifo.wait()
            more = True
            while more:
                until = clock() + SLICE_SECONDS
                events: list[Event] = []
                pops = 0
                while (popped := fifo.pop_nowait()) is not None:
                    self._apply(popped, events)
                    pops += 1
                    if pops % _POPS_PER_CLOCK == 0 and clock() >= until:
                        break
                more = popped is not None
                self._distribute(events)
                if more:
                    await asyncio.sleep(0)

    def _apply(self, popped: Popped, events: list[Event]) -> None:
        """Change the cache, and add what there is to tell (client-go controller.go, processDeltas; rows C1 to C8)."""
        key, deltas, initial = popped
        indexer = self._indexer
        for kind, obj, final_state_known in deltas:
            if kind is DeltaType.DELETED:
                gone = indexer.delete(key)
                if gone is not None:
                    # Only a deletion that was seen brings a state newer than the cache's own.
                    events.append(Deleted(obj if final_state_known else gone, final_state_known))
                continue
            known = indexer.version_of(key)
            if known is not None:
                uid, version = known
                if uid == obj.metadata.uid:
                    new_version = obj.metadata.resource_version
                    if version == new_version and version:
                        continue
                    if kind is not DeltaType.REPLACED and version_number(new_version) < version_number(version):
                        # The watch repeats what we know. A list may not: then the cluster was restored from a backup.
                        continue
                    old = indexer.put(key, obj)
                    assert old is not None
                    events.append(Updated(old, obj))
                    continue
                # Another object of the same name: the end of the first one fell into a gap.
                replaced = indexer.delete(key)
                assert replaced is not None
                events.append(Deleted(replaced, final_state_known=False))
            indexer.put(key, obj)
            events.append(Added(obj, initial))

    def _distribute(self, events: list[Event]) -> None:
        if events:
            for registration in self._registrations:
                registration.put(events)
            for stream in tuple(self._streams):
                stream.put(events)
        if not self._has_synced and self._fifo.has_synced:
            self._has_synced = True
            self._settled.set()
            for listener in self._listeners():
                listener.put_mark()
            _log.debug("%s: in sync with %d objects", self._name, len(self._indexer))

    async def _resync_handler(self, registration: HandlerRegistration) -> None:
        """Tell one handler of everything again, every so often, straight from the cache (docs/design/0001)."""
        clock = self._clock
        while True:
            await asyncio.sleep(registration.resync)
            if not self._has_synced or registration.waiting > len(self._indexer):
                # It has not even been told everything once since the last time: more of it would only pile up.
                continue
            until = clock() + SLICE_SECONDS
            for key in [*self._indexer.list_keys()]:
                obj = self._indexer.get_by_key(key)
                if obj is not None:
                    registration.put([Updated(obj, obj)])
                if clock() >= until:
                    await asyncio.sleep(0)
                    until = clock() + SLICE_SECONDS

    def _listeners(self) -> list[HandlerRegistration | EventStream]:
        return [*self._registrations, *self._streams]

    def _forget(self, registration: HandlerRegistration) -> None:
        if registration in self._registrations:
            self._registrations.remove(registration)

    def _refuse_if_stopped(self, consequence: str) -> None:
        if self.stopped:
            msg = f"informer {self._name} has stopped already: {consequence}; make a new informer"
            raise StoppedError(msg)

    def _index_failed(self, error: IndexFunctionError) -> None:
        self._record.left_out += 1
        self._record.failed(error, self._clock())
        self._metrics.failed(self._name, error)
        _log.warning("%s: %s", self._name, error)
        self._tell(error)

    def _handler_failed(self, handler: str, error: BaseException) -> None:
        self._record.handler_failures += 1
        self._metrics.handler_failed(self._name, handler, error)

    def _tell(self, error: KinformerError) -> None:
        if self._on_error is None:
            return
        try:
            self._on_error(error, self)
        except Exception:  # noqa: BLE001 - a user's function; the informer goes on
            _log.exception("%s: on_error raised", self._name)


def _checked_resync(seconds: float) -> float:
    if seconds < 0:
        msg = f"resync={seconds!r} makes no sense: it is seconds between resyncs, 0 for none"
        raise ValueError(msg)
    return max(seconds, MINIMUM_RESYNC) if seconds else 0.0
