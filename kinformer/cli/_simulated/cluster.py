"""The embedded API server with the simulated cluster in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from kinformer.cli._simulated.simulation import SPACES, Crash, Create, Patch, Quarantine, Remove, Simulation
from kinformer.testing import ApiServer, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from kinformer.cli._simulated.simulation import Change, Ref

__all__ = ["SimulatedCluster", "simulated_cluster"]

TICK: Final = 0.05
"""Seconds between two steps of the simulation."""

_AT_ONCE: Final = 8  # writes between two turns of the loop, some 3 ms


_THERE_ALREADY: Final = 0.6
"""The share of the pods that run at the start; the others start in the first seconds."""

_STARTED_LATER: Final = 200
"""The most pods that start in the first seconds."""


class SimulatedCluster:
    """Carries out the changes of a simulation on an API server with controllers.

    Args:
        server: the API server, with all controllers.
        simulation: the simulation, not started yet.

    Attributes:
        server: the API server.
        simulation: the simulation.
        writes: the number of changes so far.
        left_out: the number of changes that were left out, because a user has changed the objects.
    """

    def __init__(self, server: ApiServer, simulation: Simulation) -> None:
        self.server = server
        self.simulation = simulation
        self.writes = 0
        self.left_out = 0
        self._due: deque[Change] = deque()
        self._resting = False
        self._rested = asyncio.Event()
        self._now = 0.0

    async def open(self) -> None:
        """Write the initial objects, and the pods that run already."""
        for space in SPACES:
            self.server.pods.script("*", namespace=space, starts_after=0.6, stops_after=1.0)
        self._due.extend(self.simulation.opening())
        await self._write()
        planned = self.simulation.planned_objects
        self.writes += self.server.fill_replicasets(max(_THERE_ALREADY, 1 - _STARTED_LATER / planned))

    async def run(self) -> None:
        """Run the simulation until `rest`. If the writes take too long, the time of the simulation slows down."""
        clock = asyncio.get_running_loop().time
        looked = clock()
        while not self._resting:
            passed, looked = clock() - looked, clock()
            self._now += min(passed, 2 * TICK)
            self._due.extend(self.simulation.advance(self._now))
            await self._write()
            await asyncio.sleep(TICK)
        self._rested.set()

    def play(self, seconds: float) -> None:
        """Carry out at once what happens in some seconds."""
        self._now += seconds
        self._due.extend(self.simulation.advance(self._now))
        while self._due:
            self._apply(self._due.popleft())

    async def rest(self) -> None:
        """Stop the simulation and the controllers; return after the last write."""
        self._resting = True
        await self._rested.wait()
        self.server.hold_controllers()

    def break_everything(self) -> int:
        """Cut all watches, apply changes that no watch sees, and forget the history; return the number of watches.

        After this, an informer recovers only with a new list.
        """
        cut = self.server.faults.drop_watches()
        # In one turn of the loop, so that no watch can return in between.
        self.play(2 * TICK)
        self.server.faults.expire()
        return cut

    async def _write(self) -> None:
        """Write the pending changes in order, in slices."""
        while self._due:
            for _ in range(min(_AT_ONCE, len(self._due))):
                self._apply(self._due.popleft())
            await asyncio.sleep(0)

    def _apply(self, change: Change) -> None:
        """Carry out a change; leave it out if a user has deleted an object that it needs, or has made the same."""
        self.writes += 1
        try:
            self._carry_out(change)
        except (Refusal, ValueError):
            # ValueError: the definition of the kind is gone.
            self.left_out += 1

    def _carry_out(self, change: Change) -> None:
        match change:
            case Create(manifest, owner):
                self.server.create(manifest if owner is None else self._owned(manifest, owner))
            case Patch(ref, patch, subresource):
                self.server.patch(
                    ref.api_version, ref.kind, ref.name, patch, namespace=ref.namespace, subresource=subresource
                )
            case Remove(ref):
                self.server.delete(ref.api_version, ref.kind, ref.name, ref.namespace)
            case Crash(namespace, app, number):
                if name := self._chosen(namespace, app, number):
                    self.server.pods.crash(name, namespace=namespace)
            case Quarantine(namespace, _, -1):
                for pod in self._pods(namespace, {"tier": "quarantine"}):
                    self.server.delete("v1", "Pod", pod["metadata"]["name"], namespace)
            case Quarantine(namespace, app, number):
                if name := self._chosen(namespace, app, number):
                    labels = {"tier": "quarantine", "pod-template-hash": None}
                    self.server.patch("v1", "Pod", name, {"metadata": {"labels": labels}}, namespace=namespace)

    def _pods(self, namespace: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        """Return the pods with these labels that are not ending."""
        pods = self.server.selected_pods(namespace, labels)
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def _chosen(self, namespace: str, app: str, number: int) -> str:
        """Return the name of one of the ready pods of a workload, or ""."""
        ready = sorted(
            pod["metadata"]["name"]
            for pod in self._pods(namespace, {"app": app})
            if pod["metadata"]["labels"].get("tier") != "quarantine"
            and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())
        )
        return ready[number % len(ready)] if ready else ""

    def _owned(self, manifest: dict[str, Any], owner: Ref) -> dict[str, Any]:
        found = self.server.get(owner.api_version, owner.kind, owner.name, owner.namespace)
        reference = {
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "uid": found["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": [reference]}}


@contextlib.asynccontextmanager
async def simulated_cluster(
    simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0, control_paths: bool = False
) -> AsyncIterator[SimulatedCluster]:
    """Return an API server in which a simulation runs until the context is left.

    Args:
        simulation: the simulation, not started yet.
        host: the address to listen on.
        port: the port; 0 takes any free one.
        control_paths: answer the paths under /kinformer, too.

    Raises:
        OSError: the port is in use.
    """
    made = ApiServer(host=host, port=port, controllers="all", nodes=0, control_paths=control_paths)
    async with made as server, asyncio.TaskGroup() as tasks:
        cluster = SimulatedCluster(server, simulation)
        await cluster.open()
        running = tasks.create_task(cluster.run(), name="kinformer simulation")
        yield cluster
        running.cancel()
