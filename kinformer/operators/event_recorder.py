"""Kubernetes Events: the lines that `kubectl describe` shows about an object, written by a controller.

    async with EventRecorder(client, "shop-operator") as events:
        events.normal(shop, "Created", "created the deployment web")
        events.warning(shop, "QuotaExceeded", f"cannot scale to {n}: the namespace's quota is used up")

    record ──▶ EventCorrelator: new, once more, similar, too many? ──▶ queue (at most 1000) ──▶ create or patch

Recording is a plain call that returns at once and never raises: an Event that cannot be written is no reason for a
controller to fail. The rules and figures are client-go's (tools/record/event.go).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import anyio

from kinformer._flag import Flag
from kinformer._jitter import JITTER
from kinformer._survivable import is_survivable, text_of
from kinformer._tasks import BackgroundTask
from kinformer.errors import (
    AlreadyExistsError,
    AlreadyStartedError,
    ApiError,
    ConfigError,
    KinformerError,
    NotFoundError,
    NotStartedError,
    ServerError,
    TooManyRequestsError,
    TransportError,
)
from kinformer.operators._class_objects import as_mapping
from kinformer.operators._event_correlator import EventCorrelator, Subject
from kinformer.resources import EVENTS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from kinformer.custom_resources.definition import CustomResource
    from kinformer.objects import KubeObject
    from kinformer.operators._event_correlator import EventSeries, EventType
    from kinformer.resources import Resource

__all__ = ["EventClient", "EventRecorder", "recorders_of"]

_log = logging.getLogger(__name__)

# tools/record/event.go: maxQueuedEvents, maxTriesPerEvent, defaultSleepDuration
MAX_QUEUED: Final = 1000
MAX_TRIES: Final = 12
SECONDS_BETWEEN_TRIES: Final = 10.0

# client-go gives up at any answer of the server's; these say that the next one may be another.
_PASSING: Final = (TransportError, ServerError, TooManyRequestsError, ConfigError, TimeoutError)


_NOT_ENTERED: Final = (
    "%s: Events are recorded, but the recorder was not entered: none is written before `async with recorder:`"
)


class EventClient(Protocol):
    """The client of a recorder; `kinformer.Client` is one."""

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Create an Event; `AlreadyExistsError` if there is one of that name."""
        ...

    async def patch(self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Merge into an Event; `NotFoundError` if it is gone."""
        ...


# The recorders that are entered, for `recorders_of`.
_entered_recorders: weakref.WeakSet[EventRecorder] = weakref.WeakSet()


def recorders_of(client: object) -> list[EventRecorder]:
    """Return the recorders of a client that are entered and not left yet."""
    return [recorder for recorder in list(_entered_recorders) if recorder._client is client]


class EventRecorder:
    """Writes Events in the background.

    The same Event once more counts one up instead of making another; from the tenth different text about the same
    object and reason within ten minutes on, they are combined; about one object there are 25 at once and then one each
    five minutes. Repetitions while an Event waits to be written are written with it. Events about different objects are
    written in the order in which they first came.

    When the server does not answer, an Event is tried twelve times, ten seconds apart, and given up; an Event that it
    refuses is given up at once. Up to 1000 Events wait meanwhile, and more are dropped. Each dropped Event is counted
    and logged. It asks for the verbs create and patch on events (of the core group).

    An Event that is recorded before `async with` is entered waits for that; one that is recorded afterwards is dropped.
    Leaving writes the waiting Events, for `drain` seconds at most.

    Args:
        client: speaks to the server.
        component: the reporting component, such as "shop-operator".
        instance: which of its replicas; the host's name when left out.
        drain: seconds that leaving may take; 0 drops the waiting Events.
        correlator: combines and drops Events.
        wall_clock: the time written into Events.
        rng: the source of randomness of the first pause.

    Raises:
        ValueError: the component has no name, or `drain` is negative.

    Examples:
        >>> async with EventRecorder(client, "shop-operator") as events:
        ...     events.normal(pods.lister.get("web-0", namespace="default"), "Checked", "the pod is as it should be")
        >>> [event["reason"] for event in (await client.list("events", namespace="default"))]
        ['Checked']
    """

    def __init__(
        self,
        client: EventClient,
        component: str,
        *,
        instance: str | None = None,
        drain: float = 5.0,
        correlator: EventCorrelator | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        if not component:
            raise ValueError("an event recorder needs the name of the reporting component, such as 'shop-operator'")
        if not drain >= 0:
            msg = f"drain={drain}; expected 0 seconds or more"
            raise ValueError(msg)
        self.component = component
        self.instance = socket.gethostname() if instance is None else instance
        self._client = client
        self._drain = drain
        self._correlator = EventCorrelator() if correlator is None else correlator
        self._wall_clock = wall_clock
        self._rng = JITTER if rng is None else rng
        self._queue: deque[EventSeries] = deque()
        self._something = Flag()
        self._nothing = Flag()
        self._nothing.set()
        self._writer = BackgroundTask(f"event recorder {component}")
        self._entered = False
        self._closed = False
        self._dropped = 0
        self._writing = 0

    def __repr__(self) -> str:
        return f"<EventRecorder {self.component} queued={len(self._queue)} dropped={self._dropped}>"

    @property
    def dropped(self) -> int:
        """Number of occurrences that were not written, and of Events given up, so far."""
        return self._dropped

    @property
    def pending(self) -> int:
        """Number of Events that wait to be written, or are being written; 0 once all are written or dropped."""
        return 0 if self._nothing.is_set() else len(self._queue) + self._writing

    async def flush(self) -> None:
        """Return when every Event recorded so far is written or dropped; an Event may take two minutes to be given up.

        If cancelled, nothing has changed.

        Raises:
            NotStartedError: the recorder was not entered, so that it writes nothing.
            WrongLoopError: it was entered in another event loop.
        """
        if not self._entered:
            remedy = "use `async with recorder:`, or wait for `manager.ready()` if a Manager starts it"
            msg = f"the event recorder {self.component} writes nothing before it is entered; {remedy}"
            raise NotStartedError(msg)
        self._writer.refuse_other_loop()
        await self._nothing.wait()

    def normal(
        self,
        obj: Mapping[str, Any] | CustomResource,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Mapping[str, Any] | CustomResource | None = None,
    ) -> None:
        """Record that something happened as it should.

        Args:
            obj: the object it is about: also an object of a class with `custom_resource`, or a manifest with
                `apiVersion`, `kind` and `metadata`.
            reason: why, as one CamelCase word for programs, such as "Created".
            message: what happened, for people. All readers of Events can read it: no secrets. At most 1024 characters
                are kept.
            action: the action, as one word; may be left out.
            related: a second object of the action, such as the Pod that was created for a Job.
        """
        self._record(obj, "Normal", reason, message, action, related)

    def warning(
        self,
        obj: Mapping[str, Any] | CustomResource,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Mapping[str, Any] | CustomResource | None = None,
    ) -> None:
        """Record that something went wrong; takes the arguments of `normal`."""
        self._record(obj, "Warning", reason, message, action, related)

    async def __aenter__(self) -> Self:
        """Begin to write.

        Raises:
            AlreadyStartedError: entered before.
        """
        if self._entered:
            raise AlreadyStartedError("this event recorder has been entered before; make a new one")
        self._entered = True
        _entered_recorders.add(self)
        self._writer.start(self._write_all(), on_end=self._writer_ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.refuse_other_loop()
        self._closed = True
        _entered_recorders.discard(self)
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._drain):
                await self._nothing.wait()
        finally:
            await self._writer.stop()
            left = len(self._queue) + (0 if self._nothing.is_set() else 1)
            if left:
                self._queue.clear()
                self._drop(left, "the recorder was closed before they could be written")

    def _writer_ended(self) -> None:
        """Log an error if the writer ended because of a defect."""
        failure = self._writer.failure
        if failure is not None and not self._closed:
            self._closed = True
            message = "%s: the event recorder has failed, and no Event is written any more"
            _log.critical(message, self.component, exc_info=failure)

    def _record(
        self,
        obj: Mapping[str, Any] | CustomResource,
        kind: EventType,
        reason: str,
        message: str,
        action: str,
        related: Mapping[str, Any] | CustomResource | None,
    ) -> None:
        try:
            if self._closed:
                self._drop(1, "the recorder is closed")
                return
            if not self._entered and not self._queue:
                _log.warning(_NOT_ENTERED, self.component)
            series = self._correlator.take(
                Subject.of(as_mapping(obj)),
                *(kind, str(reason), str(message), action),
                related=None if related is None else Subject.of(as_mapping(related)),
                now=asyncio.get_running_loop().time(),
                wall=self._wall_clock(),
            )
            if series is None:
                self._drop(1, "there are too many about one object", level=logging.DEBUG)
            elif not series.queued:
                self._enqueue(series)
        except BaseException as failure:
            # An Event is no reason for a controller to fail.
            if not is_survivable(failure):
                raise
            self._drop(1, f"{type(failure).__name__}: {text_of(failure)}")

    def _enqueue(self, series: EventSeries) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._drop(1, f"{MAX_QUEUED} are waiting to be written")
            return
        series.queued = True
        self._queue.append(series)
        self._nothing.clear()
        self._something.set()

    def _drop(self, count: int, reason: str, *, level: int = logging.WARNING) -> None:
        self._dropped += count
        _log.log(level, "%s: %s Events dropped: %s", self.component, count, reason)

    async def _write_all(self) -> None:
        while True:
            while not self._queue:
                self._nothing.set()
                self._something.clear()
                await self._something.wait()
            series = self._queue.popleft()
            # A repetition from here on is to be written again.
            series.queued = False
            self._writing = 1
            try:
                await self._write(series)
            except KinformerError as error:
                self._drop(1, str(error))
            except BaseException as error:
                # One Event is no reason to write no other.
                if not is_survivable(error):
                    raise
                _log.error("%s: an Event could not be written", self.component, exc_info=error)
                self._drop(1, "see the traceback")
            finally:
                self._writing = 0

    async def _write(self, series: EventSeries) -> None:
        for tries in range(1, MAX_TRIES + 1):
            try:
                await self._send(series)
            except _PASSING as error:
                if tries == MAX_TRIES:
                    raise
                asked = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
                _log.debug("%s: an Event could not be written, and is tried again: %s", self.component, error)
            else:
                return
            # The first pause is a random part, so that recorders that were cut off do not all come back at once.
            share = self._rng.random() if tries == 1 else 1.0
            await asyncio.sleep(max(SECONDS_BETWEEN_TRIES * share, asked))

    async def _send(self, series: EventSeries) -> None:
        namespace = series.subject.event_namespace
        if series.stored:
            try:
                await self._client.patch(EVENTS, series.name, series.change(), namespace=namespace)
            except NotFoundError:
                pass  # The server forgets Events after an hour.
            else:
                return
        try:
            await self._client.create(EVENTS, series.manifest(self.component, self.instance), namespace=namespace)
        except AlreadyExistsError:
            # Created by a try whose answer was lost.
            await self._client.patch(EVENTS, series.name, series.change(), namespace=namespace)
        series.stored = True
