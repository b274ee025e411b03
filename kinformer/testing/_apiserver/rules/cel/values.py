"""The values of CEL, and how those of an object become them by the schema of its CRD."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

__all__ = [
    "Address",
    "EvaluationError",
    "Format",
    "Named",
    "Network",
    "Optional",
    "Quantity",
    "Unordered",
    "duration",
    "equal",
    "from_json",
    "timestamp",
    "type_name",
]

_LARGEST: Final = (1 << 63) - 1
_RESERVED: Final = {
    *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION: Final = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns)(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns))*"
)
_DURATION_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)")


class EvaluationError(Exception):
    """An expression has no value; the text is that of cel-go."""


Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Any = None
    is_set: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A type as a value, as `int`."""

    name: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity of Kubernetes."""

    number: Decimal


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL."""

    text: str


@dataclass(frozen=True, slots=True)
class Format:
    """A form of texts, with the function that says why a text does not have it."""

    faults_of: Callable[[str], list[str]]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version; a release stands after its pre-releases."""

    numbers: tuple[int, int, int]
    is_release: bool
    before: tuple[tuple[int, int, str], ...] = ()


class Unordered(list[Any]):
    """A list of type set or map: the order of its items does not count.

    Attributes:
        keys: the keys of a list of type map.
    """

    def __init__(self, items: list[Any], keys: tuple[str, ...] = ()) -> None:
        super().__init__(items)
        self.keys = keys

    def identity(self, item: Any) -> Any:
        """The part of an item by which it is known."""
        return {key: item.get(key) for key in self.keys} if self.keys else item

    def joined(self, other: list[Any]) -> Unordered:
        """Both lists: items of the other one take the place of those that they are the same as."""
        items = [*self]
        for item in other:
            at = next((i for i, one in enumerate(items) if equal(self.identity(one), self.identity(item))), None)
            if at is None:
                items.append(item)
            else:
                items[at] = item
        return Unordered(items, self.keys)


def equal(left: Any, right: Any) -> bool:
    """Report whether two values are equal; those of different types are not, but for numbers."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return False
        if isinstance(left, Unordered) or isinstance(right, Unordered):
            return all(any(equal(one, other) for other in right) for one in left)
        return all(equal(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    return bool(left == right)


_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    dict: "map",
    list: "list",
    type(None): "null_type",
    datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration",
    Named: "type",
    Optional: "optional_type",
    Unordered: "list",
    Quantity: "kubernetes.Quantity",
    Format: "kubernetes.NamedFormat",
    Url: "kubernetes.URL",
    Version: "kubernetes.Semver",
}


def type_name(value: Any) -> str:
    """Return the name of the type of a value."""
    if isinstance(value, Address):
        return "net.IP"
    if isinstance(value, Network):
        return "net.CIDR"
    return _NAMES.get(type(value), "dyn")


def whole(number: int) -> int:
    """Return a number if it is an int64.

    Raises:
        EvaluationError: it is not.
    """
    if not -_LARGEST - 1 <= number <= _LARGEST:
        msg = "integer overflow"
        raise EvaluationError(msg)
    return number


def duration(text: str) -> timedelta:
    """Return a duration, as "1h30m".

    Raises:
        EvaluationError: it is none.
    """
    if text != "0" and not _DURATION.fullmatch(text):
        msg = f'time: invalid duration "{text}"'
        raise EvaluationError(msg)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def timestamp(text: str) -> datetime:
    """Return a time, as RFC 3339 writes it.

    Raises:
        EvaluationError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        msg = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
        raise EvaluationError(msg)
    return found.astimezone(UTC)


def escaped(name: str) -> str:
    """Return the name by which an expression calls a property (KEP-2876)."""
    if name in _RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda match: _ESCAPES[match[0]], name)


def from_json(value: Any, schema: dict[str, Any]) -> Any:
    """Return the value that an expression sees.

    Args:
        value: a value of an object, which fits the schema.
        schema: its OpenAPI v3 schema.
    """
    if isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        if properties:
            return {escaped(name): from_json(value[name], below) for name, below in properties.items() if name in value}
        below = extra if isinstance(extra, dict) else {}
        return {name: from_json(child, below) for name, child in value.items()}
    if isinstance(value, list):
        items = [from_json(item, schema.get("items") or {}) for item in value]
        kind = schema.get("x-kubernetes-list-type")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        return Unordered(items, tuple(map(escaped, keys))) if kind in {"set", "map"} else items
    if isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number":
        return float(value)
    if isinstance(value, str):
        match schema.get("format"):
            case "date-time":
                return timestamp(value)
            case "date":
                return timestamp(f"{value}T00:00:00Z")
            case "duration":
                return duration(value)
            case "byte":
                return value.encode()
    return value
