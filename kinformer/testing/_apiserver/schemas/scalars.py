"""The types that write themselves as JSON: times, quantities, numbers or strings.

Each function takes a decoded JSON value, and returns the value as Kubernetes writes it again. It raises `ValueError`
with the text of the Go error.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_CEILING, Decimal, localcontext
from functools import lru_cache
from typing import Any, Final

__all__ = [
    "NO_QUANTITY",
    "MismatchError",
    "int_or_string",
    "kind_of_json",
    "micro_time",
    "quantity",
    "quantity_number",
    "time",
]

_RFC3339: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")
_SECONDS_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICROS_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_LAYOUT_PARTS: Final = (
    (re.compile(r"\d{4}"), "2006"),
    (re.compile(r"-"), "-"),
    (re.compile(r"\d\d"), "01"),
    (re.compile(r"-"), "-"),
    (re.compile(r"\d\d"), "02"),
    (re.compile(r"T"), "T"),
    (re.compile(r"\d\d"), "15"),
    (re.compile(r":"), ":"),
    (re.compile(r"\d\d"), "04"),
    (re.compile(r":"), ":"),
    (re.compile(r"\d\d"), "05"),
)


class MismatchError(ValueError):
    """A JSON value of another kind than the Go type.

    Attributes:
        given: the kind of the value, as "number 1.5".
        wanted: the Go type.
    """

    def __init__(self, given: str, wanted: str) -> None:
        super().__init__(f"json: cannot unmarshal {given} into Go value of type {wanted}")
        self.given, self.wanted = given, wanted


def kind_of_json(value: Any) -> str:
    """Return the name that Go's JSON errors have for a value: "object", "array", "string", "number", "bool"."""
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    return "bool" if isinstance(value, bool) else "number"


def _go_string(value: Any) -> str:
    if not isinstance(value, str):
        raise MismatchError(kind_of_json(value), "string")
    return value


def _parse_time(text: str, layout: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None or (layout is _MICROS_LAYOUT and len(match.group(7) or "") != 6):
        raise ValueError(_time_error(text, layout))
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    zone: timezone = UTC
    if (offset := match.group(8)) != "Z":
        away = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
        zone = timezone(-away if offset[0] == "-" else away)
    fraction = int((match.group(7) or "")[:6].ljust(6, "0"))
    for name, number, low, high in (
        ("month", month, 1, 12),
        ("hour", hour, 0, 23),
        ("minute", minute, 0, 59),
        ("second", second, 0, 59),
    ):
        if not low <= number <= high:
            msg = f'parsing time "{text}": {name} out of range'
            raise ValueError(msg)
    try:
        return datetime(year, month, day, hour, minute, second, fraction, zone).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f'parsing time "{text}": day out of range'
        raise ValueError(msg) from None


def _time_error(text: str, layout: str) -> str:
    rest = text
    for pattern, part in _LAYOUT_PARTS:
        match = pattern.match(rest)
        if match is None:
            return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{part}"'
        rest = rest[match.end() :]
    if layout is _MICROS_LAYOUT and not re.match(r"[.,]\d{6}(?!\d)", rest):
        return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as ".000000"'
    rest = re.sub(r"^[.,]\d+", "", rest)
    zone = re.match(r"Z|[+-]\d\d:\d\d", rest)
    if zone is None:
        return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "Z07:00"'
    return f'parsing time "{text}": extra text: "{rest[zone.end() :]}"'


def time(value: Any) -> str | None:
    """Return a `metav1.Time`: RFC 3339 with whole seconds, in UTC; `None` for null."""
    return None if value is None else _seconds(_go_string(value))


# The times of an object are read with each write to it.
@lru_cache(maxsize=4096)
def _seconds(text: str) -> str:
    return _parse_time(text, _SECONDS_LAYOUT).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def micro_time(value: Any) -> str | None:
    """Return a `metav1.MicroTime`: RFC 3339 with six decimals, in UTC; `None` for null."""
    if value is None:
        return None
    return _parse_time(_go_string(value), _MICROS_LAYOUT).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def int_or_string(value: Any) -> int | str:
    """Return an `intstr.IntOrString`."""
    if isinstance(value, str):
        return value
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31:
        return value
    shown = kind_of_json(value)
    raise MismatchError(f"number {value}" if shown == "number" else shown, "int32")


_QUANTITY: Final = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*(?:[-+]?\d+)?)")
_DECIMAL_SUFFIX: Final = re.compile(r"[numkMGTPE]?")
_EXPONENT_SUFFIX: Final = re.compile(r"[eE][-+]?\d+")
_DECIMAL_POWERS: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_POWERS: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL_POWERS.items()}
_LARGEST: Final = (1 << 63) - 1
_MOST_DIGITS: Final = 18
"""Decimal digits that always fit into an int64 (apimachinery, maxInt64Factors)."""

