"""Responses, read as they arrive: decompressed and bounded alike, whether aiohttp or kinformer parses them."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from kinformer._connector import end_response
from kinformer.client._http.content_coding import CodingError, ContentDecoder, content_decoder
from kinformer.client._http.raw_stream import RawStream
from kinformer.client._http.response_parser import Pieces, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.client._http.request_tally import SentRequest
    from kinformer.config import Identity

__all__ = ["BodyTooLargeError", "PlainResponse", "Response", "WatchReply", "WatchResponse"]

# Seconds that aiohttp waits for the head of a watch. If the server has closed a pooled connection, the error comes well
# within this time, and aiohttp then makes a new connection.
_STALE_SHOWS_WITHIN: Final = 0.5

_NO_HEADERS: Final = CIMultiDictProxy(CIMultiDict[str]())


class BodyTooLargeError(Exception):
    """A body is larger than its limit."""


class Response(abc.ABC):
    """A response.

    Attributes:
        counted: the request in the tally.
        identity: the credentials with which the request was sent.
    """

    counted: SentRequest
    identity: Identity

    def __init__(self) -> None:
        self._decoder: ContentDecoder | None = None
        self._coding_known = False

    @property
    @abc.abstractmethod
    def status(self) -> int:
        """Return the status code; 0 before the head has arrived."""

    @property
    @abc.abstractmethod
    def headers(self) -> CIMultiDictProxy[str]:
        """Return the header fields; their names match in any case."""

    @property
    def content_type(self) -> str:
        """Return the media type in lower case, without parameters; by default `application/octet-stream`."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower() or "application/octet-stream"

    @abc.abstractmethod
    async def _read_some(self) -> bytes:
        """Return bytes of the body as they were sent; `b""` at its end."""

    @abc.abstractmethod
    def fail(self, error: Exception) -> None:
        """Raise an error in the reader."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Return the connection to the pool, or close it if a part of the response is unread."""

    def decoder(self) -> ContentDecoder | None:
        """Return the decompressor of the body; `None` where it is not compressed.

        Raises:
            CodingError: the coding is not known.
        """
        if not self._coding_known:
            codings = self.headers.getall("Content-Encoding", None)
            self._decoder = None if codings is None else content_decoder(", ".join(codings))
            self._coding_known = True
        return self._decoder

    async def read_some(self) -> bytes:
        """Return some of the body, decompressed (then at most 256 KiB); `b""` at its end.

        Raises:
            CodingError: the body cannot be decompressed.
        """
        decoder = self.decoder()
        if decoder is None:
            return await self._read_some()
        while True:
            if decoder.pending:
                await asyncio.sleep(0)
                if text := decoder.pull():
                    return text
            data = await self._read_some()
            if not data:
                decoder.close()
                return b""
            decoder.push(data)

    async def read_all(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLargeError: it has more bytes than the limit.
        """
        pieces: list[bytes] = []
        size = 0
        while data := await self.read_some():
            size += len(data)
            if size > limit:
                raise BodyTooLargeError(limit)
            pieces.append(data)
        return b"".join(pieces)

    async def read_start(self, limit: int) -> bytes:
        """Return the body up to a number of bytes, without the part that cannot be decompressed."""
        pieces: list[bytes] = []
        left = limit
        try:
            while left > 0 and (data := await self.read_some()):
                pieces.append(data[:left])
                left -= len(data)
        except (CodingError, EOFError):
            pass
        return b"".join(pieces)


class PlainResponse(Response):
    """A response that aiohttp parses.

    Args:
        response: aiohttp's.
        silence: seconds without a byte of the body after which reading fails.
    """

    def __init__(self, response: aiohttp.ClientResponse, silence: float | None) -> None:
        super().__init__()
        self._response = response
        self._silence = silence

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._response.headers

    async def read_all(self, limit: int) -> bytes:
        content = self._response.content
        if not content.is_eof() or self.decoder() is not None:
            return await super().read_all(limit)
        # All of it is here, as with nearly every answer of a verb.
        data = content.read_nowait()
        if len(data) > limit:
            raise BodyTooLargeError(limit)
        return data

    async def _read_some(self) -> bytes:
        content = self._response.content
        # Data that is here needs no time limit, and a limit costs more than the read.
        data = content.read_nowait()
        if data or content.at_eof():
            return data
        # aiohttp's limit is not enough: after a malformed chunk in a pause of reading, its reader waits for ever.
        async with asyncio.timeout(self._silence):
            return await content.readany()

    def fail(self, error: Exception) -> None:
        self._response.content.set_exception(error)

    async def close(self) -> None:
        end_response(self._response)


class WatchReply(aiohttp.ClientResponse):
    """The response to a watch, as aiohttp sees it: it takes the connection over when the request is written.

    `start` may return before the head has arrived, as some servers send the head with the first event.
    """

    stream: RawStream

    async def start(self, connection: aiohttp.connector.Connection) -> WatchReply:
        """Take the connection over, and wait half a second for the head."""
        self._closed = False
        self._connection = connection
        protocol, transport = connection.protocol, connection.transport
        self.stream = RawStream()
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        self.stream.take_over(transport, protocol)
        try:
            # If it has not come, the reader waits for it again.
            await self.stream.head(_STALE_SHOWS_WITHIN)
        except ConnectionResetError as error:
            raise aiohttp.ServerDisconnectedError from error
        except OSError as error:
            raise aiohttp.ClientOSError(*error.args) from error
        return self


class WatchResponse(Response):
    """The response to a watch, which `RawStream` parses."""

    def __init__(self, reply: WatchReply) -> None:
        super().__init__()
        self._reply = reply
        self._stream = reply.stream

    @property
    def status(self) -> int:
        return self._stream.parser.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._stream.parser.headers if self.status else _NO_HEADERS

    async def head(self) -> None:
        """Wait for the head."""
        await self._stream.head()

    def read(
        self, take: Callable[[Pieces], object], silence: float, push: Callable[[Pieces], bool] | None = None
    ) -> Awaitable[bool]:
        """Pass the body received so far to a function, as `RawStream.read`; decompressed, in pieces of 256 KiB.

        Compressed bytes are not pushed.
        """
        return self._stream.read(take, silence, push) if self.decoder() is None else self._decompress(take, silence)

    async def _decompress(self, take: Callable[[Pieces], object], silence: float) -> bool:
        self._silence = silence
        if text := await self.read_some():
            take(whole(text))
        return bool(text)

    _silence = 60.0

    async def _read_some(self) -> bytes:
        parts: list[bytes] = []
        while not any(parts):
            if not await self._stream.read(lambda pieces: parts.append(pieces.join()), self._silence):
                return b""
        return b"".join(parts)

    def fail(self, error: Exception) -> None:
        self._stream.fail(error)

    async def close(self) -> None:
        try:
            await self._stream.close()
        finally:  # a second cancellation may end the wait
            self._reply.close()
