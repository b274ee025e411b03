"""The gate for times of overload: one 429 holds back every request of its kind."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Final

from kinformer.errors import ApiError, TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.client._http.request_tally import RequestTally

__all__ = ["Gate", "RequestKind"]

# Seconds between two groups of requests that leave the gate when it opens: enough for the first to be refused again.
_BETWEEN_GROUPS: Final = 0.05

_READING: Final = frozenset({"GET", "HEAD"})


class RequestKind(enum.StrEnum):
    """The kinds of request that a server limits apart from each other (APF: WATCH, and mutating or not)."""

    READ = "read"
    WRITE = "write"
    WATCH = "watch"

    @classmethod
    def of(cls, method: str, *, watch: bool = False) -> RequestKind:
        """Return the kind of a request."""
        return cls.WATCH if watch else cls.READ if method in _READING else cls.WRITE


class Gate:
    """Delays requests for as long as the server has asked.

    When the gate opens, one of the waiting requests leaves at once, then two, four, eight, ... at short intervals. So a
    server that is still overloaded refuses one request, and that closes the gate to all the others again.

    One gate serves a whole client. Without it, each of a thousand callers learns by a 429 of its own that the server is
    overloaded.
    """

    def __init__(self, tally: RequestTally) -> None:
        self._tally = tally
        self._opens_at: dict[RequestKind, float] = {}
        self._reasons: dict[RequestKind, ApiError] = {}
        self._waiting: dict[RequestKind, list[object]] = {kind: [] for kind in RequestKind}

    def refused(self, kind: RequestKind, error: ApiError) -> None:
        """Hold back the requests of a kind if the server has asked for that (429 with `Retry-After`)."""
        if isinstance(error, TooManyRequestsError) and error.retry_after:
            opens_at = asyncio.get_running_loop().time() + error.retry_after
            if opens_at > self._opens_at.get(kind, 0.0):
                self._opens_at[kind], self._reasons[kind] = opens_at, error

    async def passed(self, kind: RequestKind, *, deadline: float, doing: str) -> None:
        """Wait until a request of a kind may be sent.

        Raises:
            TooManyRequestsError: the gate opens after the deadline; nothing was sent. `retry_after` has the seconds
                until it opens.
        """
        clock = asyncio.get_running_loop().time
        if clock() >= self._opens_at.get(kind, 0.0):
            return
        self._tally.waits += 1
        ticket = object()
        waiting = self._waiting[kind]
        waiting.append(ticket)
        try:
            while True:
                opens_at = self._opens_at[kind]
                group = (waiting.index(ticket) + 1).bit_length() - 1
                left = opens_at + group * _BETWEEN_GROUPS - clock()
                if clock() + left > deadline:
                    raise _again(self._reasons[kind], max(opens_at - clock(), 0.0), doing)
                if left > 0:
                    await asyncio.sleep(left)
                if self._opens_at[kind] == opens_at:
                    return
        finally:
            waiting.remove(ticket)

    def holds(self, kind: RequestKind) -> bool:
        """Return whether requests of a kind have to wait now."""
        return asyncio.get_running_loop().time() < self._opens_at.get(kind, 0.0)

    def held(self) -> Mapping[str, float]:
        """Return the kinds that are held back, and the seconds until each is free."""
        now = asyncio.get_running_loop().time()
        return {str(kind): opens_at - now for kind, opens_at in self._opens_at.items() if opens_at > now}


def _again(reason: ApiError, left: float, doing: str) -> ApiError:
    message = f"not sent, as the server asked to wait: {reason.message or reason.reason or 'too many requests'}"
    return type(reason)(
        message, status=reason.status, reason=reason.reason, details=reason.details, retry_after=left, doing=doing
    )
