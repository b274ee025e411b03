"""The next state of a stored object is stored as by `put`: objects, indexes, sizes."""

from __future__ import annotations

import random

import pytest

from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.objects import KubeObject
from kinformer.resources import PODS


def pod(name: str, version: int, node: str) -> KubeObject:
    metadata = {"name": name, "namespace": "web", "uid": name, "resourceVersion": str(version)}
    return KubeObject.from_dict({"metadata": metadata, "spec": {"nodeName": node, "extra": "x" * version}}, PODS)


def nodes(obj: KubeObject) -> list[str]:
    names: str = obj["spec"]["nodeName"]
    if names == "broken":
        raise ValueError(names)
    return names.split(",") if names else []


@pytest.mark.parametrize("kind", [InformerIndexer, CompactIndexer])
@pytest.mark.parametrize("seed", range(5))
def test_the_next_state_leaves_the_cache_as_put_does(kind: type[InformerIndexer], seed: int) -> None:
    rng = random.Random(seed)
    one, other = kind({"node": nodes}), kind({"node": nodes})
    for version in range(1, 200):
        obj = pod(f"p{rng.randrange(5)}", version, rng.choice(["", "a", "b", "a,b", "broken"]))
        one.put(obj.key, obj.view())
        before = other.stored(obj.key)
        if before is None:
            other.put(obj.key, obj.view())
        else:
            other.put_next([before], [obj.view()])
        assert one.list() == other.list()
        assert one.storage_status == other.storage_status
        assert sorted(one.index_values("node")) == sorted(other.index_values("node"))
        for value in one.index_values("node"):
            assert one.index_keys("node", value) == other.index_keys("node", value)
