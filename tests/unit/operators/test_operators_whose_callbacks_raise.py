"""Every callback of the event recorder and the elector, with every kind of exception: none ends them silently."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import EventRecorder, LeaderElector, LeadershipLostError
from kinformer.errors import AlreadyExistsError, NotFoundError
from kinformer.objects import KubeObject
from kinformer.resources import EVENTS, LEASES
from tests.failures import each_kind, foreign
from tests.sources import pod

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.looptime


class Events:
    """A client for Events that raises for an object."""

    def __init__(self, kind: str = "", verb: str = "") -> None:
        self.stored: list[str] = []
        self.raised = 0
        self._kind = kind
        self._verb = verb

    async def create(self, resource: Any, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        bad = obj["involvedObject"]["name"].startswith("bad")
        if bad and self._verb == "create":
            self.raised += 1
            raise foreign(self._kind)
        if bad and self._verb == "patch":
            raise AlreadyExistsError("there", status=409)
        self.stored.append(obj["involvedObject"]["name"])
        return KubeObject.from_dict(dict(obj), EVENTS)

    async def patch(self, resource: Any, name: str, patch: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        if self._verb == "patch":
            self.raised += 1
            raise foreign(self._kind)
        return KubeObject.from_dict({"metadata": {"name": name}}, EVENTS)


@each_kind
@pytest.mark.parametrize("verb", ["create", "patch"])
async def test_a_client_that_raises_ends_no_recorder(verb: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Events(kind, verb)
    async with EventRecorder(client, "web") as recorder:
        for number in range(3):
            recorder.normal(pod(f"bad-{number}", 1), "Created", "x")
            recorder.normal(pod(f"good-{number}", 1), "Created", "x")
        await asyncio.sleep(1000)
        assert set(client.stored) == {f"good-{number}" for number in range(3)}
        assert recorder.dropped == 3
    assert client.raised >= 3
    assert [record for record in caplog.records if record.levelno >= logging.WARNING]


@each_kind
async def test_a_clock_or_correlator_that_raises_does_not_fail_the_controller(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def clock() -> datetime:
        raise foreign(kind)

    class Correlator:
        def take(self, *_: Any, **__: Any) -> None:
            raise foreign(kind)

    client = Events()
    correlator: Any = Correlator()
    for settings in ({"wall_clock": clock}, {"correlator": correlator}):
        async with EventRecorder(client, "web", **settings) as recorder:
            recorder.normal(pod("a", 1), "Created", "x")
            assert recorder.dropped == 1
    assert "Events dropped" in caplog.text


@each_kind
async def test_a_source_of_randomness_that_raises_costs_one_event(kind: str) -> None:
    class Random(random.Random):
        def random(self) -> float:
            raise foreign(kind)

    client = Events("TimeoutError", "create")
    async with EventRecorder(client, "web", rng=Random()) as recorder:
        recorder.normal(pod("bad", 1), "Created", "x")
        recorder.normal(pod("good", 1), "Created", "x")
        await asyncio.sleep(100)
        assert client.stored == ["good"]
        assert recorder.dropped == 1


async def test_a_recorder_whose_writer_ends_by_a_defect_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    recorder = EventRecorder(Events(), "web", wall_clock=lambda: datetime.now(UTC))

    async def broken() -> None:
        raise OSError("a defect")

    recorder._write_all = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="a defect"):
        async with recorder:
            await asyncio.sleep(1)
            recorder.normal(pod("a", 1), "Created", "x")
            assert recorder.dropped == 1
    assert [record for record in caplog.records if record.levelno == logging.CRITICAL]


class Leases:
    """A client for one Lease of which a verb raises from some moment on."""

    def __init__(self, kind: str, verb: str, *, after: float) -> None:
        self.lease: dict[str, Any] | None = None
        self.raised = 0
        self._kind = kind
        self._verb = verb
        self._after = after

    def _fail(self, verb: str) -> None:
        if verb == self._verb and asyncio.get_running_loop().time() >= self._after:
            self.raised += 1
            raise foreign(self._kind)

    async def get(self, resource: Any, name: str, /, *, namespace: str) -> KubeObject:
        self._fail("get")
        if self.lease is None:
            raise NotFoundError("none", status=404)
        return KubeObject.from_dict(self.lease, LEASES)

    async def create(self, resource: Any, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        return await self.replace(resource, obj, namespace=namespace)

    async def replace(self, resource: Any, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        self._fail("replace")
        version = int(obj["metadata"].get("resourceVersion", 0)) + 1
        self.lease = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
        return KubeObject.from_dict(self.lease, LEASES)


@each_kind
async def test_a_renewal_that_raises_ends_the_term_and_cancels_the_body(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Leases(kind, "replace", after=5)
    elector = LeaderElector(client, "op", namespace="ops")
    with pytest.raises(LeadershipLostError):
        async with asyncio.timeout(60), elector as leadership:
            await leadership.lost()
            await asyncio.sleep(1000)
    assert client.raised
    assert not elector.is_leader
    assert "no longer leads ops/op" in caplog.text
    assert asyncio.all_tasks() == {asyncio.current_task()}


@each_kind
async def test_a_lease_that_cannot_be_given_back_does_not_hide_the_result_of_the_body(kind: str) -> None:
    client = Leases(kind, "get", after=5)
    with pytest.raises(KeyError, match="of the body"):
        async with LeaderElector(client, "op", namespace="ops"):
            await asyncio.sleep(7)
            raise KeyError("of the body")
    assert client.raised


@each_kind
async def test_a_listener_for_new_leaders_that_raises_ends_nothing(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def told(_: str) -> None:
        raise foreign(kind)

    client = Leases(kind, "", after=0)
    async with LeaderElector(client, "op", namespace="ops", on_new_leader=told) as leadership:
        await asyncio.sleep(30)
        assert leadership.is_leader
    assert "on_new_leader of ops/op failed" in caplog.text


@each_kind
async def test_a_watch_of_the_lease_that_raises_only_makes_a_candidate_slower(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Watching(Leases):
        def list_watch(self, resource: Any, /, *, namespace: str, field_selector: str) -> Any:
            raise foreign(kind)

    client = Watching(kind, "", after=0)
    async with LeaderElector(client, "op", namespace="ops", identity="one", release=False):
        pass
    async with LeaderElector(client, "op", namespace="ops", identity="two") as leadership:
        assert leadership.is_leader
    assert "the lease ops/op cannot be watched" in caplog.text
