"""One row of a table: the values of an object, in the forms in which the API server prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

__all__ = ["CellsOf", "Row", "age", "at", "first_few", "joined", "label_selector", "labels"]

_SHOWN: Final = 3
"""The items that a cell shows of a list; the others are counted."""

_OPERATORS: Final = {"In": "in", "NotIn": "notin"}


def age(since: Any, now: datetime) -> str:
    """The time since a moment, as kubectl writes it (apimachinery util/duration, HumanDuration)."""
    if not isinstance(since, str) or not since:
        return "<unknown>"
    try:
        seconds = (now - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        # No time, or one without its zone.
        return "<invalid>"
    return duration(seconds)


def duration(exact: float) -> str:
    """A number of seconds, as kubectl writes it."""
    seconds = int(exact)
    # Two clocks may differ by a second.
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d" if days % 365 and days < 8 * 365 else f"{days // 365}y"


def at(manifest: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path."""
    value = manifest
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return default if value is None else value


def joined(values: Iterable[Any], nothing: str = "<none>") -> str:
    """The values with commas between them, or a word for nothing."""
    return ",".join(str(value) for value in values) or nothing


def first_few(values: list[str], count: int, nothing: str) -> str:
    """The first three values, and the number of the others.

    Args:
        values: the values.
        count: how many there are by the count of the API server.
        nothing: the text for none.
    """
    if count <= _SHOWN:
        return ",".join(values) or nothing
    return f"{','.join(values[:_SHOWN])} + {count - _SHOWN} more..."


def labels(given: dict[str, str] | None) -> str:
    """Labels as a selector, in the order of their keys."""
    return joined(f"{key}={value}" for key, value in sorted((given or {}).items()))


def label_selector(selector: dict[str, Any] | None, nothing: str = "<none>") -> str:
    """A label selector as kubectl takes it, in the order of its keys."""
    if selector is None:
        return nothing
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, operator = one.get("key", ""), one.get("operator", "")
        if operator in _OPERATORS:
            text = f"{key} {_OPERATORS[operator]} ({','.join(sorted(one.get('values') or ()))})"
        else:
            text = key if operator == "Exists" else f"!{key}"
        parts.append((key, text))
    return joined((text for _, text in sorted(parts, key=lambda part: part[0])), nothing)


@dataclass(frozen=True, slots=True)
class Row:
    """One object, and the time from which its age is counted.

    Attributes:
        manifest: the object, in the version that it is stored in.
        now: the time.
    """

    manifest: dict[str, Any]
    now: datetime

    def at(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path; a default for none."""
        return at(self.manifest, path, default)

    def list_at(self, path: str) -> list[Any]:
        """The list at a dotted path; empty for none."""
        value = at(self.manifest, path)
        return value if isinstance(value, list) else []

    def count(self, path: str) -> int:
        """The number of items at a dotted path."""
        return len(self.at(path, ()))

    def ratio(self, ready: str, wanted: str) -> str:
        """Two numbers with a slash between them."""
        return f"{self.at(ready, 0)}/{self.at(wanted, 0)}"

    def since(self, path: str) -> str:
        """The time since the moment at a dotted path."""
        return age(self.at(path), self.now)

    @property
    def name(self) -> str:
        """The name of the object."""
        return str(self.at("metadata.name", ""))

    @property
    def age(self) -> str:
        """The age of the object."""
        return self.since("metadata.creationTimestamp")

    @property
    def is_terminating(self) -> bool:
        """Report whether it is being deleted."""
        return bool(self.at("metadata.deletionTimestamp"))

    def annotation(self, key: str) -> str | None:
        """An annotation."""
        value: str | None = (self.at("metadata.annotations") or {}).get(key)
        return value

    def containers(self, pod_spec: str) -> list[str]:
        """Two cells: the names of the containers of a pod's spec, and their images."""
        found = self.list_at(f"{pod_spec}.containers")
        return [",".join(str(one.get(field, "")) for one in found) for field in ("name", "image")]

    def condition(self, kind: str) -> dict[str, Any]:
        """The condition of a type in the status; empty if there is none."""
        return next((one for one in self.list_at("status.conditions") if one.get("type") == kind), {})


CellsOf: TypeAlias = Callable[[Row], list[Any]]
