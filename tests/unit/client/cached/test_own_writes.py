"""A cache answers for an object only if the server could have given that answer after the last own write."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer._own_writes.feed import Write
from kinformer.client._cached import own_writes
from kinformer.client._cached.own_writes import OwnWriteLog
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import CONFIGMAPS, PODS

A = ObjectKey("default", "a")
B = ObjectKey("default", "b")


def obj(version: int, uid: str = "u1") -> KubeObject:
    metadata = {"name": "a", "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return KubeObject.from_dict({"metadata": metadata}, CONFIGMAPS)


def wrote(version: int, uid: str = "u1") -> Write:
    return Write(CONFIGMAPS, A, uid, version, obj=obj(version, uid))


def deleted(after: int = 0, uid: str = "u1", **more: Any) -> Write:
    return Write(CONFIGMAPS, A, uid, after=after, gone=True, **more)


class Cache:
    """The heads of the objects of a cache, and what the log says of them."""

    def __init__(self, log: OwnWriteLog) -> None:
        self.heads: dict[ObjectKey, tuple[str, str]] = {}
        self.unsettled = log.follow(CONFIGMAPS, self.heads.get)

    def shows(self, progress: int, version: int = 0, uid: str = "u1") -> bool:
        """Report whether it may answer with an object in a version; 0 for none."""
        self.heads.clear()
        if version:
            self.heads[A] = (uid, str(version))
        listed = not [*self.unsettled.hidden(progress, lambda _: True, lambda _: False)]
        assert self.unsettled.shows(A, progress) is listed
        return listed


@pytest.fixture
def log() -> OwnWriteLog:
    return OwnWriteLog()


@pytest.fixture
def cache(log: OwnWriteLog) -> Cache:
    return Cache(log)


def test_a_written_object_is_shown_in_its_version_or_a_newer_one(log: OwnWriteLog, cache: Cache) -> None:
    assert cache.shows(1, version=1)
    log.wrote(wrote(5))
    assert [cache.shows(3, version=version) for version in (0, 1, 5, 7)] == [False, False, True, True]
    # Before everything up to it is there, an older state may still come.
    assert not cache.shows(4, version=1)
    assert cache.shows(5)
    assert len(cache.unsettled) == 0


def test_a_deleted_object_is_not_shown_again(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(deleted(after=5))
    assert cache.shows(3)
    # Its creation comes late. The deletion is not forgotten because the object was absent once.
    assert not cache.shows(4, version=4)
    assert not cache.shows(5, version=5)
    assert cache.shows(6)
    assert len(cache.unsettled) == 0


def test_a_deletion_whose_answer_names_no_version_is_not_taken_for_seen(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(deleted())
    assert cache.shows(9)
    assert not cache.shows(10, version=4)
    log.wrote(deleted())
    assert cache.shows(12)
    assert len(cache.unsettled) == 0, "it was in the cache, and is not any more"


def test_an_older_object_of_the_same_name_is_no_successor(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(wrote(6, "u2"))
    log.wrote(deleted(uid="u2"))
    assert not cache.shows(4, version=3, uid="u1")
    assert cache.shows(8, version=8, uid="u3")
    log.wrote(deleted(uid="u9"))
    assert not cache.shows(8, version=8, uid="u3"), "which one is older is not known"
    log.answered(CONFIGMAPS, A, obj(8, "u3"), log.last(CONFIGMAPS, A))
    assert cache.shows(8, version=8, uid="u3"), "the server has it now"


@pytest.mark.parametrize("late", [obj(2), obj(5), obj(6)], ids=["older", "as written", "newer"])
@pytest.mark.parametrize("uid", ["u1", "u2", ""], ids=["the written one", "another one", "one without a UID"])
def test_an_answer_from_before_a_deletion_names_no_successor(
    log: OwnWriteLog, cache: Cache, late: KubeObject, uid: str
) -> None:
    log.wrote(wrote(5))
    asked = log.last(CONFIGMAPS, A)
    log.wrote(deleted(uid=uid))
    log.answered(CONFIGMAPS, A, late, asked)
    assert not cache.shows(7, version=7, uid=uid or "u2")


def test_the_object_of_a_cache_is_not_the_deleted_one_if_its_uid_is_unknown(log: OwnWriteLog, cache: Cache) -> None:
    cache.heads[A] = ("u1", "3")
    log.wrote(deleted(uid=""))
    assert not cache.shows(7, version=7, uid="u2"), "it may have been this one"
    assert cache.shows(8)
    log.answered(CONFIGMAPS, A, obj(9, "u3"), log.last(CONFIGMAPS, A))
    assert cache.shows(9, version=9, uid="u3")


def test_an_object_of_a_deleted_collection_may_also_be_marked(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(deleted(after=5, past=5))
    assert [cache.shows(5, version=version) for version in (5, 6)] == [False, True]


def test_a_cache_that_begins_later_has_to_show_what_was_written_before(log: OwnWriteLog) -> None:
    log.wrote(wrote(5))
    later = Cache(log)
    assert not later.shows(3, version=3)
    assert later.shows(5, version=5)


def test_late_answers_to_older_writes_change_nothing(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(wrote(7))
    log.wrote(wrote(5))
    assert not cache.shows(5, version=5)
    log.wrote(deleted(after=7))
    log.wrote(wrote(6))
    assert not cache.shows(7, version=7)


def test_a_deletion_without_a_version_may_be_older_or_newer_than_the_write_of_another_object(
    log: OwnWriteLog, cache: Cache
) -> None:
    log.wrote(deleted(after=7, uid="u2"))
    log.wrote(deleted(uid="u1"))
    assert [cache.shows(7, version=7, uid=uid) for uid in ("u1", "u2")] == [False, False]
    assert not cache.shows(9, version=9, uid="u3"), "only the server knows"
    assert cache.shows(9)
    log.answered(CONFIGMAPS, A, obj(9, "u3"), log.last(CONFIGMAPS, A))
    assert cache.shows(9, version=9, uid="u3")


def test_a_late_answer_to_a_write_before_a_collection_was_deleted_changes_nothing(
    log: OwnWriteLog, cache: Cache
) -> None:
    log.wrote(deleted(after=7, past=7))
    log.wrote(wrote(7))
    assert not cache.shows(7, version=7)
    assert cache.shows(7, version=8)


def test_writes_of_other_objects_and_resources_matter_to_nothing_else(log: OwnWriteLog, cache: Cache) -> None:
    log.wrote(Write(PODS, A, "u1", 9))
    log.wrote(Write(CONFIGMAPS, B, "u2", 9))
    assert cache.unsettled.shows(A, 1)
    assert [*cache.unsettled.hidden(1, lambda key: key == A, lambda _: False)] == []
    assert [*cache.unsettled.hidden(1, lambda key: key == B, lambda _: False)] == [B]
    # An object that lies outside of the cache's scope, and is not there, is no lack.
    log.wrote(wrote(5))
    assert [*cache.unsettled.hidden(1, lambda key: key == A, lambda _: True)] == []
    assert len(cache.unsettled) == 2


def test_what_is_remembered_is_bounded(log: OwnWriteLog, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writes, "MOST_WRITES", 10)
    for number in range(50):
        log.wrote(Write(CONFIGMAPS, ObjectKey("default", str(number)), "u", number + 1))
    assert len(cache.unsettled) == 10
    assert len(Cache(log).unsettled) == 10
    log.forget(CONFIGMAPS, cache.unsettled)
    log.wrote(wrote(99))
    assert A not in cache.unsettled
