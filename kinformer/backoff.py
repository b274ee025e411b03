"""Policies of retries: the delays between attempts, and the requests that are repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kinformer._jitter import JITTER

if TYPE_CHECKING:
    import random

    from kinformer.errors import ApiError

__all__ = ["Backoff", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter; stateless, so that one policy serves any number of callers.

    The defaults are client-go's (tools/cache/reflector.go: 800 ms, factor 2, 30 s), with two differences: the jitter
    makes a delay shorter, never longer than `maximum`, and any success starts the sequence anew.

    Args:
        initial: seconds before the first retry, before jitter.
        factor: ratio of each delay to the one before.
        maximum: seconds that no delay exceeds, unless the server requests more by Retry-After.
        jitter: the share of a delay that is random, 0 to 1: a delay d becomes one between d * (1 - jitter) and d.
        rng: the source of randomness; tests pass a seeded one.

    Raises:
        ValueError: a figure is out of its range.

    Examples:
        >>> factory = SharedInformerFactory(client, backoff=Backoff(initial=1, maximum=60))
    """

    initial: float = 0.8
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.5
    rng: random.Random = field(default=JITTER, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (0 < self.initial <= self.maximum and self.factor >= 1 and 0 <= self.jitter <= 1):
            msg = (
                f"{self!r} cannot be used: it needs 0 < initial <= maximum, factor >= 1 and 0 <= jitter <= 1 "
                "(times are seconds)"
            )
            raise ValueError(msg)

    def delay(self, failures: int, *, retry_after: float | None = None) -> float:
        """Return the seconds to wait after so many failures in a row (1 is the first); at least `retry_after`."""
        # Far beyond the exponent at which any maximum is reached, a float would overflow.
        exponent = min(max(failures, 1) - 1, 1000)
        try:
            delay = min(self.initial * self.factor**exponent, self.maximum)
        except OverflowError:
            delay = self.maximum
        delay *= 1 - self.jitter * self.rng.random()
        return delay if retry_after is None else max(delay, retry_after)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The requests that a `Client` repeats by itself.

    The defaults are client-go's (rest/request.go, rest/with_retry.go): a request that was refused with 429 or 5xx *and*
    a `Retry-After`, whatever the verb, because the server has not carried it out; and a read whose
    connection was lost before the response. A write whose connection was lost may have been carried out, and is never
    repeated. A request is not repeated if the client's `timeout` would be over before.

    Informers do not use this: each of their failures shows in their status, and their `Backoff` decides.

    Args:
        attempts: how often a request is repeated at most.
        lost_reads: whether a read is repeated when its connection was lost before the response.
        lost_read_delay: seconds before that.

    Raises:
        ValueError: a figure is out of its range.
    """

    attempts: int = 10
    lost_reads: bool = True
    lost_read_delay: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.lost_read_delay < 0:
            msg = f"{self!r} cannot be used: attempts and lost_read_delay (seconds) are at least 0"
            raise ValueError(msg)

    def refusal_delay(self, error: ApiError) -> float | None:
        """Return the seconds after which to repeat a refused request; `None` if it is not repeated."""
        if error.status != 429 and error.status < 500:
            return None
        return error.retry_after
