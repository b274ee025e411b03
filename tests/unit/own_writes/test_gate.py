"""Which keys wait for which writes, and for how long; the queue is a real one."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kinformer import WorkQueue
from kinformer._own_writes.feed import Write
from kinformer._own_writes.gate import WriteGate
from kinformer._own_writes.pending import PendingWrites, set_pending_writes
from kinformer.resources import PODS
from tests.sources import now, pod, settled

if TYPE_CHECKING:
    from kinformer.objects import KubeObject, ObjectKey

pytestmark = pytest.mark.looptime


class Informer:
    """A cache of pods with its pending writes; `show` plays the watch."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, KubeObject] = {}
        self.pending_writes = PendingWrites(self.objects.get, lambda: "10")
        set_pending_writes(self, self.pending_writes)

    def wrote(self, obj: KubeObject) -> None:
        self.pending_writes.expect(Write(PODS, obj.key, obj.uid, int(obj.resource_version), obj=obj), covered=True)

    def show(self, obj: KubeObject) -> None:
        self.objects[obj.key] = obj
        self.pending_writes.changed([obj.key])


def by_app(obj: KubeObject) -> list[str]:
    return [obj.labels["app"]] if "app" in obj.labels else []


class Gated:
    """A gate and the queue that it holds back."""

    def __init__(self, *, timeout: float = 5.0) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self.gate: WriteGate[str] = WriteGate("test", self.queue.release, timeout=timeout)
        self.queue.hold_back(self.gate.must_wait)

    def next(self) -> str | None:
        """Take the next key and be done with it; `None` if there is none now."""
        try:
            key = self.queue.get_nowait()
        except asyncio.QueueEmpty:
            return None
        self.queue.done(key)
        return key

    def goes_on(self, key: str) -> bool:
        """Add a key; return whether it is handed out at once."""
        self.queue.add(key)
        return self.next() == key


async def test_a_key_waits_for_the_writes_of_its_own_reconcile_in_any_cache() -> None:
    one, two = Informer(), Informer()
    it = Gated()
    assert it.goes_on("key")
    with it.gate.recording("key"):
        one.wrote(pod("a", 12))
        async with asyncio.TaskGroup() as group:
            group.create_task(_later(two, pod("b", 13)))
    assert it.goes_on("other")
    assert not it.goes_on("key")
    assert it.queue.held == {"key"}
    one.show(pod("a", 12))
    assert it.next() is None
    two.show(pod("b", 13))
    assert it.next() == "key"
    assert it.goes_on("key")
    assert (it.gate.waits, it.gate.given_up, len(it.gate)) == (1, 0, 0)


async def _later(informer: Informer, obj: KubeObject) -> None:
    await asyncio.sleep(0)
    informer.wrote(obj)


async def test_a_write_after_the_body_does_not_belong_to_its_key() -> None:
    informer = Informer()
    it = Gated()
    with it.gate.recording("key"):
        pass
    informer.wrote(pod("a", 12))
    assert it.goes_on("key")


async def test_a_key_waits_for_writes_of_others_to_its_objects() -> None:
    informer = Informer()
    it = Gated()
    it.gate.watch(informer, by_app)
    it.gate.watch(SimpleNamespace(), by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    informer.wrote(pod("b", 13))
    assert len(it.gate) == 1
    assert not it.goes_on("web")
    informer.show(pod("a", 12))
    assert it.next() == "web"


async def test_a_worker_that_waits_for_a_key_gets_it_in_the_turn_in_which_the_cache_shows_the_write() -> None:
    informer = Informer()
    it = Gated()
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12))
    it.queue.add("key")
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(it.queue.get())
        await settled()
        assert not worker.done()
        informer.show(pod("a", 12))
    assert worker.result() == "key"
    assert it.gate.given_up == 0
    assert now() < 1


