"""One watch of all namespaces in the place of a watch for each: its events go to the parts of a scope, by namespace.

Each part still has its own list. A part takes its events from here only if the shared watch has kept each event of its
namespace since a version that the part has reached: the floor of its subscription. So no change is lost when a part
goes from its own watch to the shared one or back, and events of other namespaces are dropped here.

The shared watch begins at the newest version that a part has reached. Parts that are behind keep their own watch until
an event or a bookmark takes them past their floor.

If the shared watch ends after a silence that `Silence` does not believe, each part has a failed watch, and then its own
watch for a while. So each decides by itself whether it lists.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from kinformer._clock import running_clock
from kinformer._flag import Flag
from kinformer.errors import (
    ExpiredError,
    ForbiddenError,
    KinformerError,
    ResourceVersionTooLargeError,
    StreamBrokenError,
)
from kinformer.listwatch import WatchBatch
from kinformer.objects import version_number
from kinformer.reflector._attempts import OpenWatch, as_failure
from kinformer.reflector._silence import Silence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from kinformer.errors import ObjectError
    from kinformer.listwatch import Delta, ListerWatcher

__all__ = ["SharedWatch", "Subscription"]

_log = logging.getLogger(__name__)

_KEPT: Final = 10_000
"""Number of events that a subscription keeps for a part that does not take them now, because it lists for example."""

_AHEAD: Final = 1_000
"""Number of events that a part may be behind before the shared watch waits for it, so that the server waits, too."""

_ATTEMPTS: Final = 3
"""Failures in a row after which each part has its own watch again."""

_FIRST_PAUSE: Final = 60.0
_LONGEST_PAUSE: Final = 1800.0
"""Seconds from a refusal of the shared watch to the next attempt: doubled each time, up to the longest."""

_SHORT: Final = 1.0
"""Seconds. A watch that the server ends sooner is opened again after a pause."""


class _State(enum.Enum):
    IDLE = "it has not begun, or begins anew after an expired version"
    OPEN = "the server sends events, or ended the watch cleanly and is asked again"
    FAILED = "the last attempt failed; the next part that asks begins another one"
    REFUSED = "each part has its own watch until the next attempt"


class Subscription:
    """The events of one namespace.

    Attributes:
        version: the version that the part has reached; 0 if unknown.
        floor: each later event is kept here; `None` if none is.
        is_attached: whether a part takes the events now.
    """

    __slots__ = ("_error", "_queue", "_ready", "_shared", "_size", "floor", "is_attached", "version")

    def __init__(self, shared: SharedWatch, version: int) -> None:
        self._shared = shared
        self._queue: deque[WatchBatch] = deque()
        self._size = 0
        self._ready = Flag()
        self._error: KinformerError | None = None
        self.version = version
        self.floor: int | None = None
        self.is_attached = False

    @property
    def size(self) -> int:
        """Number of events that wait for the part."""
        return self._size

    def serves(self, version: int) -> bool:
        """Return whether a part that has reached this version can take its next events from here at once."""
        return self._shared.is_open and self.has_since(version)

    def has_since(self, version: int) -> bool:
        """Return whether each event after this version was kept, if the shared watch can be opened again."""
        return self.floor is not None and self.floor <= version and self._shared.may_serve

    def came_to(self, version: int) -> None:
        """Record the version that the part has reached by its own watch."""
        if version > self.version:
            self.version = version
            self._shared.look_again()

    async def attach(self, version: int) -> bool:
        """Begin to take events after a version; return false if the part must open its own watch.

        Raises:
            KinformerError: the shared watch cannot be opened now.
        """
        if not self.has_since(version) or not await self._shared.opened() or not self.has_since(version):
            return False
        self._error = None
        self.is_attached = True
        return True

    def detach(self) -> None:
        """End the effect of `attach`; the events are kept for the next time."""
        self.is_attached = False
        self._keep_to_limit()
        self._shared.look_again()

    async def batches(self, version: int) -> AsyncGenerator[WatchBatch, None]:
        """Yield the events after a version; end when the part must open its own watch.

        Raises:
            KinformerError: the shared watch failed.
        """
        while True:
            while self._queue:
                batch = self._queue.popleft()
                self._size -= len(batch.events)
                reached = version_number(batch.resource_version)
                self.floor = max(self.floor or 0, reached)
                if self._size < _AHEAD:
                    self._shared.look_again()
                if not reached:
                    yield batch
                elif reached > version:
                    if batch.events and version_number(batch.events[0].object.resource_version) <= version:
                        batch = batch._replace(events=_later(batch.events, version))
                    self.version = version = reached
                    yield batch
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if not self.is_attached or self.floor is None:
                return
            self._ready.clear()
            await self._ready.wait()

    def put(self, batch: WatchBatch) -> None:
        """Keep a batch for the part."""
        if self.floor is None:
            return
        if not batch.events and self._queue and not (self._queue[-1].events or self._queue[-1].failures):
            self._queue.pop()
        self._queue.append(batch)
        self._size += len(batch.events)
        self._keep_to_limit()
        self._ready.set()

    def begin(self, floor: int) -> None:
        """Keep each event after a version from now on."""
        self.forget()
        self.floor = floor

    def forget(self) -> None:
        """Keep nothing."""
        self.floor = None
        self._queue.clear()
        self._size = 0

    def fail(self, error: KinformerError) -> None:
        """Let the part that takes events now have an error after the kept events."""
        if self.is_attached:
            self._error = error
            self._ready.set()

    def end(self) -> None:
        """Let the part open its own watch, from the version that it has reached."""
        self.forget()
        self._ready.set()

    def _keep_to_limit(self) -> None:
        if not self.is_attached and self._size > _KEPT and self.floor is not None:
            self.begin(self._shared.position)


class SharedWatch:
    """Watches all namespaces, and passes each event on to the subscription of its namespace.

    Args:
        source: opens the watch; it is never asked for a list.
        name: the name in logs.

    Attributes:
        position: the version up to which the events of all subscriptions have come; 0 before the first attempt.
    """

    def __init__(self, source: ListerWatcher, name: str) -> None:
        self.source = source
        self.position = 0
        self._name = name
        self._state = _State.IDLE
        self._subscriptions: dict[str, Subscription] = {}
        self._look = Flag()
        self._scope: asyncio.Timeout | None = None
        self._asking: list[asyncio.Future[bool]] = []
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._retry_at = 0.0
        self._silence = Silence()
        self._opened_at: float | None = None  # of the present watch
        self._whole_at = 0.0  # the time at which the server should end it

    @property
    def is_open(self) -> bool:
        """True if the server sends the events."""
        return self._state is _State.OPEN

    @property
    def may_serve(self) -> bool:
        """True if subscriptions have their events, now or after another attempt."""
        return self._state in {_State.OPEN, _State.FAILED}

    def subscribe(self, namespace: str, version: int) -> Subscription:
        """Keep the events of a namespace from now on; `version` is the one that its part has reached, or 0."""
        found = self._subscriptions[namespace] = Subscription(self, version)
        if self.may_serve:
            found.begin(self.position)
        self.look_again()
        return found

    def unsubscribe(self, namespace: str) -> None:
        """End the effect of `subscribe`."""
        self._subscriptions.pop(namespace).end()
        self.look_again()

    def look_again(self) -> None:
        """Wake the task: a version is known, or there is room again."""
        self._look.set()

    def reconnect(self) -> None:
        """End the watch, and open another one at once."""
        self._retry_at = 0.0
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
        self.look_again()

    async def opened(self) -> bool:
        """Wait until the watch is open; return false if the server refuses it.

        Raises:
            KinformerError: the attempt failed.
        """
        if self._state is _State.FAILED:
            asking: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._asking.append(asking)
            self.look_again()
            return await asking
        return self.is_open

    async def run(self) -> None:
        """Watch while there are subscriptions, until cancelled."""
        clock = running_clock()
        short = 0
        try:
            while True:
                await self._until_due()
                began = clock()
                self._opened_at = None
                try:
                    async with asyncio.timeout(None) as self._scope:
                        await self._watch()
                except TimeoutError:
                    if self._scope is None or not self._scope.expired():
                        raise
                except BaseException as error:
                    failure = as_failure(error, self._name, "watch")
                    if failure is None:
                        raise
                    if not self._gave_way_after_silence(failure):
                        self._failed(failure)
                    continue
                finally:
                    self._scope = None
                if self._gave_way_after_silence(None):
                    continue
                self._failures = 0
                short = short + 1 if clock() - began < _SHORT else 0
                if short:
                    await asyncio.sleep(min(0.1 * 2**short, 30.0))
        finally:
            self._state = _State.REFUSED
            self._answer(opened=False)
            for subscription in self._subscriptions.values():
                subscription.end()

    async def _until_due(self) -> None:
        clock = running_clock()
        while not self._is_due(clock()):
            self._look.clear()
            try:
                async with asyncio.timeout_at(self._retry_at if self._retry_at > clock() else None):
                    await self._look.wait()
            except TimeoutError:
                pass

    def _is_due(self, now: float) -> bool:
        match self._state:
            case _State.OPEN:
                return True
            case _State.FAILED:
                return bool(self._asking) or now >= self._retry_at
            case _:
                return now >= self._retry_at and any(one.version for one in self._subscriptions.values())

    async def _watch(self) -> None:
        start = self.position if self.may_serve else max(one.version for one in self._subscriptions.values())
        clock = running_clock()
        timeout = self._silence.begin(random.randint(300, 600))  # noqa: S311 - spreads the load of many programs
        watch = self.source.watch(resource_version=str(start), timeout_seconds=timeout)
        async with OpenWatch(watch, self._name) as batches:
            opened_at = self._opened_at = clock()
            self._whole_at = opened_at + timeout - 1
            self._begin(start)
            async for batch in batches:
                self._take(batch, clock() - opened_at)
                error = batch.error
                del batch  # a quiet watch holds no events
                if error is not None:
                    raise error
                while any(one.is_attached and one.size >= _AHEAD for one in self._subscriptions.values()):
                    self._look.clear()
                    await self._look.wait()

    def _begin(self, start: int) -> None:
        """Keep the events of each subscription from now on."""
        if not self.may_serve:
            self.position = start
            for subscription in self._subscriptions.values():
                subscription.begin(start)
        self._state = _State.OPEN
        self._answer(opened=True)

    def _take(self, batch: WatchBatch, since_opening: float) -> None:
        version = version_number(batch.resource_version)
        bookmark = not batch.events and not batch.failures
        if version > self.position or (bookmark and version == self.position):
            self._silence.brought(since_opening, new=version > self.position)
            self.position = version
            self._failures, self._pause = 0, _FIRST_PAUSE
        subscriptions = self._subscriptions
        if bookmark:
            if version:
                for subscription in subscriptions.values():
                    subscription.put(WatchBatch((), batch.resource_version))
            return
        events: dict[str, list[Delta]] = {}
        for delta in batch.events:
            namespace = delta.object.namespace
            if namespace in subscriptions:
                events.setdefault(namespace, []).append(delta)
        failures = self._by_namespace(batch.failures) if batch.failures else {}
        for namespace in {**events, **failures}:
            found = WatchBatch(events.get(namespace, ()), batch.resource_version, failures=failures.get(namespace, ()))
            subscriptions[namespace].put(found)

    def _by_namespace(self, failures: Sequence[ObjectError]) -> dict[str, list[ObjectError]]:
        found: dict[str, list[ObjectError]] = {}
        for error in failures:
            # An object without a readable key is reported once, because it may be in any namespace.
            namespace = error.key.partition("/")[0] if error.key else next(iter(self._subscriptions), "")
            if namespace in self._subscriptions:
                found.setdefault(namespace, []).append(error)
        return found

    def _gave_way_after_silence(self, error: KinformerError | None) -> bool:
        """Give each part its own watch if the shared one ended after a silence, or brought events at its end only."""
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is None or self._state is not _State.OPEN:
            return False
        now = asyncio.get_running_loop().time()
        silent = self._silence.ended(now - opened_at, whole=error is None and now >= self._whole_at)
        if not (silent or self._silence.found) or isinstance(error, ExpiredError | ResourceVersionTooLargeError):
            return False
        self._silence = Silence()
        error = error or StreamBrokenError(f"a watch of {self._name} ended, and brought nothing while it was open")
        for subscription in self._subscriptions.values():
            subscription.fail(error)
        self._give_way(now, error)
        return True

    def _give_way(self, now: float, error: KinformerError) -> None:
        """Give each part its own watch, until another attempt."""
        if self._state is not _State.REFUSED:
            _log.warning("%s: %d namespaces have a watch each: %s", self._name, len(self._subscriptions), error)
        self._state, self._failures = _State.REFUSED, 0
        self._retry_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        for subscription in self._subscriptions.values():
            subscription.end()
        self._answer(opened=False)

    def _failed(self, error: KinformerError) -> None:
        now = asyncio.get_running_loop().time()
        self._failures += 1
        self._retry_at = now + min(2.0**self._failures, _FIRST_PAUSE)
        if isinstance(error, ExpiredError | ResourceVersionTooLargeError):
            # Each part that takes events lists anew; the next attempt begins at one of these lists.
            self._state, self.position = _State.IDLE, 0
            for subscription in self._subscriptions.values():
                subscription.version = 0
                subscription.forget()
                subscription.fail(error)
        elif isinstance(error, ForbiddenError) or self._failures >= _ATTEMPTS:
            self._give_way(now, error)
            return
        elif self.may_serve:
            self._state = _State.FAILED
            for subscription in self._subscriptions.values():
                subscription.fail(error)
        self._answer(error)

    def _answer(self, error: KinformerError | None = None, *, opened: bool = False) -> None:
        """End the waits of `opened`."""
        for asking in self._asking:
            if asking.done():
                continue
            if error is None:
                asking.set_result(opened)
            else:
                asking.set_exception(error)
                asking.exception()  # its caller may have been cancelled
        self._asking.clear()


def _later(events: Sequence[Delta], version: int) -> list[Delta]:
    return [delta for delta in events if version_number(delta.object.resource_version) > version]
