"""Replicas that stand for leader in front of a Lease in memory, whose requests are delayed, lost and refused; on
virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.errors import (
    AlreadyExistsError,
    AlreadyStartedError,
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    StoppedError,
    StreamBrokenError,
)
from kinformer.listwatch import Delta, DeltaType, WatchBatch
from kinformer.objects import KubeObject
from kinformer.operators import _lease_keeper
from kinformer.operators.leader_election import LeaderElector, LeadershipLostError
from kinformer.resources import LEASES
from tests.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from kinformer.operators.leader_election import Leadership
    from kinformer.resources import Resource

virtual = pytest.mark.looptime


class Leases:
    """The Lease, as the server stores it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.watching: set[asyncio.Event] = set()

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    def store(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        if self.lease is None or self.lease["spec"] != manifest["spec"]:
            self.version += 1
            head = {**manifest["metadata"], "resourceVersion": str(self.version)}
            self.lease = {"metadata": head, "spec": dict(manifest["spec"])}
            self.tell()
        return self.lease

    def delete(self) -> None:
        self.version += 1
        self.lease = None
        self.tell()

    def tell(self) -> None:
        for change in self.watching:
            change.set()


class Line:
    """One replica's client. `faults` are used up one a request; then `then` is asked for ever.

    A fault is seconds before the request arrives and seconds until the answer is back, the exception that
    comes instead of the answer, and whether the request itself was lost.
    """

    def __init__(self, leases: Leases, *, then: Callable[[], Any] = lambda: None) -> None:
        self.leases = leases
        self.faults: list[Any] = []
        self.then = then
        self.sent: list[tuple[float, str]] = []

    async def _pass(self, verb: str, resource: Resource, do: Callable[[], dict[str, Any]]) -> KubeObject:
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), verb))
        fault = self.faults.pop(0) if self.faults else self.then()
        there, back, error, lost = (0.0, 0.0, None, False) if fault is None else fault
        outcome: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            """What was sent arrives, also when nobody waits for the answer any more."""
            result: Any = error
            if not lost:
                try:
                    result = do()
                except ApiError as refusal:
                    result = refusal
            if not outcome.done():
                outcome.set_result(result)

        if there == 0:
            arrive()
        elif there < math.inf:
            loop.call_later(there, arrive)
        result = await outcome
        if back:
            await asyncio.sleep(back)
        if error is not None:
            raise error
        if isinstance(result, Exception):
            raise result
        return KubeObject.from_dict(result, resource)

    async def get(self, resource: Resource, name: str, /, *, namespace: str) -> KubeObject:
        def do() -> dict[str, Any]:
            if self.leases.lease is None:
                raise NotFoundError("no such lease", status=404)
            return self.leases.lease

        return await self._pass("get", resource, do)

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        def do() -> dict[str, Any]:
            if self.leases.lease is not None:
                raise AlreadyExistsError("there is one", status=409)
            return self.leases.store(obj)

        return await self._pass("create", resource, do)

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        version = obj["metadata"]["resourceVersion"]

        def do() -> dict[str, Any]:
            if self.leases.lease is None:
                raise NotFoundError("no such lease", status=404)
            if self.leases.lease["metadata"]["resourceVersion"] != version:
                raise ConflictError("changed", status=409)
            return self.leases.store(obj)

        return await self._pass("replace", resource, do)


