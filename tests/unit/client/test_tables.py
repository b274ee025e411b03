"""Tables become objects with cells: as a real API server sends them, however the bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.client._tables import TableDecoder
from kinformer.errors import ExpiredError, StreamBrokenError
from kinformer.resources import PODS
from tests.paths import RECORDINGS

if TYPE_CHECKING:
    from kinformer.listwatch import DeltaType, WatchBatch

RECORDED = json.loads((RECORDINGS / "watch-table.json").read_text())
LINES = [line.encode() for _, line in RECORDED["response"]["lines"]]
STREAM = b"".join(LINES)


def decoded(data: bytes, cuts: list[int] | None = None) -> tuple[list[WatchBatch], list[Any]]:
    columns: list[Any] = []
    decoder = TableDecoder(PODS, doing="watch pods", on_columns=lambda named: columns.extend(named or ()))
    edges = [0, *sorted(cuts or ()), len(data)]
    batches: list[WatchBatch] = []
    for start, end in pairwise(edges):
        batches += decoder.feed(data[start:end])
    return batches + decoder.close(), columns


def told(batches: list[WatchBatch]) -> list[tuple[DeltaType, str, str, Any]]:
    return [(e.type, e.object.name, e.object.resource_version, e.object["cells"]) for b in batches for e in b.events]


def test_the_recorded_watch_is_read_with_its_columns() -> None:
    batches, columns = decoded(STREAM)
    assert [(column.name, column.priority) for column in columns][:5] == [
        ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0),
    ]  # fmt: skip
    events = told(batches)
    assert [(kind.name, name, version) for kind, name, version, _ in events] == [
        ("ADDED", "late", "209"),
        ("UPDATED", "late", "210"),
        ("UPDATED", "late", "211"),
        ("UPDATED", "late", "212"),
        ("DELETED", "late", "213"),
    ]
    assert events[3][3][:3] == ["late", "0/1", "Terminating"]
    assert batches[-1].resource_version == "213"
    assert not any(batch.failures for batch in batches)


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
@settings(max_examples=50, deadline=None)
def test_however_it_is_cut_the_events_are_the_same(cuts: list[int]) -> None:
    whole, _ = decoded(STREAM)
    cut, _ = decoded(STREAM, cuts)
    assert told(cut) == told(whole)
    assert cut[-1].resource_version == whole[-1].resource_version


def test_whole_objects_pass_where_a_server_makes_no_tables() -> None:
    plain = {"kind": "Pod", "metadata": {"name": "a", "namespace": "default", "resourceVersion": "7"}}
    (batch,), columns = decoded(json.dumps({"type": "ADDED", "object": plain}).encode() + b"\n")
    assert "cells" not in batch.events[0].object
    assert columns == []


def test_an_error_event_passes_and_ends_the_stream() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired"}
    (batch,), _ = decoded(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
    assert isinstance(batch.error, ExpiredError)


def test_half_a_line_at_the_end_is_a_broken_stream() -> None:
    with pytest.raises(StreamBrokenError):
        decoded(LINES[0][: len(LINES[0]) // 2])
    batches, _ = decoded(LINES[0].rstrip(b"\n"))  # whole, but for its line break
    assert len(told(batches)) == 1
