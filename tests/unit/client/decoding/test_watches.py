"""The bytes of a watch become the same events however they are cut, and no line a server sends ends it badly."""

from __future__ import annotations

import gzip
import json
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.client._decoding.watches import WatchDecoder
from kinformer.client._http.response_parser import Pieces
from kinformer.errors import ExpiredError, ForbiddenError, MalformedStreamError, ProtocolError, StreamBrokenError
from kinformer.listwatch import DeltaType, WatchBatch
from kinformer.objects import KubeObject
from kinformer.resources import PODS
from tests.paths import DATA

# Python 3.14 bounds the stack that is used, earlier ones the number of levels.
_LEVELS = 1_000_000 if sys.version_info >= (3, 14) else 200_000
TOO_DEEP = b"[" * _LEVELS + b"]" * _LEVELS


def decoder(*, metadata_only: bool = False) -> WatchDecoder:
    return WatchDecoder(PODS, doing="watch pods", metadata_only=metadata_only)


def decoded(data: bytes, cuts: list[int] | None = None, *, metadata_only: bool = False) -> list[WatchBatch]:
    taking = decoder(metadata_only=metadata_only)
    edges = [0, *sorted(cuts or ()), len(data)]
    batches: list[WatchBatch] = []
    for start, end in pairwise(edges):
        batches += taking.feed(data[start:end])
    return batches + taking.close()


def pod(name: str, version: int, **extra: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "web", "resourceVersion": str(version)}, **extra}


def line(kind: str, thing: object) -> bytes:
    return json.dumps({"type": kind, "object": thing}, separators=(",", ":")).encode() + b"\n"


def flat(batches: list[WatchBatch]) -> tuple[list[Any], str, list[str]]:
    """What is the same however the bytes are cut: the events, where the end of the initial ones lies, the failures."""
    events: list[Any] = []
    failures: list[str] = []
    version = ""
    for batch in batches:
        events += [(e.type, e.object.raw, e.object.key) for e in batch.events]
        failures += [str(f) for f in batch.failures]
        version = batch.resource_version or version
        if batch.initial_events_end:
            events.append("the end of the initial events")
        if batch.error is not None:
            events.append((type(batch.error), str(batch.error)))
    return events, version, failures


NAMES = st.text(alphabet="abcxyz-09", min_size=1, max_size=12)
TEXT = st.text(max_size=20)
OBJECTS = st.builds(
    lambda name, version, note: pod(name, version, spec={"note": note, "nested": [{"a": {"b": [{}, "}]"]}}]}),
    NAMES,
    st.integers(1, 10**9),
    TEXT,
)
SPELLINGS = st.sampled_from(
    [
        lambda kind, thing: json.dumps({"type": kind, "object": thing}, separators=(",", ":"), ensure_ascii=False),
        lambda kind, thing: json.dumps({"type": kind, "object": thing}),
        lambda kind, thing: json.dumps({"object": thing, "type": kind}),
        lambda kind, thing: json.dumps({"type": kind, "object": thing, "more": {"a": "}}"}}, separators=(",", ":")),
        lambda kind, thing: json.dumps({"type": kind, "object": thing}, separators=(",", ":")) + " \r",
    ]
)
TYPES = {DeltaType.ADDED: "ADDED", DeltaType.UPDATED: "MODIFIED", DeltaType.DELETED: "DELETED"}
EVENTS = st.builds(
    lambda spell, kind, thing: (kind, thing, spell(kind, thing).encode() + b"\n"),
    SPELLINGS,
    st.sampled_from(["ADDED", "MODIFIED", "DELETED"]),
    OBJECTS,
)
INITIAL_END = (
    b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"78","annotations":'
    b'{"k8s.io/initial-events-end":"true"}}}}\n'
)
OTHER = st.sampled_from(
    [
        b"\n",
        b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"77"}}}\n',
        INITIAL_END,
        b'{"type":"ADDED","object":{"metadata":{"name":"","namespace":"web","resourceVersion":"79"}}}\n',
        b'{"type":"MODIFIED","object":{"metadata":{"name":"half"\n',
        b"\xff\xfe not JSON\n",
        b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n',
    ]
)


@given(st.lists(EVENTS | OTHER, max_size=12), st.data())
@settings(max_examples=300, deadline=None)
def test_any_cutting_of_the_bytes_gives_the_same_events(stream: list[Any], data: st.DataObject) -> None:
    lines = [part if isinstance(part, bytes) else part[2] for part in stream]
    whole = b"".join(lines)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    assert flat(decoded(whole, cuts)) == flat(decoded(whole))