class WatchingLine(Line):
    """A client that can watch, too: renewals come after `delay` seconds, unless the watch is `silent`."""

    def __init__(
        self,
        leases: Leases,
        *,
        then: Callable[[], Any] = lambda: None,
        delay: float = 0.01,
        silent: bool = False,
    ) -> None:
        super().__init__(leases, then=then)
        self.delay = delay
        self.silent = silent
        self.refusals: list[Exception] = []
        self.watches: list[tuple[float, str]] = []

    def list_watch(self, resource: Resource, /, *, namespace: str, field_selector: str) -> WatchingLine:
        assert (namespace, field_selector) == ("ops", "metadata.name=op")
        return self

    @contextlib.asynccontextmanager
    async def watch(self, *, resource_version: str, timeout_seconds: int) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        self.watches.append((now(), resource_version))
        if self.refusals:
            raise self.refusals.pop(0)

        async def batches() -> AsyncIterator[WatchBatch]:
            seen = int(resource_version)
            while True:
                change.clear()
                if self.silent or self.leases.version == seen:
                    await change.wait()
                    continue
                lease, seen = self.leases.lease, self.leases.version
                await asyncio.sleep(self.delay)
                kind, manifest = DeltaType.UPDATED, lease
                if manifest is None:
                    head = {"name": "op", "namespace": "ops", "resourceVersion": str(seen)}
                    kind, manifest = DeltaType.DELETED, {"metadata": head}
                manifest = {**manifest, "metadata": {"name": "op", **manifest["metadata"]}}
                yield WatchBatch([Delta(kind, KubeObject.from_dict(manifest, LEASES))], str(seen))

        change = asyncio.Event()
        self.leases.watching.add(change)
        try:
            async with asyncio.timeout(timeout_seconds):
                yield batches()
        except TimeoutError:
            pass
        finally:
            self.leases.watching.discard(change)


def refused(error: Exception, *, after: float = 0.0, arrived: bool = False) -> tuple[float, float, Exception, bool]:
    return (after, 0.0, error, not arrived)


def silence() -> tuple[float, float, None, bool]:
    return (math.inf, 0.0, None, False)


def elector(line: Line, identity: str = "a", **options: Any) -> LeaderElector:
    return LeaderElector(line, "op", namespace="ops", identity=identity, rng=random.Random(1), **options)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def line(leases: Leases) -> AsyncIterator[Line]:
    yield Line(leases)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, left


@virtual
async def test_the_first_leads_at_once_renews_every_two_seconds_and_releases(leases: Leases, line: Line) -> None:
    a = elector(line)
    assert not a.is_leader
    async with a as leadership:
        assert now() == 0
        assert a.is_leader
        assert leadership.is_leader
        assert leases.spec["holderIdentity"] == "a"
        assert leases.spec["leaseDurationSeconds"] == 15
        await asyncio.sleep(7)
        assert leadership.remaining == 9
        leadership.check()
    assert line.sent == [
        (0, "get"),
        (0, "create"),
        (2, "replace"),
        (4, "replace"),
        (6, "replace"),
        *[(7, "get")],
        (7, "replace"),
    ]
    assert leases.spec["holderIdentity"] == ""
    assert leases.spec["leaseDurationSeconds"] == 1
    assert not leadership.is_leader
    assert leadership.remaining == 0
    with pytest.raises(LeadershipLostError):
        leadership.check()
    await leadership.lost()


@virtual
async def test_who_waits_leads_as_soon_as_the_lease_is_released(leases: Leases, line: Line) -> None:
    async with asyncio.TaskGroup() as group:

        async def first() -> None:
            async with elector(line):
                await asyncio.sleep(20)

        async def second() -> None:
            await asyncio.sleep(1)
            async with elector(Line(leases), "b") as leadership:
                assert 20 < now() <= 20 + 2.2 * 2
                assert leadership.transitions == 1

        group.create_task(first())
        group.create_task(second())


@virtual
async def test_after_a_crash_the_lease_is_taken_a_lease_after_its_last_renewal_was_seen(
    leases: Leases, line: Line
) -> None:
    async def crash() -> None:
        async with elector(line, release=False):
            await asyncio.sleep(11)

    async with asyncio.TaskGroup() as group:
        group.create_task(crash())
        await asyncio.sleep(1)
        other = Line(leases)
        async with elector(other, "b", release=False):
            # The last renewal was at 10; it was seen with the next look.
            seen = next(at for at, _ in other.sent if at > 10)
            assert seen <= 10 + 2.2 * 2
            assert now() == pytest.approx(seen + 15, abs=0.01)


async def crash_at(leases: Leases, seconds: float) -> None:
    async with elector(Line(leases), release=False):
        await asyncio.sleep(seconds)


@virtual
async def test_who_watches_follows_a_crashed_leader_one_lease_after_the_last_renewal(leases: Leases) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 11))
        await asyncio.sleep(1)
        other = WatchingLine(leases)
        async with elector(other, "b", release=False):
            assert now() == pytest.approx(10 + 15, abs=0.02)
    # As long as the watch told of renewals, it spared the looks.
    assert [at for at, _ in other.sent if at <= 12] == [1]
    assert other.watches == [(1, "1")]


