"""The task that calls one handler of one informer, and its mailbox."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from typing import TYPE_CHECKING, Final, Protocol

from kinformer._callables import check_function
from kinformer._clock import clock_of
from kinformer._flag import Flag
from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.errors import StoppedError
from kinformer.events import Added, Deleted, Updated
from kinformer.informer._mailbox import LatestMailbox, NoEvent, QueueMailbox, SyncMark
from kinformer.informer._pace import Pace, drop_decoded
from kinformer.metrics import Histogram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kinformer.events import Event, EventHandler
    from kinformer.informer._mailbox import Mailbox
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["CATCH_UP_BUCKETS", "HandlerTask", "handler_of", "name_of"]

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOGS: Final = 1.0
"""Time between two logged failures of one handler, with traceback; the failures between them are counted."""

_WORTH_NOTING: Final = 0.0002
"""Seconds of a step, from which its end is noted: it would have to be much nearer to the rest between two steps."""

CATCH_UP_BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds: from a handler that only looks at the object to one that is far too slow."""


def handler_of(
    on_event: Callable[..., Awaitable[object] | object] | None,
    on_add: Callable[..., Awaitable[object] | object] | None,
    on_update: Callable[..., Awaitable[object] | object] | None,
    on_delete: Callable[..., Awaitable[object] | object] | None,
) -> EventHandler:
    """Make one handler function of the functions that a caller gave.

    Raises:
        TypeError: no function was given, both forms were given, or a function takes other arguments.
    """
    parts = {"on_add": on_add, "on_update": on_update, "on_delete": on_delete}
    given = {name: part for name, part in parts.items() if part is not None}
    if (on_event is None) == (not given):
        msg = "a handler is on_event, or some of on_add, on_update and on_delete; not both, and not nothing"
        raise TypeError(msg)
    if on_event is not None:
        check_function("on_event", on_event, "event")
        return on_event
    for name, part in given.items():
        check_function(name, part, *(("old", "new") if name == "on_update" else ("obj",)))

    def dispatch(event: Event) -> Awaitable[object] | object:
        match event:
            case Updated(old, new):
                return None if on_update is None else on_update(old, new)
            case Added(obj):
                return None if on_add is None else on_add(obj)
            case Deleted(obj):
                return None if on_delete is None else on_delete(obj)

    return dispatch


def name_of(*parts: Callable[..., object] | None) -> str:
    """Return the default name of a handler in logs: the name of its first function."""
    first = next(part for part in parts if part is not None)
    return f"{getattr(first, '__qualname__', type(first).__qualname__)}"


class HasHandlers(Protocol):
    """The informer of some handlers. One object, where four callbacks would be four for the collector."""

    @property
    def is_ending(self) -> bool:
        """True once the informer ends."""
        ...

    def forget(self, task: HandlerTask) -> None:
        """Take note that a handler is removed."""
        ...

    def handler_failed(self, name: str, error: BaseException) -> None:
        """Take note that a handler raised."""
        ...

    def refuse_other_loop(self) -> None:
        """Raise an error if the caller runs in another event loop than the informer."""
        ...


