"""Content codings (RFC 9110, 8.4): one decoder for lists, watches, verbs and refusals. Pure.

aiohttp can decompress too, but not with a bound: a kilobyte of gzip can be a megabyte of text, so that one read would
hold the event loop and fill the memory. It also passes a coding that it does not know on as if it were text.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CodingError", "ContentDecoder", "content_decoder"]

_PIECE: Final = 256 * 1024
"""Bytes that one step gives at most: below a millisecond of work."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


class CodingError(Exception):
    """A body cannot be decompressed."""


class _Decompressor(Protocol):
    """The object that `zlib.decompressobj` returns."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class ContentDecoder:
    """Decompresses gzip or deflate in bounded steps.

    Give it compressed bytes with `push`, and take text with `pull` until that returns nothing.
    """

    __slots__ = ("_coding", "_full", "_inner", "_make", "_rest", "_started")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._make: Callable[[bytes], _Decompressor] = _gunzip if coding == "gzip" else _inflate
        self._inner: _Decompressor | None = None
        self._rest = b""
        self._full = False
        self._started = False

    def push(self, data: bytes) -> None:
        """Add compressed bytes."""
        self._rest = self._rest + data if self._rest else data

    @property
    def pending(self) -> bool:
        """Return whether `pull` may return text."""
        return self._full or bool(self._rest)

    def pull(self) -> bytes:
        """Return decompressed text, at most 256 KiB; `b""` when more compressed bytes are needed.

        Raises:
            CodingError: the bytes are not in this coding.
        """
        while self.pending:
            if self._inner is None:
                # Some servers send deflate without the two header bytes of zlib that RFC 9110 asks for.
                if self._coding == "deflate" and len(self._rest) < 2:
                    return b""
                self._inner, self._started = self._make(self._rest), True
            inner = self._inner
            data, self._rest = self._rest, b""
            try:
                text = inner.decompress(data, _PIECE)
            except zlib.error as error:
                msg = f"its body is not {self._coding}: {error}"
                raise CodingError(msg) from error
            self._full = len(text) == _PIECE and not inner.eof
            if inner.eof:
                # Another member may follow (RFC 1952, 2.2).
                self._rest, self._inner = inner.unused_data, None
                if self._rest and self._coding == "deflate":
                    msg = "its body goes on after the end of the deflate stream"
                    raise CodingError(msg)
            else:
                self._rest = inner.unconsumed_tail
            if text:
                return text
        return b""

    def close(self) -> None:
        """Take the end of the body.

        Raises:
            EOFError: the compressed stream has not ended.
        """
        if self._inner is not None or self._rest:
            msg = f"the {self._coding} stream has no end"
            raise EOFError(msg)


def content_decoder(coding: str) -> ContentDecoder | None:
    """Return the decoder for the value of `Content-Encoding`; `None` where the body is not compressed.

    Raises:
        CodingError: the coding is neither gzip nor deflate; names it.
    """
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name in {"gzip", "x-gzip"}:
        return ContentDecoder("gzip")
    if name == "deflate":
        return ContentDecoder("deflate")
    msg = f"its body is compressed as {coding.strip()[:40]!r}, and only gzip and deflate can be read"
    raise CodingError(msg)


def _gunzip(first: bytes) -> _Decompressor:
    del first
    return zlib.decompressobj(_GZIP)


def _inflate(first: bytes) -> _Decompressor:
    has_header = first[0] & 0x0F == 8 and (first[0] << 8 | first[1]) % 31 == 0
    return zlib.decompressobj(_ZLIB if has_header else _RAW_DEFLATE)
