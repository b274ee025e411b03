"""What programs ask of an informer by hand: wait for an object, list anew, reconnect, give up, look at its health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import pytest

from kinformer.backoff import Backoff
from kinformer.errors import (
    CacheSyncError,
    ConnectError,
    ForbiddenError,
    KinformerError,
    NotStartedError,
    StoppedError,
    StreamBrokenError,
    WaitTimeoutError,
    api_error,
)
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer import SharedInformer
from kinformer.informer._shared_informer import core_of
from kinformer.informer.factory import SharedInformerFactory
from kinformer.objects import ObjectKey
from kinformer.resources import NODES, PODS, Resource
from kinformer.status import InformerState
from tests.sources import FakeSource, now, pod, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kinformer.objects import KubeObject

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]

EXPIRED = api_error(410, {"reason": "Expired"})
FORBIDDEN = api_error(403, {"reason": "Forbidden", "message": "no"})
REFUSED = ConnectError("refused")


class Synced:
    """An informer whose first list is in the cache, and a handler that writes down what it hears."""

    def __init__(self, *listed: KubeObject, **options: Any) -> None:
        self.source = FakeSource(*listed)
        self.seen: list[Event] = []
        self.errors: list[KinformerError] = []
        self.informer = SharedInformer(
            self.source, backoff=Backoff(jitter=0), on_error=lambda error, _: self.errors.append(error), **options
        )
        self.informer.add_event_handler(self.seen.append)

    async def __aenter__(self) -> Self:
        self.informer.start()
        await self.source.watched()
        await settled()
        self.seen.clear()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.informer.stop()


def running(obj: KubeObject | None) -> bool:
    return obj is not None and obj.at("status.phase") == "Running"


async def caught(waiting: Awaitable[object]) -> BaseException | None:
    """What an awaitable raises."""
    try:
        await waiting
    except Exception as error:
        return error
    return None


# wait_for


async def test_wait_for_returns_at_once_what_is_there_already() -> None:
    async with Synced(pod("a")) as it:
        assert await it.informer.wait_for("a", namespace="default") == pod("a")


async def test_wait_for_returns_as_soon_as_the_object_is_as_wanted() -> None:
    async with Synced(pod("a", 1, status={"phase": "Pending"})) as it, asyncio.TaskGroup() as group:
        waiting = group.create_task(it.informer.wait_for(ObjectKey("default", "a"), running, timeout=60))
        await asyncio.sleep(5)
        it.source.stream.modified(pod("a", 11, status={"phase": "Pending", "podIP": "10.0.0.1"}))
        await settled()
        assert not waiting.done()
        it.source.stream.modified(pod("a", 12, status={"phase": "Running"}))
        await settled()
        assert waiting.done()
        assert (await waiting) == pod("a", 12, status={"phase": "Running"})


async def test_wait_for_an_object_to_go() -> None:
    async with Synced(pod("a")) as it, asyncio.TaskGroup() as group:
        waiting = group.create_task(it.informer.wait_for("a", lambda obj: obj is None, namespace="default"))
        await settled()
        it.source.stream.deleted(pod("a", 11))
        assert await waiting is None


async def test_absence_is_known_only_once_the_first_list_is_in_the_cache() -> None:
    source = FakeSource(pod("a"))
    source.list_delay = 10
    async with SharedInformer(source, namespace="default") as informer:
        there = await informer.wait_for("a", lambda _: True, timeout=60)
        assert there == pod("a")
        assert now() >= 10


async def test_wait_for_in_vain_ends_in_time_and_says_how_things_are() -> None:
    async with Synced(pod("a", 1, status={"phase": "Pending"})) as it:
        with pytest.raises(WaitTimeoutError, match="pods default/a is in the cache, but not as wanted after 5 s"):
            await it.informer.wait_for("a", running, timeout=5, namespace="default")
        with pytest.raises(TimeoutError, match="pods default/b is not in the cache after 5 s"):
            await it.informer.wait_for("b", timeout=5, namespace="default")
        assert now() == pytest.approx(10, abs=0.01)
        it.source.watch_errors = [REFUSED] * 20
        it.source.stream.fail(StreamBrokenError("cut"))
        with pytest.raises(WaitTimeoutError, match="the informer is failing: refused"):
            await it.informer.wait_for("b", timeout=5, namespace="default")


async def test_a_predicate_that_raises_fails_its_own_wait_only() -> None:
    def broken(obj: KubeObject | None) -> bool:
        return obj is not None and 1 // 0 == 1

    async with Synced() as it, asyncio.TaskGroup() as group:
        good = group.create_task(it.informer.wait_for("a", namespace="default"))
        bad = group.create_task(caught(it.informer.wait_for("a", broken, namespace="default")))
        await settled()
        it.source.stream.added(pod("a", 11))
        assert await good == pod("a", 11)
        assert isinstance(await bad, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            await it.informer.wait_for("a", broken, namespace="default")


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async with Synced() as it:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await it.informer.wait_for("a", namespace="default")
        assert len(core_of(it.informer).dispatcher.waiters) == 0


async def test_who_waits_is_told_when_the_informer_stops() -> None:
    async with Synced() as it, asyncio.TaskGroup() as group:
        it.source.list_delay = 100
        waiting = group.create_task(caught(it.informer.wait_for("a", namespace="default")))
        listing = group.create_task(caught(it.informer.relist()))
        await settled()
        await it.informer.stop()
        for task in (waiting, listing):
            error = await task
            assert isinstance(error, StoppedError)
            assert "stopped before" in str(error)


async def test_waiting_for_an_informer_that_was_never_started_is_refused() -> None:
    informer = SharedInformer(FakeSource(), namespace="default")
    with pytest.raises(NotStartedError, match="has not been started"):
        await informer.wait_for("a")
    with pytest.raises(NotStartedError):
        await informer.relist()
    with pytest.raises(NotStartedError):
        informer.reconnect()
    with pytest.raises(NotStartedError):
        informer.observe(pod("a"))


# relist and reconnect


async def test_relist_returns_when_the_new_list_is_in_the_cache() -> None:
    async with Synced(pod("a"), pod("b")) as it:
        it.source.objects = [pod("b"), pod("c", 12)]
        it.source.version = 12
        it.source.list_delay = 3
        await it.informer.relist(timeout=60)
        assert sorted(key.name for key in it.informer.lister.keys()) == ["b", "c"]  # noqa: SIM118
        await settled()
        assert it.seen == [Deleted(pod("a"), final_state_known=False), Added(pod("c", 12))]
        assert it.informer.status.lists == {"initial": 1, "asked for": 1}
        assert len(it.source.lists) == 2
        await it.source.watched()
        assert it.source.open_streams == 1


async def test_relist_while_a_list_is_under_way_waits_for_one_that_began_afterwards() -> None:
    source = FakeSource(pod("a"))
    source.list_delay = 5
    async with SharedInformer(source) as informer:
        await asyncio.sleep(2)
        await informer.relist()
        assert len(source.lists) == 2
        assert [at for at, *_ in source.lists] == [0, pytest.approx(10, abs=0.01)]


async def test_relist_during_a_list_that_fails_waits_for_the_next_one() -> None:
    async with Synced(pod("a")) as it:
        it.source.list_delay = 5
        it.source.list_errors = [REFUSED]
        async with asyncio.TaskGroup() as group:
            group.create_task(it.informer.relist(timeout=60))
            await asyncio.sleep(2)
            await it.informer.relist(timeout=60)
        assert it.informer.status.lists == {"initial": 1, "asked for": 1}


async def test_relist_cuts_a_wait_short_and_says_when_it_is_not_done_in_time() -> None:
    async with Synced() as it:
        it.source.list_errors = [REFUSED] * 50
        with pytest.raises(WaitTimeoutError, match="not listed again after 2 s; the informer is failing: refused"):
            await it.informer.relist(timeout=2)
        await asyncio.sleep(600)
        tried = len(it.source.lists)
        it.source.list_errors.clear()
        began = now()
        await it.informer.relist(timeout=60)
        assert now() - began < 0.01
        assert len(it.source.lists) == tried + 1


async def test_reconnect_opens_a_new_watch_where_the_old_one_was() -> None:
    async with Synced(pod("a")) as it:
        it.source.stream.modified(pod("a", 15))
        await settled()
        it.informer.reconnect()
        await settled()
        assert [stream.closed for stream in it.source.streams] == [True, False]
        assert it.source.stream.resource_version == "15"
        assert it.errors == []
        assert it.informer.is_live


async def test_reconnect_cuts_a_wait_short() -> None:
    async with Synced() as it:
        it.source.watch_errors = [REFUSED] * 3
        it.source.stream.fail(StreamBrokenError("cut"))
        await asyncio.sleep(5.8)
        assert it.informer.status.state is InformerState.WAITING
        tried = len(it.source.streams)
        it.informer.reconnect()
        await settled()
        assert len(it.source.streams) == tried + 1
        assert it.source.open_streams == 1


# observe


async def test_an_observed_object_is_in_the_cache_ahead_of_the_watch_and_told_once() -> None:
    async with Synced(pod("a", 3)) as it:
        assert it.informer.observe(pod("a", 11))
        await settled()
        assert it.informer.lister.get("a", "default") == pod("a", 11)
        it.source.stream.modified(pod("a", 11))
        await settled()
        assert it.seen == [Updated(pod("a", 3), pod("a", 11))]


async def test_earlier_objects_of_the_name_of_an_observed_one_are_not_told_any_more() -> None:
    async with Synced() as it:
        assert it.informer.observe(pod("a", 13, uid="second"))
        it.source.stream.added(pod("a", 11, uid="first"))
        it.source.stream.deleted(pod("a", 12, uid="first"))
        it.source.stream.added(pod("a", 13, uid="second"))
        await settled()
        assert it.seen == [Added(pod("a", 13, uid="second"))]


async def test_an_observed_object_may_be_a_manifest() -> None:
    async with Synced() as it:
        assert it.informer.observe(pod("new", 11).to_dict())
        await settled()
        assert it.seen == [Added(pod("new", 11))]


async def test_what_the_cache_has_come_to_already_is_not_observed() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.stream.deleted(pod("a", 12))
        await settled()
        it.seen.clear()
        # Written before it was deleted: taken in now, it would be a ghost.
        assert not it.informer.observe(pod("a", 11))
        it.source.stream.added(pod("b", 20))
        await settled()
        assert not it.informer.observe(pod("b", 19))
        assert not it.informer.observe(pod("b", 20))
        await settled()
        assert it.seen == [Added(pod("b", 20))]


async def test_an_object_outside_of_what_is_covered_is_not_observed() -> None:
    async with Synced() as it:
        assert not it.informer.observe(pod("a", 11, namespace="other"))


async def test_older_news_from_the_watch_do_not_undo_what_was_observed() -> None:
    async with Synced(pod("a", 3)) as it:
        it.informer.observe(pod("a", 15))
        it.source.stream.modified(pod("a", 12))
        it.source.stream.modified(pod("a", 15))
        await settled()
        assert it.seen == [Updated(pod("a", 3), pod("a", 15))]


async def test_the_end_of_an_earlier_object_does_not_end_the_observed_one_of_the_same_name() -> None:
    async with Synced(pod("a", 3, uid="one")) as it:
        it.informer.observe(pod("a", 15, uid="two"))
        it.source.stream.deleted(pod("a", 14, uid="one"))
        it.source.stream.added(pod("a", 15, uid="two"))
        await settled()
        assert it.seen == [
            Deleted(pod("a", 3, uid="one"), final_state_known=False),
            Added(pod("a", 15, uid="two")),
        ]


async def test_a_list_that_is_older_than_what_was_observed_does_not_take_it_away() -> None:
    async with Synced(pod("a", 3)) as it:
        it.informer.observe(pod("new", 15))
        await settled()
        it.source.version = 12
        it.source.stream.error(EXPIRED)
        await settled()
        assert it.informer.lister.get("new", "default") is not None
        # From there on the watch has the say.
        it.source.stream.added(pod("new", 15))
        it.source.stream.deleted(pod("new", 18))
        await settled()
        assert it.seen == [Added(pod("new", 15)), Deleted(pod("new", 18))]


# Health


async def test_has_synced_is_live_and_fresh_are_three_things() -> None:
    async with Synced(pod("a")) as it:
        informer = it.informer
        assert (informer.has_synced, informer.is_live, informer.is_fresh(75)) == (True, True, True)
        await asyncio.sleep(100)
        # A quiet watch: live, and nobody knows for sure.
        assert (informer.is_live, informer.is_fresh(75), informer.is_fresh(110)) == (True, False, True)
        it.source.stream.bookmark(20)
        await settled()
        assert informer.is_fresh(1)
        assert informer.status.last_event_at is None
        it.source.watch_errors = [REFUSED] * 100
        it.source.list_errors = [REFUSED] * 100
        it.source.stream.fail(StreamBrokenError("cut"))
        await asyncio.sleep(30)
        assert (informer.has_synced, informer.is_live, informer.is_fresh(75)) == (True, False, True)
        await asyncio.sleep(60)
        assert (informer.has_synced, informer.is_live, informer.is_fresh(75)) == (True, False, False)
    assert not informer.is_fresh(1e9)
    with pytest.raises(ValueError, match="max_age"):
        informer.is_fresh(-1)


async def test_status_says_since_when_it_fails_and_with_what() -> None:
    async with Synced(pod("a")) as it:
        it.source.watch_errors = [FORBIDDEN] * 3
        await asyncio.sleep(7)
        it.source.stream.fail(StreamBrokenError("cut"))
        await asyncio.sleep(3)
        status = it.informer.status
        assert status.failing_since == pytest.approx(7, abs=0.01)
        assert isinstance(status.last_error, ForbiddenError)
        assert status.failures == 3
        await asyncio.sleep(60)
        status = it.informer.status
        assert (status.failing_since, status.failures) == (None, 0)
        # What went wrong last is still there to be looked at.
        assert isinstance(status.last_error, ForbiddenError)


async def test_every_error_handler_is_told_until_it_is_taken_away() -> None:
    told: list[KinformerError] = []
    async with Synced() as it:
        remove = it.informer.add_error_handler(lambda error, informer: told.append(error))
        it.source.stream.error(EXPIRED)
        await settled()
        remove()
        remove()
        it.source.stream.error(EXPIRED)
        await settled()
        assert told == [EXPIRED]
        assert it.errors == [EXPIRED, EXPIRED]


async def test_a_snapshot_stays_as_it_was_and_knows_its_version() -> None:
    async with Synced(pod("a", 3)) as it:
        before = it.informer.snapshot()
        it.source.stream.modified(pod("a", 11))
        it.source.stream.added(pod("b", 12))
        await settled()
        after = it.informer.snapshot()
        assert (before.resource_version, after.resource_version) == ("10", "12")
        assert dict(before) == {pod("a").key: pod("a", 3)}
        assert dict(after) == {pod("a").key: pod("a", 11), pod("b").key: pod("b", 12)}
        assert pod("b").key not in before
        assert before[pod("a").key] is not before[pod("a").key]


# Giving up


async def test_the_retry_budget_ends_the_informer_and_says_why() -> None:
    asked: list[tuple[float, KinformerError | None]] = []

    def give_up(error: KinformerError | None, informer: SharedInformer) -> None:
        asked.append((now(), error))

    async with Synced(pod("a"), give_up_after=60, on_give_up=give_up) as it:
        it.source.watch_errors = [REFUSED] * 100
        it.source.list_errors = [REFUSED] * 100
        it.source.stream.fail(StreamBrokenError("cut"))
        await asyncio.sleep(200)
        assert len(asked) == 1
        assert asked[0][1] is REFUSED
        assert 30 < asked[0][0] <= 60
        assert it.informer.status.state is InformerState.GAVE_UP
        assert it.informer.stopped
        assert it.informer.lister.get("a", "default") is not None
        tried = len(it.source.lists)
        await asyncio.sleep(200)
        assert len(it.source.lists) == tried
        with pytest.raises(StoppedError, match="has stopped"):
            await it.informer.wait_for("a", namespace="default")


async def test_who_is_asked_may_go_on() -> None:
    asked: list[float] = []

    def go_on(error: KinformerError | None, informer: SharedInformer) -> bool:
        asked.append(now())
        return True

    async with Synced(give_up_after=60, on_give_up=go_on) as it:
        it.source.list_errors = [REFUSED] * 1000
        it.source.watch_errors = [REFUSED] * 1000
        it.source.stream.fail(StreamBrokenError("cut"))
        await asyncio.sleep(300)
        # Asked when the next try would be too late; a budget that is renewed begins with that try.
        assert asked == [pytest.approx(at, abs=0.01) for at in (47.6, 137.6, 227.6)]
        assert not it.informer.stopped


async def test_success_renews_the_budget() -> None:
    async with Synced(give_up_after=60) as it:
        for _ in range(10):
            it.source.watch_errors = [REFUSED] * 4
            it.source.stream.fail(StreamBrokenError("cut"))
            await asyncio.sleep(30)
            it.source.stream.bookmark(20)
            await asyncio.sleep(1)
        assert not it.informer.stopped


async def test_synced_says_that_the_informer_gave_up() -> None:
    source = FakeSource()
    source.list_errors = [REFUSED] * 100
    async with SharedInformer(source, give_up_after=10, backoff=Backoff(jitter=0)) as informer:
        with pytest.raises(StoppedError, match="gave up before its cache was in sync: refused"):
            await informer.synced()


# fail_fast


class Sources:
    """What a factory asks for sources."""

    def __init__(self, **sources: FakeSource) -> None:
        self.sources = sources

    def list_watch(self, resource: Resource, **scope: Any) -> FakeSource:
        return self.sources[resource.plural]

    async def resolve(self, name: str) -> Resource:
        raise NotImplementedError


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_fail_fast_raises_as_soon_as_one_cache_is_refused_and_names_every_cause(status: int) -> None:
    nodes, pods = FakeSource(resource=NODES), FakeSource(pod("a"), resource=PODS)
    nodes.list_errors = [api_error(status, {"message": "that is refused"})] * 100
    pods.list_errors = [REFUSED] * 100
    factory = SharedInformerFactory(Sources(nodes=nodes, pods=pods))
    refused, late = factory.informer(NODES), factory.informer(PODS)
    async with factory:
        with pytest.raises(CacheSyncError, match="2 of 2 caches are not in sync and cannot be") as info:
            await factory.wait_for_cache_sync(timeout=30, fail_fast=True)
        assert now() < 1
        assert {type(cause) for cause in info.value.causes.values()} == {
            type(refused.status.last_error),
            type(late.status.last_error),
        }
        assert "that is refused" in str(info.value)


async def test_without_fail_fast_a_refusal_is_waited_out() -> None:
    nodes = FakeSource(resource=NODES)
    nodes.list_errors = [FORBIDDEN, FORBIDDEN]
    factory = SharedInformerFactory(Sources(nodes=nodes))
    factory.informer(NODES)
    async with factory:
        await factory.wait_for_cache_sync(timeout=30)
        assert factory.is_fresh(1)


async def test_fail_fast_waits_for_what_may_pass_by_itself() -> None:
    nodes = FakeSource(resource=NODES)
    nodes.list_errors = [api_error(503), REFUSED]
    factory = SharedInformerFactory(Sources(nodes=nodes))
    factory.informer(NODES)
    async with factory:
        await factory.wait_for_cache_sync(timeout=30, fail_fast=True)
