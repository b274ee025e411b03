"""Random schedules for an informer over a scope that changes: and the rules that each of them must keep."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from kinformer.backoff import Backoff
from kinformer.errors import api_error
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.informer._scope_reflector import PATIENCE, ScopeReflector
from kinformer.informer._scoped_source import ScopedSource
from kinformer.informer._shared_informer import core_of
from kinformer.listwatch import DeltaType, WatchBatch
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import CONFIGMAPS
from kinformer.scope import Labels, Namespaces, Ranges, Scope, Shard
from tests.properties.oracle import History, check
from tests.properties.world import Change, Source, Watch, World, versioned
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping

    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.listwatch import ListPage
    from kinformer.scope import ScopePart, ShardLike

Step: TypeAlias = tuple[Any, ...]
Schedule: TypeAlias = tuple[list[Step], int, bool]
"""The steps, the number of the first scope, and whether the server streams lists."""

QUIET = 600.0
"""Virtual seconds after which everything must be right."""

PLACES = ("n1", "n2", "n3")
NAMES = ("a", "b")

SHARDS: tuple[ShardLike | None, ...] = (
    None,
    Ranges(),
    Shard(0, of=2),
    *(Ranges.of_slices(slices, of=6) for slices in ({0, 1}, {1, 2, 4}, {0, 3, 5}, {2, 3}, {0, 1, 2, 4, 5})),
    Ranges.of_slices({0, 2}, of=3, by="namespace"),
)

SCOPES: tuple[Scope, ...] = (
    Namespaces("n1"),
    Namespaces("n1", "n2"),
    Namespaces("n2", "n3"),
    Scope(),
    Scope.nothing(),
    Labels("app=x"),
    Labels("app=x") | Labels("app=y"),
    Labels("app=x") | Labels("tier=z"),
    Namespaces("n1") | Labels("app=x"),
    Namespaces("n1") & Labels("app=x") | Namespaces("n2") & Labels("app in (x,y)"),
    Namespaces(labels="tenant=x"),
    Namespaces(labels="tenant=x") | Namespaces("n3") & Labels("app=y"),
    Namespaces(glob="n[12]") | Labels("app=y"),
    # One watch of all namespaces takes the place of two or three.
    Namespaces("n1", "n2", widen_at=2),
    Namespaces("n2", "n3", widen_at=2) & Labels("app=x") | Namespaces("n1"),
    Namespaces("n1", "n2", "n3", widen_at=3),
    Namespaces(labels="tenant=x", widen_at=2),
)


class ScopedWorld(World):
    """A world with namespaces that have labels, and rights that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, dict[str, str]] = {name: {} for name in PLACES}
        self.forbidden: set[str] = set()
        self.ever_forbidden: set[str] = set()
        """Namespaces that may have been refused: a part that is refused does not keep the old parts of a scope."""
        self.listeners: list[Callable[[], None]] = []
        self.delays: dict[str, float] = {}
        """Seconds that lists and events of a part take longer, by its namespace or its labels."""
        self.slow_lists = 0.0
        """Seconds that the answer of each list takes longer, after the objects were read."""
        self.pushes = False
        """Whether the loop itself passes on the events of a watch, as it does with those of a socket."""

    def put(self, place: str, name: str, labels: dict[str, str]) -> None:
        """Create an object, or change it."""
        key = ObjectKey(place, name)
        old = self.objects.get(key)
        self.revision += 1
        if old is None:
            self.uids += 1
        uid = f"uid-{self.uids}" if old is None else old.uid
        metadata = {"name": name, "namespace": place, "uid": uid, "resourceVersion": str(self.revision)}
        new = KubeObject.from_dict({"metadata": metadata | {"labels": labels}}, CONFIGMAPS)
        self.objects[key] = new
        self._happened(Change(self.revision, DeltaType.UPDATED if old else DeltaType.ADDED, new, old))

    def remove(self, place: str, name: str) -> None:
        """Delete an object, if it is there."""
        old = self.objects.pop(ObjectKey(place, name), None)
        if old is not None:
            self.revision += 1
            self._happened(Change(self.revision, DeltaType.DELETED, versioned(old, self.revision), old))

    # As the informer of namespaces has it.

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        return self.places

    @property
    def refusal(self) -> KinformerError | None:
        return None

    @property
    def last_contact(self) -> float | None:
        return None

    def listen(self, listener: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        self.listeners.append(listener)

        async def stop() -> None:
            self.listeners.remove(listener)

        return stop

    def relabel(self, place: str, labels: dict[str, str]) -> None:
        """Give a namespace other labels."""
        self.places[place] = labels
        for listener in self.listeners:
            listener()


def selects(part: ScopePart, shard: ShardLike | None, obj: KubeObject) -> bool:
    """Return whether an object is in a part and in a share."""
    mine = shard is None or shard.has(obj)
    return mine and part.namespace in {"", obj.namespace} and part.labels.matches(obj.labels)


class PartSource(Source):
    """The part of the world that one part of a scope covers, with the delays and the rights of that part."""

    def __init__(self, world: ScopedWorld, part: ScopePart, shard: ShardLike | None = None) -> None:
        super().__init__(world, None)
        self.part = part
        self.shard = shard
        self.scoped_world = world
        self._arrivals: Arrivals | None = None  # of the last watch

    def selects(self, obj: KubeObject) -> bool:
        return selects(self.part, self.shard, obj)

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        self._check()
        async for page in super().list(resource_version=resource_version, limit=limit):
            yield page
            # The objects were read; the answer takes its time.
        await asyncio.sleep(self.delay + self.scoped_world.slow_lists)

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        self._check()
        async with super().watch(
            resource_version=resource_version,
            timeout_seconds=timeout_seconds,
            send_initial_events=send_initial_events,
        ) as batches:
            arrivals = self._arrivals
            yield batches if arrivals is None else PushedBatches(batches, arrivals)

    def new_watch(self, start: int) -> Watch:
        if not self.scoped_world.pushes:
            return super().new_watch(start)
        self._arrivals = Arrivals(self)
        return Watch(start, self._arrivals)

    async def _batches(self, watch: Watch, until: float) -> AsyncGenerator[WatchBatch, None]:
        async for batch in super()._batches(watch, until):
            delay = self.delay
            if delay:
                await asyncio.sleep(delay)
            yield batch

    @property
    def delay(self) -> float:
        """Seconds that each list and batch takes longer."""
        delays = self.scoped_world.delays
        return delays.get(self.part.namespace, 0.0) + delays.get(str(self.part.labels), 0.0) if delays else 0.0

    def _check(self) -> None:
        if self.part.namespace in self.scoped_world.forbidden:
            raise api_error(403)


class Arrivals(asyncio.Queue[Any]):
    """The batches that come on the connection of a watch, each a turn of the loop after it was sent.

    Attributes:
        push: takes a batch that comes while the task of the reflector waits; `None` if nothing does.
    """

    def __init__(self, source: PartSource) -> None:
        super().__init__()
        self.push: Callable[[WatchBatch], None] | None = None
        self._source = source
        self._under_way = 0
        self._is_read = False

    async def get(self) -> Any:
        self._is_read = True
        try:
            return await super().get()
        finally:
            self._is_read = False

    def put_nowait(self, item: Any) -> None:
        if self.push is None and not self._under_way:
            super().put_nowait(item)
        else:
            self._under_way += 1
            asyncio.get_running_loop().call_soon(self._arrive, item)

    def _arrive(self, item: Any) -> None:
        self._under_way -= 1
        is_pushed = self._is_read and self.empty() and not self._source.delay
        if self.push is None or not is_pushed or not isinstance(item, WatchBatch) or item.error is not None:
            super().put_nowait(item)
            return
        try:
            self.push(item)
        except Exception as error:
            super().put_nowait(error)


class PushedBatches:
    """The batches of a watch, of which the loop passes on those that come while the task of the reflector waits.

    As with a socket, the loop does so until the task ends: also after it was cancelled.
    """

    def __init__(self, batches: AsyncIterator[WatchBatch], arrivals: Arrivals) -> None:
        self._batches = batches
        self._arrivals = arrivals

    def __aiter__(self) -> AsyncIterator[WatchBatch]:
        return self

    async def __anext__(self) -> WatchBatch:
        return await anext(self._batches)

    async def deliver(self, take: Callable[[WatchBatch, bool], None]) -> KinformerError | None:
        """Pass on each batch, until the watch ends; return the error that ended it, if any."""
        self._arrivals.push = lambda batch: take(batch, True)
        try:
            async for batch in self._batches:
                take(batch, False)
                if batch.error is not None:
                    return batch.error
            return None
        finally:
            self._arrivals.push = None


@dataclass(eq=False)
class CheckedHandler:
    """A handler that checks each event that it gets."""

    world: ScopedWorld
    informer: SharedInformer | None = None
    history: History = field(default_factory=History)
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    strict: bool = True
    switched_at: float = -1.0
    """Time of the last change of the scope; an event of the same moment may be of the scope before."""

    def __call__(self, event: Event) -> None:
        self.counts[(Added, Updated, Deleted).index(type(event))] += 1
        self.history.take(event)
        if isinstance(event, Deleted):
            self._check_deletion(event)

    def _check_deletion(self, event: Deleted) -> None:
        key, obj = event.key, event.obj
        now = asyncio.get_running_loop().time()
        lives = self.world.objects.get(key)
        if lives is None or lives.uid != obj.uid or not self.strict or self.informer is None or now == self.switched_at:
            return
        scope = self.informer.scope
        assert scope is not None
        parts = scope.parts(self.world.labels)
        inside = [part for part in parts if selects(part, scope.shard, lives)]
        reachable = [part for part in inside if part.namespace not in self.world.ever_forbidden]
        if now - self.switched_at > PATIENCE - 0.001 and not self._has_listed(inside):
            # A departure waits for `PATIENCE`; the list of a new part may take several delayed requests.
            return
        same = lives.resource_version == obj.resource_version
        self.history.expect(not (reachable and same), event, f"{now:g}: reported as gone, and is in the scope")

    def _has_listed(self, parts: Iterable[ScopePart]) -> bool:
        """Return whether one of these parts of the scope has listed."""
        assert self.informer is not None
        wanted = {str(part) for part in parts}
        return any(status.has_synced for status in self.informer.status.scopes if status.scope in wanted)


_places = st.sampled_from(PLACES)
_names = st.sampled_from(NAMES)
_labels = st.fixed_dictionaries({"app": st.sampled_from(["x", "y"]), "tier": st.sampled_from(["z", "w"])})
_scopes = st.integers(0, len(SCOPES) - 1)

_LABELS = [{"app": app, "tier": tier} for app in "xy" for tier in "zw"]
_ERRORS = ("500", "refused", "403")

_STEPS: tuple[tuple[Any, ...], ...] = (
    # The name of a step, and the choices for each of its arguments. What stands twice comes twice as often.
    ("put", PLACES, NAMES, _LABELS),
    ("put", PLACES, NAMES, _LABELS),
    ("remove", PLACES, NAMES),
    ("recreate", PLACES, NAMES, _LABELS),
    ("scope", range(len(SCOPES))),
    ("scope", range(len(SCOPES))),
    ("shard", range(len(SHARDS))),
    ("shard", range(len(SHARDS))),
    ("relabel", PLACES, [{}, {"tenant": "x"}]),
    ("forbid", ["", *PLACES]),
    ("allow", ["", *PLACES]),
    ("delay", ["", *PLACES], [0.0, 0.2, 0.7]),
    ("sleep", [0.0, 0.005, 0.015, 0.3, 3.0, 31.0]),
    ("end", ["clean", "410", "500", "broken", "bookmark"]),
    ("list errors", [[one, *more] for one in _ERRORS for more in ([], *([other] for other in _ERRORS))]),
    ("watch errors", [[one, *more] for one in _ERRORS for more in ([], *([other] for other in _ERRORS))]),
    ("compact",),
    ("relist",),
)


_OVERLAPS = [
    number
    for number, scope in enumerate(SCOPES)
    if scope
    in {
        Labels("app=x") | Labels("app=y"),
        Labels("app=x") | Labels("tier=z"),
        Namespaces("n1") | Labels("app=x"),
        Namespaces(labels="tenant=x") | Namespaces("n3") & Labels("app=y"),
        Namespaces(glob="n[12]") | Labels("app=y"),
    }
]
"""Scopes whose parts have objects in common, or that pass an object from one part to another."""

_LATE = ["", "n1", "app=x", "app=y", "tier=z"]

_LATE_STEPS: tuple[tuple[Any, ...], ...] = (
    # Few objects, whose changes some parts get seconds after the others; no rights that are missing.
    *[("put", PLACES[:2], NAMES, _LABELS)] * 4,
    *[("remove", PLACES[:2], NAMES)] * 2,
    ("recreate", PLACES[:2], NAMES, _LABELS),
    *[("flash", PLACES[:2], NAMES, _LABELS, [0.0, 0.005, 0.3])] * 3,
    ("scope", [*_OVERLAPS, 0, 1, 4]),
    *[("put in the switch", [*_OVERLAPS, 0, 1, 4], range(4), PLACES[:2], NAMES, _LABELS)] * 2,
    ("delay", _LATE, [0.0, 0.2, 0.45, 2.0]),
    *[("sleep", [0.0, 0.005, 0.015, 0.3, 1.2])] * 4,
    ("lag", [0, 1, 3]),
    ("end", ["clean", "410", "broken", "bookmark"]),
    ("relabel", PLACES[:2], [{}, {"tenant": "x"}]),
    ("relist",),
)


def _late_parts(number: int) -> list[str]:
    return [part.namespace or str(part.labels) for part in SCOPES[number].parts({"n1": {"tenant": "x"}})]


def random_schedule(seed: int) -> Schedule:
    """Return the schedule of a seed: most have some six steps, a few have forty.

    In every second one, parts of overlapping scopes are seconds behind others. Half of the time of these tests was
    Hypothesis' choice of the steps, so they are chosen here.
    """
    rng = random.Random(seed)
    if seed % 2:
        number = 6 + min(int(rng.expovariate(1 / 10)), 34)
        first, choices_of_steps = rng.choice(_OVERLAPS), _LATE_STEPS
    else:
        number = min(1 + int(rng.expovariate(1 / 6)), 40)
        first, choices_of_steps = rng.randrange(len(SCOPES)), _STEPS
    chosen = [rng.choice(choices_of_steps) for _ in range(number)]
    steps: list[Step] = [(name, *(rng.choice(choices) for choices in arguments)) for name, *arguments in chosen]
    if seed % 2:
        steps.insert(0, ("delay", rng.choice(_late_parts(first)), rng.choice([0.45, 2.0])))
    if seed % 4 >= 2:
        steps.insert(0, ("push",))
    return steps, first, rng.random() < 0.5


def play(seed: int) -> None:
    """Play the schedule of a seed.

    Raises:
        AssertionError: a rule was broken; the text has the shortest schedule that was found to break one.
    """
    schedule = random_schedule(seed)
    if _problem_of(schedule) is None:
        return
    steps, first, streams = schedule
    place = 0
    while place < len(steps):
        fewer = [*steps[:place], *steps[place + 1 :]]
        if _problem_of((fewer, first, streams)) is None:
            place += 1
        else:
            steps, place = fewer, 0
    problem = _problem_of((steps, first, streams))
    msg = f"schedule {seed}, of which these steps suffice: {(steps, first, streams)!r}"
    raise AssertionError(msg) from problem


def _problem_of(schedule: Schedule) -> Exception | None:
    try:
        run(schedule)
    except Exception as problem:
        return problem
    return None


_many = st.sampled_from("abcdefgh")

_range_steps = st.one_of(
    st.tuples(st.just("shard"), st.integers(0, len(SHARDS) - 1)),
    st.tuples(st.just("shard"), st.integers(0, len(SHARDS) - 1)),
    st.tuples(st.just("put"), st.just("n1"), _many, _labels),
    st.tuples(st.just("put"), st.just("n1"), _many, _labels),
    st.tuples(st.just("remove"), st.just("n1"), _many),
    st.tuples(st.just("remove"), st.just("n1"), _many),
    st.tuples(st.just("recreate"), st.just("n1"), _many, _labels),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.005, 0.015, 0.06, 0.3])),
    st.tuples(st.just("sleep"), st.sampled_from([0.005, 0.015, 0.06])),
    st.tuples(st.just("slow lists"), st.sampled_from([0.0, 0.05, 0.2])),
    st.tuples(st.just("end"), st.sampled_from(["clean", "410", "broken", "bookmark"])),
    st.tuples(st.just("compact")),
    st.tuples(st.just("lag"), st.sampled_from([0, 0, 1, 3])),
    st.tuples(st.just("relist")),
)