@virtual
async def test_who_watches_leads_at_once_when_the_lease_is_given_back(leases: Leases, line: Line) -> None:
    async def first() -> None:
        async with elector(line):
            await asyncio.sleep(20.5)

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await asyncio.sleep(1)
        async with elector(WatchingLine(leases), "b", release=False):
            assert now() == pytest.approx(20.5, abs=0.02)


@virtual
async def test_a_watch_that_says_nothing_costs_time_and_nothing_else(leases: Leases) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 11))
        await asyncio.sleep(1)
        async with elector(WatchingLine(leases, silent=True), "b", release=False):
            assert 25 < now() <= 25 + 2.2 * 2 + 0.01


@virtual
async def test_renewals_that_are_heard_of_late_let_their_holder_be(leases: Leases) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 11))
        await asyncio.sleep(1)
        async with elector(WatchingLine(leases, delay=1.5), "b", release=False):
            assert now() == pytest.approx(10 + 1.5 + 15, abs=0.02)


@virtual
async def test_a_watch_that_is_forbidden_is_not_tried_again(leases: Leases, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    other = WatchingLine(leases)
    other.refusals = [ForbiddenError("no", status=403)]
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 11))
        await asyncio.sleep(1)
        async with elector(other, "b", release=False):
            assert 25 < now() <= 25 + 2.2 * 2 + 0.01
    assert len(other.watches) == 1
    assert "the lease ops/op cannot be watched" in caplog.text


@virtual
async def test_a_client_that_cannot_watch_after_all_does_not_end_the_wait(
    leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    other = WatchingLine(leases)
    other.refusals = [ZeroDivisionError()]
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 3))
        await asyncio.sleep(1)
        async with elector(other, "b", release=False):
            assert leases.spec["holderIdentity"] == "b"
    assert len(other.watches) == 1
    assert "cannot be watched" in caplog.text


@virtual
async def test_a_watch_that_breaks_is_opened_again_where_the_lease_is(leases: Leases) -> None:
    other = WatchingLine(leases)
    other.refusals = [StreamBrokenError("cut"), ApiError("too old", status=410)]
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 31))
        await asyncio.sleep(1)
        async with elector(other, "b", release=False):
            assert now() == pytest.approx(30 + 15, abs=0.02)
    assert len(other.watches) == 3
    assert all(later - earlier >= 2 for (earlier, _), (later, _) in itertools.pairwise(other.watches))


@virtual
async def test_a_lease_that_is_deleted_is_heard_of_and_taken_when_it_would_have_run_out(leases: Leases) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(crash_at(leases, 11))
        await asyncio.sleep(1)
        asyncio.get_running_loop().call_at(12, leases.delete)
        async with elector(WatchingLine(leases), "b", release=False):
            assert now() == pytest.approx(10 + 15, abs=0.02)


@virtual
async def test_an_elector_that_was_left_does_not_believe_when_it_is_entered_again(leases: Leases, line: Line) -> None:
    e = elector(line)
    async with e:
        await asyncio.sleep(1)
    line.faults = [refused(ServerError("down", status=500))] * 2
    async with e:
        assert now() > 1 + 2 * 2
        assert leases.spec["holderIdentity"] == "a"


@virtual
async def test_the_body_is_cancelled_at_the_deadline_and_nobody_leads_before_the_lease_ends(
    leases: Leases, line: Line
) -> None:
    ended = []
    with pytest.raises(LeadershipLostError, match=r"ops/op is lost: it was not renewed within 10 s: down") as caught:
        async with elector(line) as leadership:
            line.then = lambda: refused(ServerError("down", status=500))
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(now())
                assert not leadership.is_leader
    assert ended == [10]
    assert isinstance(caught.value.__cause__, ServerError)
    assert caught.value.lease == "ops/op"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    # Nothing was given back, for it was ours no more.
    assert leases.spec["holderIdentity"] == "a"
    await asyncio.sleep(1)


@virtual
@pytest.mark.parametrize("times", [1, 3])
async def test_failures_before_the_deadline_cost_nothing(leases: Leases, line: Line, times: int) -> None:
    async with elector(line) as leadership:
        line.faults = [refused(ServerError("down", status=503))] * times
        await asyncio.sleep(30)
        assert leadership.is_leader
    assert leases.spec["holderIdentity"] == ""


