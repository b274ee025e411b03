"""An in-memory source of objects for tests of the cache: it does what the test says, at the virtual time it says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kinformer._own_writes.pending import pending_writes_of
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject
from kinformer.resources import PODS, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from kinformer.errors import ApiError, KinformerError, ObjectError


def pod(
    name: str, version: int = 1, *, namespace: str = "default", uid: str | None = None, **fields: Any
) -> KubeObject:
    """A pod; keyword arguments are labels (`labels=`), or top-level fields."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{namespace}-{name}",
        "resourceVersion": str(version),
    }
    if "labels" in fields:
        metadata["labels"] = fields.pop("labels")
    return KubeObject.from_dict({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, **fields}, PODS)


@dataclass
class Stream:
    """One open watch: the test puts into it what the server would send."""

    resource_version: str
    timeout_seconds: int
    opened_at: float
    initial: bool = False
    queue: asyncio.Queue[WatchBatch | BaseException | None] = field(default_factory=asyncio.Queue)
    closed: bool = False
    pump: Callable[[], None] = lambda: None

    def put(self, item: WatchBatch | BaseException | None) -> None:
        """Send anything."""
        self.queue.put_nowait(item)
        self.pump()

    def send(self, *events: tuple[DeltaType, KubeObject], failures: Sequence[ObjectError] = ()) -> None:
        """Send events in one batch; the batch is at its last event's version."""
        version = events[-1][1].resource_version if events else ""
        self.put(WatchBatch([Delta(*event) for event in events], version, failures=failures))

    def added(self, *objects: KubeObject) -> None:
        """Send ADDED events in one batch."""
        self.send(*((DeltaType.ADDED, obj) for obj in objects))

    def modified(self, *objects: KubeObject) -> None:
        """Send MODIFIED events in one batch."""
        self.send(*((DeltaType.UPDATED, obj) for obj in objects))

    def deleted(self, *objects: KubeObject) -> None:
        """Send DELETED events in one batch."""
        self.send(*((DeltaType.DELETED, obj) for obj in objects))

    def bookmark(self, version: int) -> None:
        """Send a bookmark."""
        self.put(WatchBatch((), str(version)))

    def end_bookmark(self, version: int) -> None:
        """Send the bookmark that ends a streaming list."""
        self.put(WatchBatch((), str(version), initial_events_end=True))

    def error(self, error: ApiError) -> None:
        """Send an ERROR event, which ends the stream."""
        self.put(WatchBatch((), error=error))

    def end(self) -> None:
        """Close the stream cleanly."""
        self.put(None)

    def fail(self, error: KinformerError) -> None:
        """Break the stream."""
        self.put(error)


class FakeSource:
    """A ListerWatcher whose state the test sets; lists and watches are recorded with their times.

    Attributes:
        objects: what a list answers with, at `version`.
        list_errors: raised by the next lists, one each.
        watch_errors: raised by the next watches when they are opened, one each; `None` lets one through.
        refusal_delay: virtual seconds before a watch is refused.
        page_size: objects per page, 0 for one page.
        in_parts: one page in parts of `page_size` objects; as for custom resources, its end has the version.
        list_delay: virtual seconds before each page.
        streaming: whether it can stream lists; the test sends what such a stream brings.
        pushes: whether batches of a watch come in callbacks of the loop, as from a socket, and not in a task.
    """

    pushes = False

    def __init__(self, *objects: KubeObject, version: int = 10, resource: Resource = PODS) -> None:
        self._resource = resource
        self.objects = [*objects]
        self.version = version
        self.list_errors: list[KinformerError | None] = []
        self.watch_errors: list[KinformerError | None] = []
        self.failures: list[ObjectError] = []
        self.page_size = 0
        self.in_parts = False
        self.list_delay = 0.0
        self.refusal_delay = 0.0
        self.streaming = False
        self.lists: list[tuple[float, str, int]] = []
        self.streams: list[Stream] = []
        self._opened = asyncio.Event()

    @property
    def resource(self) -> Resource:
        return self._resource

    @property
    def streams_lists(self) -> bool:
        return self.streaming

    def covers(self, obj: KubeObject) -> bool | None:
        return obj.namespace == "default"

    def as_listed(self, obj: KubeObject) -> KubeObject:
        return obj

    @property
    def stream(self) -> Stream:
        """The watch opened last."""
        return self.streams[-1]

    @property
    def open_streams(self) -> int:
        """How many watches are open."""
        return sum(not stream.closed for stream in self.streams)

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        self.lists.append((asyncio.get_running_loop().time(), resource_version, limit))
        await asyncio.sleep(self.list_delay)
        error = self.list_errors.pop(0) if self.list_errors else None
        if error is not None:
            raise error
        objects, size = [*self.objects], self.page_size or len(self.objects) or 1
        for start in range(0, max(len(objects), 1), size):
            more = "more" if start + size < len(objects) else ""
            if self.in_parts and more:
                yield ListPage(objects[start : start + size], "", partial=True)
            else:
                yield ListPage(objects[start : start + size], str(self.version), more, failures=self.failures)
            await asyncio.sleep(self.list_delay)

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        assert self.streaming or not send_initial_events
        error = self.watch_errors.pop(0) if self.watch_errors else None
        stream = Stream(resource_version, timeout_seconds, asyncio.get_running_loop().time(), send_initial_events)
        if error is not None:
            stream.closed = True
            self.streams.append(stream)
            if self.refusal_delay:
                await asyncio.sleep(self.refusal_delay)
            raise error
        self.streams.append(stream)
        self._opened.set()
        try:
            batches = self._batches(stream)
            # A class that is a `WatchStream` to the reflector.
            yield _Pushed(stream, batches) if self.pushes else batches
        finally:
            stream.closed = True

    async def _batches(self, stream: Stream) -> AsyncGenerator[WatchBatch, None]:
        while (item := await stream.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    async def watched(self) -> Stream:
        """Wait until a watch is open, and return it."""
        while not self.open_streams:
            self._opened.clear()
            await self._opened.wait()
        return self.stream


class _Pushed:
    """The batches of a watch, passed on as `WatchStream` does: by the loop, while the reader waits."""

    def __init__(self, stream: Stream, batches: AsyncGenerator[WatchBatch, None]) -> None:
        self._stream = stream
        self._batches = batches

    def __aiter__(self) -> AsyncIterator[WatchBatch]:
        return self

    async def __anext__(self) -> WatchBatch:
        return await anext(self._batches)

    async def deliver(self, take: Callable[[WatchBatch, bool], None]) -> KinformerError | None:
        loop = asyncio.get_running_loop()
        queue, end = self._stream.queue, loop.create_future()

        def pump() -> None:
            if end.done() or queue.empty():
                return
            item = queue.get_nowait()
            if isinstance(item, WatchBatch) and item.error is None:
                try:
                    take(item, True)
                except Exception as error:
                    end.set_exception(error)
                loop.call_soon(pump)
            else:
                end.set_result(item)

        self._stream.pump = lambda: (loop.call_soon(pump), None)[1]
        self._stream.pump()
        item = await end
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return None
        take(item, False)
        error: KinformerError | None = item.error
        return error


async def settled() -> None:
    """Let everything that can run now run; takes a moment of virtual time and none of real time."""
    await asyncio.sleep(1e-6)


def now() -> float:
    """The loop's time: with looptime, the virtual seconds since the test began."""
    return asyncio.get_running_loop().time()


def pending_writes(informer: object) -> int:
    """The number of writes that the cache of an informer does not show yet."""
    pending = pending_writes_of(informer)
    assert pending is not None
    return len(pending)
