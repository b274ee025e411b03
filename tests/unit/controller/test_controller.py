"""Controllers over real informers, whose objects come from a list in memory; on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.controller import Controller, Requeue, TerminalError
from kinformer.errors import AlreadyStartedError, CacheSyncError, StoppedError
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import DEPLOYMENTS, NAMESPACES, NODES, PODS, REPLICASETS
from kinformer.workqueue import LOW_PRIORITY, Debounce, RateLimitingQueue
from kinformer.workqueue.rate_limiters import ItemExponential

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

    from kinformer.events import Event
    from kinformer.metrics import ControllerGauges, FailureCause, QueueGauges, QueueMetrics, ReconcileResult
    from kinformer.resources import Resource


class Memory:
    """A `ListerWatcher` over a dict. Lists answer once `ready` is set."""

    def __init__(self, resource: Resource, *names: str, ready: bool = True) -> None:
        self.resource = resource
        self.ready = asyncio.Event()
        if ready:
            self.ready.set()
        self._objects: dict[ObjectKey, KubeObject] = {}
        self._history: list[tuple[int, Delta]] = []
        self._changed = asyncio.Event()
        for name in names:
            self.put(name)

    def put(self, name: str, namespace: str = "default", **metadata: Any) -> None:
        key = ObjectKey(namespace if self.resource.namespaced else "", name)
        version = len(self._history) + 1
        head = {"name": name, "namespace": key.namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
        obj = KubeObject.from_dict({"metadata": head | metadata}, self.resource)
        self._record(DeltaType.UPDATED if key in self._objects else DeltaType.ADDED, version, obj)
        self._objects[key] = obj

    def delete(self, name: str, namespace: str = "default") -> None:
        obj = self._objects.pop(ObjectKey(namespace, name))
        version = len(self._history) + 1
        last = obj.to_dict()
        last["metadata"]["resourceVersion"] = str(version)
        self._record(DeltaType.DELETED, version, KubeObject.from_dict(last, self.resource))

    def _record(self, kind: DeltaType, version: int, obj: KubeObject) -> None:
        self._history.append((version, Delta(kind, obj)))
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def streams_lists(self) -> bool:
        return False

    def covers(self, obj: KubeObject) -> bool:
        return True

    def as_listed(self, obj: KubeObject) -> KubeObject:
        return obj

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        await self.ready.wait()
        yield ListPage(list(self._objects.values()), str(len(self._history)))

    @contextlib.asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        async def batches() -> AsyncIterator[WatchBatch]:
            seen = int(resource_version)
            while True:
                for version, event in self._history[seen:]:
                    yield WatchBatch([event], str(version))
                    seen = version
                await self._changed.wait()

        yield batches()


class Recorder:
    """A reconcile that notes when it was called with what, and then does as it is told."""

    def __init__(self, act: Callable[[Any], Any] | None = None) -> None:
        self.calls: list[tuple[float, Any]] = []
        self.running: Counter[Any] = Counter()
        self.most = 0
        self._act = act

    async def __call__(self, key: Any) -> Any:
        self.calls.append((now(), key))
        self.running[key] += 1
        assert self.running[key] == 1, f"{key} is reconciled twice at once"
        self.most = max(self.most, self.running.total())
        try:
            outcome = None if self._act is None else self._act(key)
            return await outcome if asyncio.iscoroutine(outcome) else outcome
        finally:
            self.running[key] -= 1

    @property
    def keys(self) -> list[Any]:
        return [key for _, key in self.calls]

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.calls]

    def forget(self) -> None:
        self.calls.clear()


def now() -> float:
    return asyncio.get_running_loop().time()


def key(name: str, namespace: str = "default") -> ObjectKey:
    return ObjectKey(namespace, name)


def owned_by(kind: str, name: str, api_version: str = "apps/v1", controller: bool = True) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": "u", "controller": controller}


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)


# --- from events to keys ---------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_everything_in_the_cache_is_reconciled_once_and_then_what_changes() -> None:
    source = Memory(PODS, "a", "b")
    reconcile = Recorder()
    async with SharedInformer(source) as pods, Controller("test", reconcile).watches(pods):
        await settle()
        assert sorted(reconcile.keys) == [key("a"), key("b")]
        for change, name in [(source.put, "c"), (source.put, "a"), (source.delete, "b")]:
            reconcile.forget()
            change(name)
            await settle()
            assert reconcile.keys == [key(name)]


@pytest.mark.looptime
async def test_no_reconcile_before_all_caches_are_filled_and_then_it_reads_them() -> None:
    early, late = Memory(PODS, "a"), Memory(NODES, "n", ready=False)
    missing: list[str] = []

    async def reconcile(key: ObjectKey) -> None:
        missing.extend(informer.name for informer in (pods, nodes) if not informer.has_synced)
        calls.append((now(), key))

    calls: list[tuple[float, ObjectKey]] = []
    async with SharedInformer(early) as pods, SharedInformer(late) as nodes:
        controller = Controller("test", reconcile).watches(pods).watches(nodes)
        async with asyncio.TaskGroup() as group:
            run = group.create_task(controller.run())
            await asyncio.sleep(7)
            assert calls == []
            late.ready.set()
            await settle()
            assert sorted(calls) == [(7, key("n", "")), (7, key("a"))]
            assert missing == []
            run.cancel()


@pytest.mark.looptime
async def test_changes_while_a_key_is_reconciled_are_one_more_reconcile() -> None:
    source = Memory(PODS, "a")
    reconcile = Recorder(lambda key: asyncio.sleep(10))
    async with SharedInformer(source) as pods, Controller("test", reconcile).watches(pods):
        for _ in range(5):
            await asyncio.sleep(1)
            source.put("a")
        await asyncio.sleep(60)
        assert reconcile.calls == [(0, key("a")), (10, key("a"))]


@pytest.mark.parametrize(
    ("map_to", "expected"),
    [
        (lambda obj: key("one"), [key("one")]),
        (lambda obj: [key("one"), key("two")], [key("one"), key("two")]),
        (lambda obj: {key("one")}, [key("one")]),
        (lambda obj: frozenset({key("one")}), [key("one")]),
        (lambda obj: (key(name) for name in ["one", "two"]), [key("one"), key("two")]),
        (lambda obj: {key("one"): 1}.keys(), [key("one")]),
        (lambda obj: {1: key("one")}.values(), [key("one")]),
        (lambda obj: [], []),
        (lambda obj: None, []),
        (lambda obj: "text", ["text"]),
        (lambda obj: ("a", "b"), [("a", "b")]),
        (lambda obj: 7, [7]),
    ],
)
@pytest.mark.looptime
async def test_a_map_returns_one_key_or_many_or_none(map_to: Callable[[KubeObject], Any], expected: list[Any]) -> None:
    reconcile = Recorder()
    async with SharedInformer(Memory(PODS, "a")) as pods, Controller("test", reconcile).watches(pods, map=map_to):
        await settle()
    assert reconcile.keys == expected


@pytest.mark.looptime
async def test_of_an_update_both_the_new_and_the_old_are_mapped() -> None:
    source = Memory(PODS)
    source.put("a", labels={"app": "before"})
    reconcile = Recorder()
    controller = Controller("test", reconcile)
    async with SharedInformer(source) as pods, controller.watches(pods, map=lambda pod: pod.labels["app"]):
        await settle()
        reconcile.forget()
        source.put("a", labels={"app": "after"})
        await settle()
        assert reconcile.keys == ["after", "before"]


@pytest.mark.looptime
async def test_a_filter_sees_the_whole_event_and_decides() -> None:
    source = Memory(PODS, "a")
    seen: list[Event] = []

    def only_deletions(event: Event) -> bool:
        seen.append(event)
        return isinstance(event, Deleted)

    reconcile = Recorder()
    async with SharedInformer(source) as pods, Controller("test", reconcile).watches(pods, filter=only_deletions):
        await settle()
        source.put("a")
        await settle()
        assert reconcile.keys == []
        source.delete("a")
        await settle()
        assert reconcile.keys == [key("a")]
    assert [type(event) for event in seen] == [Added, Updated, Deleted]
    assert isinstance(seen[0], Added)
    assert seen[0].initial


@pytest.mark.looptime
async def test_a_map_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = Memory(PODS, "bad", "good")
    reconcile = Recorder()

    def map_to(pod: KubeObject) -> ObjectKey:
        if pod.name == "bad":
            raise ZeroDivisionError
        return pod.key

    async with SharedInformer(source) as pods, Controller("web", reconcile).watches(pods, map=map_to):
        await settle()
        assert pods.status.handler_failures == 1
    assert reconcile.keys == [key("good")]
    assert "controller web" in caplog.text
    assert "default/bad" in caplog.text


@pytest.mark.looptime
async def test_owned_objects_bring_work_for_their_controlling_owner_only() -> None:
    source = Memory(REPLICASETS)
    source.put("owned", ownerReferences=[owned_by("Deployment", "web")])
    source.put("by-an-older-version", ownerReferences=[owned_by("Deployment", "old", "apps/v1beta1")])
    source.put("not-controlled", ownerReferences=[owned_by("Deployment", "no", controller=False)])
    source.put("other-kind", ownerReferences=[owned_by("Rollout", "no")])
    source.put("other-group", ownerReferences=[owned_by("Deployment", "no", "example.com/v1")])
    source.put("core-group", ownerReferences=[owned_by("Deployment", "no", "v1")])
    source.put("second-of-two", ownerReferences=[owned_by("Rollout", "no"), owned_by("Deployment", "two")])
    source.put("orphan")
    source.put("elsewhere", "other", ownerReferences=[owned_by("Deployment", "web")])
    reconcile = Recorder()
    async with SharedInformer(source) as sets, Controller("test", reconcile).owns(sets, owner=DEPLOYMENTS):
        await settle()
        assert sorted(reconcile.keys) == [key("old"), key("two"), key("web"), key("web", "other")]
        reconcile.forget()
        source.put("owned", ownerReferences=[owned_by("Deployment", "green")])
        await settle()
        assert sorted(reconcile.keys) == [key("green"), key("web")]


@pytest.mark.looptime
async def test_an_owner_may_be_given_by_its_informer_and_may_be_cluster_scoped() -> None:
    source = Memory(PODS)
    source.put("static", "kube-system", ownerReferences=[owned_by("Node", "worker-1", "v1")])
    reconcile = Recorder()
    async with SharedInformer(source) as pods:
        nodes = SharedInformer(Memory(NODES))
        async with Controller("test", reconcile).owns(pods, owner=nodes):
            await settle()
    assert reconcile.keys == [ObjectKey("", "worker-1")]


def test_owners_in_namespaces_cannot_own_what_is_in_none() -> None:
    nodes = SharedInformer(Memory(NODES))
    with pytest.raises(ValueError, match="nodes are cluster-scoped and cannot be owned by deployments"):
        Controller("test", Recorder()).owns(nodes, owner=DEPLOYMENTS)
    Controller("test", Recorder()).owns(nodes, owner=NAMESPACES)


# --- what a reconcile may do -----------------------------------------------------------------------------------------


def by_hand(reconcile: Any, **settings: Any) -> Controller[str]:
    """A controller without any informer."""
    settings.setdefault("queue", RateLimitingQueue[str](ItemExponential(base=1, cap=60)))
    return Controller("test", reconcile, **settings)


def add(controller: Controller[str], keys: Iterable[str]) -> None:
    for name in keys:
        controller.queue.add(name)


@pytest.mark.looptime
async def test_as_many_run_at_once_as_there_are_workers_and_never_one_key_twice() -> None:
    reconcile = Recorder(lambda key: asyncio.sleep(1))
    async with by_hand(reconcile, workers=3) as controller:
        for _ in range(20):
            add(controller, "abcdefg")
            await asyncio.sleep(0.4)
        await asyncio.sleep(10)
    assert reconcile.most == 3
    assert set(reconcile.keys) == set("abcdefg")


@pytest.mark.looptime
async def test_keys_are_reconciled_in_the_order_they_came() -> None:
    reconcile = Recorder()
    controller = by_hand(reconcile, workers=1)
    add(controller, "zyxabc")
    async with controller:
        await settle()
    assert reconcile.keys == [*"zyxabc"]


@pytest.mark.looptime
async def test_a_failure_is_logged_with_key_and_traceback_and_tried_again_ever_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = [ValueError("first"), ValueError("second"), OSError("third"), None, ValueError("fourth"), None]

    def act(key: str) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    reconcile = Recorder(act)
    async with by_hand(reconcile) as controller:
        add(controller, ["web"])
        await asyncio.sleep(100)
        assert reconcile.times == [0, 1, 3, 7]
        assert controller.queue.num_requeues("web") == 0
        add(controller, ["web"])
        await asyncio.sleep(100)
        # Success made it begin anew.
        assert reconcile.times[4:] == [100, 101]
    first = caplog.records[0]
    assert first.getMessage() == "controller test: reconcile of web failed (failure 1)"
    assert first.levelno == logging.ERROR
    assert first.exc_info is not None
    assert first.exc_info[0] is ValueError
    assert [record.getMessage()[-11:] for record in caplog.records] == [
        "(failure 1)",
        "(failure 2)",
        "(failure 3)",
        "(failure 1)",
    ]
    assert "raise outcome" in caplog.text


@pytest.mark.looptime
async def test_a_failing_key_delays_no_other() -> None:
    def act(key: str) -> None:
        if key == "bad":
            raise ValueError

    reconcile = Recorder(act)
    async with by_hand(reconcile, workers=1) as controller:
        add(controller, ["bad", "good"])
        await asyncio.sleep(0.5)
        assert reconcile.calls == [(0, "bad"), (0, "good")]


@pytest.mark.looptime
async def test_a_terminal_error_is_logged_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception] = [ValueError(), TerminalError("no such flavour"), ValueError()]

    def act(key: str) -> None:
        raise outcomes.pop(0)

    reconcile = Recorder(act)
    async with by_hand(reconcile) as controller:
        add(controller, ["web"])
        await asyncio.sleep(1000)
        assert reconcile.times == [0, 1]
        assert controller.queue.num_requeues("web") == 0
        assert "reconcile of web failed for good" in caplog.text
        assert "no such flavour" in caplog.text
        # Its next event brings it back.
        add(controller, ["web"])
        await settle()
        assert reconcile.times == [0, 1, 1000]


@pytest.mark.looptime
async def test_requeue_brings_the_key_back_after_its_time_and_forgets_failures() -> None:
    outcomes: list[Exception | Requeue | None] = [ValueError(), Requeue(after=30), ValueError(), None]

    def act(key: str) -> Requeue | None:
        match outcomes.pop(0):
            case Exception() as error:
                raise error
            case outcome:
                return outcome

    reconcile = Recorder(act)
    async with by_hand(reconcile) as controller:
        add(controller, ["web"])
        await asyncio.sleep(1000)
        assert reconcile.times == [0, 1, 31, 32]


@pytest.mark.looptime
async def test_requeue_at_once_starves_neither_other_keys_nor_the_loop() -> None:
    reconcile = Recorder(lambda key: Requeue(after=0) if key == "busy" else None)
    async with by_hand(reconcile, workers=1) as controller:
        add(controller, ["busy"])
        for _ in range(10):
            await asyncio.sleep(0)
        add(controller, ["other"])
        for _ in range(10):
            await asyncio.sleep(0)
        assert "other" in reconcile.keys
        assert 5 <= reconcile.keys.count("busy") <= 20


@pytest.mark.parametrize("after", [-1, math.inf, math.nan])
def test_requeue_after_no_time_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match=f"after={after}"):
        Requeue(after)


@pytest.mark.looptime
async def test_a_reconcile_that_takes_too_long_is_cancelled_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    reconcile = Recorder(lambda key: asyncio.sleep(100 if len(reconcile.calls) == 1 else 4))
    async with by_hand(reconcile, timeout=5) as controller:
        add(controller, ["web"])
        await asyncio.sleep(50)
        assert reconcile.times == [0, 6]
    assert [record.getMessage() for record in caplog.records] == [
        "controller test: reconcile of web took longer than 5 s (failure 1)"
    ]


@pytest.mark.looptime
async def test_a_timeout_of_the_reconciles_own_is_a_failure_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    def act(key: str) -> None:
        raise TimeoutError

    async with by_hand(Recorder(act), timeout=5) as controller:
        add(controller, ["web"])
        await settle()
    assert [record.getMessage() for record in caplog.records] == [
        "controller test: reconcile of web failed (failure 1)"
    ]


@pytest.mark.looptime
async def test_a_cancellation_that_comes_from_within_is_a_failure_and_ends_no_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def await_something_cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    reconcile = Recorder(lambda key: await_something_cancelled() if len(reconcile.calls) == 1 else None)
    async with by_hand(reconcile, workers=1) as controller:
        add(controller, ["web"])
        await asyncio.sleep(50)
        assert reconcile.times == [0, 1]
    assert "reconcile of web was cancelled from within (failure 1)" in caplog.text


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.looptime
async def test_a_reconcile_that_cancels_its_own_task_ends_no_worker(
    waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(1)

    reconcile = Recorder(lambda key: cancel_myself() if key == "bad" else None)
    async with by_hand(reconcile, workers=1) as controller:
        add(controller, ["bad", "good"])
        await asyncio.sleep(0.5)
        assert reconcile.calls == [(0, "bad"), (0, "good")]
        await asyncio.sleep(10)
        # If the cancellation arrives within it, it has failed; if after it, it was fine.
        assert reconcile.keys.count("bad") == (4 if waits else 1)
        assert reconcile.running.total() == 0
    assert ("cancelled from within" if waits else "has cancelled its worker, which goes on") in caplog.text


@pytest.mark.looptime
@pytest.mark.parametrize("returned", [True, 5, "web", Requeue, [None]])
async def test_a_wrong_return_value_is_a_failure_for_good_and_logged_once(
    returned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reconcile = Recorder(lambda key: None if len(reconcile.calls) > 3 else returned)
    async with by_hand(reconcile) as controller:
        add(controller, ["web", "api", "db"])
        await asyncio.sleep(50)
        assert reconcile.times == [0, 0, 0]
        assert {key: failure.terminal for key, failure in controller.status.failing.items()} == {
            "web": True,
            "api": True,
            "db": True,
        }
        add(controller, ["web"])
        await asyncio.sleep(1)
        assert set(controller.status.failing) == {"api", "db"}
    (record,) = [record for record in caplog.records if record.name == "kinformer.controller"]
    what = type(returned).__name__
    assert f"reconcile returned a {what}; expected None or Requeue(after=...)" in record.getMessage()
    assert not record.exc_info


@pytest.mark.looptime
async def test_reconciles_that_never_wait_leave_others_their_turn() -> None:
    reconcile = Recorder()
    controller = by_hand(reconcile, workers=1)
    add(controller, [str(number) for number in range(1000)])
    async with controller:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(reconcile.calls) < 10


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_on_exit_what_runs_comes_to_its_end_and_what_is_queued_is_not_begun() -> None:
    finished = []

    async def reconcile(key: str) -> None:
        await asyncio.sleep(10)
        finished.append((now(), key))

    controller = by_hand(reconcile, workers=2)
    async with controller:
        add(controller, "abcd")
        await asyncio.sleep(1)
    assert finished == [(10, "a"), (10, "b")]
    assert now() == 10


@pytest.mark.looptime
async def test_what_runs_longer_than_the_grace_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    async def reconcile(key: str) -> None:
        try:
            await asyncio.sleep(4 if key == "short" else 1000)
        finally:
            ended.append((now(), key))

    async with by_hand(reconcile, grace=5) as controller:
        add(controller, ["short", "long"])
        await asyncio.sleep(1)
    assert ended == [(4, "short"), (6, "long")]
    assert [record.getMessage() for record in caplog.records] == [
        "controller test: cancelling the reconciles under way after 5 s",
        "controller test: reconcile of long was cancelled",
    ]


@pytest.mark.parametrize(("grace", "until"), [(0, 1), (30, 21), (None, 21)])
@pytest.mark.looptime
async def test_the_grace_may_be_nothing_or_without_end(grace: float | None, until: float) -> None:
    async with by_hand(Recorder(lambda key: asyncio.sleep(20)), grace=grace) as controller:
        await asyncio.sleep(1)
        add(controller, ["web"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert now() == until


@pytest.mark.looptime
async def test_a_cancelled_run_stops_gracefully_and_a_second_cancellation_at_once() -> None:
    for cancellations, until in [([5], 20), ([5, 8], 8)]:
        start = now()
        reconcile = Recorder(lambda key: asyncio.sleep(20))
        controller = by_hand(reconcile)
        add(controller, ["web"])
        async with asyncio.TaskGroup() as group:
            run = group.create_task(controller.run())
            for moment in cancellations:
                await asyncio.sleep(start + moment - now())
                run.cancel()
            await asyncio.wait([run])
            assert run.cancelled()
            assert now() - start == until
        assert reconcile.running.total() == 0


@pytest.mark.looptime
async def test_a_reconcile_that_swallows_its_cancellation_ends_its_worker_all_the_same() -> None:
    async def reconcile(key: str) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)

    async with by_hand(reconcile, grace=2) as controller:
        add(controller, "abcdefgh")
        await asyncio.sleep(1)
    assert now() == 3


@pytest.mark.looptime
async def test_a_failure_while_stopping_is_logged_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        await asyncio.sleep(3)
        raise ValueError

    reconcile = Recorder(lambda key: act())
    async with by_hand(reconcile) as controller:
        add(controller, ["web"])
        await asyncio.sleep(1)
    await asyncio.sleep(100)
    assert reconcile.times == [0]
    assert "reconcile of web failed" in caplog.text


@pytest.mark.looptime
async def test_run_ends_when_its_queue_was_drained() -> None:
    reconcile = Recorder(lambda key: asyncio.sleep(1))
    controller = by_hand(reconcile, workers=1)
    add(controller, "abc")
    async with asyncio.TaskGroup() as group:
        run = group.create_task(controller.run())
        await asyncio.sleep(0.5)
        await controller.queue.shut_down(drain=True)
        await run
    assert reconcile.keys == [*"abc"]
    assert now() == 3


@pytest.mark.looptime
async def test_a_limiter_that_raises_stops_neither_the_key_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ItemExponential):
        def when(self, key: object, now: float) -> float:
            raise ZeroDivisionError

    def act(key: str) -> None:
        if key == "bad":
            raise ValueError

    reconcile = Recorder(act)
    async with by_hand(reconcile, workers=1, queue=RateLimitingQueue[str](Broken())) as controller:
        add(controller, ["bad", "good"])
        await asyncio.sleep(2.5)
    assert reconcile.calls == [(0, "bad"), (0, "good"), (1, "bad"), (2, "bad")]
    assert "reconcile of bad failed (failure 1)" in caplog.text
    assert "controller test: the rate limiter failed in when for bad" in caplog.text


@pytest.mark.looptime
async def test_a_bug_in_a_worker_is_logged_and_all_workers_go_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RateLimitingQueue[str]):
        bugs = 2

        def done(self, key: str) -> None:
            super().done(key)
            if key == "bad" and self.bugs:
                self.bugs -= 1
                raise ZeroDivisionError

    reconcile = Recorder()
    async with by_hand(reconcile, workers=2, queue=Broken()) as controller:
        for _ in range(3):
            add(controller, ["bad", "good"])
            await asyncio.sleep(2)
    assert reconcile.keys == ["bad", "good"] * 3
    failures = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in failures] == ["controller test: a worker failed, and goes on"] * 2


# --- what is urgent, and what is counted -----------------------------------------------------------------------------


@pytest.mark.looptime
async def test_what_was_there_already_lets_changes_go_first() -> None:
    source = Memory(PODS, *"abc")
    taken = []

    async def reconcile(key: ObjectKey) -> None:
        taken.append((key.name, controller.queue.priority(key)))
        await asyncio.sleep(1)

    async with SharedInformer(source) as pods:
        controller = Controller("test", reconcile, workers=1).watches(pods)
        async with controller:
            await asyncio.sleep(0.5)
            source.put("d")
            source.put("c")
            await asyncio.sleep(10)
    assert taken == [("a", LOW_PRIORITY), ("d", 0), ("c", 0), ("b", LOW_PRIORITY)]


@pytest.mark.looptime
async def test_a_resync_lets_changes_go_first() -> None:
    bell = Bell()
    bell.filled.set()
    taken = []

    async def reconcile(key: ObjectKey) -> None:
        taken.append((key.name, controller.queue.priority(key)))

    def pod(name: str, version: str) -> KubeObject:
        return KubeObject.from_dict({"metadata": {"name": name, "resourceVersion": version, "uid": name}}, PODS)

    controller = Controller("test", reconcile, workers=1).watches(bell)
    async with controller:
        bell.handlers[0](Updated(pod("resynced", "1"), pod("resynced", "1")))
        bell.handlers[0](Updated(pod("changed", "1"), pod("changed", "2")))
        await settle()
    assert taken == [("changed", 0), ("resynced", LOW_PRIORITY)]


@pytest.mark.looptime
async def test_a_key_comes_again_with_the_priority_it_had_or_the_one_it_asks_for() -> None:
    outcomes: list[Any] = [ValueError(), Requeue(after=5), Requeue(after=5, priority=9), None]
    taken = []

    def act(key: str) -> Any:
        taken.append(controller.queue.priority(key))
        match outcomes.pop(0):
            case Exception() as error:
                raise error
            case outcome:
                return outcome

    async with by_hand(Recorder(act)) as controller:
        controller.queue.add("web", priority=-3)
        await asyncio.sleep(60)
    assert taken == [-3, -3, -3, 9]


class Counts:
    """Metrics that note what they are told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.gauges: dict[str, Any] = {}

    def queue(self, name: str, gauges: QueueGauges) -> QueueMetrics:
        self.gauges[f"queue {name}"] = gauges
        return QueueCounts()

    def controller(self, name: str, gauges: ControllerGauges) -> Counts:
        self.gauges[f"controller {name}"] = gauges
        return self

    def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
        self.told.append((result, round(seconds, 3), cause))


