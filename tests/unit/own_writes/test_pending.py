"""Pending writes without any informer: a dict is the cache, a number its progress."""

from __future__ import annotations

import pytest

from kinformer._own_writes.feed import Write
from kinformer._own_writes.pending import Listening, Outcome, PendingWrite, PendingWrites
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS
from tests.sources import pod

A = ObjectKey("default", "a")
B = ObjectKey("default", "b")
UID = "uid-default-a"


class Cache:
    """A cache, and its pending writes."""

    def __init__(self, *objects: KubeObject, progress: int = 10, most: int = 100) -> None:
        self.objects = {obj.key: obj for obj in objects}
        self.progress = progress
        self.pending = PendingWrites(self.objects.get, lambda: str(self.progress), most=most)

    def event(self, obj: KubeObject, *, drained: bool = True) -> None:
        self.objects[obj.key] = obj
        self._told(obj, drained)

    def gone(self, obj: KubeObject, *, drained: bool = True) -> None:
        self.objects.pop(obj.key, None)
        self._told(obj, drained)

    def _told(self, obj: KubeObject, drained: bool) -> None:
        if drained:
            self.progress = int(obj.resource_version)
        self.pending.changed([obj.key])
        self.pending.progressed()

    def bookmark(self, version: int) -> None:
        self.progress = version
        self.pending.progressed()

    def wrote(self, obj: KubeObject, *, covered: bool | None = True) -> PendingWrite | None:
        write = Write(PODS, obj.key, obj.uid, int(obj.resource_version), obj=obj)
        return self.pending.expect(write, covered=covered)

    def deleted(self, obj: KubeObject, *, covered: bool | None = True) -> PendingWrite | None:
        write = Write(PODS, obj.key, obj.uid, after=int(obj.resource_version), gone=True, obj=obj)
        return self.pending.expect(write, covered=covered)


def outcome(write: PendingWrite | None) -> Outcome | None:
    assert write is not None
    return write.outcome


def test_a_write_is_pending_until_the_cache_has_that_version() -> None:
    cache = Cache(pod("a", 9))
    write = cache.wrote(pod("a", 12))
    cache.event(pod("a", 11))
    assert outcome(write) is None
    cache.event(pod("a", 12))
    assert outcome(write) is Outcome.REACHED
    assert not cache.pending


def test_a_newer_state_is_as_good() -> None:
    cache = Cache()
    write = cache.wrote(pod("a", 12))
    cache.event(pod("a", 15))
    assert outcome(write) is Outcome.REACHED


def test_versions_are_numbers() -> None:
    cache = Cache(pod("a", 9), progress=9)
    assert outcome(cache.wrote(pod("a", 10))) is None


def test_what_the_cache_shows_already_is_not_pending() -> None:
    cache = Cache(pod("a", 12), progress=9)
    assert cache.wrote(pod("a", 12)) is None
    assert cache.wrote(pod("a", 11)) is None
    # An update that changes nothing has the version there was before: no event will come.
    assert len(cache.pending) == 0


def test_progress_past_the_write_reaches_it_though_the_object_is_not_there() -> None:
    cache = Cache()
    write = cache.wrote(pod("a", 12))
    cache.bookmark(11)
    assert outcome(write) is None
    cache.bookmark(12)
    assert outcome(write) is Outcome.REACHED
    # It came and went meanwhile, or a transform left it out.
    assert cache.wrote(pod("b", 12)) is None


def test_a_deletion_is_pending_until_the_object_of_that_uid_is_gone() -> None:
    cache = Cache(pod("a", 9))
    write = cache.deleted(pod("a", 9))
    cache.event(pod("b", 11))
    assert outcome(write) is None
    cache.gone(pod("a", 12))
    assert outcome(write) is Outcome.REACHED


def test_a_deletion_is_reached_when_another_object_has_the_name() -> None:
    cache = Cache(pod("a", 9))
    write = cache.deleted(pod("a", 9))
    cache.event(pod("a", 13, uid="another"))
    assert outcome(write) is Outcome.REACHED


