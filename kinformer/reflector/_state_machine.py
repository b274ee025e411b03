"""Decides what a reflector does next: stream, list, watch or wait. Pure; `_reflector` is the I/O around it.

    start ──▶ STREAM ──end bookmark──▶ the same stream goes on as WATCH ──ended──▶ WATCH ...
                │ not offered, or it fails                                │
                ▼                                                         │
              LIST ────────────────────ok──────────────────▶ WATCH        │
                ▲                                              │          │
                └── (or STREAM) ◀── 410, barren watches, relist┴──────────┘    WAIT before any of them, after a failure

The rules are those of client-go (tools/cache/reflector.go), with these differences:

- A watch makes progress only by events or by a bookmark of a newer version. Its duration does not count. A watch
  without progress is barren. After `WATCHES_BEFORE_LIST` barren watches, or `BLIND_SECONDS` of them, the next step is a
  list. While lists work, the next list begins at most `LIST_WITHIN_SECONDS` after the last one, unless a watch stays
  open for longer than that. So the cache is at most about 30 s old, even if every watch fails.
- A watch after some seconds without progress is on trial: a list takes its place unless it makes progress in its middle
  before the cache is `PROVEN_WITHIN` seconds old. So is a watch after a refused connection, however short the outage
  was: a server that was restored from a backup lets nothing through until it reaches the version of the watch.
- Success resets the backoff. If a version expires under a watch that worked, a list follows at once.
- Short watches that end cleanly in a row cause a backoff.
- The silence of watches is checked by lists, see `_silence`.
- A list older than the received version is refused.

docs/design/0011-watches-that-bring-nothing.md has the reasons and the figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer._jitter import JITTER
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
from kinformer.reflector._silence import BACKLOG_SECONDS, CONFIRMED, CUT_SECONDS, Silence
from kinformer.reflector._steps import ListStep, StreamStep, WaitStep, WatchStep
from kinformer.status import SHORT_WATCH_SECONDS

if TYPE_CHECKING:
    import random

    from kinformer.errors import KinformerError
    from kinformer.reflector._steps import Step

__all__ = ["MIN_WATCH_SECONDS", "ReflectorMachine", "StreamingMemory"]

PAGE_SIZE: Final = 500
"""Objects per page (client-go pager.go, defaultPageSize)."""

MIN_WATCH_SECONDS: Final = 300
"""The shortest `timeoutSeconds` of a watch; the longest is twice that (client-go defaultMinWatchTimeout)."""

WATCHES_BEFORE_LIST: Final = 3
"""Number of watches in a row without progress, or that ended at a malformed line, after which a list is made."""

BLIND_SECONDS: Final = 12.0
"""Seconds of barren watches and the pauses after them, after which a list is made even before that."""

LIST_WITHIN_SECONDS: Final = 22.0
"""While lists work, a pause after a failed watch ends at most this many seconds after the last list."""

TRIAL_AFTER: Final = 6.0
"""Seconds without progress after which the next watch is on trial. A watch that is not may take 22 s to fail, and the
list after it comes within 30 s all the same."""

PROVEN_WITHIN: Final = 28.0
"""Seconds without progress after which a watch on trial ends, and a list begins."""

STREAM_WITHIN_SECONDS: Final = 2.0
"""Seconds of silent watches after which an expired version is answered by a list in pages. A streaming list is a watch,
too, and the server has 20 s to answer it."""

LIVED_SECONDS: Final = CUT_SECONDS
"""A watch that was open for this many seconds without an event may be one of a quiet resource that a proxy ended. It is
no failure, and no barren watch: `Silence` decides what follows."""

MAX_RETRY_AFTER: Final = 50.0
"""The longest `Retry-After` that is obeyed, in seconds. With a list after it, the cache is right within a minute of the
end of any failure."""

STREAM_ATTEMPTS: Final = 3
"""Number of streaming lists in a row that failed, after which this resource is listed by pages only."""


class StreamingMemory(msgspec.Struct, gc=False):
    """The choice to list a resource by streaming or not; shared by all reflectors of that resource and server.

    Attributes:
        off: the reason not to stream, for people; "" if lists are streamed.
    """

    off: str = ""


_DEFAULT_BACKOFF: Final = Backoff()


@dataclass(slots=True)
class ReflectorMachine:
    """Given the outcome of each step, returns the next step.

    Call `next_step`, carry the step out, and report its outcome with exactly one of `listed`, `list_failed`,
    `list_refused`, `stream_failed`, `watch_ended`, `watch_failed` and `trial_ended` (none for a `WaitStep`); report
    `progressed` as a watch goes on. Report a stream that has reached its end bookmark with `listed`; it is a watch from
    then on.

    Args:
        backoff: the pauses before retries.
        page_size: objects per page, 0 for no pages.
        watch_seconds: the shortest `timeoutSeconds` of a watch; the longest is twice that.
        rng: spreads the watch timeouts, so that not all watches end at the same time.
        streaming: the choice to stream lists; by default they are not streamed.
    """

    backoff: Backoff = _DEFAULT_BACKOFF
    page_size: int = PAGE_SIZE
    watch_seconds: int = MIN_WATCH_SECONDS
    rng: random.Random = JITTER
    streaming: StreamingMemory = field(default_factory=lambda: StreamingMemory("not asked for"))
    resource_version: str = ""
    """The version up to which everything was received; "" before the first list."""
    not_older_than: str = ""
    """The version that lists must have at least, if it is higher than the received one."""
    lists_have_versions: bool = False
    """True after a list with a version. A later list without one is then a faulty answer, not a property of the API."""
    well_after: float = SHORT_WATCH_SECONDS
    """Seconds that a watch must be open to end a row of failures: more than any watch that failed since the last
    progress. So watches that always fail after some seconds never end the row."""
    _list_failures: int = 0
    _watch_failures: int = 0
    _list_reason: str = "initial"
    _quorum: bool = False
    _paged_always: bool = False
    _unpaged: bool = False
    _expirations: int = 0
    _brought: bool = False  # True once the present watch made progress
    _barren: int = 0  # watches without progress, since the last one with progress or the last list
    _blind: float = 0.0  # seconds in which short watches made no progress, and of the pauses after them
    _gone: bool = False  # no connection was made since the last progress or the last list
    _silent: float = 0.0  # as `_blind`, without the time in which the server was overloaded or gone
    _took: float = 0.0  # seconds in which the last watch made no progress
    _progress_at: float = 0.0  # seconds from the opening of the present watch to its last progress
    _malformed: int = 0  # watches that ended at a malformed line, since the last list
    _short_watches: int = 0
    _watch_timeout: float = 0.0
    _streams_failed: int = 0
    _by_pages: bool = False
    _silence: Silence = field(default_factory=Silence)
    _wait: WaitStep | None = None

    @property
    def failures(self) -> int:
        """Failures in a row, of lists and of watches.

        A successful list ends the row of lists. A watch that makes progress, or stays open long enough, ends the row of
        watches. A cache that only lists keep right does not count as well, because it gets each change late.
        """
        return self._list_failures + self._watch_failures

    @property
    def checks_silence(self) -> bool:
        """True if it matters whether the next list has a change that watches did not bring."""
        return self._silence.checks

    @property
    def on_trial(self) -> bool:
        """True if a watch is on trial, and has made no progress yet.

        Those before it made no progress for some seconds, or the server was gone for a moment.
        """
        return self._gone or self._blind > TRIAL_AFTER

    @property
    def pause(self) -> float:
        """Seconds for which the next step waits; 0 if it is an attempt."""
        return self._wait.seconds if self._wait is not None else 0.0

    def next_step(self) -> Step:
        """Return the next step."""
        if self._wait is not None:
            wait, self._wait = self._wait, None
            return wait
        timeout = self._silence.begin(self.rng.randint(self.watch_seconds, 2 * self.watch_seconds))
        self._brought = False
        self._progress_at = 0.0
        self._watch_timeout = timeout
        if not self._list_reason:
            trial = max(PROVEN_WITHIN - self._blind, TRIAL_AFTER) if self.on_trial else None
            return WatchStep(self.resource_version, timeout, trial)
        if self.streaming.off or self._by_pages:
            return ListStep(self._list_version(), self._list_limit(), self._list_reason)
        return StreamStep("" if self._quorum else self._least_list_version(), timeout, self._list_reason)

    def watch_again(self) -> None:
        """Make the next step a watch from the received version, at once; a list that is due stays due."""
        self._wait = None

    def resume(self, resource_version: str, *, not_older_than: str) -> None:
        """Make the first step a watch from a version: the objects as they were then are known from other reflectors.

        Args:
            resource_version: the version.
            not_older_than: the version that a list must have at least.
        """
        self.resource_version = resource_version
        self.not_older_than = not_older_than
        self.lists_have_versions = True
        self._list_reason = ""

    def relist(self, reason: str) -> None:
        """Make the next step a list."""
        self._list_reason = reason
        self._wait = None

    def is_older(self, resource_version: str) -> bool:
        """Return whether a version is older than the received one."""
        return version_number(resource_version) < version_number(self.resource_version)

    def refuses(self, resource_version: str) -> bool:
        """Return whether to refuse a list of a version, because it comes from an API server that lags behind.

        A quorum read is never refused: if it is older, the cluster was restored from a backup. A list without a
        version, as some aggregated APIs send it, is not refused either: it cannot be compared.
        """
        if not resource_version or self._quorum:
            return False
        return version_number(resource_version) < version_number(self._least_list_version())

    def listed(
        self, resource_version: str, *, pages: int, seconds: float = 0.0, missed: bool = False
    ) -> KinformerError | None:
        """Report that a list is queued.

        Args:
            resource_version: the version of the list.
            pages: the number of its pages, 0 if it was streamed.
            seconds: the time that it took.
            missed: it has a change that is newer than the received version.

        Returns:
            The failure, if watches do not bring the changes that lists show; else `None`.
        """
        if pages > 1 and self._list_version() == "0":
            # The watch cache is off: with it, the server answers "0" in one page. So a limit costs nothing.
            self._paged_always = True
        self.resource_version = resource_version
        self.not_older_than = ""
        self.lists_have_versions = self.lists_have_versions or bool(resource_version)
        self._list_reason = ""
        self._quorum = False
        self._unpaged = False
        self._by_pages = False
        self._list_failures = 0
        self._barren = 0
        self._blind = self._silent = 0.0
        self._gone = False
        self._malformed = 0
        if not pages:
            self._streams_failed = 0
            self._brought = True  # the stream goes on as a watch, and the whole list is its progress
        found = self._silence.found
        self._silence.listed(seconds=seconds, missed=missed)
        return self._deafness(found)

    def list_refused(self, error: KinformerError) -> None:
        """Report that a list was older than the received version; the next one is a quorum read, so never stale."""
        self._quorum = True
        self._list_failures += 1
        self._pause(error)

    def list_failed(self, error: KinformerError, *, pages: int = 0) -> None:
        """Report that the list failed after `pages` pages."""
        self._list_failures += 1
        if isinstance(error, ExpiredError) and pages and not self._unpaged:
            # The continue token is older than the server's history: list without pages (as client-go does).
            self._unpaged = True
            return
        if isinstance(error, ExpiredError | ResourceVersionTooLargeError) and self._list_version() != "":
            # This server cannot serve that version. It can always serve its newest, so request that at once.
            self._quorum = True
            return
        self._pause(error)

    def stream_failed(self, error: KinformerError, *, opened: bool, hung: bool = False) -> None:
        """Report that a streaming list failed.

        Args:
            error: the failure.
            opened: the server had accepted the request.
            hung: no new object and no end bookmark came within the stream deadline.
        """
        self._list_failures += 1
        if (
            isinstance(error, ExpiredError | ResourceVersionTooLargeError)
            and self.resource_version
            and not self._quorum
        ):
            self._quorum = True
            return
        if isinstance(error, ExpiredError) and not opened:
            # Even the newest version counts as expired here: only pages can bring it.
            self._by_pages = True
            return
        if hung or (not opened and isinstance(error, _NOT_OFFERED)):
            # A server without streaming lists refuses in many ways. An old one ignores the parameter, and never sends
            # the bookmark.
            self.streaming.off = str(error)
            return
        if isinstance(error, ForbiddenError) and not opened:
            # Perhaps RBAC forbids only watches.
            self._by_pages = True
            return
        if opened or not isinstance(error, _NOT_OF_STREAMING):
            self._streams_failed += 1
            # Lists may work although watches fail.
            self._by_pages = True
            if self._streams_failed >= STREAM_ATTEMPTS:
                self.streaming.off = str(error)
                return
        elif self._list_failures > 1:
            # It failed twice with an error that is not specific to streams; a list shows whether only watches fail.
            self._by_pages = True
        self._pause(error)

    def progressed(self, resource_version: str, *, since_opening: float, bookmark: bool = False) -> bool:
        """Report that events or a bookmark of the watch are queued.

        A version already received is no progress, nor are events without a version where lists have versions: the
        watch could not be opened again after them. They do not end a silence, either. Only a bookmark of the received
        version does, unless watches are doubted: a quiet resource has those.

        Args:
            resource_version: the version that the watch has reached; "" if it names none.
            since_opening: seconds from the answer of the server.
            bookmark: whether it is a bookmark without events.

        Returns:
            Whether that is progress.
        """
        if bookmark and resource_version == self.resource_version:
            self._silence.brought(since_opening, new=False)
        known = self.resource_version
        if not resource_version and known:
            return False
        if resource_version:
            if len(resource_version) == len(known) and resource_version.isdecimal():
                # The usual case: numbers of as many digits compare as their texts do.
                if resource_version <= known:
                    return False
            elif resource_version == known or self.is_older(resource_version):
                return False
            self.resource_version = resource_version
        silence = self._silence
        if silence.brought_at is None:
            silence.brought(since_opening)
        self._brought = True
        self._list_failures = 0
        self._expirations = 0
        self._barren = 0
        self._progress_at = since_opening
        if since_opening > BACKLOG_SECONDS:
            self._blind = self._silent = 0.0
            self._gone = False
        if silence.found < CONFIRMED:
            # It is not deaf. As `_end_watch_failures` does; each event that comes alone would pay for the calls.
            self._watch_failures = 0
            self.well_after = SHORT_WATCH_SECONDS
        # Short watches with progress wait for a short pause that does not grow.
        self._short_watches = min(self._short_watches, 1)
        return True

    def trial_ended(self, *, lasted: float, opening: float) -> None:
        """Report that a watch on trial made no progress in time, and was closed. That is no failure of the watch.

        Args:
            lasted: seconds from the answer to the end; 0 if there was no answer.
            opening: seconds from the request to the answer, or to the end.
        """
        found = self._silence.found
        self._silence.ended(lasted, opening=opening, whole=False, trial=True)
        self._deafness(found)
        self._list_instead(_FAILED)

    def watch_ended(self, *, lasted: float, opening: float = 0.0) -> KinformerError | None:
        """Report that the server ended the stream cleanly.

        Args:
            lasted: seconds from the answer to the end.
            opening: seconds from the request to the answer.

        Returns:
            The failure, if several watches in a row ended early and without progress, or changes come only at the end
            of watches; else `None`.
        """
        whole = lasted >= self._watch_timeout - 1
        found = self._silence.found
        due = self._silence.ended(lasted, opening=opening, whole=whole)
        error = self._ended(lasted, opening, whole=whole)
        error = self._deafness(found) or error
        if due:
            self._list_now()
        return error

    def _ended(self, lasted: float, opening: float, *, whole: bool) -> KinformerError | None:
        if whole:
            # It lasted its full time. Without events, perhaps nothing changed.
            self._lived()
            return None
        self._count_silence(lasted, opening)
        if self._brought:
            self._short_watches = self._short_watches + 1 if lasted < SHORT_WATCH_SECONDS else 0
            if self._short_watches > 1:
                # This is no failure, but the next watch waits.
                self._wait = WaitStep(self.backoff.delay(self._short_watches - 1), None)
                self._blind += self._wait.seconds
            self._list_if_due()
            return None
        if lasted >= LIVED_SECONDS:
            self._lived()
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
        """Report that the watch was refused (then it lasted 0 s), sent an ERROR event, or broke."""
        found = self._silence.found
        due = self._silence.ended(lasted, opening=opening, whole=False)
        self._deafness(found)
        self._failed(error, lasted, opening)
        if due:
            self._list_now(error)
        elif self._silence.found > found:
            self._pause_little(error)  # each longer pause would delay the events that are held back

    def _failed(self, error: KinformerError, lasted: float, opening: float) -> None:
        is_new_row = lasted >= self.well_after
        self._count_silence(lasted, opening)
        self._gone = self._gone or isinstance(error, ConnectError)
        if isinstance(error, MalformedStreamError):
            self._malformed += 1
        if isinstance(error, ExpiredError):
            self._expirations = 1 if lasted >= LIVED_SECONDS else self._expirations + 1
            self._list_reason = "expired"
            # A streaming list is a watch, too. Now it could take too long.
            fails = self._expirations > 1 or self._watch_failures >= WATCHES_BEFORE_LIST
            self._by_pages = fails or self._silent >= STREAM_WITHIN_SECONDS
            if self._expirations > 1:
                self._watch_failures += 1
                self._pause(error)
            return
        if isinstance(error, TransportTimeoutError) and lasted >= SHORT_WATCH_SECONDS:
            # It was open and went silent. The next one may work, and a longer pause does not help.
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

    def _count_silence(self, lasted: float, opening: float) -> None:
        """Count the seconds of a watch, of any duration, in which it made no progress."""
        if not self._brought and lasted < LIVED_SECONDS:
            self._barren += 1
        if lasted < LIVED_SECONDS:
            self._took = opening + lasted - self._progress_at
            self._blind += self._took
            self._silent += self._took
            if not self._brought:
                self.well_after = max(self.well_after, lasted + SHORT_WATCH_SECONDS)
                if self._watch_failures >= WATCHES_BEFORE_LIST:
                    # The pauses are long by now: silence after them is not yet a sign of health.
                    self.well_after = max(self.well_after, LIVED_SECONDS)
        elif self._brought:
            self._took = self._blind = self._silent = 0.0
            self._gone = False

    def _list_if_due(self, error: KinformerError | None = None, pause: float = 0.0) -> None:
        """Make the next step a list, if watches have made no progress for too long."""
        if self._brought or isinstance(error, TooManyRequestsError | ConnectError):
            # The watch worked but was short, or the whole server is overloaded or absent. Do not list before it is
            # necessary (client-go also only watches).
            due = self._blind + max(pause, self._took) >= LIST_WITHIN_SECONDS
        else:
            due = self._barren >= WATCHES_BEFORE_LIST or self._blind >= BLIND_SECONDS
        if due and (self._barren or self._brought):
            self._list_instead(_FAILED)

    def _lived(self) -> None:
        self._short_watches = self._expirations = 0
        if not self._silence.deaf:
            self._watch_failures = 0

    def _deafness(self, found: int) -> KinformerError | None:
        """Count the failure that watches are deaf, or its end; return the failure.

        Args:
            found: `Silence.found` before the last step.
        """
        if self._silence.deaf and self._silence.found > found:
            self._watch_failures += 1
            self.well_after = max(self.well_after, LIVED_SECONDS + SHORT_WATCH_SECONDS)
            return ProtocolError(
                "watches stay silent, or bring changes only at their end, while lists show changes: something between "
                "here and the API server holds them back, a proxy perhaps; lists take their place meanwhile"
            )
        if found >= CONFIRMED and not self._silence.deaf:
            self._end_watch_failures()
        return None

    def _end_watch_failures(self) -> None:
        self._watch_failures = 0
        self.well_after = SHORT_WATCH_SECONDS

    def _list_now(self, error: KinformerError | None = None) -> None:
        """List after a silent watch: at once, or after the shortest pause if it failed, or as the server asks."""
        self._list_instead("silent watches" if self._list_reason in {"", _FAILED} else self._list_reason)
        self._pause_little(error)

    def _pause_little(self, error: KinformerError | None) -> None:
        if not (isinstance(error, ApiError) and error.retry_after is not None):
            self._wait = None if self._wait is None or error is None else WaitStep(self.backoff.delay(1), error)

    def _list_instead(self, reason: str) -> None:
        self._list_reason = reason
        self._by_pages = True  # a streaming list is a watch, too

    def _pause(self, error: KinformerError) -> float:
        """Make the next step a wait; return its seconds."""
        seconds = self.backoff.delay(self.failures)
        if isinstance(error, NotFoundError):
            # The resource does not exist. It may exist later (a CRD that is created), but hardly within a second.
            seconds = max(seconds, self.backoff.maximum * (1 - self.backoff.jitter * self.rng.random()))
        if not self._list_failures:
            # No list has failed since the last success, so lists seem to work.
            seconds = min(seconds, max(LIST_WITHIN_SECONDS - self._blind, self.backoff.initial))
        if isinstance(error, ApiError) and error.retry_after is not None:
            seconds = max(seconds, min(error.retry_after, MAX_RETRY_AFTER))
        self._blind += seconds
        if not isinstance(error, TooManyRequestsError | ServiceUnavailableError | ConnectError):
            self._silent += seconds
        self._wait = WaitStep(seconds, error)
        return seconds

    def _list_version(self) -> str:
        return "" if self._quorum else self._least_list_version() or "0"

    def _least_list_version(self) -> str:
        return max(self.resource_version, self.not_older_than, key=version_number)

    def _list_limit(self) -> int:
        if self._unpaged:
            return 0
        return self.page_size if self._list_version() in {"", "0"} or self._paged_always else 0


_FAILED: Final = "failed watches"

_NOT_OFFERED: Final = (BadRequestError, InvalidError, MethodNotAllowedError, UnsupportedMediaTypeError)

# These do not show whether the server can stream lists: a list by pages would have failed, too.
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
    """Return whether another watch with the same version would fail again."""
    return isinstance(error, NotFoundError | BadRequestError | InvalidError | ProtocolError)
