"""Errors in regular expressions, in the words of Go (package regexp/syntax)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["pattern_error"]

_MOST_REPEATS: Final = 1000
_HIGHEST_RUNE: Final = 0x10FFFF
_CLASSES: Final = {
    *("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper"),
    *("word", "xdigit"),
}
_CONTROLS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_REPEAT: Final = re.compile(r"(?P<op>[*+?])\??|\{(?P<least>[0-9]+)(?:(?P<comma>,)(?P<most>[0-9]*))?\}\??")
_NAMED: Final = re.compile(r"\(\?P?<")


class _SyntaxError(Exception):
    """A pattern that Go cannot read; carries the reason and the part that is wrong."""

    def __init__(self, reason: str, part: str) -> None:
        super().__init__(f"error parsing regexp: {reason}: `{part}`")


def pattern_error(pattern: str) -> str:
    """Return why Go cannot read a pattern, or "" if it can. The names of Unicode properties are not checked."""
    try:
        _read(pattern)
    except _SyntaxError as error:
        return str(error)
    return ""


def _read(pattern: str) -> None:
    at, depth = 0, 0
    has_operand, repeated_from = False, -1
    while at < len(pattern):
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            _check_repeat(pattern, repeat, has_operand, repeated_from)
            repeated_from, at = at if repeated_from < 0 else repeated_from, repeat.end()
            continue
        repeated_from = -1
        char = pattern[at]
        if char == "(":
            depth, has_operand = depth + 1, False
            start = at
            at = _group(pattern, at)
            if pattern[at - 1] == ")" and pattern.startswith("(?", start):
                # Flags for the rest of the group open none.
                depth -= 1
            continue
        if char == ")":
            if depth == 0:
                raise _SyntaxError("unexpected )", pattern)
            depth -= 1
        has_operand = char != "|"
        if char == "[":
            at = _class(pattern, at)
        elif char == "\\":
            at = _escape_or_class(pattern, at)
        else:
            at += 1
    if depth:
        raise _SyntaxError("missing closing )", pattern)


def _check_repeat(pattern: str, repeat: re.Match[str], has_operand: bool, repeated_from: int) -> None:
    if repeat["op"] is None:
        least, most = int(repeat["least"]), repeat["most"]
        highest = int(most) if most else least
        if max(least, highest) > _MOST_REPEATS or highest < least:
            raise _SyntaxError("invalid repeat count", repeat[0].rstrip("?"))
    if not has_operand:
        raise _SyntaxError("missing argument to repetition operator", repeat[0])
    if repeated_from >= 0:
        raise _SyntaxError("invalid nested repetition operator", pattern[repeated_from : repeat.end()])


def _group(pattern: str, at: int) -> int:
    """Read the begin of a group; return the place behind it."""
    if not pattern.startswith("(?", at):
        return at + 1
    if _NAMED.match(pattern, at):
        end = pattern.find(">", at)
        if end < 0:
            raise _SyntaxError("invalid named capture", pattern[at:])
        if not re.fullmatch(r"(?a)\w+", pattern[pattern.index("<", at) + 1 : end]):
            raise _SyntaxError("invalid named capture", pattern[at : end + 1])
        return end + 1
    match = re.compile(r"\(\?(?:[imsU]*|[imsU]*-[imsU]+)[:)]").match(pattern, at)
    if match is None:
        known = re.compile(r"\(\?[imsU]*(?:-[imsU]*)?").match(pattern, at)
        end = known.end() if known else at
        raise _SyntaxError("invalid or unsupported Perl syntax", pattern[at : end + 1])
    return match.end()


def _escape_or_class(pattern: str, at: int) -> int:
    """Read what a backslash begins outside of brackets; return the place behind it."""
    name = pattern[at + 1 : at + 2]
    if name and name in "AbBzdDsSwW":
        return at + 2
    if name == "Q":
        end = pattern.find("\\E", at)
        return end + 2 if end >= 0 else len(pattern)
    if name and name in "pP":
        return _property(pattern, at)
    return _escape(pattern, at)[1]


def _property(pattern: str, at: int) -> int:
    if not pattern.startswith("{", at + 2):
        return min(at + 3, len(pattern))
    end = pattern.find("}", at)
    if end < 0:
        raise _SyntaxError("invalid character class range", pattern[at:])
    return end + 1


def _escape(pattern: str, at: int) -> tuple[int, int]:
    """Read an escaped character; return its code, and the place behind it."""
    char, rest = pattern[at + 1 : at + 2], pattern[at + 2 :]
    if not char:
        raise _SyntaxError("trailing backslash at end of expression", "")
    if char == "0" or (char in "1234567" and rest[:1] in set("01234567")):
        digits = re.match("[0-7]{1,3}", pattern[at + 1 :])
        text = digits[0] if digits else char
        return int(text, 8), at + 1 + len(text)
    if char == "x":
        match = re.match("([0-9A-Fa-f]{2})|\\{([0-9A-Fa-f]+)\\}", rest)
        code = int(match[1] or match[2], 16) if match else _HIGHEST_RUNE + 1
        if match is None or code > _HIGHEST_RUNE:
            known = re.match("\\{[0-9A-Fa-f]*|[0-9A-Fa-f]?.?", rest)
            raise _SyntaxError("invalid escape sequence", pattern[at : at + 2 + (known.end() if known else 0)])
        return code, at + 2 + match.end()
    if char in _CONTROLS:
        return _CONTROLS[char], at + 2
    if char.isascii() and not char.isalnum():
        return ord(char), at + 2
    raise _SyntaxError("invalid escape sequence", pattern[at : at + 2])


def _class(pattern: str, start: int) -> int:
    """Read a class in brackets; return the place behind it."""
    at = start + 2 if pattern.startswith("[^", start) else start + 1
    first = True
    while first or not pattern.startswith("]", at):
        if at >= len(pattern):
            raise _SyntaxError("missing closing ]", pattern[start:])
        first = False
        end = pattern.find(":]", at + 2)
        if pattern.startswith("[:", at) and end >= 0:
            if pattern[at + 2 : end].removeprefix("^") not in _CLASSES:
                raise _SyntaxError("invalid character class range", pattern[at : end + 2])
            at = end + 2
        elif pattern[at : at + 2] in {"\\p", "\\P"}:
            at = _property(pattern, at)
        elif pattern[at] == "\\" and pattern[at + 1 : at + 2] in set("dDsSwW"):
            at += 2
        else:
            at = _range(pattern, start, at)
    return at + 1


def _range(pattern: str, start: int, at: int) -> int:
    low, end = _member(pattern, start, at)
    if not pattern.startswith("-", end) or pattern[end + 1 : end + 2] in {"", "]"}:
        return end
    high, end = _member(pattern, start, end + 1)
    if high < low:
        raise _SyntaxError("invalid character class range", pattern[at:end])
    return end


def _member(pattern: str, start: int, at: int) -> tuple[int, int]:
    if at >= len(pattern):
        raise _SyntaxError("missing closing ]", pattern[start:])
    return _escape(pattern, at) if pattern[at] == "\\" else (ord(pattern[at]), at + 1)
