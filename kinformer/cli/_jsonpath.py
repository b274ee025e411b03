r"""kubectl's JSONPath templates: `{.metadata.name}`, `{range .items[*]}{.metadata.name}{"\n"}{end}`.

The dialect is that of kubectl (client-go util/jsonpath); it differs from RFC 9535. A template is text with expressions
in braces. The leading `$` of an expression is optional. The results of an expression are written with blanks between
them.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["JsonPath", "JsonPathError"]


class JsonPathError(ValueError):
    """A template that does not parse; the message names the place."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str  # "*" matches any


@dataclass(frozen=True, slots=True)
class _Slice:
    start: int | None
    stop: int | None
    step: int | None


@dataclass(frozen=True, slots=True)
class _Union:
    parts: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class _Filter:
    left: tuple[_Step, ...]
    operator: str  # "" tests for existence
    right: Any


@dataclass(frozen=True, slots=True)
class _Anywhere:
    """`..`: the value and all values inside it."""


_Step: TypeAlias = "_Field | _Slice | _Union | _Filter | _Anywhere"


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Expression:
    steps: tuple[_Step, ...]


@dataclass(frozen=True, slots=True)
class _Range:
    over: _Expression
    body: tuple[_Node, ...]


_Node: TypeAlias = "_Text | _Expression | _Range"

# All characters except those that end a field in kubectl's lexer (util/jsonpath/parser.go, advance); a backslash
# escapes one.
_NAME: Final = re.compile(r"(?:\\.|[^\s.\[\],<>=!~()}|&\\'\"])+")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_INDEX: Final = re.compile(r"(-?\d*)(?::(-?\d*))?(?::(-?\d*))?$")
_COMPARISON: Final = re.compile(r"^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$", re.DOTALL)
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class JsonPath:
    """A parsed template.

    Args:
        template: the text, as in kubectl; a single expression may be given without braces.

    Raises:
        JsonPathError: the template does not parse.
    """

    def __init__(self, template: str) -> None:
        if "{" not in template:
            bare = template if template.startswith((".", "[", "$")) else f".{template}"
            template = f"{{{bare}}}"
        self._nodes = _Parser(template).nodes()

    def fill_in(self, value: Any) -> str:
        """Return the template with the results of its expressions for a value; a missing field gives empty text."""
        return "".join(_filled(self._nodes, value, value))

    def first(self, value: Any) -> Any:
        """Return the first result of the first expression for a value; `None` if there is none."""
        return next(iter(self.all(value)), None)

    def all(self, value: Any) -> list[Any]:
        """Return the results of all expressions for a value, in their order."""
        expressions = (node for node in self._nodes if isinstance(node, _Expression))
        return [found for each in expressions for found in _found(each.steps, [value])]


def _filled(nodes: Sequence[_Node], value: Any, root: Any) -> Iterator[str]:
    for node in nodes:
        match node:
            case _Text(text):
                yield text
            case _Expression(steps):
                yield " ".join(_written(found) for found in _found(steps, [value]))
            case _Range(over, body):
                for found in _found(over.steps, [value]):
                    yield from _filled(body, found, root)


def _found(steps: Sequence[_Step], values: list[Any]) -> list[Any]:
    for step in steps:
        values = [found for value in values for found in _stepped(step, value)]
    return values


def _stepped(step: _Step, value: Any) -> Iterator[Any]:
    match step:
        case _Field("*"):
            yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        case _Field(name):
            if isinstance(value, dict) and name in value:
                yield value[name]
        case _Slice(start, stop, every):
            if isinstance(value, list):
                yield from value[start:stop:every]
        case _Union(parts):
            for part in parts:
                named = isinstance(part, str) and isinstance(value, dict) and part in value
                if named or (isinstance(part, int) and isinstance(value, list) and -len(value) <= part < len(value)):
                    yield value[part]
        case _Filter():
            if isinstance(value, list):
                yield from (element for element in value if _passes(step, element))
        case _Anywhere():
            yield value
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            for element in inside:
                yield from _stepped(step, element)


def _passes(test: _Filter, element: Any) -> bool:
    found = _found(test.left, [element])
    if not test.operator:
        return bool(found)
    wanted = test.right
    if isinstance(wanted, _Expression):
        there = _found(wanted.steps, [element])
        if not there:
            return False
        wanted = there[0]
    try:
        return bool(found) and _OPERATORS[test.operator](found[0], wanted)
    except TypeError:
        # Values of different types have no order.
        return False


