"""Controllers as they are run: beside others, as one of several replicas, drained, debounced and looked at."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from kinformer.controller import Controller
from kinformer.controller.reconcile import (
    ReconcileContext,
    ReconcileLogFilter,
    Requeue,
    TerminalError,
    current_reconcile,
)
from kinformer.controller.status import KeyFailure, in_a_line
from kinformer.errors import AlreadyStartedError, CacheSyncError
from kinformer.events import Added, Deleted, Updated
from kinformer.filters import generation_changed, labels_changed
from kinformer.informer import SharedInformer
from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators.leader_election import LeaderElector, LeadershipLostError
from kinformer.resources import PODS
from kinformer.workqueue import LOW_PRIORITY, Debounce, RateLimitingQueue
from kinformer.workqueue.rate_limiters import ItemExponential
from tests.unit.controller.test_controller import Bell, Gate, Memory, Recorder, add, by_hand, key, now, settle
from tests.unit.operators.test_leader_election import Leases, Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.events import Event


def pod(name: str, version: int = 1, **metadata: Any) -> KubeObject:
    head = {"name": name, "uid": name, "resourceVersion": str(version)}
    return KubeObject.from_dict({"metadata": head | metadata}, PODS)


def rung(name: str = "bell") -> Bell:
    bell = Bell(name)
    bell.filled.set()
    return bell


# --- filters that know the event -------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_a_combined_filter_admits_what_it_says_and_every_deletion() -> None:
    bell = rung()
    reconcile = Recorder()
    controller = Controller("test", reconcile).watches(bell, filter=generation_changed | labels_changed)
    async with controller:
        before, status_only = pod("a", 1, generation=1), pod("a", 2, generation=1)
        events: list[tuple[Event, bool]] = [
            (Added(before), True),
            (Updated(before, status_only), False),
            (Updated(status_only, pod("a", 3, generation=2)), True),
            (Updated(status_only, pod("a", 4, generation=1, labels={"app": "web"})), True),
            (Deleted(status_only, final_state_known=False), True),
        ]
        for event, admitted in events:
            reconcile.forget()
            bell.handlers[0](event)
            await settle()
            assert bool(reconcile.calls) is admitted, event


@pytest.mark.looptime
async def test_a_watch_may_have_a_priority_of_its_own() -> None:
    bell = rung()
    taken = []

    async def reconcile(key: ObjectKey) -> None:
        taken.append((key.name, controller.queue.priority(key)))

    controller = (
        Controller("test", reconcile, workers=1).watches(bell).watches(bell, priority=5, map=lambda obj: named(obj))
    )

    def named(obj: KubeObject) -> ObjectKey:
        return ObjectKey("", f"{obj.name}-urgent")

    async with controller:
        for handler in bell.handlers:
            handler(Added(pod("a"), initial=True))
        await settle()
    assert taken == [("a-urgent", 5), ("a", LOW_PRIORITY)]


# --- debouncing ------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_events_that_come_close_together_are_one_reconcile_when_they_have_calmed_down() -> None:
    bell = rung()
    reconcile = Recorder()
    async with Controller("test", reconcile, debounce=Debounce(quiet=1, max_wait=10)).watches(bell):
        for _ in range(5):
            bell.handlers[0](Added(pod("a")))
            await asyncio.sleep(0.5)
        bell.handlers[0](Added(pod("b")))
        await asyncio.sleep(20)
    assert reconcile.calls == [(3, ObjectKey("", "a")), (3.5, ObjectKey("", "b"))]


@pytest.mark.looptime
async def test_events_that_never_calm_down_are_waited_for_no_longer_than_the_limit() -> None:
    bell = rung()
    reconcile = Recorder()
    async with Controller("test", reconcile, debounce=Debounce(quiet=1, max_wait=4)).watches(bell):
        for _ in range(24):
            bell.handlers[0](Added(pod("a")))
            await asyncio.sleep(0.5)
        await asyncio.sleep(20)
    # The second wait begins with the first event after the first one has ended.
    assert reconcile.times == [4, 8, 12]


@pytest.mark.looptime
async def test_debouncing_puts_off_neither_retries_nor_what_is_added_by_hand() -> None:
    bell = rung()
    outcomes: list[Any] = [ValueError(), None]

    def act(key: ObjectKey) -> None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome

    reconcile = Recorder(act)
    queue = RateLimitingQueue[ObjectKey](ItemExponential(base=3, cap=3))
    async with Controller("test", reconcile, queue=queue, debounce=Debounce(quiet=5, max_wait=5)).watches(bell):
        queue.add(ObjectKey("", "a"))
        await settle()
        bell.handlers[0](Added(pod("a")))
        await asyncio.sleep(20)
    assert reconcile.times == [0, 3, 5.001]


@pytest.mark.looptime
async def test_a_debounced_key_has_the_highest_priority_of_its_events() -> None:
    queue: RateLimitingQueue[str] = RateLimitingQueue()
    debounce = Debounce(quiet=1, max_wait=10)
    for priority in (LOW_PRIORITY, 3, 0):
        queue.add_debounced("web", debounce, priority=priority)
    assert (queue.delayed, queue.due_within(0.5), queue.due_within(1)) == (1, 0, 1)
    assert await queue.get() == "web"
    assert (now(), queue.priority("web")) == (1, 3)
    queue.done("web")
    queue.add_debounced("web", debounce)
    assert await queue.get() == "web"
    assert (now(), queue.priority("web")) == (2, 0)


@pytest.mark.parametrize(("drain", "expected"), [(True, ["web"]), (False, [])])
@pytest.mark.looptime
async def test_what_is_debounced_when_the_controller_stops_is_drained_or_dropped(
    drain: bool, expected: list[str]
) -> None:
    bell = rung()
    reconcile = Recorder()
    controller = Controller("test", reconcile, drain=drain, debounce=Debounce(quiet=5, max_wait=5))
    async with controller.watches(bell):
        bell.handlers[0](Added(pod("web")))
        await settle()
    assert [key.name for key in reconcile.keys] == expected
    assert now() < 1
    late: RateLimitingQueue[str] = RateLimitingQueue()
    late.add_debounced("web", Debounce(1, 1))
    async with asyncio.TaskGroup() as group:
        group.create_task(late.shut_down(drain=True))
        await settle()
        late.add_debounced("too late", Debounce(1, 1))
        assert await late.get() == "web"
        late.done("web")


@pytest.mark.parametrize(("quiet", "max_wait"), [(0, 1), (2, 1), (-1, 1), (1, math.inf), (math.nan, 1)])
def test_a_debounce_that_makes_no_sense_is_refused(quiet: float, max_wait: float) -> None:
    with pytest.raises(ValueError, match=f"quiet={quiet}, max_wait={max_wait}"):
        Debounce(quiet, max_wait)


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_draining_works_off_what_is_queued_and_hears_of_nothing_new() -> None:
    bell = rung()
    finished = []

    async def reconcile(key: Any) -> None:
        await asyncio.sleep(2)
        finished.append((now(), key))
        if key == "a":
            controller.queue.add_after("delayed", 1)

    controller: Controller[Any] = Controller("test", reconcile, workers=2, drain=True)
    async with controller.watches(bell, map=lambda obj: obj.name):
        add(controller, "abcde")
        controller.queue.add_after("later", 60)
        await asyncio.sleep(1)
    assert finished == [(2, "a"), (2, "b"), (4, "c"), (4, "d"), (6, "e")]
    assert bell.handlers == []


@pytest.mark.looptime
async def test_draining_that_takes_longer_than_the_grace_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    reconcile = Recorder(lambda key: asyncio.sleep(4))
    async with by_hand(reconcile, workers=1, drain=True, grace=5) as controller:
        add(controller, "abcd")
        await settle()
    assert reconcile.keys == [*"ab"]
    assert now() == 5.001
    assert "cancelling the reconciles under way after 5 s" in caplog.text
    assert reconcile.running.total() == 0


@pytest.mark.looptime
async def test_a_key_that_fails_while_draining_is_not_tried_again() -> None:
    def act(key: str) -> None:
        raise ValueError

    reconcile = Recorder(act)
    async with by_hand(reconcile, drain=True) as controller:
        add(controller, "ab")
    assert reconcile.calls == [(0, "a"), (0, "b")]


@pytest.mark.looptime
async def test_draining_works_off_what_is_aside() -> None:
    gate = Gate("held")
    reconcile = Recorder()
    async with by_hand(reconcile, drain=True).before_reconcile(gate) as controller:
        add(controller, ["held", "free"])
        await settle()
        assert controller.status.aside == 1
        asyncio.get_running_loop().call_later(5, gate.opened.set)
    assert reconcile.calls == [(0, "free"), (5.001, "held")]


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.looptime
async def test_a_second_cancellation_while_stopping_ends_everything_at_once(drain: bool) -> None:
    bell = rung()
    reconcile = Recorder(lambda key: asyncio.sleep(100))
    controller = by_hand(reconcile, drain=drain).watches(bell, map=lambda obj: obj.name)
    add(controller, "ab")
    async with asyncio.TaskGroup() as group:
        run = group.create_task(controller.run())
        for moment in (5, 3):
            await asyncio.sleep(moment)
            run.cancel()
        await asyncio.wait([run])
    assert now() == 8
    assert reconcile.running.total() == 0
    assert bell.handlers == []
    assert controller.status.state == "stopped"


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.looptime
async def test_left_by_a_scope_of_anyio_nothing_remains(drain: bool) -> None:
    bells = [rung("first"), rung("second")]
    reconcile = Recorder(lambda key: asyncio.sleep(100))
    controller = Controller("test", reconcile, drain=drain, grace=5).watches(bells[0]).watches(bells[1])
    with anyio.move_on_after(3) as scope:
        async with controller:
            bells[0].handlers[0](Added(pod("a")))
            await asyncio.sleep(50)
    assert scope.cancelled_caught
    assert now() <= 8
    assert reconcile.running.total() == 0
    assert [bell.handlers for bell in bells] == [[], []]
    assert len(asyncio.all_tasks()) == 1


# --- several in one process ------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_controllers_side_by_side_on_one_informer_do_not_disturb_each_other() -> None:
    source = Memory(PODS, "a", "b")

    def fail(key: Any) -> None:
        raise ValueError

    good, slow, bad = Recorder(), Recorder(lambda key: asyncio.sleep(1000)), Recorder(fail)
    async with SharedInformer(source) as pods, asyncio.TaskGroup() as group:
        controllers = [
            Controller(name, reconcile, grace=0).watches(pods)
            for name, reconcile in [("good", good), ("slow", slow), ("bad", bad)]
        ]
        runs = [group.create_task(controller.run()) for controller in controllers]
        await settle()
        source.put("c")
        await settle()
        assert sorted(good.keys) == [key("a"), key("b"), key("c")]
        assert sorted(slow.keys) == [key("a"), key("b"), key("c")]
        assert len(bad.keys) >= 3
        # One ends; the others go on.
        runs[1].cancel()
        await asyncio.wait([runs[1]])
        source.put("d")
        await settle()
        assert good.keys[-1] == key("d")
        for run in runs:
            run.cancel()


# --- one of several replicas -----------------------------------------------------------------------------------------


def stand(leases: Leases, identity: str, line: Line | None = None, **settings: Any) -> LeaderElector:
    client = Line(leases) if line is None else line
    return LeaderElector(client, "operator", namespace="ops", identity=identity, **settings)


@contextlib.asynccontextmanager
async def replica(controller: Controller[Any]) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        run = group.create_task(controller.run())
        yield run
        run.cancel()


@pytest.mark.looptime
async def test_who_stands_by_has_warm_caches_and_a_full_queue_and_begins_when_he_leads() -> None:
    leases, bell = Leases(), rung()
    first, second = Recorder(), Recorder()
    leading = Controller[Any]("first", first, leader=stand(leases, "one")).watches(bell)
    waiting = Controller[Any]("second", second, leader=stand(leases, "two")).watches(bell)
    async with replica(leading) as run, replica(waiting):
        await settle()
        assert (leading.status.state, waiting.status.state) == ("running", "standing by")
        for handler in bell.handlers:
            for name in ("a", "b", "a"):
                handler(Added(pod(name)))
        await asyncio.sleep(30)
        assert (len(first.calls), len(second.calls)) == (2, 0)
        assert waiting.status.queued == 2
        left = now()
        run.cancel()
        await asyncio.sleep(4.5)
        # The lease was given back, and is taken at the next look.
        assert waiting.status.state == "running"
        assert len(second.calls) == 2
        assert left < second.times[0] <= left + 4.4


@pytest.mark.looptime
async def test_when_leadership_is_lost_what_is_under_way_is_cancelled_at_once_and_nothing_begins() -> None:
    leases = Leases()
    line = Line(leases)
    ended = []

    async def reconcile(key: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append((now(), key))

    controller: Controller[str] = Controller("web", reconcile, workers=1, grace=None, leader=stand(leases, "one", line))
    add(controller, "ab")
    asyncio.get_running_loop().call_later(1, setattr, line, "then", lambda: (math.inf, 0.0, None, True))
    with pytest.raises(LeadershipLostError):
        await controller.run()
    assert [key for _, key in ended] == ["a"]
    # 10 s after the last renewal that succeeded, and so at least 5 s before anybody else may lead.
    assert ended[0][0] == now() == 10
    assert controller.status.state == "stopped"


@pytest.mark.looptime
async def test_an_elector_that_only_tells_ends_the_workers_and_run_says_so() -> None:
    leases = Leases()
    line = Line(leases)
    reconcile = Recorder(lambda key: asyncio.sleep(1000))
    controller: Controller[str] = Controller("web", reconcile, leader=stand(leases, "one", line, on_loss="tell"))
    add(controller, "a")
    with pytest.raises(LeadershipLostError):
        async with asyncio.timeout(60):
            asyncio.get_running_loop().call_later(1, setattr, line, "then", lambda: (math.inf, 0.0, None, True))
            await controller.run()
    assert now() <= 10
    assert reconcile.running.total() == 0


@pytest.mark.looptime
async def test_controllers_may_share_one_leadership() -> None:
    leases = Leases()
    line = Line(leases)
    recorders = [Recorder(lambda key: asyncio.sleep(1000)) for _ in range(2)]
    with pytest.raises(LeadershipLostError):
        async with stand(leases, "one", line) as leadership, contextlib.AsyncExitStack() as stack:
            for number, recorder in enumerate(recorders):
                controller = Controller[str](f"controller {number}", recorder, leader=leadership, grace=None)
                add(controller, "ab")
                await stack.enter_async_context(controller)
            line.then = lambda: (math.inf, 0.0, None, True)
            await asyncio.sleep(1000)
    assert now() <= 10
    assert [recorder.running.total() for recorder in recorders] == [0, 0]
    assert [len(recorder.calls) for recorder in recorders] == [2, 2]


@pytest.mark.looptime
async def test_no_reconcile_begins_after_a_standstill_in_which_leadership_ran_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconcile = Recorder()
    async with stand(Leases(), "one") as leadership, Controller[str]("web", reconcile, leader=leadership) as controller:
        add(controller, "a")
        # The clock says so before the task that renews, and that would cancel, has had its turn.
        monkeypatch.setattr(type(leadership), "is_leader", False)
        await settle()
        assert reconcile.calls == []


@pytest.mark.looptime
async def test_caches_that_never_fill_never_stand_for_election() -> None:
    leases, bell = Leases(), Bell()
    line = Line(leases)
    controller = Controller[Any]("web", Recorder(), sync_timeout=5, leader=stand(leases, "one", line)).watches(bell)
    with pytest.raises(CacheSyncError):
        await controller.run()
    assert line.sent == []
    assert bell.handlers == []


@pytest.mark.looptime
async def test_cancelled_while_standing_by_leaves_nothing() -> None:
    leases, bell = Leases(), rung()
    async with stand(leases, "leads"):
        controller = Controller[Any]("web", Recorder(), leader=stand(leases, "waits")).watches(bell)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await controller.run()
        assert bell.handlers == []
        assert controller.status.state == "stopped"
        assert leases.spec["holderIdentity"] == "leads"


@pytest.mark.looptime
async def test_the_lease_is_given_back_when_the_reconciles_have_ended_and_not_before() -> None:
    leases = Leases()
    holders = []

    async def reconcile(key: str) -> None:
        await asyncio.sleep(20)
        holders.append(leases.spec["holderIdentity"])

    controller: Controller[str] = Controller("web", reconcile, leader=stand(leases, "one"))
    add(controller, "a")
    async with controller:
        await asyncio.sleep(1)
    assert now() == 20
    assert holders == ["one"]
    assert leases.spec["holderIdentity"] == ""


@pytest.mark.looptime
async def test_one_elector_cannot_be_entered_by_two_controllers() -> None:
    elector = stand(Leases(), "one")
    async with Controller[str]("first", Recorder(), leader=elector):
        with pytest.raises(AlreadyStartedError, match="takes part already"):
            await Controller[str]("second", Recorder(), leader=elector).run()


# --- being looked at -------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_the_status_says_what_it_is_doing_and_what_fails() -> None:
    def act(key: str) -> Any:
        match key:
            case "bad":
                raise ValueError("first line\nsecond line with a secret")
            case "hopeless":
                raise TerminalError
            case "slow":
                return asyncio.sleep(10)
            case "later":
                return Requeue(after=1000)
        return None

    controller = by_hand(Recorder(act), workers=1)
    assert controller.status.state == "new"
    add(controller, ["bad", "hopeless", "later", "slow"])
    controller.queue.add("low", priority=LOW_PRIORITY)
    async with controller:
        await asyncio.sleep(4)
        status = controller.status
        assert (status.name, status.state, status.taken_at, status.workers) == ("test", "running", 4, 1)
        # The key that failed waits behind the slow one since its time came, 1 s after it failed.
        assert (status.depth, status.queued, status.delayed, status.aside) == ({LOW_PRIORITY: 1, 0: 1}, 2, 1, 0)
        assert status.in_progress == {"slow": 4}
        assert status.failing == {
            "bad": KeyFailure(failures=1, error="ValueError: first line", since=0, at=0),
            "hopeless": KeyFailure(failures=1, error="TerminalError", since=0, at=0, terminal=True),
        }
        assert (status.last_error, status.last_error_key, status.last_error_at) == ("TerminalError", "hopeless", 0)
        assert status.results == {"error": 2, "requeue_after": 1}
        await asyncio.sleep(7)
        failure = controller.status.failing["bad"]
        assert (failure.failures, failure.since, failure.at) == (2, 0, 10)
    assert controller.status.state == "stopped"


@pytest.mark.looptime
async def test_a_key_that_has_succeeded_is_no_longer_failing_but_the_last_error_stays() -> None:
    outcomes: list[Exception | None] = [ValueError("once"), None]

    def act(key: str) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    async with by_hand(Recorder(act)) as controller:
        add(controller, ["web"])
        await asyncio.sleep(2)
        status = controller.status
        assert status.failing == {}
        assert (status.last_error, status.last_error_key) == ("ValueError: once", "web")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("what\nmore"), "ValueError: what"),
        (ValueError(), "ValueError"),
        (ValueError("  \n"), "ValueError"),
        (ValueError("x" * 400), "ValueError: " + "x" * 287 + "…"),
    ],
)
def test_an_error_fits_in_a_line(error: Exception, line: str) -> None:
    assert in_a_line(error) == line
    assert len(line) <= 300


@pytest.mark.looptime
async def test_a_reconcile_knows_its_key_and_attempt_also_in_tasks_it_makes() -> None:
    seen: list[ReconcileContext | None] = []

    async def note() -> None:
        seen.append(current_reconcile.get())

    async def reconcile(key: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(note())
        if len(seen) == 1:
            raise ValueError

    async with by_hand(reconcile, workers=1) as controller:
        controller.queue.add("web", priority=3)
        await asyncio.sleep(5)
    assert seen == [ReconcileContext("test", "web", 1, 3), ReconcileContext("test", "web", 2, 3)]
    assert current_reconcile.get() is None


@pytest.mark.looptime
async def test_log_records_made_within_a_reconcile_carry_its_key(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("an.application")
    caplog.handler.addFilter(labelled := ReconcileLogFilter())

    async def reconcile(key: str) -> None:
        log.warning("working")
        raise ValueError

    try:
        async with by_hand(reconcile) as controller:
            add(controller, ["web"])
            await settle()
        log.warning("outside")
    finally:
        caplog.handler.removeFilter(labelled)
    fields = [(r.getMessage(), vars(r)["controller"], vars(r)["key"], vars(r)["attempt"]) for r in caplog.records]
    assert fields == [
        ("working", "test", "web", 1),
        ("controller test: reconcile of web failed (failure 1)", "test", "web", 1),
        ("outside", "-", "-", "-"),
    ]
