"""`kinformer bench`: what informers of a cluster's own resources cost, measured there by listing and watching them.

One resource after the other gets its informer, with a handler that counts; then all are watched together. CPU time is
that of this process, less what the measuring itself takes, which is measured first; "loop held" is by how much a timer
was late that is due a hundred times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from kinformer.cli._connect import connected
from kinformer.cli._selection import Selection
from kinformer.cli._session import UsageProblem, complain
from kinformer.errors import ApiError, ConfigError, ObjectError, StoppedError, TransportError
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.client import Client
    from kinformer.errors import KinformerError
    from kinformer.resources import Resource

__all__ = ["BenchPlan", "BenchReport", "BenchView", "ListFigures", "WatchFigures", "measure"]

PROBE: Final = 0.01
"""Seconds between two looks at whether the loop is late."""

CALIBRATION: Final = 0.3
"""Seconds for which the measuring itself is measured."""

SHOW: Final = 0.25
"""Seconds between two times of showing how far it is."""

FEWEST: Final = 200
"""With fewer objects or events, a figure per each of them says more about what is around them."""

SAMPLE: Final = 2000
"""Objects, at most, on which the scan limit is measured."""


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What is to be measured.

    Attributes:
        resources: as kubectl names them.
        namespace: by default that of the context.
        all_namespaces: whichever they are in.
        label_selector: as kubectl takes it; the server selects.
        seconds: for how long to watch; 0 for the first lists alone.

    Raises:
        UsageProblem: two parts contradict each other.
    """

    resources: Sequence[str]
    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    seconds: float = 30.0

    def __post_init__(self) -> None:
        _ = self.selection
        twice = sorted({name for name in self.resources if list(self.resources).count(name) > 1})
        if twice:
            raise UsageProblem(f"{', '.join(twice)}: given twice; each is measured once")

    @property
    def selection(self) -> Selection:
        """The objects to list and watch."""
        return Selection(self.namespace, self.all_namespaces, self.label_selector)


@dataclass(frozen=True, slots=True)
class ListFigures:
    """What the first list of a resource took.

    Attributes:
        resource: its name, "deployments.apps".
        scope: the namespace, or "" for all.
        streamed: whether the server streamed the list; else it came in pages.
        objects: how many there are.
        bytes: of their JSON, as it was sent.
        seconds: from the request to the last call of the handler, on the clock.
        cpu: seconds of CPU time.
        scan: seconds of CPU time that skipping over the same bytes once takes, building nothing; 0 without objects.
        memory: bytes by which this process has grown; `None` where the system does not tell.
        held: the longest the event loop was held, in seconds.
    """

    resource: str
    scope: str
    streamed: bool
    objects: int
    bytes: int
    seconds: float
    cpu: float
    scan: float
    memory: int | None
    held: float

    @property
    def cpu_per_object(self) -> float | None:
        """Seconds; `None` when there were too few to tell."""
        return self.cpu / self.objects if self.objects >= FEWEST else None

    @property
    def of_the_scan_limit(self) -> float | None:
        """CPU time as a multiple of what skipping over the bytes takes; `None` when there were too few to tell."""
        return self.cpu / self.scan if self.objects >= FEWEST and self.scan else None

    @property
    def memory_per_object(self) -> float | None:
        """Bytes; `None` when there were too few to tell, or the system does not."""
        return self.memory / self.objects if self.objects >= FEWEST and self.memory is not None else None


@dataclass(frozen=True, slots=True)
class WatchFigures:
    """What watching all of them took.

    Attributes:
        seconds: for how long.
        events: how many came.
        cpu: seconds of CPU time.
        held: the longest the event loop was held, in seconds.
        failures: how often something went wrong and was tried again.
    """

    seconds: float
    events: int
    cpu: float
    held: float
    failures: int

    @property
    def cpu_per_event(self) -> float | None:
        """Seconds; `None` when there were too few to tell."""
        return self.cpu / self.events if self.events >= FEWEST else None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that was measured; `watch` is `None` where nothing was watched."""

    server: str
    lists: list[ListFigures]
    watch: WatchFigures | None


class BenchView(Protocol):
    """Shows how far it is. Calls are short, for they are on the loop that is measured."""

    def begin(self, text: str) -> None:
        """Say what is about to be done."""
        ...

    def listing(self, resource: str, objects: int) -> None:
        """So many objects have come."""
        ...

    def watching(self, seconds: float, of: float, events: int) -> None:
        """So many seconds have passed, of so many."""
        ...


@dataclass
class _Measured:
    """One informer under measurement."""

    resource: Resource
    namespace: str | None
    informer: SharedInformer
    fatal: KinformerError | None = None
    failures: int = 0
    events: int = 0


class _Probe:
    """Notes by how much a timer is late, and what that and the showing cost; shows how far it is, now and then."""

    def __init__(self) -> None:
        self.show: Callable[[], None] = _nothing
        self.longest = 0.0
        self._own = 0.0  # seconds of CPU time for showing
        self._looking = 0.0  # CPU seconds per second for looking
        self._shown_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def own(self, seconds: float) -> float:
        """CPU seconds that measuring and showing have taken since `start`, so many seconds ago."""
        return self._own + self._looking * seconds

    def start(self) -> None:
        """Begin to measure something: what held the loop up to now is not part of it."""
        self.longest = self._own = 0.0
        if self._handle is not None:
            self._handle.cancel()
            now = asyncio.get_running_loop().time()
            self._handle = asyncio.get_running_loop().call_at(now + PROBE, self._look, now + PROBE)

    def _look(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.longest = max(self.longest, now - due)
        if now - self._shown_at >= SHOW:
            began = time.process_time()
            self.show()
            self._own += time.process_time() - began
            # Showing holds the loop, too, but is not what is measured.
            now = self._shown_at = loop.time()
        self._handle = loop.call_at(now + PROBE, self._look, now + PROBE)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look, a hundred times a second, until the context is left; first measure what that costs."""
        loop = asyncio.get_running_loop()
        self._look(loop.time())
        try:
            began = time.process_time()
            await asyncio.sleep(CALIBRATION)
            self._looking = (time.process_time() - began) / CALIBRATION
            yield
        finally:
            if self._handle is not None:
                self._handle.cancel()