@virtual
async def test_requests_that_are_never_answered_are_given_up_and_tried_again(line: Line) -> None:
    async with elector(line) as leadership:
        await asyncio.sleep(1)
        line.faults = [silence()]
        await asyncio.sleep(7)
        # Sent at 2 and given up at 7; the next one went out at once, and was answered.
        assert leadership.remaining == 9
        line.then = silence
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)
        assert now() == 17
        task = asyncio.current_task()
        assert task is not None
    # The body swallowed the cancellation and ended by itself, and so nothing is raised.
    assert task.cancelling() == 0
    line.then = lambda: None
    await asyncio.sleep(1)


@virtual
async def test_a_renewal_that_was_done_but_not_answered_is_no_loss(line: Line) -> None:
    async with elector(line) as leadership:
        line.faults = [refused(StreamBrokenError("cut"), arrived=True)]
        await asyncio.sleep(5)
        assert leadership.remaining == 9
        verbs = [verb for _, verb in line.sent]
        # The lost one; the next conflicts with it, which a look clears up.
        assert verbs[2:] == ["replace", "replace", "get", "replace"]


@virtual
async def test_slow_answers_count_from_when_the_question_was_sent(line: Line) -> None:
    async with elector(line) as leadership:
        line.then = lambda: (0.5, 4.0, None, False)
        await asyncio.sleep(6.6)
        # Sent at 2, answered at 6.5.
        assert leadership.remaining == pytest.approx(5.4)
        await asyncio.sleep(100)
        line.then = lambda: None


@virtual
async def test_seeing_another_holder_ends_it_at_once(leases: Leases, line: Line) -> None:
    with pytest.raises(LeadershipLostError, match="usurper has it"):
        async with elector(line):
            leases.store({"metadata": {"name": "op"}, "spec": {**leases.spec, "holderIdentity": "usurper"}})
            await asyncio.sleep(60)
    assert now() == 2
    assert leases.spec["holderIdentity"] == "usurper"


@virtual
async def test_a_change_that_is_not_about_the_holder_costs_one_more_request(leases: Leases, line: Line) -> None:
    async with elector(line):
        assert leases.lease is not None
        leases.version += 1
        leases.lease["metadata"] |= {"resourceVersion": str(leases.version), "annotations": {"by": "kubectl"}}
        await asyncio.sleep(3)
    assert [verb for _, verb in line.sent[2:5]] == ["replace", "get", "replace"]
    assert leases.lease["metadata"]["annotations"] == {"by": "kubectl"}


@virtual
async def test_a_lease_that_was_deleted_is_written_anew(leases: Leases, line: Line) -> None:
    async with elector(line) as leadership:
        leases.lease = None
        await asyncio.sleep(3)
        assert leadership.is_leader
    assert [verb for _, verb in line.sent[2:5]] == ["replace", "get", "create"]


@virtual
async def test_told_instead_of_cancelled(line: Line) -> None:
    async with elector(line, on_loss="tell") as leadership:
        line.then = lambda: refused(ServerError("down", status=500))
        await leadership.lost()
        assert now() == 10
        assert not leadership.is_leader
        await asyncio.sleep(1)


@virtual
async def test_what_the_body_raises_comes_out_and_the_lease_is_released(leases: Leases, line: Line) -> None:
    with pytest.raises(ZeroDivisionError):
        async with elector(line):
            raise ZeroDivisionError
    assert leases.spec["holderIdentity"] == ""


@virtual
async def test_a_cancelled_body_releases_too(leases: Leases, line: Line) -> None:
    line.then = lambda: (0.1, 0.1, None, False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5), elector(line):
            await asyncio.sleep(60)
    assert leases.spec["holderIdentity"] == ""
    with anyio.move_on_after(5) as scope:
        async with elector(line):
            await asyncio.sleep(60)
    assert scope.cancelled_caught
    assert leases.spec["holderIdentity"] == ""