@pytest.mark.parametrize("seed", range(50))
async def test_no_order_of_write_event_and_hand_out_lets_a_key_wait_for_a_write_that_the_cache_shows(seed: int) -> None:
    rng = random.Random(seed)
    informer = Informer()
    it = Gated()
    it.gate.watch(informer, lambda obj: [obj.name])
    version = 10
    taken = 0

    def act(step: str, name: str) -> None:
        match step:
            case "add":
                it.queue.add(name)
            case "write":
                informer.wrote(pod(name, version))
            case _:
                informer.show(pod(name, version + rng.randrange(2)))

    async def work() -> None:
        nonlocal taken
        while True:
            key = await it.queue.get()
            taken += 1
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            it.queue.done(key)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(3)]
        for _ in range(300):
            version += 1
            name = rng.choice("abc")
            for step in rng.sample(["add", "write", "show"], 3):
                act(step, name)
                if rng.random() < 0.5:
                    await asyncio.sleep(0)
        for name in "abc":
            informer.show(pod(name, version + 10))
        await settled()
        assert (it.gate.given_up, len(it.gate), len(it.queue), len(it.queue.held)) == (0, 0, 0, 0)
        assert now() < 1
        assert taken > 50
        for worker in workers:
            worker.cancel()


async def test_a_map_that_raises_holds_no_key_and_does_not_fail_the_write(caplog: pytest.LogCaptureFixture) -> None:
    informer = Informer()
    it = Gated()
    it.gate.watch(informer, lambda obj: [obj["spec"]["missing"]])
    it.gate.watch(informer, by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    assert len(it.gate) == 1
    assert not it.goes_on("web")
    assert "controller test: default/a could not be mapped to keys" in caplog.text


async def test_a_key_that_waits_in_vain_goes_on_and_the_log_names_the_write(caplog: pytest.LogCaptureFixture) -> None:
    informer = Informer()
    it = Gated(timeout=3)
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12))
    it.queue.add("key")
    assert await it.queue.get() == "key"
    assert now() == 3
    assert (it.gate.waits, it.gate.given_up) == (1, 1)
    assert "controller test: reconcile of key goes on after 3 s" in caplog.text
    assert "the writes to default/a" in caplog.text
    it.queue.done("key")
    assert it.goes_on("key")
    informer.show(pod("a", 12))
    assert len(it.gate) == 0


async def test_the_time_counts_from_the_moment_at_which_a_worker_could_have_taken_the_key() -> None:
    informer = Informer()
    it = Gated(timeout=3)
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12))
    await asyncio.sleep(10)
    it.queue.add("key")
    assert await it.queue.get() == "key"
    assert now() == 13


async def test_a_key_given_up_leaves_other_keys_of_the_same_write_held() -> None:
    informer = Informer()
    it = Gated(timeout=3)
    it.gate.watch(informer, lambda _: ["one", "two"])
    informer.wrote(pod("a", 12))
    assert not it.goes_on("one")
    await asyncio.sleep(2)
    assert not it.goes_on("two")
    await asyncio.sleep(1.5)
    assert it.next() == "one"
    assert it.next() is None
    informer.show(pod("a", 12))
    assert it.next() == "two"


async def test_a_write_that_the_cache_shows_before_the_key_is_next_holds_nothing_back() -> None:
    informer = Informer()
    it = Gated()
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12))
    informer.show(pod("a", 12))
    assert it.goes_on("key")
    assert it.gate.waits == 0


async def test_a_closed_gate_releases_all_keys_and_listens_no_more() -> None:
    informer = Informer()
    it = Gated()
    it.gate.watch(informer, by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    assert not it.goes_on("web")
    it.gate.close()
    assert it.next() == "web"
    informer.wrote(pod("a", 13, labels={"app": "web"}))
    with it.gate.recording("web"):
        informer.wrote(pod("a", 14, labels={"app": "web"}))
    assert it.goes_on("web")
    informer.show(pod("a", 14))


async def test_a_stopped_informer_releases_the_keys() -> None:
    informer = Informer()
    it = Gated()
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12))
    assert not it.goes_on("key")
    informer.pending_writes.close()
    assert it.next() == "key"


async def test_without_a_time_to_wait_no_key_is_held_back() -> None:
    informer = Informer()
    it = Gated(timeout=0)
    it.gate.watch(informer, by_app)
    with it.gate.recording("key"):
        informer.wrote(pod("a", 12, labels={"app": "key"}))
    assert it.goes_on("key")
