"""The queue of changes: what is kept, what is dropped, in which order it comes out, and when it counts as synced."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from kinformer.cache.delta_fifo import Delta, DeltaFIFO, DeltaType, VersionMark
from kinformer.cache.indexer import Indexer
from kinformer.errors import StoppedError
from kinformer.objects import ObjectKey
from tests.sources import pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.objects import KubeObject

A, B, C = (ObjectKey("default", name) for name in "abc")


def knowing(*objects: KubeObject) -> Indexer:
    """A cache that has these."""
    indexer = Indexer()
    indexer.replace(objects)
    return indexer


def by_key(*objects: KubeObject) -> dict[ObjectKey, KubeObject]:
    return {obj.key: obj for obj in objects}


def drained(fifo: DeltaFIFO) -> list[str]:
    """Everything that can be popped, each key as "name: what@version ...", "unseen" where the end was inferred."""
    texts = []
    while (item := fifo.pop_nowait()) is not None:
        changes = (
            f"{delta.type.name}@{delta.object.resource_version}{'' if delta.final_state_known else ' unseen'}"
            for delta in item.deltas
        )
        texts.append(f"{item.key.name}: {', '.join(changes)}")
    return texts


def test_the_changes_of_a_key_come_out_together_and_oldest_first() -> None:
    # client-go: TestDeltaFIFO_addUpdate
    fifo = DeltaFIFO()
    fifo.add(pod("a", 1))
    fifo.update(pod("a", 2))
    fifo.delete(pod("a", 3))
    assert len(fifo) == 1
    assert drained(fifo) == ["a: ADDED@1, UPDATED@2, DELETED@3"]
    assert fifo.pop_nowait() is None
    assert A not in fifo


def test_a_key_keeps_the_place_it_got_first_and_goes_to_the_end_once_it_was_popped() -> None:
    # client-go: TestDeltaFIFO_detectLineJumpers
    fifo = DeltaFIFO()
    for name, version in (("a", 1), ("b", 2), ("c", 3), ("a", 4)):
        fifo.update(pod(name, version))
    assert fifo.list_keys() == [A, B, C]
    popped = fifo.pop_nowait()
    assert popped is not None
    assert (popped.key, [delta.object.resource_version for delta in popped.deltas]) == (A, ["1", "4"])
    fifo.update(pod("a", 5))
    assert drained(fifo) == ["b: UPDATED@2", "c: UPDATED@3", "a: UPDATED@5"]


async def test_consumers_share_what_producers_queue_and_each_producer_s_order_is_kept() -> None:
    # client-go: TestDeltaFIFO_basic
    fifo = DeltaFIFO()
    popped: list[str] = []

    async def produce(producer: str) -> None:
        for number in range(50):
            fifo.add(pod(f"{producer}-{number}"))
            if number % 7 == 0:
                await asyncio.sleep(0)

    async def consume() -> None:
        while True:
            try:
                popped.append((await fifo.pop()).key.name)
            except StoppedError:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as consumers:
        for _ in range(3):
            consumers.create_task(consume())
        async with asyncio.TaskGroup() as producers:
            producers.create_task(produce("one"))
            producers.create_task(produce("two"))
        fifo.close()
    for producer in ("one", "two"):
        mine = [name for name in popped if name.startswith(producer)]
        assert mine == [f"{producer}-{number}" for number in range(50)]


def test_the_deletion_of_what_is_neither_known_nor_queued_is_dropped() -> None:
    # client-go: TestDeltaFIFO_enqueueingNoLister, TestDeltaFIFO_enqueueingWithLister
    without = DeltaFIFO()
    without.delete(pod("a"))
    assert drained(without) == []
    with_cache = DeltaFIFO(knowing(pod("a")))
    with_cache.delete(pod("a", 5))
    with_cache.delete(pod("b", 6))
    assert drained(with_cache) == ["a: DELETED@5"]


def test_the_deletion_of_an_object_that_is_only_queued_is_kept() -> None:
    # client-go: TestDeltaFIFO_DeleteExistingNonPropagated
    fifo = DeltaFIFO(knowing())
    fifo.add(pod("a", 1))
    fifo.delete(pod("a", 2))
    assert drained(fifo) == ["a: ADDED@1, DELETED@2"]


@pytest.mark.parametrize(
    ("first_known", "second_known", "kept"),
    [
        (True, True, "DELETED@2"),
        (True, False, "DELETED@1"),
        (False, True, "DELETED@2"),
        (False, False, "DELETED@2 unseen"),
    ],
)
def test_of_two_deletions_in_a_row_the_one_that_says_more_is_kept(
    first_known: bool, second_known: bool, kept: str
) -> None:
    fifo = DeltaFIFO(knowing(pod("a")))
    fifo.delete(pod("a", 1), final_state_known=first_known)
    fifo.delete(pod("a", 2), final_state_known=second_known)
    assert drained(fifo) == [f"a: {kept}"]


def test_two_deletions_with_a_life_between_them_are_both_kept() -> None:
    fifo = DeltaFIFO(knowing(pod("a")))
    fifo.delete(pod("a", 1))
    fifo.add(pod("a", 2))
    fifo.delete(pod("a", 3))
    assert drained(fifo) == ["a: DELETED@1, ADDED@2, DELETED@3"]


def test_a_list_is_queued_as_replaced_after_the_deletions_it_implies() -> None:
    # client-go: TestDeltaFIFO_ReplaceMakesDeletionsReplaced, TestDeltaFIFO_ReplaceDeltaType
    fifo = DeltaFIFO(knowing(pod("a", 1), pod("b", 1)))
    fifo.replace([pod("c", 9), pod("b", 9)])
    assert drained(fifo) == ["a: DELETED@1 unseen", "c: REPLACED@9", "b: REPLACED@9"]


QUEUED_BEFORE_A_LIST: list[tuple[str, Callable[[DeltaFIFO], object], list[str]]] = [
    ("a queued deletion", lambda q: q.delete(pod("b", 5)), ["b: DELETED@5", "a: DELETED@1 unseen", "c: REPLACED@9"]),
    (
        "a queued addition",
        lambda q: q.add(pod("d", 5)),
        ["d: ADDED@5, DELETED@5 unseen", "a: DELETED@1 unseen", "b: DELETED@1 unseen", "c: REPLACED@9"],
    ),
    (
        "queued news of a known object",
        lambda q: q.update(pod("b", 5)),
        ["b: UPDATED@5, DELETED@5 unseen", "a: DELETED@1 unseen", "c: REPLACED@9"],
    ),
    (
        "an addition that ended in the queue",
        lambda q: [act(obj) for act, obj in ((q.add, pod("d", 5)), (q.delete, pod("d", 6)))],
        ["d: ADDED@5, DELETED@6", "a: DELETED@1 unseen", "b: DELETED@1 unseen", "c: REPLACED@9"],
    ),
    (
        "queued news of a listed object",
        lambda q: q.update(pod("c", 5)),
        ["c: UPDATED@5, REPLACED@9", "a: DELETED@1 unseen", "b: DELETED@1 unseen"],
    ),
]


@pytest.mark.parametrize(
    ("queue_up", "expected"),
    [case[1:] for case in QUEUED_BEFORE_A_LIST],
    ids=[case[0] for case in QUEUED_BEFORE_A_LIST],
)
def test_a_list_ends_what_it_lacks_with_its_newest_state(
    queue_up: Callable[[DeltaFIFO], object], expected: list[str]
) -> None:
    # client-go: TestDeltaFIFO_ReplaceMakesDeletions, TestDeltaFIFOW_ReplaceMakesDeletionsForObjectsOnlyInQueue
    fifo = DeltaFIFO(knowing(pod("a", 1), pod("b", 1), pod("c", 1)))
    queue_up(fifo)
    fifo.replace([pod("c", 9)])
    assert drained(fifo) == expected


def test_a_list_after_a_queued_deletion_is_a_deletion_and_then_a_replacement() -> None:
    # client-go: TestDeltaFIFO_replaceWithDeleteDeltaIn
    fifo = DeltaFIFO(knowing(pod("a", 1)))
    fifo.delete(pod("a", 2))
    fifo.replace([pod("a", 3)])
    assert drained(fifo) == ["a: DELETED@2, REPLACED@3"]


def test_without_a_cache_a_list_ends_what_is_only_queued() -> None:
    # client-go: TestDeltaFIFOW_ReplaceMakesDeletionsForObjectsOnlyInQueue
    fifo = DeltaFIFO()
    fifo.add(pod("a", 1))
    fifo.replace([pod("b", 2)])
    assert drained(fifo) == ["a: ADDED@1, DELETED@1 unseen", "b: REPLACED@2"]


def test_an_object_that_is_twice_in_a_list_counts_once_and_the_later_one_is_taken() -> None:
    fifo = DeltaFIFO()
    fifo.replace([pod("a", 1), pod("b", 1), pod("a", 2)])
    assert len(fifo) == 2
    assert drained(fifo) == ["a: REPLACED@2", "b: REPLACED@1"]
    assert fifo.has_synced


def test_news_after_a_list_is_added_to_it() -> None:
    # client-go: TestDeltaFIFO_addReplace
    fifo = DeltaFIFO()
    fifo.add(pod("a", 1))
    fifo.replace([pod("a", 2)])
    fifo.update(pod("a", 3))
    assert drained(fifo) == ["a: ADDED@1, REPLACED@2, UPDATED@3"]


def test_a_resync_queues_what_is_known() -> None:
    # client-go: TestDeltaFIFO_Resync
    fifo = DeltaFIFO(knowing(pod("a", 1), pod("b", 2)))
    fifo.resync()
    assert drained(fifo) == ["a: SYNC@1", "b: SYNC@2"]
    lonely = DeltaFIFO()
    lonely.resync()
    assert drained(lonely) == []


def test_a_resync_does_not_bring_back_what_is_queued_for_deletion() -> None:
    # client-go: TestDeltaFIFO_ResyncNonExisting
    fifo = DeltaFIFO(knowing(pod("a", 1)))
    fifo.delete(pod("a", 2))
    fifo.resync()
    assert drained(fifo) == ["a: DELETED@2"]


def test_a_resync_does_not_override_a_queued_update() -> None:
    # client-go: TestDeltaFIFO_UpdateResyncRace
    fifo = DeltaFIFO(knowing(pod("a", 1)))
    fifo.update(pod("a", 5))
    fifo.resync()
    assert drained(fifo) == ["a: UPDATED@5"]


def test_an_object_that_cannot_be_used_is_ended_with_its_last_known_state() -> None:
    fifo = DeltaFIFO(knowing(pod("a", 1), pod("b", 1)))
    fifo.update(pod("b", 4))
    for key in (A, B, C):
        fifo.leave_out(key)
    assert drained(fifo) == ["b: UPDATED@4, DELETED@4 unseen", "a: DELETED@1 unseen"]


def test_what_is_queued_can_be_looked_at_without_being_changed() -> None:
    # client-go: TestDeltaFIFO_KeyOf
    fifo = DeltaFIFO()
    fifo.add(pod("a", 1))
    fifo.update(pod("a", 2))
    fifo.add(pod("b", 3))
    looked = fifo.get_by_key(A)
    assert looked == [Delta(DeltaType.ADDED, pod("a", 1)), Delta(DeltaType.UPDATED, pod("a", 2))]
    looked.clear()
    fifo.list_keys().clear()
    assert [obj.resource_version for obj in fifo.list()] == ["2", "3"]
    assert fifo.get_by_key(C) is None
    assert A in fifo
    assert C not in fifo
    assert drained(fifo) == ["a: ADDED@1, UPDATED@2", "b: ADDED@3"]


HAS_SYNCED: list[tuple[str, list[Callable[[DeltaFIFO], object]], bool]] = [
    ("nothing was ever queued", [], False),
    ("an addition came before any list", [lambda q: q.add(pod("a"))], True),
    ("a deletion of nothing came before any list", [lambda q: q.delete(pod("a"))], True),
    ("an empty list came", [lambda q: q.replace([])], True),
    ("a list waits", [lambda q: q.replace([pod("a"), pod("b")])], False),
    ("half the list was popped", [lambda q: q.replace([pod("a"), pod("b")]), DeltaFIFO.pop_nowait], False),
    (
        "the list was popped",
        [lambda q: q.replace([pod("a"), pod("b")]), DeltaFIFO.pop_nowait, DeltaFIFO.pop_nowait],
        True,
    ),
    (
        "the list was popped, and another waits",
        [lambda q: q.replace([pod("a")]), DeltaFIFO.pop_nowait, lambda q: q.replace([pod("a"), pod("b")])],
        True,
    ),
    (
        "a second list came before the first was popped",
        [lambda q: q.replace([pod("a")]), lambda q: q.replace([pod("b")]), DeltaFIFO.pop_nowait],
        True,
    ),
    ("only a resync was asked for", [DeltaFIFO.resync], False),
]


@pytest.mark.parametrize(("steps", "synced"), [case[1:] for case in HAS_SYNCED], ids=[case[0] for case in HAS_SYNCED])
def test_it_has_synced_when_the_first_list_was_popped(steps: list[Callable[[DeltaFIFO], object]], synced: bool) -> None:
    # client-go: TestDeltaFIFO_HasSynced
    fifo = DeltaFIFO()
    for step in steps:
        step(fifo)
    assert fifo.has_synced is synced


def test_deletions_that_the_first_list_implies_count_as_part_of_it() -> None:
    # client-go: TestDeltaFIFO_HasSyncedCorrectOnDeletion
    fifo = DeltaFIFO(knowing(pod("a"), pod("b")))
    fifo.replace([pod("c", 9)])
    initial = []
    while (item := fifo.pop_nowait()) is not None:
        initial.append((item.key.name, item.initial, fifo.has_synced))
    assert initial == [("a", True, False), ("b", True, False), ("c", True, True)]
    fifo.update(pod("c", 10))
    later = fifo.pop_nowait()
    assert later is not None
    assert not later.initial


def test_what_a_resync_queued_before_the_first_list_does_not_make_it_synced_too_early() -> None:
    fifo = DeltaFIFO(knowing(pod("a"), pod("b")))
    fifo.resync()
    fifo.replace([pod("b", 9), pod("c", 9)])
    synced = []
    while fifo.pop_nowait() is not None:
        synced.append(fifo.has_synced)
    assert synced == [False, False, True]


def test_what_was_popped_while_others_wait_is_queued_no_more() -> None:
    fifo = DeltaFIFO()
    fifo.extend([Delta(DeltaType.ADDED, pod("a", 1)), Delta(DeltaType.DELETED, pod("a", 2))])
    fifo.extend([Delta(DeltaType.ADDED, pod("b", 3)), Delta(DeltaType.ADDED, pod("c", 4))])
    taken, _ = fifo.take(1)
    assert len(taken) == 1
    assert A not in fifo
    assert fifo.get_by_key(A) is None
    # Nobody knows it: its deletion says nothing; but it may come again, and then at the end.
    fifo.extend([Delta(DeltaType.DELETED, pod("a", 5))])
    assert fifo.list_keys() == [B, C]
    fifo.extend([Delta(DeltaType.UPDATED, pod("b", 6)), Delta(DeltaType.ADDED, pod("a", 7))])
    assert [obj.resource_version for obj in fifo.list()] == ["6", "4", "7"]
    assert len(fifo) == 3
    assert drained(fifo) == ["b: ADDED@3, UPDATED@6", "c: ADDED@4", "a: ADDED@7"]
    assert fifo.take(1) == ([], False)


def test_a_list_in_slices_is_not_synced_before_its_last_slice() -> None:
    fifo = DeltaFIFO()
    stops = 0
    for _ in fifo.replacing(by_key(*(pod(str(number)) for number in range(7))), slice_size=3):
        stops += 1
        assert len(drained(fifo)) == 3
        assert not fifo.has_synced
    assert stops == 2
    assert not fifo.has_synced
    assert drained(fifo) == ["6: REPLACED@1"]
    assert fifo.has_synced


def test_after_the_last_slice_of_a_list_there_is_no_stop_at_which_it_would_be_in_the_cache_and_not_count() -> None:
    fifo = DeltaFIFO()
    assert len(list(fifo.replacing(by_key(*(pod(str(number)) for number in range(6))), slice_size=3))) == 1


def test_a_list_in_slices_queues_its_deletions_before_its_objects() -> None:
    fifo = DeltaFIFO(knowing(pod("a"), pod("b")))
    stops = [fifo.list_keys() for _ in fifo.replacing(by_key(pod("c"), pod("d")), slice_size=1)]
    assert stops == [[A], [A, B], [A, B, C]]
    assert drained(fifo) == ["a: DELETED@1 unseen", "b: DELETED@1 unseen", "c: REPLACED@1", "d: REPLACED@1"]


def test_the_search_for_deletions_of_a_large_list_is_sliced_too() -> None:
    known = [pod(str(number)) for number in range(100)]
    assert len(list(DeltaFIFO(knowing(*known)).replacing(by_key(*known), slice_size=10))) == 19
    # Nothing follows the last slice but the mark of the list.
    assert len(list(DeltaFIFO(knowing(*known)).replacing({}, slice_size=10))) == 9


async def test_a_pop_waits_for_what_comes() -> None:
    fifo = DeltaFIFO()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = group.create_task(fifo.pop())
        await asyncio.sleep(0)
        assert not waiting.done()
        fifo.add(pod("a"))
    assert waiting.result().key == A


async def test_closing_wakes_who_waits_but_what_is_queued_can_still_be_popped() -> None:
    # client-go: TestDeltaFIFO_PopShouldUnblockWhenClosed
    fifo = DeltaFIFO()
    fifo.add(pod("a"))
    fifo.close()
    assert fifo.closed
    assert (await fifo.pop()).key == A
    with pytest.raises(StoppedError, match="closed queue"):
        await fifo.pop()
    fresh = DeltaFIFO()
    async with asyncio.timeout(60):
        ends = asyncio.gather(*(fresh.pop() for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(0)
        fresh.close()
        assert [type(end) for end in await ends] == [StoppedError] * 3
        await fresh.wait()


async def test_a_cancelled_pop_has_taken_nothing_and_another_one_gets_it() -> None:
    fifo = DeltaFIFO()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        first = group.create_task(fifo.pop())
        second = group.create_task(fifo.pop())
        await asyncio.sleep(0)
        fifo.add(pod("a"))
        first.cancel()
    assert first.cancelled()
    assert second.result().key == A


async def test_a_waiter_learns_of_an_empty_list() -> None:
    fifo = DeltaFIFO()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(fifo.wait())
        await asyncio.sleep(0)
        fifo.replace([])
    assert fifo.has_synced


def test_a_version_is_reached_when_all_that_was_queued_before_it_has_been_taken() -> None:
    fifo = DeltaFIFO()
    fifo.extend([Delta(DeltaType.ADDED, pod("a", 1)), Delta(DeltaType.ADDED, pod("b", 2))])
    fifo.mark("2", 0)
    fifo.extend([Delta(DeltaType.ADDED, pod("c", 3))])
    fifo.mark("3", 1)
    assert fifo.take_mark() is None
    fifo.take(1)
    assert fifo.take_mark() is None
    fifo.take(1)
    assert fifo.take_mark() == VersionMark("2", 0)
    assert fifo.take_mark() is None
    fifo.take(1)
    assert fifo.take_mark() == VersionMark("3", 1)


def test_of_two_versions_that_are_reached_together_the_newer_counts() -> None:
    fifo = DeltaFIFO()
    fifo.extend([Delta(DeltaType.ADDED, pod("a", 1))])
    fifo.mark("1", 0)
    fifo.mark("5", 0)
    # A change of a queued key goes out with that key, ahead of its own mark.
    fifo.extend([Delta(DeltaType.UPDATED, pod("a", 6))])
    fifo.mark("6", 0)
    fifo.take(10)
    assert fifo.take_mark() == VersionMark("6", 0)


async def test_a_version_mark_in_an_empty_queue_wakes_the_consumer() -> None:
    fifo = DeltaFIFO()
    asyncio.get_running_loop().call_soon(fifo.mark, "7", 1)
    async with asyncio.timeout(60):
        await fifo.wait()
    assert fifo.take(10) == ([], True)
    assert fifo.take_mark() == VersionMark("7", 1)


def test_marks_of_bookmarks_do_not_pile_up_while_a_change_waits() -> None:
    fifo = DeltaFIFO()
    fifo.extend([Delta(DeltaType.ADDED, pod("a", 1))])
    for version in range(2, 1000):
        fifo.mark(str(version), 0)
    assert len(fifo._marks) == 1


def test_a_key_that_was_taken_is_held_by_nothing_of_a_long_queue() -> None:
    # Else 100,000 keys are freed in one step, after the last of them.
    fifo = DeltaFIFO()
    fifo.replace([pod(f"p{number}") for number in range(3000)])
    taken, _ = fifo.take(2)
    assert isinstance(taken[0], Delta)
    key = taken[0].object.key
    del taken
    fifo.take(1500)
    alone = ObjectKey("default", "alone")
    assert sys.getrefcount(key) == sys.getrefcount(alone)  # the count of a name differs by the version of Python