def _written(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Parser:
    """Parses the text of a template into nodes."""

    def __init__(self, template: str) -> None:
        self._text = template
        self._at = 0

    def nodes(self) -> tuple[_Node, ...]:
        found = self._until_end(inside=False)
        if self._at < len(self._text):
            raise self._wrong("{end} without {range}")
        return found

    def _until_end(self, *, inside: bool) -> tuple[_Node, ...]:
        nodes: list[_Node] = []
        while self._at < len(self._text):
            brace = self._text.find("{", self._at)
            if brace != self._at:
                stop = len(self._text) if brace < 0 else brace
                nodes.append(_Text(self._text[self._at : stop]))
                self._at = stop
                continue
            began = self._at
            inner = self._braced()
            if inner == "end":
                if not inside:
                    self._at = began
                return tuple(nodes)
            if inner.startswith("range ") or inner == "range":
                over = _Expression(self._steps(inner.removeprefix("range").strip()))
                body = self._until_end(inside=True)
                nodes.append(_Range(over, body))
                continue
            quoted = _QUOTED.fullmatch(inner)
            nodes.append(_Text(_unquoted(quoted)) if quoted else _Expression(self._steps(inner)))
        if inside:
            raise self._wrong("{range} without {end}")
        return tuple(nodes)

    def _braced(self) -> str:
        """Return the text between this brace and its closing one; quoted text may contain braces."""
        at = self._at + 1
        while at < len(self._text):
            if self._text[at] in "'\"" and (quoted := _QUOTED.match(self._text, at)):
                at = quoted.end()
                continue
            if self._text[at] == "}":
                inner = self._text[self._at + 1 : at].strip()
                self._at = at + 1
                return inner
            at += 1
        raise self._wrong("a brace is not closed")

    def _steps(self, text: str) -> tuple[_Step, ...]:
        steps: list[_Step] = []
        rest = text.removeprefix("$").removeprefix("@")
        while rest:
            if rest.startswith(".."):
                steps.append(_Anywhere())
                rest = rest[2:] if rest[2:3] == "[" else rest[1:]
            elif rest.startswith("["):
                inner, rest = self._bracketed(rest)
                steps.append(self._subscript(inner))
            elif rest.startswith("."):
                name = _NAME.match(rest, 1)
                if name is None:
                    if rest == ".":
                        return tuple(steps)
                    raise self._wrong(f"{rest!r} names no field")
                steps.append(_Field(name.group().replace("\\", "")))
                rest = rest[name.end() :]
            else:
                raise self._wrong(f"{text!r}: a field begins with a dot")
        return tuple(steps)

    def _bracketed(self, text: str) -> tuple[str, str]:
        depth = at = 0
        while at < len(text):
            if text[at] in "'\"" and (quoted := _QUOTED.match(text, at)):
                at = quoted.end()
                continue
            depth += (text[at] == "[") - (text[at] == "]")
            at += 1
            if depth == 0:
                return text[1 : at - 1].strip(), text[at:]
        raise self._wrong("a bracket is not closed")

    def _subscript(self, inner: str) -> _Step:
        if inner == "*":
            return _Field("*")
        if inner.startswith("?(") and inner.endswith(")"):
            return self._filter(inner[2:-1].strip())
        parts = [part.strip() for part in _split(inner)]
        if len(parts) == 1 and ":" in inner and not _QUOTED.fullmatch(inner):
            numbers = _INDEX.fullmatch(inner)
            if numbers is None:
                raise self._wrong(f"[{inner}] is no range")
            return _Slice(*(int(number) if number else None for number in numbers.groups()))
        union: list[int | str] = []
        for part in parts:
            quoted = _QUOTED.fullmatch(part)
            if quoted:
                union.append(_unquoted(quoted))
            elif re.fullmatch(r"-?\d+", part):
                union.append(int(part))
            else:
                raise self._wrong(f"[{inner}] is no index, range, name in quotes or filter")
        return _Union(tuple(union))

    def _filter(self, text: str) -> _Filter:
        compared = _COMPARISON.match(text)
        if compared is None:
            return _Filter(self._steps(text), "", None)
        left, sign, right = compared.groups()
        return _Filter(self._steps(left), sign, self._operand(right))

    def _operand(self, text: str) -> Any:
        quoted = _QUOTED.fullmatch(text)
        if quoted:
            return _unquoted(quoted)
        if text.startswith(("@", "$", ".")):
            return _Expression(self._steps(text))
        try:
            return json.loads(text)
        except ValueError:
            raise self._wrong(f"{text!r} cannot be compared; put text in quotes") from None

    def _wrong(self, why: str) -> JsonPathError:
        return JsonPathError(f"jsonpath {self._text!r}: {why}")


def _split(text: str) -> list[str]:
    """Split at the commas outside of quotes."""
    parts, at, start = [], 0, 0
    while at < len(text):
        if text[at] in "'\"" and (quoted := _QUOTED.match(text, at)):
            at = quoted.end()
            continue
        if text[at] == ",":
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _unquoted(quoted: re.Match[str]) -> str:
    inner = quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', ".": "."}
    return re.sub(r"\\(.)", lambda found: escapes.get(found.group(1), found.group(0)), inner)