class QueueCounts:
    def added(self) -> None: ...
    def taken(self, waited: float) -> None: ...
    def finished(self, worked: float) -> None: ...
    def retried(self) -> None: ...


@pytest.mark.looptime
async def test_each_reconcile_is_counted_with_its_result_its_time_and_its_cause() -> None:
    async def be_cancelled() -> None:
        raise asyncio.CancelledError

    def act(key: str) -> Any:
        match key:
            case "raises":
                raise ValueError
            case "terminal":
                raise TerminalError
            case "slow":
                return asyncio.sleep(100)
            case "cancelled":
                return be_cancelled()
            case "again":
                return Requeue(after=0) if len(reconcile.calls) == 1 else None
            case "later":
                return Requeue(after=1000)
        return asyncio.sleep(2)

    counts = Counts()
    cases: list[tuple[str, list[Any]]] = [
        ("fine", [("success", 2, None)]),
        ("raises", [("error", 0, "raised")]),
        ("terminal", [("error", 0, "terminal")]),
        ("slow", [("error", 5, "timeout")]),
        ("cancelled", [("error", 0, "cancelled")]),
        ("again", [("requeue", 0, None), ("success", 0, None)]),
        ("later", [("requeue_after", 0, None)]),
    ]
    for key, expected in cases:
        reconcile = Recorder(act)
        limiter = ItemExponential(base=100, cap=100)
        queue = RateLimitingQueue[str](limiter)
        async with by_hand(reconcile, queue=queue, timeout=5, metrics=counts, workers=3) as controller:
            add(controller, [key])
            await settle()
            gauges: ControllerGauges = counts.gauges["controller test"]
            assert (gauges.workers, gauges.active_workers) == (3, int(key in {"fine", "slow"}))
            await asyncio.sleep(20)
            assert gauges.active_workers == 0
        assert counts.told == expected
        counts.told.clear()


