"""Label and field selectors: parse, match, render.

The grammar is Kubernetes' own (apimachinery pkg/labels/selector.go): requirements joined by commas, all of which must
hold: `app=web`, `tier!=cache`, `env in (prod,staging)`, `env notin (dev)`, `owner`, `!owner`, `weight>3`. As in
Kubernetes, `!=` and `notin` also match objects without the label.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.errors import SelectorError

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["FieldSelector", "LabelSelector", "Requirement", "SelectorInput"]

_TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|=|!|>|<|,|\(|\))|(?P<word>[^\s=!><,()]+))")
_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

# More digits than this, which Go does read if they begin with zeros, are in no label: its value has 63 characters.
_LONGEST_NUMBER: Final = 63
_NUMBER: Final = re.compile("[+-]?[0-9]+")


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One condition on one label.

    Attributes:
        key: the label's name.
        operator: one of "=", "!=", "in", "notin", "exists", "!", ">", "<".
        values: the values to compare with, sorted; empty for "exists" and "!".
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels fulfil the requirement."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                number, bound = _whole_number(value or ""), _whole_number(self.values[0])
                if number is None or bound is None:
                    return False
                return number > bound if self.operator == ">" else number < bound

    def filter(self, objects: Iterable[KubeObject]) -> list[KubeObject]:
        """Return the objects whose labels fulfil the requirement, in their order."""
        # These loops run over each object of a cache: hence one loop for each operator, without a call in it.
        key, values = self.key, self.values
        match self.operator:
            case "=" | "in" if len(values) == 1:
                (value,) = values
                return [obj for obj in objects if (labels := obj.metadata.labels) and labels.get(key) == value]
            case "!=" | "notin" if len(values) == 1:
                (value,) = values
                return [obj for obj in objects if not (labels := obj.metadata.labels) or labels.get(key) != value]
            case "exists":
                return [obj for obj in objects if (labels := obj.metadata.labels) and key in labels]
            case "!":
                return [obj for obj in objects if not (labels := obj.metadata.labels) or key not in labels]
        return [obj for obj in objects if self.matches(obj.metadata.labels or {})]

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class _Parser:
    """Reads a selector from left to right; every error names the position."""

    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.what = what
        self.tokens: list[tuple[str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:  # pragma: no cover - the two alternatives of _TOKEN cover every character
                raise self.error("cannot be read", at)
            self.tokens.append((found["op"] or found["word"], found.start("op" if found["op"] else "word")))
            at = found.end()
        self.next = 0

    def error(self, why: str, at: int | None = None) -> SelectorError:
        if at is None:
            at = self.tokens[self.next][1] if self.next < len(self.tokens) else len(self.text)
        return SelectorError(f"{self.what} {self.text!r} {why}, at position {at}")

    def peek(self) -> str:
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.next += 1
        return token

    def key(self) -> str:
        key = self.peek()
        if not _KEY.fullmatch(key):
            raise self.error(f"needs a label name, not {key!r}" if key else "ends where a label name is needed")
        self.next += 1
        return key

    def value(self) -> str:
        token = self.peek()
        if token in {"", ",", ")"}:
            return ""
        if not _VALUE.fullmatch(token):
            raise self.error(f"has {token!r}, which cannot be a label's value")
        self.next += 1
        return token

    def values(self) -> tuple[str, ...]:
        if self.take() != "(":
            self.next -= 1
            raise self.error("needs '(' after in or notin")
        found = [self.value()]
        while self.peek() == ",":
            self.next += 1
            found.append(self.value())
        if self.take() != ")":
            self.next -= 1
            raise self.error("needs ')' to end its values")
        return tuple(sorted(set(found)))

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.next += 1
            return Requirement(self.key(), "!")
        key = self.key()
        match self.peek():
            case "" | ",":
                return Requirement(key, "exists")
            case "=" | "==":
                self.next += 1
                return Requirement(key, "=", (self.value(),))
            case "!=":
                self.next += 1
                return Requirement(key, "!=", (self.value(),))
            case ">" | "<" as operator:
                self.next += 1
                bound = self.peek()
                if not re.fullmatch(r"-?[0-9]+", bound):
                    raise self.error(f"needs a whole number after {operator}")
                self.next += 1
                return Requirement(key, operator, (bound,))
            case "in" | "notin" as operator:
                self.next += 1
                return Requirement(key, operator, self.values())
        raise self.error("needs one of = == != in notin > < or a comma")


def _whole_number(text: str) -> int | None:
    """Return the number that a text is to Go's strconv.ParseInt with base 10 and 64 bits; `None` if it is none."""
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A parsed label selector; the empty one matches everything. Requirements are sorted: equal ones compare equal."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, selector: SelectorInput) -> LabelSelector:
        """Make a selector of a string, of a mapping of labels that must be equal, or of a LabelSelector object.

        A LabelSelector object is a mapping as in the manifest of a Deployment (meta/v1 LabelSelector): its keys are
        `matchLabels` and `matchExpressions`. A mapping with one of these keys, whose value is a mapping or a list, is
        read as one.

        Raises:
            SelectorError: it does not parse; the message names the position.
        """
        if selector is None:
            return cls()
        if isinstance(selector, LabelSelector):
            return selector
        if isinstance(selector, Mapping):
            if any(not isinstance(selector.get(part, ""), str) for part in ("matchLabels", "matchExpressions")):
                return cls._of_object(selector)
            return cls._of_mapping(selector)
        if not isinstance(selector, str):
            msg = f"a label selector is a string or a mapping, not {type(selector).__name__}"
            raise SelectorError(msg)
        return cls(_parsed(selector))

    @classmethod
    def _of_mapping(cls, labels: Mapping[str, str]) -> LabelSelector:
        items: Iterable[tuple[object, object]] = labels.items()
        for key, value in items:
            if not (
                isinstance(key, str) and isinstance(value, str) and _KEY.fullmatch(key) and _VALUE.fullmatch(value)
            ):
                msg = f"label selector has {key!r}: {value!r}, which cannot be a label and its value"
                raise SelectorError(msg)
        return cls(tuple(sorted(Requirement(key, "=", (value,)) for key, value in labels.items())))

    @classmethod
    def _of_object(cls, selector: Mapping[str, Any]) -> LabelSelector:
        """Make a selector of a LabelSelector object (apimachinery meta/v1/helpers.go, LabelSelectorAsSelector)."""
        unknown = sorted(selector.keys() - {"matchLabels", "matchExpressions"})
        if unknown:
            msg = f"a LabelSelector has matchLabels and matchExpressions, not {', '.join(map(repr, unknown))}"
            raise SelectorError(msg)
        labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
        if not isinstance(labels, Mapping) or not isinstance(expressions, list | tuple):
            msg = "in a LabelSelector, matchLabels is a mapping and matchExpressions is a list"
            raise SelectorError(msg)
        found = {*cls._of_mapping(labels).requirements, *map(_of_expression, expressions)}
        return cls(tuple(sorted(found)))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def filter(self, objects: Iterable[KubeObject]) -> list[KubeObject]:
        """Return the selected objects, in their order."""
        if not self.requirements:
            return list(objects)
        found: Iterable[KubeObject] = objects
        for requirement in self.requirements:
            found = requirement.filter(found)
        return list(found)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def _of_expression(expression: object) -> Requirement:
    """Return the requirement of one entry of `matchExpressions`."""
    if not isinstance(expression, Mapping):
        msg = f"an entry of matchExpressions is a mapping, not {type(expression).__name__}"
        raise SelectorError(msg)
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or []
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        msg = f"an entry of matchExpressions has the key {key!r}, which cannot be a label"
        raise SelectorError(msg)
    if operator not in _OPERATORS:
        msg = f"the operator for {key} in matchExpressions is {operator!r}; it must be one of {', '.join(_OPERATORS)}"
        raise SelectorError(msg)
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) and _VALUE.fullmatch(v) for v in values):
        msg = f"the values for {key} in matchExpressions must be a list of label values, not {values!r}"
        raise SelectorError(msg)
    if (operator in {"In", "NotIn"}) != bool(values):
        need = "needs values" if not values else "takes no values"
        msg = f"the operator {operator} for {key} in matchExpressions {need}"
        raise SelectorError(msg)
    return Requirement(key, _OPERATORS[operator], tuple(sorted(set(values))))


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[Requirement, ...]:
    """Return the requirements of a selector. Programs use the same few selectors repeatedly, hence the cache."""
    parser = _Parser(text, "label selector")
    found: list[Requirement] = []
    while parser.peek():
        found.append(parser.requirement())
        if not parser.peek():
            break
        if parser.take() != ",":
            parser.next -= 1
            raise parser.error("needs a comma between its requirements")
        if not parser.peek():
            raise parser.error("ends where a label name is needed")
    return tuple(sorted(set(found)))