_beginnings = st.lists(st.tuples(st.just("put"), st.just("n1"), _many, _labels), min_size=4, max_size=10)

range_schedules = st.tuples(
    st.tuples(_beginnings, st.lists(_range_steps, min_size=8, max_size=60)).map(
        lambda both: [*both[0], ("slow lists", 0.05), ("sleep", 0.3), *both[1]]
    ),
    st.just(3),
    st.booleans(),
)
"""One part whose ranges change while its objects are written, and lists are slow."""


_WIDE = [place for place, scope in enumerate(SCOPES) if any(term.namespaces.widen_at for term in scope.terms)]

_wide_steps = st.one_of(
    st.tuples(st.just("put"), _places, _names, _labels),
    st.tuples(st.just("put"), _places, _names, _labels),
    st.tuples(st.just("put"), _places, _names, _labels),
    st.tuples(st.just("remove"), _places, _names),
    st.tuples(st.just("remove"), _places, _names),
    st.tuples(st.just("recreate"), _places, _names, _labels),
    st.tuples(st.just("scope"), st.sampled_from([*_WIDE, 0, 1, 2])),
    st.tuples(st.just("scope"), st.sampled_from([*_WIDE, 0, 1, 2])),
    st.tuples(st.just("relabel"), _places, st.sampled_from([{}, {"tenant": "x"}])),
    st.tuples(st.just("forbid"), st.just("")),
    st.tuples(st.just("allow"), st.just("")),
    st.tuples(st.just("delay"), _places, st.sampled_from([0.0, 0.02, 0.2])),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.005, 0.015, 0.06, 0.3])),
    st.tuples(st.just("sleep"), st.sampled_from([0.005, 0.015, 0.06])),
    st.tuples(st.just("end"), st.sampled_from(["clean", "410", "broken", "bookmark", "bookmark"])),
    st.tuples(st.just("compact")),
    st.tuples(st.just("relist")),
    st.tuples(st.just("widen again")),
)

