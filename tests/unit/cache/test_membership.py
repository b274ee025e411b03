"""The books of the parts of a scope: what of their news changes the union."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from kinformer.cache.membership import Membership, PartMembers
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import CONFIGMAPS
from kinformer.scope import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = ObjectKey("n", "a")


def state(version: int, name: str = "a", namespace: str = "n") -> KubeObject:
    metadata = {"name": name, "namespace": namespace, "uid": "u", "resourceVersion": str(version)}
    return KubeObject.from_dict({"metadata": metadata}, CONFIGMAPS)


class Union:
    """The books, and the union that they describe."""

    def __init__(self, *namespaces: str, max_floors: int = 1000) -> None:
        self.now = 0.0
        self.objects: dict[ObjectKey, KubeObject] = {}
        self.books = Membership(self.objects.get, max_floors=max_floors)
        self.parts = [self.books.add_part(namespace) for namespace in namespaces]
        for part in self.parts:
            self.books.came_to(part, 5, 0.0)

    def changed(self, part: PartMembers, obj: KubeObject) -> bool:
        news = self.books.changed(part, obj)
        if news:
            self.objects[obj.key] = obj
        return news

    def deleted(self, part: PartMembers, obj: KubeObject) -> bool:
        gone = self.books.deleted(part, obj, self.now)
        if gone:
            del self.objects[obj.key]
        return gone

    def due(self) -> list[ObjectKey]:
        gone = [departure.key for departure in self.books.due(self.now, 1.0)]
        for key in gone:
            self.objects.pop(key, None)
        return gone


def test_an_object_in_two_parts_is_news_once_per_version() -> None:
    union = Union("n", "")
    one, two = union.parts
    assert [union.changed(part, state(6)) for part in (one, two)] == [True, False]
    assert [union.changed(part, state(7)) for part in (two, one)] == [True, False]


def test_an_object_leaves_with_its_last_part() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.changed(two, state(6))
    assert not union.deleted(one, state(7))
    union.books.came_to(one, 7, 0.0)
    assert union.deleted(two, state(7))


def test_a_part_alone_in_its_namespace_waits_for_nobody() -> None:
    union = Union("n", "m")
    union.changed(union.parts[0], state(6))
    assert union.deleted(union.parts[0], state(7))
    assert union.books.floors == 0


def test_a_departure_waits_for_a_part_that_is_behind_and_may_have_the_object() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    assert not union.deleted(one, state(8))
    assert union.due() == []
    assert union.changed(two, state(8)), "the change that took it out of one part brought it into the other"
    union.books.came_to(two, 9, 0.0)
    union.books.came_to(one, 9, 0.0)
    assert union.due() == []
    assert KEY in union.objects


@pytest.mark.parametrize("how", ["the other part passes it", "patience is over"])
def test_a_departure_ends(how: str) -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.deleted(one, state(8))
    union.books.came_to(one, 8, 0.0)
    if how == "patience is over":
        union.now = 1.0
    else:
        union.books.came_to(two, 8, 0.0)
    assert union.due() == [KEY]


def test_what_left_does_not_come_back_by_older_news_of_a_part_that_is_behind() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.deleted(one, state(9))
    union.books.came_to(one, 9, 0.0)
    union.now = 2.0
    assert union.due() == [KEY]
    union.books.came_to(one, 20, 0.0)
    assert union.books.floors == 1
    assert not union.changed(two, state(6))
    assert not union.books.listed(two, state(6), 7, forced=False)
    assert union.changed(two, state(9))
    union.books.came_to(two, 9, 0.0)
    assert union.books.floors == 0


@pytest.mark.parametrize("how", ["a watch", "a list"])
def test_older_news_undoes_a_departure_that_a_list_of_another_part_has_shown(how: str) -> None:
    # The object went from one part to the other at version 7. The list says only that it left before version 9.
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    assert not union.books.lost(one, KEY, 9, union.now)
    union.books.came_to(one, 9, 0.0)
    if how == "a watch":
        assert union.changed(two, state(7))
    else:
        assert union.books.listed(two, state(7), 8, forced=False)
    union.books.came_to(two, 9, 0.0)
    union.now = 5.0
    assert union.due() == []
    assert union.books.overtake() == []


@pytest.mark.parametrize("how", ["a watch", "a list"])
def test_a_part_that_has_what_a_list_of_another_one_lacked_lists_anew(how: str) -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    assert not union.books.lost(one, KEY, 9, union.now)
    union.books.came_to(one, 9, 0.0)
    union.now = 2.0
    assert union.due() == [KEY]
    assert not union.books.is_overtaken
    for _ in range(2):
        if how == "a watch":
            assert not union.changed(two, state(7)), "its handlers know that it left at version 9"
        else:
            assert not union.books.listed(two, state(7), 8, forced=False)
    assert union.books.is_overtaken
    assert (union.books.overtake(), two.floor) == ([two], 9)
    assert not union.changed(two, state(7))
    assert union.books.overtake() == [], "the list is under way"
    assert union.books.listed(two, state(7), 9, forced=False)
    union.books.came_to(two, 9, 2.0)
    assert two.floor == 0


def test_a_floor_goes_with_a_list_that_is_newer() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.deleted(one, state(9))
    union.now = 2.0
    union.due()
    assert union.books.listed(two, state(10), 11, forced=False)


def test_news_of_a_closed_part_counts_no_more() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.books.close(one)
    assert not union.changed(one, state(7))
    assert not union.deleted(one, state(7))
    assert not union.books.listed(one, state(7), 8, forced=False)
    assert not union.books.lost(one, KEY, 9, 0.0)
    union.books.came_to(one, 99, 0.0)
    assert union.books.version == two.version == 5


def test_a_closed_part_lets_go_of_what_no_other_part_holds() -> None:
    union = Union("n", "")
    one, two = union.parts
    for name in ("a", "b"):
        union.changed(one, state(6, name))
    union.changed(two, state(6, "b"))
    union.books.came_to(two, 6, 0.0)
    union.books.close(one)
    assert [key for key in union.books.leaving(one, 0.0) if key is not None] == [KEY]
    assert union.due() == []


def test_what_left_with_its_part_waits_for_a_part_that_is_behind_and_may_have_it() -> None:
    union = Union("n", "")
    one, two = union.parts
    for name in ("a", "b"):
        union.changed(one, state(6, name))
    union.books.close(one)
    assert [key for key in union.books.leaving(one, 0.0) if key is not None] == []
    assert all(held.out_of_scope for held in union.books.holds)
    assert not union.changed(two, state(6, "b")), "the same state is in the union"
    union.books.came_to(two, 6, 0.1)
    assert union.due() == [KEY]


def test_what_left_with_its_part_does_not_come_back_in_an_older_state() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.books.close(one)
    assert not any(union.books.leaving(one, 0.0))
    union.now = 1.0
    assert union.due() == [KEY]
    assert not union.changed(two, state(5)), "older than the state in which it left"


def test_a_part_that_is_behind_and_receives_something_has_the_same_time_again() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(8))
    union.deleted(one, state(9))
    union.books.came_to(one, 9, 0.0)
    union.books.came_to(two, 7, 0.9)
    union.now = 1.1
    assert union.due() == []
    union.now = 1.9
    assert union.due() == [KEY]


def test_a_part_of_another_namespace_lets_no_departure_wait() -> None:
    union = Union("n", "", "m")
    one, _, other = union.parts
    union.changed(one, state(8))
    union.deleted(one, state(9))
    union.books.came_to(one, 9, 0.0)
    union.books.came_to(other, 7, 0.9)
    union.now = 1.1
    assert union.due() == [KEY]


def test_a_deletion_of_an_earlier_object_of_the_name_is_none() -> None:
    union = Union("n")
    (one,) = union.parts
    union.changed(one, state(9))
    assert not union.deleted(one, state(8))
    assert not union.changed(one, state(9)), "it is known from the answer to a write"
    union.books.came_to(one, 9, 0.0)
    assert (union.due(), KEY in union.objects) == ([], True)


def test_an_object_leaves_that_a_part_which_is_behind_lost_before_another_part_did() -> None:
    """The first part has the object since 6, and loses it at 8; another one has it since 9, and lost it at 10."""
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.changed(two, state(9))
    assert not union.deleted(two, state(10)), "the first part still has it"
    union.books.came_to(two, 10, 0.0)
    assert not union.deleted(one, state(8)), "it may come back to this part, up to the newest known state"
    union.books.came_to(one, 9, 0.0)
    assert union.due() == [KEY]


def test_a_part_that_is_alone_and_behind_a_closed_one_brings_no_older_state() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(two, state(6))
    union.changed(one, state(9))
    union.books.came_to(one, 9, 0.0)
    union.books.close(one)
    assert not any(union.books.leaving(one, 0.0))
    assert not union.changed(two, state(7))
    assert not union.books.listed(two, state(8), 8, forced=False)
    assert not union.books.lost(two, KEY, 8, 0.0), "the list is older than the cached state"
    assert not union.changed(two, state(9))
    union.books.came_to(two, 9, 0.0)
    assert union.changed(two, state(10))


def test_a_part_that_is_behind_does_not_end_what_it_does_not_know_yet() -> None:
    """One part lost the object at 8 and is behind; another one has it since 9, and lost it at 12."""
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(6))
    union.changed(two, state(9))
    assert not union.deleted(two, state(12))
    union.books.came_to(two, 12, 0.0)
    assert not union.deleted(one, state(8)), "it may come back to this part, up to the newest known state"
    assert union.changed(one, state(10)), "and it did"


def test_after_a_restore_of_the_cluster_a_list_is_right_whatever_its_version() -> None:
    union = Union("n", "")
    one, two = union.parts
    union.changed(one, state(50))
    union.changed(two, state(50))
    assert union.books.listed(one, state(20), 21, forced=True)


def test_a_part_that_is_behind_too_many_departures_must_list_anew() -> None:
    union = Union("n", "", max_floors=2)
    one, two = union.parts
    for number in range(3):
        name = f"a{number}"
        union.changed(one, state(6, name))
        union.deleted(one, state(10 + number, name))
        union.books.came_to(one, 10 + number, 0.0)
    union.now = 2.0
    union.due()
    assert union.books.overtake() == [two]
    assert (union.books.floors, two.floor) == (0, 12)
    assert not union.changed(two, state(11, "a2")), "older than the list that is due"
    union.books.came_to(two, 12, 0.0)
    assert union.changed(two, state(12, "a2"))


def test_the_union_has_come_to_what_all_its_listed_parts_have_come_to() -> None:
    union = Union("n", "m")
    new: Callable[[str], PartMembers] = union.books.add_part
    new("k")
    union.books.came_to(union.parts[0], 9, 0.0)
    assert (union.books.version, union.books.newest) == (5, 9)


def test_a_new_part_lists_no_state_older_than_that_of_a_closed_part() -> None:
    union = Union("n")
    union.books.came_to(union.parts[0], 9, 0.0)
    union.books.close(union.parts[0])
    assert union.books.newest == 9
    union.books.forget_history()
    assert union.books.newest == 0, "after a restore of the cluster its versions say nothing"


def test_an_object_that_is_deleted_as_its_range_leaves_departs_with_the_range() -> None:
    union = Union("n", "n")
    old, new = union.parts
    union.changed(old, state(6))
    # The new part of other ranges is behind, so the departure waits for it.
    assert not union.deleted(old, state(7))
    merged = union.books.add_part("n")
    nothing, everything = Ranges(), Ranges.everything()
    union.books.merge(merged, [old, new], [], everything)
    assert union.books.depart(nothing) == []
    assert [departure.key for departure in union.books.depart(everything)] == [KEY]
    assert not union.books.holds


def merged_halves() -> tuple[Union, PartMembers]:
    """Return the union of two halves of the objects that came to 5 and to 9, and the part that they became."""
    union = Union("n", "n")
    one, two = union.parts
    union.books.came_to(two, 9, 0.0)
    merged = union.books.add_part("n")
    halves = Ranges.of_slices({0}, of=2), Ranges.of_slices({1}, of=2)
    union.books.merge(merged, [one, two], [(halves[0], 5), (halves[1], 9)], Ranges())
    return union, merged


def test_a_new_range_begins_at_the_newest_version_that_any_range_has_reached() -> None:
    union, _ = merged_halves()
    assert (union.books.version, union.books.newest) == (5, 9)


def test_a_deletion_that_comes_again_after_a_merge_does_not_end_the_object_that_was_created_since() -> None:
    """The merged part goes on from the lowest version, and its watch is silent after the deletion."""
    union = Union("n", "n")
    one, two = union.parts
    union.changed(two, state(6))
    assert not union.deleted(two, state(7)), "the other part is behind"
    assert union.changed(two, state(8)), "it was created anew"
    union.books.came_to(two, 9, 0.0)
    merged = union.books.add_part("n")
    union.books.merge(merged, [one, two], [(Ranges.everything(), 9)], Ranges())
    assert not union.deleted(merged, state(7))
    union.now = 60.0
    assert union.due() == []
    assert not union.changed(merged, state(8))
    union.books.came_to(merged, 9, 0.0)
    assert union.deleted(merged, state(10))


def test_what_a_part_brings_after_its_merge_does_not_count() -> None:
    union, merged = merged_halves()
    # Batches of the old watches, which were filtered by the old ranges, still come.
    for old in union.parts:
        assert not union.changed(old, state(12))
        union.books.came_to(old, 12, 0.0)
    assert (union.books.version, union.books.newest) == (5, 9)
    assert union.changed(merged, state(12))
    assert union.deleted(merged, state(13)), "no old part is awaited"


def test_a_departure_is_due_when_its_timer_is_whatever_the_time() -> None:
    rng = random.Random(1)
    for since in [3.02, *(rng.random() * 10 for _ in range(500)), *(rng.random() * 1e6 for _ in range(500))]:
        union = Union("n", "")
        one, _ = union.parts
        union.now = since
        union.changed(one, state(6))
        union.deleted(one, state(8))
        union.books.came_to(one, 8, 0.0)
        assert union.due() == [], "the other part may have it"
        # The event loop calls at `since + patience`: 4.02 - 3.02 is less than 1.0 to a computer.
        union.now = since + 1.0
        assert union.due() == [KEY], since
