"""`kinformer bench`: the cost of informers on a cluster's own resources, measured by listing and watching them.

Each resource gets an informer with a counting handler, one after another; then all are watched together. CPU time is
that of this process without the cost of the measurement, which is measured first. "Loop held" is the delay of a timer
that is due a hundred times a second.
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
from kinformer.cli._session import UsageProblem, print_error
from kinformer.errors import ApiError, ConfigError, ObjectError, StoppedError, TransportError
from kinformer.informer import SharedInformer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.client import Client
    from kinformer.errors import KinformerError
    from kinformer.resources import Resource

__all__ = ["BenchPlan", "BenchReport", "BenchView", "ListFigures", "WatchFigures", "measure"]

PROBE: Final = 0.01
"""Seconds between two checks of the loop's delay."""

CALIBRATION: Final = 0.3
"""Seconds for which the cost of the measurement is measured."""

SHOW: Final = 0.25
"""Seconds between two updates of the progress bar."""

FEWEST: Final = 200
"""The least number of objects or events for a figure per object or event; below it, fixed costs dominate."""

SAMPLE: Final = 2000
"""The largest number of objects on which the scan limit is measured."""


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """The resources to measure, and for how long.

    Attributes:
        resources: names as in kubectl.
        namespace: the namespace; by default that of the context.
        all_namespaces: whether to read all namespaces.
        label_selector: a selector as in kubectl; the server selects.
        seconds: seconds to watch; 0 measures only the first lists.
        watched: called when all lists are there; the watch is measured until it returns, or for `seconds`.

    Raises:
        UsageProblem: two parts contradict each other.
    """

    resources: Sequence[str]
    namespace: str = ""
    all_namespaces: bool = False
    label_selector: str = ""
    seconds: float = 30.0
    watched: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        _ = self.selection
        twice = sorted({name for name in self.resources if list(self.resources).count(name) > 1})
        if twice:
            raise UsageProblem(f"{', '.join(twice)}: given twice; each resource is measured once")

    @property
    def selection(self) -> Selection:
        """The objects to list and watch."""
        return Selection(self.namespace, self.all_namespaces, self.label_selector)


@dataclass(frozen=True, slots=True)
class ListFigures:
    """The cost of the first list of a resource.

    Attributes:
        resource: the resource, such as "deployments.apps".
        scope: the namespace, or "" for all.
        streamed: whether the server streamed the list; otherwise it sent pages.
        objects: number of objects.
        bytes: size of their JSON, as sent.
        seconds: seconds of wall-clock time from the request to the last call of the handler.
        cpu: seconds of CPU time.
        scan: seconds of CPU time to skip over the same bytes once, building nothing; 0 without objects.
        memory: bytes by which this process has grown; `None` if the system does not report memory.
        held: the longest time, in seconds, for which the event loop was held.
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
        """Seconds of CPU time per object; `None` for fewer than `FEWEST` objects."""
        return self.cpu / self.objects if self.objects >= FEWEST else None

    @property
    def of_the_scan_limit(self) -> float | None:
        """CPU time as a multiple of the scan limit; `None` for fewer than `FEWEST` objects."""
        return self.cpu / self.scan if self.objects >= FEWEST and self.scan else None

    @property
    def memory_per_object(self) -> float | None:
        """Bytes per object; `None` for fewer than `FEWEST` objects, or if the system does not report memory."""
        return self.memory / self.objects if self.objects >= FEWEST and self.memory is not None else None


@dataclass(frozen=True, slots=True)
class WatchFigures:
    """The cost of watching all resources together.

    Attributes:
        seconds: duration of the watch.
        events: number of events.
        cpu: seconds of CPU time.
        held: the longest time, in seconds, for which the event loop was held.
        failures: number of failures that were retried.
    """

    seconds: float
    events: int
    cpu: float
    held: float
    failures: int

    @property
    def cpu_per_event(self) -> float | None:
        """Seconds of CPU time per event; `None` for fewer than `FEWEST` events."""
        return self.cpu / self.events if self.events >= FEWEST else None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The whole measurement; `watch` is `None` if nothing was watched."""

    server: str
    lists: list[ListFigures]
    watch: WatchFigures | None


