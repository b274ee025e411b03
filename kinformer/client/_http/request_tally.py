"""How many requests a client sent and what became of them: for its metrics sink, and for `Client.status`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kinformer.metrics import RequestMetrics

__all__ = ["ClientStatus", "RequestTally", "SentRequest"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """The requests of a client up to one moment.

    Attributes:
        requests: how many were sent, by HTTP status; "<error>" where no response came. Repetitions count.
        retries: how many of them repeated a request, by the HTTP status that was the reason.
        waits: how often a request was held back because the server had asked for patience (429).
        held: the kinds of request ("read", "write", "watch") that are held back now, and for how many seconds more.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    waits: int = 0
    held: Mapping[str, float] = field(default_factory=dict)


class RequestTally:
    """Counts the requests of one client.

    Args:
        metrics: the sink, if any. Of an exception that it raises the first is logged; requests go on.
        host: the API server's name for the sink, with its port.
    """

    def __init__(self, metrics: RequestMetrics | None, host: str) -> None:
        self._metrics = metrics
        self._host = host
        self._sink_failed = False
        self.requests: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.waits = 0

    def sent(self, method: str) -> SentRequest:
        """Begin to count a request."""
        return SentRequest(self, method)

    def answered(self, method: str, code: str, seconds: float) -> None:
        """Count a response, or "<error>" where none came."""
        self.requests[code] += 1
        if self._metrics is not None:
            with self._guarded("requested"):
                self._metrics.requested(method, self._host, code, seconds)

    def retried(self, method: str, code: str) -> None:
        """Count the repetition of a request."""
        self.retries[code] += 1
        if self._metrics is not None:
            with self._guarded("retried"):
                self._metrics.retried(method, self._host, code)

    @contextlib.contextmanager
    def _guarded(self, call: str) -> Iterator[None]:
        """Keep an exception of the sink from the request that is counted."""
        try:
            yield
        except Exception:
            if not self._sink_failed:
                self._sink_failed = True
                log.exception("the metrics sink of the client raised in %s; further exceptions are not logged", call)


class SentRequest:
    """One request under way; only the first end that is reported counts.

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
