"""Random mixes of faults, by time and by answer, and the two promises about the age of the cache.

Each fault lasts for some time and decides how lists and watches are answered in that time: at once or slowly, with a
refusal, with a stream that fails in the middle, with a stream that leaves changes out. The promises:

1. While lists work, any change is in the cache within `LISTS_WORK` seconds, whatever ails the watches.
2. Whatever the fault was, the cache equals the server within `AFTER_THE_END` seconds of its end; and for as long as the
   cache was older than `LISTS_WORK` seconds, `status` said that something was wrong.

Nothing tells an open and silent watch from one of a quiet resource. So both promises wait for the end of the first
watch of a fault that is silent until the cache is older than `UNNOTICED` seconds. Every later one is noticed. A server
that asks for `PATIENCE` by `Retry-After` gets it, so the bound is longer by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from kinformer.backoff import Backoff
from kinformer.errors import (
    ConnectError,
    MalformedStreamError,
    ProtocolError,
    StreamBrokenError,
    TLSError,
    TransportTimeoutError,
    api_error,
)
from kinformer.informer import SharedInformer
from kinformer.informer._shared_informer import core_of
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject
from kinformer.reflector._reflector import Reflector
from kinformer.resources import CONFIGMAPS, Resource
from kinformer.status import Health, health_of
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from kinformer.errors import KinformerError
    from kinformer.informer import SharedInformer as Informer

LISTS_WORK = 30.0
AFTER_THE_END = 60.0
CHANGE_EVERY = 7.0
"""Seconds between two changes at the server."""

PATIENCE = 3.0

UNNOTICED = 27.0
"""Seconds that the cache may be old at the end of a silent watch, so that the list after it is still in time."""

SHORT = 20.0
"""Seconds. The silence of shorter watches never makes the cache older than `LISTS_WORK`, whatever was before them."""

REFUSALS: dict[str, Callable[[], KinformerError]] = {
    "400": lambda: api_error(400),
    "401": lambda: api_error(401),
    "403": lambda: api_error(403),
    "404": lambda: api_error(404),
    "410": lambda: api_error(410, {"reason": "Expired"}),
    "429": lambda: api_error(429, retry_after=PATIENCE),
    "500": lambda: api_error(500),
    "503": lambda: api_error(503, text="<html>"),
    "504": lambda: api_error(504, text="<html>"),
    "too large": lambda: api_error(504, {"reason": "Timeout", "message": "Too large resource version"}),
    "no connection": lambda: ConnectError("refused"),
    "tls": lambda: TLSError("unknown authority"),
    "reset": lambda: StreamBrokenError("reset"),
    "timeout": lambda: TransportTimeoutError("no answer"),
    "html": lambda: ProtocolError("HTML"),
    "foreign": lambda: ZeroDivisionError(),  # type: ignore[return-value, dict-item]
}

ENDS = ["clean", "reset", "error 500", "error 403", "error 410", "malformed", "foreign"]

Answer: TypeAlias = tuple[Any, ...]
"""How watches are answered: ("refuse", seconds, how); ("hang",); ("no head",); ("stream", seconds before the head,
seconds open, what it brings, how it ends); ("work",). A watch is given up 5 s after its `timeoutSeconds`."""


@dataclass(frozen=True)
class Fault:
    seconds: float
    watches: Answer
    lists: tuple[float, str]
    """Seconds until a list is answered, and how it is refused, or ""."""


REPEATS = {"old bookmarks", "old events", "known events"}
"""States and versions that are not new, again and again."""

ONCE = {"old bookmark": 0.0, "old event": 0.0, "older bookmark": 0.3, "older event": 0.5, "known event": 0.7}
"""One state or version that is not new, at a part of the time that the watch is open."""

BRINGS = ["nothing", *ONCE, "first change only", *sorted(REPEATS), "held back"]
"""What a watch brings; "held back" is all, at its end."""

_slow = st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 9.0, 14.0, 19.0])
_watches = st.one_of(
    st.tuples(st.just("refuse"), _slow, st.sampled_from([*REFUSALS])),
    st.just(("hang",)),
    st.just(("no head",)),
    st.tuples(
        st.just("stream"),
        st.sampled_from([0.0, 0.1, 2.0]),
        st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.5, 2.0, 5.0, 11.0, 20.0, 24.5, 26.0, 60.0, 290.0]),
        st.sampled_from(BRINGS),
        st.sampled_from(ENDS),
    ),
    st.just(("work",)),
)
_faults = st.builds(
    Fault,
    st.sampled_from([0.5, 3.0, 20.0, 70.0, 200.0, 700.0]),
    _watches,
    st.one_of(
        st.tuples(st.sampled_from([0.0, 0.0, 1.0]), st.just("")),
        st.tuples(_slow, st.sampled_from([*REFUSALS])),
    ),
)
schedules = st.tuples(st.lists(_faults, min_size=1, max_size=5), st.booleans(), st.integers(0, 1000))
"""Faults one after the other; whether the server streams lists; the seed of the jitter."""

WELL = Fault(0, ("work",), (0.0, ""))


@dataclass(eq=False)
class FaultySource:
    """One object, which changes every few seconds, behind a server with the present fault."""

    streams_lists: bool = False
    fault: Fault = WELL
    version: int = 10
    changed_at: dict[int, float] = field(default_factory=dict)
    queues: set[asyncio.Queue[WatchBatch | None]] = field(default_factory=set)
    mended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the present fault ends: what is open and silent breaks."""
    noticed: bool = False
    """True once a silent watch of the present fault has ended."""
    excused_until: float = 0.0
    """Until then, a change may be unknown, because nothing tells a silent watch from one of a quiet resource."""

    @property
    def resource(self) -> Resource:
        return CONFIGMAPS

    def covers(self, obj: KubeObject) -> bool | None:
        return True

    def as_listed(self, obj: KubeObject) -> KubeObject:
        return obj

    def obj(self, version: int) -> KubeObject:
        metadata = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": str(version)}
        return KubeObject.from_dict({"metadata": metadata}, CONFIGMAPS)

    def change(self) -> None:
        self.version += 1
        self.changed_at[self.version] = asyncio.get_running_loop().time()
        for queue in self.queues:
            queue.put_nowait(self._batch(self.version))

    def begin(self, fault: Fault) -> None:
        """Let a fault begin: what is open breaks."""
        self.fault = fault
        self.mended.set()
        self.mended = asyncio.Event()
        self.noticed = False
        if fault.watches != ("work",):
            for queue in self.queues:
                queue.put_nowait(None)

    def _batch(self, version: int) -> WatchBatch:
        return WatchBatch([Delta(DeltaType.UPDATED, self.obj(version))], str(version))

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        seconds, refusal = self.fault.lists
        await asyncio.sleep(seconds)
        if refusal:
            raise REFUSALS[refusal]()  # noqa: RSE102 - it makes an error
        yield ListPage([self.obj(self.version)], str(self.version))

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        match self.fault.watches:
            case "refuse", seconds, how:
                await asyncio.sleep(seconds)
                raise REFUSALS[how]()  # noqa: RSE102 - it makes an error
            case ("hang",):
                await asyncio.sleep(1e6)
            case ("no head",):
                await asyncio.sleep(0.5)
                yield self._headless_stream()
                return
            case "stream", head, seconds, brings, end:
                mended, since = self.mended, int(resource_version or 0)
                await asyncio.sleep(head)
                given_up = timeout_seconds + 5 < seconds
                open_for = min(seconds, timeout_seconds + 5)
                now = asyncio.get_running_loop().time()
                age = now - self.changed_at.get(since + 1, now) + open_for
                silent = open_for > SHORT and age > UNNOTICED and brings not in REPEATS
                if silent and not self.noticed:
                    self.excused_until = float("inf")
                try:
                    yield self._bad_stream(since, open_for, brings, "given up" if given_up else end, mended)
                finally:
                    if silent and self.excused_until == float("inf"):
                        self.excused_until = asyncio.get_running_loop().time() + 2.0 + self.fault.lists[0]
                        self.noticed = self.noticed or mended is self.mended
                return
        queue: asyncio.Queue[WatchBatch | None] = asyncio.Queue()
        if send_initial_events:
            queue.put_nowait(self._batch(self.version)._replace(resource_version=""))
            queue.put_nowait(WatchBatch((), str(self.version), initial_events_end=True))
        else:
            for version in range(int(resource_version) + 1, self.version + 1):
                queue.put_nowait(self._batch(version))
        self.queues.add(queue)
        try:
            yield self._good_stream(queue, timeout_seconds)
        finally:
            self.queues.discard(queue)

    async def _good_stream(
        self, queue: asyncio.Queue[WatchBatch | None], timeout: float
    ) -> AsyncGenerator[WatchBatch, None]:
        until = asyncio.get_running_loop().time() + timeout
        while True:
            try:
                async with asyncio.timeout_at(until):
                    batch = await queue.get()
            except TimeoutError:
                return
            if batch is None:
                raise StreamBrokenError("broken")
            yield batch

    async def _headless_stream(self) -> AsyncGenerator[WatchBatch, None]:
        """Do as the client: a watch whose head has not come counts as open after half a second, and has 20 s."""
        await asyncio.sleep(19.5)
        error = TransportTimeoutError("no head")
        error.answered = False
        raise error
        yield

    async def _bad_stream(
        self, since: int, seconds: float, brings: str, end: str, mended: asyncio.Event
    ) -> AsyncGenerator[WatchBatch, None]:
        clock = asyncio.get_running_loop().time
        if brings == "first change only" and since and since < self.version:
            yield self._batch(since + 1)
        elif brings in ONCE:
            before = ONCE[brings] * seconds
            seconds -= before
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(mended.wait(), before)
            version = since - 1 if brings.startswith("older") else since
            yield WatchBatch((), str(version)) if brings.endswith("bookmark") else self._batch(version)
        elif brings == "old bookmarks":
            until = clock() + seconds
            while clock() < until:
                yield WatchBatch((), str(since - 1))
                await asyncio.sleep(min(1.0, seconds))
        elif brings in REPEATS:
            until = clock() + 10 * seconds
            while clock() < until:
                yield self._batch(since - 1 if brings == "old events" else since)
                await asyncio.sleep(3.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(mended.wait(), seconds)
        if brings == "held back":
            for version in range(since + 1, self.version + 1):
                yield self._batch(version)
        match end:
            case "given up":
                raise TransportTimeoutError("silent")
            case "reset":
                raise StreamBrokenError("reset")
            case "malformed":
                yield WatchBatch((), error=MalformedStreamError("no JSON"))
            case "foreign":
                raise ZeroDivisionError
            case "error 500" | "error 403" | "error 410":
                yield WatchBatch((), error=api_error(int(end[-3:])))


class Observer:
    """Looks at cache and status each second."""

    def __init__(self, source: FaultySource, informer: Informer) -> None:
        self.source = source
        self.informer = informer
        self.problems: list[str] = []
        self.lists_work_since = 0.0
        self.ended_at: float | None = None

    def look(self) -> None:
        now = asyncio.get_running_loop().time()
        source = self.source
        cached = self.informer.lister.get("a", "default")
        seen = 0 if cached is None else int(cached.resource_version)
        missed = [at for version, at in source.changed_at.items() if version > seen]
        age = now - min(missed) if missed else 0.0
        bound = LISTS_WORK + (PATIENCE if source.fault.watches[-1] == "429" else 0.0)
        if self.ended_at is not None:
            if now - self.ended_at > AFTER_THE_END and age > 1:
                self.problems.append(f"{now:g}: a change of {age:g} s ago is unknown, {now - self.ended_at:g} s after")
        elif now <= source.excused_until:
            return
        elif not source.fault.lists[1] and missed and now - max(min(missed), self.lists_work_since) > bound:
            self.problems.append(f"{now:g}: a change of {age:g} s ago is unknown, though lists work")
        if age > bound and health_of(self.informer.status) is Health.LIVE:
            self.problems.append(f"{now:g}: the cache is {age:g} s old, and the status says that all is well")


async def play(schedule: tuple[list[Fault], bool, int]) -> None:
    faults, streams, seed = schedule
    source = FaultySource(streams_lists=streams)
    informer = SharedInformer(source, backoff=Backoff(rng=random.Random(seed)))
    reflector = core_of(informer).reflector
    assert isinstance(reflector, Reflector)
    reflector._machine.rng = random.Random(seed)
    async with informer:
        await informer.synced(timeout=5)
        watch = Observer(source, informer)
        clock = asyncio.get_running_loop().time

        async def pass_time(seconds: float) -> None:
            until = clock() + seconds
            while clock() < until:
                await asyncio.sleep(min(1.0, until - clock()))
                if clock() - max(source.changed_at.values(), default=0) >= CHANGE_EVERY:
                    source.change()
                watch.look()

        await pass_time(10)
        for fault in faults:
            had_worked = not source.fault.lists[1]
            source.begin(fault)
            source.change()
            if fault.lists[1]:
                watch.lists_work_since = float("inf")
            elif not had_worked:
                # A pause that began while lists failed may be at its longest.
                watch.lists_work_since = clock() + LISTS_WORK
            await pass_time(fault.seconds)
        source.begin(WELL)
        watch.ended_at = clock()
        await pass_time(AFTER_THE_END + 20)
        assert watch.problems == [], watch.problems[:3]
        await asyncio.sleep(30)
        assert informer.is_live
        assert informer.status.failures == 0
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not running, running


def run(schedule: tuple[list[Fault], bool, int]) -> None:
    """Play a schedule on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play(schedule))
