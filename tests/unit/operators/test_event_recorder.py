"""Events: what becomes one, what is too many, and that nobody is hurt when they cannot be written; on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.errors import (
    AlreadyExistsError,
    AlreadyStartedError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    StoppedError,
    StreamBrokenError,
)
from kinformer.objects import KubeObject
from kinformer.operators._event_correlator import EventCorrelator, EventSeries, Subject
from kinformer.operators.event_recorder import EventRecorder
from kinformer.resources import EVENTS, NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.resources import Resource

virtual = pytest.mark.looptime
WALL = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEB = Subject("v1", "Pod", "default", "web", "u")


def pod(name: str = "web") -> KubeObject:
    return KubeObject.from_dict({"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"}}, PODS)


def take(
    correlator: EventCorrelator, message: str = "m", *, at: float = 0, reason: str = "Why", about: Subject = WEB
) -> EventSeries | None:
    return correlator.take(about, "Normal", reason, message, "", now=at, wall=WALL + timedelta(seconds=at))


# What becomes one, and what is too many.


def test_the_same_once_more_counts_one_up() -> None:
    correlator = EventCorrelator()
    first, again, other = take(correlator), take(correlator, at=5), take(correlator, "other")
    assert first is not None
    assert first is again
    assert (first.count, first.first, first.last) == (2, WALL, WALL + timedelta(seconds=5))
    assert other is not first
    assert other is not None
    assert other.name != first.name


def test_from_the_tenth_text_on_they_are_one() -> None:
    correlator = EventCorrelator()
    series = [take(correlator, f"node {i} is full", at=i) for i in range(12)]
    assert len({id(one) for one in series}) == 10
    last = series[-1]
    assert last is series[9]
    assert last is not None
    assert (last.count, last.message) == (3, "(combined from similar events): node 11 is full")
    another = take(correlator, "node 12 is full", reason="Other", at=12)
    assert another is not None
    assert another.count == 1
    # Ten quiet minutes later they are told apart again.
    apart = take(correlator, "node 13 is full", at=12 + 601)
    assert apart is not None
    assert apart.message == "node 13 is full"


def test_twenty_five_at_once_and_then_one_each_five_minutes() -> None:
    correlator = EventCorrelator()
    taken = [take(correlator, at=0) is not None for _ in range(40)]
    assert taken == [True] * 25 + [False] * 15
    assert take(correlator, about=WEB._replace(name="other")) is not None
    assert take(correlator, at=299) is None
    later = take(correlator, at=300)
    assert later is not None
    # What was dropped was counted.
    assert later.count == 42
    assert take(correlator, at=300) is None
    # It never fills above what it began with.
    assert sum(take(correlator, at=1e6) is not None for _ in range(40)) == 25


def test_only_so_much_is_remembered() -> None:
    correlator = EventCorrelator()
    first = take(correlator)
    for i in range(2 * 4096):
        take(correlator, about=WEB._replace(name=f"pod-{i}"))
    anew = take(correlator)
    assert anew is not first
    assert anew is not None
    assert anew.count == 1


@given(st.lists(st.tuples(st.floats(0, 400), st.sampled_from("abcdefghijklmnop")), max_size=120))
def test_never_more_than_burst_and_rate_allow_and_each_is_counted_once(steps: list[tuple[float, str]]) -> None:
    correlator = EventCorrelator(burst=5, refill=100)
    at = 0.0
    written: dict[int, EventSeries] = {}
    taken = 0
    for pause, message in steps:
        at += pause
        series = take(correlator, message, at=at)
        if series is not None:
            taken += 1
            written[id(series)] = series
    assert taken <= 5 + at / 100 + 1e-6
    assert taken <= sum(series.count for series in written.values()) <= len(steps)


@pytest.mark.parametrize("name", ["web", "x" * 253, "a" * 230 + "." * 10 + "b"])
def test_names_are_such_that_the_api_takes_them(name: str) -> None:
    series = take(EventCorrelator(), about=WEB._replace(name=name))
    assert series is not None
    assert len(series.name) <= 253
    assert ".." not in series.name.removeprefix(name)
    assert series.name.startswith(name[:200])


# Writing them.


class Server:
    """Keeps Events. `answer` is called with each request, and may raise, or return what to wait for."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[float, str]] = []
        self.answer: Callable[[str], float | None] = lambda verb: None

    async def _pass(self, verb: str) -> None:
        self.requests.append((asyncio.get_running_loop().time(), verb))
        pause = self.answer(verb)
        if pause is not None:
            await (asyncio.Event().wait() if pause == math.inf else asyncio.sleep(pause))

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        assert resource is EVENTS
        assert obj["metadata"]["namespace"] == namespace
        await self._pass("create")
        name = obj["metadata"]["name"]
        if name in self.events:
            raise AlreadyExistsError("there is one", status=409)
        self.events[name] = dict(obj)
        return KubeObject.from_dict(obj, resource)

    async def patch(self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        await self._pass("patch")
        if name not in self.events:
            raise NotFoundError("expired", status=404)
        self.events[name] |= patch
        return KubeObject.from_dict(self.events[name], resource)

    @property
    def only(self) -> dict[str, Any]:
        (event,) = self.events.values()
        return event


@pytest.fixture
def server() -> Server:
    return Server()


def recorder(server: Server, **options: Any) -> EventRecorder:
    return EventRecorder(server, "op", instance="op-0", wall_clock=lambda: WALL, rng=random.Random(1), **options)


@virtual
async def test_an_event_is_written_and_counted_up(server: Server) -> None:
    async with recorder(server) as events:
        events.warning(pod(), "Failed", "no room", action="Binding")
        await asyncio.sleep(1)
        (name,) = server.events
        assert name.startswith("web.")
        assert server.only == {
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": "default",
                "name": "web",
                "uid": "uid-web",
            },
            "type": "Warning",
            "reason": "Failed",
            "message": "no room",
            "action": "Binding",
            "source": {"component": "op", "host": "op-0"},
            "reportingComponent": "op",
            "reportingInstance": "op-0",
            "firstTimestamp": "2026-11-23T12:00:00Z",
            "lastTimestamp": "2026-11-23T12:00:00Z",
            "count": 1,
        }
        events.warning(pod(), "Failed", "no room", action="Binding")
    assert server.only["count"] == 2
    assert [verb for _, verb in server.requests] == ["create", "patch"]
    assert events.dropped == 0


