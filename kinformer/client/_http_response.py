"""An HTTP/1.1 answer taken apart as it arrives (RFC 9112): its head, then the pieces of its body. Pure.

For watches only: aiohttp puts the chunks of an answer together in a buffer, from which they are then read again. An API
server sends each event as a chunk of its own, so that here an event is one piece, copied once.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HttpFormatError", "ResponseParser"]

_MAX_HEAD: Final = 64 * 1024
_MAX_CHUNK_LINE: Final = 256
_LINE_FEED: Final = 10
_END_OF_HEAD: Final = b"\r\n\r\n"


class HttpFormatError(Exception):
    """What came is not HTTP."""


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

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Take some bytes; returns the pieces of the body in them.

        Raises:
            HttpFormatError: they are not HTTP.
        """
        if self._rest:
            data = self._rest + bytes(data)
            self._rest = b""
        if not self.status:
            whole = bytes(data)
            position = self._take_heads(whole)
            if not self.status:
                return []
            data = whole[position:]
        if self.complete or not len(data):
            return []
        return self._take_chunks(bytes(data)) if self._chunked else self._take_plain(bytes(data))

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

    def _take_plain(self, data: bytes) -> list[bytes]:
        if self._left is None:
            return [data]
        piece = data[: self._left]
        self._left -= len(piece)
        self.complete = not self._left
        return [piece]

    def _take_chunks(self, data: bytes) -> list[bytes]:
        # Of the present chunk, `_left` counts its data and the line break after it.
        pieces: list[bytes] = []
        find = data.find
        position, size, left = 0, len(data), self._left or 0
        while True:
            if left:
                end = position + left
                if end <= size:
                    if data[end - 1] != _LINE_FEED:
                        raise HttpFormatError("a chunk is longer than it says")
                    if left > 2:
                        pieces.append(data[position : end - 2])
                    position, left = end, 0
                else:
                    # The line break is not for the reader, so as much as may be one waits.
                    upto = min(size, end - 2)
                    if upto > position:
                        pieces.append(data[position:upto])
                        left -= upto - position
                    self._rest = data[max(upto, position) :]
                    self._left = left
                    return pieces
            if position >= size:
                self._left = 0
                return pieces
            end = find(b"\r\n", position)
            if end < 0:
                if size - position > _MAX_CHUNK_LINE:
                    raise HttpFormatError("a chunk has no length")
                self._rest, self._left = data[position:], 0
                return pieces
            if self._in_trailer:
                if end == position:
                    self.complete = True
                    return pieces
                position = end + 2
                continue
            length = _chunk_length(data[position:end])
            position = end + 2
            if length:
                left = length + 2
            else:
                self._in_trailer = True


def _chunk_length(line: bytes) -> int:
    try:
        length = int(line.partition(b";")[0], 16)
    except ValueError:
        length = -1
    if length < 0:
        raise HttpFormatError("a chunk has a length that is no number")
    return length
