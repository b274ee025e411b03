"""Controllers that divide their keys by a shard group, on the embedded server: one owner at a time, nothing lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import pytest

from kinformer import (
    Client,
    ClusterConfig,
    Controller,
    Namespaces,
    NotOursError,
    ObjectKey,
    Scope,
    Shard,
    ShardGroup,
    ShardGroupError,
    SharedInformerFactory,
)
from kinformer._tasks import BackgroundTask
from kinformer.operators.shard_status import SliceState
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, LEASES, NAMESPACES, NODES, REPLICASETS
from kinformer.testing import ApiServer, build
from kinformer.testing.build import owner_reference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

By = Literal["uid", "namespace"]
SPACES = [f"{number}-space" for number in range(20)]


def short(client: Client, by: By, identity: str, **times: Any) -> ShardGroup:
    """A member of a group whose times are short."""
    times = {"lease_duration": 3, "renew_deadline": 2.0, "renew_period": 0.5, "settle": 0.1, **times}
    return ShardGroup(client, "sites", namespace="default", by=by, identity=identity, **times)


class Record:
    """The reconciles of all replicas: two of one key at once are a fault."""

    def __init__(self) -> None:
        self.running: dict[ObjectKey, str] = {}
        self.overlaps: list[tuple[ObjectKey, str, str]] = []
        self.calls: Counter[tuple[str, ObjectKey]] = Counter()
        self.gone: Counter[ObjectKey] = Counter()

    def begin(self, key: ObjectKey, name: str) -> None:
        if key in self.running:
            self.overlaps.append((key, self.running[key], name))
        self.running[key] = name

    def seen_by(self, name: str) -> set[ObjectKey]:
        return {key for one, key in self.calls if one == name}


class Replica:
    """A process of its own, as far as kinformer knows: it has its own client, group, informers and controller."""

    def __init__(self, server: ApiServer, record: Record, name: str, by: By) -> None:
        self.server, self.record, self.name, self.by = server, record, name, by
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.process = BackgroundTask(f"replica {name}")
        self.process.start(self._run())

    async def _run(self) -> None:
        async with Client(ClusterConfig.for_server(self.server.url)) as client:
            self.group = short(client, self.by, self.name)
            factory = SharedInformerFactory(client)
            self.maps = factory.informer(CONFIGMAPS, shard=self.group)
            self.controller = Controller("maps", self._reconcile, shards=self.group).watches(self.maps)
            async with self.group, factory, self.controller:
                self.ready.set()
                await self.stop.wait()

    async def _reconcile(self, key: ObjectKey) -> None:
        self.record.begin(key, self.name)
        await asyncio.sleep(0.002)
        if self.maps.lister.get(key) is None:
            self.record.gone[key] += 1
        self.record.calls[self.name, key] += 1
        del self.record.running[key]

    async def leave(self) -> None:
        self.stop.set()
        await self.process.join()
        await self.process.stop()


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def even(*replicas: Replica) -> bool:
    counts = [replica.group.status.slices.get(SliceState.OWNED, 0) for replica in replicas]
    return sum(counts) == 256 and max(counts) - min(counts) <= 1


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        for space in SPACES:
            await client.create(NAMESPACES, build.namespace(space))
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


@pytest.mark.parametrize("gated", [True, False], ids=["gate on", "gate off"])
@pytest.mark.parametrize("by", ["uid", "namespace"])
async def test_replicas_come_and_go_and_each_object_and_deletion_is_reconciled_by_one(
    server: ApiServer, client: Client, by: By, gated: bool
) -> None:
    if not gated:
        server.faults.without_shards()
    keys = [ObjectKey(SPACES[number % 20], f"c{number}") for number in range(60)]
    for key in keys:
        await client.create(CONFIGMAPS, {"metadata": {"name": key.name}}, namespace=key.namespace)
    record = Record()
    replicas = []
    for name in ("a", "b", "c"):
        replicas.append(Replica(server, record, name, by))
        await replicas[-1].ready.wait()
        await until(lambda: even(*replicas))
        own = {obj.key for obj in replicas[-1].maps.lister.list()}
        # Each object of a gained slice is reconciled once.
        await until(lambda: own <= record.seen_by(replicas[-1].name))  # noqa: B023
    first = replicas.pop(0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first.leave())
        for key in keys[::2]:
            await client.delete(CONFIGMAPS, key.name, namespace=key.namespace)
    await until(lambda: even(*replicas))
    await until(lambda: record.gone.keys() >= {*keys[::2]})
    assert record.gone.keys() == {*keys[::2]}
    for replica in replicas:
        await replica.leave()
    assert not record.overlaps
    assert [lease.name for lease in await client.list(LEASES, namespace="default")] == ["sites"]
    counts = [replica.maps.status.lists for replica in [first, *replicas]]
    # What stays is never listed again.
    assert all(lists.keys() <= {"initial"} for lists in counts)


async def test_a_reconcile_that_is_under_way_ends_before_its_slice_is_given(server: ApiServer, client: Client) -> None:
    await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace="default")
    record = Record()
    a, b = Replica(server, record, "a", "uid"), Replica(server, record, "b", "uid")
    await until(lambda: sum(record.calls.values()) >= 1)
    owner = a if record.seen_by("a") else b
    other = b if owner is a else a
    began, end = asyncio.Event(), asyncio.Event()

    async def slow(key: ObjectKey) -> None:
        record.begin(key, owner.name)
        began.set()
        await end.wait()
        del record.running[key]

    owner.controller._workers._reconcile = slow
    await client.patch(CONFIGMAPS, "c", {"data": {"k": "v"}}, namespace="default")
    await began.wait()
    record.calls.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(owner.leave())
        await asyncio.sleep(0.5)
        assert not record.calls
        end.set()
    await until(lambda: record.seen_by(other.name) != set())
    assert not record.overlaps
    await other.leave()


async def test_a_lost_lease_cancels_the_reconciles_under_way(server: ApiServer, client: Client) -> None:
    await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace="default")
    cancelled = asyncio.Event()
    calls: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> None:
        calls.append(key)
        try:
            await asyncio.sleep(60 if len(calls) == 1 else 0)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    group = short(client, "uid", "a")
    factory = SharedInformerFactory(client)
    controller = Controller("maps", reconcile, shards=group).watches(factory.informer(CONFIGMAPS, shard=group))
    async with group, factory, controller:
        await until(lambda: bool(calls))
        # As another member does after the lease has run out.
        lease = await client.get(LEASES, "sites-a", namespace="default")
        spec = {**lease.to_dict()["spec"]}
        spec.pop("holderIdentity")
        await client.replace(LEASES, {**lease.to_dict(), "spec": spec}, namespace="default")
        await asyncio.wait_for(cancelled.wait(), 60)
        # It comes back as the next incarnation, and reconciles the object again: no failure was counted.
        await until(lambda: len(calls) > 1)
        assert group.status.incarnation == 2
        assert not controller.status.failing


async def test_code_asks_before_a_write_and_gets_a_token_that_grows(client: Client) -> None:
    made = await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace="default")
    tokens = []
    for name in ("a", "b"):
        group = short(client, "uid", name)
        with pytest.raises(NotOursError, match="takes no part"):
            group.check(made)
        async with group:
            await until(lambda: group.owns(made))  # noqa: B023
            group.check(made)
            tokens.append(group.token(made))
        assert not group.owns(made)
        with pytest.raises(NotOursError):
            group.token(made)
    assert tokens[0] < tokens[1]


async def test_a_member_with_another_property_is_refused(client: Client) -> None:
    async with short(client, "uid", "a"):
        with pytest.raises(ShardGroupError, match="by uid"):
            await short(client, "namespace", "b").__aenter__()


async def test_keys_of_others_and_foreign_keys_never_reach_reconcile(server: ApiServer, client: Client) -> None:
    record = Record()
    a, b = Replica(server, record, "a", "namespace"), Replica(server, record, "b", "namespace")
    await until(lambda: a.ready.is_set() and b.ready.is_set() and even(a, b))
    for replica in (a, b):
        for space in SPACES:
            replica.controller.queue.add(ObjectKey(space, "nothing"))
    await until(lambda: len(record.gone) == len(SPACES))
    await asyncio.sleep(0.05)
    assert set(record.gone.values()) == {1}
    assert a.controller.status.not_ours + b.controller.status.not_ours == len(SPACES)
    await a.leave()
    await b.leave()


async def test_wrong_combinations_are_refused_with_the_remedy(client: Client) -> None:
    group, other = short(client, "namespace", "a"), short(client, "uid", "b")
    factory = SharedInformerFactory(client)

    async def reconcile(key: ObjectKey) -> None: ...

    def controller() -> Controller[ObjectKey]:
        return Controller("web", reconcile, shards=group)

    with pytest.raises(ValueError, match="shard=group"):
        controller().watches(factory.informer(DEPLOYMENTS))
    with pytest.raises(ValueError, match="shard=group"):
        controller().watches(factory.informer(DEPLOYMENTS, shard=Shard(0, of=2)))
    with pytest.raises(ValueError, match="shard=group"):
        controller().watches(factory.informer(REPLICASETS, shard=other))
    with pytest.raises(ValueError, match="cluster-scoped"):
        factory.informer(NODES, shard=group)
    with pytest.raises(ValueError, match="share"):
        group.owned()
    deployments = factory.informer(DEPLOYMENTS, shard=group)
    assert factory.informer(DEPLOYMENTS, shard=group) is deployments
    with pytest.raises(TypeError, match="shard group"):
        await deployments.set_scope(Scope())
    by_uid = Controller("web", reconcile, shards=other).watches(factory.informer(CONFIGMAPS, shard=other))
    with pytest.raises(ValueError, match=r"group\.owned"):
        by_uid.owns(factory.informer(REPLICASETS, shard=other), owner=CONFIGMAPS)
    with pytest.raises(ValueError, match="leader"):
        controller().led_by(object())  # type: ignore[arg-type]
    scoped = factory.informer(CONFIGMAPS, scope=Namespaces("default"), shard=group)
    assert scoped is not factory.informer(CONFIGMAPS, shard=group)


async def owners_and_children(client: Client, labels: Callable[[Any], dict[str, str]]) -> None:
    for number in range(40):
        space = SPACES[number % 20]
        owner = await client.create(DEPLOYMENTS, build.deployment(f"web-{number}", space), namespace=space)
        child: Any = build.deployment(f"web-{number}-rs", space)
        child["kind"] = "ReplicaSet"
        child["spec"].pop("strategy", None)
        child["metadata"]["ownerReferences"] = [owner_reference(owner)]
        child["metadata"]["labels"] = {**child["metadata"].get("labels", {}), **labels(owner)}
        child.pop("status", None)
        await client.create(REPLICASETS, child, namespace=space)


@pytest.mark.parametrize("way", ["namespace", "label", "owner"])
@pytest.mark.parametrize("gated", [True, False], ids=["gate on", "gate off"])
async def test_an_owned_object_brings_work_to_the_owner_of_its_owner_alone(
    server: ApiServer, client: Client, way: str, gated: bool
) -> None:
    if not gated:
        server.faults.without_shards()
    by: By = "namespace" if way == "namespace" else "uid"
    await owners_and_children(client, short(client, by, "x").labels)
    calls: Counter[tuple[int, ObjectKey]] = Counter()
    gone: set[ObjectKey] = set()
    members = []
    async with asyncio.TaskGroup() as tasks:
        stop = asyncio.Event()

        async def replica(index: int) -> None:
            group = short(client, by, f"m{index}")
            factory = SharedInformerFactory(client)
            owners = factory.informer(DEPLOYMENTS, shard=group)
            share = group if way == "namespace" else group.labelled() if way == "label" else group.owned()
            owned = factory.informer(REPLICASETS, shard=share)

            async def reconcile(key: ObjectKey) -> None:
                calls[index, key] += 1
                if owners.lister.get(key) is None:
                    gone.add(key)

            controller = Controller("web", reconcile, shards=group).watches(owners).owns(owned, owner=owners)
            async with group, factory, controller:
                members.append((group, owners, owned))
                await stop.wait()

        for index in range(2):
            tasks.create_task(replica(index))
        await until(lambda: len(members) == 2 and sum(len(owners.lister) for _, owners, _ in members) == 40)
        await until(lambda: sum(len(owned.lister) for _, _, owned in members) == 40)
        await until(lambda: all(g.status.slices.get(SliceState.OWNED) == 128 for g, _, _ in members))
        await until(lambda: len({key for _, key in calls}) == 40)
        await asyncio.sleep(0.1)
        calls.clear()
        before = [owned.status.foreign_events for _, _, owned in members]
        for child in await client.list(REPLICASETS):
            patch = {"metadata": {"annotations": {"seen": "yes"}}}
            await client.patch(REPLICASETS, child.name, patch, namespace=child.namespace)
        await until(lambda: len({key for _, key in calls}) == 40)
        await asyncio.sleep(0.1)
        foreign = [owned.status.foreign_events - was for (_, _, owned), was in zip(members, before, strict=True)]
        stop.set()
    right = {(index, key) for index, key in calls}
    assert len(right) == 40
    assert not gone
    # Every server filters by the label; by namespace, one with the feature gate.
    assert sum(foreign) == (0 if way == "label" or (way == "namespace" and gated) else 40)
