"""Threads read the cache while the loop writes it, as the plain `def` endpoints of a web framework do."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from kinformer.cache.indexer import NAMESPACE_INDEX
from kinformer.cache.lister import Lister
from kinformer.informer import SharedInformer
from kinformer.objects import ObjectKey
from kinformer.resources import PODS
from tests import storages
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer.cache.indexer import Indexer
    from kinformer.objects import KubeObject

pytestmark = pytest.mark.usefixtures("storage")

ROUNDS = 150
PODS_EACH = 40


@pytest.fixture(autouse=True)
def _threads_take_turns_all_the_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def numbered(number: int, version: int) -> KubeObject:
    space = f"ns-{number % 2}"
    return pod(f"p{number}", version, namespace=space, labels={"turn": str(version % 2)}, spec={"nodeName": "n"})


@contextmanager
def reading(*reads: Callable[[], object]) -> Iterator[list[int]]:
    """Each read in a thread of its own, again and again, from before the block to its end; how often each was made."""
    over = threading.Event()
    failures: list[BaseException] = []
    counts = [0] * len(reads)

    def read_on(number: int, read: Callable[[], object]) -> None:
        try:
            while not over.is_set():
                read()
                counts[number] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read_on, args=pair) for pair in enumerate(reads)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


def churn(indexer: Indexer, counts: list[int]) -> None:
    """Objects come, change and go, so that every dict grows and shrinks, until each reader has had its share."""
    version = 0
    while version < ROUNDS or min(counts) < 20:
        version += 1
        for number in range(PODS_EACH):
            obj = numbered(number, version)
            indexer.put(obj.key, obj)
        for number in range(0, PODS_EACH, 1 + version % 3):
            indexer.delete(numbered(number, version).key)
        if version > 100 * ROUNDS:
            return


def test_every_read_is_safe_while_the_loop_writes() -> None:
    indexer = storages.indexer({"node": lambda obj: [obj.at("spec.nodeName"), f"{obj.name}-{obj.resource_version}"]})
    lister = Lister(indexer, PODS)

    def whole(objects: list[KubeObject]) -> None:
        for obj in objects:
            assert obj.labels["turn"] == str(int(obj.resource_version) % 2)
            assert obj.at("spec.nodeName") == "n"

    with reading(
        lambda: whole(lister.list()),
        lambda: whole(lister.list(namespace="ns-1", selector="turn=1")),
        lambda: whole(lister.by_index("node", "n")),
        lambda: whole([obj for obj in [lister.get("p1", "ns-1")] if obj is not None]),
        lambda: (lister.keys(), indexer.index_keys("node", "n"), indexer.index_values("node")),
        lambda: (indexer.index_values(NAMESPACE_INDEX), len(lister), [*lister], ObjectKey("ns-0", "p0") in lister),
        lambda: [obj.labels for obj in indexer.copy().values()],
    ) as counts:
        churn(indexer, counts)
    assert min(counts) >= 20


async def test_a_snapshot_and_a_status_taken_in_a_thread_are_no_older_than_they_say() -> None:
    source = FakeSource(version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        stream = await source.watched()

        def check() -> None:
            snapshot = informer.snapshot()
            said = int(snapshot.resource_version)
            held = max((int(obj.resource_version) for obj in snapshot.values()), default=10)
            assert held >= said, "the version is one that the objects have not come to"
            assert informer.status.lists == {"initial": 1}
            assert informer.has_synced

        with reading(check, check) as counts:
            version = 10
            while version < 2_000 or min(counts) < 20:
                version += 1
                stream.added(pod("a", version))
                while int(informer.resource_version) < version:
                    await asyncio.sleep(0)
        assert min(counts) >= 20
