"""`kinformer demo`: informers on a simulated cluster, and a final comparison of their caches with the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, Self

import aiohttp

from kinformer.cli._session import EXIT_FAILURE
from kinformer.cli._simulated.cluster import simulated_cluster
from kinformer.cli._simulated.compare import Comparison, compare_with_server
from kinformer.cli._simulated.manifests import BACKUP_GROUP, NODE_LEASES
from kinformer.cli._simulated.simulation import Simulation
from kinformer.cli._simulated.tally import Scene, Tally, row_of
from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.informer.factory import SharedInformerFactory
from kinformer.status import InformerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cli._simulated.cluster import SimulatedCluster
    from kinformer.informer import SharedInformer
    from kinformer.scope import ScopedResource

__all__ = ["DemoPlan", "Result", "View", "demo"]

SYNC_TIMEOUT: Final = 30.0
"""Seconds within which the caches must fill."""

CATCH_UP_TIMEOUT: Final = 10.0
"""Seconds within which a cache must reach the version of the server, after the last write."""

_BREAK_AT: Final = 0.45  # as part of the whole duration
_PICTURE_AT: Final = 0.72
_TICK: Final = 0.05


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """The size and duration of the demo.

    Attributes:
        seconds: duration.
        seed: seed of the simulation.
        pods: approximate number of pods.
        nodes: number of nodes.
    """

    seconds: float
    seed: int
    pods: int = 300
    nodes: int = 6


@dataclass(frozen=True, slots=True)
class Result:
    """The final figures of one informer."""

    name: str
    comparison: Comparison
    events: int
    lists: int
    watches: int


class View(Protocol):
    """Shows scenes, one every `interval` seconds."""

    @property
    def interval(self) -> float: ...
    def show(self, scene: Scene) -> None: ...
    def finish(self, results: Sequence[Result]) -> None: ...
    def say(self, text: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class Recorder(Protocol):
    """Records one scene and the result for a picture."""

    def keep(self, scene: Scene) -> None: ...
    def finish(self, results: Sequence[Result]) -> None: ...


async def demo(plan: DemoPlan, view: View, recorder: Recorder | None = None) -> int:
    """Run the demo; return the exit code: 0 if each cache is equal to the server at the end.

    Raises:
        CacheSyncError: the caches did not fill within `SYNC_TIMEOUT` seconds.
    """
    simulation = Simulation(seed=plan.seed, pods=plan.pods, nodes=plan.nodes, started=datetime.now(UTC))
    async with (
        simulated_cluster(simulation) as cluster,
        Client(ClusterConfig.for_server(cluster.server.url)) as client,
    ):
        return await _Demo(plan, view, recorder, cluster, client).run()


class _Demo:
    def __init__(
        self, plan: DemoPlan, view: View, recorder: Recorder | None, cluster: SimulatedCluster, client: Client
    ) -> None:
        self._plan = plan
        self._view = view
        self._recorder = recorder
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._tally = Tally(self._elapsed)
        self._factory = SharedInformerFactory(client)
        self._informers: dict[str, SharedInformer] = {}
        self._scoped: set[str] = set()
        self._before: dict[str, tuple[int, int]] = {}
        self._broken_at: float | None = None
        self._next_frame = 0.0

    async def run(self) -> int:
        await self._ask_for_informers()
        with self._view:
            async with self._factory, asyncio.TaskGroup() as tasks:
                painter = tasks.create_task(self._paint(), name="kinformer demo view")
                await self._factory.wait_for_cache_sync(timeout=SYNC_TIMEOUT)
                objects = sum(len(informer.lister) for informer in self._informers.values())
                count = len(self._informers)
                self._tally.say("good", f"{count} caches in sync, {objects} objects, after {self._elapsed():.2f} s")
                await self._until(self._plan.seconds * _BREAK_AT)
                self._break()
                await self._until(self._plan.seconds)
                await self._cluster.rest()
                self._tally.say("busy", "the cluster rests; comparing each cache with the server, object by object")
                results = await self._compare()
                painter.cancel()
                self._view.show(self._scene())
            self._view.finish(results)
        if self._recorder is not None:
            self._recorder.finish(results)
        self._view.say(_verdict(results))
        return 0 if all(result.comparison.equal for result in results) else EXIT_FAILURE

    async def _ask_for_informers(self) -> None:
        factory = self._factory
        backups = await factory.discover(f"backups.v1.{BACKUP_GROUP}")
        self._add("nodes", factory.core.v1.nodes, shown=True)
        self._add("deployments", factory.apps.v1.deployments, shown=True)
        self._add("replicasets", factory.apps.v1.replicasets)
        self._add("pods", factory.core.v1.pods, shown=True)
        self._add("pods -l tier=web", factory.informer("pods", label_selector="tier=web"), scoped=True)
        self._add(f"leases -n {NODE_LEASES}", factory.informer("leases", namespace=NODE_LEASES))
        self._add(f"backups.{BACKUP_GROUP}", backups, shown=True)

    def _add(self, name: str, informer: SharedInformer, *, shown: bool = False, scoped: bool = False) -> None:
        self._informers[name] = informer
        if scoped:
            self._scoped.add(name)
        informer.add_event_handler(self._tally.handler(name, shown=shown), name="demo")

    def _break(self) -> None:
        self._before = {
            name: (informer.status.watches, informer.status.relists) for name, informer in self._informers.items()
        }
        cut = self._cluster.break_everything()
        self._broken_at = self._elapsed()
        self._tally.say("bad", f"the server cuts all {cut} watches and forgets its history")

    def _look_for_recovery(self) -> None:
        """Report the moment at which all informers watch again."""
        if self._broken_at is None:
            return
        status = {name: informer.status for name, informer in self._informers.items()}
        if all(s.state is InformerState.WATCHING and s.watches > self._before[n][0] for n, s in status.items()):
            took = self._elapsed() - self._broken_at
            relisted = sum(s.relists > self._before[n][1] for n, s in status.items())
            said = f"all {len(status)} informers watch again after {took:.1f} s, {relisted} of them with a new list"
            self._tally.say("good", said)
            self._broken_at = None

    async def _paint(self) -> None:
        while True:
            self._look_for_recovery()
            now = self._elapsed()
            rates = {name: self._tally.rate(name, now) for name in self._informers}
            self._tally.remember_rates(rates, now)
            if now >= self._next_frame:
                self._next_frame = now + min(self._view.interval, 0.25)
                scene = self._scene()
                self._view.show(scene)
                if self._recorder is not None and now >= self._plan.seconds * _PICTURE_AT:
                    self._recorder.keep(scene)
            await asyncio.sleep(_TICK)

    def _scene(self) -> Scene:
        now = self._elapsed()
        rows = [row_of(name, informer, self._tally, now) for name, informer in self._informers.items()]
        return Scene(
            url=self._cluster.server.url,
            elapsed=now,
            duration=self._plan.seconds,
            cached=sum(row.objects for row in rows if row.name not in self._scoped),
            planned=self._cluster.simulation.planned_objects,
            version=self._cluster.server.resource_version,
            rows=rows,
            latest=self._tally.latest,
            notices=self._tally.notices,
        )

    async def _compare(self) -> list[Result]:
        covered: dict[SharedInformer, ScopedResource] = {
            informer: covered for covered, informer in self._factory.informers.items()
        }
        results = []
        async with aiohttp.ClientSession() as session:
            for name, informer in self._informers.items():
                comparison = await compare_with_server(
                    session, self._cluster.server.url, covered[informer], informer, timeout=CATCH_UP_TIMEOUT
                )
                status = informer.status
                lists = sum(status.lists.values())
                results.append(Result(name, comparison, self._tally.counts[name].events, lists, status.watches))
        return results

    async def _until(self, second: float) -> None:
        await asyncio.sleep(max(0.0, second - self._elapsed()))

    def _elapsed(self) -> float:
        return self._loop.time() - self._began


def _verdict(results: Sequence[Result]) -> str:
    wrong = [result.name for result in results if not result.comparison.equal]
    if wrong:
        return f"{len(wrong)} of {len(results)} caches differ from the server: {', '.join(wrong)}"
    objects = sum(result.comparison.objects for result in results)
    events = sum(result.events for result in results)
    return f"{len(results)} caches, {objects} objects, {events} events: each cache is equal to the server."
