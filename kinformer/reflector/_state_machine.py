"""What a reflector does next: stream, list, watch or wait. A pure state machine; `reflector` is the I/O around it.

    start ──▶ STREAM ──end bookmark──▶ the same stream goes on as WATCH ──ended──▶ WATCH ...
                │ not offered, or no end in sight                         │
                ▼                                                         │
              LIST ────────────────────ok──────────────────▶ WATCH        │
                ▲                                              │          │
                └── (or STREAM) ◀── 410, relist ◀──────────────┴──────────┘      WAIT before any of them, when it failed

The rules are client-go's (tools/cache/reflector.go), with
these differences: success resets the backoff, a version that expired under a healthy watch relists at once, a
watch that ends at once again and again backs off, transient watch errors are answered by watching again, not by a list,
and a list older than what was seen is refused.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from kinformer.backoff import Backoff
from kinformer.errors import (
    ApiError,
    BadRequestError,
    ConfigError,
    ConnectError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    MethodNotAllowedError,
    NotFoundError,
    ProtocolError,
    ResourceVersionTooLargeError,
    ServiceUnavailableError,
    StreamBrokenError,
    TLSError,
    TooManyRequestsError,
    TransportTimeoutError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from kinformer.objects import version_number
from kinformer.status import SHORT_WATCH_SECONDS

if TYPE_CHECKING:
    from kinformer.errors import KinformerError

__all__ = [
    "MIN_WATCH_SECONDS",
    "ListStep",
    "ReflectorMachine",
    "Step",
    "StreamStep",
    "StreamingMemory",
    "WaitStep",
    "WatchStep",
]

PAGE_SIZE: Final = 500
"""Objects per page (client-go pager.go, defaultPageSize)."""

MIN_WATCH_SECONDS: Final = 300
"""The shortest `timeoutSeconds` of a watch; the longest is twice that (client-go defaultMinWatchTimeout)."""

WATCH_FAILURES_BEFORE_LIST: Final = 5
"""So many failed watches in a row, and a fresh list is made: perhaps the version itself is what is refused."""


STREAM_ATTEMPTS: Final = 3
"""So many streaming lists in a row that came to no end, and this resource is listed by pages from then on."""


@dataclass(frozen=True, slots=True)
class StreamStep:
    """List by streaming now (`sendInitialEvents`, KEP-3157), and go on watching in the same stream.

    Attributes:
        resource_version: the state must not be older than this; "" for the newest (as in client-go: never "0").
        timeout_seconds: when the server should end the stream.
        reason: why a list is made, as in `ListStep`.
    """

    resource_version: str
    timeout_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class ListStep:
    """List now.

    Attributes:
        resource_version: "0" the first time (whatever the watch cache has), then "not older than what we saw", or ""
            for a quorum read when the server could not serve that.
        limit: objects per page; 0 where a limit would send the server to etcd for what its cache has (as in client-go).
        reason: why, in a word: "initial", "expired", "failed watches", ...
    """

    resource_version: str
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class WatchStep:
    """Watch now, from that version on, for so many seconds."""

    resource_version: str
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Wait, then ask for the next step; `error` is what we wait for to pass."""

    seconds: float
    error: KinformerError | None


Step: TypeAlias = StreamStep | ListStep | WatchStep | WaitStep


@dataclass(slots=True)
class StreamingMemory:
    """Whether a resource is listed by streaming; shared by all who list that resource from that server.

    Attributes:
        off: why not, for people; "" when it is.
    """

    off: str = ""