def _nothing() -> None:
    """There is nothing to show yet."""


async def measure(plan: BenchPlan, server: ServerChoice, view: BenchView) -> BenchReport:
    """Measure it.

    Raises:
        UsageProblem: a resource cannot be watched, or lives in no namespace.
        ApiError, TransportError, ConfigError: the server refuses or cannot be reached, before all lists were there.
            Later failures are tried again, and counted.
    """
    probe = _Probe()
    async with connected(server) as client, contextlib.AsyncExitStack() as stack:
        measured = [await _prepared(client, plan, name) for name in plan.resources]
        scopes = ", ".join(f"{one.resource.qualified} in {_scope_in_words(one)}" for one in measured)
        seconds = f", then watches them for {plan.seconds:g} s" if plan.seconds else ""
        view.begin(f"reads {scopes} of {client.config.server}: lists each once{seconds}, and changes nothing")
        await stack.enter_async_context(probe.running())
        lists = [await _listed(one, stack, probe, view) for one in measured]
        watch = await _watched(measured, plan.seconds, probe, view) if plan.seconds else None
        return BenchReport(client.config.server, lists, watch)


async def _prepared(client: Client, plan: BenchPlan, name: str) -> _Measured:
    resource, namespace = await plan.selection.resolved(client, name, watched=True)
    source = client.list_watch(resource, namespace=namespace, label_selector=plan.label_selector)
    one: _Measured

    def failed(error: KinformerError, informer: SharedInformer) -> None:
        if isinstance(error, ObjectError):
            complain(f"left out: {error}")
            return
        one.failures += 1
        if not informer.has_synced and isinstance(error, ApiError | TransportError | ConfigError):
            one.fatal = error
            informer.request_stop()

    one = _Measured(resource, namespace, SharedInformer(source, namespace=namespace or "", on_error=failed))
    return one


def _scope_in_words(one: _Measured) -> str:
    if not one.resource.namespaced:
        return "the cluster"
    return f"namespace {one.namespace}" if one.namespace else "all namespaces"


async def _listed(one: _Measured, stack: contextlib.AsyncExitStack, probe: _Probe, view: BenchView) -> ListFigures:
    informer = one.informer

    def count(event: object) -> None:
        del event
        one.events += 1

    registration = informer.add_event_handler(count)
    probe.show = lambda: view.listing(one.resource.qualified, informer.status.listed)
    gc.collect()
    before = _resident()
    probe.start()
    clock, cpu = time.perf_counter(), time.process_time()
    await stack.enter_async_context(informer)
    try:
        await registration.synced()
    except StoppedError:
        if one.fatal is None:
            raise
        raise one.fatal from None
    seconds = time.perf_counter() - clock
    spent = time.process_time() - cpu - probe.own(seconds)
    held = probe.longest
    gc.collect()
    after = _resident()
    raws = [obj.raw for obj in informer.lister.list()]
    return ListFigures(
        resource=one.resource.qualified,
        scope=one.namespace or "",
        streamed=not informer.status.streaming_off,
        objects=len(raws),
        bytes=sum(map(len, raws)),
        seconds=seconds,
        cpu=max(spent, 0.0),
        scan=_scan(raws),
        memory=None if before is None or after is None else max(after - before, 0),
        held=held,
    )


async def _watched(all_of_them: list[_Measured], seconds: float, probe: _Probe, view: BenchView) -> WatchFigures:
    loop = asyncio.get_running_loop()
    began = loop.time()
    before = sum(one.events for one in all_of_them)
    failures = sum(one.failures for one in all_of_them)

    def events() -> int:
        return sum(one.events for one in all_of_them) - before

    probe.show = lambda: view.watching(loop.time() - began, seconds, events())
    probe.start()
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    took = loop.time() - began
    spent = time.process_time() - cpu - probe.own(took)
    return WatchFigures(
        seconds=took,
        events=events(),
        cpu=max(spent, 0.0),
        held=probe.longest,
        failures=sum(one.failures for one in all_of_them) - failures,
    )


class _Skipped(msgspec.Struct):
    """Has no fields, so that a decoder goes over everything and builds nothing."""


def _scan(raws: Sequence[bytes]) -> float:
    """CPU seconds to skip over all of these bytes, judged by a sample of them."""
    sample = raws[:SAMPLE]
    size = sum(map(len, sample))
    if not size:
        return 0.0
    decode = msgspec.json.Decoder(_Skipped).decode
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        for raw in sample:
            decode(raw)
        least = min(least, time.process_time() - began)
    return least * sum(map(len, raws)) / size


def _resident() -> int | None:
    """Resident memory of this process, in bytes; `None` where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
