"""List, then watch, for ever: keeps a DeltaFIFO equal to the API server.

`ReflectorMachine` decides the next step. This module carries it out, and records the outcome in the status. Received
objects go through an `Intake` into the FIFO.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from kinformer._clock import running_clock
from kinformer._time_slice import TimeSlice, give_way
from kinformer.errors import (
    ExpiredError,
    KinformerError,
    ProtocolError,
    StreamBrokenError,
    TransportTimeoutError,
)
from kinformer.metrics import NO_METRICS
from kinformer.objects import version_number
from kinformer.reflector._attempts import OpenWatch, as_failure
from kinformer.reflector._failure_reports import FailureReports
from kinformer.reflector._ingest import Intake
from kinformer.reflector._state_machine import BLIND_SECONDS, ReflectorMachine
from kinformer.reflector._steps import ListStep, StreamStep, WaitStep, WatchStep
from kinformer.status import InformerState, StatusRecord, count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
    from typing import TypeAlias

    from kinformer.listwatch import ListerWatcher, WatchBatch
    from kinformer.metrics import Metrics
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.reflector._ingest import DeltaQueue, Transform
    from kinformer.reflector.trim import Trim
    from kinformer.status import ScopeStatus

    Deliver: TypeAlias = Callable[[Callable[[WatchBatch, bool], None]], Awaitable[KinformerError | None]]

__all__ = ["STREAM_DEADLINE", "Reflector"]

_log = logging.getLogger(__name__)

STREAM_DEADLINE: Final = 20.0
"""Seconds that a streaming list may go on without a new object and without its end bookmark."""


_NEWEST: Final = 1 << 64
"""A number above every resource version."""

_QUEUED_PER_SLICE: Final = 1000


class Reflector:
    """Keeps a DeltaFIFO equal to a source of objects, until it is cancelled.

    Args:
        source: lists and watches the objects.
        fifo: the queue to fill.
        name: the name in logs and metrics.
        machine: decides the next step, and holds the backoff policy.
        status: the record of progress and failures.
        transform: called exactly once for each received state of an object, before it is queued.
        trim: cuts unneeded parts out of each object, before the transform.
        cached: returns the cached object if it is in the same state as the received one, else `None`.
        pack: returns an object of a list in a form that takes less memory, until the whole list is there.
        on_error: called with every failure, also with those that a retry overcomes.
        give_up_after: seconds without a success after which `on_give_up` is called; `None` for never.
        on_give_up: takes the last error, and returns whether to go on for the same time again.
        stream_deadline: seconds that a streaming list may make no progress.
        starts: limit on the first lists that are under way at once, shared with other reflectors.
        metrics: receives counts and times.
    """

    def __init__(
        self,
        source: ListerWatcher,
        fifo: DeltaQueue,
        *,
        name: str = "",
        machine: ReflectorMachine | None = None,
        status: StatusRecord | None = None,
        transform: Transform | None = None,
        trim: Trim | None = None,
        cached: Callable[[KubeObject], KubeObject | None] = lambda _: None,
        pack: Callable[[KubeObject], KubeObject] | None = None,
        on_error: Callable[[KinformerError], None] | None = None,
        give_up_after: float | None = None,
        on_give_up: Callable[[KinformerError | None], bool] = lambda _: True,
        stream_deadline: float = STREAM_DEADLINE,
        starts: asyncio.Semaphore | None = None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._starts = starts
        self._has_turn = False
        self._source = source
        self._fifo = fifo
        self._name = name or source.resource.full_name
        self._machine = machine or ReflectorMachine()
        self._status = status or StatusRecord()
        self._reports = FailureReports(self._name, self._status, metrics, on_error)
        left_out = self._reports.left_out
        self._intake = Intake(fifo, transform=transform, trim=trim, cached=cached, left_out=left_out, pack=pack)
        self._give_up_after = give_up_after
        self._on_give_up = on_give_up
        self._stream_deadline = stream_deadline
        self._metrics = metrics
        self.lists = 0
        """Number of lists that were queued completely."""
        self._list_number = 0  # of the last list that was queued, or that failed while `relist` asked for the next one
        self._scope: asyncio.Timeout | None = None
        self._clock = time.monotonic  # noqa: TID251 - `run` sets that of its loop
        self._listing = False
        self._relist_reason = ""
        self._last_error: KinformerError | None = None
        self._follows_since = 0.0  # of the present watch
        self._repeats_since: float | None = None  # the first batch since its last progress that brought nothing new
        self._no_success_since: float | None = None  # neither a list nor a watch worked since then

    @property
    def resource_version(self) -> str:
        """The version that was received and queued; "" before the first list. The cache reaches it later."""
        return self._machine.resource_version

    @property
    def next_list(self) -> int:
        """The number of the first list that begins from now on; a version mark with this number comes after it."""
        return self._list_number + (2 if self._listing else 1)

    async def run(self) -> None:
        """Keep the FIFO equal to the server until cancelled; a cancelled run leaves no connection open.

        No failure of the server or the network ends it: each failure is reported, and the next step responds to it.
        The one exception is a budget of failure that is used up (`give_up_after`).
        """
        machine, status = self._machine, self._status
        clock, time_slice = running_clock(), TimeSlice()
        self._clock = clock
        if not self._source.streams_lists:
            machine.streaming.off = machine.streaming.off or "this source does not stream lists"
        while True:
            status.streaming_off = machine.streaming.off
            step = machine.next_step()
            if isinstance(step, WaitStep) and self._gives_up(clock() + step.seconds):
                return
            trial = step.trial if isinstance(step, WatchStep) else None
            self._on_trial = trial is not None
            until = None if trial is None else clock() + trial
            # No local variable: after a cancellation it would be part of a cycle.
            self._scope = asyncio.timeout_at(until)
            try:
                async with self._scope:
                    # To send a request takes 0.5 ms, and many reflectors may begin or reconnect at once. The task of an
                    # informer that starts has begun a slice just now.
                    if not isinstance(step, WaitStep) and time_slice.over:
                        await time_slice.begin()
                    # Without one more coroutine around the watch, which lasts.
                    await (self._watch(step) if isinstance(step, WatchStep) else self._carry_out(step))
            except TimeoutError:
                if not self._scope.expired():
                    raise
                # A trial, `relist` or `reconnect` ended the step; the machine has the next one.
            finally:
                self._scope = None
            if self._relist_reason:
                machine.relist(self._relist_reason)
                self._relist_reason = ""
            self._went_well()

    @property
    def refuses_all(self) -> bool:
        """True if a refusal (401, 403, 404) concerns all objects: always, because there is one scope."""
        return True

    def refresh(self) -> None:
        """Do nothing: the status is always up to date."""

    def scopes(self, now: float) -> tuple[ScopeStatus, ...]:  # noqa: ARG002 - as `ScopeReflector` has it
        """Return the status of each part: there is one scope, and it has no parts."""
        return ()

    def begin_at(self, resource_version: str) -> None:
        """Make the next step a list that is not older than a version."""
        self._machine.resource_version = resource_version
        self.relist("initial" if not self.lists else "behind")

    def resume(self, resource_version: str, *, not_older_than: str, before: Iterable[Reflector]) -> None:
        """Begin with a watch from a version, in the place of other reflectors that have listed the objects.

        Args:
            resource_version: the version; a version of each of the others at most.
            not_older_than: the version that a list must have at least.
            before: the other reflectors.
        """
        self._machine.resume(resource_version, not_older_than=not_older_than)
        self._status.received_version = resource_version
        for other in before:
            self._intake.take_over(other._intake)

    def relist(self, reason: str = "asked for") -> None:
        """List anew: at once, or after the list that is under way."""
        if self._listing:
            self._relist_reason = reason
        else:
            self._machine.relist(reason)
            self._interrupt()

    def reconnect(self) -> None:
        """End the watch and open a new one from the received version; cut a wait short. A list goes on."""
        if not self._listing:
            self._machine.watch_again()
            self._interrupt()

    def observe(self, obj: KubeObject) -> bool:
        """Take an object from a write's answer if it is newer than the received version; return whether it was."""
        seen = self._machine.resource_version
        if not seen or version_number(obj.resource_version) <= version_number(seen):
            return False
        return self._intake.observe(obj)

    def _interrupt(self) -> None:
        self._on_trial = False
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _gives_up(self, next_try: float) -> bool:
        """Return whether the budget of failure is used up before the next attempt."""
        since = self._no_success_since
        if self._give_up_after is None or since is None or next_try - since <= self._give_up_after:
            return False
        if self._on_give_up(self._last_error):
            self._no_success_since = next_try
            return False
        return True

    async def _carry_out(self, step: StreamStep | ListStep | WaitStep) -> None:
        status = self._status
        clock = running_clock()
        match step:
            case WaitStep(seconds, _):
                status.enter(InformerState.WAITING, clock())
                status.retry_at = clock() + seconds
                try:
                    await asyncio.sleep(seconds)
                finally:
                    status.retry_at = None
            case ListStep():
                status.enter(InformerState.LISTING, clock())
                await self._take_turn()
                self._listing = True
                lists = self.lists
                try:
                    await self._list(step)
                finally:
                    self._listing = False
                    self._end_turn()
                if self._relist_reason and self.lists == lists:
                    # The list failed. Callers of `relist` wait for the one after it.
                    self._list_number += 1
            case StreamStep():
                status.enter(InformerState.LISTING, clock())
                await self._take_turn()
                try:
                    await self._stream(step)
                finally:
                    self._end_turn()

    async def _take_turn(self) -> None:
        """Wait until few enough other informers are at their first list."""
        if self._starts is not None and not self.lists:
            await self._starts.acquire()
            self._has_turn = True

    def _end_turn(self) -> None:
        if self._has_turn and self._starts is not None:
            self._has_turn = False
            self._starts.release()

    async def _list(self, step: ListStep) -> None:
        machine, status = self._machine, self._status
        clock = running_clock()
        began = clock()
        kept: dict[ObjectKey, KubeObject] = {}
        pages = 0
        version = ""
        status.listed = 0
        try:
            async with aclosing(self._source.list(resource_version=step.resource_version, limit=step.limit)) as listing:
                async for page in listing:
                    pages += not page.partial
                    # All pages have one version. If not, the first is right: events that a watch repeats do no harm.
                    version = version or page.resource_version
                    status.record_contact(clock())
                    await self._intake.keep(page.items, kept)
                    await self._intake.report(page.failures)
                    status.listed = len(kept)
                    del page  # frees megabytes before the next page arrives
        except BaseException as error:
            failure = as_failure(error, self._name, "list")
            if failure is None:
                raise
            machine.list_failed(failure, pages=pages)
            self._failed(failure, "list")
            return
        if not self._refused(version):
            await self._listed(step, kept, version, pages, began)

    async def _stream(self, step: StreamStep) -> None:
        """List by streaming into a separate dict; after the end bookmark the same stream goes on as the watch."""
        machine, status = self._machine, self._status
        clock = running_clock()
        status.listed = 0
        opened = ended = False
        asked = began = clock()
        failure: KinformerError | None = None
        why: KinformerError | str | None = "interrupted"
        try:
            async with self._open(step) as batches:
                opened = True
                began = clock()
                self._opened(asked, began)
                kept, version, failure = await self._initial_events(batches)
                if failure is None:
                    # From here on, an error is one of the watch. After a refused list, the machine has its next step.
                    ended = True
                    if self._refused(version):
                        return
                    await self._listed(step, kept, version, 0, asked)
                    if self._relist_reason:
                        return
                    del kept
                    began = clock()
                    failure = await self._follow(batches, began)
            why = failure
        except BaseException as error:
            failure = as_failure(error, self._name, "watch" if ended else "streaming list")
            if failure is None:
                raise
            why = failure
        finally:
            self._closed(why, opened=opened)
        if ended:
            self._watch_over(failure, lasted=clock() - began, opening=0.0)
        else:
            assert failure is not None
            machine.stream_failed(failure, opened=opened, hung=isinstance(failure, _HungError))
            self._failed(failure, "streaming list")

    async def _initial_events(
        self, batches: AsyncIterator[WatchBatch]
    ) -> tuple[dict[ObjectKey, KubeObject], str, KinformerError | None]:
        """Return all objects up to the end bookmark, and its version; or the error, if no end bookmark came."""
        status = self._status
        clock = running_clock()
        kept: dict[ObjectKey, KubeObject] = {}
        patience = self._stream_deadline
        limit = asyncio.timeout(patience)
        try:
            async with limit:
                time_slice = TimeSlice()
                async for batch in batches:
                    status.record_contact(clock())
                    if time_slice.over:
                        await time_slice.begin()
                    if batch.error is not None:
                        return kept, "", batch.error
                    before = len(kept)
                    await self._intake.keep_events(batch, kept)
                    status.listed = len(kept)
                    if batch.initial_events_end:
                        return kept, batch.resource_version, None
                    # Only new objects are progress: a server that ignores `sendInitialEvents` sends changes for ever.
                    if len(kept) > before:
                        limit.reschedule(clock() + patience)
        except TimeoutError:
            if not limit.expired():
                raise
            why = f"no end bookmark, and nothing new for {patience:g} s after {len(kept)} objects"
            return kept, "", _HungError(f"{why}; does the server stream lists?")
        return kept, "", StreamBrokenError(f"the server ended the stream before its end bookmark, after {len(kept)}")

    async def _watch(self, step: WatchStep) -> None:
        clock = running_clock()
        asked = began = clock()
        opened = False
        failure: KinformerError | None = None
        why: KinformerError | str | None = "interrupted"
        try:
            async with self._open(step) as batches:
                began = clock()
                opened = True
                self._opened(asked, began)
                failure = await self._follow(batches, began)
            why = failure
        except BaseException as error:
            failure = as_failure(error, self._name, "watch")
            if failure is None:
                if self._on_trial and self._scope is not None and self._scope.expired():
                    why = "nothing new came, as with the watches before"
                    now = clock()
                    lasted, opening = (now - began, began - asked) if opened else (0.0, now - asked)
                    self._machine.trial_ended(lasted=lasted, opening=opening)
                raise
            why = failure
        finally:
            self._closed(why, opened=opened)
        if isinstance(failure, TransportTimeoutError) and not failure.answered:
            opened = False
        # A refused watch lasted 0 s, no matter how long the server took to answer.
        now = clock()
        self._watch_over(failure, lasted=now - began if opened else 0.0, opening=(began if opened else now) - asked)

    def _open(self, step: StreamStep | WatchStep) -> OpenWatch:
        """Return the watch, for `async with`."""
        watch = self._source.watch(
            resource_version=step.resource_version,
            timeout_seconds=step.timeout_seconds,
            send_initial_events=isinstance(step, StreamStep),
        )
        return OpenWatch(watch, self._name)

    async def _follow(self, batches: AsyncIterator[WatchBatch], began: float) -> KinformerError | None:
        """Queue the events of a watch since a time, until it ends; return the ERROR event that ended it, if any."""
        self._status.enter(InformerState.WATCHING, asyncio.get_running_loop().time())
        self._follows_since = began
        self._repeats_since = None
        deliver: Deliver | None = getattr(batches, "deliver", None)
        if deliver is not None:
            return await deliver(self._take_batch)
        time_slice = TimeSlice()
        async for batch in batches:
            await time_slice.begin()
            self._take_batch(batch, False)
            error = batch.error
            del batch  # a quiet watch holds no events, with the sections that were read
            if error is not None:
                return error
        return None

    def _take_batch(self, batch: WatchBatch, pushed: bool) -> None:
        """Queue the events of a batch; if it is pushed, they also go through the cache to the handlers, at once."""
        machine, status, fifo = self._machine, self._status, self._fifo
        if pushed:
            fifo.held = True
        try:
            now = status.last_contact = self._clock()
            events = batch.events
            if events and self._intake.takes_unchanged and not batch.failures:
                fifo.extend(events)
            else:
                self._intake.queue_events(batch)
            if events:
                status.events += len(events)
                status.last_event_at = now
            if events or batch.resource_version:
                bookmark = not events and not batch.failures
                since_opening = now - self._follows_since
                if machine.progressed(batch.resource_version, since_opening=since_opening, bookmark=bookmark):
                    self._repeats_since = None
                    if self._on_trial and not machine.on_trial:
                        self._passed()
                elif batch.resource_version != machine.resource_version or events:
                    # A bookmark of the received version is what a quiet resource has; anything else is old.
                    self._repeats(now)
                if status.failures or self._no_success_since is not None or status.failing_since is not None:
                    self._went_well()
                version = status.received_version = machine.resource_version
                if self._intake.observed:
                    self._intake.reached(version)
                fifo.mark(version, self._list_number)
            elif machine.resource_version and not batch.failures and batch.error is None:
                self._repeats(now)
        finally:
            if pushed:
                fifo.release()

    def _passed(self) -> None:
        """Let a watch that was on trial go on."""
        self._on_trial = False
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(None)

    def _repeats(self, now: float) -> None:
        """Take note that a watch has sent something, and nothing new.

        Raises:
            ProtocolError: it has done so for some seconds. Silence can be that of a quiet resource; this cannot.
        """
        if self._repeats_since is None:
            self._repeats_since = now
        elif now - self._repeats_since >= BLIND_SECONDS:
            since = now - self._repeats_since
            raise ProtocolError(f"the watch of {self._name} has sent only old states and versions for {since:.0f} s")

    def _opened(self, asked: float, now: float) -> None:
        """Record that the server answered a watch."""
        status = self._status
        status.record_contact(now)
        status.watches += 1
        status.opened_at = now
        status.well_after = self._machine.well_after
        self._metrics.watch_opened(self._name, seconds=now - asked)

    def _closed(self, why: KinformerError | str | None, *, opened: bool) -> None:
        """Record that a watch ended: cleanly, by an error, or by a call of `relist` or `reconnect`."""
        if opened:
            self._status.watch_ended(why)

    def _watch_over(self, failure: KinformerError | None, *, lasted: float, opening: float) -> None:
        if lasted >= self._machine.well_after:
            self._no_success_since = None
        if failure is None:
            failure = self._machine.watch_ended(lasted=lasted, opening=opening)
        else:
            self._machine.watch_failed(failure, lasted=lasted, opening=opening)
        if failure is not None:
            self._failed(failure, "watch")

    def _refused(self, version: str) -> bool:
        """Return whether a list must not be taken, because it is older than the received state or not to be trusted."""
        machine = self._machine
        if not version and machine.lists_have_versions:
            missing = ProtocolError(
                f"a list of {self._name} came without a resource version, which earlier lists had: it is not taken"
            )
            machine.list_failed(missing)
            self._failed(missing, "list")
            return True
        if not machine.refuses(version):
            return False
        stale = ProtocolError(
            f"a list of {self._name} has version {version}, older than {machine.resource_version}, which was seen "
            "already: an API server that lags behind answered; asking for the newest"
        )
        machine.list_refused(stale)
        self._failed(stale, "list")
        return True

    async def _listed(
        self, step: ListStep | StreamStep, kept: dict[ObjectKey, KubeObject], version: str, pages: int, asked: float
    ) -> None:
        """Queue a whole list. Nothing else may be queued between its slices, so no call interrupts it."""
        machine, status = self._machine, self._status
        self._listing = True
        status.received_version = version
        # A list without a version counts as newer than every observed object. If it is older, then the watch that
        # follows it begins with the object, so nothing is lost.
        number = version_number(version) if version else _NEWEST
        missed = machine.checks_silence and await self._is_behind(kept)
        queueing = self._intake.queue_list(kept, number, slice_size=_QUEUED_PER_SLICE)
        lost = await self._queue(queueing)
        seconds = asyncio.get_running_loop().time() - asked
        deafness = machine.listed(version, pages=pages, seconds=seconds, missed=missed or lost > 0)
        self.lists += 1
        self._list_number += 1
        self._end_turn()
        self._fifo.mark(version, self._list_number)
        self._no_success_since = None
        self._went_well()
        count(status.lists, step.reason)
        self._intake.reached(version or str(_NEWEST))
        if deafness is not None:
            self._failed(deafness, "watch")
            self._no_success_since = None  # the list is one
        self._metrics.listed(self._name, objects=len(kept), reason=step.reason, seconds=seconds)
        _log.debug("%s: listed %d objects at version %s (%s)", self._name, len(kept), version, step.reason)
        self._listing = False
        try:
            while kept:
                # Freeing tens of thousands of objects at once would block the loop.
                for _ in range(min(_QUEUED_PER_SLICE, len(kept))):
                    kept.popitem()
                if kept:
                    await give_way()
        finally:
            # A call of `relist` ends this early.
            _free_in_turns(kept)

    async def _is_behind(self, kept: dict[ObjectKey, KubeObject]) -> bool:
        """Return whether a list has an object that is newer than all that watches have brought."""
        received = version_number(self._machine.resource_version)
        time_slice = TimeSlice()
        await time_slice.begin()
        for obj in kept.values():
            if version_number(obj.resource_version) > received:
                return True
            if time_slice.over:
                await time_slice.begin()
        return False

    async def _queue(self, queueing: Generator[None, None, int]) -> int:
        """Queue a list slice by slice; return the number of known objects that it lacks."""
        while True:
            try:
                next(queueing)
            except StopIteration as end:
                return int(end.value)
            await give_way()

    def _went_well(self) -> None:
        """Record the failures that are left: a list that works does not end the failures of watches."""
        status = self._status
        status.failures = self._machine.failures
        if not status.failures:
            status.failing_since = None
            self._no_success_since = None

    def _failed(self, error: KinformerError, doing: str) -> None:
        status, failures = self._status, self._machine.failures
        status.failures = failures
        if failures == 1 or (failures and status.failing_since is None):
            # The first failure in a row. Before it a step worked, perhaps only a watch without events.
            status.failing_since = asyncio.get_running_loop().time()
        if failures and self._no_success_since is None:
            self._no_success_since = asyncio.get_running_loop().time()
        self._last_error = error
        # An expired version is normal after a quiet hour or a restart of the API server.
        level = logging.INFO if isinstance(error, ExpiredError) else logging.WARNING
        pause = self._machine.pause
        next_try = f"in {pause:.3g} s" if pause else "now"
        _log.log(level, "%s: %s failed (%d in a row): %s; next try %s", self._name, doing, failures, error, next_try)
        self._reports.failed(error)


def _free_in_turns(kept: dict[ObjectKey, KubeObject]) -> None:
    """Free the rest of a list, some objects in each turn of the loop."""
    for _ in range(min(_QUEUED_PER_SLICE, len(kept))):
        kept.popitem()
    if not kept:
        # The watch that follows has a reference to it, and an emptied dict keeps its table.
        kept.clear()
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return  # the reflector was dropped without its loop
    loop.call_soon(_free_in_turns, kept)


class _HungError(TransportTimeoutError):
    """A streaming list that makes no progress."""
