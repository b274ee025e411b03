"""However a watch is meant to harm, it holds the loop for a moment at most, and the memory that it takes is bounded."""

from __future__ import annotations

import json
import time

import pytest

from kinformer.client._decoding.watches import WatchDecoder
from kinformer.client._http.limits import EMPTY_LINES_LIMIT, EVENT_LIMIT
from kinformer.client._http.response_parser import Pieces
from kinformer.errors import ProtocolError, ServerError
from kinformer.resources import PODS
from tests.wire.raw_server import event


def decoder() -> WatchDecoder:
    return WatchDecoder(PODS, doing="watch pods")


def test_an_event_without_end_is_refused_at_its_bound() -> None:
    taking, piece, taken = decoder(), b"x" * 65_536, 0
    with pytest.raises(ProtocolError, match="an event of more than 16 MiB"):
        while True:
            taking.feed(piece)
            taken += len(piece)
    assert taken <= EVENT_LIMIT


def test_one_byte_at_a_time_costs_no_object_each() -> None:
    taking = decoder()
    for _ in range(100_000):
        taking.begin(b"x")
    assert len(taking._line) == 100_000


@pytest.mark.parametrize(
    "text",
    [
        b"{\n" + b"\n" * 400_000,
        b"{\n" + b' "a": 1,\n' * 40_000,
        b"{\n" + b"}" * 400_000 + b"\n",
        b"{\n" + b"\n}" * 200_000,
        b"{\n" + b"\n} " * 200_000,
    ],
    ids=["empty lines", "a field a line", "brackets", "bracket lines", "brackets and spaces"],
)
def test_a_pretty_printed_document_is_looked_through_once_and_refused_at_its_bound(text: bytes) -> None:
    taking = decoder()
    began = time.process_time()
    with pytest.raises(ProtocolError):
        for at in range(0, len(text), 997):
            taking.feed(text[at : at + 997])
    # Looking through everything again at each line took 53 s.
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", [1, 3, 17, 10_000])
def test_a_pretty_printed_status_is_understood_however_it_is_cut(size: int) -> None:
    status = {"kind": "Status", "code": 500, "message": "etcd is gone", "details": {"causes": [{"reason": "x"}]}}
    text = json.dumps(status, indent=2).encode() + b"\n"
    taking = decoder()
    errors = [batch.error for at in range(0, len(text), size) for batch in taking.feed(text[at : at + size])]
    assert [type(error) for error in errors] == [ServerError]
    assert taking.ended


@pytest.mark.parametrize(
    "line", [b'{"type":"ADDED","object":{"metadata":{"name":"a","labels":5}}}\n', event("ADDED", "a", 1)]
)
def test_what_one_turn_takes_of_many_lines_is_bounded_and_nothing_is_lost(line: bytes) -> None:
    all_at_once, in_turns = decoder(), decoder()
    text = line * 3_000
    expected = all_at_once.feed(text)
    batches = in_turns.begin(text)
    turns = 1
    while in_turns.behind:
        batches += in_turns.go_on()
        turns += 1
    assert turns == 6
    for of in ("events", "failures"):
        assert sum(len(getattr(b, of)) for b in batches) == sum(len(getattr(b, of)) for b in expected)


def test_lines_that_come_after_those_that_wait_come_after_them() -> None:
    taking = decoder()
    names = [f"p{number}" for number in range(2_000)]
    text = b"".join(event("ADDED", name, 1) for name in names)
    head, tail = text[:50_000], text[50_000:]
    batches = taking.begin(Pieces(text, [(0, len(head)), (len(head), len(head) + 10), (len(head) + 10, len(text))]))
    assert tail
    while taking.behind:
        batches += taking.go_on()
    assert [change.object.name for batch in batches for change in batch.events] == names


@pytest.mark.parametrize("empty", [b"\n", b" \r\n"])
def test_empty_lines_are_passed_over_but_not_without_end(empty: bytes) -> None:
    taking = decoder()
    for _ in range(3):
        assert taking.feed(empty * EMPTY_LINES_LIMIT) == []
        (batch,) = taking.feed(event("ADDED", "a", 1))
        assert len(batch.events) == 1
    with pytest.raises(ProtocolError, match="the server sends empty lines, more than 1,000 in a row"):
        taking.feed(empty * (EMPTY_LINES_LIMIT + 1))