@given(st.lists(EVENTS, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_every_spelling_of_an_event_gives_its_type_and_its_object(stream: list[Any]) -> None:
    events = [event for batch in decoded(b"".join(part[2] for part in stream)) for event in batch.events]
    assert [(TYPES[e.type], e.object.to_dict()) for e in events] == [
        (kind, {"kind": "Pod", "apiVersion": "v1", **thing}) for kind, thing, _ in stream
    ]


def test_one_byte_at_a_time_is_as_good_as_all_at_once() -> None:
    data = line("ADDED", pod("a", 1)) + line("MODIFIED", pod("a", 2)) + line("DELETED", pod("a", 3))
    assert flat(decoded(data, list(range(len(data))))) == flat(decoded(data))
    assert flat(decoded(data))[1] == "3"


def test_the_recorded_updates_come_out_with_their_bytes_unchanged() -> None:
    recorded = gzip.decompress((DATA / "bulk-pods-300.watch.jsonl.gz").read_bytes())
    batches = decoded(recorded, list(range(0, len(recorded), 65_536)))
    events = [event for batch in batches for event in batch.events]
    assert len(events) == 480
    assert [e.object.raw for e in events] == [
        text[len(b'{"type":"MODIFIED","object":') : -1] for text in recorded.splitlines()
    ]
    assert batches[-1].resource_version == events[-1].object.resource_version
    assert {e.type for e in events} == {DeltaType.UPDATED}


def test_one_read_becomes_one_batch_with_the_version_of_its_last_event_or_bookmark() -> None:
    bookmark = line("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    (batch,) = decoder().feed(line("ADDED", pod("a", 4)) + line("ADDED", pod("b", 5)))
    assert ([e.object.name for e in batch.events], batch.resource_version) == (["a", "b"], "5")
    (batch,) = decoder().feed(line("ADDED", pod("a", 4)) + bookmark)
    assert ([e.object.name for e in batch.events], batch.resource_version) == (["a"], "9")
    (batch,) = decoder().feed(bookmark)
    assert (list(batch.events), batch.resource_version) == ([], "9")


def test_the_end_of_the_initial_events_ends_its_batch_and_the_rest_of_the_read_follows_in_another() -> None:
    end = {"metadata": {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}}}
    first, second = decoder().feed(line("ADDED", pod("a", 4)) + line("BOOKMARK", end) + line("MODIFIED", pod("a", 8)))
    assert ([e.object.name for e in first.events], first.initial_events_end, first.resource_version) == (
        ["a"],
        True,
        "7",
    )
    assert ([e.type for e in second.events], second.initial_events_end, second.resource_version) == (
        [DeltaType.UPDATED],
        False,
        "8",
    )


def test_a_bookmark_annotated_otherwise_ends_nothing() -> None:
    other = {"metadata": {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "false"}}}
    (batch,) = decoder().feed(line("BOOKMARK", other))
    assert not batch.initial_events_end


def test_an_error_event_is_the_last_thing_in_its_batch_and_what_comes_after_it_is_not_read() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (256)"}
    taking = decoder()
    (batch,) = taking.feed(line("ADDED", pod("a", 4)) + line("ERROR", status) + line("ADDED", pod("b", 5)))
    assert [e.object.name for e in batch.events] == ["a"]
    assert isinstance(batch.error, ExpiredError)
    assert str(batch.error) == "cannot watch pods: too old resource version: 1 (256) (410 Expired)"
    assert taking.ended
    assert taking.close() == []


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("named", [{"kind": "Status", "apiVersion": "v1"}, {"status": "Failure"}])
def test_a_status_that_no_event_is_around_is_the_error_of_the_stream(
    indent: int | None, end: bytes, named: dict[str, str]
) -> None:
    status = {**named, "metadata": {}, "code": 403, "reason": "Forbidden", "message": "no"}
    data = json.dumps(status, indent=indent).encode() + end
    (batch,) = decoded(data, list(range(0, len(data), 7)))
    assert isinstance(batch.error, ForbiddenError)


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        (b'{"type":"ADDED","object":{"metadata":{"name":"odd","namespace":"web","labels":{"a":1}}}}\n', "web/odd"),
        (b'{"type":"ADDED","object":{"metadata":{"name":"odd","labels":["x"]}}}\n', "odd"),
    ],
)
def test_a_bad_line_is_reported_and_the_events_around_it_arrive(bad: bytes, key: str | None) -> None:
    (batch,) = decoded(line("ADDED", pod("a", 1)) + bad + line("ADDED", pod("b", 2)))
    assert [e.object.name for e in batch.events] == ["a", "b"]
    (failure,) = batch.failures
    assert failure.key == key
    assert failure.resource == PODS.full_name
    assert batch.resource_version == "2"


