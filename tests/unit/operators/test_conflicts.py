"""Retry on conflict: the object is read anew, decided anew, and nothing else is tried again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import retry_on_conflict
from kinformer.backoff import Backoff
from kinformer.errors import ConflictError, ForbiddenError, NotFoundError
from tests.sources import now, pod

if TYPE_CHECKING:
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

pytestmark = pytest.mark.looptime


class Store:
    """A server with one pod, which another writer changes before each of the first `faster` writes."""

    def __init__(self, *, faster: int = 0) -> None:
        self.object: KubeObject | None = pod("a", 1)
        self.reads = 0
        self.writes: list[str] = []
        self._faster = faster

    async def get(self, resource: Resource, name: str, /, *, namespace: str | None) -> KubeObject:
        assert (resource.plural, name, namespace) == ("pods", "a", "default")
        self.reads += 1
        if self.object is None:
            raise NotFoundError("gone")
        return self.object

    async def write(self, obj: KubeObject) -> KubeObject:
        self.writes.append(obj.resource_version)
        assert self.object is not None
        if len(self.writes) <= self._faster:
            self.object = pod("a", int(self.object.resource_version) + 1)
        if obj.resource_version != self.object.resource_version:
            raise ConflictError("changed")
        self.object = pod("a", int(obj.resource_version) + 1)
        return self.object


@pytest.mark.parametrize("faster", [0, 1, 4, 9])
async def test_each_attempt_has_the_newest_state_and_the_first_needs_no_read(faster: int) -> None:
    store = Store(faster=faster)
    written = await retry_on_conflict(store, pod("a", 1), store.write)
    assert written is store.object
    assert store.writes == [str(version) for version in range(1, faster + 2)]
    assert store.reads == faster


async def test_the_conflict_of_the_last_attempt_is_raised_after_growing_pauses() -> None:
    store = Store(faster=100)
    with pytest.raises(ConflictError):
        await retry_on_conflict(store, pod("a", 1), store.write, attempts=4, backoff=Backoff(1, 2, 30, jitter=0))
    assert (len(store.writes), store.reads) == (4, 3)
    assert now() == pytest.approx(0 + 1 + 2)


async def test_other_errors_end_the_attempts() -> None:
    store = Store()

    async def refused(_: KubeObject) -> None:
        raise ForbiddenError("no")

    with pytest.raises(ForbiddenError):
        await retry_on_conflict(store, pod("a", 1), refused)
    assert store.reads == 0


@pytest.mark.parametrize("successor", [None, pod("a", 9, uid="another")])
async def test_an_object_that_is_gone_or_replaced_is_not_written(successor: KubeObject | None) -> None:
    store = Store(faster=1)
    tries = 0

    async def write(obj: KubeObject) -> KubeObject:
        nonlocal tries
        tries += 1
        store.object = successor
        raise ConflictError(f"{obj.key} has changed")

    assert await retry_on_conflict(store, pod("a", 1), write) is None
    assert tries == 1


async def test_a_cancelled_retry_writes_no_more() -> None:
    store = Store(faster=100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await retry_on_conflict(store, pod("a", 1), store.write, backoff=Backoff(1, 2, 30, jitter=0))
    assert len(store.writes) == 2


async def test_wrong_arguments_are_refused_with_the_remedy() -> None:
    store = Store()
    with pytest.raises(ValueError, match="attempts=0: expected 1 or more"):
        await retry_on_conflict(store, pod("a", 1), store.write, attempts=0)
    plain: Any = store.writes.append
    with pytest.raises(TypeError, match="write returned a NoneType; expected a coroutine function"):
        await retry_on_conflict(store, pod("a", 1), plain)
