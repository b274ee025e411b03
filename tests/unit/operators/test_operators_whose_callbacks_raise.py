"""Every callback of the event recorder and the elector, with every kind of exception: none ends them silently."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import EventRecorder
from kinformer.errors import AlreadyExistsError
from kinformer.objects import KubeObject
from kinformer.resources import EVENTS
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
