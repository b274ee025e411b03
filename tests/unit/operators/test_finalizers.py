"""Finalizers: whatever is made because of an object is gone before the object is, wherever the process dies."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.controller import Requeue
from kinformer.errors import ConflictError, NotFoundError
from kinformer.objects import KubeObject
from kinformer.operators.finalizers import Finalizer
from kinformer.resources import CONFIGMAPS, NAMESPACES
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.resources import Resource

NAME = "example.com/database"
virtual = pytest.mark.looptime


class Store:
    """One object, as an API server keeps it. `before` is called with each request, and `after` once it is done."""

    def __init__(self, *finalizers: str) -> None:
        self.version = 0
        self.uids = 0
        self.object: dict[str, Any] | None = None
        self.requests: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.create(*finalizers)

    def create(self, *finalizers: str) -> None:
        self.uids += 1
        head = {"name": "shop", "namespace": "default", "uid": f"uid-{self.uids}", "finalizers": list(finalizers)}
        self._put({"metadata": head})

    def _put(self, manifest: dict[str, Any]) -> None:
        self.version += 1
        head = {**manifest["metadata"], "resourceVersion": str(self.version)}
        gone = "deletionTimestamp" in head and not head["finalizers"]
        self.object = None if gone else {"metadata": head}

    def touch(self, **head: Any) -> None:
        if self.object is not None:
            self._put({"metadata": {**self.object["metadata"], **head}})

    def delete(self) -> None:
        self.touch(deletionTimestamp="2026-11-23T12:00:00Z")

    @property
    def finalizers(self) -> list[str]:
        assert self.object is not None
        names: list[str] = self.object["metadata"]["finalizers"]
        return names

    def read(self) -> KubeObject:
        if self.object is None:
            raise NotFoundError("gone", status=404)
        return KubeObject.from_dict(self.object, CONFIGMAPS)

    async def get(self, resource: Resource, name: str, /, *, namespace: str | None) -> KubeObject:
        self.requests.append("get")
        self.before()
        await asyncio.sleep(0)
        obj = self.read()
        self.after()
        return obj

    async def patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str | None
    ) -> KubeObject:
        self.requests.append("patch")
        self.before()
        await asyncio.sleep(0)
        current = self.read()
        if patch["metadata"]["resourceVersion"] != current.resource_version:
            raise ConflictError("changed", status=409)
        added = set(patch["metadata"]["finalizers"]) - set(self.finalizers)
        assert not (added and current.at("metadata.deletionTimestamp")), "the API refuses this"
        answer = {"metadata": {**current["metadata"], **patch["metadata"]}}
        self._put(answer)
        self.after()
        return KubeObject.from_dict(self.object or answer, CONFIGMAPS)


class World:
    """What is made because of the object, and what must be true of it at any moment."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.made = False
        self.calls: list[str] = []

    async def apply(self, obj: KubeObject) -> str:
        self.calls.append("apply")
        assert self.store.object is None or NAME in self.store.finalizers, "made without protection"
        self.made = True
        await asyncio.sleep(0)
        return "applied"

    async def cleanup(self, obj: KubeObject) -> None:
        self.calls.append("cleanup")
        await asyncio.sleep(0)
        self.made = False


@pytest.fixture
def store() -> Store:
    return Store()


async def test_it_is_put_on_before_work(store: Store) -> None:
    world = World(store)
    assert await Finalizer(store, NAME).reconcile(store.read(), world.apply, world.cleanup) == "applied"
    assert store.finalizers == [NAME]
    assert store.requests == ["patch"]
    assert await Finalizer(store, NAME).reconcile(store.read(), world.apply, world.cleanup) == "applied"
    assert store.requests == ["patch"]


async def test_it_is_taken_off_after_cleaning_up() -> None:
    store = Store("other.org/x", NAME)
    world = World(store)
    store.delete()
    assert await Finalizer(store, NAME).reconcile(store.read(), world.apply, world.cleanup) is None
    assert store.finalizers == ["other.org/x"]
    assert world.calls == ["cleanup"]
    # And then it is none of our business.
    assert await Finalizer(store, NAME).reconcile(store.read(), world.apply, world.cleanup) is None
    assert world.calls == ["cleanup"]
    assert store.requests == ["patch"]


async def test_cleaning_up_may_take_several_reconciles() -> None:
    store = Store(NAME)
    store.delete()
    world = World(store)

    async def not_yet(obj: KubeObject) -> Requeue:
        return Requeue(after=5)

    async def apply(obj: KubeObject) -> Requeue:
        raise AssertionError

    assert await Finalizer(store, NAME).reconcile(store.read(), apply, not_yet) == Requeue(after=5)
    assert store.finalizers == [NAME]
    await Finalizer(store, NAME).reconcile(store.read(), world.apply, world.cleanup)
    assert store.object is None


async def test_a_cleanup_that_fails_leaves_it_on() -> None:
    store = Store(NAME)
    store.delete()

    async def fails(obj: KubeObject) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Finalizer(store, NAME).reconcile(store.read(), World(store).apply, fails)
    assert store.finalizers == [NAME]


