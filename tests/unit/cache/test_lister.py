"""Reads of the cache: keys, listers, indexes, and that nothing a reader does changes what is cached."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.cache.indexer import NAMESPACE_INDEX
from kinformer.cache.lister import Lister
from kinformer.errors import SwappedArgumentsWarning, UnknownIndexError, UnsyncedReadWarning
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import NODES, PODS
from tests import storages
from tests.sources import pod

if TYPE_CHECKING:
    from kinformer.cache._informer_indexer import InformerIndexer

pytestmark = pytest.mark.usefixtures("storage")


def cache_of(*objects: KubeObject, namespace: str = "") -> tuple[InformerIndexer, Lister]:
    indexer = storages.indexer({"node": lambda obj: [obj.at("spec.nodeName", default="")]})
    for obj in objects:
        indexer.put(obj.key, obj)
    return indexer, Lister(indexer, PODS, namespace)


def on(name: str, node: str, **more: Any) -> KubeObject:
    return pod(name, spec={"nodeName": node}, **more)


@pytest.mark.parametrize(("text", "namespace", "name"), [("default/a", "default", "a"), ("node-1", "", "node-1")])
def test_a_key_and_its_text_stand_for_each_other(text: str, namespace: str, name: str) -> None:
    assert ObjectKey.parse(text) == ObjectKey(namespace, name)
    assert str(ObjectKey(namespace, name)) == text


@pytest.mark.parametrize("text", ["", "a/b/c", "/a", "a/", "/"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unexpected key format"):
        ObjectKey.parse(text)


def test_a_lister_selects_by_namespace_and_labels() -> None:
    _, lister = cache_of(
        pod("a", labels={"app": "web"}),
        pod("b", labels={"app": "web", "tier": "cache"}),
        pod("c", namespace="other", labels={"app": "web"}),
        pod("d"),
    )
    assert [obj.name for obj in lister.list()] == ["a", "b", "c", "d"]
    assert [obj.name for obj in lister.list(namespace="default")] == ["a", "b", "d"]
    assert [obj.name for obj in lister.list(selector="app=web,tier!=cache")] == ["a", "c"]
    assert [obj.name for obj in lister.list(namespace="default", selector={"app": "web"})] == ["a", "b"]
    assert lister.list(namespace="nowhere") == []
    assert lister.list(selector="app=nothing") == []
    assert len(lister) == 4
    assert [obj.name for obj in lister] == ["a", "b", "c", "d"]


def test_an_object_is_found_by_name_and_namespace_or_by_its_key() -> None:
    _, lister = cache_of(pod("a"))
    assert lister.get("a", namespace="default") == lister.get(ObjectKey("default", "a")) == pod("a")
    assert lister.get("b", namespace="default") is None
    assert ObjectKey("default", "a") in lister
    assert ObjectKey("default", "b") not in lister
    with pytest.raises(ValueError, match=r"say which one 'a' is in, get\('a', namespace=...\)"):
        lister.get("a")


def test_a_cache_of_one_namespace_needs_not_be_told_which() -> None:
    _, lister = cache_of(pod("a"), namespace="default")
    assert lister.get("a") == pod("a")


def test_cluster_scoped_objects_have_no_namespace() -> None:
    node = KubeObject.from_dict({"metadata": {"name": "n"}}, NODES)
    indexer = storages.indexer()
    indexer.put(node.key, node)
    assert Lister(indexer, NODES).get("n") == node


def test_the_values_of_an_index_are_those_of_its_objects() -> None:
    indexer, lister = cache_of(on("a", "one"), on("b", "two"), on("c", "one"))
    assert sorted(indexer.index_values("node")) == ["one", "two"]
    assert [obj.name for obj in lister.by_index("node", "one")] == ["a", "c"]
    assert indexer.index_values(NAMESPACE_INDEX) == ["default"]
    assert indexer.index_names == ("namespace", "node")


def test_an_index_value_without_objects_is_forgotten() -> None:
    indexer, _ = cache_of(on("a", "one"), on("b", "one"))
    indexer.delete(ObjectKey("default", "a"))
    assert indexer.index_values("node") == ["one"]
    indexer.delete(ObjectKey("default", "b"))
    assert indexer.index_values("node") == []
    assert indexer.index_values(NAMESPACE_INDEX) == []


def test_an_unknown_index_is_named_with_those_there_are() -> None:
    _, lister = cache_of()
    with pytest.raises(UnknownIndexError, match="no index 'nod'.*There are: namespace, node"):
        lister.by_index("nod", "x")


def test_changing_what_one_got_changes_neither_the_cache_nor_what_another_gets() -> None:
    indexer, lister = cache_of(on("a", "one"))
    mine, another = lister.list()[0], lister.list()[0]
    mine["spec"]["nodeName"] = "stolen"
    mine.to_dict()["spec"]["nodeName"] = "stolen, too"
    assert another["spec"]["nodeName"] == "one"
    assert lister.get("a", namespace="default") == on("a", "one")
    assert lister.by_index("node", "stolen") == []
    with pytest.raises(TypeError):
        mine["spec"] = {}  # type: ignore[index]
    del indexer


def test_known_as_finds_the_very_state_and_no_other() -> None:
    indexer, _ = cache_of(pod("a", 3))
    assert indexer.known_as(pod("a", 3)) == pod("a", 3)
    assert indexer.known_as(pod("a", 4)) is None
    assert indexer.known_as(pod("a", 3, uid="another")) is None
    assert indexer.known_as(pod("b", 3)) is None


def test_views_of_one_object_are_equal_and_not_unequal_and_are_mappings() -> None:
    one, same, other = pod("a", 3), pod("a", 3), pod("a", 4)
    assert one == same
    assert not one != same  # noqa: SIM202 - each operator has a method of its own
    assert one != other
    assert not one == other  # noqa: SIM201
    assert one == same.to_dict()
    assert one != 7
    assert len({one, same, other}) == 2
    assert isinstance(one, Mapping)
    assert sorted(one) == sorted(one.keys()) == ["apiVersion", "kind", "metadata"]
    assert dict(one.items()) == dict(one) == one.to_dict()
    assert one.get("spec", 1) == 1
    assert one["kind"] in one.values()
    match one:
        case {"kind": "Pod", "metadata": {"name": name}}:
            assert name == "a"
        case _:
            raise AssertionError
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    with pytest.raises(AttributeError):
        one.nonsense = 1  # type: ignore[attr-defined]


async def test_an_iteration_in_slices_yields_what_a_list_returns() -> None:
    _, lister = cache_of(
        *(pod(f"p{number}", labels={"app": "web" if number % 2 else "db"}) for number in range(200)),
        *(pod(f"p{number}", namespace="other", labels={"app": "web"}) for number in range(100)),
    )
    for namespace in (None, "", "default", "other", "nowhere"):
        for selector in (None, "app=web", "app=none", {"app": "db"}):
            found = [obj async for obj in lister.each(namespace, selector)]
            assert found == lister.list(namespace, selector)
    assert [obj async for obj in lister] == lister.list() == [*lister]


async def test_an_iteration_in_slices_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lister = cache_of(*(pod(f"p{number}") for number in range(300)))
    loop = asyncio.get_running_loop()
    ticks = itertools.count()
    monkeypatch.setattr(loop, "time", lambda: next(ticks) / 10_000)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(other())
        assert len([obj async for obj in lister.each()]) == 300
        found = turns
        task.cancel()
    # The clock moves with each look: 15 looks make a slice.
    assert found >= 15


READS: list[Any] = [
    lambda lister: lister.list(),
    lambda lister: lister.list(namespace="default"),
    lambda lister: lister.get("b", namespace="default"),
    lambda lister: lister.by_index("node", "one"),
    lambda lister: lister.keys(),
    lambda lister: [*lister],
    len,
    lambda lister: ObjectKey("default", "b") in lister,
]


@pytest.mark.parametrize("read", READS)
def test_the_first_read_before_the_first_list_warns_once(read: Any) -> None:
    indexer, _ = cache_of(pod("a"))
    synced: list[int] = []
    lister = Lister(indexer, PODS, synced=lambda: bool(synced))
    with pytest.warns(UnsyncedReadWarning, match=r"the cache of pods\.v1 was read before its first list"):
        read(lister)
    for each in READS:
        each(lister)  # warnings are errors here
    synced.append(1)
    read(lister)


@pytest.mark.parametrize("read", READS)
def test_no_read_after_the_first_list_warns(read: Any) -> None:
    indexer, _ = cache_of(pod("a"))
    read(Lister(indexer, PODS, synced=lambda: True))


def test_a_read_that_finds_its_object_needs_no_whole_list() -> None:
    indexer, _ = cache_of(pod("a"))
    lister = Lister(indexer, PODS, synced=lambda: False)
    assert lister.get("a", namespace="default") == pod("a")
    assert ObjectKey("default", "a") in lister


def test_name_and_namespace_in_the_wrong_order_warn_if_the_right_order_has_an_object() -> None:
    _, lister = cache_of(pod("a"))
    with pytest.warns(SwappedArgumentsWarning, match=r"the name comes first, get\('a', namespace='default'\)"):
        assert lister.get("default", "a") is None
    assert lister.get("default", "b") is None


def test_the_label_selector_has_two_names_of_which_one_is_given() -> None:
    _, lister = cache_of(pod("a", labels={"x": "1"}), pod("b"))
    assert lister.list(label_selector="x=1") == lister.list(selector="x=1") == [pod("a", labels={"x": "1"})]
    with pytest.raises(TypeError, match="selector= and label_selector= are the same parameter"):
        lister.list(selector="x=1", label_selector="x=1")
