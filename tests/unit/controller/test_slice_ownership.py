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
    departed: list[KubeObject] = []
    source = SharedInformerFactory(Client(ClusterConfig.for_server("http://127.0.0.1:1"))).core.v1.configmaps
    queue = RateLimitingQueue[ObjectKey]()
    on_departed = None if takes_departures else departed.append
    mapping = EventMapping(source, lambda obj: obj.key, None, queue, on_departed=on_departed)
    mapping.on_event(Deleted(OBJ, out_of_scope=True))
    assert len(queue) == takes_departures
    assert departed == ([] if takes_departures else [OBJ])
    mapping.on_event(Deleted(OBJ))
    assert len(queue) == 1


def test_the_server_is_not_asked_about_keys_that_wait_when_their_slice_goes_to_another_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = ShardGroup(Client(ClusterConfig.for_server("http://127.0.0.1:1")), "sites", namespace="default", by="uid")
    queue = RateLimitingQueue[ObjectKey]()
    ownership = SliceOwnership("shop", group, queue)
    wanted = [True]
    monkeypatch.setattr(type(engine_of(group)), "is_wanted", lambda _, number: wanted[0])
    other = KubeObject.from_dict({"metadata": {"name": "b", "namespace": "web", "uid": "v"}}, CONFIGMAPS)
    queue.add(OBJ.key)
    ownership.departed(OBJ)  # its slice has come back meanwhile
    assert not ownership._refused
    wanted[0] = False
    for obj in (OBJ, other):
        ownership.departed(obj)
    assert ownership._refused == {OBJ.key}  # nothing is kept of a key that does not wait
    assert ownership.drops(OBJ.key)
    assert (ownership.not_ours, ownership._refused) == (1, set())
    # The next event of the key asks again: its object may be another one.
    waiting = ownership.unknown(OBJ.key)
    assert asyncio.iscoroutine(waiting)
    waiting.close()


def test_a_deletion_is_reconciled_though_the_slice_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ShardGroup(Client(ClusterConfig.for_server("http://127.0.0.1:1")), "sites", namespace="default", by="uid")
    queue = RateLimitingQueue[ObjectKey]()
    ownership = SliceOwnership("shop", group, queue)
    wanted = [True]
    monkeypatch.setattr(type(engine_of(group)), "is_wanted", lambda _, number: wanted[0])
    queue.add(OBJ.key)
    ownership.deleted(OBJ)
    wanted[0] = False
    ownership.departed(OBJ)
    assert ownership._gone
    assert not ownership._refused
