"""Formats of texts and numbers in the schemas of CRDs (kube-openapi pkg/validation/strfmt).

The API server checks the formats that it knows. It ignores any other, and says so in a warning when the CRD is written
(apiextensions pkg/apiserver/validation/formats.go).
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["format_of", "has_format", "unknown_formats"]

_OF_NUMBERS: Final = {"integer": ("int32", "int64"), "number": ("float", "double")}


def format_of(schema: dict[str, Any]) -> str:
    """The format of a schema, or "" if it has none, or one that the API server does not know for its type."""
    form, kind = schema.get("format") or "", schema.get("type") or "string"
    known = _normal(form) in _CHECKS if kind == "string" else form in _OF_NUMBERS.get(kind, ())
    return form if known else ""


def unknown_formats(schema: Any) -> Iterator[str]:
    """The formats of a schema, and of all schemas below it, that the API server does not know for their types."""
    if not isinstance(schema, dict):
        return
    if schema.get("format") and not format_of(schema):
        yield schema["format"]
    for field in ("items", "additionalProperties", "not"):
        yield from unknown_formats(schema.get(field))
    for below in (schema.get("properties") or {}).values():
        yield from unknown_formats(below)
    for field in ("allOf", "anyOf", "oneOf"):
        for below in schema.get(field) or ():
            yield from unknown_formats(below)


def has_format(text: str, form: str) -> bool:
    """Report whether a text has a format that `format_of` returned for a schema of texts."""
    return _CHECKS[_normal(form)](text)


def _normal(form: str) -> str:
    """The name of a format without dashes, which the API server does not heed."""
    return form.replace("-", "")


def _pattern(pattern: str, most: int | None = None) -> Callable[[str], bool]:
    """A check by a pattern for the whole text, and by the most bytes that it may have."""
    matcher = re.compile(pattern, re.ASCII)
    return lambda text: matcher.fullmatch(text) is not None and (most is None or len(text.encode()) <= most)


def _uuid(third: str = "[0-9a-f]", fourth: str = "[0-9a-f]") -> Callable[[str], bool]:
    return _pattern(f"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}[0-9a-f]{{3}}-?{fourth}[0-9a-f]{{3}}-?[0-9a-f]{{12}}")


# -------- addresses


def _is_plain_ipv4(text: str) -> bool:
    """Report whether a text is four numbers of a byte each; zeros may lead."""
    parts = text.split(".")
    return len(parts) == 4 and all(re.fullmatch("[0-9]+", part) and int(part) <= 255 for part in parts)


def _is_any_ip(text: str) -> bool:
    """Report whether a text is an address of either version; zeros may lead in the numbers of version 4."""
    if ":" not in text:
        return _is_plain_ipv4(text)
    head, _, last = text.rpartition(":")
    if "." in last:
        if not _is_plain_ipv4(last):
            return False
        text = f"{head}:1.2.3.4"
    return _is_ipv6(text)


def _is_ipv4(text: str) -> bool:
    return "." in text and _is_any_ip(text)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_cidr(text: str) -> bool:
    address, _, mask = text.partition("/")
    most = 32 if _is_plain_ipv4(address) else 128
    return _is_any_ip(address) and re.fullmatch("[0-9]+", mask) is not None and int(mask) <= most


def _is_mac(text: str) -> bool:
    """Report whether a text is 6, 8 or 20 bytes in hexadecimal digits: all together, by bytes, or by pairs of bytes."""
    separator, digits = (".", 4) if text[4:5] == "." else (text[2:3], 2)
    groups = text.split(separator) if separator and separator in ":-." else [text]
    sizes = {digits} if len(groups) > 1 else {12, 16, 40}
    is_long = len("".join(groups)) in {12, 16, 40}
    return is_long and all(len(group) in sizes and re.fullmatch("[0-9a-fA-F]+", group) for group in groups)


# -------- times


def _is_date(text: str) -> bool:
    match = re.fullmatch("([0-9]{4})-([0-9]{2})-([0-9]{2})", text)
    if match is None:
        return False
    year, month, day = map(int, match.groups())
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _is_date_time(text: str) -> bool:
    date, _, time = text.lower().partition("t")
    pattern = "([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})"
    match = re.fullmatch(pattern, time.partition("t")[0])
    if match is None or not _is_date(date):
        return False
    hour, minute, second = map(int, match.groups()[:3])
    return hour <= 23 and minute <= 59 and second <= 59


_GO_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_GO_STEP: Final = re.compile(r"([0-9]*)(\.[0-9]*)?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_OTHER_UNITS: Final = re.compile(
    "ns|us|\u00b5s|ms|s|m|h|hr|d|w|wk|nano.*|micro.*|milli.*|sec.*|min.*|hour.*|day.*|week.*", re.DOTALL
)
_LONGEST: Final = 2**63


def _is_duration(text: str) -> bool:
    """Report whether a text is a duration in the notation of Go, or names an amount of a unit anywhere."""
    unsigned = text[1:] if text[:1] in {"+", "-"} else text
    if unsigned == "0" or _is_go_duration(unsigned, _LONGEST if text[:1] == "-" else _LONGEST - 1):
        return True
    amounts = re.findall(r"(?a)([0-9]+)\s*([A-Za-z\u00b5]+)", text)
    if any(int(number) >= _LONGEST for number, _ in amounts):
        return False
    return any(_OTHER_UNITS.fullmatch(unit.lower()) for _, unit in amounts)


def _is_go_duration(text: str, longest: int) -> bool:
    at, total = 0, 0
    while match := _GO_STEP.match(text, at):
        whole, part, unit = match.groups()
        if not whole and (part or ".") == ".":
            return False
        total += int(whole or 0) * _GO_UNITS[unit]
        at = match.end()
    return 0 < at == len(text) and total <= longest


# -------- names


_HOST_NAME: Final = re.compile(r"[a-z0-9](-?[a-z0-9]{0,62})?|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def _is_host_name(text: str) -> bool:
    """Report whether a text is the name of a host; letters and symbols of any script are taken."""
    stand_ins = {"L": "a", "S": "0"}
    plain = "".join(stand_ins.get(unicodedata.category(char)[0], char) for char in text)
    fits = _HOST_NAME.fullmatch(plain) is not None and len(text.encode()) <= 255
    return fits and all(len(label.encode()) <= 63 for label in text.split("."))


_ATOM: Final = r'[^\x00-\x20\x7f()<>\[\]:;@\\,".]+'
_QUOTED: Final = r'"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
_COMMENT: Final = r"\((?:[^\x00-\x08\x0a-\x1f\x7f()\\]|\\.)*\)"
_ADDRESS: Final = (
    rf'[ \t]*(?:{_ATOM}(?:\.{_ATOM})*|(?!""){_QUOTED})@[ \t]*(?:{_ATOM}(?:\.{_ATOM})*|\[(?P<literal>[^\[\]\\]*)\])'
)
_PHRASE: Final = rf"(?:[ \t.]|{_ATOM[:-1]}|{_QUOTED})*"
_MAIL: Final = (
    re.compile(rf"{_ADDRESS}[ \t]*(?:{_COMMENT}[ \t]*)*"),
    re.compile(rf"{_PHRASE}[ \t]*<{_ADDRESS}>[ \t]*(?:{_COMMENT}[ \t]*)*"),
)


def _is_email(text: str) -> bool:
    """Report whether a text is one address of RFC 5322, with or without a name in front."""
    match = next((found for pattern in _MAIL if (found := pattern.fullmatch(text))), None)
    literal = match["literal"] if match else None
    return match is not None and (literal is None or _is_plain_ipv4(literal) or _is_ipv6(literal))


def _is_uri(text: str) -> bool:
    """Report whether a text is the address of a request: a URI, or a path from the root."""
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        return False
    if text == "*":
        return True
    scheme = re.match("[A-Za-z][A-Za-z0-9+.-]*:", text)
    rest = text[scheme.end() if scheme else 0 :].partition("?")[0]
    if not rest.startswith("/"):
        return scheme is not None
    if scheme and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        return _is_authority(authority) and _is_escaped(slash + path)
    return _is_escaped(rest)


def _is_escaped(text: str) -> bool:
    return re.search("%(?![0-9A-Fa-f]{2})", text) is None


def _is_authority(text: str) -> bool:
    user, at, host = text.rpartition("@")
    if at and not (re.fullmatch(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", user) and _is_escaped(user)):
        return False
    if host.startswith("["):
        match = re.fullmatch(r"\[([^%]*)(%25[^%]+)?\](:[0-9]*)?", host)
        return match is not None and _is_ipv6(match[1])
    # A byte of ASCII may not be escaped in the name of a host, but for the percent sign.
    name = r"(?:[A-Za-z0-9\-_.~!$&'()*+,;=\[\]<>\"\x80-\U0010ffff]|%25|%[89A-Fa-f][0-9A-Fa-f])*"
    return re.fullmatch(rf"{name}(:[0-9]*)?", host) is not None


# -------- numbers in texts


def _is_isbn10(text: str) -> bool:
    text = re.sub(r"(?a)[\s-]+", "", text)
    if not re.fullmatch("[0-9]{9}[0-9X]", text):
        return False
    return sum(at * (10 if char == "X" else int(char)) for at, char in enumerate(text, 1)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    text = re.sub(r"(?a)[\s-]+", "", text)
    if not re.fullmatch("[0-9]{13}", text):
        return False
    return sum((3 if at % 2 else 1) * int(char) for at, char in enumerate(text)) % 10 == 0


_CARD: Final = re.compile(
    "4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9]{2})[0-9]{12}|3[47][0-9]{13}|3(0[0-5]|[68][0-9])[0-9]{11}"
    "|(2131|1800|35[0-9]{3})[0-9]{11}"
)


def _is_credit_card(text: str) -> bool:
    """Report whether the digits of a text are the number of a card (by the check of Luhn)."""
    digits = re.sub("[^0-9]+", "", text)
    doubled = (sum(divmod(int(digit) * (2 if at % 2 else 1), 10)) for at, digit in enumerate(reversed(digits)))
    return _CARD.fullmatch(digits) is not None and sum(doubled) % 10 == 0


_SHORT_NAME: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SHADE: Final = r"\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*"

_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "bsonobjectid": _pattern("[0-9a-fA-F]{24}"),
    "byte": _pattern("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "cidr": _is_cidr,
    "creditcard": _is_credit_card,
    "date": _is_date,
    "datetime": _is_date_time,
    "duration": _is_duration,
    "email": _is_email,
    "hexcolor": _pattern("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_host_name,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "k8slongname": _pattern(rf"{_SHORT_NAME}(\.{_SHORT_NAME})*", most=253),
    "k8sshortname": _pattern(_SHORT_NAME, most=63),
    "mac": _is_mac,
    "password": lambda _: True,
    "rgbcolor": _pattern(rf"rgb\({_SHADE},{_SHADE},{_SHADE}\)"),
    "ssn": _pattern("(?=.{11}$)[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "uri": _is_uri,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
}
"""The formats that the API server checks, without dashes, and their checks."""
