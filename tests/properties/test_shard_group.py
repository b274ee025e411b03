"""Shard groups as they run, on virtual time: no slice is worked on by two members, and none is idle for long."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import pytest

from kinformer._tasks import BackgroundTask
from kinformer.operators.shard_group import SLICES, Gained, Losing, ShardGroup
from kinformer.operators.shard_status import MemberState
from tests.properties.lease_server import LeaseLine, LeaseServer

pytestmark = pytest.mark.looptime

SCHEDULES = int(os.environ.get("KINFORMER_SHARD_GROUPS", "6"))


class Work:
    """Who works on which slice; two at once are a fault."""

    def __init__(self) -> None:
        self.owners: dict[int, str] = {}
        self.tokens: dict[int, tuple[int, str]] = {}
        self.gained: Counter[int] = Counter()
        self.idle_since: dict[int, float] = {}
        self.gaps: list[float] = []

    def begin(self, change: Gained, name: str) -> None:
        assert change.slice not in self.owners, (change, self.owners[change.slice], name)
        token, last = self.tokens.get(change.slice, (0, ""))
        # The same owner may go on after a pause.
        assert change.token > token or (change.token == token and name == last), (change, token, last)
        self.owners[change.slice] = name
        self.tokens[change.slice] = change.token, name
        self.gained[change.slice] += 1
        if change.slice in self.idle_since:
            self.gaps.append(_now() - self.idle_since.pop(change.slice))

    def end(self, number: int, name: str) -> None:
        assert self.owners.pop(number) == name
        self.idle_since[number] = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()


class Replica:
    """A process with one member, whose work on a slice takes a moment to end."""

    def __init__(self, server: LeaseServer, work: Work, name: str) -> None:
        self.line = LeaseLine(server)
        self.work, self.name, self.random = work, name, server.random
        self.group = ShardGroup(
            self.line, "sites", namespace="ops", by="uid", identity=name, settle=3, handover=20, leave_within=30
        )
        self.leaving = asyncio.Event()
        self.process = BackgroundTask(f"replica {name}")
        self.process.start(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work())
            async with self.group:
                await self.leaving.wait()

    async def _work(self) -> None:
        async for change in self.group.changes():
            match change:
                case Gained():
                    self.work.begin(change, self.name)
                case Losing():
                    async with change:
                        # A cancelled reconcile has the rest of the lease to end.
                        await asyncio.sleep(0 if change.at_once else self.random.choice((0, 0, 0.002)))
                        self.work.end(change.slice, self.name)

    async def leave(self) -> None:
        self.leaving.set()
        await self.process.join()
        await self.process.stop()

    async def kill(self) -> None:
        """End the process as kill -9 does: nothing is sent any more, and its work is over."""
        self.line.dead = True
        self.process.cancel()
        for number in [number for number, name in self.work.owners.items() if name == self.name]:
            self.work.end(number, self.name)
        self.group.leave = _nothing  # type: ignore[method-assign]
        await self.group._engine._background.stop()
        await self.process.join()


async def _nothing() -> None:
    """Leave nothing: the process is dead."""


async def until_owned(work: Work, *replicas: Replica, seconds: float = 200) -> None:
    """Wait until each slice is worked on and the shares differ by one at most."""
    async with asyncio.timeout(seconds):
        while True:
            shares = Counter(work.owners.values())
            counts = [shares[replica.name] for replica in replicas]
            if len(work.owners) == SLICES and max(counts) - min(counts) <= 1:
                return
            await asyncio.sleep(0.05)


async def test_members_that_come_and_go_share_evenly_and_leave_nothing_behind() -> None:
    server, work = LeaseServer(random.Random(1)), Work()
    replicas = []
    for number in range(3):
        replicas.append(Replica(server, work, f"m{number}"))
        await until_owned(work, *replicas)
    while len(replicas) > 1:
        await replicas.pop(0).leave()
        # The last event of the table is on its way.
        await until_owned(work, *replicas, seconds=1)
    await replicas.pop().leave()
    assert not work.owners
    assert [*server.leases] == ["sites"]


async def test_no_timer_makes_a_planned_move_slow_even_if_members_come_and_go_meanwhile() -> None:
    chance = random.Random(0)
    server, work = LeaseServer(chance), Work()
    names = iter(f"m{number}" for number in range(1000))
    replicas = [Replica(server, work, next(names)) for _ in range(2)]
    await until_owned(work, *replicas)
    work.gaps.clear()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            if len(replicas) > 1 and chance.random() < 0.5:
                tasks.create_task(replicas.pop(chance.randrange(len(replicas))).leave())
            else:
                replicas.append(Replica(server, work, next(names)))
            await asyncio.sleep(chance.choice((0, 0.05, 0.5, 2, 5)))
    await until_owned(work, *replicas)
    assert len(work.gaps) > 200
    # Answers and events take 0.2 s at most here. The timers of the protocol are 3, 10, 15 and 20 s.
    assert max(work.gaps) < 2.5
    for replica in replicas:
        await replica.leave()


async def test_the_slices_of_a_killed_member_are_taken_after_one_lease() -> None:
    server, work = LeaseServer(random.Random(2)), Work()
    replicas = [Replica(server, work, f"m{number}") for number in range(3)]
    await until_owned(work, *replicas)
    clock = asyncio.get_running_loop().time
    killed = clock()
    await replicas.pop().kill()
    while len(work.owners) < SLICES:
        await asyncio.sleep(0.05)
    assert 11 < clock() - killed < 15 + 3
    assert replicas[0].group.status.handovers["crash"] + replicas[1].group.status.handovers["crash"] >= 80
    for replica in replicas:
        await replica.leave()


async def test_a_member_that_is_cut_off_stops_by_itself_before_others_begin() -> None:
    server, work = LeaseServer(random.Random(3)), Work()
    replicas = [Replica(server, work, f"m{number}") for number in range(2)]
    await until_owned(work, *replicas)
    replicas[0].line.cut = True
    await asyncio.sleep(11)
    assert replicas[0].group.status.state is MemberState.CUT_OFF
    assert "m0" not in work.owners.values()
    await asyncio.sleep(10)
    assert Counter(work.owners.values()) == {"m1": SLICES}
    replicas[0].line.cut = False
    await until_owned(work, *replicas)
    assert replicas[0].group.status.incarnation == 2
    for replica in replicas:
        await replica.leave()


def edit(server: LeaseServer, name: str) -> None:
    """Change a Lease as a person may: its checksum is wrong then."""
    lease = server.leases[name].to_dict()
    server.store(name, {**lease, "spec": {**lease["spec"], "leaseTransitions": 99}}, None)


async def test_a_member_whose_lease_was_edited_comes_back_at_once() -> None:
    server, work = LeaseServer(random.Random(4)), Work()
    replicas = [Replica(server, work, f"m{number}") for number in range(2)]
    await until_owned(work, *replicas)
    work.gaps.clear()
    for _ in range(2):
        edit(server, "sites-m0")
        await asyncio.sleep(0.5)
        await until_owned(work, *replicas, seconds=12)
    assert replicas[0].group.status.incarnation == 3
    assert max(work.gaps) < 2
    edit(server, "sites")
    await asyncio.sleep(0.5)
    assert not work.owners
    await until_owned(work, *replicas, seconds=25)
    for replica in replicas:
        await replica.leave()


@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_under_faults_a_slice_has_one_owner_and_all_come_to_rest_evenly(seed: int) -> None:
    chance = random.Random(seed)
    server, work = LeaseServer(chance), Work()
    names = iter(f"m{number}" for number in range(1000))
    replicas = [Replica(server, work, next(names)) for _ in range(chance.randrange(2, 5))]
    await until_owned(work, *replicas)
    server.unreliable = True
    for _ in range(8):
        kinds = ["cut", "hang", "kill", "leave", "join", "delete a lease", "delete the table", "edit a lease"]
        kind = chance.choice(kinds)
        victim = chance.choice(replicas)
        if kind == "join" and len(replicas) < 5:
            replicas.append(Replica(server, work, next(names)))
        elif kind in {"kill", "leave"} and len(replicas) > 1:
            replicas.remove(victim)
            await (victim.kill() if kind == "kill" else victim.leave())
        elif kind == "cut":
            victim.line.cut = True
        elif kind == "hang":
            victim.line.hung = True
        elif kind.startswith(("delete", "edit")):
            name = "sites" if "table" in kind else f"sites-{victim.name}"
            if name in server.leases and kind.startswith("delete"):
                server.store(name, None, None)
            elif name in server.leases:
                edit(server, name)
        await asyncio.sleep(chance.uniform(0.5, 25))
        for replica in replicas:
            if chance.random() < 0.5:
                replica.line.cut = replica.line.hung = False
    server.unreliable = False
    for replica in replicas:
        replica.line.cut = replica.line.hung = False
    await until_owned(work, *replicas)
    for replica in replicas:
        await replica.leave()
    assert not work.owners
