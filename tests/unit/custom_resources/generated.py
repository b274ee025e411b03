"""Classes that Hypothesis makes up: every type that a schema can have, with constraints, defaults and nesting.

Each class is made three times over, as a msgspec Struct, a dataclass and a pydantic model.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import itertools
import uuid
from typing import Annotated, Any, Literal, cast

import msgspec
import pydantic
from hypothesis import strategies as st

from kinformer.custom_resources import ListType, MapType, PreserveUnknownFields, Rule

_NUMBERS = itertools.count()


class Color(enum.Enum):
    """The color."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def bounded(kind: type) -> st.SearchStrategy[Any]:
    """A number with bounds."""

    @st.composite
    def make(draw: st.DrawFn) -> Any:
        low = draw(st.integers(-50, 50))
        limits: dict[str, Any] = {}
        if draw(st.booleans()):
            limits[draw(st.sampled_from(["ge", "gt"]))] = low
        if draw(st.booleans()):
            limits[draw(st.sampled_from(["le", "lt"]))] = low + draw(st.integers(2, 50))
        if kind is int and draw(st.integers(0, 4)) == 0:
            limits = {"multiple_of": draw(st.integers(1, 5))}
        return limited(kind, limits)

    return make()


def sized(kind: Any) -> st.SearchStrategy[Any]:
    """A text, a list or a map with a length."""

    @st.composite
    def make(draw: st.DrawFn) -> Any:
        least = draw(st.integers(0, 2))
        return limited(kind, {"min_length": least, "max_length": least + draw(st.integers(1, 4))})

    return make()


