"""Shards: which objects are in which."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer import Client, ClusterConfig, KubeObject, Shard, SharedInformerFactory
from kinformer._shards import hash_of
from kinformer.resources import PODS
from kinformer.testing import ApiServer, build


def pod(uid: str, namespace: str = "default") -> KubeObject:
    return KubeObject.from_dict({"metadata": {"name": "p", "namespace": namespace, "uid": uid}}, PODS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_the_hash_is_fnv_1a(text: str, value: int) -> None:
    """The test vectors of its authors (isthe.com/chongo/tech/comp/fnv)."""
    assert hash_of(text) == value


@given(st.integers(1, 50), st.uuids(), st.sampled_from(["uid", "namespace"]))
def test_each_object_is_in_exactly_one_share(of: int, uid: uuid.UUID, by: Any) -> None:
    shards = [Shard(index, of, by) for index in range(of)]
    assert sum(shard.has(pod(str(uid), f"n-{uid}")) for shard in shards) == 1
    assert [shard.bounds[0] for shard in shards[1:]] == [shard.bounds[1] for shard in shards[:-1]]
    assert (shards[0].bounds[0], shards[-1].bounds[1]) == (0, 1 << 64)


def test_objects_are_spread_evenly_and_a_namespace_stays_together() -> None:
    chance = random.Random(1)
    pods = [pod(str(uuid.UUID(int=chance.getrandbits(128))), f"n-{number % 3}") for number in range(3000)]
    sizes = Counter(next(i for i in range(3) if Shard(i, of=3).has(p)) for p in pods)
    assert min(sizes.values()) > 900
    of = {p.namespace: {i for i in range(4) if Shard(i, of=4, by="namespace").has(p)} for p in pods}
    assert all(len(shares) == 1 for shares in of.values())


def test_it_is_said_as_the_api_server_reads_it() -> None:
    assert str(Shard(0, of=2)) == "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
    assert str(Shard(1, of=2)) == "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')"
    assert "object.metadata.namespace" in str(Shard(0, of=2, by="namespace"))
    assert Shard(1, of=3, by="namespace").name == "shard 2 of 3 by namespace"


@pytest.mark.parametrize(("index", "of"), [(-1, 2), (2, 2), (0, 0), (0, -1)])
def test_a_share_that_there_is_not_is_refused(index: int, of: int) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        Shard(index, of)


def test_what_it_is_shared_out_by_must_be_known() -> None:
    with pytest.raises(ValueError, match="by their 'uid' or by their 'namespace'"):
        Shard(0, 2, "name")  # type: ignore[arg-type]


@pytest.mark.parametrize("streaming", [True, False])
async def test_where_the_server_ignores_the_question_the_share_is_the_same(streaming: bool) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.faults.without_shards()
        for number in range(30):
            server.create(build.pod(f"pod-{number}"))
        factory = SharedInformerFactory(client, streaming_lists=streaming)
        whole = factory.informer(PODS)
        shares = [factory.informer(PODS, shard=Shard(index, of=2)) for index in range(2)]
        assert shares[0] is factory.informer(PODS, shard=Shard(0, of=2))
        assert len({whole, *shares}) == 3
        async with factory:
            await factory.wait_for_cache_sync(timeout=10)
            server.create(build.pod("late"))
            server.delete("v1", "Pod", "pod-0")
            for informer in (whole, *shares):
                await informer.relist(timeout=10)
            names = [{obj.name for obj in informer.lister.list()} for informer in shares]
            assert names[0] | names[1] == {obj.name for obj in whole.lister.list()}
            assert not names[0] & names[1]
            assert all(names)