def test_the_deletion_of_what_the_cache_has_not_even_seen_waits_for_both() -> None:
    cache = Cache()
    created, deleted = cache.wrote(pod("a", 12)), cache.deleted(pod("a", 12))
    assert outcome(deleted) is None
    cache.event(pod("a", 12))
    assert outcome(created) is Outcome.REACHED
    assert outcome(deleted) is None
    cache.gone(pod("a", 14))
    assert outcome(deleted) is Outcome.REACHED


def test_the_deletion_of_what_somebody_else_has_just_made_waits_for_both() -> None:
    cache = Cache()
    write = cache.deleted(pod("a", 12))
    cache.event(pod("a", 12))
    assert outcome(write) is None
    cache.gone(pod("a", 14))
    assert outcome(write) is Outcome.REACHED


def test_the_deletion_of_what_is_gone_already_is_not_pending() -> None:
    cache = Cache(progress=20)
    assert cache.deleted(pod("a", 12)) is None


def test_a_deletion_whose_answer_names_no_uid_means_what_the_cache_has() -> None:
    cache = Cache(pod("a", 9))
    write = cache.pending.expect(Write(PODS, A, gone=True), covered=None)
    assert write is not None
    assert write.uid == UID
    cache.gone(pod("a", 12))
    assert write.outcome is Outcome.REACHED
    assert cache.pending.expect(Write(PODS, A, gone=True), covered=None) is None


def test_of_a_deleted_collection_it_is_enough_that_an_object_has_changed() -> None:
    for after in (pod("a", 12), None):
        cache = Cache(pod("a", 9))
        collected = Write(PODS, A, UID, after=9, gone=True, past=9, obj=pod("a", 9))
        write = cache.pending.expect(collected, covered=True)
        cache.bookmark(11)
        assert outcome(write) is None
        if after is None:
            cache.gone(pod("a", 12))
        else:
            cache.event(after)
        assert outcome(write) is Outcome.REACHED


def test_what_is_written_outside_of_the_cache_is_not_pending() -> None:
    cache = Cache()
    assert cache.wrote(pod("a", 12), covered=False) is None
    assert cache.deleted(pod("a", 12), covered=False) is None


def test_a_write_that_takes_the_object_out_of_the_cache_waits_for_it_to_leave() -> None:
    cache = Cache(pod("a", 9))
    write = cache.wrote(pod("a", 12), covered=False)
    cache.event(pod("a", 11), drained=False)
    assert outcome(write) is None
    cache.gone(pod("a", 12), drained=False)
    assert outcome(write) is Outcome.REACHED


def test_a_write_that_takes_out_what_has_not_come_in_yet_waits_for_both() -> None:
    cache = Cache()
    cache.wrote(pod("a", 12))
    write = cache.wrote(pod("a", 13), covered=False)
    assert outcome(write) is None
    cache.event(pod("a", 12))
    assert outcome(write) is None
    cache.gone(pod("a", 13))
    assert outcome(write) is Outcome.REACHED
    assert not cache.pending


def test_where_only_the_server_can_tell_object_or_progress_decide() -> None:
    cache = Cache()
    inside, outside = cache.wrote(pod("a", 12), covered=None), cache.wrote(pod("b", 13), covered=None)
    cache.event(pod("a", 12), drained=False)
    assert outcome(inside) is Outcome.REACHED
    assert outcome(outside) is None
    cache.bookmark(13)
    assert outcome(outside) is Outcome.REACHED


def test_an_answer_that_is_not_the_object_counts_if_the_cache_knows_it() -> None:
    cache = Cache(pod("a", 9))
    scaled = cache.pending.expect(Write(PODS, A, UID, 12), covered=None)
    assert outcome(scaled) is None
    assert cache.pending.expect(Write(PODS, B, "uid-default-b", 12), covered=None) is None
    cache.event(pod("a", 12))
    assert outcome(scaled) is Outcome.REACHED


