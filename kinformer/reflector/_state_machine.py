"""Decides what a reflector does next: stream, list, watch or wait. Pure; `_reflector` is the I/O around it.

    start ──▶ STREAM ──end bookmark──▶ the same stream goes on as WATCH ──ended──▶ WATCH ...
                │ not offered, or it fails                                │
                ▼                                                         │
              LIST ────────────────────ok──────────────────▶ WATCH        │
                ▲                                              │          │
                └── (or STREAM) ◀── 410, barren watches, relist┴──────────┘    WAIT before any of them, after a failure

The rules are those of client-go (tools/cache/reflector.go), with these differences:

- The progress of a watch is what it brought: events or a bookmark of a newer version. How long it lasted says nothing.
  A watch that brought nothing is barren. After `WATCHES_BEFORE_LIST` barren watches, or `BLIND_SECONDS` of them, the
  next step is a list. While lists work, one begins at the latest `LIST_WITHIN_SECONDS` after the last, if a watch does
  not stay open for longer than that. So whatever ails the watches, the cache is at most some 30 s old.
- Success starts the backoff anew, and a version that expired under a watch that worked is answered by a list at once.
- Clean ends of short watches, again and again, back off.
- A list older than the received version is refused.

docs/design/0011-watches-that-bring-nothing.md has the reasons and the figures.
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
    MalformedStreamError,
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

WATCHES_BEFORE_LIST: Final = 3
"""After so many watches in a row that brought nothing, or that ended at a malformed line, a list is made."""

BLIND_SECONDS: Final = 12.0
"""A list is made before that, when barren watches and the pauses after them have taken so long."""

LIST_WITHIN_SECONDS: Final = 22.0
"""While lists work, no pause after a failed watch goes beyond so many seconds after the last list."""

LIVED_SECONDS: Final = 25.0
"""A watch that was open for so long and brought nothing may well be that of a quiet resource, ended by a proxy. It
counts as barren, but neither as a failure nor as time without sight of the server."""

MAX_RETRY_AFTER: Final = 50.0
"""The longest `Retry-After` that is obeyed, in seconds. With a list after it, the cache is right within a minute of the
end of any failure."""

STREAM_ATTEMPTS: Final = 3
"""After so many streaming lists in a row that failed, this resource is listed by pages only."""


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
    """Given the outcome of each step, returns the next step.

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
    """The version up to which everything was received; "" before the first list."""
    lists_have_versions: bool = False
    """Whether a list with a version was taken. Then a list without one is a defect of an answer, not of the API."""
    well_after: float = SHORT_WATCH_SECONDS
    """Seconds that a watch must be open before earlier failures count as over: longer than any watch that failed since
    the last progress. So watches that always fail after some seconds are never well."""
    _list_failures: int = 0
    _watch_failures: int = 0
    _list_reason: str = "initial"
    _quorum: bool = False
    _paged_always: bool = False
    _unpaged: bool = False
    _expirations: int = 0
    _brought: bool = False  # by the present watch
    _barren: int = 0  # watches that brought nothing, since one did, or since the last list
    _blind: float = 0.0  # seconds of such watches and the pauses after them
    _took: float = 0.0  # seconds of the last of them
    _malformed: int = 0  # watches that ended at a line that is no event, since the last list
    _short_watches: int = 0
    _watch_timeout: float = 0.0
    _streams_failed: int = 0
    _by_pages: bool = False
    _wait: WaitStep | None = None

    @property
    def failures(self) -> int:
        """Failures in a row. A list ends those of lists; those of watches end when a watch brings something or lives.

        A cache that is kept right by lists alone is not well, because it learns of a change late.
        """
        return self._list_failures + self._watch_failures

    def next_step(self) -> Step:
        """Return the next step."""
        if self._wait is not None:
            wait, self._wait = self._wait, None
            return wait
        timeout = self.rng.randint(self.watch_seconds, 2 * self.watch_seconds)
        self._brought = False
        self._watch_timeout = timeout
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

        A quorum read is never refused: if it is older, then the cluster itself was restored from a backup. Nor is a
        list without a version, as some aggregated APIs send it: it cannot be compared.
        """
        return bool(resource_version) and not self._quorum and self.is_older(resource_version)

    def listed(self, resource_version: str, *, pages: int) -> None:
        """Report that a list is queued; it had so many pages, 0 if it was streamed."""
        if pages > 1 and self._list_version() == "0":
            # The watch cache is off: it would have answered "0" in one piece. So a limit costs nothing.
            self._paged_always = True
        self.resource_version = resource_version
        self.lists_have_versions = self.lists_have_versions or bool(resource_version)
        self._list_reason = ""
        self._quorum = False
        self._unpaged = False
        self._by_pages = False
        self._list_failures = 0
        self._barren = 0
        self._blind = 0.0
        self._malformed = 0
        if not pages:
            self._streams_failed = 0
            self._brought = True  # the stream goes on as a watch, which has brought the whole list

    def list_refused(self, error: KinformerError) -> None:
        """The list was older than what the cache has; the next one is a quorum read, which cannot be."""
        self._quorum = True
        self._list_failures += 1
        self._pause(error)

    def list_failed(self, error: KinformerError, *, pages: int = 0) -> None:
        """Report that the list failed, after so many pages."""
        self._list_failures += 1
        if isinstance(error, ExpiredError) and pages and not self._unpaged:
            # The continue token outlived the server's history: ask for the whole in one piece (as client-go does).
            self._unpaged = True
            return
        if isinstance(error, ExpiredError | ResourceVersionTooLargeError) and self._list_version() != "":
            # This server cannot serve that version. It can always serve its newest, so ask for that at once.
            self._quorum = True
            return
        self._pause(error)

    def stream_failed(self, error: KinformerError, *, opened: bool, hung: bool = False) -> None:
        """A streaming list came to nothing.

        Args:
            error: why.
            opened: the server had agreed to it.
            hung: nothing new came for longer than may be, and no end bookmark.
        """
        self._list_failures += 1
        if (
            isinstance(error, ExpiredError | ResourceVersionTooLargeError)
            and self.resource_version
            and not self._quorum
        ):
            self._quorum = True
            return
        if hung or (not opened and isinstance(error, _NOT_OFFERED)):
            # A server without streaming lists refuses in many ways; an old one ignores the parameter, and never sends
            # the bookmark.
            self.streaming.off = str(error)
            return
        if isinstance(error, ForbiddenError) and not opened:
            # Perhaps only watching is forbidden.
            self._by_pages = True
            return
        if opened or not isinstance(error, _NOT_OF_STREAMING):
            self._streams_failed += 1
            # Whatever ails watches may leave lists working.
            self._by_pages = True
            if self._streams_failed >= STREAM_ATTEMPTS:
                self.streaming.off = str(error)
                return
        elif self._list_failures > 1:
            # Lists would have failed as well, if this error is not of watches alone.
            self._by_pages = True
        self._pause(error)

    def progressed(self, resource_version: str) -> None:
        """Report that the watch brought events or a bookmark, which are queued. Old news is no progress."""
        if resource_version:
            if resource_version == self.resource_version or self.is_older(resource_version):
                return
            self.resource_version = resource_version
        self._brought = True
        self._watch_failures = 0
        self._list_failures = 0
        self._expirations = 0
        self._barren = 0
        self._blind = 0.0
        self.well_after = SHORT_WATCH_SECONDS
        # Streams that end at once but bring something are slowed down a little, not ever more.
        self._short_watches = min(self._short_watches, 1)

    def watch_ended(self, *, lasted: float, opening: float = 0.0) -> KinformerError | None:
        """Report that the server ended the stream cleanly.

        Args:
            lasted: seconds from the answer to the end.
            opening: seconds from the request to the answer.

        Returns:
            The failure, when watches end early again and again and bring nothing.
        """
        if lasted >= self._watch_timeout - 1:
            # Its full time. Perhaps it brought nothing because nothing changed.
            self._watch_failures = self._short_watches = self._expirations = 0
            return None
        if self._brought:
            self._short_watches = self._short_watches + 1 if lasted < SHORT_WATCH_SECONDS else 0
            if self._short_watches > 1:
                # Not a failure, and yet a reason not to hurry.
                self._wait = WaitStep(self.backoff.delay(self._short_watches - 1), None)
            return None
        self._was_barren(lasted, opening)
        if lasted >= LIVED_SECONDS:
            self._watch_failures = self._short_watches = self._expirations = 0
            self._list_if_due()
            return None
        self._short_watches += 1
        if self._short_watches <= 1:
            self._list_if_due()
            return None
        self._watch_failures += 1
        error = StreamBrokenError(
            f"the server ends watches early, and they bring nothing: {self._short_watches} in a row, the last after "
            f"{lasted:.2f} s"
        )
        self._pause(error)
        self._list_if_due()
        return error

    def watch_failed(self, error: KinformerError, *, lasted: float, opening: float = 0.0) -> None:
        """Report that the watch was refused (it lasted 0 s then), reported an error, or broke."""
        is_new_row = lasted >= self.well_after
        if not self._brought:
            self._was_barren(lasted, opening)
        if isinstance(error, MalformedStreamError):
            self._malformed += 1
        if isinstance(error, ExpiredError):
            self._expirations = 1 if lasted >= LIVED_SECONDS else self._expirations + 1
            self._list_reason = "expired"
            if self._expirations > 1:
                self._watch_failures += 1
                self._pause(error)
            return
        if isinstance(error, TransportTimeoutError) and lasted >= SHORT_WATCH_SECONDS:
            # It was open and fell silent. The next one may well work, and a longer pause helps nobody.
            if self.failures == 0:
                self._watch_failures = 1
                self._list_if_due()
                return
        elif is_new_row:
            self._watch_failures = 0
        self._watch_failures += 1
        pause = self._pause(error)
        if _needs_list(error):
            self._list_instead("watch refused")
        elif self._malformed >= WATCHES_BEFORE_LIST:
            self._list_instead("malformed events")
        else:
            self._list_if_due(error, pause)

    def _was_barren(self, lasted: float, opening: float) -> None:
        """Count a watch that brought nothing, however long it lasted."""
        self._barren += 1
        if lasted < LIVED_SECONDS:
            self._took = opening + lasted
            self._blind += self._took
            self.well_after = max(self.well_after, lasted + SHORT_WATCH_SECONDS)

    def _list_if_due(self, error: KinformerError | None = None, pause: float = 0.0) -> None:
        """Make the next step a list, when watches have not brought anything for too long."""
        if isinstance(error, TooManyRequestsError | ConnectError):
            # The whole server has too much to do, or is away: no list before it is needed (client-go, too, watches on).
            due = self._blind + max(pause, self._took) >= LIST_WITHIN_SECONDS
        else:
            due = self._barren >= WATCHES_BEFORE_LIST or self._blind >= BLIND_SECONDS
        if due and self._barren:
            self._list_instead("failed watches")

    def _list_instead(self, reason: str) -> None:
        self._list_reason = reason
        self._by_pages = True  # a streaming list is a watch, too

    def _pause(self, error: KinformerError) -> float:
        """Wait before the next step; return the seconds."""
        seconds = self.backoff.delay(self.failures)
        if isinstance(error, NotFoundError):
            # The resource is not there. It may come (a CRD posted later), but not within the second.
            seconds = max(seconds, self.backoff.maximum * (1 - self.backoff.jitter * self.rng.random()))
        if not self._list_failures:
            # As far as is known, lists work.
            seconds = min(seconds, max(LIST_WITHIN_SECONDS - self._blind, self.backoff.initial))
        if isinstance(error, ApiError) and error.retry_after is not None:
            seconds = max(seconds, min(error.retry_after, MAX_RETRY_AFTER))
        self._blind += seconds
        self._wait = WaitStep(seconds, error)
        return seconds

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
