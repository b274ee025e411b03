"""The deleted objects of a slice are reconciled before the slice is given."""

from __future__ import annotations

import asyncio

import pytest

from kinformer import Client, ClusterConfig, Controller, KubeObject, ObjectKey, SharedInformerFactory
from kinformer.controller._event_mapping import EventMapping
from kinformer.controller._slice_ownership import SliceOwnership
from kinformer.events import Deleted
from kinformer.operators.shard_group import ShardGroup, engine_of
from kinformer.resources import CONFIGMAPS
from kinformer.workqueue import RateLimitingQueue

OBJ = KubeObject.from_dict({"metadata": {"name": "a", "namespace": "web", "uid": "u"}}, CONFIGMAPS)


@pytest.fixture
def ownership(monkeypatch: pytest.MonkeyPatch) -> SliceOwnership[ObjectKey]:
    client = Client(ClusterConfig.for_server("http://127.0.0.1:1"))
    group = ShardGroup(client, "sites", namespace="default", by="namespace")
    monkeypatch.setattr(type(engine_of(group)), "is_wanted", lambda _, number: True)
    return SliceOwnership("shop", group, RateLimitingQueue())


def stopped(ownership: SliceOwnership[ObjectKey]) -> bool:
    return ownership.has_stopped(ownership._group.slice_of(OBJ))


def test_a_slice_is_not_given_before_its_deleted_object_was_reconciled(ownership: SliceOwnership[ObjectKey]) -> None:
    assert stopped(ownership)
    ownership.deleted(OBJ)
    assert not stopped(ownership)
    ownership.begins(OBJ.key)
    ownership.ended(OBJ.key)
    assert not stopped(ownership)  # it failed
    ownership.begins(OBJ.key)
    ownership.ended_well(OBJ.key)
    ownership.ended(OBJ.key)
    assert stopped(ownership)


def test_a_deletion_during_a_reconcile_needs_another_one(ownership: SliceOwnership[ObjectKey]) -> None:
    ownership.begins(OBJ.key)
    ownership.deleted(OBJ)
    ownership.ended_well(OBJ.key)
    ownership.ended(OBJ.key)
    assert not stopped(ownership)
    ownership.begins(OBJ.key)
    ownership.ended_well(OBJ.key)
    ownership.ended(OBJ.key)
    assert stopped(ownership)


@pytest.mark.looptime
async def test_a_reconcile_that_was_cancelled_with_its_slice_comes_again_and_is_no_failure() -> None:
    began: list[float] = []

    async def reconcile(key: ObjectKey) -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(10)

    controller = Controller("shop", reconcile)
    async with controller:
        controller.queue.add(OBJ.key)
        await asyncio.sleep(3)
        controller._workers.revoke(OBJ.key)
        await asyncio.sleep(5)
        assert began == pytest.approx([0, 3], abs=0.1)  # with its slice, or dropped when it is taken
        assert not controller.status.failing


@pytest.mark.parametrize("takes_departures", [True, False])
def test_an_object_that_went_to_another_replica_is_not_reconciled_as_a_deleted_one(takes_departures: bool) -> None:
    source = SharedInformerFactory(Client(ClusterConfig.for_server("http://127.0.0.1:1"))).core.v1.configmaps
    queue = RateLimitingQueue[ObjectKey]()
    mapping = EventMapping(source, lambda obj: obj.key, None, queue, takes_departures=takes_departures)
    mapping.on_event(Deleted(OBJ, out_of_scope=True))
    assert len(queue) == takes_departures
    mapping.on_event(Deleted(OBJ))
    assert len(queue) == 1
