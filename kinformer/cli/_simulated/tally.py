"""The counts of the demo, and the scene that its views draw."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from kinformer._display.changes import describe
from kinformer.events import Added, Deleted
from kinformer.status import Health, InformerState, health_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer.events import Event
    from kinformer.informer import SharedInformer
    from kinformer.status import InformerStatus

__all__ = ["ChangeLine", "Counts", "Notice", "Row", "Scene", "Tally", "Verdict", "row_of", "verdict_of"]

RATE_WINDOW: Final = 2.0
"""Seconds over which a rate is computed."""

_HISTORY: Final = 10
_PACE: Final = 0.14  # seconds between two shown changes, so that they can be read
_KEPT: Final = 60
_UNINTERESTING: Final = {"heartbeat", "renewed", "unchanged"}

Level: TypeAlias = Literal["good", "busy", "bad"]

_LEVELS: Final[dict[Health, Level]] = {
    Health.LIVE: "good",
    Health.SYNCING: "busy",
    Health.STOPPED: "busy",
    Health.FAILING: "bad",
    Health.ENDED: "bad",
}


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """The text of one change."""

    at: float
    mark: Literal["+", "~", "-"]
    kind: str
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about the demo, with its time."""

    at: float
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The health of an informer, in words."""

    level: Level
    text: str


@dataclass(slots=True)
class Counts:
    """The number of events of one handler."""

    listed: int = 0
    added: int = 0
    updated: int = 0
    deleted: int = 0
    rates: deque[float] = field(default_factory=lambda: deque([0.0] * _HISTORY, maxlen=_HISTORY))
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def events(self) -> int:
        """Number of changes, without the initial objects."""
        return self.added + self.updated + self.deleted

    def sample(self, now: float) -> float:
        """Return the events per second of the last two seconds; call it regularly."""
        samples = self._samples
        samples.append((now, self.events))
        while len(samples) > 1 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()
        since, before = samples[0]
        return (self.events - before) / (now - since) if now > since else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one informer at one moment."""

    name: str
    objects: int
    counts: Counts
    rate: float
    health: Verdict


@dataclass(frozen=True, slots=True)
class Scene:
    """The figures of all informers at one moment. Times are seconds since the start.

    Attributes:
        url: the URL of the server.
        elapsed: seconds since the start.
        duration: seconds of the whole demo.
        cached: number of cached objects that count towards `planned`.
        planned: expected number of objects.
        version: the server's resource version.
        rows: the informers.
        latest: some of the latest changes, the newest last.
        notices: messages about the demo, the newest last.
    """

    url: str
    elapsed: float
    duration: float
    cached: int
    planned: int
    version: int
    rows: Sequence[Row]
    latest: Sequence[ChangeLine]
    notices: Sequence[Notice]

    @property
    def events(self) -> int:
        """Number of events of all informers."""
        return sum(row.counts.events for row in self.rows)

    @property
    def rate(self) -> float:
        """Events per second of all informers."""
        return sum(row.rate for row in self.rows)


class Tally:
    """Counts the events of handlers and keeps some of the latest.

    Args:
        clock: returns the seconds since the start.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.counts: dict[str, Counts] = {}
        self.latest: deque[ChangeLine] = deque(maxlen=_KEPT)
        self.notices: list[Notice] = []
        self._next_line = 0.0
        self._next_history = 0.0

    def handler(self, name: str, *, shown: bool) -> Callable[[Event], None]:
        """Return a handler that counts under a name; with `shown` its changes are among the latest."""
        counts = self.counts[name] = Counts()

        def handle(event: Event) -> None:
            match event:
                case Added(initial=True):
                    counts.listed += 1
                    return
                case Added():
                    counts.added += 1
                case Deleted():
                    counts.deleted += 1
                case _:
                    counts.updated += 1
            if shown:
                self._keep(event)

        return handle

    def say(self, level: Level, text: str) -> None:
        """Add a message about the demo."""
        self.notices.append(Notice(self._clock(), level, text))

    def rate(self, name: str, now: float) -> float:
        """Return the events per second under a name."""
        return self.counts[name].sample(now)

    def remember_rates(self, rates: dict[str, float], now: float) -> None:
        """Keep the rates for the curves, twice a second."""
        if now >= self._next_history:
            self._next_history = now + 0.5
            for name, rate in rates.items():
                self.counts[name].rates.append(rate)

    def _keep(self, event: Event) -> None:
        now = self._clock()
        if now < self._next_line:
            return
        what = describe(event)
        if what in _UNINTERESTING:
            return
        self._next_line = now + _PACE
        obj = event.obj
        mark: Literal["+", "~", "-"] = (
            "+" if isinstance(event, Added) else "-" if isinstance(event, Deleted) else "~"
        )  # fmt: skip
        self.latest.append(ChangeLine(now, mark, obj.kind, str(obj.key), what))


def verdict_of(status: InformerStatus) -> Verdict:
    """Return a status in a few words."""
    level = _LEVELS[health_of(status)]
    relists = f", {status.relists} relist{'s' if status.relists > 1 else ''}" if status.relists else ""
    match status.state:
        case InformerState.WATCHING:
            return Verdict(level, f"watching{relists}")
        case InformerState.LISTING:
            return Verdict(level, "listing again" if status.has_synced else f"listing: {status.listed}")
        case InformerState.WAITING:
            left = max(0.0, (status.retry_at or 0.0) - status.taken_at)
            return Verdict(level, f"retry in {left:.1f} s")
        case InformerState.FAILED:
            return Verdict(level, "failed")
        case _:
            return Verdict(level, str(status.state))


def row_of(name: str, informer: SharedInformer, tally: Tally, now: float) -> Row:
    """Return the present figures of an informer."""
    status = informer.status
    return Row(name, status.objects, tally.counts[name], tally.rate(name, now), verdict_of(status))
