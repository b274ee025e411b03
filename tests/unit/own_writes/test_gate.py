"""Which keys wait for which writes, and for how long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kinformer._own_writes.feed import Write
from kinformer._own_writes.gate import WriteGate
from kinformer._own_writes.pending import Floors
from kinformer.resources import PODS
from tests.sources import now, pod, settled

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from kinformer.objects import KubeObject, ObjectKey

pytestmark = pytest.mark.looptime


class Informer:
    """A cache of pods with its floors; `show` is what a watch does."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, KubeObject] = {}
        self.floors = Floors(self.objects.get, lambda: "10")

    def wrote(self, obj: KubeObject) -> None:
        self.floors.raised_by(Write(PODS, obj.key, obj.uid, int(obj.resource_version), obj=obj), covered=True)

    def show(self, obj: KubeObject) -> None:
        self.objects[obj.key] = obj
        self.floors.changed([obj.key])


def by_app(obj: KubeObject) -> list[str]:
    return [obj.labels["app"]] if "app" in obj.labels else []


def wait(gate: WriteGate[str], key: str) -> Coroutine[Any, Any, None]:
    awaitable = gate.before(key)
    assert asyncio.iscoroutine(awaitable)
    return awaitable


async def test_a_key_waits_for_what_its_own_reconcile_wrote_in_any_cache() -> None:
    one, two = Informer(), Informer()
    gate = WriteGate[str]("test")
    assert gate.before("key") is None
    with gate.recording("key"):
        one.wrote(pod("a", 12))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(lambda: None))
            group.create_task(_later(two, pod("b", 13)))
    assert gate.before("other") is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait(gate, "key"))
        await settled()
        one.show(pod("a", 12))
        await settled()
        assert not waiting.done()
        two.show(pod("b", 13))
    assert gate.before("key") is None
    assert (gate.waits, gate.given_up, len(gate)) == (1, 0, 0)


async def _later(informer: Informer, obj: KubeObject) -> None:
    await asyncio.sleep(0)
    informer.wrote(obj)


async def test_what_is_written_after_the_body_is_not_its() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    with gate.recording("key"):
        pass
    informer.wrote(pod("a", 12))
    assert gate.before("key") is None


async def test_a_key_waits_for_what_others_wrote_to_its_objects() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    gate.watch(informer, by_app)
    gate.watch(SimpleNamespace(), by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    informer.wrote(pod("b", 13))
    assert len(gate) == 1
    async with asyncio.TaskGroup() as group:
        group.create_task(wait(gate, "web"))
        await settled()
        informer.show(pod("a", 12))
    assert gate.before("web") is None


async def test_a_map_that_raises_holds_nobody_and_does_not_fail_the_write(caplog: pytest.LogCaptureFixture) -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    gate.watch(informer, lambda obj: [obj["spec"]["missing"]])
    gate.watch(informer, by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    assert len(gate) == 1
    wait(gate, "web").close()
    assert "controller test: default/a could not be mapped to keys" in caplog.text


async def test_a_key_that_waits_in_vain_goes_on_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    informer = Informer()
    gate = WriteGate[str]("test", timeout=3)
    with gate.recording("key"):
        informer.wrote(pod("a", 12))
    await wait(gate, "key")
    assert now() == 3
    assert (gate.waits, gate.given_up) == (1, 1)
    assert "controller test: reconcile of key goes on after 3 s" in caplog.text
    assert "default/a" in caplog.text
    assert gate.before("key") is None


async def test_a_floor_that_was_reached_meanwhile_holds_nobody() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    with gate.recording("key"):
        informer.wrote(pod("a", 12))
    informer.show(pod("a", 12))
    assert gate.before("key") is None
    assert gate.waits == 0


async def test_a_cancelled_wait_is_begun_anew() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    with gate.recording("key"):
        informer.wrote(pod("a", 12))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait(gate, "key"))
        await settled()
        waiting.cancel()
    async with asyncio.TaskGroup() as group:
        group.create_task(wait(gate, "key"))
        await settled()
        informer.show(pod("a", 12))
    assert len(gate) == 0


async def test_a_closed_gate_lets_everybody_through_and_hears_nothing() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    gate.watch(informer, by_app)
    informer.wrote(pod("a", 12, labels={"app": "web"}))
    async with asyncio.TaskGroup() as group:
        group.create_task(wait(gate, "web"))
        await settled()
        gate.close()
    informer.wrote(pod("a", 13, labels={"app": "web"}))
    assert gate.before("web") is None
    informer.show(pod("a", 13))


async def test_a_stopped_informer_holds_nobody() -> None:
    informer = Informer()
    gate = WriteGate[str]("test")
    with gate.recording("key"):
        informer.wrote(pod("a", 12))
    informer.floors.close()
    assert gate.before("key") is None


async def test_no_time_to_wait_is_no_gate() -> None:
    informer = Informer()
    gate = WriteGate[str]("test", timeout=0)
    gate.watch(informer, by_app)
    with gate.recording("key"):
        informer.wrote(pod("a", 12, labels={"app": "key"}))
    assert gate.before("key") is None
