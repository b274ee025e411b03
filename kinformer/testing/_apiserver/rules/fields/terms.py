"""The terms in which the rules for fields are written, with the words of apimachinery (util/validation)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeAlias

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required, too_long
from kinformer.testing._apiserver.rules.names import (
    LABEL,
    LABEL_RULE,
    label_faults,
    label_value_faults,
    qualified_faults,
    subdomain_faults,
)
from kinformer.testing._apiserver.store.status import Cause

__all__ = [
    "Check",
    "Rule",
    "always",
    "among",
    "at_least",
    "at_most_all",
    "between",
    "cel_syntax",
    "cidr",
    "config_key",
    "domain_path",
    "each",
    "either",
    "first_of",
    "forbid",
    "if_given",
    "ip",
    "label",
    "label_value",
    "more_than",
    "needed",
    "on",
    "path_segment",
    "port",
    "qualified",
    "share",
    "signer_name",
    "subdomain",
    "unique",
]

Check: TypeAlias = Callable[[Any, str], Iterable[Cause]]
"""Judges one value at a path; `None` is an absent one."""

Rule: TypeAlias = Callable[[dict[str, Any], str], Iterable[Cause]]
"""Judges one struct at a path."""

NOT_NEGATIVE: Final = "must be greater than or equal to 0"
PORT: Final = "must be between 1 and 65535, inclusive"
IP: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PERCENT_RULE: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{CONFIG_KEY}')"
)


def below(path: str, name: str) -> str:
    """The path of a field of the struct at a path."""
    return f"{path}.{name}" if path else name


def on(field: str, *checks: Check) -> Rule:
    """Judge one field by each of the checks."""

    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        for check in checks:
            yield from check(value.get(field), below(path, field))

    return rule


def either(*checks: Check) -> Check:
    """Judge by the first check that finds a fault."""

    def check(value: Any, path: str) -> Iterable[Cause]:
        for one in checks:
            if found := [*one(value, path)]:
                return found
        return ()

    return check


def each(*checks: Check) -> Check:
    """Judge every item of a list."""

    def check(value: Any, path: str) -> Iterator[Cause]:
        for index, item in enumerate(value or ()):
            for one in checks:
                yield from one(item, f"{path}[{index}]")

    return check


def needed(why: str = "") -> Check:
    """There must be a value, and it must not be empty."""
    return lambda value, path: () if value not in (None, "", [], {}) else (required(path, why),)


def if_given(*checks: Check) -> Check:
    """Judge a value that is there."""

    def check(value: Any, path: str) -> Iterator[Cause]:
        if value is not None:
            for one in checks:
                yield from one(value, path)

    return check


def always(check: Check) -> Check:
    """Judge an absent text as an empty one."""
    return lambda value, path: check("" if value is None else value, path)


def _by_faults(faults_of: Callable[[str], Iterable[str]]) -> Check:
    def check(value: Any, path: str) -> Iterator[Cause]:
        if value is not None:
            for fault in faults_of(value):
                yield invalid_value(path, value, fault)

    return check


def config_key_faults(text: str) -> list[str]:
    """Return why a text is no key of a ConfigMap or a Secret."""
    faults = ["must be no more than 253 characters"] if len(text) > 253 else []
    if not re.fullmatch(CONFIG_KEY, text):
        faults.append(CONFIG_KEY_RULE)
    if text in {".", ".."}:
        faults.append(f"must not be '{text}'")
    elif text.startswith(".."):
        faults.append("must not start with '..'")
    return faults


def _domain_path_faults(text: str) -> list[str]:
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    faults = subdomain_faults(domain)
    is_path = re.fullmatch(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", path)
    return faults if is_path else [*faults, "Invalid path"]


def _ip_faults(text: str) -> list[str]:
    try:
        ip_address(text)
    except ValueError:
        return [IP]
    return []


def _cidr_faults(text: str) -> list[str]:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return [CIDR]
    return [] if "/" in text else [CIDR]


subdomain: Final = _by_faults(subdomain_faults)
"""A DNS subdomain, if it is there."""

label: Final = _by_faults(label_faults)
"""A DNS label, if it is there."""

qualified: Final = _by_faults(qualified_faults)
"""The key of a label, if it is there."""

label_value: Final = _by_faults(label_value_faults)
"""The value of a label, if it is there."""

config_key: Final = _by_faults(config_key_faults)
"""A key of a ConfigMap or a Secret, if it is there."""

domain_path: Final = _by_faults(_domain_path_faults)
"""A domain with a path, if it is there."""

ip: Final = _by_faults(_ip_faults)
"""An IP address, if it is there."""

cidr: Final = _by_faults(_cidr_faults)
"""A network, if it is there."""


def at_least(low: float, why: str = "") -> Check:
    """A number, if it is there, is not below a bound."""
    text = why or f"must be greater than or equal to {low}"
    return lambda value, path: () if value is None or value >= low else (invalid_value(path, value, text),)


def more_than(low: float, why: str = "") -> Check:
    """A number, if it is there, is above a bound."""
    text = why or f"must be greater than {low}"
    return lambda value, path: () if value is None or value > low else (invalid_value(path, value, text),)


def between(low: int, high: int, why: str = "") -> Check:
    """A number, if it is there, lies between two bounds."""
    text = why or f"must be between {low} and {high}, inclusive"
    return lambda value, path: () if value is None or low <= value <= high else (invalid_value(path, value, text),)


def number(check: Check) -> Check:
    """Judge an absent number as 0."""
    return lambda value, path: check(0 if value is None else value, path)


def port(value: Any, path: str) -> Iterable[Cause]:
    """A number of a port, if it is there."""
    return between(1, 65535)(value, path)


def share(value: Any, path: str) -> Iterator[Cause]:
    """A count or a percentage, if it is there."""
    if isinstance(value, str):
        if not re.fullmatch("[0-9]+%", value):
            yield invalid_value(path, value, PERCENT_RULE)
    elif value is not None and value < 0:
        yield invalid_value(path, value, NOT_NEGATIVE)


def at_most_all(value: Any, path: str) -> Iterator[Cause]:
    """A percentage, if it is there, is at most 100."""
    if isinstance(value, str) and re.fullmatch("[0-9]+%", value) and int(value[:-1]) > 100:
        yield invalid_value(path, value, "must not be greater than 100%")


def path_segment(value: Any, path: str) -> Iterator[Cause]:
    """A name, if it is there, that can stand in a path."""
    if value in {".", ".."}:
        yield invalid_value(path, value, f"may not be '{value}'")
    elif value:
        yield from (invalid_value(path, value, f"may not contain '{part}'") for part in ("/", "%") if part in value)


def among(*allowed: str) -> Check:
    """One of some values; an absent one counts as an empty text."""
    return lambda value, path: () if (value or "") in allowed else (one_of(path, value or "", allowed),)


def among_if_given(*allowed: str) -> Check:
    """One of some values, if it is there."""
    return lambda value, path: () if value is None or value in allowed else (one_of(path, value, allowed),)


def unique(field: str) -> Check:
    """The items of a list differ in a field."""

    def check(value: Any, path: str) -> Iterator[Cause]:
        seen: set[Any] = set()
        for index, item in enumerate(value or ()):
            one = item.get(field)
            if one and one in seen:
                yield duplicate(f"{path}[{index}].{field}", one)
            seen.add(one)

    return check


def different(value: Any, path: str) -> Iterator[Cause]:
    """The items of a list differ."""
    seen: list[Any] = []
    for index, item in enumerate(value or ()):
        if item in seen:
            yield duplicate(f"{path}[{index}]", item)
        seen.append(item)


def cel_syntax(value: Any, path: str) -> Iterator[Cause]:
    """An expression in CEL, if it is there; only its grammar is judged."""
    if value is not None:
        # Imported here: hardly a test posts an expression, and the parser is large.
        from kinformer.testing._apiserver.rules.cel.parsing import CompileError, parse

        try:
            parse(value)
        except CompileError as error:
            yield invalid_value(path, value, f"compilation failed: {error}")


def first_of(fields: tuple[str, ...], *, none: Cause | None, many: Callable[[str], Cause] | None = None) -> Rule:
    """Just one of some fields is set.

    Args:
        fields: the fields.
        none: the cause if none is set; its path is relative to the struct.
        many: makes the cause of each further one from its path.
    """

    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        given = [field for field in fields if value.get(field) is not None]
        if not given and none is not None:
            yield none[0], none[1], below(path, none[2]) if none[2] else path
        if many is not None:
            yield from (many(below(path, field)) for field in given[1:])

    return rule


def forbid(path: str, why: str) -> Cause:
    """A field that must not be set here."""
    return forbidden(path, why)


def signer_name(value: Any, path: str) -> Iterator[Cause]:
    """Judge the name of a signer: a domain, and a path of one segment (ValidateSignerName)."""
    if not value:
        yield required(path)
        return
    domain, slash, name = str(value).partition("/")
    if not slash or "/" in name:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid_value(path, value, why)
        return
    if len(domain) > 253:
        yield too_long(path, 253)
    labels = domain.split(".")
    bad = next((one for one in labels if len(one) > 63 or not re.fullmatch(LABEL, one)), None)
    if bad is not None:
        why = "must be no more than 63 characters" if len(bad) > 63 else LABEL_RULE
        yield invalid_value(path, domain, f'validating label "{bad}": {why}')
    if len(labels) < 2:
        yield invalid_value(path, domain, "should be a domain with at least two segments separated by dots")
    for part in name.split("."):
        if faults := subdomain_faults(part):
            yield from (invalid_value(path, name, f'validating label "{part}": {why}') for why in faults)
            break
