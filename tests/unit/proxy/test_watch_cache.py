"""The cache that a proxy answers from: which changes a watch gets, and from which versions it may begin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.listwatch import Delta, DeltaType
from kinformer.objects import KubeObject
from kinformer.proxy._bodies import at_version, event_line
from kinformer.proxy._selection import Selection, read_options
from kinformer.proxy._watch_cache import WatchCache
from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE = Selection()


def obj(name: str, version: int, **labels: str) -> KubeObject:
    metadata = {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": labels}
    return KubeObject.from_dict({"metadata": metadata, "data": {"n": str(version)}}, CONFIGMAPS)


def listed(cache: WatchCache, objects: Iterable[KubeObject], version: int) -> None:
    for _ in cache.replacing({each.key: each for each in objects}, version):
        pass


def cache_of(*objects: KubeObject, at: int = 10, **bounds: Any) -> WatchCache:
    cache = WatchCache(CONFIGMAPS, **bounds)
    listed(cache, objects, at)
    return cache


def change(cache: WatchCache, kind: DeltaType, new: KubeObject) -> None:
    cache.changed([Delta(kind, new)])


def events(cache: WatchCache, since: int, selection: Selection = WHOLE) -> list[tuple[str, str, str]]:
    position = cache.position(since)
    assert position is not None
    lines = [each.selected_line(selection, CONFIGMAPS) for each in cache.changes(position, 1000)]
    decoded: list[dict[str, Any]] = [json.loads(line) for line in lines if line is not None]
    return [
        (event["type"], event["object"]["metadata"]["name"], event["object"]["metadata"]["resourceVersion"])
        for event in decoded
    ]


def selected(query: str) -> Selection:
    options = read_options(CONFIGMAPS, "", [("labelSelector", query)])
    assert options is not None
    return options.selection


def test_a_watch_has_each_change_after_its_version() -> None:
    cache = cache_of(obj("a", 5))
    change(cache, DeltaType.ADDED, obj("b", 11))
    change(cache, DeltaType.UPDATED, obj("a", 12))
    change(cache, DeltaType.DELETED, obj("b", 13))
    assert events(cache, 10) == [("ADDED", "b", "11"), ("MODIFIED", "a", "12"), ("DELETED", "b", "13")]
    assert events(cache, 12) == [("DELETED", "b", "13")]
    assert events(cache, 13) == []


def test_a_change_that_comes_twice_counts_once() -> None:
    cache = cache_of()
    for _ in range(2):
        change(cache, DeltaType.ADDED, obj("a", 11))
    assert events(cache, 10) == [("ADDED", "a", "11")]


def test_an_object_that_enters_or_leaves_a_selection_is_added_and_deleted_there() -> None:
    cache = cache_of(obj("a", 5, app="web"))
    change(cache, DeltaType.UPDATED, obj("a", 11, app="db"))
    change(cache, DeltaType.UPDATED, obj("a", 12, app="db"))
    change(cache, DeltaType.UPDATED, obj("a", 13, app="web"))
    change(cache, DeltaType.UPDATED, obj("a", 14, app="web"))
    web = [("DELETED", "a", "11"), ("ADDED", "a", "13"), ("MODIFIED", "a", "14")]
    assert events(cache, 10, selected("app=web")) == web


def test_an_object_that_leaves_a_selection_is_sent_in_its_last_selected_state() -> None:
    cache = cache_of(obj("a", 5, app="web"))
    change(cache, DeltaType.UPDATED, obj("a", 11, app="db"))
    (only,) = cache.changes(cache.first, 10)
    line = only.selected_line(selected("app=web"), CONFIGMAPS)
    assert line is not None
    sent = json.loads(line)["object"]
    assert (sent["metadata"]["labels"], sent["data"]) == ({"app": "web"}, {"n": "5"})


def test_a_watch_from_before_the_kept_changes_is_too_old() -> None:
    cache = cache_of(window_events=2)
    for version in range(11, 16):
        change(cache, DeltaType.ADDED, obj(f"a{version}", version))
    assert [cache.position(version) is None for version in (10, 12, 13, 14)] == [True, True, False, False]
    assert events(cache, 13) == [("ADDED", "a14", "14"), ("ADDED", "a15", "15")]


def test_the_kept_changes_have_a_bound_in_bytes() -> None:
    size = len(obj("a11", 11).raw)
    cache = cache_of(window_bytes=3 * size)
    for version in range(11, 31):
        change(cache, DeltaType.ADDED, obj(f"a{version}", version))
    assert cache.next - cache.first == 3


def test_a_list_that_shows_changes_ends_all_watches_and_is_the_oldest_version() -> None:
    cache = cache_of(obj("a", 5))
    epoch = cache.epoch
    listed(cache, [obj("a", 5), obj("b", 15)], 20)
    assert cache.epoch != epoch
    assert cache.position(19) is None
    assert events(cache, 20) == []


def test_a_list_of_the_present_version_ends_no_watch() -> None:
    cache = cache_of(obj("a", 5))
    change(cache, DeltaType.ADDED, obj("b", 11))
    epoch = cache.epoch
    listed(cache, [*cache.objects.values()], 11)
    assert cache.epoch == epoch
    assert events(cache, 10) == [("ADDED", "b", "11")]


def test_a_later_list_without_differences_is_a_gap_too() -> None:
    # An object may have been created and deleted between the two.
    cache = cache_of(obj("a", 5))
    listed(cache, [*cache.objects.values()], 20)
    assert cache.position(10) is None


def test_an_object_that_cannot_be_decoded_is_dropped_and_ends_all_watches() -> None:
    cache = cache_of(obj("a", 5))
    epoch = cache.epoch
    cache.left_out(obj("a", 5).key)
    assert cache.epoch != epoch
    assert cache.selected(WHOLE) == []


def test_a_list_is_in_the_order_of_the_api_server() -> None:
    assert [each.name for each in cache_of(obj("b", 1), obj("a-b", 2), obj("a", 3)).selected(WHOLE)] == [
        "a",
        "a-b",
        "b",
    ]


def test_the_newest_changes_are_found_among_many() -> None:
    cache = cache_of()
    for version in range(11, 1011):
        change(cache, DeltaType.UPDATED, obj("a", version))
    for since in (10, 11, 500, 1008, 1009, 1010):
        position = cache.position(since)
        assert position is not None
        assert [each.version for each in cache.changes(position, 5)] == [*range(since + 1, min(since + 6, 1011))]


def test_an_encoded_change_is_kept_for_a_short_time_only() -> None:
    cache = cache_of()
    change(cache, DeltaType.ADDED, obj("a", 11))
    (first,) = cache.changes(cache.first, 1)
    assert first.whole_line(CONFIGMAPS) is first.whole_line(CONFIGMAPS)
    for version in range(12, 300):
        change(cache, DeltaType.UPDATED, obj("a", version))
    assert first.line is None


@pytest.mark.parametrize("extra", ["", '"resourceVersion":"5",'])
def test_another_version_changes_the_metadata_only(extra: str) -> None:
    raw = '{"metadata":{"name":"a","resourceVersion":"5"},"data":{' + extra + '"x":"y"}}'
    made = at_version(KubeObject.from_json(raw.encode(), CONFIGMAPS), 77)
    before = json.loads(raw)
    assert made.resource_version == "77"
    assert made["data"] == before["data"]


def test_an_event_is_one_line_with_kind_and_version() -> None:
    line = event_line(b"ADDED", KubeObject.from_json(b'{"metadata":{\n "name":"a"\n}}', CONFIGMAPS), CONFIGMAPS)
    assert line.count(b"\n") == 1
    assert json.loads(line)["object"] == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}