@virtual
async def test_a_cancellation_from_outside_at_the_same_moment_is_not_taken_for_ours(line: Line) -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        async with elector(line) as leadership:
            leadership._term.lose("as it happens")
            task.cancel()
            await asyncio.sleep(60)
    assert task.uncancel() == 0
    with pytest.raises(asyncio.CancelledError):
        async with elector(line, "b") as leadership:
            leadership._term.lose("as it happens")
            task.cancel()
    assert task.uncancel() == 0
    await asyncio.sleep(1)


@virtual
async def test_a_body_that_ends_at_the_moment_of_loss_leaves_no_cancellation_behind(line: Line) -> None:
    e = elector(line)
    async with e as leadership:
        leadership._term.lose("as it happens")
    await asyncio.sleep(1)
    with pytest.raises(ZeroDivisionError):
        async with e as leadership:
            leadership._term.lose("as it happens")
            raise ZeroDivisionError
    await asyncio.sleep(1)


@virtual
async def test_a_group_in_the_body_is_cancelled_with_its_tasks(line: Line) -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(now())

    with pytest.raises(LeadershipLostError):
        async with elector(line), asyncio.TaskGroup() as group:
            group.create_task(work())
            line.then = lambda: refused(ServerError("down", status=500))
    with pytest.raises(LeadershipLostError):
        line.then = lambda: None
        async with elector(line), anyio.create_task_group() as scope:
            scope.start_soon(work)
            line.then = lambda: refused(ServerError("down", status=500))
    assert ended == [10, 20]


@virtual
async def test_run_stands_again_after_a_loss(leases: Leases, line: Line) -> None:
    terms = []

    async def lead(leadership: Leadership) -> str:
        terms.append(now())
        if len(terms) == 3:
            return "done"
        line.faults = [refused(ServerError("down", status=500))] * 6
        await asyncio.sleep(100)
        return "never"

    assert await elector(line).run(lead) == "done"
    assert terms[0] == 0
    assert all(10 <= b - a <= 10 + 3 * 4.4 for a, b in itertools.pairwise(terms))
    assert leases.spec["holderIdentity"] == ""
    terms.clear()
    with pytest.raises(LeadershipLostError):
        await elector(line, "b").run(lead, recontest=False)


