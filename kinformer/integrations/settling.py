"""Waits in tests until informers, handlers and work queues are idle, instead of sleeping.

    await settled()        # everything written so far has come through caches, handlers and work queues

It is exact. The embedded server sends each open watch a bookmark of its present version after all its events. An
informer at that version has received every write, however narrow its selectors are. Received objects are in its cache
when nothing is pending, and have reached its handlers when their mailboxes are empty and no handler is running. The
work of handlers is done when the queues are empty and no key is with a worker. A write that comes meanwhile, by a
controller for example, moves the version, and all parts are checked again.

Code of your own is not waited for: a task, the consumer of `informer.events()`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from kinformer.controller import Controller
from kinformer.errors import CacheSyncError, StoppedError, WaitTimeoutError
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.objects import version_number
from kinformer.operators.event_recorder import EventRecorder, recorders_of
from kinformer.status import InformerState
from kinformer.workqueue import RateLimitingQueue, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["DEFAULT_TIMEOUT", "Settled", "SettlingServer"]

DEFAULT_TIMEOUT: Final = 10.0

_TURNS: Final = 50
_POLL_SECONDS: Final = 0.002

Part: TypeAlias = "SharedInformerFactory | SharedInformer | Controller[Any] | WorkQueue[Any] | EventRecorder"


class SettlingServer(Protocol):
    """The part of a server that is needed; `kinformer.testing.ApiServer` has it."""

    @property
    def resource_version(self) -> int:
        """Return the version of the last write."""
        ...

    def send_bookmarks(self) -> None:
        """Send each open watch a bookmark of the present version, after all its events."""
        ...


class Settled:
    """Waits until nothing is left to do.

    Args:
        server: the server that receives the writes.
        parts: the factories, informers, controllers and work queues that follow it. The queue of a controller that
            watches an informer among them need not be named, nor that of any handler that is a method of an object
            with a work queue as its attribute `queue`, nor an entered event recorder of a factory's client.
    """

    def __init__(self, server: SettlingServer, *parts: Part) -> None:
        self._server = server
        self._parts = parts

    async def __call__(self, *also: Part, timeout: float = DEFAULT_TIMEOUT, within: float = 0.5) -> None:
        """Wait until nothing is left to do. Factories that have not been started are started.

        If cancelled, nothing has changed.

        Args:
            also: more factories, informers, controllers, work queues and event recorders.
            timeout: seconds to wait at most.
            within: a delayed key counts as something to do if it comes due within so many seconds. The default waits
                for the first retries of a reconcile that failed, but not for a `Requeue(after=300)`.

        Raises:
            WaitTimeoutError: not in time; names everything that has not settled.
            TypeError: something was given that cannot settle.
            WrongLoopError: a factory or informer runs in another event loop.
        """
        parts = (*self._parts, *also)
        for part in parts:
            if not isinstance(part, SharedInformerFactory | SharedInformer | Controller | WorkQueue | EventRecorder):
                msg = f"{part!r} cannot settle; give factories, informers, controllers, work queues and event recorders"
                raise TypeError(msg)
            if isinstance(part, SharedInformerFactory) and not (part.started or part.stopped):
                part.start()
        await _check_loops(parts)
        turns = 0
        try:
            async with asyncio.timeout(timeout):
                while any(self._left(parts, within)):
                    # Most work is done in a few turns of the loop; only sockets may take longer.
                    await asyncio.sleep(0 if turns < _TURNS else _POLL_SECONDS)
                    turns += 1
        except TimeoutError:
            left = "; ".join(self._left(parts, within)) or "it has just settled"
            msg = f"not settled after {timeout:g} s: {left}"
            raise WaitTimeoutError(msg) from None

    def _left(self, parts: Iterable[Part], within: float) -> Iterator[str]:
        """Yield in words what remains to do."""
        self._server.send_bookmarks()
        target = self._server.resource_version
        queues: dict[int, tuple[str, WorkQueue[Any]]] = {}
        informers: dict[int, SharedInformer] = {}
        recorders: set[EventRecorder] = set()
        for part in parts:
            match part:
                case EventRecorder():
                    recorders.add(part)
                case SharedInformerFactory():
                    recorders.update(recorders_of(part.client))
                    informers |= {id(informer): informer for informer in part.informers.values()}
                case SharedInformer():
                    informers[id(part)] = part
                case Controller():
                    queues[id(part.queue)] = (f"controller {part.name}", part.queue)
                case WorkQueue():
                    queues.setdefault(id(part), ("a work queue", part))
        for informer in informers.values():
            yield from _left_of_informer(informer, target)
            for handler in informer.handlers:
                queue = getattr(getattr(handler.handler, "__self__", None), "queue", None)
                if isinstance(queue, WorkQueue):
                    queues.setdefault(id(queue), (handler.name, queue))
        for name, queue in queues.values():
            yield from _left_in_queue(name, queue, within)
        for recorder in recorders:
            if recorder.pending:
                yield f"event recorder {recorder.component} has Events to write: {recorder.pending}"


async def _check_loops(parts: Iterable[Part]) -> None:
    """Raise `WrongLoopError` for an informer of another event loop: nothing moves there while this one runs."""
    for part in parts:
        informers = part.informers.values() if isinstance(part, SharedInformerFactory) else [part]
        for informer in informers:
            if isinstance(informer, SharedInformer):
                with contextlib.suppress(CacheSyncError, StoppedError):
                    await informer.synced(timeout=0)


def _left_of_informer(informer: SharedInformer, target: int) -> Iterator[str]:
    """Yield in words what remains to do for an informer; nothing for one that has ended."""
    if informer.stopped:
        return
    status = informer.status
    if status.state is InformerState.NEW:
        yield f"informer {informer.name} has not been started"
        return
    version = version_number(status.resource_version) if status.resource_version else 0
    if version < target:
        trouble = f", {status.failures} failures in a row, the last: {status.last_error}" if status.failures else ""
        yield (
            f"informer {informer.name} has come to version {version} of {target} "
            f"(it is {status.state}, {status.objects} objects{trouble})"
        )
    elif not informer.has_synced or informer.pending:
        yield f"informer {informer.name}: objects on their way into the cache: {informer.pending}"
    for handler in informer.handlers:
        if not handler.idle:
            yield f"handler {handler.name} of {informer.name} is at work; events that wait: {handler.waiting}"


def _left_in_queue(name: str, queue: WorkQueue[Any], within: float) -> Iterator[str]:
    at_work = ", ".join(sorted(map(str, queue.processing)))
    if at_work:
        yield f"{name} is at work on {at_work}; keys that wait: {len(queue)}"
    elif queue.shutting_down:
        # No worker takes the keys that are left.
        return
    elif len(queue):
        yield f"{name} has no worker at work; keys that wait: {len(queue)}"
    elif queue.held:
        held = ", ".join(sorted(map(str, queue.held)))
        yield f"{name} holds keys back until the caches show the writes for them: {held}"
    elif isinstance(queue, RateLimitingQueue) and (due := queue.due_within(within)):
        yield f"{name}: keys that come due within {within:g} s: {due}"
