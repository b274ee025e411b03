"""An index that is added to a full cache: built in steps, and never incomplete for a reader."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests import storages
from tests.sources import pod

if TYPE_CHECKING:
    from kinformer.cache._informer_indexer import InformerIndexer
    from kinformer.objects import KubeObject

pytestmark = pytest.mark.usefixtures("storage")


class Called:
    """An index function that notes the objects it was called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, obj: KubeObject) -> list[str]:
        self.calls.append(f"{obj.name}@{obj.resource_version}")
        return [obj["spec"]["nodeName"]]


def full_cache(count: int) -> InformerIndexer:
    indexer = storages.indexer()
    for number in range(count):
        obj = pod(f"p{number}", spec={"nodeName": f"n{number % 2}"})
        indexer.put(obj.key, obj)
    return indexer


def test_an_object_that_changes_while_an_index_is_built_is_indexed_once_per_state() -> None:
    indexer, function = full_cache(6), Called()
    indexer.begin_indexers({"node": function})
    assert indexer.index_some("node", 2)
    changed = [pod(name, 2, spec={"nodeName": "n9"}) for name in ("p1", "p4")]
    for obj in changed:
        indexer.put(obj.key, obj)
    indexer.delete(pod("p5").key)
    while indexer.index_some("node", 2):
        pass
    assert function.calls == ["p0@1", "p1@1", "p1@2", "p4@2", "p2@1", "p3@1"]
    assert [obj.name for obj in indexer.by_index("node", "n9")] == ["p1", "p4"]
    assert [obj.name for obj in indexer.by_index("node", "n1")] == ["p3"]


def test_a_read_of_an_index_that_is_being_built_is_complete() -> None:
    for read in (
        lambda indexer: [key.name for key in indexer.index_keys("node", "n1")],
        lambda indexer: [obj.name for obj in indexer.by_index("node", "n1")],
        lambda indexer: ["p1", "p3"] if set(indexer.index_values("node")) == {"n0", "n1"} else [],
    ):
        indexer = full_cache(4)
        indexer.begin_indexers({"node": Called()})
        assert read(indexer) == ["p1", "p3"]
        assert not indexer.index_some("node", 1), "nothing is left to do"


def test_another_thread_reads_an_index_that_is_being_built_and_changes_nothing_of_it() -> None:
    indexer, function = full_cache(4), Called()
    indexer.begin_indexers({"node": function})
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(obj.name for obj in indexer.by_index("node", "n1")))
    thread.start()
    thread.join()
    assert found == ["p1", "p3"]
    function.calls.clear()
    while indexer.index_some("node", 1):
        pass
    assert len(function.calls) == 4, "the steps went on where they were"


def test_an_index_that_is_built_keeps_no_room_for_the_objects_that_it_had_to_look_at() -> None:
    indexer = full_cache(40)
    indexer.begin_indexers({"node": Called()})
    while indexer.index_some("node", 7):
        pass
    assert sys.getsizeof(indexer._indexes["node"].unindexed) == sys.getsizeof({})
