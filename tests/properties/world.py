"""A small world to test informers against: objects, one revision, a history, and everything that can go wrong.

It is a `ListerWatcher` for each scope, in memory and on virtual time, so that thousands of schedules take seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kinformer._own_writes.feed import WriteFeed
from kinformer.errors import ApiError, ConnectError, DecodeError, StreamBrokenError, TransportTimeoutError, api_error
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import CONFIGMAPS, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, MutableSequence, Sequence

    from kinformer._own_writes.feed import Write
    from kinformer.errors import KinformerError

NAMES = ("a", "b", "c", "d", "e")


def expired() -> ApiError:
    return api_error(410, {"reason": "Expired", "message": "too old resource version"})


def too_large() -> ApiError:
    return api_error(504, {"reason": "Timeout", "message": "Too large resource version"})


ERRORS: dict[str, Callable[[], KinformerError]] = {
    "refused": lambda: ConnectError("refused"),
    "401": lambda: api_error(401),
    "403": lambda: api_error(403),
    "404": lambda: api_error(404),
    "410": expired,
    "429": lambda: api_error(429, retry_after=2),
    "500": lambda: api_error(500),
    "503": lambda: api_error(503, text="<html>"),
    "timeout": lambda: TransportTimeoutError("silent"),
    "broken": lambda: StreamBrokenError("broken"),
    "too large": too_large,
}


@dataclass(frozen=True)
class Change:
    revision: int
    kind: DeltaType
    new: KubeObject
    old: KubeObject | None


@dataclass
class World:
    """What the API server has, and had.

    Attributes:
        objects: what there is now.
        history: every change ever; what is up to `compacted` can no longer be watched from.
        undecodable: names of objects that arrive as bytes nobody can decode.
        ever_undecodable: the names that have ever been among them.
    """

    revision: int = 10
    compacted: int = 0
    uids: int = 0
    lag: int = 0
    repeat: int = 1
    page_size: int = 0
    streams_lists: bool = True
    end_bookmarks: bool = True
    frozen: bool = False
    objects: dict[ObjectKey, KubeObject] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    undecodable: set[str] = field(default_factory=set)
    ever_undecodable: set[str] = field(default_factory=set)
    list_errors: list[str] = field(default_factory=list)
    watch_errors: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def write(self, name: str, *, app: str = "x", value: str = "") -> KubeObject:
        """Create an object, or change it."""
        key = ObjectKey("default", name)
        old = self.objects.get(key)
        self.revision += 1
        if old is None:
            self.uids += 1
        uid = f"uid-{self.uids}" if old is None else old.uid
        metadata = {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(self.revision)}
        manifest = {"metadata": metadata | {"labels": {"app": app}}, "data": {"value": value}}
        new = KubeObject.from_dict(manifest, CONFIGMAPS)
        self.objects[key] = new
        self._happened(Change(self.revision, DeltaType.UPDATED if old else DeltaType.ADDED, new, old))
        return new

    def delete(self, name: str) -> KubeObject | None:
        """Delete an object, if it is there; returns it as it was."""
        key = ObjectKey("default", name)
        old = self.objects.pop(key, None)
        if old is not None:
            self.revision += 1
            self._happened(Change(self.revision, DeltaType.DELETED, versioned(old, self.revision), old))
        return old

    def compact(self) -> None:
        self.compacted = self.revision

    def at(self, revision: int) -> dict[ObjectKey, KubeObject]:
        """What there was at a revision."""
        objects = dict(self.objects)
        for change in reversed(self.history):
            if change.revision <= revision:
                break
            if change.old is None:
                objects.pop(change.new.key, None)
            else:
                objects[change.new.key] = change.old
        return objects

    def right_again(self) -> None:
        """Let nothing go wrong any more."""
        self.lag, self.repeat, self.end_bookmarks, self.frozen = 0, 1, True, False
        self.undecodable.clear()
        self.list_errors.clear()
        self.watch_errors.clear()

    def _happened(self, change: Change) -> None:
        self.history.append(change)
        for source in self.sources:
            source.happened(change)


def versioned(obj: KubeObject, revision: int) -> KubeObject:
    manifest = obj.to_dict()
    manifest["metadata"]["resourceVersion"] = str(revision)
    return KubeObject.from_dict(manifest, obj.resource)


@dataclass(eq=False)
class Watch:
    start: int
    queue: asyncio.Queue[WatchBatch | BaseException | None] = field(default_factory=asyncio.Queue)


class Source:
    """One scope of the world: everything, or what has `app` as its label."""

    def __init__(self, world: World, app: str | None, *, tells: bool = True) -> None:
        self.world = world
        self.app = app
        self.tells = tells
        self.watches: set[Watch] = set()
        self.requests = 0
        self.writes = WriteFeed()
        world.sources.append(self)

    @property
    def resource(self) -> Resource:
        return CONFIGMAPS

    @property
    def streams_lists(self) -> bool:
        return self.world.streams_lists

    def selects(self, obj: KubeObject) -> bool:
        return self.app in {None, obj.labels.get("app")}

    def covers(self, obj: KubeObject) -> bool | None:
        return self.selects(obj) if self.tells else None

    def as_listed(self, obj: KubeObject) -> KubeObject:
        return obj

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        return self.writes.listen(listener)

    def selected(self, objects: dict[ObjectKey, KubeObject]) -> dict[ObjectKey, KubeObject]:
        return {key: obj for key, obj in objects.items() if self.selects(obj)}

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        self.requests += 1
        world = self.world
        await asyncio.sleep(0.01)
        self._fail(world.list_errors)
        seen = world.revision - (world.lag if resource_version else 0)
        if resource_version and int(resource_version) > seen:
            raise too_large()
        revision = max(seen, world.compacted)
        objects = [*self.selected(world.at(revision)).values()]
        size = world.page_size if limit and world.page_size else len(objects) or 1
        for start in range(0, len(objects) or 1, size):
            if start and revision < world.compacted:
                raise expired()
            if start:
                self._fail(world.list_errors)
            good, failures = self._decoded(objects[start : start + size])
            more = "more" if start + size < len(objects) else ""
            yield ListPage(good, str(revision), more, failures=failures)
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        self.requests += 1
        world = self.world
        await asyncio.sleep(0.01)
        self._fail(world.watch_errors)
        start = int(resource_version or 0)
        if send_initial_events and start > world.revision:
            raise too_large()
        watch = self.new_watch(world.revision if send_initial_events else start)
        if send_initial_events:
            for obj in self.selected(world.objects).values():
                self._send(watch, DeltaType.ADDED, obj)
            if world.end_bookmarks:
                watch.queue.put_nowait(WatchBatch((), str(world.revision), initial_events_end=True))
        elif start < world.compacted:
            watch.queue.put_nowait(WatchBatch((), error=expired()))
            watch.queue.put_nowait(None)
        else:
            for change in world.history:
                self._happened_to(watch, change)
        self.watches.add(watch)
        try:
            yield self._batches(watch, asyncio.get_running_loop().time() + timeout_seconds)
        finally:
            self.watches.discard(watch)

    def new_watch(self, start: int) -> Watch:
        return Watch(start)

    async def _batches(self, watch: Watch, until: float) -> AsyncGenerator[WatchBatch, None]:
        while True:
            while self.world.frozen:
                await asyncio.sleep(1)
                if asyncio.get_running_loop().time() > until - 1:
                    # The client's own limit for silence.
                    raise TransportTimeoutError("silent for too long")
            try:
                async with asyncio.timeout_at(until):
                    item = await watch.queue.get()
            except TimeoutError:
                return
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def happened(self, change: Change) -> None:
        for watch in self.watches:
            self._happened_to(watch, change)

    def end(self, how: str) -> None:
        """End what is open."""
        for watch in self.watches:
            match how:
                case "clean":
                    watch.queue.put_nowait(None)
                case "410" | "429" | "500":
                    error = ERRORS[how]()
                    assert isinstance(error, ApiError)
                    watch.queue.put_nowait(WatchBatch((), error=error))
                    watch.queue.put_nowait(None)
                case "bookmark":
                    watch.queue.put_nowait(WatchBatch((), str(self.world.revision)))
                case "garbage":
                    watch.queue.put_nowait(WatchBatch((), failures=[DecodeError("garbage")]))
                case _:
                    watch.queue.put_nowait(ERRORS[how]())

    def _happened_to(self, watch: Watch, change: Change) -> None:
        if change.revision <= watch.start:
            return
        before = change.old is not None and self.selects(change.old)
        now = change.kind is not DeltaType.DELETED and self.selects(change.new)
        if now:
            self._send(watch, DeltaType.UPDATED if before else DeltaType.ADDED, change.new)
        elif before and change.old is not None:
            self._send(watch, DeltaType.DELETED, versioned(change.old, change.revision))

    def _send(self, watch: Watch, kind: DeltaType, obj: KubeObject) -> None:
        good, failures = self._decoded([obj])
        events = [Delta(kind, item) for item in good]
        for _ in range(self.world.repeat):
            watch.queue.put_nowait(WatchBatch(events, obj.resource_version, failures=failures))

    def _decoded(self, objects: Sequence[KubeObject]) -> tuple[Sequence[KubeObject], Sequence[DecodeError]]:
        bad = self.world.undecodable
        good = [obj for obj in objects if obj.name not in bad]
        failures = [DecodeError("bad", key=str(obj.key)) for obj in objects if obj.name in bad]
        return good, failures

    def _fail(self, errors: MutableSequence[str]) -> None:
        if errors:
            error = ERRORS[errors.pop(0)]()
            raise error