def test_the_queue_a_controller_makes_is_measured_under_the_controllers_name() -> None:
    counts = Counts()
    Controller("web", Recorder(), metrics=counts)
    assert set(counts.gauges) == {"queue web", "controller web"}


@pytest.mark.looptime
async def test_metrics_that_raise_are_logged_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counts):
        def reconciled(self, result: ReconcileResult, seconds: float, cause: FailureCause | None = None) -> None:
            raise ZeroDivisionError

    reconcile = Recorder()
    async with by_hand(reconcile, workers=1, metrics=Broken()) as controller:
        add(controller, "ab")
        await settle()
    assert reconcile.calls == [(0, "a"), (0, "b")]
    assert "Broken.reconciled raised (failure 1)" in caplog.text


# --- before a reconcile ----------------------------------------------------------------------------------------------


class Gate:
    """A hook that holds the named keys back until it is opened."""

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.opened = asyncio.Event()
        self.asked: list[str] = []

    def __call__(self, key: str) -> Awaitable[object] | None:
        self.asked.append(key)
        return self.opened.wait() if key in self.held and not self.opened.is_set() else None


@pytest.mark.looptime
async def test_a_key_that_must_wait_is_put_aside_and_holds_up_no_other_even_with_one_worker() -> None:
    gate = Gate("held")
    reconcile = Recorder()
    async with by_hand(reconcile, workers=1).before_reconcile(gate) as controller:
        add(controller, ["held", "free"])
        await asyncio.sleep(5)
        assert reconcile.calls == [(0, "free")]
        assert controller.active_workers == 0
        gate.opened.set()
        await settle()
        assert reconcile.calls[1:] == [(5, "held")]
    # Asked anew in the moment the reconcile begins.
    assert gate.asked == ["held", "free", "held"]


