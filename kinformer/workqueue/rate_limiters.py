"""Rate limiters: the wait of a key that failed before it is tried again; used by `RateLimitingQueue`.

A limiter has no clock: the caller passes the loop's time. Those that count failures do so per key, until `forget`.
The rules and constants are client-go's (util/workqueue/default_rate_limiters.go).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from kinformer._jitter import JITTER
from kinformer._token_bucket import TokenBucket

if TYPE_CHECKING:
    import random

__all__ = [
    "Bucket",
    "ItemExponential",
    "ItemFastSlow",
    "Jittered",
    "MaxOf",
    "MaxWait",
    "RateLimiter",
    "default_rate_limiter",
]

K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class RateLimiter(Protocol[K_contra]):
    """Returns the wait of a key that failed. It has no clock of its own: the caller passes the time."""

    def when(self, key: K_contra, now: float) -> float:
        """Count one more failure of the key, at the loop's time `now` (seconds); return the seconds to wait from it."""
        ...

    def forget(self, key: K_contra) -> None:
        """Reset the failures of the key."""
        ...

    def num_requeues(self, key: K_contra) -> int:
        """Return the number of counted failures of the key."""
        ...


class _Failures:
    """Failures per key."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, int] = {}

    def _count(self, key: Hashable) -> int:
        """Count one more; return how many there were before."""
        before = self._failures.get(key, 0)
        self._failures[key] = before + 1
        return before

    def forget(self, key: Hashable) -> None:
        """Reset the failures of the key."""
        self._failures.pop(key, None)

    def num_requeues(self, key: Hashable) -> int:
        """Return the number of counted failures of the key."""
        return self._failures.get(key, 0)


class ItemExponential(_Failures):
    """Each failure of a key doubles its wait: `base`, `2 * base`, ... up to `cap`.

    The defaults are client-go's (default_rate_limiters.go, DefaultTypedControllerRateLimiter): 5 ms to 1,000 s.

    Args:
        base: seconds after the first failure.
        cap: seconds, at most.

    Raises:
        ValueError: not `0 <= base <= cap`.
    """

    def __init__(self, base: float = 0.005, cap: float = 1000) -> None:
        super().__init__()
        if not (0 <= base <= cap and math.isfinite(cap)):
            msg = f"ItemExponential(base={base}, cap={cap}): expected finite seconds with 0 <= base <= cap"
            raise ValueError(msg)
        self._base = base
        self._cap = cap

    def when(self, key: Hashable, now: float) -> float:  # noqa: ARG002 - the protocol's; only failures count here
        """Count one more failure of the key; return the seconds to wait."""
        # A float holds 2.0**1023 and no more; every cap is reached long before.
        return min(self._cap, self._base * 2.0 ** min(self._count(key), 1023))


class ItemFastSlow(_Failures):
    """A few quick retries of each key, then slow ones (default_rate_limiters.go, ItemFastSlowRateLimiter).

    Args:
        fast: seconds before each of the first retries.
        slow: seconds before each later one.
        fast_attempts: how many are quick.

    Raises:
        ValueError: a number is negative or not finite.
    """

    def __init__(self, fast: float, slow: float, fast_attempts: int) -> None:
        super().__init__()
        if not (min(fast, slow, fast_attempts) >= 0 and math.isfinite(fast) and math.isfinite(slow)):
            msg = f"ItemFastSlow(fast={fast}, slow={slow}, fast_attempts={fast_attempts}): none may be negative"
            raise ValueError(msg)
        self._fast = fast
        self._slow = slow
        self._fast_attempts = fast_attempts

    def when(self, key: Hashable, now: float) -> float:  # noqa: ARG002 - the protocol's; only failures count here
        """Count one more failure of the key; return the seconds to wait."""
        return self._fast if self._count(key) < self._fast_attempts else self._slow


class Bucket:
    """A token bucket shared by all keys: `burst` at once, then `rate` a second, each waiting for its turn.

    It knows no keys: `forget` does nothing, and `num_requeues` is 0. The defaults are client-go's
    (default_rate_limiters.go, DefaultTypedControllerRateLimiter): 10 a second, 100 at once.

    Args:
        rate: tokens a second.
        burst: tokens at most, and at the beginning.

    Raises:
        ValueError: the rate is not a finite number above 0, or the burst is less than 1.
    """

    def __init__(self, rate: float = 10, burst: int = 100) -> None:
        self._tokens = TokenBucket(rate, burst)

    def when(self, key: Hashable, now: float) -> float:  # noqa: ARG002 - the protocol's; one bucket for all keys
        """Take a token; return the seconds until it is there."""
        return self._tokens.reserve(now)

    def forget(self, key: Hashable) -> None:
        """Do nothing: tokens are not given back."""

    def num_requeues(self, key: Hashable) -> int:  # noqa: ARG002 - the protocol's; one bucket for all keys
        """Always 0."""
        return 0


class MaxOf(Generic[K_contra]):
    """Several limiters, each counting every failure; the longest wait counts.

    Raises:
        ValueError: no limiter was given.
    """

    def __init__(self, *limiters: RateLimiter[K_contra]) -> None:
        if not limiters:
            raise ValueError("MaxOf() needs at least one limiter")
        self._limiters = limiters

    def when(self, key: K_contra, now: float) -> float:
        """Count one more failure of the key; return the seconds to wait."""
        return max([limiter.when(key, now) for limiter in self._limiters])

    def forget(self, key: K_contra) -> None:
        """Reset the failures of the key in each limiter."""
        for limiter in self._limiters:
            limiter.forget(key)

    def num_requeues(self, key: K_contra) -> int:
        """Return the highest number of failures of the key in any limiter."""
        return max([limiter.num_requeues(key) for limiter in self._limiters])


class MaxWait(Generic[K_contra]):
    """Another limiter, whose wait is cut at `seconds` (default_rate_limiters.go, WithMaxWaitRateLimiter).

    Raises:
        ValueError: `seconds` is negative or not a number.
    """

    def __init__(self, limiter: RateLimiter[K_contra], seconds: float) -> None:
        if not seconds >= 0:
            msg = f"MaxWait(..., seconds={seconds}): expected 0 or more"
            raise ValueError(msg)
        self._limiter = limiter
        self._seconds = seconds

    def when(self, key: K_contra, now: float) -> float:
        """Count one more failure of the key; return the seconds to wait."""
        return min(self._seconds, self._limiter.when(key, now))

    def forget(self, key: K_contra) -> None:
        """Reset the failures of the key."""
        self._limiter.forget(key)

    def num_requeues(self, key: K_contra) -> int:
        """Return the number of counted failures of the key."""
        return self._limiter.num_requeues(key)


class Jittered(Generic[K_contra]):
    """Another limiter, whose waits are lengthened at random: keys that failed together do not come back together.

    A thousand keys whose server was away for a moment would otherwise all ask it again in the same instant, each time.
    client-go has none; its backoff of reflectors has one of factor 1 (tools/cache/reflector.go).

    Args:
        limiter: the other one.
        factor: each wait is between 1 and `1 + factor` times what the other one says.
        rng: the source of randomness.

    Raises:
        ValueError: `factor` is negative or not finite.
    """

    def __init__(self, limiter: RateLimiter[K_contra], factor: float = 0.5, rng: random.Random | None = None) -> None:
        if not (factor >= 0 and math.isfinite(factor)):
            msg = f"Jittered(..., factor={factor}): expected a finite number, 0 or more"
            raise ValueError(msg)
        self._limiter = limiter
        self._factor = factor
        self._rng = JITTER if rng is None else rng

    def when(self, key: K_contra, now: float) -> float:
        """Count one more failure of the key; return the seconds to wait."""
        return self._limiter.when(key, now) * (1 + self._factor * self._rng.random())

    def forget(self, key: K_contra) -> None:
        """Reset the failures of the key."""
        self._limiter.forget(key)

    def num_requeues(self, key: K_contra) -> int:
        """Return the number of counted failures of the key."""
        return self._limiter.num_requeues(key)


def default_rate_limiter() -> MaxOf[Hashable]:
    """Return the default of client-go: 5 ms doubling to 1,000 s per key, and 10 a second, 100 at once, for all.

    default_rate_limiters.go, DefaultTypedControllerRateLimiter.
    """
    return MaxOf(ItemExponential(base=0.005, cap=1000), Bucket(rate=10, burst=100))
