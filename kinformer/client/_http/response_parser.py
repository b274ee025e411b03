"""Parse an HTTP/1.1 response as it arrives (RFC 9112): its head, then the pieces of its body. Pure.

Only watches use it. aiohttp copies the chunks of a response into a buffer, and reads them again from there. This
parser copies nothing: a piece of the body is a range of the read buffer. An API server sends each event as one chunk,
so an event is one piece.

This parser refuses every response that llhttp refuses, so a proxy on the way cannot see another response than kinformer
does. A test compares the two over thousands of responses, whole and damaged.
"""

from __future__ import annotations

import mmap
import re
from typing import Final, TypeAlias

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from kinformer.client._http.limits import CHUNK_LINE_LIMIT, HEAD_LIMIT, HEADER_LIMIT

__all__ = ["Buffer", "HttpFormatError", "Pieces", "ResponseParser", "whole"]

Buffer: TypeAlias = bytes | mmap.mmap
"""A buffer for reads. Of both kinds a slice is a copy, made in one step."""

_CARRIAGE_RETURN: Final = 13
_LINE_FEED: Final = 10
_END_OF_HEAD: Final = b"\r\n\r\n"

# RFC 9112, 4. Another protocol ("HTTP/2.0", "ICY") is refused.
_STATUS_LINE: Final = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")

# RFC 9110, 5.5 and 5.6.2. A header folded over two lines, obsolete since RFC 7230, is refused.
_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")

_NOT_IN_TRAILER: Final = frozenset({"content-length", "transfer-encoding"})

_LENGTH: Final = re.compile(r"[0-9]{1,18}")

# RFC 9112, 7.1: a size, and extensions, which no known server uses.
_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*"'
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + _NAME + rb"(?:=(?:" + _NAME + rb"|" + _QUOTED + rb"))?)*")

# Pieces that one call returns at most: less than a millisecond of work, even where each has one byte.
_MOST_PIECES: Final = 4096

# Lines with the size of a chunk, and that size plus its line break. A stream has few different ones.
_MAX_KNOWN: Final = 4096
_known_sizes: dict[bytes, int] = {}


class HttpFormatError(Exception):
    """The received bytes are not HTTP."""


class Pieces(msgspec.Struct, frozen=True, gc=False):
    """Ranges of a buffer, in order; valid until the buffer is written again.

    Attributes:
        buffer: the buffer.
        spans: start and end of each range.
    """

    buffer: Buffer
    spans: list[tuple[int, int]]

    def join(self) -> bytes:
        """Return a copy of all of them, joined."""
        return b"".join([self.buffer[start:end] for start, end in self.spans])


def whole(data: bytes) -> Pieces:
    """Return bytes as one piece."""
    return Pieces(data, [(0, len(data))] if data else [])