@virtual
async def test_the_release_is_tried_again_but_not_for_ever(
    leases: Leases, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    async with elector(line):
        line.faults = [refused(ServerError("down", status=500)), refused(ConflictError("changed", status=409))]
    assert leases.spec["holderIdentity"] == ""
    assert now() == pytest.approx(0.4)
    async with elector(line):
        line.then = silence
    assert now() == pytest.approx(5.4)
    assert leases.spec["holderIdentity"] == "a"
    assert "could not give ops/op back; it runs out" in caplog.text
    line.then = lambda: None


@virtual
async def test_a_closed_client_ends_it(line: Line) -> None:
    line.then = lambda: refused(StoppedError("this client is closed"))
    with pytest.raises(StoppedError):
        async with elector(line):
            pytest.fail("nobody can lead without a client")
    line.then = lambda: None
    with pytest.raises(LeadershipLostError) as caught:
        async with elector(line):
            line.then = lambda: refused(StoppedError("this client is closed"))
            await asyncio.sleep(60)
    assert now() == 2
    assert isinstance(caught.value.__cause__, StoppedError)


@virtual
async def test_what_fails_while_waiting_is_logged_once_and_shown(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.then = lambda: refused(ForbiddenError("leases are not for you", status=403))
    e = elector(line)
    with caplog.at_level(logging.WARNING), pytest.raises(TimeoutError):
        async with asyncio.timeout(60), e:
            pytest.fail("nobody can lead without rights")
    assert isinstance(e.last_error, ForbiddenError)
    assert len(caplog.records) == 1
    assert "leases are not for you" in caplog.text
    pauses = [b - a for (a, _), (b, _) in itertools.pairwise(line.sent)]
    assert all(2 <= pause <= 2.2 * 2 for pause in pauses)
    assert len(set(pauses)) > 5
    line.then = lambda: None
    async with e:
        assert e.last_error is None


@virtual
async def test_one_elector_stands_once_at_a_time(line: Line) -> None:
    e = elector(line)
    async with e:
        with pytest.raises(AlreadyStartedError, match="make two electors"):
            await e.__aenter__()
        assert e.is_leader
    async with e as again:
        assert again.is_leader


@virtual
async def test_new_leaders_are_told_and_a_failing_callback_changes_nothing(
    leases: Leases, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    told: list[str] = []

    def raises(who: str) -> None:
        told.append(who)
        raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:

        async def first() -> None:
            async with elector(line, on_new_leader=raises):
                await asyncio.sleep(10)

        group.create_task(first())
        await asyncio.sleep(1)
        b = elector(Line(leases), "b", on_new_leader=seen.append)
        async with b:
            assert b.leader == "b"
    assert seen == ["a", "b"]
    assert told == ["a"]
    assert "on_new_leader of ops/op failed" in caplog.text


@virtual
async def test_a_suspended_machine_leads_no_more_though_the_loops_clock_stood_still(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LeadershipLostError):
        async with elector(line) as leadership:
            await asyncio.sleep(1)
            assert leadership.is_leader
            monkeypatch.setattr(_lease_keeper, "seconds_suspended", lambda: 3600.0)
            # No time passes on the loop: this is the first line that runs after waking up.
            assert not leadership.is_leader
            with pytest.raises(LeadershipLostError):
                leadership.check()
            await asyncio.sleep(60)
    assert now() <= 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_duration": 10},
        {"lease_duration": 15.5},
        {"renew_deadline": 2.4},
        {"retry_period": 0},
        {"identity": ""},
        {"namespace": ""},
        {"on_loss": "shrug"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(leases: Leases, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        LeaderElector(Line(leases), "op", **{"namespace": "ops", **wrong})


def test_identities_differ_when_none_is_given(leases: Leases) -> None:
    one, two = (LeaderElector(Line(leases), "op", namespace="ops") for _ in range(2))
    assert one.identity != two.identity
    assert repr(one).endswith("rests>")


# Several at once, through every fault.

faults = st.one_of(
    st.none(),
    st.none(),
    st.builds(
        lambda there, back, error, lost: (there, back, error, lost and error is not None),
        st.sampled_from([0.0, 0.01, 2.0, 6.0, 20.0]),
        st.sampled_from([0.0, 0.01, 2.0, 4.9]),
        st.sampled_from(
            [
                None,
                None,
                None,
                ServerError("500", status=500),
                ConflictError("409", status=409),
                StreamBrokenError("cut"),
                NotFoundError("404 page not found", status=404),
            ]
        ),
        st.booleans(),
    ),
    st.builds(silence),
)


@settings(deadline=None, max_examples=60)
@given(
    plans=st.lists(st.lists(faults, min_size=1, max_size=10), min_size=2, max_size=3),
    outages=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 200), st.floats(1, 40)), max_size=4),
    seed=st.integers(0, 1000),
)
def test_the_bodies_of_two_replicas_never_run_at_once(
    plans: list[list[Any]], outages: list[tuple[int, float, float]], seed: int
) -> None:
    async def play() -> None:
        leases = Leases()
        rng = random.Random(seed)
        inside: list[str] = []
        electors: list[LeaderElector] = []

        async def replica(number: int, plan: list[Any]) -> None:
            turns = itertools.cycle(plan)
            cuts = [(at, at + length) for who, at, length in outages if who == number]

            def fault() -> Any:
                if any(start <= now() < end for start, end in cuts):
                    return refused(StreamBrokenError("cut"), after=0.1)
                return next(turns)

            e = LeaderElector(
                WatchingLine(leases, then=fault, delay=rng.choice([0.0, 0.01, 3.0, 20.0]), silent=rng.random() < 0.2)
                if rng.random() < 0.7
                else Line(leases, then=fault),
                "op",
                namespace="ops",
                identity=f"r{number}",
                rng=random.Random(rng.random()),
            )
            electors.append(e)

            async def lead(leadership: Leadership) -> None:
                assert [other for other in electors if other.is_leader] == [e]
                assert not inside, inside
                inside.append(e.identity)
                try:
                    await asyncio.sleep(rng.choice([7, 40, 1000]))
                finally:
                    inside.remove(e.identity)

            while True:
                await e.run(lead)
                await asyncio.sleep(rng.choice([0, 5, 30]))

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(300), asyncio.TaskGroup() as group:
                for number, plan in enumerate(plans):
                    group.create_task(replica(number, plan))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
