"""Shard selectors (KEP-5866) as the API server reads them, with its own words for its refusals.

The server parses a CEL expression and walks its tree (k8s.io/apiserver pkg/sharding/parser.go). Only `shardRange` and
`||` are allowed. The texts of CEL's own syntax errors are not reproduced; they begin as on the real server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.store.status import internal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parse_shard_selector"]

_TOKENS: Final = re.compile(
    r"""\s*(?:(?P<text>'[^'\\\n]*'|"[^"\\\n]*")|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\|\||&&|[().,!]))"""
)
_FIELDS: Final = ("object.metadata.uid", "object.metadata.namespace")
_END: Final = "0x10000000000000000"

# Kinds of expressions (cel-go common/ast/expr.go).
_CALL, _NAME, _LITERAL, _SELECT = 1, 3, 5, 7


@dataclass(frozen=True, slots=True)
class _Expression:
    """A node of the tree: its kind, its name or value, and the nodes below it."""

    kind: int
    value: str | int
    below: tuple[_Expression, ...] = field(default=())


_Range: TypeAlias = tuple[str, str, str]


def parse_shard_selector(text: str) -> tuple[Callable[[dict[str, Any]], bool], str]:
    """Parse a shard selector; also return its echo in the metadata of a list.

    An object belongs to a shard when the 64-bit FNV-1a hash of its uid or namespace is in one of its ranges.

    Raises:
        Refusal: 500, it does not parse, or it is no shard selector.
    """
    if not text.strip():
        raise _refused("empty shard selector is not allowed; omit the parameter for unfiltered lists")
    ranges = _ranges(_Parser(text).parse())
    for place, _, _ in ranges:
        if place != ranges[0][0]:
            raise _refused(f'all shard ranges must use the same field, got "{ranges[0][0]}" and "{place}"')
    name = ranges[0][0].rpartition(".")[2]
    bounds = [(int(start, 16), int(end, 16)) for _, start, end in ranges]

    def selected(manifest: dict[str, Any]) -> bool:
        value = _fnv1a(str(manifest["metadata"].get(name, "")))
        return any(low <= value < high for low, high in bounds)

    return selected, " || ".join(f"shardRange({place}, '{start}', '{end}')" for place, start, end in ranges)


def _refused(reason: str) -> Exception:
    return internal(f"invalid shard selector: {reason}")


class _Parser:
    """Parses the part of CEL that a shard selector may use: calls, names with fields, literals, `||` and `&&`."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        place, end = 0, len(text.rstrip())
        while place < end:
            found = _TOKENS.match(text, place)
            if found is None or found.lastgroup is None:
                raise _refused(f"CEL parse error: Syntax error: token recognition error at: '{text[place:].strip()}'")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def parse(self) -> _Expression:
        parsed = self._either()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return parsed

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "<EOF>")

    def _skip(self, mark: str) -> bool:
        there = self._peek() == ("mark", mark)
        self._at += there
        return there

    def _unexpected(self) -> Exception:
        return _refused(f"CEL parse error: Syntax error: mismatched input '{self._peek()[1]}'")

    def _either(self) -> _Expression:
        left = self._both()
        while self._skip("||"):
            left = _Expression(_CALL, "_||_", (left, self._both()))
        return left

    def _both(self) -> _Expression:
        left = self._negated()
        while self._skip("&&"):
            left = _Expression(_CALL, "_&&_", (left, self._negated()))
        return left

    def _negated(self) -> _Expression:
        if self._skip("!"):
            return _Expression(_CALL, "!_", (self._negated(),))
        return self._member()

    def _member(self) -> _Expression:
        group, token = self._peek()
        if self._skip("("):
            found = self._either()
            if not self._skip(")"):
                raise self._unexpected()
        elif group == "text":
            self._at += 1
            found = _Expression(_LITERAL, token[1:-1])
        elif group == "number" and token.isdecimal():
            self._at += 1
            found = _Expression(_LITERAL, int(token))
        elif group == "name":
            self._at += 1
            found = self._call(token) if self._skip("(") else _Expression(_NAME, token)
        else:
            raise self._unexpected()
        while self._skip("."):
            group, token = self._peek()
            if group != "name":
                raise self._unexpected()
            self._at += 1
            found = self._call(token) if self._skip("(") else _Expression(_SELECT, token, (found,))
        return found

    def _call(self, name: str) -> _Expression:
        # A method is known by its name and its arguments; its target is not one of them.
        arguments: list[_Expression] = []
        if not self._skip(")"):
            arguments.append(self._either())
            while self._skip(","):
                arguments.append(self._either())
            if not self._skip(")"):
                raise self._unexpected()
        return _Expression(_CALL, name, tuple(arguments))


def _ranges(found: _Expression) -> list[_Range]:
    if found.kind != _CALL:
        raise _refused(f"unexpected expression kind {found.kind}; expected shardRange() call or || operator")
    if found.value == "_||_":
        return [one for side in found.below for one in _ranges(side)]
    if found.value != "shardRange":
        raise _refused(f'unsupported function "{found.value}"; only shardRange() and || are allowed')
    if len(found.below) != 3:
        raise _refused(f"shardRange() requires exactly 3 arguments, got {len(found.below)}")
    place = _place(found.below[0])
    if place not in _FIELDS:
        raise _refused(f'unsupported field path "{place}"; supported: {", ".join(_FIELDS)}')
    start, end = _bound(found.below[1], "hexStart"), _bound(found.below[2], "hexEnd")
    if int(start, 16) >= int(end, 16):
        raise _refused(f"shard range start {start} must be less than end {end}")
    return [(place, start, end)]


def _place(found: _Expression) -> str:
    if found.kind == _NAME:
        return str(found.value)
    if found.kind == _SELECT:
        return f"{_place(found.below[0])}.{found.value}"
    raise _refused(
        f"shardRange() first argument: expected field path (e.g. object.metadata.uid), got expression kind {found.kind}"
    )


def _bound(found: _Expression, name: str) -> str:
    if found.kind != _LITERAL:
        raise _refused(f"{name} must be a string literal (e.g. '0xff'), got expression kind {found.kind}")
    text = found.value
    if not isinstance(text, str):
        raise _refused(f"{name} must be a string literal, got int64")
    if not text.startswith("0x"):
        raise _refused(f"{name} must have '0x' prefix, got \"{text}\"")
    digits = text[2:]
    if not digits:
        raise _refused(f"{name}: hex value is required after '0x'")
    if len(digits) > 17:
        raise _refused(f'{name}: hex value too long ({len(digits)} chars, max 17): "{digits}"')
    for char in digits:
        if char not in "0123456789abcdef":
            raise _refused(f'{name}: invalid hex character "{char}" in "{text}"')
    if len(digits) == 17 and text != _END:
        raise _refused(f"{name}: 17-digit hex value must be '{_END}' (2^64), got \"{text}\"")
    if len(digits) < 16:
        padded = f"0x{digits:0>16}"
        raise _refused(f'{name} must be a 0x-prefixed 16-digit hex value, got "{text}" (did you mean "{padded}"?)')
    return text


def _fnv1a(text: str) -> int:
    """64-bit FNV-1a (RFC 9923)."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
