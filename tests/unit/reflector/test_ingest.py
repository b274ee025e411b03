"""What arrives from several places at once: the newest state of an object is the one that stays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.cache._process_deltas import apply_changes
from kinformer.cache._pushed_fifo import PushedFIFO
from kinformer.informer import SharedInformer
from kinformer.reflector._ingest import Intake
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.events import Event
    from kinformer.objects import KubeObject, ObjectKey


class Pipeline:
    """An intake, with a cache that takes what it queues."""

    def __init__(self) -> None:
        self.indexer = InformerIndexer()
        self.fifo = PushedFIFO(self.indexer)
        self.events: list[Event] = []
        self.intake = Intake(
            self.fifo, transform=None, trim=None, cached=self.indexer.known_as, left_out=lambda error: None
        )

    def drain(self) -> dict[str, str]:
        """Everything into the cache; returns the version of each object there."""
        while len(self.fifo):
            changes, initial = self.fifo.take(100)
            apply_changes(changes, self.indexer, self.events, initial=initial)
        return {obj.name: obj.resource_version for obj in self.indexer.list()}


def test_a_write_s_answer_that_comes_between_the_slices_of_a_list_is_not_taken_back_by_the_rest_of_it() -> None:
    pipeline = Pipeline()
    listed = {obj.key: obj for obj in (pod("a", 1), pod("b", 2), pod("c", 3))}
    for number, _ in enumerate(pipeline.intake.queue_list(listed, 9, slice_size=1)):
        pipeline.drain()
        if number == 0:
            # Of one that was queued already, of one that was not, and of one that the list does not have.
            assert pipeline.intake.observe(pod("a", 10))
            assert pipeline.intake.observe(pod("b", 12))
            assert pipeline.intake.observe(pod("b", 11)), "answers may come in the other order"
            assert pipeline.intake.observe(pod("d", 13))
            pipeline.drain()
    assert pipeline.drain() == {"a": "10", "b": "12", "c": "3", "d": "13"}
    assert [type(event).__name__ for event in pipeline.events if event.key.name == "b"] == ["Added"]


def test_a_late_answer_to_a_write_does_not_bring_back_what_the_list_that_is_queued_lacks() -> None:
    pipeline = Pipeline()
    listed = {obj.key: obj for obj in (pod("a", 1), pod("b", 2))}
    for _ in pipeline.intake.queue_list(listed, 9, slice_size=1):
        # Written at 5 and deleted at 8, before the list at 9: no event is to come.
        assert not pipeline.intake.observe(pod("d", 5))
        pipeline.drain()
    assert pipeline.drain() == {"a": "1", "b": "2"}
    assert pipeline.intake.observed == {}


def test_what_is_observed_after_a_list_was_queued_meets_no_rest_of_it() -> None:
    pipeline = Pipeline()
    listed = {obj.key: obj for obj in (pod("a", 1), pod("b", 2))}
    for _ in pipeline.intake.queue_list(listed, 9, slice_size=1):
        pass
    assert pipeline.intake.observe(pod("a", 10))
    assert listed[pod("a").key].resource_version == "1"
    assert pipeline.drain() == {"a": "10", "b": "2"}


def test_an_object_that_was_created_anew_between_the_slices_is_not_deleted_by_the_list_that_lacks_it() -> None:
    for turn in range(3):
        pipeline = Pipeline()
        old = {obj.key: obj for obj in (pod("a", 1), pod("b", 2), pod("c", 3))}
        for _ in pipeline.intake.queue_list(old, 4, slice_size=10):
            pass
        pipeline.drain()
        pipeline.events.clear()
        # "b" and "c" are deleted on the server; while the list is queued, this program creates "c" again.
        for number, _ in enumerate(pipeline.intake.queue_list({pod("a", 1).key: pod("a", 1)}, 9, slice_size=1)):
            if number == turn:
                assert pipeline.intake.observe(pod("c", 10, uid="another"))
            pipeline.drain()
        assert pipeline.drain() == {"a": "1", "c": "10"}
        assert [(type(e).__name__, e.key.name) for e in pipeline.events if e.key.name == "c"] == [
            ("Deleted", "c"),
            ("Added", "c"),
        ]


@pytest.mark.parametrize("versions", [(3, 5), (5, 3)])
async def test_of_two_states_of_an_object_in_one_list_the_newer_one_counts(versions: tuple[int, int]) -> None:
    kept: dict[ObjectKey, KubeObject] = {}
    await Pipeline().intake.keep([pod("a", version) for version in versions], kept)
    assert [obj.resource_version for obj in kept.values()] == ["5"]


@pytest.mark.looptime
async def test_while_it_watches_nothing_of_a_list_is_left_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lists: list[dict[ObjectKey, KubeObject]] = []
    queue_list = Intake.queue_list

    def noted(self: Intake, kept: dict[ObjectKey, KubeObject], *args: Any, **options: Any) -> Any:
        lists.append(kept)
        return queue_list(self, kept, *args, **options)

    monkeypatch.setattr(Intake, "queue_list", noted)
    source = FakeSource(*(pod(f"p{number}") for number in range(300)))
    async with SharedInformer(source) as informer:
        await source.watched()
        await settled()
        assert len(informer.lister) == 300
        # A dict whose entries were taken out one by one keeps the table for them.
        assert [sys.getsizeof(kept) for kept in lists] == [sys.getsizeof({})]
