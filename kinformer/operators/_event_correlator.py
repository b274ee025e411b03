"""Combines repeated Kubernetes Events and drops excess ones. No I/O; the caller passes the time.

    the same once more              ──▶ the Event counts one up
    similar: same object and reason ──▶ from the tenth text within ten minutes on, one Event for them all
    too many about one object       ──▶ dropped: 25 at once, then one each five minutes

The rules and figures are client-go's (tools/record/events_cache.go, EventCorrelator). There a dropped occurrence is
counted in its Event all the same, and shows with the next one that is written.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from kinformer._recent import RecentCache
from kinformer._token_bucket import TokenBucket
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["EventCorrelator", "EventSeries", "Subject"]

# tools/record/events_cache.go: defaultSpamBurst, defaultSpamQPS, defaultAggregateMaxEvents,
# defaultAggregateIntervalInSeconds, maxLruCacheEntries
SPAM_BURST: Final = 25
SPAM_REFILL: Final = 300.0
SIMILAR: Final = 10
SIMILAR_WITHIN: Final = 600.0
REMEMBERED: Final = 4096

# apis/core/validation/events.go, NoteLengthLimit: what the newer API of the same objects takes.
_LONGEST_MESSAGE: Final = 1024
_LONGEST_NAME: Final = 253

EventType = Literal["Normal", "Warning"]


class Subject(NamedTuple):
    """The object of an Event (core/v1, ObjectReference)."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Subject:
        """Of an object, or of a manifest with `apiVersion`, `kind` and `metadata`.

        Raises:
            ValueError: it has no kind or no name.
        """
        if isinstance(obj, KubeObject):
            return cls(obj.api_version, obj.kind, obj.namespace, obj.name, obj.uid)
        head = obj.get("metadata") or {}
        found = cls(
            str(obj.get("apiVersion") or ""),
            str(obj.get("kind") or ""),
            str(head.get("namespace") or ""),
            str(head.get("name") or ""),
            str(head.get("uid") or ""),
        )
        if not (found.kind and found.name):
            raise ValueError("an Event is about an object with a kind and a metadata.name, and this has not both")
        return found

    def reference(self) -> dict[str, str]:
        """Return the ObjectReference, without empty fields."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        return {field: value for field, value in fields.items() if value}

    @property
    def event_namespace(self) -> str:
        """The namespace of Events about it."""
        return self.namespace or "default"


@dataclass(eq=False, slots=True)
class EventSeries:
    """One Event, and how often it has happened."""

    subject: Subject
    type: EventType
    reason: str
    message: str
    action: str
    related: Subject | None
    name: str
    first: datetime
    last: datetime
    count: int = 1
    stored: bool = False
    """Whether the server has it, as far as is known."""
    queued: bool = False
    """Whether it waits to be written."""

    def manifest(self, component: str, instance: str) -> dict[str, Any]:
        """The Event (core/v1)."""
        made: dict[str, Any] = {
            "metadata": {"name": self.name, "namespace": self.subject.event_namespace},
            "involvedObject": self.subject.reference(),
            "type": self.type,
            "reason": self.reason,
            "source": {"component": component, "host": instance},
            "reportingComponent": component,
            "reportingInstance": instance,
            "firstTimestamp": _time(self.first),
            **self.change(),
        }
        if self.action:
            made["action"] = self.action
        if self.related is not None:
            made["related"] = self.related.reference()
        return made

    def change(self) -> dict[str, Any]:
        """Return the changes of a repetition, as a merge patch."""
        return {"count": self.count, "lastTimestamp": _time(self.last), "message": self.message}


@dataclass(slots=True)
class _Similar:
    last: float
    messages: set[str] = field(default_factory=set)


class EventCorrelator:
    """Decides about each occurrence: a new Event, a repetition, or dropped.

    Keeps at least the 4096 objects, series and groups of similar ones each that were used last, at most twice as many.

    Args:
        burst: how many Events about one object may come at once.
        refill: seconds until one more may.
        similar: from how many texts on, same object, type and reason, there is one Event for them all.
        similar_within: seconds without such an Event after which they are counted anew.
    """

    def __init__(
        self,
        *,
        burst: int = SPAM_BURST,
        refill: float = SPAM_REFILL,
        similar: int = SIMILAR,
        similar_within: float = SIMILAR_WITHIN,
    ) -> None:
        self._burst = burst
        self._refill = refill
        self._similar = similar
        self._similar_within = similar_within
        self._groups: RecentCache[Hashable, _Similar] = RecentCache(REMEMBERED)
        self._series: RecentCache[Hashable, EventSeries] = RecentCache(REMEMBERED)
        self._buckets: RecentCache[Subject, TokenBucket] = RecentCache(REMEMBERED)

    def take(
        self,
        subject: Subject,
        type: EventType,  # noqa: A002 - the API's own word
        reason: str,
        message: str,
        action: str,
        related: Subject | None = None,
        *,
        now: float,
        wall: datetime,
    ) -> EventSeries | None:
        """Record one occurrence, now.

        Returns:
            The Event to be written, the same one each time it happens; `None` when that would be too many.
        """
        message = message[:_LONGEST_MESSAGE]
        group_key = (subject, type, reason, action, related)
        key: Hashable = (group_key, message)
        if self._is_one_of_many(group_key, message, now):
            key = group_key
            message = f"(combined from similar events): {message}"[:_LONGEST_MESSAGE]
        series = self._series.get(key)
        if series is None:
            series = EventSeries(subject, type, reason, message, action, related, _name(subject.name, wall), wall, wall)
            self._series.put(key, series)
        else:
            series.count += 1
            series.last = wall
            series.message = message
        return series if self._has_room(subject, now) else None

    def _is_one_of_many(self, key: Hashable, message: str, now: float) -> bool:
        group = self._groups.get(key)
        if group is None or now - group.last > self._similar_within:
            group = _Similar(now)
            self._groups.put(key, group)
        group.last = now
        group.messages.add(message)
        if len(group.messages) < self._similar:
            return False
        group.messages.pop()
        return True

    def _has_room(self, subject: Subject, now: float) -> bool:
        bucket = self._buckets.get_or_make(subject, lambda _: TokenBucket(1 / self._refill, self._burst))
        return bucket.take(now)


def _name(subject: str, wall: datetime) -> str:
    """The object's name and something that is unique: two Events may come within the same microsecond."""
    suffix = f".{int(wall.timestamp() * 1e6):x}{uuid.uuid4().hex[:6]}"
    return f"{subject[: _LONGEST_NAME - len(suffix)].rstrip('.-')}{suffix}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
