"""The reflector on virtual time: what it asks for, when, and what it does with the answers."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any, Self

import pytest

from kinformer.backoff import Backoff
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.cache._pushed_fifo import PushedFIFO
from kinformer.cache.delta_fifo import DeltaType
from kinformer.errors import ConnectError, DecodeError, StreamBrokenError, TransformError, api_error
from kinformer.listwatch import Delta, WatchBatch
from kinformer.reflector import _reflector
from kinformer.reflector._reflector import Reflector
from kinformer.reflector._state_machine import ReflectorMachine
from kinformer.status import InformerState, StatusRecord
from tests.sources import FakeSource, now, pod, settled

if TYPE_CHECKING:
    from kinformer.reflector._ingest import Transform

pytestmark = pytest.mark.looptime


class Running:
    """A reflector at work, with what it fills and what it says."""

    def __init__(self, source: FakeSource, transform: Transform | None = None) -> None:
        self.source = source
        self.indexer = InformerIndexer()
        self.fifo = PushedFIFO(self.indexer)
        self.status = StatusRecord()
        self.errors: list[BaseException] = []
        self.machine = ReflectorMachine(Backoff(jitter=0), rng=random.Random(1))
        self.reflector = Reflector(
            source,
            self.fifo,
            machine=self.machine,
            status=self.status,
            transform=transform,
            on_error=self.errors.append,
        )

    def popped(self) -> list[tuple[str, list[DeltaType]]]:
        """What is queued, taken out and put into the cache as an informer would."""
        found = []
        while (item := self.fifo.pop_nowait()) is not None:
            found.append((item.key.name, [delta.type for delta in item.deltas]))
            for delta in item.deltas:
                if delta.type is DeltaType.DELETED:
                    self.indexer.delete(item.key)
                else:
                    self.indexer.put(item.key, delta.object)
        return found

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self.task = self._group.create_task(self.reflector.run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.task.cancel()
        await self._group.__aexit__(None, None, None)


async def test_the_first_list_is_from_the_watch_cache_in_pages_and_the_watch_goes_on_from_its_version() -> None:
    # client-go: TestReflectorListAndWatch
    source = FakeSource(pod("a"), pod("b"), version=7)
    async with Running(source) as running:
        stream = await source.watched()
        assert [(version, limit) for _, version, limit in source.lists] == [("0", 500)]
        assert stream.resource_version == "7"
        assert running.popped() == [("a", [DeltaType.REPLACED]), ("b", [DeltaType.REPLACED])]
        assert running.status.state is InformerState.WATCHING
        assert running.status.lists == {"initial": 1}


async def test_a_watch_asks_for_a_timeout_between_five_and_ten_minutes() -> None:
    # client-go: TestWatchTimeout
    machine = ReflectorMachine(rng=random.Random(3))
    machine.listed("1", pages=1)
    timeouts = {machine.next_step().timeout_seconds for _ in range(2000)}  # type: ignore[union-attr]
    assert min(timeouts) == 300
    assert max(timeouts) == 600


async def test_events_are_queued_by_what_they_are() -> None:
    # client-go: TestReflectorWatchHandler
    source = FakeSource(pod("a"), version=7)
    async with Running(source) as running:
        stream = await source.watched()
        running.popped()
        stream.added(pod("b", 8))
        stream.modified(pod("a", 9))
        stream.deleted(pod("b", 10))
        await settled()
        assert running.popped() == [("b", [DeltaType.ADDED, DeltaType.DELETED]), ("a", [DeltaType.UPDATED])]
        assert running.status.received_version == "10"
        assert running.status.events == 3


async def test_a_stream_the_server_ended_is_resumed_at_once_from_the_last_version() -> None:
    source = FakeSource(version=7)
    async with Running(source):
        stream = await source.watched()
        stream.added(pod("a", 8))
        await asyncio.sleep(60)
        stream.bookmark(20)
        await asyncio.sleep(240)
        stream.end()
        await settled()
        assert source.stream.resource_version == "20"
        assert source.stream.opened_at == pytest.approx(300, abs=0.001)
        assert len(source.lists) == 1


async def test_streams_that_end_at_once_are_reopened_ever_more_slowly_and_lists_keep_the_cache_right() -> None:
    source = FakeSource(version=7)
    async with Running(source):
        for _ in range(9):
            (await source.watched()).end()
            await settled()
            while not source.open_streams:
                await asyncio.sleep(0.1)
        pauses = [round(b.opened_at - a.opened_at, 1) for a, b in itertools.pairwise(source.streams)]
        assert pauses == [0, 0.8, 1.6, 3.2, 6.4, 12.4, 22.0, 22.0, 22.0]
        # After three watches that brought nothing, then so often that the cache is never older than half a minute.
        assert [round(at) for at, *_ in source.lists] == [0, 2, 24, 46, 68, 90]


async def test_an_expired_version_relists_at_once_not_older_than_what_was_seen() -> None:
    # client-go: TestReflectorResyncWithResourceVersion; no pause after a healthy watch
    source = FakeSource(pod("a"), version=7)
    async with Running(source) as running:
        stream = await source.watched()
        stream.added(pod("b", 8))
        await asyncio.sleep(60)
        running.popped()
        source.objects, source.version = [pod("c", 30)], 31
        stream.error(api_error(410, {"reason": "Expired", "message": "too old resource version: 8 (30)"}))
        await settled()
        assert [(round(at), version, limit) for at, version, limit in source.lists] == [(0, "0", 500), (60, "8", 0)]
        assert running.popped() == [
            ("a", [DeltaType.DELETED]),
            ("b", [DeltaType.DELETED]),
            ("c", [DeltaType.REPLACED]),
        ]
        assert running.status.lists == {"initial": 1, "expired": 1}
        assert source.stream.resource_version == "31"


async def test_versions_that_expire_again_and_again_back_off() -> None:
    source = FakeSource(version=7)
    source.watch_errors = [api_error(410, {"reason": "Expired"}) for _ in range(5)]
    async with Running(source):
        await source.watched()
        # The relist comes at once the first time; after that each round waits longer before its list.
        assert [round(at, 1) for at, _, _ in source.lists] == [0, 0, 0.8, 2.4, 5.6, 12.0]


async def test_an_expired_version_reported_inside_the_stream_again_and_again_backs_off_too() -> None:
    source = FakeSource(version=7)
    async with Running(source):
        for _ in range(5):
            (await source.watched()).error(api_error(410, {"reason": "Expired"}))
            await settled()
            while not source.open_streams:
                await asyncio.sleep(0.1)
        assert [round(at, 1) for at, _, _ in source.lists] == [0, 0, 0.8, 2.4, 5.6, 12.0]


async def test_streams_that_bring_one_event_and_end_are_slowed_down_but_not_ever_more() -> None:
    source = FakeSource(version=7)
    async with Running(source):
        for version in range(11, 17):
            stream = await source.watched()
            stream.added(pod("a", version))
            stream.end()
            await settled()
            while not source.open_streams:
                await asyncio.sleep(0.1)
        pauses = [round(b.opened_at - a.opened_at, 1) for a, b in itertools.pairwise(source.streams)]
        assert pauses == [0, 0.8, 0.8, 0.8, 0.8, 0.8]


async def test_a_list_version_that_expired_is_followed_by_a_quorum_list_at_once() -> None:
    # client-go: TestReflectorExpiredExactResourceVersion, TestReflectorFullListIfTooLarge
    source = FakeSource(version=7)
    async with Running(source):
        stream = await source.watched()
        await asyncio.sleep(5)
        too_large = api_error(504, {"reason": "Timeout", "message": "Too large resource version: 7, current: 3"})
        source.list_errors = [too_large]
        stream.error(api_error(410, {"reason": "Expired"}))
        await settled()
        assert [version for _, version, _ in source.lists] == ["0", "7", ""]
        assert now() == pytest.approx(5, abs=0.01)


async def test_a_refused_connection_is_tried_again_with_growing_pauses() -> None:
    # client-go: TestReflectorListAndWatchInitConnBackoff
    source = FakeSource(pod("a"))
    source.list_errors = [ConnectError("refused") for _ in range(8)]
    async with Running(source) as running:
        await source.watched()
        starts = [at for at, _, _ in source.lists]
        assert [round(b - a, 1) for a, b in itertools.pairwise(starts)] == [
            *(0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0)
        ]
        assert len(running.errors) == 8
        assert running.status.failures == 0
        assert isinstance(running.status.last_error, ConnectError)


async def test_the_log_of_a_failure_says_when_the_next_attempt_is(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(pod("a"))
    source.list_errors = [ConnectError("refused"), api_error(404, {"reason": "NotFound"})]
    async with Running(source):
        await source.watched()
    said = [record.getMessage() for record in caplog.records if "failed (" in record.getMessage()]
    assert [message.rpartition("; ")[2] for message in said] == ["next try in 0.8 s", "next try in 30 s"]


async def test_a_watch_that_is_refused_slowly_is_one_more_failure_in_the_row() -> None:
    source = FakeSource(version=7)
    source.watch_errors = [api_error(500), api_error(500)]
    async with Running(source) as running:
        await asyncio.sleep(0.5)
        assert running.machine.failures == 1
        source.refusal_delay = 6.0
        await asyncio.sleep(7)
        assert [round(stream.opened_at, 1) for stream in source.streams] == [0, 0.8]
        assert running.machine.failures == 2


async def test_watches_refused_for_load_are_repeated_without_a_list_and_as_late_as_the_server_asks() -> None:
    # client-go: TestNoRelistOnTooManyRequests, TestBackoffOnTooManyRequests
    source = FakeSource(version=7)
    source.watch_errors = [api_error(429, {"reason": "TooManyRequests"}, retry_after=7) for _ in range(2)]
    async with Running(source):
        await source.watched()
        assert [round(stream.opened_at) for stream in source.streams] == [0, 7, 14]
        assert len(source.lists) == 1


async def test_a_broken_stream_is_resumed_not_relisted() -> None:
    source = FakeSource(version=7)
    async with Running(source):
        stream = await source.watched()
        await asyncio.sleep(10)
        stream.added(pod("a", 8))
        await asyncio.sleep(30)
        stream.fail(StreamBrokenError("reset"))
        await asyncio.sleep(1)
        assert source.stream is not stream
        assert source.stream.resource_version == "8"
        assert len(source.lists) == 1


async def test_a_list_older_than_what_was_seen_is_refused_and_a_quorum_list_is_made() -> None:
    source = FakeSource(pod("a", 50), version=50)
    async with Running(source) as running:
        stream = await source.watched()
        await asyncio.sleep(5)
        running.popped()
        source.objects, source.version = [], 40
        stream.error(api_error(410, {"reason": "Expired"}))
        await settled()
        assert running.popped() == []  # an API server that lags behind deletes nothing
        source.objects, source.version = [pod("a", 50)], 60
        await asyncio.sleep(1)
        assert [version for _, version, _ in source.lists] == ["0", "50", ""]
        assert running.status.received_version == "60"


async def test_one_object_that_cannot_be_decoded_is_reported_and_stops_nothing() -> None:
    source = FakeSource(pod("a"), version=7)
    async with Running(source) as running:
        stream = await source.watched()
        running.popped()
        broken = DecodeError("cannot be decoded", key="default/a", resource="pods.v1")
        stream.send(failures=[broken])
        stream.added(pod("b", 9))
        await settled()
        # What is known of it is no longer true, so it is left out until it can be read again.
        assert running.popped() == [("a", [DeltaType.DELETED]), ("b", [DeltaType.ADDED])]
        assert running.errors == [broken]
        assert running.status.left_out == 1


async def test_a_transform_is_called_once_per_object_and_may_leave_objects_out() -> None:
    # client-go: TestTransformingInformer, TestReflectorRespectStoreTransformer (there five calls for three objects)
    calls = []

    def keep_only_labels(manifest: dict[str, Any]) -> dict[str, Any] | None:
        calls.append(manifest["metadata"]["name"])
        manifest.pop("spec", None)
        return None if manifest["metadata"]["name"] == "secret" else manifest

    source = FakeSource(pod("a", spec={"nodeName": "n"}), pod("secret"), version=7)
    async with Running(source, keep_only_labels) as running:
        stream = await source.watched()
        assert running.popped() == [("a", [DeltaType.REPLACED])]
        stream.modified(pod("a", 8, spec={"nodeName": "m"}), pod("secret", 9))
        await settled()
        assert running.popped() == [("a", [DeltaType.UPDATED])]
        assert calls == ["a", "secret", "a", "secret"]
        (kept,) = running.indexer.list()
        assert "spec" not in kept


async def test_a_transform_that_raises_leaves_out_that_object_alone_until_it_works() -> None:
    def fragile(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"].get("labels", {}).get("bad"):
            raise ZeroDivisionError
        return manifest

    source = FakeSource(pod("a", labels={"bad": "1"}), pod("b"), version=7)
    async with Running(source, fragile) as running:
        stream = await source.watched()
        assert running.popped() == [("b", [DeltaType.REPLACED])]
        stream.modified(pod("a", 8), pod("b", 9, labels={"bad": "1"}))
        await settled()
        assert running.popped() == [("a", [DeltaType.UPDATED]), ("b", [DeltaType.DELETED])]
        assert [type(error) for error in running.errors] == [TransformError, TransformError]
        assert [getattr(error, "key", "") for error in running.errors] == ["default/a", "default/b"]


async def test_a_transform_may_not_change_what_identifies_the_object() -> None:
    def rename(manifest: dict[str, Any]) -> dict[str, Any]:
        manifest["metadata"]["name"] += "-x"
        return manifest

    source = FakeSource(pod("a"))
    async with Running(source, rename) as running:
        await source.watched()
        assert running.popped() == []
        assert "changed name" in str(running.errors[0])


async def test_cancelling_closes_the_watch() -> None:
    # client-go: TestReflectorStopWatch, TestRunUntil
    source = FakeSource()
    async with Running(source):
        await source.watched()
        assert source.open_streams == 1
    assert source.open_streams == 0


async def test_a_pause_can_be_cancelled() -> None:
    source = FakeSource()
    source.list_errors = [api_error(503, retry_after=1000)]
    async with Running(source):
        await asyncio.sleep(1)
    assert now() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "sends",
    ["older bookmarks", "bookmarks without a version", "older events", "known events", "events without a version"],
)
async def test_a_watch_that_sends_nothing_new_for_a_while_gives_way_to_a_list(sends: str) -> None:
    source = FakeSource(pod("a", 10), version=100)
    async with Running(source) as running:
        stream = await source.watched()
        source.version = 120
        for _ in range(20):
            match sends:
                case "older bookmarks":
                    stream.bookmark(90)
                case "bookmarks without a version":
                    stream.put(WatchBatch((), ""))
                case "older events":
                    stream.modified(pod("a", 10))
                case "known events":
                    stream.modified(pod("a", 100))
                case "events without a version":
                    stream.put(WatchBatch([Delta(DeltaType.UPDATED, pod("a", 100))], ""))
            await asyncio.sleep(1)
        assert running.status.errors["ProtocolError"] == 1
        assert [when for when, *_ in source.lists][1:] == [pytest.approx(13, abs=1.5)]
        assert running.machine.resource_version == "120"


async def test_bookmarks_of_the_version_that_is_known_are_those_of_a_quiet_resource() -> None:
    source = FakeSource(pod("a", 10), version=100)
    async with Running(source) as running:
        stream = await source.watched()
        for _ in range(30):
            stream.bookmark(100)
            await asyncio.sleep(60)
        assert (len(source.lists), running.errors) == (1, [])


@pytest.mark.parametrize("change", ["changed", "deleted", "nothing"])
async def test_what_a_silent_watch_did_not_bring_and_a_list_shows_makes_watches_short(change: str) -> None:
    source = FakeSource(pod("a", 7), pod("b", 7), version=7)
    async with Running(source):
        stream = await source.watched()
        await asyncio.sleep(30)
        source.version = 9
        source.objects = {
            "changed": [pod("a", 7), pod("b", 9)],
            "deleted": [pod("a", 7)],
            "nothing": [pod("a", 7), pod("b", 7)],
        }[change]
        stream.fail(StreamBrokenError("reset"))
        await asyncio.sleep(3)
        assert len(source.lists) == 2
        assert (source.stream.timeout_seconds == 20) == (change != "nothing")


@pytest.mark.parametrize("pushes", [False, True])
@pytest.mark.parametrize("then", ["silence", "an event", "a relist"])
async def test_a_watch_on_trial_gives_way_to_a_list_unless_it_works(then: str, pushes: bool) -> None:
    source = FakeSource(pod("a"), version=7)
    source.pushes = pushes
    source.watch_errors, source.refusal_delay = [None, ConnectError("refused")], 9.0
    async with Running(source) as running:
        (await source.watched()).fail(StreamBrokenError("reset"))
        await asyncio.sleep(15)
        stream = await source.watched()
        await asyncio.sleep(5)
        if then == "an event":
            stream.added(pod("b", 8))
        elif then == "a relist":
            running.reflector.relist()
        await asyncio.sleep(60)
        lists = [round(time) for time, _, _ in source.lists[1:]]
        assert lists == {"silence": [28], "an event": [], "a relist": [20]}[then]
        assert source.open_streams == 1
        assert len(running.errors) == 2  # the end of a trial is none


async def test_a_relist_that_follows_a_list_at_once_frees_none_of_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reflector, "_QUEUED_PER_SLICE", 2)
    left: list[int] = []
    free = _reflector._free_in_turns

    def freed(kept: Any) -> None:
        before = len(kept)
        free(kept)
        left.append(len(kept))
        assert before - len(kept) <= 2

    monkeypatch.setattr(_reflector, "_free_in_turns", freed)
    async with Running(FakeSource(*(pod(str(number)) for number in range(21)))) as running:
        while not running.reflector.lists:
            await asyncio.sleep(0)
        running.reflector.relist()
        await settled()
        assert running.reflector.lists == 2
    assert left[0] > 10, "the relist came in the midst of it"
    assert left[-1] == 0
    assert len(left) > left[0] / 2
