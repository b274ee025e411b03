"""An HTTP/1.1 answer taken apart as it arrives (RFC 9112): its head, then the pieces of its body. Pure.

For watches only: aiohttp puts the chunks of an answer together in a buffer, from which they are then read again. Here
nothing is copied: what is found is where in the buffer the pieces of the body are. An API server sends each event as a
chunk of its own, so that an event is one piece.
"""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Buffer", "HttpFormatError", "Pieces", "ResponseParser", "whole"]

Buffer: TypeAlias = bytes | mmap.mmap
"""What is read into. Of both kinds a slice is a copy, made in one step."""

_MAX_HEAD: Final = 64 * 1024
_MAX_CHUNK_LINE: Final = 256
_LINE_FEED: Final = 10
_END_OF_HEAD: Final = b"\r\n\r\n"


class HttpFormatError(Exception):
    """What came is not HTTP."""


class Pieces(NamedTuple):
    """Parts of a buffer, one after the other; good until the buffer is read into again.

    Attributes:
        buffer: what they are parts of.
        spans: where each begins, and where it has ended.
    """

    buffer: Buffer
    spans: list[tuple[int, int]]

    def join(self) -> bytes:
        """A copy of all of them."""
        return b"".join([self.buffer[start:end] for start, end in self.spans])


def whole(data: bytes) -> Pieces:
    """Bytes as one piece."""
    return Pieces(data, [(0, len(data))] if data else [])


class ResponseParser:
    """Takes the bytes of one answer, in any pieces.

    Attributes:
        status: the status code; 0 before the head has come.
        reason: what the server calls it.
        headers: by their names in lower case; of several of one name, the last.
        complete: whether the body has come to the end that the server announced.
    """

    __slots__ = ("_chunked", "_in_trailer", "_left", "_rest", "complete", "headers", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.complete = False
        self._rest = b""  # of a head or of a chunk's framing that is not whole yet
        self._chunked = False
        self._left: int | None = None  # of the present chunk, or of the body; None: until the connection ends
        self._in_trailer = False

    def feed(self, data: Buffer, size: int = -1) -> Pieces:
        """Take some bytes; returns the pieces of the body in them, which are parts of `data` wherever they can be.

        Args:
            data: what has come.
            size: how much of it; by default all.

        Raises:
            HttpFormatError: they are not HTTP.
        """
        if size < 0:
            size = len(data)
        if self._rest:
            data, self._rest = self._rest + data[:size], b""
            size = len(data)
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
        """The connection has ended; returns whether the answer was whole by then."""
        if self.status and not self._chunked and self._left is None:
            self.complete = True
        return self.complete

    def _take_heads(self, data: bytes) -> int:
        position = 0
        while not self.status:
            end = data.find(_END_OF_HEAD, position)
            if (len(data) if end < 0 else end) - position > _MAX_HEAD:
                raise HttpFormatError("the answer has a head of more than 64 KiB")
            if end < 0:
                self._rest = data[position:]
                if not b"HTTP/1.".startswith(self._rest[:7]):
                    raise HttpFormatError("the answer does not begin as HTTP/1.1 does")
                return position
            self._take_head(data[position:end])
            position = end + len(_END_OF_HEAD)
        return position

    def _take_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        protocol, _, rest = first.partition(" ")
        code, _, reason = rest.partition(" ")
        if not protocol.startswith("HTTP/1.") or len(code) != 3 or not code.isdecimal():
            raise HttpFormatError("the answer does not begin with the status line of HTTP/1.1")
        if code.startswith("1") and code != "101":
            return  # 100 Continue, 103 Early Hints: the answer itself follows
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise HttpFormatError("the answer has a header that is none")
            self.headers[name.lower()] = value.strip()
        self.status, self.reason = int(code), reason
        self._chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        length = self.headers.get("content-length")
        if self._chunked:
            self._left = 0
        elif self.status in {204, 304}:
            self.complete = True
        elif length is not None:
            if not length.isdecimal():
                raise HttpFormatError("the answer has a Content-Length that is no number")
            self._left = int(length)
            self.complete = not self._left

    def _take_plain(self, position: int, size: int, spans: list[tuple[int, int]]) -> None:
        if self._left is not None:
            size = min(size, position + self._left)
            self._left -= size - position
            self.complete = not self._left
        spans.append((position, size))

    def _take_chunks(self, data: Buffer, position: int, size: int, spans: list[tuple[int, int]]) -> None:
        # This loop runs for each event of each watch: hence the local names. What is unusual is done elsewhere.
        find, add = data.find, spans.append
        left = self._left  # of the present chunk, with the line break after it
        while not self.complete:
            if left:
                end = position + left
                if end > size:
                    self._take_cut_chunk(data, position, size, end, spans)
                    return
                if data[end - 1] != _LINE_FEED:
                    raise HttpFormatError("a chunk is longer than it says")
                if left > 2:
                    add((position, end - 2))
                position, left = end, 0
            end = find(b"\r\n", position, size)
            if end < 0 or self._in_trailer:
                left = 0
                if end < 0:
                    self._keep_line(data[position:size])
                    break
                self.complete = end == position
                position = end + 2
                continue
            try:
                left = int(data[position:end], 16) + 2
            except ValueError:
                left = _chunk_length(data[position:end]) + 2
            position = end + 2
            if left <= 2:
                self._in_trailer = left == 2
                if left < 2:
                    raise HttpFormatError("a chunk has a length that is no number")
                left = 0
        self._left = left

    def _take_cut_chunk(self, data: Buffer, position: int, size: int, end: int, spans: list[tuple[int, int]]) -> None:
        """Take what has come of a chunk that goes on. The line break at its end is not for the reader; so it waits."""
        upto = max(position, min(size, end - 2))
        if upto > position:
            spans.append((position, upto))
        self._rest = data[upto:size]
        self._left = end - upto

    def _keep_line(self, line: bytes) -> None:
        """Keep a line that has not ended, for when it has."""
        if len(line) > _MAX_CHUNK_LINE:
            raise HttpFormatError("a chunk has no length")
        self._rest = line


def _chunk_length(line: bytes) -> int:
    try:
        length = int(line.partition(b";")[0], 16)
    except ValueError:
        length = -1
    if length < 0:
        raise HttpFormatError("a chunk has a length that is no number")
    return length