_LARGEST_POWER: Final = 1000
"""The largest exponent that is read: larger ones mean nothing, and take minutes to write out."""

NO_QUANTITY: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRONG_SUFFIX: Final = "unable to parse quantity's suffix"


def quantity(value: Any) -> str:
    """Return a `resource.Quantity` as Kubernetes writes it (apimachinery pkg/api/resource/quantity.go).

    The number has no fraction and the largest suffix that keeps it whole; the family of the suffix (1, k, M; Ki, Mi;
    e3) is that of the text. More than nine decimals are rounded up. A text that is canonical enough is kept as it is.
    """
    if value is None:
        return "0"
    # A number is read as its text.
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    match = _QUANTITY.fullmatch(text)
    if not text or match is None:
        raise ValueError(NO_QUANTITY)
    sign, whole, fraction, suffix = match.groups(default="")
    digits = whole.lstrip("0") + fraction
    if suffix in _BINARY_POWERS:
        power = _BINARY_POWERS[suffix]
        room = 15 - max(len(whole.lstrip("0")), 1) - power * 3 // 10 - 1
        if "." not in text and room >= 0 and int(digits or 0) & 7:
            return text
    elif _DECIMAL_SUFFIX.fullmatch(suffix) or _EXPONENT_SUFFIX.fullmatch(suffix):
        power = _DECIMAL_POWERS[suffix] if suffix in _DECIMAL_POWERS else int(suffix[1:])
        if abs(power) > _LARGEST_POWER:
            raise ValueError(_WRONG_SUFFIX)
        scale = power - len(fraction)
        short = 0 < len(digits) <= _MOST_DIGITS and scale >= -9
        if short and scale % 3 == 0 and not digits.endswith("000") and not digits.startswith("0"):
            return text
    else:
        raise ValueError(_WRONG_SUFFIX)
    return _canonical(Decimal(f"{sign}{whole or 0}.{fraction or 0}"), suffix, power)


def quantity_number(text: Any) -> Decimal:
    """Return the number of a quantity that was read already, as "1500m" or "2Gi"."""
    match = _QUANTITY.fullmatch(str(text))
    assert match is not None
    sign, whole, fraction, suffix = match.groups(default="")
    number = Decimal(f"{sign}{whole or 0}.{fraction or 0}")
    if suffix in _BINARY_POWERS:
        return number * (1 << _BINARY_POWERS[suffix])
    return number.scaleb(_DECIMAL_POWERS[suffix] if suffix in _DECIMAL_POWERS else int(suffix[1:]))


def _canonical(number: Decimal, suffix: str, power: int) -> str:
    with localcontext() as context:
        context.prec = 2000
        if suffix in _BINARY_POWERS:
            return _binary(max(min(_rounded(number * (1 << power)), Decimal(_LARGEST)), -Decimal(_LARGEST)))
        return _decimal(_rounded(number.scaleb(power)), exponent=suffix not in _DECIMAL_POWERS)


def _rounded(number: Decimal) -> Decimal:
    """Round to nine decimals, away from zero."""
    rounded = abs(number).quantize(Decimal("1e-9"), rounding=ROUND_CEILING)
    return -rounded if number < 0 else rounded


def _binary(number: Decimal) -> str:
    if number != number.to_integral_value() or abs(number) < 1024:
        # With a fraction, or below 1024, the decimal form is the canonical one.
        return _decimal(number, exponent=False)
    whole = int(number)
    for suffix, shift in reversed(_BINARY_POWERS.items()):
        if whole % (1 << shift) == 0:
            return f"{whole >> shift}{suffix}"
    return str(whole)


def _decimal(number: Decimal, *, exponent: bool) -> str:
    if not number:
        return "0"
    scaled = int(number.scaleb(9))
    power = -9
    while scaled % 1000 == 0 and power < 18:
        scaled //= 1000
        power += 3
    if exponent:
        return f"{scaled}e{power}" if power else str(scaled)
    return f"{scaled}{_SUFFIXES[power]}"
