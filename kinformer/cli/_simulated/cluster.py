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

    async def open(self) -> None:
        """Write the initial objects."""
        self._due.extend(self.simulation.opening())
        await self._write()

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

    async def _write(self) -> None:
        """Write the pending changes in order, in slices."""
        while self._due:
            for _ in range(min(_AT_ONCE, len(self._due))):
                self._apply(self._due.popleft())
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
    simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[SimulatedCluster]:
    """Return an API server in which a simulation runs until the context is left.

    Raises:
        OSError: the port is in use.
    """
    async with ApiServer(host=host, port=port) as server, asyncio.TaskGroup() as tasks:
        cluster = SimulatedCluster(server, simulation)
        await cluster.open()
        running = tasks.create_task(cluster.run(), name="kinformer simulation")
        yield cluster
        running.cancel()