class Limits:
    """The constraints of a type, that each kind of class says in its own way."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.limits = limits


def limited(kind: Any, limits: dict[str, Any]) -> Any:
    return Annotated[kind, Limits(limits)] if limits else kind


SCALARS = st.one_of(
    st.sampled_from(
        [str, int, float, bool, Color, Level, dt.datetime, dt.date, uuid.UUID, Literal["a", "b"], Literal[1, 2]]
    ),
    bounded(int),
    bounded(float),
    sized(str),
    st.sampled_from([r"^[a-z]+$", r"^a\.b", "x{2,3}", r"^[A-Za-z0-9_-]*$"]).map(
        lambda text: limited(str, {"pattern": text})
    ),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = inner.map(lambda kind: list[kind])  # type: ignore[valid-type]
    maps = inner.map(lambda kind: dict[str, kind])  # type: ignore[valid-type]
    return st.one_of(
        lists,
        maps,
        inner.map(lambda kind: kind | None if not _is_optional(kind) else kind),
        lists.flatmap(sized),
        maps.flatmap(sized),
        inner.map(lambda kind: tuple[kind, ...]),  # type: ignore[valid-type]
        st.sampled_from(
            [
                set[str],
                int | str,
                Any,
                dict[str, Any],
                Annotated[list[str], ListType("set")],
                Annotated[dict[str, str], MapType("atomic")],
                Annotated[dict[str, Any], PreserveUnknownFields()],
                Annotated[str, Rule("self != 'forbidden'", "forbidden is forbidden")],
            ]
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda kinds: Fields(kinds)),
    )


def _is_optional(kind: Any) -> bool:
    return kind is Any or isinstance(kind, Fields) or type(None) in getattr(kind, "__args__", ())


class Fields:
    """A class that is yet to be made: the types of its fields."""

    def __init__(self, kinds: list[Any]) -> None:
        self.kinds = kinds

    def __repr__(self) -> str:
        return f"Fields({self.kinds})"


TYPES = st.recursive(SCALARS, containers, max_leaves=5)
SPECS = st.lists(st.one_of(TYPES, SCALARS, containers(SCALARS)), min_size=1, max_size=5).map(Fields)

FORMS = ("struct", "dataclass", "pydantic")


def made(kind: Any, form: str) -> Any:
    """A type with its classes made and its constraints said, in one of the forms."""
    if isinstance(kind, Fields):
        return _class_of(kind, form)
    if isinstance(kind, Limits):
        return msgspec.Meta(**kind.limits) if form != "pydantic" else pydantic.Field(**kind.limits)
    arguments = getattr(kind, "__args__", ())
    if hasattr(kind, "__metadata__"):
        return Annotated[(made(kind.__origin__, form), *(made(each, form) for each in kind.__metadata__))]
    if not arguments or getattr(kind, "__origin__", None) is Literal:
        return kind
    inner = tuple(argument if argument is ... else made(argument, form) for argument in arguments)
    if hasattr(kind, "__origin__") and isinstance(kind.__origin__, type):
        origin: Any = kind.__origin__
        return origin[inner]
    result: Any = inner[0]
    for each in inner[1:]:
        result = result | each
    return result


def _class_of(fields: Fields, form: str) -> type:
    number = next(_NUMBERS)
    # Every other field may be absent, if its type has a value for that.
    required = [(f"f{at}", made(kind, form)) for at, kind in enumerate(fields.kinds)]
    optional = [(f"o{at}", made(kind, form)) for at, kind in enumerate(fields.kinds) if _is_optional(kind)]
    optional = [(name, kind) for name, kind in optional if not isinstance(kind, type)]
    name = f"C{number}"
    if form == "struct":
        return msgspec.defstruct(name, [*required, *((at, kind, None) for at, kind in optional), ("n", int, 3)])
    if form == "dataclass":
        defaults = [(at, kind, dataclasses.field(default=None)) for at, kind in optional]
        return dataclasses.make_dataclass(name, [*required, *defaults, ("n", int, dataclasses.field(default=3))])
    strict = pydantic.ConfigDict(strict=True)
    given: dict[str, Any] = {at: (kind, ...) for at, kind in required}
    given |= {at: (kind, None) for at, kind in optional} | {"n": (int, 3)}
    return cast("type", pydantic.create_model(name, __config__=strict, **given))


def root_of(spec: type, form: str) -> type:
    """A class of whole objects with that spec."""
    if form == "pydantic":
        return pydantic.create_model("Thing", spec=(spec, ...), metadata=(dict[str, Any], ...))
    if form == "dataclass":
        return dataclasses.make_dataclass("Thing", [("spec", spec), ("metadata", dict[str, Any])])
    return msgspec.defstruct("Thing", [("spec", spec), ("metadata", dict[str, Any])])


def samples(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values around a schema: mostly valid, some not."""
    kind = schema.get("type")
    wrong = st.sampled_from(
        ["", "zz", 0, -7, 2.5, True, None, [], {}, ["a", "a"], {"x": None}, 10**6, "2024-01-01T00:00:00Z"]
    )
    if schema.get("x-kubernetes-int-or-string"):
        right: st.SearchStrategy[Any] = st.one_of(st.integers(-9, 9), st.text("ab%", max_size=4))
    elif "enum" in schema:
        right = st.sampled_from(schema["enum"])
    elif kind == "string":
        right = _strings(schema)
    elif kind == "integer":
        right = st.integers(-60, 110)
    elif kind == "number":
        right = st.one_of(st.integers(-60, 110), st.sampled_from([0.5, -2.25, 99.75]))
    elif kind == "boolean":
        right = st.booleans()
    elif kind == "array":
        right = st.lists(samples(schema["items"]), max_size=4)
    elif kind == "object" and "properties" in schema:
        required = {
            name: samples(below) for name, below in schema["properties"].items() if name in schema.get("required", ())
        }
        optional = {name: samples(below) for name, below in schema["properties"].items() if name not in required}
        right = st.fixed_dictionaries(required, optional=optional)
    elif kind == "object":
        below = schema.get("additionalProperties")
        right = st.dictionaries(
            st.sampled_from(["x", "y", "z"]), samples(below) if below else st.integers(0, 3), max_size=4
        )
    else:
        right = st.sampled_from([None, 1, "a", [1, "b"], {"a": {"b": 1}}])
    if schema.get("nullable"):
        right = st.one_of(right, st.none())
    return st.integers(0, 24).flatmap(lambda number: wrong if number == 0 else right)


def _strings(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    match schema.get("format"):
        case "date-time":
            return st.sampled_from(
                ["2024-02-29T12:30:00Z", "2024-01-01T00:00:00.123456+02:00", "2024-13-01T00:00:00Z", "soon"]
            )
        case "date":
            return st.sampled_from(["2024-02-29", "2023-02-29", "2024-1-1", ""])
        case "uuid":
            return st.sampled_from([str(uuid.UUID(int=5)), "6fa459ea-ee8a-3ca4-894e-db77e160355e", "6fa459ea", ""])
    if "pattern" in schema:
        return st.sampled_from(["abc", "a.b.c", "axb", "xx", "xxxx", "A-9_", "", "é", "abc "])
    return st.text("aé日😀", max_size=7)