class BenchView(Protocol):
    """Shows the progress. Its calls must be short, because they run on the measured loop."""

    def begin(self, text: str) -> None:
        """Announce the measurement."""
        ...

    def listing(self, resource: str, objects: int) -> None:
        """Show the number of objects received so far."""
        ...

    def watching(self, seconds: float, of: float, events: int) -> None:
        """Show the seconds passed, out of `of`, and the events so far."""
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
    """Measures the delay of a timer, and its own cost; calls `show` every `SHOW` seconds."""

    def __init__(self) -> None:
        self.show: Callable[[], None] = _nothing
        self.longest = 0.0
        self._own = 0.0  # seconds of CPU time for showing
        self._looking = 0.0  # CPU seconds per second for looking
        self._shown_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def own(self, seconds: float) -> float:
        """Return the CPU seconds of the measurement itself since `start`, which was `seconds` ago."""
        return self._own + self._looking * seconds

    def start(self) -> None:
        """Begin a measurement; delays before this call do not count."""
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
            # The display holds the loop, too, but is no part of the measurement.
            now = self._shown_at = loop.time()
        self._handle = loop.call_at(now + PROBE, self._look, now + PROBE)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check a hundred times a second until the context is left; first measure the cost of the checks."""
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
    """Show nothing: no measurement has begun."""


async def measure(plan: BenchPlan, server: ServerChoice, view: BenchView) -> BenchReport:
    """Measure the plan on a server.

    Raises:
        UsageProblem: a resource cannot be watched, or is cluster-scoped while a namespace was given.
        ApiError, TransportError, ConfigError: the server refuses or cannot be reached before all lists are complete.
            Later failures are retried and counted.
    """
    probe = _Probe()
    async with connected(server) as client, contextlib.AsyncExitStack() as stack:
        names = [name for words in plan.resources for name in words.split(",") if name]
        measured = [await _prepared(client, plan, name) for name in names]
        scopes = ", ".join(f"{one.resource.qualified} in {_scope_in_words(one)}" for one in measured)
        until = "to the end of the recording" if plan.watched is not None else f"for {plan.seconds:g} s"
        seconds = f", then watches them {until}" if plan.seconds else ""
        view.begin(f"reads {scopes} of {client.config.server}: lists each once{seconds}, and changes nothing")
        await stack.enter_async_context(probe.running())
        lists = [await _listed(one, stack, probe, view) for one in measured]
        watch = await _watched(measured, plan, probe, view) if plan.seconds else None
        return BenchReport(client.config.server, lists, watch)


async def _prepared(client: Client, plan: BenchPlan, name: str) -> _Measured:
    resource, namespace = await plan.selection.resolved(client, name, watched=True)
    source = client.list_watch(resource, namespace=namespace, label_selector=plan.label_selector)
    one: _Measured

    def failed(error: KinformerError, informer: SharedInformer) -> None:
        if isinstance(error, ObjectError):
            print_error(f"left out: {error}")
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


async def _watched(all_of_them: list[_Measured], plan: BenchPlan, probe: _Probe, view: BenchView) -> WatchFigures:
    seconds = plan.seconds
    loop = asyncio.get_running_loop()
    began = loop.time()
    before = sum(one.events for one in all_of_them)
    failures = sum(one.failures for one in all_of_them)

    def events() -> int:
        return sum(one.events for one in all_of_them) - before

    probe.show = lambda: view.watching(loop.time() - began, seconds, events())
    probe.start()
    cpu = time.process_time()
    if plan.watched is None:
        await asyncio.sleep(seconds)
    else:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(plan.watched(), seconds)
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
    """A struct without fields: its decoder skips all values and builds nothing."""


def _scan(raws: Sequence[bytes]) -> float:
    """Return the CPU seconds to skip over all these bytes, extrapolated from a sample."""
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
    """Return the resident memory of this process in bytes; `None` without /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
