"""Leader election over real sockets and on the real clock: two clients, one API server.

No assertion needs a quick machine: the tests wait for what must happen, and compare times only with ones that are many
times as long.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.operators.leader_election import LeaderElector, Leadership, LeadershipLostError
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HANGS = 60.0


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def clients(server: ApiServer) -> AsyncIterator[tuple[Client, Client]]:
    config = ClusterConfig.for_server(server.url)
    async with Client(config) as one, Client(config) as two:
        yield one, two


def elector(client: Client, identity: str, *, lease_duration: int = 2, renew_deadline: float = 1.4) -> LeaderElector:
    return LeaderElector(
        client,
        "operator",
        namespace="default",
        identity=identity,
        lease_duration=lease_duration,
        renew_deadline=renew_deadline,
        retry_period=0.1,
    )


def lease(server: ApiServer) -> Any:
    return server.get("coordination.k8s.io/v1", "Lease", "operator")["spec"]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANGS):
        while not holds():
            await asyncio.sleep(0.01)


async def test_leadership_that_is_given_back_is_taken_long_before_the_lease_ends(
    server: ApiServer, clients: tuple[Client, Client]
) -> None:
    first, second = (
        elector(client, name, lease_duration=2 * int(HANGS), renew_deadline=HANGS)
        for client, name in zip(clients, ("first", "second"), strict=True)
    )
    led: list[bool] = []

    async def lead(leadership: Leadership) -> None:
        led.append(first.is_leader)
        await asyncio.sleep(HANGS)

    async with asyncio.TaskGroup() as group:
        async with first:
            standing_by = group.create_task(second.run(lead))
            await until(lambda: lease(server)["renewTime"] > lease(server)["acquireTime"])
            assert led == []
            assert (lease(server)["holderIdentity"], lease(server)["leaseDurationSeconds"]) == ("first", 2 * HANGS)
        # `until` gives up before the lease would have ended by itself.
        await until(lambda: bool(led))
        assert led == [False]
        standing_by.cancel()
    assert lease(server)["holderIdentity"] == ""


async def test_leadership_is_lost_with_the_server_and_won_back(
    server: ApiServer, clients: tuple[Client, Client]
) -> None:
    leader = elector(clients[0], "only")
    ended = asyncio.Event()

    async def lead(leadership: Leadership) -> None:
        try:
            await asyncio.sleep(HANGS)
        finally:
            ended.set()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(leader.run(lead))
        await until(lambda: leader.is_leader)
        ended.clear()
        async with server.faults.down():
            async with asyncio.timeout(HANGS):
                await ended.wait()
            assert not leader.is_leader
        await until(lambda: leader.is_leader)
        running.cancel()
    assert lease(server)["holderIdentity"] == ""


async def test_no_other_leads_before_the_lease_of_a_leader_that_cannot_renew_has_ended(
    server: ApiServer, clients: tuple[Client, Client]
) -> None:
    one, two = clients
    with pytest.raises(LeadershipLostError):
        async with elector(one, "first"):
            server.faults.hang(None, verb="update", resource="leases")
            await asyncio.sleep(HANGS)
    renewed = datetime.fromisoformat(lease(server)["renewTime"])
    server.faults.clear()
    async with elector(two, "second") as leadership:
        assert datetime.fromisoformat(lease(server)["acquireTime"]) - renewed >= timedelta(seconds=2)
        assert leadership.transitions == 1
