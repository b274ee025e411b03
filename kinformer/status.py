"""Status and health of an informer: the object that `SharedInformer.status` returns, and the record behind it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from kinformer.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.cache.storage import StorageStatus

__all__ = [
    "SHORT_WATCH_SECONDS",
    "Changes",
    "Health",
    "InformerState",
    "InformerStatus",
    "ScopeStatus",
    "StatusRecord",
    "class_of",
    "count",
    "error_name",
    "health_of",
]

SHORT_WATCH_SECONDS: Final = 1.0
"""A watch that ends sooner is short; after several in a row, attempts back off (client-go reflector.go,
VeryShortWatchError). A watch that is open for longer counts as a success, also without events."""


class InformerState(enum.StrEnum):
    """The stage of life of an informer."""

    NEW = "new"
    LISTING = "listing"
    WATCHING = "watching"
    WAITING = "waiting"
    """An attempt failed; the next one follows at `retry_at`."""
    STOPPED = "stopped"
    GAVE_UP = "gave up"
    """The informer ended because it had failed for longer than `give_up_after`; `last_error` is the reason."""
    FAILED = "failed"
    """The informer ended by a defect of kinformer; `last_error` is the defect. No answer of a server leads to this."""


class Health(enum.StrEnum):
    """The health of an informer in one word, the same on every surface: `health_of` decides."""

    LIVE = "live"
    """The cache has synced and a watch is open."""
    SYNCING = "syncing"
    """A list is under way, the first or another one."""
    FAILING = "failing"
    """The last attempt failed; the next one follows."""
    STOPPED = "stopped"
    """The program stopped it."""
    ENDED = "ended"
    """The informer gave up, or failed by a defect. Only a new informer helps."""


class Changes(NamedTuple):
    """Number of changes of the cache so far, by kind. Handlers got an event of each."""

    added: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeStatus:
    """One part of a scope at one moment: one list and watch. Times are the event loop's (seconds).

    Attributes:
        scope: the part in words: "in shop (app=db)", "all namespaces".
        state: the state of its list and watch.
        since: time at which it entered that state.
        has_synced: true once its first list has come.
        objects: number of objects that it holds; other parts may hold some of them, too.
        received_version: the version up to which everything was received.
        failures: number of failures in a row; 0 after a success.
        last_error: the last error, also if later attempts succeeded; `None` if there was none.
        retry_at: while waiting, time of the next attempt.
        shares_watch: true while its events come from one watch of all namespaces; see `Namespaces(widen_at=…)`.
    """

    scope: str
    state: InformerState
    since: float
    has_synced: bool
    objects: int
    received_version: str
    failures: int
    last_error: BaseException | None
    retry_at: float | None
    shares_watch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InformerStatus:
    """An informer at one moment. Times are the event loop's (`loop.time()`, seconds).

    Attributes:
        state: its stage of life.
        since: time at which it entered that state.
        taken_at: time of this status.
        has_synced: true once the first list is completely in the cache. Never goes back to false.
        objects: number of objects in the cache.
        resource_version: the version that the cache has reached: everything up to it is in the cache. "" before the
            first list.
        received_version: the version up to which lists and watches have brought everything; "" before the first list.
            It is ahead of `resource_version` while received changes wait to go into the cache.
        last_contact: time at which the server last sent something useful (an answer, an event or a bookmark); `None` if
            it never did.
        last_error: the last error, also if later attempts succeeded; `None` if there was none.
        last_error_at: time of the last error.
        failures: number of failures in a row up to now; 0 after a success.
        failing_since: time of the first of them; `None` after a success.
        retry_at: while waiting, time of the next attempt.
        listed: number of objects received so far by the list that is under way.
        lists: number of finished lists, by reason ("initial", "expired", ...).
        watches: number of watches that the server answered.
        watch_ends: number of watches that have ended, by reason: "closed" by the server, the class of an error, or
            "interrupted" by `relist`, `reconnect` or the informer's own end.
        events: number of events that the watches have received.
        changes: number of objects added, updated and deleted in the cache.
        last_event_at: time of the last event; `None` if there was none. For a resource that seldom changes it is long
            ago.
        streaming_off: reason why lists of this resource are paged and not streamed; "" if they are streamed.
        errors: number of errors, by class ("StreamBrokenError", "DecodeError", ...).
        left_out: number of objects that could not be decoded, transformed or indexed.
        handler_failures: number of times that a handler raised.
        metrics_failures: number of times that a metrics sink raised; its figures may be wrong.
        storage: form and size of the cache.
        sharding: place where a shard is filtered: the "server" (feature gate ShardedListAndWatch), or "here", in this
            process; "unknown" until enough objects have come to decide; "" without a shard.
        foreign_events: number of objects and events of other shards that the server has sent.
        scopes: status of each part of the scope, if the informer was made with `scope=`. The other attributes then
            describe the whole: the worst state, the sums of counts.
    """

    state: InformerState
    since: float
    taken_at: float
    has_synced: bool
    objects: int
    resource_version: str
    received_version: str
    last_contact: float | None
    last_error: BaseException | None
    last_error_at: float | None
    failures: int
    failing_since: float | None
    retry_at: float | None
    listed: int
    lists: Mapping[str, int]
    watches: int
    watch_ends: Mapping[str, int]
    events: int
    changes: Changes
    last_event_at: float | None
    streaming_off: str
    errors: Mapping[str, int]
    left_out: int
    handler_failures: int
    storage: StorageStatus
    sharding: str = ""
    foreign_events: int = 0
    scopes: tuple[ScopeStatus, ...] = ()
    metrics_failures: int = 0

    @property
    def relists(self) -> int:
        """Number of lists that were finished after the first."""
        return max(sum(self.lists.values()) - 1, 0)

    @property
    def silent_for(self) -> float | None:
        """Seconds since `last_contact`; `None` if the server never sent anything useful."""
        return None if self.last_contact is None else self.taken_at - self.last_contact


@dataclass(slots=True)
class StatusRecord:
    """Values that the parts of an informer keep up to date; `InformerStatus` is a copy of them."""

    state: InformerState = InformerState.NEW
    since: float = 0.0
    last_contact: float | None = None
    opened_at: float = 0.0
    """Time at which the server answered the last watch."""
    well_after: float = SHORT_WATCH_SECONDS
    """Seconds that this watch must be open before earlier failures no longer count."""
    last_error: BaseException | None = None
    last_error_at: float | None = None
    failures: int = 0
    failing_since: float | None = None
    retry_at: float | None = None
    received_version: str = ""
    listed: int = 0
    lists: dict[str, int] = field(default_factory=dict)
    watches: int = 0
    watch_ends: dict[str, int] = field(default_factory=dict)
    events: int = 0
    last_event_at: float | None = None
    streaming_off: str = ""
    errors: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    handler_failures: int = 0

    def enter(self, state: InformerState, now: float) -> None:
        """Enter a state."""
        if state is not self.state:
            self.state = state
            self.since = now

    def record_contact(self, now: float) -> None:
        """Record that the server has sent something useful."""
        self.last_contact = now

    def failed(self, error: BaseException, now: float) -> None:
        """Record an error."""
        self.last_error = error
        self.last_error_at = now
        count(self.errors, class_of(error))

    def watch_ended(self, why: BaseException | str | None) -> None:
        """Record the end of a watch: cleanly (`None`), by an error, or for another reason."""
        count(self.watch_ends, class_of(why) if isinstance(why, BaseException) else why or "closed")

    def is_well(self, now: float) -> bool:
        """Return whether a watch is open, and earlier failures no longer count."""
        if self.state is not InformerState.WATCHING:
            return False
        return not self.failures or now - self.opened_at >= self.well_after

    def snapshot(
        self,
        now: float,
        *,
        has_synced: bool,
        resource_version: str,
        storage: StorageStatus,
        changes: Changes,
        sharding: str = "",
        foreign_events: int = 0,
        scopes: tuple[ScopeStatus, ...] = (),
        metrics_failures: int = 0,
    ) -> InformerStatus:
        """Return the present status."""
        well = self.is_well(now)
        return InformerStatus(
            state=self.state,
            since=self.since,
            taken_at=now,
            has_synced=has_synced,
            objects=storage.objects,
            resource_version=resource_version,
            received_version=self.received_version,
            last_contact=self.last_contact,
            last_error=self.last_error,
            last_error_at=self.last_error_at,
            failures=0 if well else self.failures,
            failing_since=None if well else self.failing_since,
            retry_at=self.retry_at,
            listed=self.listed,
            lists=dict(self.lists),
            watches=self.watches,
            watch_ends=dict(self.watch_ends),
            events=self.events,
            changes=changes,
            last_event_at=self.last_event_at,
            streaming_off=self.streaming_off,
            errors=dict(self.errors),
            left_out=self.left_out,
            handler_failures=self.handler_failures,
            storage=storage,
            sharding=sharding,
            foreign_events=foreign_events,
            scopes=scopes,
            metrics_failures=metrics_failures,
        )


def count(counts: dict[str, int], name: str) -> None:
    """Count one more of a name."""
    # The collector never visits a plain dict of texts and numbers; it visits each `Counter`.
    counts[name] = counts.get(name, 0) + 1


_HEALTH_AT_THE_END: Final = {
    InformerState.STOPPED: Health.STOPPED,
    InformerState.GAVE_UP: Health.ENDED,
    InformerState.FAILED: Health.ENDED,
}


def health_of(status: InformerStatus) -> Health:
    """Return the health of an informer.

    Command line, page, `/healthz`, `/readyz`, status endpoint and metrics all use this function.
    """
    ended = _HEALTH_AT_THE_END.get(status.state)
    if ended is not None:
        return ended
    if status.failures or status.state is InformerState.WAITING:
        return Health.FAILING
    return Health.LIVE if status.has_synced and status.state is InformerState.WATCHING else Health.SYNCING


def error_name(error: BaseException | None) -> str | None:
    """Return the class of an error and its HTTP status, as "ForbiddenError 403"; `None` for no error.

    Health pages show this name and not the text of the error: such a page may be public, and the text names servers and
    users.
    """
    if error is None:
        return None
    code = error.status if isinstance(error, ApiError) else 0
    return f"{class_of(error)} {code}" if code else class_of(error)


def class_of(error: BaseException) -> str:
    """Return the documented name of an error: the name of its first class without an underscore.

    All surfaces name errors with this function, so that a failure has one name everywhere.
    """
    return next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