@virtual
async def test_events_about_cluster_scoped_objects_are_kept_in_default(server: Server) -> None:
    async with recorder(server) as events:
        events.normal(KubeObject.from_dict({"metadata": {"name": "n1"}}, NODES), "Seen", "it is there")
    assert server.only["metadata"]["namespace"] == "default"
    assert server.only["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n1"}


@virtual
async def test_what_repeats_while_it_waits_is_one_request(server: Server) -> None:
    events = recorder(server)
    for _ in range(20):
        events.normal(pod(), "Seen", "again")
    async with events:
        pass
    assert server.only["count"] == 20
    assert len(server.requests) == 1


@virtual
async def test_an_event_the_server_forgot_is_written_anew(server: Server) -> None:
    async with recorder(server) as events:
        events.normal(pod(), "Seen", "x")
        await asyncio.sleep(1)
        server.events.clear()
        events.normal(pod(), "Seen", "x")
    assert server.only["count"] == 2


@virtual
async def test_an_event_whose_answer_was_lost_is_not_written_twice(server: Server) -> None:
    lost = iter([True])

    async with recorder(server) as events:
        create = server.create

        async def cut(resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
            made = await create(resource, obj, namespace=namespace)
            if next(lost, False):
                raise StreamBrokenError("cut")
            return made

        server.create = cut  # type: ignore[method-assign]  # the answer is lost, not the request
        events.normal(pod(), "Seen", "x")
        await asyncio.sleep(20)
        events.normal(pod(), "Seen", "x")
    assert server.only["count"] == 2


@virtual
async def test_it_is_tried_twelve_times_and_then_the_next_one_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def down(verb: str) -> None:
        raise ServerError("down", status=500)

    server.answer = down
    async with recorder(server) as events:
        events.normal(pod(), "Seen", "x")
        events.normal(pod("other"), "Seen", "y")
        await asyncio.sleep(102)
        server.answer = lambda verb: None
        await asyncio.sleep(100)
    times = [time for time, _ in server.requests]
    assert len(times) == 12 + 2
    assert 0 < times[1] < 10
    assert [round(b - a, 6) for a, b in itertools.pairwise(times[1:12])] == [10] * 10
    assert server.only["involvedObject"]["name"] == "other"
    assert events.dropped == 1
    assert "op: 1 Events dropped: down (500)" in caplog.text


@virtual
@pytest.mark.parametrize(
    "error", [ForbiddenError("no", status=403), StoppedError("closed"), ZeroDivisionError()], ids=str
)
async def test_what_is_refused_is_not_tried_again_and_hurts_nobody(server: Server, error: Exception) -> None:
    def refuse(verb: str) -> None:
        raise error

    server.answer = refuse
    async with recorder(server) as events:
        events.normal(pod(), "Seen", "x")
        await asyncio.sleep(60)
        server.answer = lambda verb: None
        events.normal(pod(), "Seen", "x")
    assert len(server.requests) == 2
    assert events.dropped == 1
    assert server.only["count"] == 2


@virtual
async def test_nothing_that_is_recorded_raises_or_waits(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answer = lambda verb: math.inf
    async with recorder(server, drain=0) as events:
        for i in range(1100):
            events.normal(pod(f"p{i}"), "Seen", "x")
            if i == 0:
                await asyncio.sleep(0.01)
        events.normal({}, "Seen", "about nothing")
        events.normal(None, "Seen", "about nothing")  # type: ignore[arg-type]  # what a caller may get wrong
        assert events.dropped == 99 + 2
    assert events.dropped == 1100 + 2
    events.normal(pod(), "Seen", "too late")
    assert events.dropped == 1103
    assert "1000 are waiting" in caplog.text
    assert "the recorder is closed" in caplog.text


def test_recording_outside_of_a_loop_raises_nothing(server: Server) -> None:
    events = recorder(server)
    events.normal(pod(), "Seen", "x")
    assert events.dropped == 1


@virtual
async def test_leaving_takes_no_longer_than_it_may(server: Server) -> None:
    server.answer = lambda verb: math.inf
    with anyio.CancelScope() as scope:
        async with recorder(server, drain=3) as events:
            events.normal(pod(), "Seen", "x")
            scope.cancel()
    assert asyncio.get_running_loop().time() == 3
    assert events.dropped == 1
    with contextlib.suppress(TimeoutError):
        server.answer = lambda verb: 1
        async with asyncio.timeout(1), recorder(server) as events:
            events.normal(pod("late"), "Seen", "x")
            await asyncio.sleep(60)
    assert events.dropped == 0
    assert server.only["involvedObject"]["name"] == "late"


@virtual
async def test_it_is_entered_once(server: Server) -> None:
    events = recorder(server)
    async with events:
        pass
    with pytest.raises(AlreadyStartedError):
        await events.__aenter__()


@virtual
async def test_too_many_are_dropped_quietly(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with recorder(server) as events:
            for _ in range(30):
                events.normal(pod(), "Seen", "x")
    assert events.dropped == 5
    assert caplog.text == ""


@pytest.mark.parametrize("wrong", [{"component": ""}, {"drain": -1}, {"drain": math.nan}], ids=str)
def test_what_makes_no_sense_is_refused(server: Server, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        EventRecorder(server, **{"component": "op", **wrong})
