"""The gate for times of overload: one 429 holds back every request of its kind."""

from __future__ import annotations

import asyncio
import enum
import math
from typing import TYPE_CHECKING, Final

from kinformer._clock import running_clock
from kinformer._connector import READS
from kinformer.errors import ApiError, TooManyRequestsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.client._http.request_tally import RequestTally

__all__ = ["Gate", "RequestKind"]

# Seconds between two groups of requests that leave the gate when it opens: enough for the first to be refused again.
_BETWEEN_GROUPS: Final = 0.05


class RequestKind(enum.StrEnum):
    """The kinds of request that a server limits apart from each other (APF: WATCH, and mutating or not)."""

    READ = "read"
    WRITE = "write"
    WATCH = "watch"

    @classmethod
    def of(cls, method: str, *, watch: bool = False) -> RequestKind:
        """Return the kind of a request."""
        return cls.WATCH if watch else cls.READ if method in READS else cls.WRITE


class Gate:
    """Delays requests for as long as the server has asked.

    When the gate opens, one of the waiting requests leaves at once, then two, four, eight, ... at short intervals. So a
    server that is still overloaded refuses one request, and that closes the gate to all the others again.

    One gate serves a whole client. Without it, each of a thousand callers learns by a 429 of its own that the server is
    overloaded.

    A 429 is about all requests of its kind. Another refusal, a 503 for example, may be about one object or one backend.
    So it closes the gate only if a request was repeated until it had to be given up, and the server has processed no
    request of its kind meanwhile. Then each further refusal closes it again, until a request is processed.
    """

    def __init__(self, tally: RequestTally) -> None:
        self._tally = tally
        self._opens_at: dict[RequestKind, float] = {}
        self._reasons: dict[RequestKind, ApiError] = {}
        self._waiting: dict[RequestKind, list[object]] = {kind: [] for kind in RequestKind}
        self._processed_at: dict[RequestKind, float] = {}
        # The kinds of which no request was processed since one was given up.
        self._failing: set[RequestKind] = set()

    def refused(self, kind: RequestKind, error: ApiError) -> None:
        """Hold back the requests of a kind if the server has asked for that (429 with `Retry-After`)."""
        if isinstance(error, TooManyRequestsError) or kind in self._failing:
            self._close(kind, error)

    def given_up(self, kind: RequestKind, error: ApiError, *, since: float) -> None:
        """Hold back the requests of a kind if none was processed since the first try of the one that is given up."""
        if error.retry_after and self._processed_at.get(kind, -math.inf) < since:
            self._failing.add(kind)
            self._close(kind, error)

    def processed(self, kind: RequestKind) -> None:
        """Record that the server has processed a request of a kind, with success or with a fault of the request."""
        self._processed_at[kind] = asyncio.get_running_loop().time()
        self._failing.discard(kind)

    def _close(self, kind: RequestKind, error: ApiError) -> None:
        opens_at = asyncio.get_running_loop().time() + (error.retry_after or 0.0)
        if error.retry_after and opens_at > self._opens_at.get(kind, 0.0):
            self._opens_at[kind], self._reasons[kind] = opens_at, error

    async def passed(self, kind: RequestKind, *, deadline: float, doing: str) -> None:
        """Wait until a request of a kind may be sent.

        Raises:
            TooManyRequestsError: the gate opens after the deadline; nothing was sent. `retry_after` has the seconds
                until it opens.
        """
        clock = running_clock()
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
