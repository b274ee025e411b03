"""The functions of CEL: the standard ones, and those of Kubernetes (apiserver pkg/cel/library)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kinformer.testing._apiserver.rules.cel.values import (
    Address,
    EvaluationError,
    Format,
    Named,
    Network,
    Optional,
    Quantity,
    Url,
    Version,
    duration,
    equal,
    timestamp,
    type_name,
    whole,
)
from kinformer.testing._apiserver.rules.go_patterns import compiled
from kinformer.testing._apiserver.rules.names import (
    label_faults,
    label_value_faults,
    qualified_faults,
    subdomain_faults,
)
from kinformer.testing._apiserver.schemas.scalars import quantity as read_quantity
from kinformer.testing._apiserver.schemas.scalars import quantity_number

__all__ = ["FUNCTIONS", "METHODS"]

_Function: TypeAlias = Callable[..., Any]
_SEMVER: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def _overload(*_: Any) -> Any:
    msg = "no such overload"
    raise EvaluationError(msg)


def _wanted(value: Any, *types: type) -> Any:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        _overload()
    return value


# Conversions


def _int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        if not re.fullmatch(r"[-+]?\d+", value):
            msg = "type conversion error from 'string' to 'int'"
            raise EvaluationError(msg)
        return whole(int(value))
    return whole(int(_wanted(value, int, float)))


def _double(value: Any) -> float:
    try:
        return float(_wanted(value, int, float, str))
    except ValueError:
        msg = "type conversion error from 'string' to 'double'"
        raise EvaluationError(msg) from None


def _string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.decode()
        case float():
            return f"{value:g}"
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case Url():
            return value.text
        case str() | int():
            return str(value)
        case _ if isinstance(value, Address | Network):
            return str(value)
    return str(_overload())


def _size(value: Any) -> int:
    return len(_wanted(value, str, bytes, list, dict))


# Texts


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return compiled(text)
    except re.error as error:
        msg = f"error parsing regexp: {error}"
        raise EvaluationError(msg) from None


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(_wanted(text, str)) is not None


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        msg = f"index out of range: {index}"
        raise EvaluationError(msg)
    return text[index : index + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        msg = f"index out of range: {start if not 0 <= start <= len(text) else stop}"
        raise EvaluationError(msg)
    return text[start:stop]


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        return [*text] if limit < 0 else [*text[: limit - 1], text[limit - 1 :]]
    return text.split(separator) if limit < 0 else text.split(separator, limit - 1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _index_of(value: Any, wanted: Any, offset: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, offset)
    return next((index for index, item in enumerate(value) if equal(item, wanted)), -1)


def _last_index_of(value: Any, wanted: Any, *_: int) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    found = [index for index, item in enumerate(value) if equal(item, wanted)]
    return found[-1] if found else -1


def _ascii(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(sign) if sign.isascii() else sign for sign in text)


def _format(text: str, values: list[Any]) -> str:
    left = [*values]

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if not left:
            msg = f"index {len(values)} out of range"
            raise EvaluationError(msg)
        value, verb, digits = left.pop(0), match[2], match[1]
        match verb:
            case "s":
                return _shown(value)
            case "d":
                return str(_wanted(value, int))
            case "f":
                return f"{value:.{int(digits[1:]) if digits else 6}f}"
            case "e":
                return f"{value:.{int(digits[1:]) if digits else 6}e}"
            case "b":
                return f"{value:b}"
            case "o":
                return f"{value:o}"
        form = verb
        return format(value, form) if isinstance(value, int) else value.encode().hex()

    return re.sub(r"%%|%(\.\d+)?([sdfebxXo])", one, text)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(one)}" for key, one in sorted(value.items())) + "}"
    return "null" if value is None else _string(value)


# Lists


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    if isinstance(items[0], timedelta):
        return sum(items, timedelta())
    total = sum(items)
    return whole(total) if isinstance(total, int) else total


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> _Function:
    def function(items: list[Any]) -> Any:
        if not items:
            msg = f"{name} called on empty list"
            raise EvaluationError(msg)
        return choose(items)

    return function


def _is_sorted(items: list[Any]) -> bool:
    return all(one <= other for one, other in pairwise(items))


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return wanted in value
    if isinstance(value, Network):
        return _contains_ip(value, wanted)
    return bool(_overload())


def _all_in(items: list[Any], others: list[Any]) -> bool:
    return all(any(equal(item, other) for other in others) for item in items)


# Times


def _zone(name: str) -> timezone | ZoneInfo:
    if match := re.fullmatch(r"([-+]?)(\d\d):(\d\d)", name):
        away = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-away if match[1] == "-" else away)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        msg = f"unknown time zone {name}"
        raise EvaluationError(msg) from None


def _of_time(part: Callable[[datetime], int], unit: float = 0) -> _Function:
    def method(value: Any, zone: str = "UTC") -> int:
        if isinstance(value, timedelta) and unit:
            return int(value.total_seconds() / unit)
        moment: datetime = _wanted(value, datetime)
        return part(moment if zone == "UTC" else moment.astimezone(_zone(zone)))

    return method


def _to_duration(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else duration(_wanted(value, str))


def _to_timestamp(value: Any) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    return value if isinstance(value, datetime) else timestamp(_wanted(value, str))


# Kubernetes


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantity_number(read_quantity(_wanted(text, str))))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _works(function: _Function) -> _Function:
    def check(*arguments: Any) -> bool:
        try:
            function(*arguments)
        except EvaluationError:
            return False
        return True

    return check


def _number(value: Any) -> Decimal:
    return value.number if isinstance(value, Quantity) else Decimal(value)


def _url(text: str) -> Url:
    parts = urlsplit(_wanted(text, str))
    if not (parts.scheme and (parts.netloc or parts.path.startswith("/"))) and not text.startswith("/"):
        msg = f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
        raise EvaluationError(msg)
    return Url(text)


def _ip(text: str) -> Address:
    try:
        return ip_address(_wanted(text, str))
    except ValueError:
        msg = f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): unable to parse IP'
        raise EvaluationError(msg) from None


def _cidr(text: str) -> Network:
    try:
        found = ip_network(_wanted(text, str), strict=False)
    except ValueError:
        found = None
    if found is None or "/" not in text:
        msg = f'network address parse error during conversion from string: netip.ParsePrefix("{text}")'
        raise EvaluationError(msg)
    return found


def _contains_ip(network: Network, address: Any) -> bool:
    return (_ip(address) if isinstance(address, str) else address) in network


def _contains_network(network: Network, other: Any) -> bool:
    inner: Any = _cidr(other) if isinstance(other, str) else other
    return bool(inner.version == network.version and inner.subnet_of(network))


def _semver(text: str, *, _: bool = False) -> Version:
    match = _SEMVER.fullmatch(_wanted(text, str))
    if match is None:
        msg = f'No Major.Minor.Patch elements found in "{text}"'
        raise EvaluationError(msg)
    parts = match[4].split(".") if match[4] else []
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return Version((int(match[1]), int(match[2]), int(match[3])), not parts, before)


def _validated(form: Format, text: str) -> Optional:
    faults = _wanted(form, Format).faults_of(text)
    return Optional(faults, is_set=bool(faults))


def _compare(left: Any, right: Any) -> int:
    one: Any = left if isinstance(left, Version) else _number(left)
    other: Any = right if isinstance(right, Version) else _number(right)
    return int(one > other) - int(one < other)


FUNCTIONS: Final[dict[str, _Function]] = {
    "size": _size,
    "int": _int,
    "double": _double,
    "string": _string,
    "bool": lambda value: value if isinstance(value, bool) else _wanted(value, str) == "true",
    "bytes": lambda value: value if isinstance(value, bytes) else _wanted(value, str).encode(),
    "dyn": lambda value: value,
    "type": lambda value: Named(type_name(value)),
    "duration": _to_duration,
    "timestamp": _to_timestamp,
    "matches": _matches,
    "quantity": _quantity,
    "isQuantity": _works(_quantity),
    "url": _url,
    "isURL": _works(_url),
    "ip": _ip,
    "isIP": _works(_ip),
    "ip.isCanonical": lambda text: str(_ip(text)) == text,
    "cidr": _cidr,
    "isCIDR": _works(_cidr),
    "semver": _semver,
    "isSemver": _works(_semver),
    "sets.contains": lambda items, others: _all_in(others, items),
    "sets.equivalent": lambda items, others: _all_in(items, others) and _all_in(others, items),
    "sets.intersects": lambda items, others: any(any(equal(a, b) for b in others) for a in items),
    "format.dns1123Label": lambda: Format(label_faults),
    "format.dns1123Subdomain": lambda: Format(subdomain_faults),
    "format.qualifiedName": lambda: Format(qualified_faults),
    "format.labelValue": lambda: Format(label_value_faults),
    "jsonpatch.escapeKey": lambda text: _wanted(text, str).replace("~", "~0").replace("/", "~1"),
    "optional.of": lambda value: Optional(value, is_set=True),
    "optional.none": Optional,
    "optional.ofNonZeroValue": lambda value: Optional(value, is_set=True) if value else Optional(),
}
"""The functions, by name; those of a namespace with it."""

METHODS: Final[dict[str, _Function]] = {
    "size": _size,
    "startsWith": lambda text, other: _wanted(text, str).startswith(other),
    "endsWith": lambda text, other: _wanted(text, str).endswith(other),
    "contains": _contains,
    "matches": _matches,
    "find": _find,
    "findAll": _find_all,
    "charAt": _at,
    "substring": _substring,
    "split": _split,
    "replace": _replace,
    "trim": lambda text: _wanted(text, str).strip(),
    "lowerAscii": lambda text: _ascii(_wanted(text, str), str.lower),
    "upperAscii": lambda text: _ascii(_wanted(text, str), str.upper),
    "reverse": lambda value: value[::-1],
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "join": lambda items, separator="": separator.join(_wanted(item, str) for item in items),
    "format": _format,
    "sum": _sum,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "isSorted": _is_sorted,
    "getFullYear": _of_time(lambda moment: moment.year),
    "getMonth": _of_time(lambda moment: moment.month - 1),
    "getDate": _of_time(lambda moment: moment.day),
    "getDayOfMonth": _of_time(lambda moment: moment.day - 1),
    "getDayOfWeek": _of_time(lambda moment: (moment.weekday() + 1) % 7),
    "getDayOfYear": _of_time(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _of_time(lambda moment: moment.hour, 3600),
    "getMinutes": _of_time(lambda moment: moment.minute, 60),
    "getSeconds": _of_time(lambda moment: moment.second, 1),
    "getMilliseconds": _of_time(lambda moment: moment.microsecond // 1000, 0.001),
    "hasValue": lambda option: _wanted(option, Optional).is_set,
    "value": lambda option: option.value if _wanted(option, Optional).is_set else _no_value(),
    "orValue": lambda option, other: option.value if _wanted(option, Optional).is_set else other,
    "or": lambda option, other: option if _wanted(option, Optional).is_set else other,
    "isGreaterThan": lambda one, other: _compare(one, other) > 0,
    "isLessThan": lambda one, other: _compare(one, other) < 0,
    "compareTo": _compare,
    "add": lambda one, other: Quantity(one.number + _number(other)),
    "sub": lambda one, other: Quantity(one.number - _number(other)),
    "asInteger": lambda one: int(one.number) if one.number == int(one.number) else _overload(),
    "isInteger": lambda one: one.number == int(one.number),
    "asApproximateFloat": lambda one: float(one.number),
    "sign": lambda one: (one.number > 0) - (one.number < 0),
    "major": lambda version: version.numbers[0],
    "minor": lambda version: version.numbers[1],
    "patch": lambda version: version.numbers[2],
    "getScheme": lambda url: urlsplit(url.text).scheme,
    "getHost": lambda url: urlsplit(url.text).netloc.rpartition("@")[2],
    "getHostname": lambda url: urlsplit(url.text).hostname or "",
    "getPort": lambda url: str(urlsplit(url.text).port or ""),
    "getEscapedPath": lambda url: urlsplit(url.text).path,
    "getQuery": lambda url: parse_qs(urlsplit(url.text).query, keep_blank_values=True),
    "validate": _validated,
    "family": lambda address: address.version,
    "isUnspecified": lambda address: address.is_unspecified,
    "isLoopback": lambda address: address.is_loopback,
    "isLinkLocalUnicast": lambda address: address.is_link_local and not address.is_multicast,
    "isLinkLocalMulticast": lambda address: address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")),
    "isGlobalUnicast": lambda address: not (address.is_multicast or address.is_loopback or address.is_unspecified),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_network,
    "ip": lambda network: network.network_address,
    "masked": lambda network: network,
    "prefixLength": lambda network: network.prefixlen,
}
"""The methods, by name; each takes its receiver first."""


def _no_value() -> Any:
    msg = "optional.none() dereference"
    raise EvaluationError(msg)