async def test_a_cached_object_that_is_behind_is_read_anew(store: Store) -> None:
    old = store.read()
    store.touch(finalizers=["other.org/x"])
    world = World(store)
    assert await Finalizer(store, NAME).reconcile(old, world.apply, world.cleanup) == "applied"
    assert store.finalizers == ["other.org/x", NAME]
    assert store.requests == ["patch", "get", "patch"]


async def test_none_is_put_on_an_object_that_is_being_deleted(store: Store) -> None:
    old = store.read()
    store.touch(finalizers=["other.org/x"])
    store.delete()
    world = World(store)
    assert await Finalizer(store, NAME).reconcile(old, world.apply, world.cleanup) is None
    assert store.finalizers == ["other.org/x"]
    assert world.calls == []


async def test_an_object_found_deleted_with_ours_on_is_cleaned_up(store: Store) -> None:
    old = store.read()
    store.touch(finalizers=[NAME])
    store.delete()
    world = World(store)
    await Finalizer(store, NAME).reconcile(old, world.apply, world.cleanup)
    assert world.calls == ["cleanup"]
    assert store.object is None


@pytest.mark.parametrize("recreated", [False, True])
async def test_an_object_that_is_gone_is_let_be(store: Store, recreated: bool) -> None:
    old = store.read()
    store.delete()
    if recreated:
        store.create()
    world = World(store)
    finalizer = Finalizer(store, NAME)
    assert await finalizer.reconcile(old, world.apply, world.cleanup) is None
    assert world.calls == []
    await finalizer.remove(KubeObject.from_dict({"metadata": {**old["metadata"], "finalizers": [NAME]}}, CONFIGMAPS))
    assert store.object is None or store.finalizers == []


@virtual
async def test_conflicts_that_do_not_end_are_raised_after_a_while(store: Store) -> None:
    store.before = store.touch
    with pytest.raises(ConflictError):
        await Finalizer(store, NAME).add(store.read())
    assert store.requests.count("patch") == 10
    assert 0.5 < asyncio.get_running_loop().time() < 5


async def test_a_cluster_scoped_object_has_no_namespace() -> None:
    asked: list[str | None] = []

    class Cluster:
        async def get(self, resource: Resource, name: str, /, *, namespace: str | None) -> KubeObject:
            raise AssertionError

        async def patch(
            self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str | None
        ) -> KubeObject:
            asked.append(namespace)
            return KubeObject.from_dict({"metadata": {"name": name, **patch["metadata"]}}, resource)

    namespace = KubeObject.from_dict({"metadata": {"name": "web", "resourceVersion": "1"}}, NAMESPACES)
    finalizer = Finalizer(Cluster(), NAME)
    protected = await finalizer.add(namespace)
    assert protected is not None
    assert finalizer.is_on(protected)
    assert asked == [None]


@pytest.mark.parametrize(
    "name", ["", "database", "/x", "example.com/", "Example.com/x", "example.com/x y", "a/" + "x" * 64]
)
def test_a_name_the_api_would_refuse_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a finalizer"):
        Finalizer(store, name)


class Crash(BaseException):
    """The process dies here."""


@settings(deadline=None, max_examples=400)
@given(
    crashes=st.lists(st.integers(0, 12), max_size=4),
    deleted_at=st.integers(0, 14),
    touched_at=st.sets(st.integers(0, 14), max_size=4),
    others=st.booleans(),
    stale=st.booleans(),
)
def test_nothing_is_left_behind_wherever_the_process_dies(
    crashes: list[int], deleted_at: int, touched_at: set[int], others: bool, stale: bool
) -> None:
    """Points are counted over the whole run: before and after each request, and in apply and cleanup."""

    async def play() -> None:
        store = Store(*(["other.org/x"] if others else []))
        point = -1
        deaths: list[int] = list(crashes)
        world = World(store)
        seen = store.read()

        def here() -> None:
            nonlocal point
            point += 1
            if point == deleted_at:
                store.delete()
            if point in touched_at:
                store.touch()
            assert not (store.object is None and world.made), "the object is gone, and what was made is not"
            if deaths and deaths[0] <= point:
                deaths.pop(0)
                raise Crash

        store.before = store.after = here

        async def apply(obj: KubeObject) -> None:
            here()
            await world.apply(obj)
            here()

        async def cleanup(obj: KubeObject) -> None:
            here()
            await world.cleanup(obj)
            here()

        for turn in range(60):
            with contextlib.suppress(Crash, ConflictError):
                await Finalizer(store, NAME).reconcile(seen, apply, cleanup)
            if point >= 14 and not deaths and (store.object is None or NAME not in store.finalizers):
                break
            if store.object is None:
                break
            if not stale or turn % 2:
                seen = store.read()
            if turn > 30:
                store.delete()
        assert not world.made
        assert store.object is None or store.finalizers == ["other.org/x"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
