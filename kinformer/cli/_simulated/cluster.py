"""The embedded API server with the simulated cluster in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from kinformer.cli._simulated.simulation import Bind, Create, Patch, Remove, Simulation
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from kinformer.cli._simulated.simulation import Change, Ref

__all__ = ["SimulatedCluster", "simulated_cluster"]

TICK: Final = 0.05
"""Seconds between two steps of the simulation."""

_AT_ONCE: Final = 8  # writes between two turns of the loop, some 3 ms


class SimulatedCluster:
    """Writes the changes of a simulation to an API server.

    Args:
        server: the API server.
        simulation: the simulation, not started yet.
    """

    def __init__(self, server: ApiServer, simulation: Simulation) -> None:
        self.server = server
        self.simulation = simulation
        self.writes = 0
        self._due: deque[Change] = deque()
        self._resting = False
        self._rested = asyncio.Event()
        self._now = 0.0
        self._opening = 0

    async def open(self, at_once: int | None = None) -> None:
        """Write the initial objects; with `at_once` only so many, and `run` writes the others before anything else."""
        self._due.extend(self.simulation.opening())
        self._opening = len(self._due)
        await self._write(at_once)

    @property
    def is_open(self) -> bool:
        """Return whether all initial objects are written."""
        return self.writes >= self._opening

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

    async def rest(self) -> None:
        """Stop the simulation; return after its last write."""
        self._resting = True
        await self._rested.wait()

    def break_everything(self) -> int:
        """Cut all watches, apply changes that no watch sees, and forget the history; return the number of watches.

        After this, an informer recovers only with a new list.
        """
        cut = self.server.faults.drop_watches()
        # In one turn of the loop, so that no watch can return in between.
        self._now += 2 * TICK
        self._due.extend(self.simulation.advance(self._now))
        while self._due:
            self._apply(self._due.popleft())
        self.server.faults.expire()
        return cut

    async def _write(self, most: int | None = None) -> None:
        """Write the pending changes in order, in slices; at most so many."""
        left = len(self._due) if most is None else most
        while self._due and left > 0:
            for _ in range(min(_AT_ONCE, left, len(self._due))):
                self._apply(self._due.popleft())
                left -= 1
            await asyncio.sleep(0)

    def _apply(self, change: Change) -> None:
        self.writes += 1
        match change:
            case Create(manifest, owner):
                self.server.create(manifest if owner is None else self._owned(manifest, owner))
            case Patch(ref, patch, subresource):
                self.server.patch(
                    ref.api_version, ref.kind, ref.name, patch, namespace=ref.namespace, subresource=subresource
                )
            case Bind(ref, node):
                self.server.bind(ref.name, node, ref.namespace)
            case Remove(ref, grace):
                self.server.delete(ref.api_version, ref.kind, ref.name, ref.namespace, grace_period_seconds=grace)

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
    simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0, at_once: int | None = None
) -> AsyncIterator[SimulatedCluster]:
    """Return an API server in which a simulation runs until the context is left.

    Args:
        simulation: the simulation, not started yet.
        host: the address to listen on.
        port: the port; 0 takes any free one.
        at_once: the number of initial writes that are waited for; by default all. The others follow in order, at some
            1,500 a second.

    Raises:
        OSError: the port is in use.
    """
    async with ApiServer(host=host, port=port) as server, asyncio.TaskGroup() as tasks:
        cluster = SimulatedCluster(server, simulation)
        await cluster.open(at_once)
        running = tasks.create_task(cluster.run(), name="kinformer simulation")
        yield cluster
        running.cancel()