@pytest.mark.parametrize(
    "bad",
    [
        b"what is this\n",
        b'{"type":"ADDED"\n',
        b'{"type":"ADDED","object":{"metadata":{"namespace":"web"}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"a/b","labels":5}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"a","namespace":7}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"a","namespace":["web"]}}}\n',
        b'{"type":"ADDED","object":[1]}\n',
        b'{"type":"ADDED"}\n',
        b'{"type":"BOOKMARK","object":{}}\n',
        b"[1, 2]\n",
        b"{}\n",
        b'{"type":"SHOUTED","object":{"metadata":{"name":"odd","namespace":"web","resourceVersion":"3"}}}\n',
        b'{"type":"SHOUTED"}\n',
        b'{"metadata":{"name":"odd"},"status":{"phase":"Failure"}}\n',
        line("ADDED", pod("b", 2))[:60] + b"\n",
        line("ADDED", pod("b", 2))[:30] + b"\0" + line("ADDED", pod("b", 2))[30:],
        b"<html><body>504 Gateway Time-out</body></html>\n",
        b'{"type":"ADDED","object":{"metadata":{"name":"deep"},"spec":' + TOO_DEEP + b"}}\n",
    ],
)
def test_a_line_that_is_no_event_ends_the_stream_after_the_events_before_it(bad: bytes) -> None:
    # What it said is unknown, so the watch must be opened again from the version before it.
    data = line("ADDED", pod("a", 1)) + bad + line("ADDED", pod("d", 4))
    for cuts in ([], list(range(0, len(data), 7))):
        batches = decoded(data, cuts)
        assert [e.object.name for batch in batches for e in batch.events] == ["a"]
        assert [batch.resource_version for batch in batches if batch.resource_version] == ["1"]
        assert isinstance(batches[-1].error, MalformedStreamError)
        assert [failure.key for batch in batches for failure in batch.failures] in ([], [None])


def test_a_bad_object_still_moves_the_version_on_so_that_a_resumed_watch_does_not_meet_it_again() -> None:
    bad = line("MODIFIED", {"metadata": {"name": "odd", "labels": {"a": 1}, "resourceVersion": "12"}})
    (batch,) = decoded(line("ADDED", pod("a", 1)) + bad)
    assert batch.resource_version == "12"


def test_failures_say_nothing_of_what_the_object_holds() -> None:
    bad = line("ADDED", {"metadata": {"name": "s", "labels": {"a": 1}}, "data": {"password": "hunter2"}})
    (batch,) = decoded(bad)
    assert "hunter2" not in str(batch.failures[0]) + repr(batch.failures[0])


def test_half_a_line_at_the_end_is_left_out_and_the_stream_is_broken() -> None:
    taking = decoder()
    (batch,) = taking.feed(line("ADDED", pod("a", 1)) + line("ADDED", pod("b", 2))[:-9])
    assert [e.object.name for e in batch.events] == ["a"]
    with pytest.raises(StreamBrokenError, match="cannot watch pods: the stream ended in the middle of an event"):
        taking.close()


def test_a_whole_last_line_without_its_line_break_counts() -> None:
    batches = decoded(line("ADDED", pod("a", 1)) + line("ADDED", pod("b", 2)).rstrip())
    assert [e.object.name for b in batches for e in b.events] == ["a", "b"]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_html_is_not_taken_for_events(end: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a stream of watch events"):
        decoded(b"<html><body>login</body></html>" + end)


@pytest.mark.parametrize("kind", ["ADDED", "BOOKMARK"])
def test_a_table_is_refused(kind: str) -> None:
    table: dict[str, Any] = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "2"},
        "rows": [],
    }
    if kind == "BOOKMARK":
        table["metadata"] = 5
    with pytest.raises(ProtocolError, match="sends Table where Pod was asked for"):
        decoded(line(kind, table))


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
@pytest.mark.parametrize("spelling", ["kind first", "apiVersion first", "metadata first", "spaces"])
def test_an_object_or_bookmark_of_another_kind_takes_the_place_of_none(type_: str, spelling: str) -> None:
    other = {"kind": "Secret", "apiVersion": "v1", **pod("a", 9)}
    if spelling == "apiVersion first":
        other = {"apiVersion": "v1", "kind": "Secret", **pod("a", 9)}
    elif spelling == "metadata first":
        other = {**pod("a", 9), "kind": "Secret"}
    text = json.dumps({"type": type_, "object": other}, separators=None if spelling == "spaces" else (",", ":"))
    taking = decoder()
    assert [e.object.name for batch in taking.feed(line("ADDED", pod("a", 1))) for e in batch.events] == ["a"]
    with pytest.raises(ProtocolError, match="sends Secret where Pod was asked for"):
        taking.feed(text.encode() + b"\n")


@pytest.mark.parametrize("api_version", ["v1", "v1beta1"])
def test_an_object_without_a_kind_or_of_another_version_is_taken(api_version: str) -> None:
    kinds: list[dict[str, Any]] = [{}, {"kind": "Pod"}, {"apiVersion": api_version, "kind": "Pod"}, {"kind": ""}]
    for named in kinds:
        (batch,) = decoded(line("ADDED", {**named, **pod("a", 1)}))
        assert [e.object.name for e in batch.events] == ["a"]


