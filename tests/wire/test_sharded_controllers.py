"""A controller over sharded informers: each key is reconciled where its object is, and nowhere else."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import Client, ClusterConfig, Controller, ObjectKey, Shard, SharedInformerFactory
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, NODES, REPLICASETS
from kinformer.testing import ApiServer, build
from kinformer.testing.build import owner_reference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer import KubeObject, SharedInformer
    from kinformer.resources import Resource

OWNERS = 40


class Ungated(Shard):
    """A share that the server is not asked for, as if its feature gate were off."""

    def __str__(self) -> str:
        return ""


class Replica:
    """One of two replicas of a controller for Deployments."""

    def __init__(self, client: Client, index: int, owners: SharedInformer) -> None:
        self.owners = owners
        self.calls: Counter[ObjectKey] = Counter()
        self.gone: set[ObjectKey] = set()
        self.controller: Controller[ObjectKey] = Controller(f"replica-{index}", self.reconcile)

    async def reconcile(self, key: ObjectKey) -> None:
        self.calls[key] += 1
        if self.owners.lister.get(key) is None:
            self.gone.add(key)

    @property
    def own(self) -> set[ObjectKey]:
        return {obj.key for obj in self.owners.lister.list()}

    def forget(self) -> None:
        self.calls.clear()
        self.gone.clear()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        for number in range(8):
            await client.create(NAMESPACES, build.namespace(f"space-{number}"))
        for number in range(OWNERS):
            space = f"space-{number % 8}"
            owner = await client.create(DEPLOYMENTS, build.deployment(f"web-{number}", space), namespace=space)
            child: Any = build.deployment(f"web-{number}-rs", space)
            child["kind"] = "ReplicaSet"
            child["spec"].pop("strategy", None)
            child["metadata"]["ownerReferences"] = [owner_reference(owner)]
            child.pop("status", None)
            await client.create(REPLICASETS, child, namespace=space)
        yield client


@pytest.fixture(params=[Shard, Ungated], ids=["gate on", "gate off"])
def share(request: pytest.FixtureRequest) -> type[Shard]:
    kind: type[Shard] = request.param
    return kind


async def run(
    client: Client,
    share: Callable[[int], Shard],
    children: Callable[[int], Shard | None],
    act: Callable[[list[Replica]], Any],
) -> tuple[int, int, list[Replica]]:
    """Let two replicas work while `act` does something; return how many keys were reconciled right, and wrong."""
    factories = [SharedInformerFactory(client) for _ in range(2)]
    replicas = []
    for index, factory in enumerate(factories):
        owners = factory.informer(DEPLOYMENTS, shard=share(index))
        owned = factory.informer(REPLICASETS, shard=children(index))
        replica = Replica(client, index, owners)
        replica.controller.watches(owners).owns(owned, owner=owners)
        replicas.append(replica)
    async with factories[0], factories[1], replicas[0].controller, replicas[1].controller:
        await idle(replicas)
        for replica in replicas:
            assert set(replica.calls) == replica.own
            replica.forget()
        await act(replicas)
        await idle(replicas)
        right = sum(key in replica.own for replica in replicas for key in replica.calls)
        wrong = sum(key not in replica.own for replica in replicas for key in replica.calls)
    return right, wrong, replicas


async def idle(replicas: list[Replica]) -> None:
    for _ in range(3):
        await asyncio.sleep(0.1)
        while not all(replica.controller.queue.idle for replica in replicas):
            await asyncio.sleep(0.01)


async def touch_children(client: Client) -> None:
    for number in range(OWNERS):
        patch = {"metadata": {"labels": {"touched": "yes"}}}
        await client.patch(REPLICASETS, f"web-{number}-rs", patch, namespace=f"space-{number % 8}")


async def test_children_that_are_watched_whole_bring_work_to_the_replica_of_their_owner(
    client: Client, share: type[Shard]
) -> None:
    right, wrong, replicas = await run(
        client, lambda index: share(index, of=2), lambda _: None, lambda _: touch_children(client)
    )
    assert (right, wrong) == (OWNERS, 0)
    assert all(replica.gone == set() for replica in replicas)


async def test_children_that_are_divided_by_namespace_as_their_owners_bring_work_to_the_same_replica(
    client: Client, share: type[Shard]
) -> None:
    def by_namespace(index: int) -> Shard:
        return share(index, of=2, by="namespace")

    right, wrong, replicas = await run(client, by_namespace, by_namespace, lambda _: touch_children(client))
    assert (right, wrong) == (OWNERS, 0)
    assert all(replica.gone == set() for replica in replicas)


@pytest.mark.parametrize("by", ["uid", "namespace"])
async def test_keys_that_are_added_by_hand_are_reconciled_by_their_owner_only(
    client: Client, share: type[Shard], by: Any
) -> None:
    keys = [ObjectKey(f"space-{number % 8}", f"web-{number}") for number in range(OWNERS)]

    async def add(replicas: list[Replica]) -> None:
        for replica in replicas:
            for key in (*keys, ObjectKey("space-1", "never-there")):
                replica.controller.queue.add(key)

    right, wrong, replicas = await run(client, lambda index: share(index, of=2, by=by), lambda _: None, add)
    dropped = [replica.controller.status.not_ours for replica in replicas]
    if by == "uid":
        assert (right, wrong) == (OWNERS, 0)
        assert sum(dropped) == OWNERS + 2
    else:
        # A namespace is somebody's, also for a name that no object has: the reconcile finds nothing there.
        assert (right, wrong) == (OWNERS, 1)
        assert sum(dropped) == OWNERS + 1


async def test_a_key_of_an_object_that_the_cache_does_not_have_yet_is_not_taken_for_a_deleted_one(
    client: Client, share: type[Shard]
) -> None:
    async def create(replicas: list[Replica]) -> None:
        for number in range(20):
            name = f"new-{number}"
            await client.create(DEPLOYMENTS, build.deployment(name, "space-0"), namespace="space-0")
            for replica in replicas:
                replica.controller.queue.add(ObjectKey("space-0", name))

    right, wrong, replicas = await run(client, lambda index: share(index, of=2), lambda _: None, create)
    assert (right, wrong) == (20, 0)
    assert all(replica.gone == set() for replica in replicas)


async def test_a_deletion_is_reconciled_by_the_replica_that_had_the_object(client: Client, share: type[Shard]) -> None:
    keys = [ObjectKey(f"space-{number % 8}", f"web-{number}") for number in range(OWNERS)]
    had: list[set[ObjectKey]] = []

    async def delete(replicas: list[Replica]) -> None:
        had.extend(replica.own for replica in replicas)
        for key in keys:
            await client.delete(DEPLOYMENTS, key.name, namespace=key.namespace)

    _, _, replicas = await run(client, lambda index: share(index, of=2), lambda _: None, delete)
    assert [replica.gone for replica in replicas] == had
    assert [set(replica.calls) for replica in replicas] == had
    assert all(not replica.controller._ownership._ours for replica in replicas)


async def test_status_says_where_the_shard_is_filtered_and_counts_foreign_events(client: Client) -> None:
    for number in range(200):
        await client.create(CONFIGMAPS, build.config_map(f"map-{number}"), namespace="default")
    factory = SharedInformerFactory(client)
    gated = factory.informer(CONFIGMAPS, shard=Shard(0, of=2))
    ungated = factory.informer(CONFIGMAPS, shard=Ungated(0, of=2))
    few = factory.informer(DEPLOYMENTS, shard=Shard(0, of=2))
    whole = factory.informer(CONFIGMAPS)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        assert [informer.status.sharding for informer in (gated, ungated, few, whole)] == [
            "server",
            "here",
            "unknown",
            "",
        ]
        assert gated.status.foreign_events == whole.status.foreign_events == 0
        there = whole.status.objects
        assert ungated.status.foreign_events == there - ungated.status.objects
        assert ungated.status.objects == gated.status.objects


def make(kind: Resource, shard: Shard | None) -> SharedInformer:
    client = Client(ClusterConfig.for_server("http://localhost:1"))
    return SharedInformerFactory(client).informer(kind, shard=shard)


def own(controller: Controller[Any], primary: SharedInformer, other: SharedInformer) -> None:
    controller.watches(primary).owns(other, owner=primary)


def owned_first(controller: Controller[Any], primary: SharedInformer, other: SharedInformer) -> None:
    controller.owns(other, owner=primary.resource).watches(primary)


def mapped(controller: Controller[Any], primary: SharedInformer, other: SharedInformer) -> None:
    def keys_of(obj: KubeObject) -> ObjectKey:
        return obj.key

    controller.watches(primary).watches(other, map=keys_of)


NONE = None
BY_UID = Shard(0, of=2)
OTHER = Shard(1, of=2)
THIRD = Shard(0, of=3, by="namespace")
BY_NAMESPACE = Shard(0, of=2, by="namespace")


@pytest.mark.parametrize("attach", [own, owned_first, mapped])
@pytest.mark.parametrize(
    ("primary", "other", "fits"),
    [
        (NONE, NONE, True),
        (BY_UID, NONE, True),
        (BY_NAMESPACE, NONE, True),
        (BY_NAMESPACE, BY_NAMESPACE, True),
        (BY_UID, BY_UID, False),
        (BY_UID, OTHER, False),
        (BY_UID, BY_NAMESPACE, False),
        (BY_NAMESPACE, BY_UID, False),
        (BY_NAMESPACE, THIRD, False),
        (NONE, BY_UID, False),
        (NONE, BY_NAMESPACE, False),
    ],
)
async def test_shards_that_do_not_fit_are_refused_with_the_remedy(
    primary: Shard | None, other: Shard | None, fits: bool, attach: Callable[..., None]
) -> None:
    async def reconcile(key: ObjectKey) -> None: ...

    controller = Controller("web", reconcile)
    if fits:
        attach(controller, make(DEPLOYMENTS, primary), make(REPLICASETS, other))
        return
    with pytest.raises(ValueError, match="Watch replicasets.apps without shard=, or give both the same Shard"):
        attach(controller, make(DEPLOYMENTS, primary), make(REPLICASETS, other))


async def test_two_kinds_of_keys_in_different_shards_are_refused() -> None:
    async def reconcile(key: ObjectKey) -> None: ...

    controller = Controller("web", reconcile).watches(make(DEPLOYMENTS, BY_UID))
    with pytest.raises(ValueError, match="a key would belong to two replicas; shard them equally"):
        controller.watches(make(REPLICASETS, NONE))


async def test_children_in_namespaces_of_an_owner_without_one_cannot_be_divided_by_namespace() -> None:
    async def reconcile(key: ObjectKey) -> None: ...

    controller = Controller("web", reconcile).watches(make(NODES, BY_NAMESPACE))
    with pytest.raises(ValueError, match="do not fit"):
        controller.owns(make(CONFIGMAPS, BY_NAMESPACE), owner=NODES)
