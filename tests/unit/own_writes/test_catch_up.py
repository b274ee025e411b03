"""An informer and the writes of its own client: what the cache shows when, under a watch that says nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import pytest

from kinformer._own_writes.feed import Write, WriteFeed
from kinformer._own_writes.pending import pending_writes_of
from kinformer.backoff import Backoff
from kinformer.controller import Controller
from kinformer.errors import NotStartedError, StoppedError, WaitTimeoutError
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer import SharedInformer
from kinformer.informer.typed import TypedInformer
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import DEPLOYMENTS, PODS, Resource
from tests.sources import FakeSource, now, pending_writes, pod, settled

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime

A = ObjectKey("default", "a")


class OfClient(FakeSource):
    """A source of a client that tells of writes; `selects` is what its selectors say."""

    def __init__(self, *objects: KubeObject) -> None:
        super().__init__(*objects)
        self.writes = WriteFeed()
        self.selects: Callable[[KubeObject], bool | None] = lambda obj: True

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        return self.writes.listen(listener)

    def covers(self, obj: KubeObject) -> bool | None:
        return self.selects(obj)

    def wrote(self, obj: KubeObject, resource: Resource = PODS) -> None:
        self.writes.accepted(Write(resource, obj.key, obj.uid, int(obj.resource_version), obj=obj))

    def deleted(self, obj: KubeObject) -> None:
        self.writes.accepted(Write(PODS, obj.key, obj.uid, after=int(obj.resource_version), gone=True, obj=obj))


class Synced:
    """An informer whose first list is in the cache, and what its handler heard."""

    def __init__(self, *listed: KubeObject, **options: Any) -> None:
        self.source = OfClient(*listed)
        self.heard: list[Event] = []
        self.pods = SharedInformer(self.source, backoff=Backoff(jitter=0), **options)
        self.pods.add_event_handler(self.heard.append)

    async def __aenter__(self) -> Self:
        self.pods.start()
        await self.source.watched()
        await settled()
        self.heard.clear()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.pods.stop()

    def cached(self, name: str = "a") -> str:
        obj = self.pods.lister.get(name, "default")
        return "" if obj is None else obj.resource_version


async def test_what_was_written_is_read_though_the_watch_is_silent() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.wrote(pod("a", 12))
        it.source.wrote(pod("new", 13))
        await it.pods.caught_up()
        assert now() < 0.001
        assert (it.cached(), it.cached("new")) == ("12", "13")
        await settled()
        # The watch brings the same: nothing is told twice.
        it.source.stream.modified(pod("a", 12))
        it.source.stream.added(pod("new", 13))
        await settled()
        assert it.heard == [Updated(pod("a", 3), pod("a", 12)), Added(pod("new", 13))]


async def test_answers_that_come_in_the_other_order_leave_the_newer_state() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.wrote(pod("a", 13))
        it.source.wrote(pod("a", 12))
        await it.pods.caught_up()
        assert it.cached() == "13"
        # Not even a list from before both takes the object back.
        it.source.version = 11
        await it.pods.relist()
        assert it.cached() == "13"


async def test_a_deletion_is_waited_for_by_uid() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.deleted(pod("a", 3))
        waiting = asyncio.ensure_future(it.pods.caught_up(A))  # noqa: TID251
        await asyncio.sleep(1)
        assert not waiting.done()
        it.source.stream.added(pod("b", 14))
        await settled()
        assert not waiting.done()
        it.source.stream.deleted(pod("a", 15))
        await waiting
        assert it.heard == [Added(pod("b", 14)), Deleted(pod("a", 15), final_state_known=True)]


async def test_of_two_writes_under_one_name_both_are_waited_for() -> None:
    async with Synced(pod("a", 3, uid="one")) as it:
        it.source.deleted(pod("a", 3, uid="one"))
        it.source.wrote(pod("a", 14, uid="two"))
        await it.pods.caught_up(A)
        assert it.cached() == "14"
        it.source.stream.deleted(pod("a", 13, uid="one"))
        it.source.stream.added(pod("a", 14, uid="two"))
        await settled()
        assert it.cached() == "14"


async def test_an_object_that_a_write_takes_out_of_the_selector_leaves_by_the_watch() -> None:
    async with Synced(pod("a", 3, labels={"app": "web"})) as it:
        it.source.selects = lambda obj: obj.labels.get("app") == "web"
        it.source.wrote(pod("a", 12, labels={"app": "db"}))
        it.source.wrote(pod("other", 13, labels={"app": "db"}))
        with pytest.raises(WaitTimeoutError, match=r"pods\.v1 has not caught up with default/a after 2 s.*version 10"):
            await it.pods.caught_up(A, timeout=2)
        it.source.stream.deleted(pod("a", 12, labels={"app": "web"}))
        await it.pods.caught_up()
        assert it.cached() == ""
        assert it.cached("other") == ""


async def test_where_only_the_server_can_tell_the_watch_decides() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.selects = lambda obj: None
        it.source.wrote(pod("a", 12))
        it.source.wrote(pod("b", 13))
        await settled()
        assert it.cached() == "3"
        it.source.stream.modified(pod("a", 12))
        await it.pods.caught_up(A, timeout=1)
        assert it.cached() == "12"
        # It turns out that the other one is not selected: the next bookmark says so.
        waiting = asyncio.ensure_future(it.pods.caught_up())  # noqa: TID251
        await settled()
        assert not waiting.done()
        it.source.stream.bookmark(13)
        await waiting


async def test_a_list_brings_the_cache_past_what_was_written() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.deleted(pod("a", 3))
        it.source.objects.clear()
        it.source.version = 20
        it.pods.reconnect()
        waiting = asyncio.ensure_future(it.pods.caught_up())  # noqa: TID251
        await it.pods.relist()
        await waiting
        assert it.cached() == ""


async def test_another_version_of_the_resource_is_waited_for_and_not_taken_over() -> None:
    async with Synced(pod("a", 3)) as it:
        newer = Resource("", "v2", "pods", "Pod")
        it.source.wrote(KubeObject.from_dict(pod("a", 12).to_dict(), newer), newer)
        await settled()
        assert it.cached() == "3"
        assert pending_writes(it.pods) == 1
        it.source.stream.modified(pod("a", 12))
        await it.pods.caught_up()
        other = KubeObject.from_dict(pod("a", 30).to_dict(), DEPLOYMENTS)
        it.source.wrote(other, DEPLOYMENTS)
        assert pending_writes(it.pods) == 0


async def test_an_informer_that_is_told_not_to_cares_for_no_writes() -> None:
    async with Synced(pod("a", 3), own_writes=False) as it:
        it.source.wrote(pod("a", 12))
        it.source.deleted(pod("a", 12))
        await it.pods.caught_up()
        assert it.cached() == "3"
        assert len(it.source.writes) == 0


async def test_caught_up_takes_the_object_a_manifest_or_a_version() -> None:
    async with Synced(pod("a", 3)) as it:
        for what in (pod("a", 12), pod("a", 12).to_dict(), 12, "12"):
            with pytest.raises(WaitTimeoutError, match=r"after 1 s, it is at version 1"):
                await it.pods.caught_up(what, timeout=1)
        assert pending_writes(it.pods) == 0
        it.source.stream.modified(pod("a", 12))
        for what in (pod("a", 12), pod("a", 12).to_dict(), 12, "12"):
            await it.pods.caught_up(what, timeout=1)
        await it.pods.caught_up(pod("a", 11), timeout=0)


async def test_caught_up_with_what_is_outside_of_the_cache_is_at_once() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.selects = lambda obj: obj.namespace == "default"
        await it.pods.caught_up(pod("a", 12, namespace="other"), timeout=0)


@pytest.mark.parametrize("what", ["", "0", "new", -1, pod("a", 0)])
async def test_what_has_no_version_is_refused(what: Any) -> None:
    async with Synced() as it:
        with pytest.raises(ValueError, match="resource"):
            await it.pods.caught_up(what)


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async with Synced() as it:
        waiting = asyncio.ensure_future(it.pods.caught_up(99))  # noqa: TID251
        await settled()
        assert pending_writes(it.pods) == 1
        waiting.cancel()
        await settled()
        assert pending_writes(it.pods) == 0


async def test_who_waits_is_told_when_the_informer_stops() -> None:
    async with Synced(pod("a", 3)) as it:
        it.source.deleted(pod("a", 3))
        waiting = asyncio.ensure_future(it.pods.caught_up(timeout=None))  # noqa: TID251
        await settled()
        await it.pods.stop()
        with pytest.raises(StoppedError, match="before it had caught up"):
            await waiting
        with pytest.raises(StoppedError):
            await it.pods.caught_up()
        assert len(it.source.writes) == 0


async def test_an_informer_that_was_not_started_catches_up_with_nothing() -> None:
    with pytest.raises(NotStartedError):
        await SharedInformer(OfClient()).caught_up()


async def test_what_cannot_be_made_of_a_write_does_not_fail_the_write(caplog: pytest.LogCaptureFixture) -> None:
    feed = WriteFeed()
    heard: list[Write] = []

    def fails(write: Write) -> None:
        raise ZeroDivisionError

    feed.listen(fails)
    end = feed.listen(heard.append)
    write = Write(PODS, A, "uid", 1)
    feed.accepted(write)
    end()
    end()
    feed.accepted(write)
    assert heard == [write]
    assert "a write of pods default/a could not be announced to a cache" in caplog.text


async def test_a_typed_informer_catches_up_too_and_holds_keys_back() -> None:
    async with Synced(pod("a", 3)) as it:
        typed = TypedInformer(it.pods, dict)
        it.source.wrote(pod("a", 12))
        await typed.caught_up(A, timeout=1)
        cached = typed.lister.get("a", "default")
        assert cached is not None
        assert cached["metadata"]["resourceVersion"] == "12"
        assert pending_writes_of(typed) is pending_writes_of(it.pods)


# Controllers


class Creator:
    """A reconcile in the manner of a ReplicaSet's: where the cache has no child, it makes one with a generated name.

    The server stores it at once; `show` is what the watch says of it, some time later.
    """

    def __init__(self, source: OfClient, informer: SharedInformer) -> None:
        self.source = source
        self.informer = informer
        self.made: list[KubeObject] = []
        self.calls: list[tuple[float, str]] = []
        self.controller = Controller("creator", self.reconcile).watches(informer, map=parent_of)

    async def reconcile(self, key: str) -> None:
        self.calls.append((round(now(), 3), key))
        if not self.informer.lister.list(selector=f"parent={key}"):
            await asyncio.sleep(0.1)
            child = pod(f"{key}-{len(self.made)}", 20 + len(self.made), labels={"parent": key})
            self.made.append(child)
            self.source.wrote(child)

    def show(self) -> None:
        self.source.stream.added(*self.made)


def parent_of(obj: KubeObject) -> str | None:
    return obj.labels.get("parent")


async def test_a_reconcile_does_not_do_again_what_it_has_just_done() -> None:
    async with Synced() as it:
        it.source.selects = lambda obj: None
        creator = Creator(it.source, it.pods)
        async with creator.controller as controller:
            controller.queue.add("one")
            controller.queue.add("two")
            await asyncio.sleep(1)
            # Events of other things come meanwhile; the key waits, and others do not.
            controller.queue.add("one")
            controller.queue.add("three")
            await asyncio.sleep(1)
            assert creator.calls == [(0, "one"), (0, "two"), (1, "three")]
            creator.show()
            await settled()
            assert sorted(creator.calls[3:]) == [(2, "one"), (2, "three"), (2, "two")]
            assert len(creator.made) == 3
            assert (controller.own_write_waits, controller.own_write_timeouts) == (1, 0)


async def test_without_the_guard_it_does(caplog: pytest.LogCaptureFixture) -> None:
    async with Synced(own_writes=False) as it:
        creator = Creator(it.source, it.pods)
        async with creator.controller as controller:
            controller.queue.add("one")
            await asyncio.sleep(1)
            controller.queue.add("one")
            await asyncio.sleep(1)
    assert len(creator.made) == 2


async def test_a_key_waits_for_five_seconds_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    async with Synced() as it:
        it.source.selects = lambda obj: None
        creator = Creator(it.source, it.pods)
        async with creator.controller as controller:
            controller.queue.add("one")
            await asyncio.sleep(1)
            controller.queue.add("one")
            await asyncio.sleep(10)
            assert creator.calls == [(0, "one"), (6, "one")]
            assert controller.own_write_timeouts == 1
    assert "reconcile of one goes on after 5 s" in caplog.text


async def test_a_key_waits_for_what_other_parts_of_the_program_wrote_for_it() -> None:
    async with Synced(pod("a", 3, labels={"parent": "one"})) as it:
        creator = Creator(it.source, it.pods)
        async with creator.controller as controller:
            await settled()
            creator.calls.clear()
            # A web handler deletes the child: no event has come yet, and no reconcile may believe that it is there.
            it.source.deleted(pod("a", 3, labels={"parent": "one"}))
            controller.queue.add("one")
            await asyncio.sleep(1)
            assert creator.calls == []
            it.source.stream.deleted(pod("a", 15, labels={"parent": "one"}))
            await asyncio.sleep(1)
            assert creator.calls[0] == (1, "one")
            assert len(creator.made) == 1


async def test_an_answer_in_the_cache_costs_no_wait() -> None:
    async with Synced() as it:
        creator = Creator(it.source, it.pods)
        async with creator.controller as controller:
            controller.queue.add("one")
            await asyncio.sleep(1)
            assert len(creator.made) == 1
            # Its own write brought it back once, by the event.
            assert creator.calls == [(0, "one"), (0.1, "one")]
            assert controller.own_write_waits == 0


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
async def test_a_time_to_wait_that_makes_no_sense_is_refused(seconds: float) -> None:
    async def reconcile(key: ObjectKey) -> None: ...

    with pytest.raises(ValueError, match="own_writes"):
        Controller("x", reconcile, own_writes=seconds)


async def test_a_version_that_is_no_number_is_named_as_such() -> None:
    async with Synced(pod("a", 3)) as it:
        opaque = {"metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "eyJtMSI6IjYifQ"}}
        with pytest.raises(ValueError, match="no number: 'eyJtMSI6IjYifQ'. Writes to this API server cannot be waited"):
            await it.pods.caught_up(opaque)
