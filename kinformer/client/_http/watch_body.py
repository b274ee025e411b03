"""The body of a watch, read as its bytes come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.client._http.exchange import Exchange, OutgoingRequest
    from kinformer.client._http.response_parser import Pieces
    from kinformer.client._http.responses import WatchResponse

__all__ = ["WatchBody"]


class WatchBody:
    """The body of a watch.

    Args:
        exchange: waits for a late head, and translates errors.
        request: the request.
        response: the response; its head may be missing.
        silence: seconds without a byte after which the stream is given up.
        check: called with the media type when a missing head has come.
    """

    __slots__ = ("_check", "_exchange", "_headless", "_request", "_response", "_silence")

    def __init__(
        self,
        exchange: Exchange,
        request: OutgoingRequest,
        response: WatchResponse,
        *,
        silence: float,
        check: Callable[[str], object],
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._response = response
        self._silence = silence
        self._check = check
        self._headless = not response.status

    async def read(
        self,
        take: Callable[[Pieces], object],
        push: Callable[[Pieces], bool] | None = None,
        within: float | None = None,
    ) -> bool:
        """Pass the bytes received so far to a function; wait if there are none.

        A cancelled call loses nothing: the next call continues.

        Args:
            take: called with pieces that are valid until it returns.
            push: called as soon as a few bytes come while this waits; see `RawStream.read`.
            within: seconds without a byte after which the stream is given up, if fewer than usual.

        Returns:
            False, without a call, when the response has ended.

        Raises:
            ApiError: the server refused, later than after half a second.
            TransportError: the stream broke, was silent for too long, or is no watch.
        """
        if self._headless:
            await self._exchange.late_head(self._request, self._response)
            self._headless = False
            self._check(self._response.content_type)
        silence = self._silence if within is None else min(self._silence, within)
        with self._exchange.translated(self._request.doing, answered=True, limit=silence):
            return await self._response.read(take, silence, push)
