"""Random schedules of writes, faults, handlers and time, and what must be true of every one of them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from kinformer._own_writes.feed import Write
from kinformer.backoff import Backoff
from kinformer.errors import StoppedError
from kinformer.events import Deleted
from kinformer.informer import SharedInformer
from kinformer.informer._shared_informer import core_of
from kinformer.listwatch import DeltaType
from kinformer.objects import version_number
from kinformer.resources import CONFIGMAPS
from tests.properties.oracle import History, check
from tests.properties.world import ERRORS, NAMES, Source, World, versioned
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from kinformer.events import Delivery, Event
    from kinformer.informer.registration import HandlerRegistration
    from kinformer.objects import KubeObject, ObjectKey

Step: TypeAlias = tuple[Any, ...]

QUIET = 1500.0
"""Virtual seconds after which everything must be right: two watches at their longest, and the longest waits."""

_names = st.sampled_from(NAMES)
_apps = st.sampled_from(["x", "y", "z"])
_values = st.sampled_from(["", "bad transform", "bad index"])
_errors = st.lists(st.sampled_from([*ERRORS]), min_size=1, max_size=7)

steps = st.one_of(
    st.tuples(st.just("write"), _names, _apps, _values),
    st.tuples(st.just("write"), _names, _apps, st.just("")),
    st.tuples(st.just("delete"), _names),
    st.tuples(st.just("recreate"), _names, _apps),
    st.tuples(st.just("observe"), _names, _apps),
    st.tuples(st.just("own write"), _names, _apps),
    st.tuples(st.just("own delete"), _names),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.005, 0.015, 0.5, 3.0, 31.0, 400.0])),
    st.tuples(st.just("end"), st.sampled_from(["clean", "410", "429", "500", "broken", "bookmark", "garbage"])),
    st.tuples(st.just("list errors"), _errors),
    st.tuples(st.just("watch errors"), _errors),
    st.tuples(st.just("compact")),
    st.tuples(st.just("lag"), st.integers(0, 5)),
    st.tuples(st.just("repeat"), st.integers(1, 3)),
    st.tuples(st.just("undecodable"), _names),
    st.tuples(st.just("decodable")),
    st.tuples(st.just("end bookmarks"), st.booleans()),
    st.tuples(st.just("frozen"), st.booleans()),
    st.tuples(
        st.just("add handler"), st.sampled_from(["every", "latest"]), st.sampled_from(["plain", "slow", "raises"])
    ),
    st.tuples(st.just("remove handler"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("relist")),
    st.tuples(st.just("reconnect")),
    st.tuples(st.just("right again")),
)

schedules = st.tuples(
    st.lists(steps, min_size=1, max_size=30),
    st.booleans(),  # whether the server streams lists
    st.sampled_from([0, 2]),  # the page size
    st.booleans(),  # whether there is a transform
)


@dataclass(eq=False)
class Listener:
    """A handler that believes nothing it is told without checking it."""

    world: World
    source: Source
    delivery: Delivery
    manner: str
    history: History = field(default_factory=History)
    removed: bool = False
    registration: HandlerRegistration | None = None

    async def slow(self, event: Event) -> None:
        self.plain(event)
        await asyncio.sleep(0.3)

    def raises(self, event: Event) -> None:
        self.plain(event)
        raise ZeroDivisionError

    def plain(self, event: Event) -> None:
        self.history.expect(not self.removed, event, "got after its removal")
        self.history.take(event)
        if not isinstance(event, Deleted):
            found = event.obj.resource_version in self._versions(event.key)
            self.history.expect(found, event, "a state that never was")
        elif event.final_state_known:
            self.history.expect(self._was_deleted(event.obj), event, "a final state that never was")
        elif event.obj.name in self.world.ever_undecodable:
            # A state that cannot be decoded has no version. It takes away an observed object that is newer, too.
            self.history.forget(event.key)

    def _versions(self, key: ObjectKey) -> set[str]:
        return {change.new.resource_version for change in self.world.history if change.new.key == key}

    def _was_deleted(self, obj: KubeObject) -> bool:
        # Deleted in truth, or changed so that the selector does not select it any more.
        return any(
            change.old is not None
            and str(change.revision) == obj.resource_version
            and obj["data"] == change.old["data"]
            and obj.uid == change.old.uid
            for change in self.world.history
            if change.new.key == obj.key
        )


class Stage:
    """A world, informers of it, and those who listen."""

    def __init__(self, streams: bool, page_size: int, transforming: bool) -> None:
        self.world = World(streams_lists=streams, page_size=page_size)
        self.transforming = transforming
        self.informers: list[tuple[Source, SharedInformer]] = []
        for app in (None, "x"):
            # With a field selector, for instance, only the server can tell what is selected.
            source = Source(self.world, app, tells=not page_size)
            informer = SharedInformer(
                source,
                name=f"configmaps {app}",
                backoff=Backoff(rng=random.Random(1)),
                transform=transform if transforming else None,
            )
            informer.add_indexers({"app": by_app})
            self.informers.append((source, informer))
        self.listeners: list[Listener] = []
        self.stale_reads: list[str] = []
        self.left_out = False
        for _ in self.informers:
            self.add_handler("every", "plain")

    def add_handler(self, delivery: Delivery, manner: str) -> None:
        for source, informer in self.informers:
            listener = Listener(self.world, source, delivery, manner)
            listener.registration = informer.add_event_handler(getattr(listener, manner), delivery=delivery)
            self.listeners.append(listener)

    async def act(self, step: Step, group: asyncio.TaskGroup) -> None:
        world = self.world
        match step:
            case "write", name, app, value:
                world.write(name, app=app, value=value)
            case "delete", name:
                world.delete(name)
            case "recreate", name, app:
                world.delete(name)
                world.write(name, app=app)
            case "observe", name, app:
                written = world.write(name, app=app)
                for _, informer in self.informers:
                    informer.observe(written)
            case "own write", name, app:
                written = world.write(name, app=app)
                version = int(written.resource_version)
                self._wrote(Write(CONFIGMAPS, written.key, written.uid, version, obj=written), group)
            case "own delete", name:
                last = world.delete(name)
                if last is not None:
                    after = int(last.resource_version)
                    self._wrote(Write(CONFIGMAPS, last.key, last.uid, after=after, gone=True, obj=last), group)
            case "sleep", seconds:
                await asyncio.sleep(seconds)
            case "end", how:
                for source, _ in self.informers:
                    source.end(how)
            case "list errors", errors:
                world.list_errors.extend(errors)
            case "watch errors", errors:
                world.watch_errors.extend(errors)
            case ("compact",):
                world.compact()
            case "lag", writes:
                world.lag = writes
            case "repeat", times:
                world.repeat = times
            case "undecodable", name:
                world.undecodable.add(name)
                world.ever_undecodable.add(name)
                self.left_out = True
                if any(obj.name == name for obj in world.objects.values()):
                    world.write(name)
            case ("decodable",):
                names, world.undecodable = world.undecodable, set()
                for key in [*world.objects]:
                    if key.name in names:
                        world.write(key.name)
            case "end bookmarks", sent:
                world.end_bookmarks = sent
            case "frozen", frozen:
                world.frozen = frozen
            case "add handler", delivery, manner:
                self.add_handler(delivery, manner)
            case "remove handler", number, drain:
                there = [listener for listener in self.listeners if not listener.removed]
                if there:
                    listener = there[number % len(there)]
                    group.create_task(self._remove(listener, drain))
            case ("relist",):
                for _, informer in self.informers:
                    core_of(informer).reflector.relist()
            case ("reconnect",):
                for _, informer in self.informers:
                    informer.reconnect()
            case ("right again",):
                # An object that could not be decoded is heard of again only when it changes.
                await self.act(("decodable",), group)
                world.right_again()

    async def _remove(self, listener: Listener, drain: bool) -> None:
        assert listener.registration is not None
        await listener.registration.remove(drain=drain)
        listener.removed = True

    def _wrote(self, write: Write, group: asyncio.TaskGroup) -> None:
        for source, informer in self.informers:
            source.writes.accepted(write)
            group.create_task(self._read_back(source, informer, write))

    async def _read_back(self, source: Source, informer: SharedInformer, write: Write) -> None:
        """Once caught up, the cache must not show anything older than what was written."""
        try:
            await informer.caught_up(write.key, timeout=None)
        except StoppedError:
            return
        cached = informer.indexer.get_by_key(write.key)  # perhaps before the first list
        version = write.version or write.after
        if cached is None:
            # Then it had gone, at some time after the write, or could not be used.
            changes = [change for change in self.world.history if change.new.key == write.key]
            later = [change for change in changes if change.revision >= version]
            gone = any(change.kind is DeltaType.DELETED or not source.selects(change.new) for change in later)
            if not gone and not self.transforming and not self.left_out:
                self.stale_reads.append(f"nothing under {write}")
        elif version_number(cached.resource_version) < version or (write.gone and cached.uid == write.uid):
            self.stale_reads.append(f"{cached} after {write}")

    def check(self) -> None:
        """Everything is quiet: is everything right?"""
        assert self.stale_reads == []
        for source, informer in self.informers:
            there = source.selected(self.world.objects)
            wanted = {key: obj for key, obj in there.items() if not (self.transforming and is_bad(obj, "transform"))}
            cached = dict(informer.snapshot())
            listeners = [listener for listener in self.listeners if listener.source is source]
            check(informer, wanted, [listener.history for listener in listeners if not listener.removed])
            for listener in listeners:
                assert listener.history.problems == []
            if not self.transforming:
                assert cached == wanted
            assert informer.is_live
            for app in ("x", "y", "z"):
                by_scan = {key for key, obj in cached.items() if app in indexed(obj)}
                assert {obj.key for obj in informer.lister.by_index("app", app)} == by_scan
            assert informer.status.failures == 0


def is_bad(obj: KubeObject, what: str) -> bool:
    return bool(obj.at("data.value") == f"bad {what}")


def transform(manifest: dict[str, Any]) -> dict[str, Any] | None:
    if manifest["data"]["value"] == "bad transform":
        raise ZeroDivisionError
    return manifest


def by_app(obj: KubeObject) -> list[str]:
    if is_bad(obj, "index"):
        raise ZeroDivisionError
    return [obj.labels["app"]]


def indexed(obj: KubeObject) -> list[str]:
    return [] if is_bad(obj, "index") else [obj.labels["app"]]


async def play(schedule: tuple[list[Step], bool, int, bool]) -> None:
    """Play a schedule to its end, let everything come right, and check it."""
    script, streams, page_size, transforming = schedule
    stage = Stage(streams, page_size, transforming)
    async with asyncio.TaskGroup() as group:
        for _, informer in stage.informers:
            informer.start()
        try:
            for step in script:
                await stage.act(step, group)
            await stage.act(("right again",), group)
            await asyncio.sleep(QUIET)
            stage.check()
        finally:
            for _, informer in stage.informers:
                await informer.stop()
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not running, running


def run(schedule: tuple[list[Step], bool, int, bool]) -> None:
    """Play a schedule on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play(schedule))


__all__ = ["run", "schedules", "versioned"]
