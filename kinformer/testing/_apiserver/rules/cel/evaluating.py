"""Expressions that can be evaluated: trees of nodes become functions of the variables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from kinformer.testing._apiserver.rules.cel.functions import FUNCTIONS, METHODS
from kinformer.testing._apiserver.rules.cel.messages import Made
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
from kinformer.testing._apiserver.rules.cel.values import EvaluationError, Named, Optional, Unordered, equal, whole

__all__ = ["MACROS", "NAMESPACES", "Expression", "compile_expression"]

_Variables: TypeAlias = dict[str, Any]
_Code: TypeAlias = Callable[[_Variables], Any]

_TYPES: Final = {
    name: Named(name) for name in ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type")
}
NAMESPACES: Final = {"sets", "optional", "ip", "format", "jsonpatch"}
"""The first parts of the names of functions."""
_NUMBERS: Final = (int, float)


class Expression:
    """One expression.

    Attributes:
        text: its text.
        names: the variables that it reads.
    """

    def __init__(self, text: str, code: _Code, names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        self._code = code

    def evaluate(self, variables: _Variables) -> Any:
        """Evaluate the expression.

        Args:
            variables: the values of the variables, by name.

        Raises:
            EvaluationError: it has none.
        """
        try:
            return self._code(variables)
        except EvaluationError:
            raise
        except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError):
            # Python's own errors are those of values of a wrong type.
            msg = "no such overload"
            raise EvaluationError(msg) from None


def compile_expression(text: str, variables: tuple[str, ...]) -> Expression:
    """Return an expression that can be evaluated.

    Args:
        text: the text.
        variables: the names of the variables that it may read.

    Raises:
        CompileError: it is no expression, or calls an unknown function.
    """
    compiler = _Compiler(text)
    code = compiler.code(parse(text), frozenset(variables))
    return Expression(text, code, frozenset(compiler.read))


class _Compiler:
    def __init__(self, text: str) -> None:
        self.read: set[str] = set()
        self._text = text

    def _fail(self, node: Node, why: str) -> CompileError:
        return CompileError(located(self._text, node.at, why))

    def code(self, node: Node, known: frozenset[str]) -> _Code:
        match node:
            case Literal(value=value):
                return lambda _: value
            case Name(name=name):
                if name in known:
                    self.read.add(name)
                    return lambda variables: variables[name]
                if name in _TYPES:
                    return lambda _: _TYPES[name]
                raise self._fail(node, f"undeclared reference to '{name}' (in container '')")
            case Field(of=of, name=name, optional=optional):
                parent = self.code(of, known)
                if optional:
                    return lambda variables: _optional(parent(variables), name)
                return lambda variables: _field(parent(variables), name)
            case Index(of=of, key=key, optional=optional):
                parent, place = self.code(of, known), self.code(key, known)
                if optional:
                    return lambda variables: _optional(parent(variables), place(variables))
                return lambda variables: _index(parent(variables), place(variables))
            case ListOf(items=items):
                codes = [self.code(item, known) for item in items]
                return lambda variables: [code(variables) for code in codes]
            case MapOf(entries=entries):
                pairs = [(self.code(key, known), self.code(value, known)) for key, value in entries]
                return lambda variables: {key(variables): value(variables) for key, value in pairs}
            case Message(type=name, fields=fields):
                if name.partition(".")[0] not in known:
                    raise self._fail(node, f"undeclared reference to '{name}' (in container '')")
                values = [(field.name, self.code(field.value, known), field.optional) for field in fields]
                return lambda variables: Made(name, _made(variables, values))
            case Call():
                return self._call(node, known)
        raise self._fail(node, "unsupported expression")

    def _call(self, node: Call, known: frozenset[str]) -> _Code:
        name, arguments = node.name, node.arguments
        if node.of is None:
            if name == "has" and len(arguments) == 1:
                return self._has(arguments[0], known)
            if name in _OPERATORS:
                codes = [self.code(one, known) for one in arguments]
                operator = _OPERATORS[name]
                return lambda variables: operator(variables, *codes)
            function = FUNCTIONS.get(name)
            if function is None:
                raise self._fail(node, f"undeclared reference to '{name}' (in container '')")
            return self._applied(function, arguments, known)
        if isinstance(node.of, Name) and node.of.name in NAMESPACES and node.of.name not in known:
            function = FUNCTIONS.get(f"{node.of.name}.{name}")
            if function is not None:
                return self._applied(function, arguments, known)
        if name in MACROS and arguments and isinstance(arguments[0], Name):
            return self._macro(node, known)
        method = METHODS.get(name)
        if method is None:
            # A receiver that is not known is the first fault.
            self.code(node.of, known)
            raise self._fail(node, f"undeclared reference to '{name}' (in container '')")
        return self._applied(method, (node.of, *arguments), known)

    def _applied(self, function: Callable[..., Any], arguments: tuple[Node, ...], known: frozenset[str]) -> _Code:
        codes = [self.code(one, known) for one in arguments]
        return lambda variables: function(*(code(variables) for code in codes))

    def _has(self, argument: Node, known: frozenset[str]) -> _Code:
        if not isinstance(argument, Field):
            raise self._fail(argument, "invalid argument to has() macro")
        parent, name = self.code(argument.of, known), argument.name
        if argument.optional:
            return lambda variables: _optional(parent(variables), name).is_set
        return lambda variables: name in _mapping(parent(variables))

    def _macro(self, node: Call, known: frozenset[str]) -> _Code:
        """Compile a comprehension: with one variable, or with two (a position or key, and the value)."""
        assert node.of is not None
        items, arguments = self.code(node.of, known), list(node.arguments)
        names: list[str] = []
        most = 2 if node.name.startswith("transform") or len(arguments) > 2 or node.name in _WITH_TWO else 1
        if node.name == "map":
            most = 1
        while len(names) < most and arguments and isinstance(arguments[0], Name) and len(arguments) > 1:
            names.append(str(getattr(arguments.pop(0), "name", "")))
        inner = known | set(names)
        codes = [self.code(one, inner) for one in arguments]
        self.read -= set(names) - known
        macro = MACROS[node.name]

        def run(variables: _Variables) -> Any:
            return macro(_bound(items(variables), names, variables), *codes)

        return run


def _bound(items: Any, names: list[str], variables: _Variables) -> list[tuple[Any, _Variables]]:
    """The items of a list, or the keys of a map, each with the variables in which it has its names."""
    if isinstance(items, Optional):
        items = [items.value] if items.is_set else []
    if len(names) == 2:
        pairs = items.items() if isinstance(items, dict) else enumerate(items)
        return [((key, value), variables | {names[0]: key, names[1]: value}) for key, value in pairs]
    if not isinstance(items, list | dict):
        msg = "no such overload"
        raise EvaluationError(msg)
    return [(item, variables | {names[0]: item}) for item in items]


def _decided(bound: list[tuple[Any, _Variables]], test: _Code, decision: bool) -> bool:
    """Report whether a test decides; an error counts only if no other item decides."""
    error: EvaluationError | None = None
    for _, variables in bound:
        try:
            if test(variables) is decision:
                return True
        except EvaluationError as caught:
            error = caught
    if error is not None:
        raise error
    return False


def _map(bound: list[tuple[Any, _Variables]], *codes: _Code) -> list[Any]:
    if len(codes) == 2:
        return [codes[1](variables) for _, variables in bound if codes[0](variables)]
    return [codes[0](variables) for _, variables in bound]


def _transform_map(bound: list[tuple[Any, _Variables]], *codes: _Code) -> dict[Any, Any]:
    chosen = [(item, variables) for item, variables in bound if len(codes) == 1 or codes[0](variables)]
    return {item[0]: codes[-1](variables) for item, variables in chosen}


def _opt_map(bound: list[tuple[Any, _Variables]], code: _Code) -> Optional:
    return Optional(code(bound[0][1]), is_set=True) if bound else Optional()


def _exists_one(bound: list[tuple[Any, _Variables]], test: _Code) -> bool:
    return sum(test(variables) is True for _, variables in bound) == 1


MACROS: Final[dict[str, Callable[..., Any]]] = {
    "all": lambda bound, test: not _decided(bound, test, decision=False),
    "exists": lambda bound, test: _decided(bound, test, decision=True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "filter": lambda bound, test: [item for item, variables in bound if test(variables)],
    "map": _map,
    "transformList": _map,
    "transformMap": _transform_map,
    "optMap": _opt_map,
    "optFlatMap": lambda bound, code: code(bound[0][1]) if bound else Optional(),
}
"""The comprehensions, by name."""
_WITH_TWO: Final = {"transformList", "transformMap"}


def _made(variables: _Variables, fields: list[tuple[str, _Code, bool]]) -> dict[str, Any]:
    """The value of a message: a map of its fields, without those that are missing."""
    made = {}
    for name, code, is_optional in fields:
        value = code(variables)
        if not is_optional:
            made[name] = value
        elif value.is_set:
            made[name] = value.value
    return made


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        msg = "no such overload"
        raise EvaluationError(msg)
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Optional):
        return _optional(value, name)
    found = _mapping(value)
    if name not in found:
        msg = f"no such key: {name}"
        raise EvaluationError(msg)
    return found[name]


def _index(value: Any, key: Any) -> Any:
    if isinstance(value, Optional):
        return _optional(value, key)
    if isinstance(value, list):
        if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key < len(value):
            msg = f"index out of bounds: {key}"
            raise EvaluationError(msg)
        return value[key]
    return _field(value, key)


def _optional(value: Any, key: Any) -> Optional:
    if isinstance(value, Optional):
        return _optional(value.value, key) if value.is_set else value
    if isinstance(value, list):
        return Optional(value[key], is_set=True) if 0 <= key < len(value) else Optional()
    found = _mapping(value)
    return Optional(found[key], is_set=True) if key in found else Optional()


# Operators


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        msg = "no such overload"
        raise EvaluationError(msg)
    return value


def _either(variables: _Variables, left: _Code, right: _Code, *, decisive: bool) -> bool:
    """`||`, or `&&`: a side that decides hides the error of the other."""
    try:
        if _truth(left(variables)) is decisive:
            return decisive
    except EvaluationError:
        if _truth(right(variables)) is decisive:
            return decisive
        raise
    return _truth(right(variables))


def _choice(variables: _Variables, condition: _Code, yes: _Code, no: _Code) -> Any:
    return yes(variables) if _truth(condition(variables)) else no(variables)


def _contained(item: Any, items: Any) -> bool:
    if isinstance(items, dict):
        return item in items
    return any(equal(item, other) for other in items)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def operator(left: Any, right: Any) -> bool:
        if isinstance(left, bool) is not isinstance(right, bool):
            msg = "no such overload"
            raise EvaluationError(msg)
        return compare(left, right)

    return operator


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, Unordered):
        return left.joined(right)
    return _checked(left, right, left + right)


def _checked(left: Any, right: Any, result: Any) -> Any:
    if isinstance(left, bool) or isinstance(right, bool):
        msg = "no such overload"
        raise EvaluationError(msg)
    if isinstance(left, int) and isinstance(right, int):
        return whole(result)
    is_number = isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)
    if is_number or isinstance(result, str | bytes | list | datetime | timedelta):
        return result
    msg = "no such overload"
    raise EvaluationError(msg)


def _divided(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        if right == 0:
            msg = "division by zero"
            raise EvaluationError(msg)
        # Towards zero, as Go.
        return whole(abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1))
    if right == 0:
        return float("nan") if left == 0 else float("inf") if left > 0 else float("-inf")
    return left / right


def _remainder(left: int, right: int) -> int:
    if right == 0:
        msg = "modulus by zero"
        raise EvaluationError(msg)
    return left - right * int(_divided(left, right))


def _strict(operator: Callable[..., Any]) -> Callable[..., Any]:
    return lambda variables, *codes: operator(*(code(variables) for code in codes))


_OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "||": lambda variables, left, right: _either(variables, left, right, decisive=True),
    "&&": lambda variables, left, right: _either(variables, left, right, decisive=False),
    "?:": _choice,
    "==": _strict(equal),
    "!=": _strict(lambda left, right: not equal(left, right)),
    "<": _strict(_ordered(lambda left, right: left < right)),
    "<=": _strict(_ordered(lambda left, right: left <= right)),
    ">": _strict(_ordered(lambda left, right: left > right)),
    ">=": _strict(_ordered(lambda left, right: left >= right)),
    "in": _strict(_contained),
    "+": _strict(_plus),
    "-": _strict(lambda left, right: _checked(left, right, left - right)),
    "*": _strict(lambda left, right: _checked(left, right, left * right)),
    "/": _strict(_divided),
    "%": _strict(_remainder),
    "!_": _strict(lambda value: not _truth(value)),
    "-_": _strict(lambda value: whole(-value) if isinstance(value, int) else -value),
}
