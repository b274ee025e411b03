"""The answer of a watch, taken apart: however the bytes are cut, the body is the same, and nonsense is refused."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.client._http.response_parser import HttpFormatError, ResponseParser

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

bodies = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
cuts = st.lists(st.integers(1, 400), max_size=40)


def chunked(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return CHUNKED + framed + b"0\r\n" + trailer + b"\r\n"


def fed(data: bytes, sizes: list[int]) -> tuple[ResponseParser, bytes]:
    """Feed in pieces of these sizes, then the rest; from a buffer that is used again, and never cleared."""
    parser, body, position = ResponseParser(), b"", 0
    buffer = mmap.mmap(-1, 1 << 16)
    for size in [*sizes, len(data)]:
        piece = data[position : position + size]
        position += size
        buffer[: len(piece)] = piece
        pieces = parser.feed(buffer, len(piece))
        assert all(start < end for start, end in pieces.spans)
        body += pieces.join()
    return parser, body


@settings(max_examples=300, deadline=None)
@given(
    bodies,
    cuts,
    st.sampled_from([b"", b";name=value", b';x="y z"']),
    st.sampled_from([b"", b"Digest: x\r\nMore: y\r\n"]),
)
def test_however_chunks_are_cut_the_body_is_the_same(
    pieces: list[bytes], sizes: list[int], extension: bytes, trailer: bytes
) -> None:
    parser, body = fed(chunked(pieces, extension, trailer), sizes)
    assert body == b"".join(pieces)
    assert parser.complete
    assert parser.close()
    assert parser.headers["content-type"] == "application/json; charset=utf-8"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500), cuts)
def test_a_body_of_a_known_length_ends_with_it(content: bytes, sizes: list[int]) -> None:
    parser, body = fed(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(content), content), sizes)
    assert body == content
    assert parser.complete


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500), cuts)
def test_a_body_without_a_length_ends_with_the_connection(content: bytes, sizes: list[int]) -> None:
    parser, body = fed(HEAD + b"\r\n" + content, sizes)
    assert body == content
    assert not parser.complete
    assert parser.close()


@settings(max_examples=200, deadline=None)
@given(bodies.filter(bool), st.data())
def test_an_end_before_the_last_chunk_is_no_end(pieces: list[bytes], data: st.DataObject) -> None:
    whole = chunked(pieces)
    end = data.draw(st.integers(len(CHUNKED), len(whole) - 1))
    parser, body = fed(whole[:end], [])
    assert not parser.close()
    assert b"".join(pieces).startswith(body)


def test_an_event_in_a_chunk_of_its_own_is_one_piece() -> None:
    parser = ResponseParser()
    pieces = [b'{"type":"ADDED"}\n', b'{"type":"DELETED"}\n']
    data = chunked(pieces)
    found = parser.feed(data)
    assert found.buffer is data, "nothing was copied"
    assert [data[start:end] for start, end in found.spans] == pieces


def test_informational_heads_are_passed_over() -> None:
    parser = ResponseParser()
    assert parser.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").spans == []
    assert parser.status == 0
    assert parser.feed(HEAD + b"Content-Length: 1\r\n\r\nx").join() == b"x"
    assert (parser.status, parser.reason) == (200, "OK")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body(status: bytes) -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert parser.complete


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"3\r\nhello\r\n",
        CHUNKED + b"3\r\nabcXY5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"1" * 300,
    ],
)
def test_what_is_not_http_is_refused(nonsense: bytes) -> None:
    with pytest.raises(HttpFormatError):
        ResponseParser().feed(nonsense)


def test_no_call_gives_more_than_a_few_thousand_pieces_and_none_is_lost() -> None:
    parser = ResponseParser()
    pieces = parser.feed(CHUNKED + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")
    counts = [len(pieces.spans)]
    while parser.held_back:
        counts.append(len(parser.feed(b"").spans))
    assert counts == [4096, 4096, 1808]
    assert parser.complete


def test_informational_responses_without_end_are_refused() -> None:
    parser = ResponseParser()
    with pytest.raises(HttpFormatError, match="more than 64 KiB"):
        for _ in range(10_000):
            parser.feed(b"HTTP/1.1 100 Continue\r\n\r\n")


def test_trailers_without_end_are_refused() -> None:
    parser = ResponseParser()
    parser.feed(CHUNKED + b"0\r\n")
    with pytest.raises(HttpFormatError, match="more than 128 fields"):
        for _ in range(20_000):
            parser.feed(b"A: b\r\n")
