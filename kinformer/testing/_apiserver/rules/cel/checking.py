"""The types of an expression: unknown names and fields, and calls with values of a wrong type (cel-go checker).

A type that is not known is `dyn`, which goes with every other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kinformer.testing._apiserver.rules.cel.evaluating import MACROS, NAMESPACES
from kinformer.testing._apiserver.rules.cel.functions import FUNCTIONS, METHODS
from kinformer.testing._apiserver.rules.cel.parsing import (
    Call,
    CompileError,
    Field,
    Index,
    ListOf,
    Literal,
    MapOf,
    Message,
    Name,
    Node,
    located,
    parse,
)
from kinformer.testing._apiserver.rules.cel.signatures import (
    BOOL,
    DYN,
    INT,
    NULL,
    STRING,
    Type,
    list_of,
    map_of,
    optional_of,
    signatures,
)
from kinformer.testing._apiserver.rules.cel.values import EvaluationError, duration, timestamp
from kinformer.testing._apiserver.rules.go_patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.testing._apiserver.rules.cel.parsing import MessageField

__all__ = ["check_types", "shown_type"]

_LITERALS: Final[dict[type, Type]] = {
    bool: BOOL,
    int: INT,
    float: Type("double"),
    str: STRING,
    bytes: Type("bytes"),
    type(None): NULL,
}
_TYPE_NAMES: Final = ("bool", "bytes", "double", "int", "string")
_CONTAINERS: Final = {"list": list_of(DYN), "map": map_of(DYN, DYN), "null_type": NULL, "type": Type("type")}
_OPERATORS: Final = {
    "!_": "!_",
    "-_": "-_",
    "?:": "_?_:_",
    "in": "@in",
    **{sign: f"_{sign}_" for sign in ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%")},
}
_NEVER_NULL: Final = {"bool", "int", "double", "string", "bytes", "list", "map", "type"}
_LONG_NAMES: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}
_RANGE: Final = "cannot be range of a comprehension (must be list, map, or dynamic)"
_RESERVED: Final = re.compile("__(.+)__")


def check_types(text: str, variables: Mapping[str, Type]) -> Type:
    """Return the type of an expression.

    Args:
        text: the expression.
        variables: the types of the variables that it may read.

    Raises:
        CompileError: it is no expression, or has unknown names or values of a wrong type; all of them are named.
    """
    node = parse(text)
    checker = _Checker()
    found = checker.type_of(node, dict(variables))
    if not checker.faults:
        checker.check_constants(node)
    if checker.faults:
        raise CompileError("\n".join(located(text, at, why) for at, why in sorted({*checker.faults})))
    return found


def shown_type(found: Type) -> str:
    """Return the name of a type where it is the whole of an expression."""
    name = _LONG_NAMES.get(found.name, found.name)
    return f"{name}({', '.join(map(shown_type, found.of))})" if found.of else name


class _Checker:
    def __init__(self) -> None:
        self.faults: list[tuple[int, str]] = []

    def type_of(self, node: Node, known: dict[str, Type]) -> Type:
        match node:
            case Literal(value=value):
                return _LITERALS[type(value)]
            case Name(name=name):
                return self._of_name(node, name, known)
            case Field(of=of, name=name, optional=optional):
                found = self._field(node.at, self.type_of(of, known), name)
                is_optional = optional and found.name != "optional_type"
                return optional_of(found) if is_optional else found
            case Index(of=of, key=key, optional=optional):
                called = "_[?_]" if optional else "_[_]"
                return self._called(node.at, called, [self.type_of(of, known), self.type_of(key, known)])
            case ListOf(items=items):
                return list_of(self._same(items, known))
            case MapOf(entries=entries):
                keys, values = [key for key, _ in entries], [value for _, value in entries]
                return map_of(self._same(keys, known), self._same(values, known))
            case Message(type=name, fields=fields):
                return self._message(node, name, fields, known)
            case Call():
                return self._of_call(node, known)
        return DYN

    def check_constants(self, node: Node) -> None:
        """Note times, durations and patterns that can be read before the expression is evaluated, and are none."""
        for child in _children(node):
            self.check_constants(child)
        if isinstance(node, Call):
            given = node.arguments[-1] if node.arguments else None
            if isinstance(given, Literal) and isinstance(given.value, str) and node.name in _CONSTANTS:
                try:
                    _CONSTANTS[node.name](given.value)
                except (EvaluationError, re.error):
                    self.faults.append((given.at, f"invalid {node.name} argument"))

    def _of_name(self, node: Node, name: str, known: dict[str, Type]) -> Type:
        if name in known:
            return known[name]
        if name in _TYPE_NAMES:
            return Type("type", (Type(name),))
        if name in _CONTAINERS:
            return Type("type", (_CONTAINERS[name],))
        self._unknown(node.at, name)
        return DYN

    def _message(self, node: Node, name: str, fields: tuple[MessageField, ...], known: dict[str, Type]) -> Type:
        root, dot, rest = name.partition(".")
        made = known.get(root)
        if made is None or made.name != "type":
            self._unknown(node.at, name)
        whole = made.of[0] if made is not None and made.of else DYN
        for field in fields:
            found = self.type_of(field.value, known)
            wanted = DYN if whole.fields is None else whole.fields.get(field.name)
            if field.optional and found.name == "optional_type":
                found = found.of[0]
            if wanted is None or not _unify(wanted, found, {}):
                why = f"expected type of field '{field.name}' is '{wanted or ''}' but provided type is '{found}'"
                self.faults.append((field.at, why))
        return Type(f"{whole.name}{dot}{rest}", (), whole.fields)

    def _unknown(self, at: int, name: str) -> None:
        self.faults.append((at, f"undeclared reference to '{name}' (in container '')"))

    def _field(self, at: int, of: Type, name: str) -> Type:
        if of.name == "dyn":
            return DYN
        if of.name == "optional_type":
            found = self._field(at, of.of[0], name)
            return found if found.name == "optional_type" else optional_of(found)
        if of.name == "map":
            return of.of[1]
        if of.fields is None:
            self.faults.append((at, f"type '{of}' does not support field selection"))
            return DYN
        word = _RESERVED.fullmatch(name)
        if name not in of.fields and word and word[1] in of.fields:
            return of.fields[word[1]]
        if name not in of.fields:
            self.faults.append((at, f"undefined field '{name}'"))
        return of.fields.get(name, DYN)

    def _same(self, items: tuple[Node, ...] | list[Node], known: dict[str, Type]) -> Type:
        """The type of the items of a list, which must all be of the same."""
        whole: Type | None = None
        for item in items:
            found = self.type_of(item, known)
            if whole is None:
                whole = found
            elif not _unify(whole, found, {}):
                self._expected(item.at, whole, found)
            elif found == DYN:
                whole = DYN
        return whole or DYN

    def _expected(self, at: int, wanted: Type, found: Type) -> None:
        self.faults.append((at, f"expected type '{wanted}' but found '{found}'"))

    def _of_call(self, node: Call, known: dict[str, Type]) -> Type:
        name, arguments = node.name, node.arguments
        if node.of is None:
            if name == "has" and len(arguments) == 1:
                return self._has(node, arguments[0], known)
            found = [self.type_of(one, known) for one in arguments]
            if name in {"&&", "||"}:
                for one, given in zip(arguments, found, strict=True):
                    if given not in {BOOL, DYN}:
                        self._expected(one.at, BOOL, given)
                return BOOL
            if name in _OPERATORS:
                return self._called(node.at, _OPERATORS[name], found)
            return self._called(node.at, name, found, exists=name in FUNCTIONS)
        if isinstance(node.of, Name) and node.of.name in NAMESPACES and node.of.name not in known:
            whole = f"{node.of.name}.{name}"
            if (whole, False) in signatures() or whole in FUNCTIONS:
                return self._called(node.at, whole, [self.type_of(one, known) for one in arguments], exists=True)
        if name in MACROS and len(arguments) > 1:
            return self._macro(node, known)
        receiver = self.type_of(node.of, known)
        found = [receiver, *(self.type_of(one, known) for one in arguments)]
        return self._called(node.at, name, found, is_method=True, exists=name in METHODS)

    def _has(self, node: Call, argument: Node, known: dict[str, Type]) -> Type:
        if isinstance(argument, Field):
            self._field(node.at, self.type_of(argument.of, known), argument.name)
        else:
            self.faults.append((argument.at, "invalid argument to has() macro"))
        return BOOL

    def _called(self, at: int, name: str, given: list[Type], *, is_method: bool = False, exists: bool = False) -> Type:
        """The type of the value of a call."""
        known = signatures().get((name, is_method), ())
        if not known:
            if not exists:
                self._unknown(at, name)
            return DYN
        results = []
        for signature in known:
            bound: dict[str, Type] = {}
            if len(signature.arguments) == len(given) and all(
                _unify(wanted, one, bound) for wanted, one in zip(signature.arguments, given, strict=True)
            ):
                results.append(_substituted(signature.result, bound))
        if not results:
            shown = [str(one) for one in given]
            applied = f"{shown[0]}.({', '.join(shown[1:])})" if is_method else f"({', '.join(shown)})"
            self.faults.append((at, f"found no matching overload for '{name}' applied to '{applied}'"))
            return DYN
        return results[0] if all(one == results[0] for one in results) else DYN

    def _macro(self, node: Call, known: dict[str, Type]) -> Type:
        """The type of a comprehension, with one variable, or with two."""
        assert node.of is not None
        name, of = node.name, self.type_of(node.of, known)
        *first, last = node.arguments
        if name in {"optMap", "optFlatMap"}:
            inner = of.of[0] if of.name == "optional_type" else DYN
            value = self.type_of(last, known | self._names(first[:1], (inner,)))
            return value if name == "optFlatMap" else optional_of(value)
        key, value = self._range(node.of, of)
        is_double = name.startswith("transform") or (len(first) == 2 and name not in {"map", "filter"})
        named = self._names(first[: 2 if is_double else 1], (key, value) if is_double else (_item(of),))
        conditions = first[2 if is_double else 1 :]
        inner_known = known | named
        for condition in conditions:
            self._condition(node.at, self.type_of(condition, inner_known), list_of(DYN))
        result = self.type_of(last, inner_known)
        match name:
            case "all" | "exists":
                if result not in {BOOL, DYN}:
                    self._expected(last.at, BOOL, result)
                return BOOL
            case "exists_one" | "existsOne":
                self._condition(node.at, result, INT)
                return BOOL
            case "filter":
                made = list_of(_item(of))
                self._condition(node.at, result, made)
                return made
            case "transformMap":
                return map_of(key, result)
        return list_of(result)

    def _condition(self, at: int, found: Type, around: Type) -> None:
        if found not in {BOOL, DYN}:
            self._called(at, "_?_:_", [found, around, around])

    def _names(self, nodes: list[Node], types: tuple[Type, ...]) -> dict[str, Type]:
        named = {}
        for node, found in zip(nodes, types, strict=False):
            if isinstance(node, Name):
                named[node.name] = found
            else:
                self.faults.append((node.at, "argument must be a simple name"))
        return named

    def _range(self, node: Node, of: Type) -> tuple[Type, Type]:
        """The types of the keys and of the values that a comprehension goes over."""
        match of.name:
            case "list":
                return INT, of.of[0]
            case "map":
                return of.of[0], of.of[1]
            case "dyn":
                return DYN, DYN
        self.faults.append((node.at, f"expression of type '{of}' {_RANGE}"))
        return DYN, DYN


def _item(of: Type) -> Type:
    """The type of the one variable of a comprehension: an item of a list, or a key of a map."""
    return of.of[0] if of.name in {"list", "map"} else DYN


def _unify(wanted: Type, given: Type, bound: dict[str, Type]) -> bool:
    """Report whether a value of a type may stand where another is wanted; notes the types that a call decides."""
    if len(wanted.name) == 1:
        before = bound.get(wanted.name)
        if before is None:
            bound[wanted.name] = given
            return True
        if not (_unify(before, given, {}) or _unify(given, before, {})):
            return False
        if given == DYN or before == NULL:
            bound[wanted.name] = given
        return True
    if DYN in (wanted, given):
        return True
    if given == NULL and wanted.name not in _NEVER_NULL:
        return True
    if wanted.name != given.name or len(wanted.of) != len(given.of):
        return False
    return wanted.name == "type" or all(_unify(*pair, bound) for pair in zip(wanted.of, given.of, strict=True))


def _substituted(result: Type, bound: dict[str, Type]) -> Type:
    if len(result.name) == 1:
        return bound.get(result.name, DYN)
    return Type(result.name, tuple(_substituted(part, bound) for part in result.of), result.fields)


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Field(of=of):
            return (of,)
        case Index(of=of, key=key):
            return (of, key)
        case ListOf(items=items):
            return items
        case MapOf(entries=entries):
            return tuple(part for entry in entries for part in entry)
        case Message(fields=fields):
            return tuple(field.value for field in fields)
        case Call(arguments=arguments, of=of):
            return arguments if of is None else (of, *arguments)
    return ()


_CONSTANTS: Final[dict[str, Callable[[str], object]]] = {
    "timestamp": timestamp,
    "duration": duration,
    "matches": compiled,
}
