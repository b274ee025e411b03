"""A token bucket: so many at once, then so many each second."""

from __future__ import annotations

import math

__all__ = ["TokenBucket"]


class TokenBucket:
    """Tokens that refill at a steady rate. It has no clock: the caller passes the time.

    Args:
        rate: tokens that are added each second.
        burst: maximum number of tokens, and the number at the beginning.

    Raises:
        ValueError: the rate is not a finite number above 0, or the burst is less than 1.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        if not (rate > 0 and math.isfinite(rate) and burst >= 1):
            msg = f"rate={rate}, burst={burst}: expected a finite rate above 0 a second and a burst of at least 1"
            raise ValueError(msg)
        self._rate = rate
        self._burst = burst
        # Below 0: so many tokens are promised that are not there yet.
        self._tokens: float = burst
        self._at = -math.inf

    def reserve(self, now: float) -> float:
        """Take a token, also one that is not there yet; return the seconds until it is there."""
        self._refill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def take(self, now: float) -> bool:
        """Take a token if there is one; return whether there was."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self, now: float) -> None:
        elapsed = max(now - self._at, 0.0)
        self._at = max(self._at, now)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