wide_schedules = st.tuples(
    st.lists(_wide_steps, min_size=8, max_size=60).map(
        lambda steps: [("relabel", "n1", {"tenant": "x"}), ("relabel", "n2", {"tenant": "x"}), ("sleep", 0.3), *steps]
    ),
    st.sampled_from(_WIDE),
    st.booleans(),
)
"""Parts that share a watch of all namespaces, leave it and take part again, while some of them are behind."""


def run(schedule: Schedule) -> None:
    """Play a schedule on virtual time; raises AssertionError with the problem."""
    steps, first, streams = schedule
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_play(steps, SCOPES[first], streams=streams))


async def _play(steps: list[Step], scope: Scope, *, streams: bool) -> None:
    world = ScopedWorld()
    world.streams_lists = streams
    source = ScopedSource(scope, lambda scope, part: PartSource(world, part, scope.shard), lambda: world)
    informer = SharedInformer(source, backoff=Backoff(rng=random.Random(1)))
    handler = CheckedHandler(world, informer)
    informer.add_event_handler(handler)
    switches: list[asyncio.Task[None]] = []
    async with informer:
        for step in steps:
            await _take(step, world, informer, handler, switches)
        world.right_again()
        world.forbidden.clear()
        world.delays.clear()
        world.slow_lists = 0.0
        # A refused watch of all namespaces is tried again later than everything else.
        _widen_again(informer)
        for _ in range(int(QUIET / 60)):
            await asyncio.sleep(60)
            for one in world.sources:
                one.end("bookmark")
        assert informer.has_synced
        assert all(task.done() for task in switches), "a switch did not end"
        final = informer.scope
        assert final is not None
        parts = final.parts(world.labels)
        expected = {
            key: obj for key, obj in world.objects.items() if any(selects(part, final.shard, obj) for part in parts)
        }
        check(informer, expected, [handler.history])
        assert {part.scope for part in informer.status.scopes} == {str(part) for part in parts}
        wanted = len(_watches(parts))
        if len(_watched(world)) != wanted:
            # Watches end after 5 to 10 minutes, and this may be the moment before the next one.
            await asyncio.sleep(3)
        assert len(_watched(world)) == wanted, "a watch is left, or missing"
    for task in switches:
        if not task.cancelled():
            task.exception()
    await asyncio.gather(*switches, return_exceptions=True)