@pytest.mark.looptime
async def test_events_of_a_key_that_is_aside_bring_it_back_neither_sooner_nor_twice() -> None:
    gate = Gate("held")
    reconcile = Recorder()
    async with by_hand(reconcile).before_reconcile(gate) as controller:
        for _ in range(5):
            controller.queue.add("held")
            await asyncio.sleep(1)
        gate.opened.set()
        await settle()
        assert reconcile.calls == [(5, "held")]


@pytest.mark.looptime
async def test_a_key_that_was_aside_keeps_its_priority() -> None:
    gate = Gate("held")
    priorities = []

    async def reconcile(key: str) -> None:
        priorities.append(controller.queue.priority(key))

    async with by_hand(reconcile).before_reconcile(gate) as controller:
        controller.queue.add("held", priority=7)
        await settle()
        gate.opened.set()
        await settle()
    assert priorities == [7]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.looptime
async def test_what_a_hook_raises_is_a_failure_of_the_key(at_once: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("from the hook")

    async def be_cancelled() -> None:
        raise asyncio.CancelledError

    attempts = []

    def hook(key: str) -> Awaitable[None] | None:
        attempts.append(now())
        if len(attempts) > 2:
            return None
        if at_once:
            raise ValueError("from the hook")
        return fail() if len(attempts) == 1 else be_cancelled()

    reconcile = Recorder()
    async with by_hand(reconcile).before_reconcile(hook) as controller:
        add(controller, ["web"])
        await asyncio.sleep(10)
    assert attempts == [0, 1, 3]
    assert reconcile.calls == [(3, "web")]
    assert "reconcile of web failed before it began (failure 2)" in caplog.text
    assert "from the hook" in caplog.text


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 20])
@pytest.mark.looptime
async def test_when_the_controller_stops_what_is_aside_is_cancelled(turns: int) -> None:
    gate = Gate("held")
    async with by_hand(Recorder(), grace=None).before_reconcile(gate) as controller:
        add(controller, ["held"])
        for _ in range(turns):
            await asyncio.sleep(0)
    assert now() == 0
    assert "processing=0" in repr(controller.queue)


