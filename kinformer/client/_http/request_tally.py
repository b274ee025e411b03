"""Counts of the requests of a client: for its metrics sink, and for `Client.status`."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kinformer.metrics import SinkGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.metrics import RequestMetrics

__all__ = ["ClientStatus", "RequestTally", "SentRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """The requests of a client up to one moment.

    Attributes:
        requests: number of requests sent, by HTTP status; "<error>" where no response came. Repeated ones count.
        retries: number of requests that repeated another, by the HTTP status that was the reason.
        waits: number of requests that were held back because the server had answered 429 with `Retry-After`.
        held: the kinds of request ("read", "write", "watch") that are held back now, and the seconds until each is
            free.
        metrics_failures: number of times that the metrics sink raised; its figures may be wrong.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    waits: int = 0
    held: Mapping[str, float] = field(default_factory=dict)
    metrics_failures: int = 0


class RequestTally:
    """Counts the requests of one client.

    Args:
        metrics: the sink, if any. Its exceptions are logged and counted; requests go on.
        host: the API server's name for the sink, with its port.
    """

    def __init__(self, metrics: RequestMetrics | None, host: str) -> None:
        self._sink = None if metrics is None else SinkGuard(metrics)
        self._host = host
        self.requests: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.waits = 0

    @property
    def metrics_failures(self) -> int:
        """Number of times that the sink raised."""
        return 0 if self._sink is None else self._sink.failures

    def sent(self, method: str) -> SentRequest:
        """Start to count a request."""
        return SentRequest(self, method)

    def answered(self, method: str, code: str, seconds: float) -> None:
        """Count a response, or "<error>" where none came."""
        self.requests[code] += 1
        if self._sink is not None:
            self._sink.call("requested", method, self._host, code, seconds)

    def retried(self, method: str, code: str) -> None:
        """Count the repetition of a request."""
        self.retries[code] += 1
        if self._sink is not None:
            self._sink.call("retried", method, self._host, code)


class SentRequest:
    """One request in flight; only its first reported end counts.

    Attributes:
        began: when it was sent (`loop.time()`).
    """

    __slots__ = ("_ended", "_method", "_tally", "began")

    def __init__(self, tally: RequestTally, method: str) -> None:
        self._tally = tally
        self._method = method
        self.began = asyncio.get_running_loop().time()
        self._ended = False

    def end(self, status: int = 0) -> None:
        """Report the status; 0 when no response came (also when the request was cancelled)."""
        if not self._ended:
            self._ended = True
            seconds = asyncio.get_running_loop().time() - self.began
            self._tally.answered(self._method, str(status) if status else "<error>", seconds)
