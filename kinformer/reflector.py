"""List, then watch, for ever: keeps a DeltaFIFO equal to the API server.

What to do next is decided by `ReflectorMachine`; this module carries it out, and writes down how it went.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.errors import ExpiredError, KinformerError, ObjectError, ProtocolError, TransformError
from kinformer.listwatch import EventType
from kinformer.metrics import NO_METRICS
from kinformer.objects import KubeObject, ObjectKey
from kinformer.reflector_machine import ListStep, ReflectorMachine, WaitStep, WatchStep
from kinformer.status import InformerState, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinformer.delta_fifo import DeltaFIFO
    from kinformer.listwatch import ListerWatcher, WatchBatch
    from kinformer.metrics import Metrics

__all__ = ["Reflector", "Transform"]

_log = logging.getLogger(__name__)

Transform: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any] | None]"
"""Makes of an object's manifest what is kept of it; `None` leaves the object out of the cache."""

_SLICE_SECONDS: Final = 0.005
_QUEUED_PER_SLICE: Final = 1000


class Reflector:
    """Fills a DeltaFIFO from a source, until it is cancelled.

    Args:
        source: where the objects come from.
        fifo: where they go.
        name: for logs and metrics.
        machine: decides what comes next, and holds the backoff policy.
        status: where to write down how it goes.
        transform: called exactly once for each object that arrives, before it is queued.
        on_error: told of every failure, also those that are overcome by themselves.
        metrics: told of what is counted.
    """

    def __init__(
        self,
        source: ListerWatcher,
        fifo: DeltaFIFO,
        *,
        name: str = "",
        machine: ReflectorMachine | None = None,
        status: StatusRecord | None = None,
        transform: Transform | None = None,
        on_error: Callable[[KinformerError], None] | None = None,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._source = source
        self._fifo = fifo
        self._name = name or source.resource.full_name
        self._machine = machine or ReflectorMachine()
        self._status = status or StatusRecord()
        self._transform = transform
        self._on_error = on_error
        self._metrics = metrics

    async def run(self) -> None:
        """Keep the FIFO equal to the server, for ever; ends only by cancellation, which leaves no connection open.

        Nothing that the server or the network does ends it: each failure is reported, and answered by the next step.
        """
        clock = asyncio.get_running_loop().time
        while True:
            match self._machine.next_step():
                case WaitStep(seconds, _):
                    self._status.enter(InformerState.WAITING, clock())
                    self._status.retry_at = clock() + seconds
                    await asyncio.sleep(seconds)
                    self._status.retry_at = None
                case ListStep() as step:
                    self._status.enter(InformerState.LISTING, clock())
                    await self._list(step)
                case WatchStep() as step:
                    await self._watch(step)
            self._status.failures = self._machine.failures

    async def _list(self, step: ListStep) -> None:
        machine, status = self._machine, self._status
        clock = asyncio.get_running_loop().time
        objects: list[KubeObject] = []
        pages = 0
        version = ""
        status.listed = 0
        try:
            async with aclosing(
                self._source.list(resource_version=step.resource_version, limit=step.limit)
            ) as listing:
                async for page in listing:
                    pages += 1
                    # All pages have one version. If ever not, the first is right: what a watch repeats is harmless.
                    version = version or page.resource_version
                    status.heard(clock())
                    objects.extend(page.items if self._transform is None else await self._transformed(page.items))
                    status.listed = len(objects)
                    for failure in page.failures:
                        self._left_out(failure)
        except KinformerError as error:
            machine.list_failed(error, pages=pages)
            self._failed(error, "list")
            return
        if machine.refuses(version):
            stale = ProtocolError(
                f"a list of {self._name} has version {version}, older than {machine.resource_version}, which was seen "
                "already: an API server that lags behind answered; asking for the newest"
            )
            machine.list_refused(stale)
            self._failed(stale, "list")
            return
        for _ in self._fifo.replacing(objects, slice_size=_QUEUED_PER_SLICE):
            await asyncio.sleep(0)
        machine.listed(version, pages=pages)
        status.resource_version = version
        status.lists[step.reason] += 1
        self._metrics.listed(self._name, objects=len(objects), reason=step.reason)
        _log.debug("%s: listed %d objects at version %s (%s)", self._name, len(objects), version, step.reason)

    async def _watch(self, step: WatchStep) -> None:
        machine, status = self._machine, self._status
        clock = asyncio.get_running_loop().time
        began = clock()
        failure: KinformerError | None = None
        try:
            async with self._source.watch(
                resource_version=step.resource_version, timeout_seconds=step.timeout_seconds
            ) as batches:
                began = clock()
                status.enter(InformerState.WATCHING, began)
                status.heard(began)
                status.watches += 1
                self._metrics.watch_opened(self._name)
                async for batch in batches:
                    status.heard(clock())
                    self._take(batch)
                    if batch.error is not None:
                        failure = batch.error
                        break
        except KinformerError as error:
            failure = error
        if failure is None:
            machine.watch_ended(lasted=clock() - began)
        else:
            machine.watch_failed(failure, lasted=clock() - began)
            self._failed(failure, "watch")

    def _take(self, batch: WatchBatch) -> None:
        fifo, status = self._fifo, self._status
        for kind, arrived in batch.events:
            obj: KubeObject | None = arrived
            if self._transform is not None:
                obj = self._apply_transform(arrived)
            if kind is EventType.DELETED:
                if obj is None:
                    fifo.leave_out(arrived.key)
                else:
                    fifo.delete(obj)
            elif obj is None:
                fifo.leave_out(arrived.key)
            elif kind is EventType.ADDED:
                fifo.add(obj)
            else:
                fifo.update(obj)
        for failure in batch.failures:
            self._left_out(failure)
            if failure.key:
                fifo.leave_out(ObjectKey.parse(failure.key))
        if batch.events:
            status.events += len(batch.events)
            self._metrics.received(self._name, events=len(batch.events))
        if batch.events or batch.resource_version:
            self._machine.progressed(batch.resource_version)
            status.failures = 0
            status.resource_version = self._machine.resource_version

    async def _transformed(self, objects: Iterable[KubeObject]) -> Sequence[KubeObject]:
        """What the transform makes of a page; a slow one does not hold the loop for long."""
        clock = asyncio.get_running_loop().time
        until = clock() + _SLICE_SECONDS
        kept = []
        for arrived in objects:
            obj = self._apply_transform(arrived)
            if obj is not None:
                kept.append(obj)
            if clock() >= until:
                await asyncio.sleep(0)
                until = clock() + _SLICE_SECONDS
        return kept

    def _apply_transform(self, obj: KubeObject) -> KubeObject | None:
        assert self._transform is not None
        resource = obj.resource
        try:
            manifest = self._transform(obj.to_dict())
            if manifest is None:
                return None
            made = KubeObject.from_dict(manifest, resource)
        except Exception as cause:  # noqa: BLE001 - a user's function; it must not stop the others' objects
            reason = f"the transform raised {type(cause).__name__}; left out of the cache"
            error = TransformError(reason, key=str(obj.key), resource=resource.full_name)
            error.__cause__ = cause
            self._left_out(error)
            return None
        if made.key != obj.key or made.uid != obj.uid or made.resource_version != obj.resource_version:
            reason = "the transform changed name, namespace, uid or resourceVersion; left out of the cache"
            self._left_out(TransformError(reason, key=str(obj.key), resource=resource.full_name))
            return None
        return made

    def _left_out(self, error: ObjectError) -> None:
        self._status.left_out += 1
        _log.warning("%s: left out: %s", self._name, error)
        self._tell(error)

    def _failed(self, error: KinformerError, doing: str) -> None:
        self._status.failures = self._machine.failures
        # A version expires in the normal course of things, after a quiet hour or a restart of the API server.
        level = logging.INFO if isinstance(error, ExpiredError) else logging.WARNING
        _log.log(level, "%s: %s failed (%d in a row): %s", self._name, doing, self._machine.failures, error)
        self._tell(error)

    def _tell(self, error: KinformerError) -> None:
        self._status.failed(error, asyncio.get_running_loop().time())
        self._metrics.failed(self._name, error)
        if self._on_error is not None:
            self._on_error(error)
