"""Parts of one informer and their connections; `SharedInformer` and its typed views use them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from kinformer._declared_paths import NotesPaths, checked_paths
from kinformer._own_loop import refuse_other_loop_of
from kinformer._time_slice import spend_turn
from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.cache._index_build import IndexBuild
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.cache._pushed_fifo import PushedFIFO
from kinformer.cache.lister import Lister
from kinformer.cache.snapshot import CacheSnapshot
from kinformer.cache.storage import checked_storage
from kinformer.informer._dispatcher import Dispatcher
from kinformer.informer._event_feed import EventFeed
from kinformer.informer._failure_handling import FailureHandling
from kinformer.informer._handler_task import HandlerTask
from kinformer.informer._life_cycle import LifeCycle
from kinformer.informer._relists import Relists
from kinformer.informer._scope_reflector import ScopeReflector
from kinformer.informer._scoped_source import ScopedSource
from kinformer.informer._waits import CacheWaits
from kinformer.informer._written_objects import WrittenObjects
from kinformer.informer.event_stream import EventStream
from kinformer.informer.registration import HandlerRegistration
from kinformer.metrics import failures_of
from kinformer.objects import version_number
from kinformer.reflector._reflector import STREAM_DEADLINE, Reflector
from kinformer.reflector._state_machine import MIN_WATCH_SECONDS, ReflectorMachine, StreamingMemory
from kinformer.status import StatusRecord

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from typing import Any

    from kinformer.backoff import Backoff
    from kinformer.cache.indexer import IndexFunction
    from kinformer.cache.part_queue import PartQueue
    from kinformer.cache.storage import Storage
    from kinformer.errors import IndexFunctionError, KinformerError, ObjectError
    from kinformer.events import EventHandler
    from kinformer.informer._failure_listeners import FailureListeners
    from kinformer.informer._mailbox import Mailbox
    from kinformer.listwatch import ListerWatcher
    from kinformer.metrics import Metrics
    from kinformer.operators.shard_group import GroupShare
    from kinformer.reflector._ingest import Transform
    from kinformer.reflector.trim import Trim
    from kinformer.status import InformerStatus

__all__ = ["InformerCore"]

MINIMUM_RESYNC: Final = 1.0
"""Shortest resync period, in seconds (client-go shared_informer.go, minimumResyncPeriod)."""

_INDEXED_AT_ONCE: Final = 256
"""Objects of a cache that a new index is built of at once: about a millisecond."""


class InformerCore:
    """The parts of one informer.

    Args:
        source: source of the objects.
        name: name of the informer, for logs, errors and metrics.
        namespace: the only namespace that the source covers, or "".
        resync: seconds between resyncs of handlers that do not set their own period; 0 for none.
        backoff: delays between attempts.
        transform: function that every arriving object goes through.
        trim: fields to remove from every arriving object.
        storage: form of the objects in the cache.
        listeners: error callbacks of users.
        give_up_after: seconds of failure after which the informer gives up.
        streaming: whether lists are streamed, shared with the other informers of a resource.
        stream_deadline: seconds without progress after which a streaming list is replaced by a paged one.
        watch_seconds: shortest time that the server is asked to keep a watch open.
        starts: limit on the first lists that are under way at once, shared with other informers.
        own_writes: whether the cache is kept up with the writes of the source's client.
        metrics: sink for counts.
        on_end: called when the informer ends, if it was started.

    Attributes:
        name: name of the informer.
        source: source of the objects.
        record: status, as the parts record it.
        failures: handles failures.
        life_cycle: starts and ends the informer.
        indexer: the cache.
        lister: reads of the cache.
        fifo: changes that are not in the cache yet.
        reflector: lists and watches.
        dispatcher: changes the cache and delivers events.
        waits: waits of callers for the cache.
        relists: lists that callers ask for.
        written: writes of this program.
        group_share: the share of a shard group that the informer follows; `None` for none.

    Raises:
        MissingDependencyError: compact storage without its extra.
        ValueError: unknown storage, negative `resync`, or `watch_seconds` below 1.
    """

    def __init__(
        self,
        source: ListerWatcher | ScopedSource,
        *,
        name: str,
        namespace: str = "",
        resync: float = 0.0,
        backoff: Backoff | None = None,
        transform: Transform | None = None,
        trim: Trim | None = None,
        storage: Storage = "plain",
        listeners: FailureListeners[Any],
        give_up_after: float | None = None,
        streaming: StreamingMemory | None = None,
        stream_deadline: float = STREAM_DEADLINE,
        watch_seconds: int = MIN_WATCH_SECONDS,
        starts: asyncio.Semaphore | None = None,
        own_writes: bool = True,
        metrics: Metrics,
        on_end: Callable[[], None],
    ) -> None:
        if watch_seconds < 1:
            msg = f"watch_seconds={watch_seconds!r} makes no sense: a watch lasts 1 second at least"
            raise ValueError(msg)
        self.name = name
        self.source = source
        self._resync = _checked_resync(resync)
        self._sees_own_writes = own_writes
        self._registrations: dict[HandlerTask, HandlerRegistration] = {}
        self.record = record = StatusRecord()
        self._metrics = metrics
        self.failures = failures = FailureHandling(name, record, listeners, metrics)
        self.life_cycle = life_cycle = LifeCycle(name, record, failures, self)
        self._on_end = on_end
        self.group_share: GroupShare | None = None
        compact = CompactIndexer(on_error=self._index_failed) if checked_storage(storage) == "compact" else None
        self._compact = compact
        self.indexer = indexer = InformerIndexer(on_error=self._index_failed) if compact is None else compact
        self.fifo = PushedFIFO(indexer)
        self.dispatcher = dispatcher = Dispatcher(
            self.fifo, indexer, name=name, on_synced=self._synced, on_listed=self._listed
        )
        self.lister = Lister(indexer, source.resource, namespace, synced=dispatcher.is_synced)
        memory = StreamingMemory() if streaming is None else streaming

        def make(source: ListerWatcher, fifo: PushedFIFO | PartQueue, **callbacks: Any) -> Reflector:
            machine = ReflectorMachine(streaming=memory, watch_seconds=watch_seconds)
            if backoff is not None:
                machine.backoff = backoff
            return Reflector(
                source,
                fifo,
                name=name,
                machine=machine,
                transform=transform,
                trim=trim,
                cached=indexer.known_as,
                pack=None if compact is None else compact.pack,
                give_up_after=give_up_after,
                stream_deadline=stream_deadline,
                starts=starts,
                metrics=metrics,
                **callbacks,
            )

        callbacks: dict[str, Any] = {
            "status": record,
            "on_error": self._reflector_failed,
            "on_give_up": failures.go_on_after,
        }
        reflector: Reflector | ScopeReflector
        if isinstance(source, ScopedSource):
            reflector = ScopeReflector(source, self.fifo, make=make, **callbacks)
        else:
            reflector = make(source, self.fifo, **callbacks)
        self.reflector = reflector
        self.waits = CacheWaits(name, record, indexer, self.lister, dispatcher, life_cycle, failures)
        self.relists = Relists(name, reflector, life_cycle, failures)
        self.written = WrittenObjects(name, source, record, reflector, dispatcher, life_cycle, failures, self.fifo)
        failures.on_refused = self.waits.wake

    @property
    def handlers(self) -> tuple[HandlerRegistration, ...]:
        """The registered handlers."""
        return tuple(self._registrations[task] for task in self.dispatcher.handlers)

    @property
    def present_record(self) -> StatusRecord:
        """The record, brought up to date with all parts of the scope."""
        self.reflector.refresh()
        return self.record

    @property
    def newest_version(self) -> int:
        """A version that is not older than any that a part of the scope has reached."""
        reflector = self.reflector
        return reflector.newest if isinstance(reflector, ScopeReflector) else version_number(reflector.resource_version)

    @property
    def is_refused(self) -> bool:
        """True if a part of the scope has not listed: the server refuses it."""
        return any(not part.has_synced for part in self.reflector.scopes(self.life_cycle.clock()))

    def start(self) -> None:
        """Start to list and watch, in the background of the running loop.

        Raises:
            AlreadyStartedError: the informer was started before.
            WrongLoopError: the source was opened in another event loop.
        """
        refuse_other_loop_of(self.source)
        self.life_cycle.start(self.written.begin if self._sees_own_writes else _nothing)

    def status(self) -> InformerStatus:
        """Return the present status. Any thread may call it."""
        dispatcher, source = self.dispatcher, self.source
        now = self.life_cycle.clock()
        return self.present_record.snapshot(
            now,
            scopes=self.reflector.scopes(now),
            has_synced=dispatcher.has_synced,
            resource_version=dispatcher.resource_version,
            storage=self.indexer.storage_status,
            changes=dispatcher.changes,
            sharding=getattr(source, "sharding", ""),
            foreign_events=getattr(source, "foreign_events", 0),
            metrics_failures=failures_of(self._metrics),
        )

    def snapshot(self) -> CacheSnapshot:
        """Return the cache as it is now, with its version. Any thread may call it."""
        # The version first: while another thread is in here, the objects may get newer than it, but never older.
        version = self.dispatcher.resource_version
        return CacheSnapshot(self.indexer.copy(), version)

    def declare_paths(self, paths: Iterable[str]) -> None:
        """Declare paths that are noted when objects are decoded; see `SharedInformer.declare_paths`.

        Raises:
            ValueError: a text that is no path; nothing was declared.
            TypeError: a path is not a string.
        """
        checked = checked_paths(paths)
        source = self.source
        # Another source does not note them; then `at` looks for them each time.
        if isinstance(source, NotesPaths):
            source.declared_paths.add(checked)

    def add_indexers(self, indexers: Mapping[str, IndexFunction]) -> IndexBuild:
        """Add indexes; the objects of a large cache are indexed in the background.

        Raises:
            IndexConflictError: an index of that name exists; nothing was added.
            StoppedError: the informer has stopped.
            TypeError: an index function cannot be called; nothing was added.
        """
        self.life_cycle.refuse_if_stopped("indexers were not added")
        indexer = self.indexer
        if len(indexer) <= _INDEXED_AT_ONCE:
            indexer.add_indexers(indexers)
        else:
            spend_turn()
            indexer.begin_indexers(indexers)
        build = IndexBuild(indexer, [*indexers])
        if len(indexer) > _INDEXED_AT_ONCE:
            self.dispatcher.in_background(build.run(), name=f"kinformer indexes {self.name}")
        return build

    def register(
        self, handler: EventHandler, mailbox: Mailbox, *, name: str, resync: float | None = None
    ) -> HandlerRegistration:
        """Add a handler that is called with the events of the mailbox.

        Raises:
            StoppedError: the informer has stopped.
            ValueError: a negative resync.
        """
        self.life_cycle.refuse_if_stopped(f"handler {name} was not added")
        task = HandlerTask(
            name,
            handler,
            mailbox,
            resync=self._resync if resync is None else _checked_resync(resync),
            owner=self,
        )
        registration = self._registrations[task] = HandlerRegistration(task)
        self.dispatcher.register(task)
        return registration

    def attach(self, mailbox: Mailbox, *, initial: bool = True) -> EventStream[Any]:
        """Return an iterator over the events of the mailbox.

        Args:
            mailbox: buffer of the events.
            initial: whether the events begin with the objects in the cache.

        Raises:
            StoppedError: the informer has stopped.
        """
        self.life_cycle.refuse_if_stopped("there are no events to iterate over")
        feed = EventFeed(mailbox)
        self.dispatcher.attach(feed, initial=initial)
        return EventStream(feed, self.dispatcher.detach, self.life_cycle.refuse_other_loop)

    def report(self, error: ObjectError) -> None:
        """Report an object that cannot be used; everything else goes on."""
        self.failures.of_object(error, self.life_cycle.clock())

    def other_parts(self, group: asyncio.TaskGroup) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return the functions that run the parts beside the reflector."""
        # The dispatcher first: it starts the handlers, before the reflector sends it changes.
        parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"cache": partial(self.dispatcher.run, group)}
        if self._compact is not None:
            parts["storage"] = self._compact.upkeep
        return parts

    def lead(self) -> Coroutine[Any, Any, None]:
        """Run the reflector."""
        return self.reflector.run()

    def has_ended(self, started: bool) -> None:
        """Close everything, and report the end."""
        self.fifo.close()
        if started:
            self._on_end()
        self.dispatcher.close()
        self.written.close()
        self.waits.close()
        self.relists.close()

    def _synced(self) -> None:
        self.waits.wake()

    def _listed(self, lists: int) -> None:
        if self._compact is not None:
            self._compact.list_has_come()
        self.relists.listed(lists)

    @property
    def is_ending(self) -> bool:
        """True once the informer ends."""
        return self.life_cycle.ending

    def refuse_other_loop(self) -> None:
        """Raise an error if the caller runs in another event loop than the informer."""
        self.life_cycle.refuse_other_loop()

    def handler_failed(self, name: str, error: BaseException) -> None:
        """Count that a handler raised."""
        self.failures.of_handler(name, error)

    def forget(self, task: HandlerTask) -> None:
        """Give a removed handler no further event."""
        self.dispatcher.forget(task)
        self._registrations.pop(task, None)

    def _index_failed(self, error: IndexFunctionError) -> None:
        self.failures.of_index(error, self.life_cycle.clock())

    def _reflector_failed(self, error: KinformerError) -> None:
        self.failures.of_reflector(error, synced=self.dispatcher.has_synced, of_all=self.reflector.refuses_all)


def _nothing() -> None:
    """Do nothing."""


def _checked_resync(seconds: float) -> float:
    if seconds < 0:
        msg = f"resync={seconds!r} makes no sense: give the seconds between resyncs, 0 for none"
        raise ValueError(msg)
    return max(seconds, MINIMUM_RESYNC) if seconds else 0.0