def test_writes_of_other_keys_are_others() -> None:
    cache = Cache()
    a, b = cache.wrote(pod("a", 12)), cache.wrote(pod("b", 13))
    assert cache.pending.of(A) == [a]
    cache.event(pod("a", 12))
    assert cache.pending.all() == [b]


class Notes:
    """A listener that keeps its notifications."""

    def __init__(self) -> None:
        self.begun: list[tuple[PendingWrite, KubeObject | None]] = []
        self.over: list[PendingWrite] = []

    def began(self, write: PendingWrite, obj: KubeObject | None) -> None:
        self.begun.append((write, obj))

    def ended(self, write: PendingWrite) -> None:
        self.over.append(write)


def test_a_listener_of_one_write_is_called_once_and_at_once_if_the_write_has_ended() -> None:
    cache = Cache()
    notes = Notes()
    write = cache.wrote(pod("a", 12))
    assert write is not None
    write.listen(notes)
    cache.event(pod("a", 12))
    cache.event(pod("a", 13))
    assert notes.over == [write]
    write.listen(notes)
    assert notes.over == [write] * 2
    assert notes.begun == []


def test_the_oldest_makes_room() -> None:
    cache = Cache(most=2)
    writes = [cache.wrote(pod(name, 12)) for name in "abc"]
    assert [outcome(write) for write in writes] == [Outcome.GIVEN_UP, None, None]
    assert len(cache.pending) == 2


def test_nothing_is_kept_of_what_is_reached() -> None:
    cache = Cache()
    for version in range(11, 2000):
        cache.wrote(pod("a", version))
        cache.event(pod("a", version))
    assert len(cache.pending) == 0
    assert not cache.pending._by_version


def test_a_cache_that_is_kept_up_no_more_reaches_nothing() -> None:
    cache = Cache()
    write = cache.wrote(pod("a", 12))
    cache.pending.close()
    assert outcome(write) is Outcome.STOPPED
    assert cache.wrote(pod("a", 13)) is None


def test_a_listener_of_a_cache_is_called_with_each_write_and_its_object_and_with_its_end() -> None:
    cache = Cache(pod("a", 9))
    notes = Notes()
    stop = cache.pending.listen(notes)
    first = cache.wrote(pod("a", 12))
    second = cache.pending.expect(Write(PODS, A, gone=True), covered=None)
    stop()
    stop()
    cache.wrote(pod("a", 14))
    assert notes.begun == [(first, pod("a", 12)), (second, pod("a", 9))]
    assert notes.over == []
    cache.event(pod("a", 12))
    assert notes.over == [first], "a write that began while it listened also reports its end"


def test_a_listener_of_a_task_is_called_with_the_writes_of_the_body_in_any_cache() -> None:
    one, two = Cache(), Cache()
    notes = Notes()
    one.wrote(pod("a", 11))
    with Listening(notes):
        first = one.wrote(pod("a", 12))
        second = two.wrote(pod("a", 12))
        one.pending.add(PendingWrite(A, UID, 13), announce=False)
    one.wrote(pod("a", 14))
    assert [write for write, _ in notes.begun] == [first, second]
    one.event(pod("a", 20))
    two.event(pod("a", 12))
    assert notes.over == [first, second]


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (PendingWrite(A, UID, 12), "default/a at 12"),
        (PendingWrite(A, UID, 0, gone=True), "default/a without uid-default-a"),
    ],
)
def test_a_write_says_what_it_is(write: PendingWrite, text: str) -> None:
    assert text in repr(write)


def test_what_had_the_name_before_is_to_go_where_its_successor_is_not_covered() -> None:
    cache = Cache(pod("a", 9, uid="before"))
    write = cache.wrote(pod("a", 12), covered=False)
    assert outcome(write) is None, "what the cache has is older than what was written"
    cache.gone(pod("a", 11, uid="before"))
    assert outcome(write) is Outcome.REACHED