@dataclass(slots=True)
class ReflectorMachine:
    """Told what came of each step, it says what the next one is.

    Call `next_step`, carry the step out, and report its outcome with exactly one of `listed`, `list_failed`,
    `list_refused`, `stream_failed`, `watch_ended` and `watch_failed` (none for a `WaitStep`); report `progressed` as a
    watch goes on. A stream that has reached its end bookmark is reported with `listed`, and is a watch from then on.

    Args:
        backoff: when to try again.
        page_size: objects per page, 0 for no pages.
        watch_seconds: the shortest `timeoutSeconds` of a watch; the longest is twice that.
        rng: spreads the watch timeouts, so that not all watches end together.
        streaming: whether lists are streamed; by default they are not.
    """

    backoff: Backoff = field(default_factory=Backoff)
    page_size: int = PAGE_SIZE
    watch_seconds: int = MIN_WATCH_SECONDS
    rng: random.Random = field(default_factory=random.Random)
    streaming: StreamingMemory = field(default_factory=lambda: StreamingMemory("not asked for"))
    resource_version: str = ""
    """The version the cache has been brought to; "" before the first list."""
    failures: int = 0
    """Failures in a row; any success sets it to 0."""
    _list_reason: str = "initial"
    _quorum: bool = False
    _paged_always: bool = False
    _unpaged: bool = False
    _expirations: int = 0
    _short_watches: int = 0
    _brought: bool = False
    _streams_failed: int = 0
    _by_pages: bool = False
    _wait: WaitStep | None = None

    def next_step(self) -> Step:
        """What to do now."""
        if self._wait is not None:
            wait, self._wait = self._wait, None
            return wait
        timeout = self.rng.randint(self.watch_seconds, 2 * self.watch_seconds)
        if not self._list_reason:
            return WatchStep(self.resource_version, timeout)
        if self.streaming.off or self._by_pages:
            return ListStep(self._list_version(), self._list_limit(), self._list_reason)
        return StreamStep("" if self._quorum else self.resource_version, timeout, self._list_reason)

    def watch_again(self) -> None:
        """Make the next step a watch from where we are, at once; a list that is due stays due."""
        self._wait = None

    def relist(self, reason: str) -> None:
        """Make the next step a list."""
        self._list_reason = reason
        self._wait = None

    def is_older(self, resource_version: str) -> bool:
        """Whether that version would take us back in time."""
        return version_number(resource_version) < version_number(self.resource_version)

    def refuses(self, resource_version: str) -> bool:
        """Whether a list of that version must not be taken: another API server answered, which lags behind.

        A quorum read is never refused: if it is older, then the cluster itself was restored from a backup.
        """
        return not self._quorum and self.is_older(resource_version)

    def listed(self, resource_version: str, *, pages: int) -> None:
        """The list is in the cache, of so many pages; 0 for one that was streamed."""
        if pages > 1 and self._list_version() == "0":
            # The watch cache is off: it would have answered "0" in one piece. So a limit costs nothing.
            self._paged_always = True
        self.resource_version = resource_version
        self._list_reason = ""
        self._quorum = False
        self._unpaged = False
        self._by_pages = False
        self._streams_failed = 0
        self._short_watches = 0
        self.failures = 0

    def list_refused(self, error: KinformerError) -> None:
        """The list was older than what the cache has; the next one is a quorum read, which cannot be."""
        self._quorum = True
        self._back_off(error)

    def list_failed(self, error: KinformerError, *, pages: int = 0) -> None:
        """The list could not be had, or not beyond so many pages."""
        if isinstance(error, ExpiredError) and pages and not self._unpaged:
            # The continue token outlived the server's history: ask for the whole in one piece (as client-go does).
            self._unpaged = True
            self.failures += 1
            return
        if isinstance(error, ExpiredError | ResourceVersionTooLargeError) and self._list_version() != "":
            # This server cannot serve that version. It can always serve its newest, so ask for that at once.
            self._quorum = True
            self.failures += 1
            return
        self._back_off(error)

    def stream_failed(self, error: KinformerError, *, opened: bool, hung: bool = False) -> None:
        """A streaming list came to nothing.

        Args:
            error: why.
            opened: the server had agreed to it.
            hung: nothing new came for longer than may be, and no end bookmark.
        """
        if (
            isinstance(error, ExpiredError | ResourceVersionTooLargeError)
            and self.resource_version
            and not self._quorum
        ):
            self._quorum = True
            self.failures += 1
            return
        if hung or (not opened and isinstance(error, _NOT_OFFERED)):
            # A server without it says so in many ways; an old one ignores the question, and never sends the bookmark.
            self._stream_no_more(error)
            return
        if isinstance(error, ForbiddenError) and not opened:
            # Perhaps only watching is forbidden. A list tells, and is more than nothing.
            self._by_pages = True
            self.failures += 1
            return
        if opened or not isinstance(error, _NOT_OF_STREAMING):
            self._streams_failed += 1
            if self._streams_failed >= STREAM_ATTEMPTS:
                self._stream_no_more(error)
                return
        self._back_off(error)

    def _stream_no_more(self, error: KinformerError) -> None:
        self.streaming.off = str(error)
        self.failures += 1

    def progressed(self, resource_version: str) -> None:
        """The watch brought events or a bookmark, and the cache is at that version now."""
        if resource_version and not self.is_older(resource_version):
            self.resource_version = resource_version
        self.failures = 0
        self._expirations = 0
        # Streams that end at once but bring something are slowed down a little, not ever more.
        self._short_watches = min(self._short_watches, 1)
        self._brought = True

    def watch_ended(self, *, lasted: float) -> KinformerError | None:
        """The server ended the stream, as it does every few minutes; `lasted` is in seconds.

        Returns:
            What is wrong, when it does so at once, again and again, and brings nothing.
        """
        if lasted >= SHORT_WATCH_SECONDS:
            self.failures = 0
            self._short_watches = 0
            self._expirations = 0
            return None
        self._short_watches += 1
        brought, self._brought = self._brought, False
        if self._short_watches <= 1:
            return None
        if brought:
            # Not a failure, and yet a reason not to hurry.
            self._wait = WaitStep(self.backoff.delay(self._short_watches - 1), None)
            return None
        self.failures = self._short_watches - 1
        count = self._short_watches
        error = StreamBrokenError(
            f"the server ends each watch at once: {count} in a row, the last after {lasted:.2f} s"
        )
        self._wait = WaitStep(self.backoff.delay(self.failures), error)
        return error

    def watch_failed(self, error: KinformerError, *, lasted: float) -> None:
        """The watch was refused, reported an error, or broke."""
        self._brought = False
        if isinstance(error, ExpiredError):
            self._expirations += 1
            self._list_reason = "expired"
            if self._expirations > 1:
                self.failures = self._expirations - 1
                self._wait = WaitStep(self.backoff.delay(self.failures), error)
            return
        if isinstance(error, TransportTimeoutError) and lasted >= SHORT_WATCH_SECONDS:
            # It was open and fell silent; the next one may well work, and waiting longer helps nobody.
            if self.failures == 0:
                self.failures = 1
                return
        elif lasted >= SHORT_WATCH_SECONDS:
            self.failures = 0
        self._back_off(error)
        if _needs_list(error):
            self._list_reason = "watch refused"
        elif self.failures >= WATCH_FAILURES_BEFORE_LIST:
            self._list_reason = "failed watches"

    def _back_off(self, error: KinformerError) -> None:
        self.failures += 1
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        seconds = self.backoff.delay(self.failures, retry_after=retry_after)
        if isinstance(error, NotFoundError):
            # The resource is not there. It may come (a CRD posted later), but not within the second.
            seconds = max(seconds, self.backoff.maximum * (1 - self.backoff.jitter * self.rng.random()))
        self._wait = WaitStep(seconds, error)

    def _list_version(self) -> str:
        return "" if self._quorum else self.resource_version or "0"

    def _list_limit(self) -> int:
        if self._unpaged:
            return 0
        return self.page_size if self._list_version() in {"", "0"} or self._paged_always else 0


_NOT_OFFERED: Final = (BadRequestError, InvalidError, MethodNotAllowedError, UnsupportedMediaTypeError)

# These say nothing of whether the server can stream lists: a page would not have fared better.
_NOT_OF_STREAMING: Final = (
    ConfigError,
    ConnectError,
    NotFoundError,
    ServiceUnavailableError,
    StreamBrokenError,
    TLSError,
    TooManyRequestsError,
    UnauthorizedError,
)


def _needs_list(error: KinformerError) -> bool:
    """Whether watching again with the same version is pointless."""
    return isinstance(error, NotFoundError | BadRequestError | InvalidError | ProtocolError)
