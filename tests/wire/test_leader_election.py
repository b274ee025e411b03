"""Leader election for real: two clients, one API server, two seconds of lease, on the real clock."""

from __future__ import annotations

import asyncio

import pytest

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.operators.leader_election import LeaderElector, Leadership, LeadershipLostError
from kinformer.testing import ApiServer


def elector(client: Client, identity: str) -> LeaderElector:
    return LeaderElector(
        client,
        "operator",
        namespace="default",
        identity=identity,
        lease_duration=2,
        renew_deadline=1.4,
        retry_period=0.1,
    )


async def test_leadership_is_handed_over_lost_and_won_back() -> None:
    events: list[str] = []
    loop = asyncio.get_running_loop()
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url)) as one,
        Client(ClusterConfig.for_server(server.url)) as two,
    ):
        first, second = elector(one, "first"), elector(two, "second")
        terms: asyncio.Queue[float] = asyncio.Queue()

        async def lead(leadership: Leadership) -> None:
            assert not first.is_leader
            events.append("second leads")
            terms.put_nowait(loop.time())
            try:
                await asyncio.sleep(60)
            finally:
                events.append("second ends")

        async with asyncio.TaskGroup() as group:
            async with first:
                standing_by = group.create_task(second.run(lead))
                await asyncio.sleep(0.5)
                assert events == []
                spec = server.get("coordination.k8s.io/v1", "Lease", "operator")["spec"]
                assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("first", 2)
                assert spec["renewTime"] > spec["acquireTime"]
                left = loop.time()
            # Given back, and taken with the next look.
            assert await terms.get() - left < 1.5
            assert events == ["second leads"]

            # The server is gone for longer than the deadline, and comes back.
            async with server.faults.down():
                await asyncio.sleep(1.7)
                assert events == ["second leads", "second ends"]
                assert not second.is_leader
            await terms.get()
            assert second.is_leader
            standing_by.cancel()
        assert server.get("coordination.k8s.io/v1", "Lease", "operator")["spec"]["holderIdentity"] == ""


async def test_the_body_ends_before_another_may_lead_when_the_server_does_not_answer() -> None:
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url)) as one,
        Client(ClusterConfig.for_server(server.url)) as two,
    ):
        loop = asyncio.get_running_loop()
        with pytest.raises(LeadershipLostError):
            async with elector(one, "first"):
                server.faults.hang(None, verb="update", resource="leases")
                await asyncio.sleep(60)
        ended = loop.time()
        server.faults.clear()
        async with elector(two, "second") as leadership:
            assert loop.time() - ended > 0.3
            assert leadership.transitions == 1