def _widen_again(informer: SharedInformer) -> None:
    reflector = core_of(informer).reflector
    assert isinstance(reflector, ScopeReflector)
    reflector._widening.reconnect()


def _watched(world: ScopedWorld) -> list[Source]:
    return [found for found in world.sources if found.watches]


def _watches(parts: Collection[ScopePart]) -> set[object]:
    """Return a value for each watch that parts need: one for all that may share one."""
    alike = Counter((part.labels, part.fields) for part in parts if part.widen_at)
    return {
        (part.labels, part.fields) if part.widen_at and alike[part.labels, part.fields] >= part.widen_at else part
        for part in parts
    }


def _scope_of(informer: SharedInformer) -> Scope:
    assert informer.scope is not None
    return informer.scope


async def _switch(
    scope: Scope, informer: SharedInformer, handler: CheckedHandler, switches: list[asyncio.Task[None]]
) -> None:
    handler.switched_at = asyncio.get_running_loop().time()
    switches.append(asyncio.get_running_loop().create_task(informer.set_scope(scope)))
    await asyncio.sleep(0)


async def _take(
    step: Step,
    world: ScopedWorld,
    informer: SharedInformer,
    handler: CheckedHandler,
    switches: list[asyncio.Task[None]],
) -> None:
    match step:
        case "put", place, name, labels:
            world.put(place, name, labels)
        case "remove", place, name:
            world.remove(place, name)
        case "recreate", place, name, labels:
            world.remove(place, name)
            world.put(place, name, labels)
        case "scope", index:
            await _switch(SCOPES[index].sharded(_scope_of(informer).shard), informer, handler, switches)
        case "shard", index:
            await _switch(_scope_of(informer).sharded(SHARDS[index]), informer, handler, switches)
        case "relabel", place, labels:
            world.relabel(place, labels)
        case "forbid", place:
            world.forbidden.add(place)
            world.ever_forbidden.add(place)
            for source in world.sources:
                if isinstance(source, PartSource) and source.part.namespace == place:
                    source.end("broken")
        case "allow", place:
            world.forbidden.discard(place)
        case "delay", place, seconds:
            world.delays[place] = seconds
            # A part that receives nothing for so long is taken for a quiet one.
            handler.strict = handler.strict and seconds < PATIENCE
        case "sleep", seconds:
            await asyncio.sleep(seconds)
        case "end", how:
            # A part that waits to try again, or lists anew and slowly, receives nothing meanwhile, too.
            handler.strict = handler.strict and (how == "bookmark" or not any(world.delays.values()))
            for source in world.sources:
                source.end(how)
        case "list errors", errors:
            world.list_errors.extend(errors)
            if "403" in errors:
                world.ever_forbidden.update(["", *PLACES])
        case "watch errors", errors:
            world.watch_errors.extend(errors)
            if "403" in errors:
                world.ever_forbidden.update(["", *PLACES])
        case "lag", revisions:
            world.lag = revisions
        case "flash", place, name, labels, seconds:
            world.put(place, name, labels)
            await asyncio.sleep(seconds)
            world.remove(place, name)
        case "put in the switch", index, turns, place, name, labels:
            await _switch(SCOPES[index], informer, handler, switches)
            for _ in range(turns):
                await asyncio.sleep(0)
            world.put(place, name, labels)
        case ("push",):
            world.pushes = True
        case "slow lists", seconds:
            world.slow_lists = seconds
        case ("compact",):
            world.compact()
        case ("widen again",):
            _widen_again(informer)
        case ("relist",):
            handler.strict = handler.strict and not any(world.delays.values())
            core_of(informer).reflector.relist()