def test_metadata_only_takes_partial_objects_and_refuses_whole_ones() -> None:
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", **pod("a", 1)}
    reordered = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", **pod("b", 2)}
    (batch,) = decoded(line("ADDED", partial) + line("ADDED", reordered), metadata_only=True)
    assert [e.object.name for e in batch.events] == ["a", "b"]
    with pytest.raises(ProtocolError, match="sends Pod where PartialObjectMetadata was asked for"):
        decoded(line("ADDED", {"kind": "Pod", "apiVersion": "v1", **pod("a", 1)}), metadata_only=True)


def test_a_line_of_megabytes_in_small_pieces_is_put_together_in_linear_time() -> None:
    taking = decoder()
    data = line("ADDED", pod("big", 1, data="x" * 15_000_000))
    batches: list[WatchBatch] = []
    # With a concatenation per piece these would be 300 times 10 MB on average: seconds instead of milliseconds.
    for start in range(0, len(data), 65_536):
        batches += taking.feed(data[start : start + 65_536])
    (batch,) = batches
    assert len(batch.events[0].object.raw) > 15_000_000


def test_the_object_is_a_copy_that_does_not_keep_the_read_alive() -> None:
    (batch,) = decoder().feed(line("ADDED", pod("a", 1)) + line("ADDED", pod("b", 2)))
    thing = batch.events[0].object
    assert isinstance(thing, KubeObject)
    assert type(thing.raw) is bytes
    assert thing.raw == json.dumps(pod("a", 1), separators=(",", ":")).encode()


@pytest.mark.parametrize("spec", ["tru", "01", '"x', '{"a":1]', '{"a":1}}', '{"a" 1}', "\x01", '{"a":"\\q"}', "1,", ""])
def test_an_event_that_is_no_json_behind_its_head_ends_the_stream(spec: str) -> None:
    # Whatever is done for speed, nothing is stored or handed out that has not been gone over to its end.
    head = '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","namespace":"web","resourceVersion":"5"}'
    broken = f'{{"type":"MODIFIED","object":{head},"spec":{spec}}}}}\n'.encode()
    (batch,) = decoder().feed(line("ADDED", pod("a", 4)) + broken + line("ADDED", pod("c", 6)))
    assert [event.object.name for event in batch.events] == ["a"]
    assert isinstance(batch.error, MalformedStreamError)
    pieces = b"".join((line("ADDED", pod("a", 4)), broken, line("ADDED", pod("c", 6))))
    ends = [position + 1 for position, byte in enumerate(pieces) if byte == 10]
    (batch,) = decoder().feed(Pieces(pieces, list(pairwise([0, *ends]))))
    assert [event.object.name for event in batch.events] == ["a"]
    assert isinstance(batch.error, MalformedStreamError)


def test_events_without_a_line_break_between_them_are_all_taken() -> None:
    # As client-go takes them: its framer looks for the end of a value, not of a line.
    odd = pod("b", 2, spec={"text": '}{"type":"x\\"', "more": "}{"})
    lines = (line("ADDED", pod("a", 1)), line("MODIFIED", odd), line("DELETED", pod("c", 3)))
    for between in (b"", b"\r\n"):
        data = between.join(each[:-1] for each in lines)
        for cuts in ([], [7], [90, 99], list(range(0, len(data), 7))):
            assert [e.object.name for batch in decoded(data, cuts) for e in batch.events] == ["a", "b", "c"]
    data = line("ADDED", pod("a", 1))[:-1] + line("ADDED", pod("b", 2))[:60] + b"\n"
    batches = decoded(data)
    assert [e.object.name for batch in batches for e in batch.events] == ["a"]
    assert isinstance(batches[-1].error, MalformedStreamError)


def test_an_event_whose_line_break_is_late_is_taken_at_once() -> None:
    taking = decoder()
    whole = line("ADDED", pod("a", 1))[:-1]
    assert [batch.events[0].object.name for batch in taking.feed(whole)] == ["a"]
    assert not taking.incomplete
    assert taking.feed(b"\n") == []
    assert taking.feed(whole[:-9]) == []
    assert taking.incomplete
    assert len(taking.feed(whole[-9:])[0].events) == 1
    assert taking.feed(b"  \r\n") == []
    assert not taking.incomplete
    # Spaces without end are no sign of life: no API server sends them.
    assert taking.feed(b"  ") == []
    assert taking.incomplete
    assert taking.close() == []


def test_a_bookmark_without_a_version_is_a_batch_without_anything() -> None:
    (batch,) = decoded(b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{}}}\n')
    assert (batch.events, batch.resource_version, batch.error) == ([], "", None)