class ResponseParser:
    """Parses the bytes of one response, however they are cut.

    Attributes:
        status: the status code; 0 before the head has come.
        reason: the reason phrase.
        headers: the header fields, whatever the case of their names.
        complete: whether the body has reached the end that the server announced.
        held_back: whether the bytes fed so far have more pieces, which `feed(b"")` returns.
    """

    __slots__ = (
        "_chunked",
        "_head_room",
        "_in_trailer",
        "_left",
        "_rest",
        "_trailers",
        "complete",
        "headers",
        "held_back",
        "reason",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
        self.complete = False
        self.held_back = False
        self._rest = b""  # incomplete part of a head or of a chunk's framing
        self._head_room = HEAD_LIMIT  # bytes that heads and trailers may still take
        self._chunked = False
        self._left: int | None = None  # bytes left of the present chunk or of the body; None: until the connection ends
        self._in_trailer = False
        self._trailers = 0

    def feed(self, data: Buffer, size: int = -1) -> Pieces:
        """Take some bytes; return the pieces of the body in them, as ranges of `data` wherever possible.

        Bytes after the end of the response are ignored.

        Args:
            data: the bytes.
            size: number of bytes to take; all by default.

        Raises:
            HttpFormatError: they are not HTTP, or more of a head than its limit.
        """
        if size < 0:
            size = len(data)
        if self._rest:
            data, self._rest = self._rest + data[:size], b""
            size = len(data)
            self.held_back = False
        position = 0
        if not self.status:
            data = data[:size]
            position = self._take_heads(data)
        spans: list[tuple[int, int]] = []
        if self.status and not self.complete and position < size:
            if self._chunked:
                self._take_chunks(data, position, size, spans)
            else:
                self._take_plain(position, size, spans)
        return Pieces(data, spans)

    def close(self) -> bool:
        """Take the end of the connection; return whether the response is complete."""
        if self.status and not self._chunked and self._left is None:
            self.complete = True
        return self.complete

    def _take_heads(self, data: bytes) -> int:
        position = 0
        while not self.status:
            end = data.find(_END_OF_HEAD, position)
            if end < 0:
                self._rest = data[position:]
                if len(self._rest) > self._head_room:
                    self._use_head_room(len(self._rest))
                if not b"HTTP/1.".startswith(self._rest[:7]):
                    raise HttpFormatError("the response does not begin as HTTP/1.1 does")
                return position
            self._use_head_room(end + len(_END_OF_HEAD) - position)
            self._take_head(data[position:end])
            position = end + len(_END_OF_HEAD)
        return position

    def _take_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise HttpFormatError("the response does not begin with the status line of HTTP/1.1")
        status = int(status_line[1])
        headers = _headers(lines)
        if status < 200 and status != 101:
            return  # 100 Continue, 103 Early Hints: the response itself follows
        self.headers = CIMultiDictProxy(headers)
        lengths, codings = headers.getall("Content-Length", []), headers.getall("Transfer-Encoding", [])
        if codings:
            coding = ", ".join(codings).lower()
            if coding not in {"chunked", "identity"}:
                raise HttpFormatError("the response has a transfer coding that is not chunked")
            if lengths:
                raise HttpFormatError("the response has a Content-Length and a Transfer-Encoding")
            self._chunked = coding == "chunked"
        if len(lengths) > 1:
            raise HttpFormatError("the response has two values of Content-Length")
        length = 0
        if lengths:
            if not _LENGTH.fullmatch(lengths[0]):
                raise HttpFormatError("the response has a Content-Length that is no number of bytes")
            length = int(lengths[0])
        self.status, self.reason = status, status_line[2] or ""
        if status in {101, 204, 304}:
            self._chunked, self.complete = False, True
        elif self._chunked:
            self._left = 0
        elif lengths:
            self._left = length
            self.complete = not length

    def _use_head_room(self, size: int) -> None:
        self._head_room -= size
        if self._head_room < 0:
            msg = f"the response has heads and trailers of more than {HEAD_LIMIT // 1024} KiB"
            raise HttpFormatError(msg)

    def _take_plain(self, position: int, size: int, spans: list[tuple[int, int]]) -> None:
        if self._left is not None:
            size = min(size, position + self._left)
            self._left -= size - position
            self.complete = not self._left
        spans.append((position, size))

    def _take_chunks(self, data: Buffer, position: int, size: int, spans: list[tuple[int, int]]) -> None:
        # This loop runs for each event of each watch, so it uses local names. Other methods handle the rare cases.
        find, add, known = data.find, spans.append, _known_sizes
        left = self._left  # of the present chunk, with the line break after it
        while True:
            if len(spans) == _MOST_PIECES:
                self._rest, self._left, self.held_back = data[position:size], left, position < size
                return
            if left:
                end = position + left
                if end > size:
                    self._take_cut_chunk(data, position, size, end, spans)
                    return
                if data[end - 1] != _LINE_FEED or data[end - 2] != _CARRIAGE_RETURN:
                    raise HttpFormatError("a chunk is longer than it says")
                if left > 2:
                    add((position, end - 2))
                position = end
                if position == size:
                    self._left = 0
                    return
            elif self._in_trailer:
                self._left = 0
                self._take_trailer(data[position:size])
                return
            end = find(b"\r\n", position, size)
            if end < 0:
                self._left = 0
                self._keep_line(data[position:size])
                return
            line = data[position:end]
            left = known.get(line) or _chunk_size(line)
            position = end + 2
            if left == 2:
                self._in_trailer = True
                left = 0

    def _take_cut_chunk(self, data: Buffer, position: int, size: int, end: int, spans: list[tuple[int, int]]) -> None:
        """Take the first part of a chunk that continues in later bytes; hold back the line break that ends a chunk."""
        upto = max(position, min(size, end - 2))
        if upto > position:
            spans.append((position, upto))
        self._rest = data[upto:size]
        self._left = end - upto

    def _take_trailer(self, data: bytes) -> None:
        """Take the header fields after the last chunk, and the empty line that ends the response."""
        position = 0
        while (end := data.find(b"\r\n", position)) >= 0:
            if end == position:
                self.complete = True
                return
            self._use_head_room(end + 2 - position)
            self._trailers += 1
            if self._trailers > HEADER_LIMIT:
                msg = f"the response has trailers of more than {HEADER_LIMIT} fields"
                raise HttpFormatError(msg)
            trailer = _headers([data[position:end].decode("latin-1")])
            if not _NOT_IN_TRAILER.isdisjoint(name.lower() for name in trailer):
                raise HttpFormatError("the response has a trailer that belongs into the head")
            position = end + 2
        self._rest = data[position:]
        if len(self._rest) > self._head_room:
            self._use_head_room(len(self._rest))

    def _keep_line(self, line: bytes) -> None:
        """Keep the start of a line until the rest of it arrives."""
        if len(line) > CHUNK_LINE_LIMIT:
            raise HttpFormatError("a chunk has no size")
        self._rest = line


def _headers(lines: list[str]) -> CIMultiDict[str]:
    if len(lines) > HEADER_LIMIT:
        msg = f"the response has more than {HEADER_LIMIT} header fields"
        raise HttpFormatError(msg)
    made = CIMultiDict[str]()
    for line in lines:
        field = _HEADER.fullmatch(line)
        if field is None:
            raise HttpFormatError("the response has a line in its head that is no header field")
        # A tab at the end stays: other parsers take it as a part of the value, so "chunked\t" must not mean chunked.
        made.add(field[1], field[2].rstrip(" "))
    return made


def _chunk_size(line: bytes) -> int:
    """Return the size in a chunk's line, plus the two bytes of the line break that ends the chunk."""
    size = _CHUNK_LINE.fullmatch(line)
    if size is None or len(line) > CHUNK_LINE_LIMIT:
        raise HttpFormatError("a chunk has a size that is no number")
    length = int(size[1], 16) + 2
    if len(_known_sizes) >= _MAX_KNOWN:
        _known_sizes.clear()
    _known_sizes[line] = length
    return length