SelectorInput: TypeAlias = str | Mapping[str, Any] | LabelSelector | None
"""The forms of a label selector: "app=web,tier!=cache", {"app": "web"}, a LabelSelector object such as
{"matchLabels": {"app": "web"}}, or a parsed one."""


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A parsed field selector (apimachinery pkg/fields/selector.go): `metadata.name=web-0,status.phase!=Failed`.

    The server decides for each resource which fields can be selected, and refuses others with 400.

    Attributes:
        requirements: (field path, "=" or "!=", value), sorted.
    """

    requirements: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, selector: str | Mapping[str, str] | FieldSelector | None) -> FieldSelector:
        r"""Make a selector of a string or of a mapping of fields that must be equal.

        In a string, `\\`, `\,` and `\=` stand for themselves inside a value.

        Raises:
            SelectorError: it does not parse.
        """
        if selector is None:
            return cls()
        if isinstance(selector, FieldSelector):
            return selector
        if isinstance(selector, Mapping):
            return cls(tuple(sorted((path, "=", value) for path, value in selector.items())))
        if not isinstance(selector, str):
            msg = f"a field selector is a string or a mapping, not {type(selector).__name__}"
            raise SelectorError(msg)
        found = []
        for term in re.findall(r"(?:\\.|[^\\,])+", selector):
            parts = re.fullmatch(r"\s*([^=!\s]+)\s*(==|!=|=)\s*((?:\\[\\,=]|[^\\=])*?)\s*", term)
            if parts is None:
                msg = (
                    f"field selector {selector!r} has {term.strip()!r}; expected path=value, path==value or path!=value"
                )
                raise SelectorError(msg)
            path, operator, value = parts.groups()
            found.append((path, "!=" if operator == "!=" else "=", re.sub(r"\\(.)", r"\1", value)))
        return cls(tuple(sorted(set(found))))

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(
            path + operator + re.sub(r"([\\,=])", r"\\\1", value) for path, operator, value in self.requirements
        )