class HandlerTask:
    """Calls one handler with one event at a time, in order.

    A handler that raises is logged with the object's key, and counted. The next event is delivered all the same.
    Users have a `HandlerRegistration` of it.

    Args:
        name: name of the handler, for logs.
        handler: function to call.
        mailbox: buffer of the events that wait.
        resync: seconds between resyncs, 0 for none.
        owner: the informer, which is notified.
    """

    def __init__(
        self,
        name: str,
        handler: EventHandler,
        mailbox: Mailbox,
        *,
        resync: float,
        owner: HasHandlers,
    ) -> None:
        self.name = name
        self.resync = resync
        """Seconds between resyncs, 0 for none."""
        self.failures = 0
        """Number of times that the handler has raised."""
        self.last_failure: BaseException | None = None
        self.behind_since: float | None = None
        """Time, by the loop's clock, from which on events have waited; `None` if every event has been handled."""
        self.catch_ups = Histogram(CATCH_UP_BUCKETS)
        """Seconds from `behind_since` until every event had been handled: one sample per backlog, so it is cheap."""
        self.handler = handler
        """The function to call."""
        self.pace = Pace()
        """Whether the listeners of the informer keep up; the dispatcher sets it."""
        self._logged_at = float("-inf")
        self._unlogged = 0
        self._mailbox = mailbox
        self._owner = owner
        self._wakeup = Flag()
        self._has_synced = False
        self._settled = Flag()
        self._ended = Flag()
        self.takes_as_is = isinstance(mailbox, QueueMailbox | LatestMailbox)
        """An event that comes alone is delivered as it is: a typed handler gets another one."""
        self.parked = False
        """The task waits, and no event does: `deliver_now` may be called with one. False if the handler is removed."""
        self._closing = False
        self._draining = False
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self._time_slice: TimeSlice | None = None
        # Of a call of the handler outside of the task, for the task to go on with.
        self._awaited: tuple[Event, Awaitable[object]] | None = None
        self._raised: BaseException | None = None
        self._companions: tuple[asyncio.Task[None], ...] = ()

    def __repr__(self) -> str:
        return f"<HandlerTask {self.name}>"

    @property
    def waiting(self) -> int:
        """Number of events that wait for the handler."""
        return len(self._mailbox)

    @property
    def idle(self) -> bool:
        """True if no event waits and the handler does not run; also after the handler was removed."""
        return self._ended.is_set() or (self.parked and not len(self._mailbox))

    @property
    def has_synced(self) -> bool:
        """True once the handler has returned from every object of the initial list. Never goes back to false."""
        return self._has_synced

    @property
    def removed(self) -> bool:
        """True if the handler was removed, or its informer has stopped."""
        return self._closing

    async def synced(self) -> None:
        """Wait until the handler has returned from every object of the initial list.

        Raises:
            StoppedError: the handler was removed, or the informer stopped, before that.
            WrongLoopError: the informer runs in another event loop.
        """
        self._owner.refuse_other_loop()
        await self._settled.wait()
        if not self._has_synced:
            msg = f"handler {self.name} was removed before it had seen the initial list"
            raise StoppedError(msg)

    async def remove(self, *, drain: bool = False) -> None:
        """Remove the handler; see `HandlerRegistration.remove`.

        Args:
            drain: first deliver the events that wait now, but none that arrive later.

        Raises:
            WrongLoopError: the informer runs in another event loop.
        """
        self._owner.refuse_other_loop()
        self._owner.forget(self)
        self._closing = True
        for companion in self._companions:
            companion.cancel()
        self._draining = self._draining or drain
        if not self._draining:
            self._mailbox.clear()
        self._wake()
        if self._task is None or self._task.done():
            self._end()
        elif self._task is not asyncio.current_task():
            await self._ended.wait()

    def put(self, events: Iterable[Event]) -> None:
        """Add events for the handler."""
        if self.behind_since is None:
            self.behind_since = asyncio.get_running_loop().time()
        self._mailbox.put(events)
        self._wake()

    def offer(self, events: Iterable[Event]) -> bool:
        """Add events if the handler has none, and its task waits; then return true: `deliver_now` must follow."""
        if not self.parked:
            return False
        self._mailbox.put(events)
        return True

    def deliver_now(self, events: int, event: Event | None = None) -> None:
        """Call the handler with the offered events, from a callback of the loop, as if its task did.

        A plain function needs no turn of the task. The task goes on with an awaitable that the handler returns, and
        with events for which the time slice does not suffice.

        Args:
            events: the number of events that were offered.
            event: the only one, if it was not offered: `parked` and `takes_as_is` were true.
        """
        task, time_slice = self._task, self._time_slice
        if not self.parked or task is None or time_slice is None:
            # An earlier handler of the same events has changed this one.
            if event is not None and (self._draining or not self._closing):
                self._mailbox.put([event])
            self._wake()
            return
        loop = task.get_loop()
        clock = time_slice.clock
        began = clock()
        self.parked = unfinished = False
        asyncio.tasks._enter_task(loop, task)
        try:
            if event is None:
                unfinished = self._context.run(self._deliver_some, events, time_slice)
            else:
                # As `_deliver_some` does; each event that comes alone would pay for the calls.
                try:
                    result = self._context.run(self.handler, event)
                except BaseException as error:  # noqa: BLE001 - the task raises what nothing may go on after
                    unfinished = self._context.run(self._failed, event, error)
                else:
                    if result is not None and inspect.isawaitable(result):
                        self._awaited = (event, result)
                        unfinished = True
        finally:
            asyncio.tasks._leave_task(loop, task)
        now = clock()
        if now - began > _WORTH_NOTING:
            time_slice.end_step(now)
        if self._wakeup.is_set():
            unfinished = True  # the handler itself has put something into its mailbox, or removes itself
        if unfinished:
            self.behind_since = began
            self._wakeup.set()
        else:
            self.parked = not self._closing
            self.catch_ups.observe(now - began)

    def _failed(self, event: Event, error: BaseException) -> bool:
        """Report a failure of the handler; return whether its task must raise it."""
        if self._survives(error):
            self._report(event, error)
            return False
        self._raised = error
        return True

    def _deliver_some(self, events: int, time_slice: TimeSlice) -> bool:
        """Call the handler with the events that wait, for one time slice; return whether its task must go on."""
        take = self._mailbox.take
        while (item := take()) is not None:
            events -= 1
            if isinstance(item, NoEvent):
                self._passed(item)
            else:
                try:
                    result = self.handler(item)
                except BaseException as error:  # noqa: BLE001 - the task raises what nothing may go on after
                    if self._failed(item, error):
                        return True
                else:
                    if result is not None and inspect.isawaitable(result):
                        self._awaited = (item, result)
                        return True
                if self.pace.lagging:
                    drop_decoded(item)
            if events <= 0:
                # What the handler itself has added since is left to the task, which it has woken.
                return False
            if time_slice.over:
                return len(self._mailbox) > 0
        return False

    def _passed(self, item: NoEvent) -> None:
        """Note the end of the initial list, if this is its mark."""
        if isinstance(item, SyncMark):
            self._has_synced = True
            self._settled.set()

    def put_initial(self, objects: dict[ObjectKey, KubeObject]) -> None:
        """Add an `Added` for each object of the cache; each event is made when it is due."""
        if self.behind_since is None:
            self.behind_since = asyncio.get_running_loop().time()
        self._mailbox.put_initial(objects)
        self._wake()

    def put_mark(self) -> None:
        """Mark the end of the initial list."""
        self._mailbox.put_mark()
        self._wake()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start to call the handler, in a task of the group."""
        self._context = contextvars.copy_context()
        self._task = group.create_task(self._run(), name=f"kinformer handler {self.name}", context=self._context)
        # A callback, not a `finally`: a task that is cancelled before its first step never reaches a `finally`.
        self._task.add_done_callback(self._task_ended, context=self._context)

    def close(self) -> None:
        """Call the handler no more: the informer has stopped."""
        self._closing = True
        self.parked = False
        self._mailbox.clear()
        self._end()

    def end_with(self, companion: asyncio.Task[None]) -> None:
        """Cancel another task when this handler ends."""
        self._companions += (companion,)

    def _wake(self) -> None:
        self.parked = False
        self._wakeup.set()

    def _task_ended(self, _: asyncio.Task[None]) -> None:
        self._end()

    def _end(self) -> None:
        self._closing = True
        self.parked = False
        for companion in self._companions:
            companion.cancel()
        if self._awaited is not None and inspect.iscoroutine(self._awaited[1]):
            self._awaited[1].close()
        self._awaited = None
        self._log_unlogged()
        self._ended.set()
        self._settled.set()

    async def _run(self) -> None:
        while True:
            try:
                return await self._deliver()
            except asyncio.CancelledError as error:
                # Where the whole loop ends, the informer is cancelled in the same turn.
                if not self._owner.is_ending and not self._closing:
                    self._take_back_cancellations()
                    await asyncio.sleep(0)
                if self._owner.is_ending or self._closing:
                    raise
                _log.error("handler %s left its task cancelled; its next events are delivered all the same", self.name)
                self._count(error)

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        clock = clock_of(loop)
        self._time_slice = time_slice = TimeSlice()
        pace, handler = self.pace, self.handler
        take = self._mailbox.take
        while not (self._closing and not len(self._mailbox)):
            self.parked = not self._wakeup.is_set()
            await self._wakeup.wait()
            self.parked = False
            self._wakeup.clear()
            until = await time_slice.begin()
            if self._raised is not None:
                raise self._raised
            if self._awaited is not None:
                await self._finish_call(*self._awaited)
            while (item := take()) is not None:
                # Nearly all events are updates, and the test for them is the cheapest.
                if type(item) is not Updated and isinstance(item, NoEvent):
                    self._passed(item)
                else:
                    try:
                        result = handler(item)
                        if result is not None and inspect.isawaitable(result):
                            await result
                    except BaseException as error:  # a user's handler; the next event goes on
                        if not self._survives(error):
                            raise
                        self._report(item, error)
                    # The tests are those of `drop_decoded`: mostly nothing was decoded, and a call takes longer.
                    if pace.lagging and (
                        type(item) is not Updated or item.new._sections is not None or item.old._sections is not None
                    ):
                        drop_decoded(item)
                if clock() >= until:
                    item = result = None  # nothing of it is alive while others have their turn
                    until = await time_slice.begin()
            item = result = None
            if self.behind_since is not None:
                self.catch_ups.observe(clock() - self.behind_since)
                self.behind_since = None

    async def _finish_call(self, event: Event, result: Awaitable[object]) -> None:
        """Await the result of a call of the handler that `deliver_now` has made."""
        self._awaited = None
        try:
            await result
        except BaseException as error:  # a user's handler; the next event goes on
            if not self._survives(error):
                raise
            self._report(event, error)
        if self.pace.lagging:
            drop_decoded(event)

    def _survives(self, error: BaseException) -> bool:
        """Return whether the handler's task goes on after an exception of the handler.

        A cancellation that is not the end of the informer is the handler's own: the end of something that it awaits, or
        a library's time limit that cancels the task and does not take that back.
        """
        if isinstance(error, asyncio.CancelledError):
            if self._owner.is_ending or self._closing:
                return False
            self._take_back_cancellations()
            return True
        if isinstance(error, Exception):
            self._take_back_cancellations()
        return is_survivable(error)

    def _take_back_cancellations(self) -> None:
        task = asyncio.current_task()
        if self._owner.is_ending or self._closing:
            return
        while task is not None and task.cancelling():
            task.uncancel()

    def _count(self, error: BaseException) -> None:
        self.failures += 1
        self.last_failure = error
        self._owner.handler_failed(self.name, error)

    def _report(self, event: Event, error: BaseException) -> None:
        self.failures += 1
        self.last_failure = error
        self._owner.handler_failed(self.name, error)
        now = asyncio.get_running_loop().time()
        if now - self._logged_at < _SECONDS_BETWEEN_LOGS:
            # A handler that fails for each of 10,000 events a second would fill the disk with one traceback.
            self._unlogged += 1
            return
        self._log_unlogged()
        self._logged_at = now
        _log.error(
            "handler %s failed for %s of %s %s: %s",
            self.name,
            type(event).__name__,
            event.source.resource.full_name,
            event.key,
            type(error).__name__,
            exc_info=error,
        )

    def _log_unlogged(self) -> None:
        if self._unlogged:
            _log.error("handler %s failed %d more times since then", self.name, self._unlogged)
            self._unlogged = 0
