"""Lists by streaming (`sendInitialEvents`, KEP-3157): swapped in whole, in time, or given up for pages."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Self

import pytest

from kinformer.backoff import Backoff
from kinformer.errors import ConnectError, DecodeError, KinformerError, StreamBrokenError, api_error
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer import SharedInformer
from kinformer.listwatch import Delta, DeltaType, WatchBatch
from kinformer.reflector._state_machine import StreamingMemory
from tests.sources import FakeSource, now, pod, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.cache.storage import Storage
    from tests.sources import Stream

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("storage")]

EXPIRED = api_error(410, {"reason": "Expired", "message": "too old resource version"})
INVALID = api_error(422, {"reason": "Invalid", "message": "sendInitialEvents is forbidden"})


class Streamed:
    """An informer of a source that streams lists."""

    def __init__(self, *listed: Any, **options: Any) -> None:
        self.source = FakeSource(*listed)
        self.source.streaming = True
        self.errors: list[KinformerError] = []
        self.seen: list[Event] = []
        self.informer = SharedInformer(
            self.source, backoff=Backoff(jitter=0), on_error=lambda error, _: self.errors.append(error), **options
        )
        self.informer.add_event_handler(self.seen.append)

    @property
    def names(self) -> list[str]:
        return sorted(key.name for key in self.informer.snapshot())

    async def __aenter__(self) -> Self:
        self.informer.start()
        await self.source.watched()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.informer.stop()

    async def synced(self, *names: str, version: int = 10) -> Stream:
        """Bring the first list to its end."""
        stream = self.source.stream
        stream.added(*(pod(name, 3) for name in names))
        stream.end_bookmark(version)
        await self.informer.synced(timeout=1)
        await settled()
        return stream


async def test_nothing_is_in_the_cache_before_the_end_bookmark_and_everything_after_it() -> None:
    async with Streamed() as it:
        stream = it.source.stream
        assert stream.initial
        assert stream.resource_version == ""
        stream.added(pod("a", 3), pod("b", 4))
        await settled()
        assert (it.names, it.informer.has_synced, it.informer.status.listed) == ([], False, 2)
        stream.end_bookmark(10)
        await settled()
        assert (it.names, it.informer.has_synced) == (["a", "b"], True)
        assert it.seen == [Added(pod("a", 3), initial=True), Added(pod("b", 4), initial=True)]
        assert it.informer.status.resource_version == "10"
        assert it.source.lists == []


async def test_the_same_stream_goes_on_as_the_watch() -> None:
    async with Streamed() as it:
        stream = await it.synced("a")
        stream.modified(pod("a", 11))
        stream.deleted(pod("a", 12))
        await settled()
        assert [type(event) for event in it.seen] == [Added, Updated, Deleted]
        assert len(it.source.streams) == 1
        stream.end()
        await settled()
        assert (it.source.stream.initial, it.source.stream.resource_version) == (False, "12")


async def test_an_empty_list_is_a_list() -> None:
    async with Streamed() as it:
        await it.synced()
        assert it.informer.has_synced
        assert it.names == []


async def test_what_changes_before_the_end_bookmark_is_in_the_list_once() -> None:
    async with Streamed() as it:
        stream = it.source.stream
        stream.added(pod("a", 3), pod("b", 4), pod("c", 5))
        stream.modified(pod("a", 11))
        stream.deleted(pod("b", 12))
        stream.end_bookmark(12)
        await settled()
        assert it.seen == [Added(pod("a", 11), initial=True), Added(pod("c", 5), initial=True)]


async def test_a_bookmark_without_the_mark_ends_nothing() -> None:
    async with Streamed() as it:
        it.source.stream.added(pod("a", 3))
        it.source.stream.bookmark(10)
        await settled()
        assert not it.informer.has_synced


async def test_the_versions_of_the_objects_are_not_the_version_of_the_list() -> None:
    async with Streamed() as it:
        it.source.stream.added(pod("a", 9999))
        it.source.stream.fail(StreamBrokenError("broken"))
        await asyncio.sleep(1)
        # A list without an end says nothing about the version that was reached (client-go reflector.go, watchList).
        assert [version for _, version, _ in it.source.lists] == ["0"]


async def test_a_relist_never_starts_below_the_highest_version_seen() -> None:
    async with Streamed() as it:
        stream = await it.synced("a", version=10)
        stream.modified(pod("a", 25))
        stream.error(EXPIRED)
        await settled()
        assert (it.source.stream.initial, it.source.stream.resource_version) == (True, "25")


async def test_a_relist_tells_what_was_missed_and_nothing_else() -> None:
    async with Streamed() as it:
        stream = await it.synced("kept", "gone")
        it.seen.clear()
        stream.error(EXPIRED)
        await settled()
        it.source.stream.added(pod("kept", 3), pod("new", 20))
        it.source.stream.end_bookmark(20)
        await settled()
        assert it.seen == [Deleted(pod("gone", 3), final_state_known=False), Added(pod("new", 20))]
        assert it.informer.status.lists == {"initial": 1, "expired": 1}


async def test_unchanged_objects_of_a_relist_are_not_held_twice_nor_transformed_again(storage: Storage) -> None:
    transformed: list[str] = []

    def transform(manifest: dict[str, Any]) -> dict[str, Any]:
        transformed.append(manifest["metadata"]["name"])
        return manifest

    async with Streamed(transform=transform) as it:
        stream = await it.synced("a", "b")
        before = it.informer.indexer.copy()
        stream.error(EXPIRED)
        await settled()
        it.source.stream.added(pod("a", 3), pod("b", 21))
        it.source.stream.end_bookmark(21)
        await settled()
        assert transformed == ["a", "b", "b"]
        after = it.informer.indexer.copy()
        key = pod("a").key
        assert after[key] == before[key]
        # What is compressed may have been compressed anew meanwhile, with another dictionary.
        assert storage == "compact" or after[key].raw is before[key].raw


async def test_a_list_that_makes_no_progress_is_given_up_for_pages_and_that_is_remembered_with_the_reason() -> None:
    async with Streamed(pod("a", 3)) as it:
        it.source.stream.added(pod("a", 3))
        await asyncio.sleep(19)
        # Changes of what is known and plain bookmarks are no progress: an old server sends them for ever.
        it.source.stream.modified(pod("a", 4))
        it.source.stream.bookmark(5)
        await asyncio.sleep(0.9)
        assert it.source.lists == []
        await asyncio.sleep(0.2)
        assert [at for at, *_ in it.source.lists] == [pytest.approx(20, abs=0.1)]
        assert it.informer.has_synced
        reason = it.informer.status.streaming_off
        assert "no end bookmark, and nothing new for 20 s after 1 objects" in reason
        await it.source.watched()
        it.source.stream.error(EXPIRED)
        await settled()
        assert len(it.source.lists) == 2


async def test_new_objects_are_progress() -> None:
    async with Streamed(stream_deadline=10.0) as it:
        for number in range(10):
            it.source.stream.added(pod(f"p{number}", 3))
            await asyncio.sleep(9)
        it.source.stream.end_bookmark(10)
        await settled()
        assert len(it.names) == 10
        assert it.errors == []


@pytest.mark.parametrize("status", [400, 405, 415, 422])
async def test_a_server_that_does_not_stream_lists_is_asked_once_and_gives_pages_at_once(status: int) -> None:
    source = FakeSource(pod("a"))
    source.streaming = True
    source.watch_errors = [api_error(status, {"message": "sendInitialEvents is forbidden"})]
    memory = StreamingMemory()
    async with SharedInformer(source, streaming=memory) as informer:
        await informer.synced(timeout=1)
        assert now() == pytest.approx(0, abs=0.01)
        assert "sendInitialEvents is forbidden" in informer.status.streaming_off
    again = FakeSource(pod("a"))
    again.streaming = True
    async with SharedInformer(again, streaming=memory) as informer:
        await informer.synced(timeout=1)
        assert not any(stream.initial for stream in again.streams)


@pytest.mark.parametrize(
    "failure",
    [
        lambda stream: stream.end(),
        lambda stream: stream.fail(StreamBrokenError("broken")),
        lambda stream: stream.error(api_error(500, {"reason": "InternalError"})),
    ],
    ids=["closed", "broken", "error event"],
)
async def test_a_stream_that_comes_to_no_end_is_followed_by_pages_and_after_three_always(
    failure: Callable[[Stream], None],
) -> None:
    async with Streamed(pod("a")) as it:
        for number in range(1, 4):
            failure(await it.source.watched())
            await asyncio.sleep(5)
            assert len(it.source.lists) == number
            assert it.names == ["a"]
            assert bool(it.informer.status.streaming_off) == (number == 3)
            it.source.version = 10 * number + 5
            it.source.stream.added(pod("a", it.source.version))
            it.source.stream.error(EXPIRED)
            await settled()
        assert [stream.initial for stream in it.source.streams] == [True, False, True, False, True, False, False]
        # With a pause in between.
        assert it.source.lists[0][0] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    "error",
    [ConnectError("refused"), api_error(429), api_error(503), api_error(401), api_error(404)],
    ids=["refused", "429", "503", "401", "404"],
)
async def test_what_pages_would_meet_as_well_says_nothing_against_streaming(error: KinformerError) -> None:
    source = FakeSource(pod("a"))
    source.streaming = True
    source.watch_errors = [error] * 2
    source.list_errors = [error] * 3
    async with SharedInformer(source, backoff=Backoff(jitter=0)) as informer:
        stream = await source.watched()
        # After two failures pages are asked for, in case that only watches fail.
        assert [(stream.initial, stream.closed) for stream in source.streams] == [(True, True)] * 2 + [(False, False)]
        assert len(source.lists) == 4
        assert informer.status.streaming_off == ""
        stream.error(EXPIRED)
        await settled()
        assert source.stream.initial


async def test_a_forbidden_watch_still_leaves_a_list() -> None:
    source = FakeSource(pod("a"))
    source.streaming = True
    source.watch_errors = [api_error(403, {"reason": "Forbidden"})] * 100
    async with SharedInformer(source, backoff=Backoff(jitter=0)) as informer:
        await informer.synced(timeout=1)
        assert len(informer.lister) == 1
        await asyncio.sleep(1)
        assert informer.status.failures > 0
        assert informer.status.streaming_off == ""


@pytest.mark.parametrize("how", ["refused", "error event"])
async def test_a_version_the_server_cannot_serve_is_followed_by_one_it_can_at_once(how: str) -> None:
    async with Streamed() as it:
        stream = await it.synced("a")
        if how == "refused":
            it.source.watch_errors = [EXPIRED]
        began = now()
        stream.error(EXPIRED)
        await settled()
        if how == "error event":
            it.source.stream.error(EXPIRED)
            await settled()
        last = it.source.stream
        assert (last.initial, last.resource_version) == (True, "")
        assert last.opened_at - began < 0.01


async def test_an_object_that_cannot_be_decoded_is_left_out_of_the_list_and_reported() -> None:
    async with Streamed() as it:
        failure = DecodeError("bad", key="default/bad", resource="pods.v1")
        batch = WatchBatch([Delta(DeltaType.ADDED, pod("good", 3))], "3", failures=[failure])
        it.source.stream.queue.put_nowait(batch)
        it.source.stream.end_bookmark(10)
        await settled()
        assert it.names == ["good"]
        assert it.errors == [failure]


async def test_410_for_ever_backs_off_also_when_each_list_succeeds() -> None:
    async with Streamed() as it:
        times = []
        await it.synced("a")
        for _ in range(6):
            stream = await it.source.watched()
            if stream.initial and stream is not it.source.streams[0]:
                stream.end_bookmark(10)
                await settled()
            times.append(now())
            stream.error(EXPIRED)
            while not stream.closed:
                await settled()
        gaps = [after - before for before, after in itertools.pairwise(times)]
        # At once after the first, then 0.8, 1.6, ... seconds.
        assert gaps == [pytest.approx(gap, abs=0.02) for gap in (0, 0.8, 1.6, 3.2, 6.4)]


async def test_a_source_that_does_not_stream_lists_is_never_asked_to() -> None:
    source = FakeSource(pod("a"))
    async with SharedInformer(source) as informer:
        await informer.synced(timeout=1)
        stream = await source.watched()
        stream.error(EXPIRED)
        await settled()
        assert [stream.initial for stream in source.streams] == [False, False]
        assert informer.status.streaming_off == "this source does not stream lists"
