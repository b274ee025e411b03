"""SharedInformer on virtual time: the cache, the handlers, and their order."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.backoff import Backoff
from kinformer.errors import (
    AlreadyStartedError,
    CacheSyncError,
    ConnectError,
    IndexConflictError,
    IndexFunctionError,
    KinformerError,
    StoppedError,
    UnexpectedError,
    UnknownIndexError,
    api_error,
)
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.informer._shared_informer import core_of
from kinformer.listwatch import DeltaType
from kinformer.status import InformerState
from tests.sources import FakeSource, now, pod, settled

if TYPE_CHECKING:
    from kinformer.events import Event
    from kinformer.objects import KubeObject

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]


def told(events: list[Event]) -> list[str]:
    """Events as short text: what, which, and the versions."""
    texts = []
    for event in events:
        match event:
            case Added(obj, initial):
                texts.append(f"+{obj.name}@{obj.resource_version}{' initial' if initial else ''}")
            case Updated(old, new):
                texts.append(f"~{new.name}@{old.resource_version}>{new.resource_version}")
            case Deleted(obj, final):
                texts.append(f"-{obj.name}@{obj.resource_version}{'' if final else ' unseen'}")
    return texts


async def test_the_status_has_the_version_that_the_cache_has_reached_and_beside_it_what_was_received() -> None:
    source = FakeSource(*(pod(f"p{number}", number + 1) for number in range(200)), version=1000)
    async with SharedInformer(source) as pods:
        await pods.synced(timeout=5)
        stream = await source.watched()
        stream.modified(*(pod(f"p{number}", 2000 + number) for number in range(200)))
        received = set()
        while pods.status.resource_version != "2199":
            await asyncio.sleep(0)
            status = pods.status
            oldest = min(int(obj.resource_version) for obj in pods.lister.list())
            assert status.resource_version == pods.resource_version
            # Everything up to the version is in the cache.
            assert int(status.resource_version) <= max(1000, oldest + 199)
            assert int(status.received_version) >= int(status.resource_version)
            received.add((status.received_version, status.resource_version))
        assert ("2199", "1000") in received
        stream.bookmark(3000)
        await settled()
        assert pods.status.resource_version == pods.status.received_version == "3000"


async def test_a_handler_is_told_of_the_initial_list_then_of_each_change_in_order() -> None:
    source = FakeSource(pod("a"), pod("b", 2))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        await pods.synced(timeout=1)
        stream = await source.watched()
        stream.modified(pod("a", 11))
        stream.added(pod("c", 12))
        stream.deleted(pod("b", 13))
        await settled()
        assert told(seen) == ["+a@1 initial", "+b@2 initial", "~a@1>11", "+c@12", "-b@13"]
        assert {obj.name for obj in pods.lister.list()} == {"a", "c"}


async def test_the_cache_is_changed_before_the_handler_is_told() -> None:
    source = FakeSource(pod("a"))
    in_cache: list[str | None] = []
    async with SharedInformer(source) as pods:

        def look(event: Event) -> None:
            cached = pods.lister.get("a", "default")
            in_cache.append(None if cached is None else cached.resource_version)

        pods.add_event_handler(look)
        stream = await source.watched()
        await settled()
        stream.modified(pod("a", 11))
        await settled()
        stream.deleted(pod("a", 12))
        await settled()
    assert in_cache == ["1", "11", None]


async def test_a_watch_event_is_told_by_what_the_cache_knows_not_by_its_type() -> None:
    # client-go controller.go processDeltas: ADDED of a known key is an update, MODIFIED of an unknown one an add
    source = FakeSource(pod("a"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        stream.added(pod("a", 11))
        stream.modified(pod("b", 12))
        stream.deleted(pod("never-seen", 13))
        await settled()
    assert told(seen) == ["+a@1 initial", "~a@1>11", "+b@12"]


async def test_what_the_watch_repeats_is_not_told_again() -> None:
    source = FakeSource(pod("a", 5))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        stream.modified(pod("a", 5))
        stream.modified(pod("a", 3))
        stream.modified(pod("a", 11))
        await settled()
    assert told(seen) == ["+a@5 initial", "~a@5>11"]


async def test_a_new_uid_under_an_old_name_is_a_deletion_and_an_addition() -> None:
    source = FakeSource(pod("a", uid="first"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        stream.modified(pod("a", 11, uid="second"))
        await settled()
        assert len(pods.lister) == 1
    assert told(seen) == ["+a@1 initial", "-a@1 unseen", "+a@11"]


async def test_a_relist_tells_what_changed_in_the_gap_and_nothing_else() -> None:
    # client-go: TestSharedInformerWatchDisruption, TestReplaceEvents (there unchanged objects are told, too)
    source = FakeSource(pod("same"), pod("changed"), pod("gone"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        await settled()
        seen.clear()
        source.objects, source.version = [pod("same"), pod("changed", 20), pod("new", 21)], 22
        stream.error(api_error(410, {"reason": "Expired"}))
        await settled()
        assert told(seen) == ["-gone@1 unseen", "~changed@1>20", "+new@21"]
        assert pods.status.relists == 1


async def test_a_cluster_restored_from_a_backup_is_followed_back_in_time() -> None:
    source = FakeSource(pod("a", 500), version=500)
    async with SharedInformer(source) as pods:
        stream = await source.watched()
        await settled()
        source.objects, source.version = [pod("a", 100)], 100
        source.list_errors = [api_error(504, {"message": "Too large resource version: 500, current: 100"})]
        stream.error(api_error(410, {"reason": "Expired"}))
        await settled()
        cached = pods.lister.get("a", "default")
        assert cached is not None
        assert cached.resource_version == "100"
        assert source.stream.resource_version == "100"


async def test_three_functions_are_called_by_kind_plain_or_coroutine() -> None:
    source = FakeSource(pod("a"))
    seen: list[str] = []

    def added(obj: KubeObject) -> None:
        seen.append(f"added {obj.name}")

    async def updated(old: KubeObject, new: KubeObject) -> None:
        await asyncio.sleep(0)
        seen.append(f"updated {old.resource_version} {new.resource_version}")

    async with SharedInformer(source) as pods:
        pods.add_event_handler(on_add=added, on_update=updated, on_delete=lambda obj: seen.append(f"gone {obj.name}"))
        stream = await source.watched()
        stream.modified(pod("a", 11))
        stream.deleted(pod("a", 12))
        await settled()
    assert seen == ["added a", "updated 1 11", "gone a"]


async def test_a_late_handler_hears_of_everything_in_the_cache_first_and_misses_nothing() -> None:
    # client-go: TestAddWhileActive
    source = FakeSource(pod("a"), pod("b"))
    async with SharedInformer(source) as pods:
        stream = await source.watched()
        stream.added(pod("c", 11))
        await settled()
        seen: list[Event] = []
        registration = pods.add_event_handler(seen.append)
        stream.modified(pod("a", 12))
        assert not registration.has_synced
        await registration.synced()
        assert told(seen)[:3] == ["+a@1 initial", "+b@1 initial", "+c@11 initial"]
        await settled()
        assert told(seen)[3:] == ["~a@1>12"]


async def test_a_handler_has_synced_when_it_has_returned_from_all_of_the_initial_list() -> None:
    # client-go: TestAddWhileActive, I10
    source = FakeSource(pod("a"), pod("b"), pod("c"))
    async with SharedInformer(source) as pods:

        async def slow(event: Event) -> None:
            await asyncio.sleep(10)

        registration = pods.add_event_handler(slow)
        await pods.synced(timeout=1)
        assert not registration.has_synced
        await registration.synced()
        assert now() == pytest.approx(30, abs=0.01)


async def test_a_handler_that_raises_on_the_initial_list_still_syncs_and_hears_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # client-go: TestEventPanics (there a handler that panicked never syncs: k/k#129024)
    source = FakeSource(pod("a"), pod("b"))
    seen: list[str] = []

    async def fragile(event: Event) -> None:
        if event.key.name == "a":
            msg = "no a"
            raise ZeroDivisionError(msg)
        seen.append(event.key.name)

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(fragile)
        await registration.synced()
        assert seen == ["b"]
        assert registration.failures == 1
        assert pods.status.handler_failures == 1
    assert "default/a" in caplog.text
    assert "fragile" in caplog.text


async def test_a_handler_that_always_fails_is_logged_once_a_second_with_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(event: Event) -> None:
        raise ZeroDivisionError(event.key.name)

    source = FakeSource(*(pod(f"a{number}") for number in range(50)))
    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(failing, name="failing")
        await registration.synced()
        assert len(caplog.records) == 1
        await asyncio.sleep(1.5)
        source.streams[-1].modified(pod("a7", 2))
        await settled()
        assert [record.getMessage() for record in caplog.records[1:]] == [
            "handler failing failed 49 more times since then",
            "handler failing failed for Updated of pods.v1 default/a7: ZeroDivisionError",
        ]
        source.streams[-1].modified(pod("a7", 3), pod("a8", 3))
        await settled()
        assert registration.failures == 53
        assert pods.status.handler_failures == 53
    assert caplog.records[-1].getMessage() == "handler failing failed 2 more times since then"
    assert len(caplog.records) == 4


async def test_a_handler_that_lets_a_cancellation_through_goes_on_with_the_next_event() -> None:
    source = FakeSource(pod("a"), pod("b"))
    seen: list[str] = []

    async def confused(event: Event) -> None:
        seen.append(event.key.name)
        raise asyncio.CancelledError

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(confused)
        await registration.synced()
        assert seen == ["a", "b"]
        assert registration.failures == 2


async def test_a_slow_handler_delays_neither_the_cache_nor_another_handler() -> None:
    source = FakeSource()
    quick: list[Event] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(1000)

    async with SharedInformer(source) as pods:
        pods.add_event_handler(slow)
        pods.add_event_handler(quick.append)
        stream = await source.watched()
        for version in range(11, 21):
            stream.added(pod(f"p{version}", version))
        await settled()
        assert len(quick) == len(pods.lister) == 10
        assert now() < 1


async def test_latest_delivery_tells_a_slow_handler_the_newest_state_of_each_object() -> None:
    source = FakeSource(pod("a"))
    seen: list[Event] = []

    async def slow(event: Event) -> None:
        seen.append(event)
        await asyncio.sleep(10)

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(slow, delivery="latest")
        stream = await source.watched()
        await settled()
        for version in range(11, 1011):
            stream.modified(pod("a", version))
        stream.added(pod("brief", 2000))
        stream.deleted(pod("brief", 2001))
        await settled()
        assert registration.waiting == 1
        await asyncio.sleep(30)
    assert told(seen) == ["+a@1 initial", "~a@1>1010"]


async def test_nothing_is_called_after_remove_has_returned() -> None:
    # client-go: TestRemoveWhileActive, TestRemoveEventHandler_SynchronousShutdown
    source = FakeSource(*(pod(f"p{n}") for n in range(5)))
    calls: list[float] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(10)
        calls.append(now())

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(slow)
        await source.watched()
        await asyncio.sleep(5)
        await registration.remove()
        assert now() == pytest.approx(10, abs=0.01)  # the call under way came to its end
        assert len(calls) == 1
        await asyncio.sleep(100)
        assert len(calls) == 1
        await registration.remove()
        with pytest.raises(StoppedError, match="removed before"):
            await registration.synced()


async def test_remove_with_drain_delivers_what_was_waiting_and_nothing_later() -> None:
    source = FakeSource(pod("a"), pod("b"))
    seen: list[Event] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(10)
        seen.append(event)

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(slow)
        stream = await source.watched()
        await settled()
        removing = asyncio.TaskGroup()
        async with removing:
            removing.create_task(registration.remove(drain=True))
            await settled()
            stream.added(pod("late", 11))
        assert told(seen) == ["+a@1 initial", "+b@1 initial"]
        assert registration.has_synced


async def test_a_handler_may_remove_itself() -> None:
    source = FakeSource(pod("a"), pod("b"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:

        async def once(event: Event) -> None:
            seen.append(event)
            await registration.remove()

        registration = pods.add_event_handler(once)
        await source.watched()
        await settled()
        assert len(seen) == 1
        assert registration.removed


async def test_a_handler_may_stop_its_own_informer() -> None:
    source = FakeSource(pod("a"))
    async with SharedInformer(source) as pods:
        pods.add_event_handler(lambda event: pods.stop())
        await asyncio.sleep(1)
        assert pods.status.state is InformerState.STOPPED
        assert source.open_streams == 0


async def test_the_same_handler_twice_is_two_registrations() -> None:
    # client-go: TestSharedInformerMultipleRegistration
    source = FakeSource(pod("a"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        first = pods.add_event_handler(seen.append)
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        await settled()
        assert len(seen) == 2
        await first.remove()
        stream.added(pod("b", 11))
        await settled()
        assert len(seen) == 3


async def test_thousands_of_handlers_come_and_go_without_a_trace() -> None:
    # client-go: TestSharedInformerHandlerAbuse
    source = FakeSource(pod("a"))
    async with SharedInformer(source, resync=600) as pods:
        stream = await source.watched()
        before = len(asyncio.all_tasks())
        for version in range(11, 1011):
            registration = pods.add_event_handler(lambda event: None)
            stream.modified(pod("a", version))
            await asyncio.sleep(0)
            await registration.remove()
        await settled()
        assert len(asyncio.all_tasks()) == before


async def test_resync_tells_only_the_handler_that_asked_at_its_own_pace() -> None:
    # client-go: TestListenerResyncPeriods
    source = FakeSource(pod("a"), pod("b"))
    never: list[Event] = []
    at: dict[str, list[float]] = {"two": [], "three": []}

    def note(name: str) -> Any:
        def handler(event: Event) -> None:
            if isinstance(event, Updated):
                assert event.is_resync
                at[name].append(round(now(), 1))

        return handler

    async with SharedInformer(source) as pods:
        pods.add_event_handler(never.append)
        pods.add_event_handler(note("two"), resync=2)
        pods.add_event_handler(note("three"), resync=3)
        await asyncio.sleep(6.5)
    assert at == {"two": [2, 2, 4, 4, 6, 6], "three": [3, 3, 6, 6]}
    assert told(never) == ["+a@1 initial", "+b@1 initial"]


async def test_the_informers_own_resync_period_holds_for_handlers_that_name_none_and_is_a_second_at_least() -> None:
    # client-go: TestResyncCheckPeriod, I7
    source = FakeSource(pod("a"))
    async with SharedInformer(source, resync=0.2) as pods:
        own = pods.add_event_handler(lambda event: None)
        none = pods.add_event_handler(lambda event: None, resync=0)
        assert (own.resync, none.resync) == (1, 0)
    with pytest.raises(ValueError, match="resync=-1"):
        SharedInformer(source, resync=-1)


async def test_a_resync_never_piles_up_before_a_handler_that_is_slower() -> None:
    source = FakeSource(pod("a"), pod("b"))

    async def slow(event: Event) -> None:
        await asyncio.sleep(100)

    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(slow, resync=1)
        await asyncio.sleep(1000)
        assert registration.waiting <= 2 * len(pods.lister)


async def test_events_iterate_from_the_call_on_and_end_with_the_informer() -> None:
    source = FakeSource(pod("a"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods, asyncio.TaskGroup() as group:
        events = pods.events()

        async def consume() -> None:
            seen.extend([event async for event in events])

        group.create_task(consume())
        stream = await source.watched()
        stream.added(pod("b", 11))
        await settled()
        await pods.stop()
    assert told(seen) == ["+a@1 initial", "+b@11"]


async def test_an_iteration_may_begin_with_what_comes_after_a_snapshot() -> None:
    source = FakeSource(pod("a", 1), pod("b", 2), version=10)
    async with SharedInformer(source) as pods:
        await pods.synced()
        async with pods.events(delivery="latest", initial=False) as events:
            assert sorted(key.name for key in pods.snapshot()) == ["a", "b"]
            (await source.watched()).modified(pod("a", 11))
            event = await anext(events)
            assert isinstance(event, Updated)
            assert (event.old.resource_version, event.new.resource_version) == ("1", "11")
            assert events.take_waiting() == []


async def test_an_iteration_left_early_collects_no_more_events() -> None:
    source = FakeSource(pod("a"))
    async with SharedInformer(source) as pods:
        stream = await source.watched()
        await settled()
        async for event in pods.events():
            assert told([event]) == ["+a@1 initial"]
            break
        gc.collect()
        assert len(core_of(pods).dispatcher._streams) == 0
        stream.added(pod("b", 11))
        await settled()
        async with pods.events(delivery="latest") as events:
            assert told([await anext(events), await anext(events)]) == ["+a@1 initial", "+b@11 initial"]
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_indexes_can_be_added_before_the_start_and_at_any_time_after() -> None:
    # client-go: TestIndexer
    source = FakeSource(pod("a", spec={"nodeName": "n1"}), pod("b", spec={"nodeName": "n2"}))
    pods = SharedInformer(source)
    pods.add_indexers({"node": lambda obj: [obj["spec"].get("nodeName", "")]})
    async with pods:
        stream = await source.watched()
        await settled()
        assert [obj.name for obj in pods.lister.by_index("node", "n1")] == ["a"]
        pods.add_indexers({"letters": lambda obj: [*obj.name]})
        assert [obj.name for obj in pods.lister.by_index("letters", "b")] == ["b"]
        stream.modified(pod("a", 11, spec={"nodeName": "n2"}))
        await settled()
        assert pods.lister.by_index("node", "n1") == []
        assert {obj.name for obj in pods.lister.by_index("node", "n2")} == {"a", "b"}
        with pytest.raises(IndexConflictError, match="node exists already"):
            pods.add_indexers({"other": lambda obj: [], "node": lambda obj: []})
        with pytest.raises(UnknownIndexError, match="no index 'other'.*namespace, node, letters"):
            pods.lister.by_index("other", "x")


async def test_an_index_function_that_raises_is_reported_and_heals_with_the_object() -> None:
    source = FakeSource(pod("a"), pod("b", spec={"nodeName": "n1"}))
    errors: list[tuple[KinformerError, str]] = []
    informer = SharedInformer(source, on_error=lambda error, pods: errors.append((error, pods.name)))
    informer.add_indexers({"node": lambda obj: [obj["spec"]["nodeName"]]})
    async with informer as pods:
        stream = await source.watched()
        await settled()
        assert len(pods.lister) == 2
        assert [obj.name for obj in pods.lister.by_index("node", "n1")] == ["b"]
        ((error, name),) = errors
        assert isinstance(error, IndexFunctionError)
        assert (error.key, name) == ("default/a", "pods.v1")
        stream.modified(pod("a", 11, spec={"nodeName": "n1"}))
        await settled()
        assert len(pods.lister.by_index("node", "n1")) == 2


async def test_what_an_index_decoded_is_there_for_the_handler_and_never_in_the_cache() -> None:
    source = FakeSource(pod("a", spec={"nodeName": "n1"}))
    in_index: list[Any] = []
    in_handler: list[Any] = []

    def by_node(obj: KubeObject) -> list[str]:
        in_index.append(obj["spec"])
        return [obj["spec"]["nodeName"]]

    informer = SharedInformer(source)
    informer.add_indexers({"node": by_node})
    informer.add_event_handler(on_add=lambda obj: in_handler.append(obj["spec"]))
    async with informer as pods:
        await source.watched()
        await settled()
        assert in_index[0] is in_handler[0]
        in_handler[0]["nodeName"] = "changed by a handler"
        cached = pods.lister.get("a", "default")
        assert cached is not None
        assert cached["spec"] == {"nodeName": "n1"}


async def test_synced_names_the_last_error_when_time_is_up() -> None:
    source = FakeSource()
    source.list_errors = [ConnectError("cannot connect to https://10.0.0.1:6443: refused") for _ in range(99)]
    async with SharedInformer(source, backoff=Backoff(jitter=0)) as pods:
        with pytest.raises(
            CacheSyncError, match=r"pods\.v1 is not in sync after 5 s; last error: cannot connect"
        ) as info:
            await pods.synced(timeout=5)
        assert isinstance(info.value.causes["pods.v1"], ConnectError)
        assert now() == pytest.approx(5, abs=0.01)
        status = pods.status
        assert status.state is InformerState.WAITING
        assert status.failures == 3
        assert status.retry_at is not None
        assert status.last_contact is None


async def test_an_empty_list_syncs() -> None:
    source = FakeSource()
    async with SharedInformer(source) as pods:
        registration = pods.add_event_handler(lambda event: None)
        await pods.synced(timeout=1)
        await registration.synced()
        assert pods.status.objects == 0


async def test_an_informer_runs_once() -> None:
    # client-go: TestSharedInformerStartRace, TestStateSharedInformer, TestAddOnStoppedSharedInformer
    source = FakeSource(pod("a"))
    pods = SharedInformer(source)
    async with pods:
        await pods.synced(timeout=1)
        with pytest.raises(AlreadyStartedError, match="has been started already"):
            pods.start()
    assert pods.status.state is InformerState.STOPPED
    assert pods.lister.get("a", "default") is not None  # what was there can still be read
    with pytest.raises(AlreadyStartedError):
        pods.start()
    with pytest.raises(StoppedError, match="handler .* was not added"):
        pods.add_event_handler(print)
    with pytest.raises(StoppedError):
        pods.events()
    with pytest.raises(StoppedError):
        pods.add_indexers({})
    await pods.stop()


async def test_waiting_for_an_informer_that_stops_ends_with_an_error_not_never() -> None:
    source = FakeSource()
    source.list_delay = 1000
    pods = SharedInformer(source)
    pods.start()
    async with asyncio.TaskGroup() as group:

        async def wait() -> None:
            with pytest.raises(StoppedError, match="stopped before"):
                await pods.synced()

        group.create_task(wait())
        await settled()
        await pods.stop()
    never_started = SharedInformer(source)
    await never_started.stop()
    with pytest.raises(StoppedError):
        await never_started.synced()


async def test_an_informer_stopped_before_its_first_step_is_stopped_all_the_same() -> None:
    pods = SharedInformer(FakeSource())
    registration = pods.add_event_handler(lambda event: None)
    async with pods:
        pass
    assert pods.status.state is InformerState.STOPPED
    for waiting in (pods.synced(), registration.synced()):
        with pytest.raises(StoppedError):
            await waiting
    with pytest.raises(StoppedError):
        pods.add_event_handler(print)


async def test_stopping_cancels_handlers_and_leaves_no_task() -> None:
    # client-go: TestShutdown
    source = FakeSource(pod("a"))
    ended: list[str] = []

    async def slow(event: Event) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("cancelled")

    async with SharedInformer(source, resync=60) as pods:
        registration = pods.add_event_handler(slow)
        await source.watched()
        await settled()
    assert ended == ["cancelled"]
    assert registration.removed
    assert source.open_streams == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_source_that_raises_what_it_must_not_is_reported_and_tried_again() -> None:
    class Broken(FakeSource):
        def watch(self, **arguments: Any) -> Any:
            if now() < 60:
                msg = "a bug"
                raise ZeroDivisionError(msg)
            return super().watch(**arguments)

    source = Broken(pod("a"))
    errors: list[KinformerError] = []
    async with SharedInformer(source, on_error=lambda error, _: errors.append(error)) as pods:
        await pods.synced(timeout=1)
        await asyncio.sleep(30)
        assert isinstance(errors[0], UnexpectedError)
        assert isinstance(errors[0].__cause__, ZeroDivisionError)
        assert pods.status.failures > 1
        assert not pods.is_live
        # The pauses are long by now, and silence shows no health before 25 s are over.
        await asyncio.sleep(90)
        assert pods.is_live


async def test_a_defect_of_the_informer_itself_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        msg = "a bug"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr("kinformer.reflector._state_machine.ReflectorMachine.next_step", broken)
    pods = SharedInformer(FakeSource())
    pods.start()
    await asyncio.sleep(1)
    assert pods.status.state is InformerState.FAILED
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await pods.stop()


async def test_on_error_that_raises_stops_nothing() -> None:
    source = FakeSource(pod("a"))
    source.list_errors = [ConnectError("refused")]

    def broken(error: KinformerError, informer: SharedInformer) -> None:
        raise ZeroDivisionError

    async with SharedInformer(source, on_error=broken) as pods:
        await pods.synced(timeout=5)


async def test_wrong_use_is_answered_at_once_and_helpfully() -> None:
    pods = SharedInformer(FakeSource())
    with pytest.raises(TypeError, match="on_event, or some of on_add"):
        pods.add_event_handler()
    with pytest.raises(TypeError, match="not both"):
        pods.add_event_handler(print, on_add=print)
    with pytest.raises(TypeError, match="on_add must be a function"):
        pods.add_event_handler(on_add="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="delivery='some' is unknown"):
        pods.add_event_handler(print, delivery="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="say which one 'a' is in"):
        pods.lister.get("a")


async def test_a_large_list_does_not_hold_the_loop() -> None:
    """The process loop hands over between slices: another task gets its turns while 20,000 objects arrive."""
    source = FakeSource(*(pod(f"p{n:05}") for n in range(20_000)))
    turns = 0

    async with SharedInformer(source) as pods:
        while not pods.has_synced:
            turns += 1
            await asyncio.sleep(0)
        assert len(pods.lister) == 20_000
    assert turns > 20


async def test_events_arriving_during_a_relist_are_applied_after_it() -> None:
    source = FakeSource(pod("a"))
    source.list_delay = 1
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        await pods.synced(timeout=10)
        stream = await source.watched()
        stream.send((DeltaType.DELETED, pod("a", 11)), (DeltaType.ADDED, pod("a", 12, uid="other")))
        await settled()
    assert told(seen) == ["+a@1 initial", "-a@11", "+a@12"]


async def test_changes_are_counted_as_the_handlers_are_told_of_them() -> None:
    source = FakeSource(pod("a"), pod("b"), pod("c"))
    seen: list[Event] = []
    async with SharedInformer(source) as pods:
        pods.add_event_handler(seen.append)
        stream = await source.watched()
        stream.modified(pod("a", 11), pod("b", 12))
        stream.deleted(pod("c", 13), pod("unknown", 14))
        stream.added(pod("c", 15, uid="another"), pod("a", 16, uid="another"))
        stream.modified(pod("b", 12))  # known already
        await settled()
        by_kind = [sum(isinstance(event, kind) for event in seen) for kind in (Added, Updated, Deleted)]
        assert [*pods.status.changes] == by_kind == [5, 2, 2]


async def test_each_watch_that_was_opened_ends_for_a_reason() -> None:
    source = FakeSource(pod("a"))
    async with SharedInformer(source) as pods:
        stream = await source.watched()
        stream.added(pod("b", 11))
        stream.end()
        await asyncio.sleep(5)
        stream = await source.watched()
        stream.fail(ConnectError("gone"))
        await asyncio.sleep(5)
        await source.watched()
        pods.reconnect()
        await asyncio.sleep(5)
        await source.watched()
        assert pods.status.watches == 4
    assert pods.status.watch_ends == {"closed": 1, "ConnectError": 1, "interrupted": 2}
    assert pods.status.errors == {"ConnectError": 1}


@pytest.mark.parametrize(("in_parts", "limit"), [(True, 0), (False, 500)], ids=["one page in parts", "pages"])
async def test_the_parts_of_one_page_are_no_pages(in_parts: bool, limit: int) -> None:
    """That a server pages at version "0" says that it has no cache; that a page is large says nothing."""
    source = FakeSource(*(pod(f"p{number}", number + 1) for number in range(6)))
    source.page_size, source.in_parts = 2, in_parts
    async with SharedInformer(source) as pods:
        await pods.synced(timeout=1)
        assert len(pods.lister) == 6
        assert pods.status.resource_version == "10"
        stream = await source.watched()
        stream.error(api_error(410, {}, doing="watch pods"))
        await asyncio.sleep(30)
        assert [(version, asked) for _, version, asked in source.lists] == [("0", 500), ("10", limit)]


async def test_an_index_of_a_large_cache_is_built_in_the_background_and_a_read_before_that_is_complete() -> None:
    source = FakeSource(*(pod(f"p{number}", spec={"nodeName": f"n{number % 5}"}) for number in range(300)))
    async with SharedInformer(source) as pods:
        await pods.synced(timeout=5)
        indexed: list[str] = []

        def by_node(obj: KubeObject) -> list[str]:
            indexed.append(obj.name)
            return [obj["spec"]["nodeName"]]

        built = pods.add_indexers({"node": by_node})
        assert not indexed
        assert len(pods.lister.by_index("node", "n0")) == 60
        await built
        assert len(indexed) == 300

        pods.add_indexers({"again": by_node})
        await settled()
        assert len(indexed) == 600, "without an await, and without a read"
        built = pods.add_indexers({"at the end": by_node})
    await built
    assert len(indexed) == 900
    assert len(pods.lister.by_index("at the end", "n1")) == 60