@pytest.mark.looptime
async def test_draining_waits_for_what_is_aside_and_works_it_off() -> None:
    gate = Gate("held")
    reconcile = Recorder()
    async with by_hand(reconcile).before_reconcile(gate) as controller:
        add(controller, ["held"])
        await settle()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(controller.queue.shut_down(drain=True))
            await asyncio.sleep(5)
            gate.opened.set()
        assert reconcile.calls == [(5.001, "held")]


def test_a_hook_that_would_never_answer_none_is_refused() -> None:
    async def hook(key: str) -> None:
        return None

    with pytest.raises(TypeError, match="a hook is a plain function that returns None"):
        by_hand(Recorder()).before_reconcile(hook)


# --- the beginning, and what a source is -----------------------------------------------------------------------------


class Bell:
    """The least a controller can watch."""

    resource = PODS

    def __init__(self, name: str = "bell") -> None:
        self.name = name
        self.handlers: list[Callable[[Event], None]] = []
        self.filled = asyncio.Event()

    def add_event_handler(self, *, on_event: Callable[[Event], None], name: str) -> BellRegistration:
        self.handlers.append(on_event)
        return BellRegistration(self, on_event)

    async def synced(self, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self.filled.wait()
        except TimeoutError:
            cause = OSError("no route")
            raise CacheSyncError(f"cache of {self.name} is late", {self.name: cause}) from None


class BellRegistration:
    def __init__(self, bell: Bell, handler: Callable[[Event], None]) -> None:
        self._bell = bell
        self._handler = handler

    async def remove(self) -> None:
        await asyncio.sleep(0)
        self._bell.handlers.remove(self._handler)


@pytest.mark.looptime
async def test_handlers_are_there_while_the_controller_runs_and_only_then() -> None:
    bell = Bell()
    bell.filled.set()
    reconcile = Recorder()
    controller = Controller("test", reconcile).watches(bell).watches(bell, map=lambda obj: ObjectKey("", "all"))
    assert bell.handlers == []
    async with controller:
        assert len(bell.handlers) == 2
        for handler in bell.handlers:
            handler(Added(KubeObject.from_dict({"metadata": {"name": "a"}}, PODS)))
        await settle()
        assert reconcile.keys == [ObjectKey("", "a"), ObjectKey("", "all")]
    assert bell.handlers == []


@pytest.mark.looptime
async def test_caches_that_are_not_filled_in_time_are_all_named_and_nothing_is_left() -> None:
    slow, slower, quick = Bell("slow"), Bell("slower"), Bell("quick")
    quick.filled.set()
    reconcile = Recorder()
    controller = Controller("web", reconcile, sync_timeout=30).watches(slow).watches(slower).watches(quick)
    controller.queue.add(key("early"))
    with pytest.raises(
        CacheSyncError, match=r"controller 'web' cannot start: .*slow is late; .*slower is late"
    ) as error:
        async with controller:
            raise AssertionError("not entered")
    assert now() == 30
    assert set(error.value.causes) == {"slow", "slower"}
    assert (slow.handlers, slower.handlers, quick.handlers) == ([], [], [])
    assert reconcile.calls == []


@pytest.mark.looptime
async def test_real_informers_that_are_late_are_named_with_what_is_known() -> None:
    source = Memory(PODS, ready=False)
    async with SharedInformer(source) as pods:
        with pytest.raises(CacheSyncError, match=r"cache of pods.* is not in sync after 5"):
            await Controller("web", Recorder(), sync_timeout=5).watches(pods).run()


@pytest.mark.looptime
async def test_cancelled_while_waiting_for_caches_leaves_nothing() -> None:
    bell = Bell()
    reconcile = Recorder()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await Controller("test", reconcile, sync_timeout=None).watches(bell).run()
    assert bell.handlers == []
    assert reconcile.calls == []


@pytest.mark.looptime
async def test_a_stopped_informer_is_refused_and_the_others_are_let_go() -> None:
    bell = Bell()
    async with SharedInformer(Memory(PODS)) as pods:
        await pods.synced()
    with pytest.raises(StoppedError, match="pods"):
        await Controller("test", Recorder()).watches(bell).watches(pods).run()
    assert bell.handlers == []


@pytest.mark.looptime
async def test_an_informer_that_stops_while_it_is_waited_for_ends_the_waiting_for_all() -> None:
    bell = Bell()
    async with SharedInformer(Memory(PODS, ready=False)) as pods:
        asyncio.get_running_loop().call_later(9, pods.request_stop)
        with pytest.raises(StoppedError, match="stopped before its cache was in sync"):
            await Controller("test", Recorder()).watches(bell).watches(pods).run()
    assert now() == 9
    assert bell.handlers == []


@pytest.mark.looptime
async def test_informers_may_be_stopped_first() -> None:
    reconcile = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        pods = await SharedInformer(Memory(PODS, "a")).__aenter__()
        await stack.enter_async_context(Controller("test", reconcile).watches(pods))
        await settle()
        await pods.stop()
    assert reconcile.keys == [key("a")]


@pytest.mark.looptime
async def test_a_controller_runs_once() -> None:
    controller = by_hand(Recorder())
    async with controller:
        with pytest.raises(AlreadyStartedError, match="cannot start again; make a new one"):
            await controller.run()
    with pytest.raises(AlreadyStartedError):
        await controller.run()
    with pytest.raises(StoppedError, match="controller 'test' has stopped, and watches no other informer"):
        controller.watches(Bell(), map=lambda obj: obj.name)


@pytest.mark.looptime
async def test_a_running_controller_watches_further_informers_and_ends_that() -> None:
    first, second = Memory(PODS, "a"), Memory(DEPLOYMENTS, "b", "c")
    reconcile = Recorder()
    async with (
        SharedInformer(first) as pods,
        SharedInformer(second) as deployments,
        Controller("test", reconcile).watches(pods) as controller,
    ):
        await asyncio.sleep(1)
        assert reconcile.keys == [ObjectKey("default", "a")]
        controller.watches(deployments)
        controller.watches(deployments, map=lambda obj: ObjectKey("", "all"))
        await asyncio.sleep(1)
        assert {key.name for key in reconcile.keys} == {"a", "b", "c", "all"}
        reconcile.calls.clear()
        await controller.unwatch(deployments)
        assert not deployments.handlers
        second.put("d")
        first.put("e")
        await asyncio.sleep(1)
        assert reconcile.keys == [ObjectKey("default", "e")]
        with pytest.raises(ValueError, match=r"controller 'test' does not watch this informer of deployments.apps"):
            await controller.unwatch(deployments)
        controller.watches(deployments)
        await asyncio.sleep(1)
        assert {key.name for key in reconcile.keys} == {"e", "b", "c", "d"}


@pytest.mark.looptime
async def test_events_that_wait_when_an_informer_is_unwatched_are_mapped_first_and_queued_keys_stay() -> None:
    source = Memory(PODS)
    ready = asyncio.Event()
    reconcile = Recorder(lambda key: ready.wait())
    async with (
        SharedInformer(source) as pods,
        Controller("test", reconcile, workers=1, debounce=Debounce(5.0, 10.0)).watches(pods) as controller,
    ):
        for name in "abc":
            source.put(name)
        while not pods.lister.list():
            await asyncio.sleep(0)
        await controller.unwatch(pods)
        ready.set()
        await asyncio.sleep(60)
        assert {key.name for key in reconcile.keys} == set("abc")


@pytest.mark.looptime
async def test_a_controller_keeps_nothing_of_an_informer_that_it_unwatched() -> None:
    controller: Controller[ObjectKey] = Controller("test", Recorder(), queue=RateLimitingQueue[ObjectKey]())
    async with controller:
        informer = SharedInformer(Memory(PODS, "a"))
        async with informer:
            controller.watches(informer)
            await asyncio.sleep(1)
            await controller.unwatch(informer)
        freed = weakref.ref(informer)
        del informer
        gc.collect()
        assert freed() is None


@pytest.mark.looptime
async def test_a_watch_that_is_refused_changes_nothing() -> None:
    bell = Bell()
    bell.filled.set()
    stopped = SharedInformer(Memory(PODS))
    async with stopped:
        pass
    async with Controller("test", Recorder()).watches(bell) as controller:
        with pytest.raises(StoppedError):
            controller.watches(stopped)
        with pytest.raises(ValueError, match="does not watch"):
            await controller.unwatch(stopped)
        assert len(bell.handlers) == 1


@pytest.mark.looptime
async def test_repr_says_how_it_is() -> None:
    controller = by_hand(Recorder(), workers=2)
    assert repr(controller) == ("<Controller test new workers=2 <RateLimitingQueue queued=0 processing=0 delayed=0>>")
    async with controller:
        assert "<Controller test running workers=2" in repr(controller)
    assert "<Controller test stopped workers=2" in repr(controller)


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"name": ""}, ValueError, "needs a name"),
        ({"reconcile": 5}, TypeError, "must be a coroutine function, not int"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"timeout": 0}, ValueError, "timeout=0"),
        ({"timeout": math.nan}, ValueError, "timeout=nan"),
        ({"sync_timeout": -1}, ValueError, "sync_timeout=-1"),
        ({"grace": -1}, ValueError, "grace=-1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    settings: dict[str, Any], error: type[Exception], named: str
) -> None:
    arguments: dict[str, Any] = {"name": "test", "reconcile": Recorder()} | settings
    with pytest.raises(error, match=named):
        Controller(**arguments)
