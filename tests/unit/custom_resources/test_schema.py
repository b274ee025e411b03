"""Schemas of classes: types, constraints, defaults, descriptions; and clear refusals of what has no schema."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

from kinformer.custom_resources import (
    Conditions,
    EmbeddedResource,
    FieldCount,
    Format,
    ListType,
    MapType,
    PreserveUnknownFields,
    Quantity,
    Rule,
)
from kinformer.custom_resources._schema import schema_of, without_nulls

Name = NewType("Name", str)


class Size(enum.Enum):
    """The size of it."""

    SMALL = "s"
    LARGE = "l"


class Item(msgspec.Struct):
    name: str
    count: int = 1


class Described(msgspec.Struct, rename="camel"):
    """One thing.

    More about it.

    Attributes:
        host_name (str): the host,
            on two lines.
        port: its port.
    """

    host_name: str
    port: Annotated[int, msgspec.Meta(description="said by Meta")] = 80


@dataclasses.dataclass
class Plain:
    a: int
    b: list[str] = dataclasses.field(default_factory=lambda: ["x"])
    hidden: int = dataclasses.field(default=0, init=False)


class Model(pydantic.BaseModel):
    """A model."""

    size: int = pydantic.Field(ge=1, lt=9, description="how large")
    host_name: str = pydantic.Field("x", alias="hostName", min_length=1, pattern="^x")
    rest: list[Annotated[int, pydantic.Field(gt=2)]] = pydantic.Field(default_factory=list, max_length=3)


class Dict(TypedDict, total=False):
    a: int


class PartlyRequired(TypedDict):
    a: int
    b: NotRequired[str]


INT = {"type": "integer", "format": "int64"}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, INT),
        (bool, {"type": "boolean"}),
        (bytes, {"type": "string", "format": "byte"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (Name, {"type": "string"}),
        (int | None, INT | {"nullable": True}),
        (int | str, {"x-kubernetes-int-or-string": True}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a"] | None, {"type": "string", "enum": ["a", None], "nullable": True}),
        (Size, {"type": "string", "enum": ["s", "l"], "description": "The size of it."}),
        (list[int], {"type": "array", "items": INT}),
        (tuple[int, ...], {"type": "array", "items": INT}),
        (set[str], {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        (dict[str, int], {"type": "object", "additionalProperties": INT}),
        (dict[str, Any], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        (Any, {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}),
        (Annotated[int, msgspec.Meta(gt=1, le=5)], INT | {"minimum": 1, "exclusiveMinimum": True, "maximum": 5}),
        (Annotated[list[int], msgspec.Meta(min_length=1)], {"type": "array", "items": INT, "minItems": 1}),
        (Annotated[dict[str, int], msgspec.Meta(max_length=2)],
         {"type": "object", "additionalProperties": INT, "maxProperties": 2}),
        (Annotated[int, Rule("self > 0", "too small")],
         INT | {"x-kubernetes-validations": [{"rule": "self > 0", "message": "too small"}]}),
        (Annotated[int, Rule("self > 0", message_expression="string(self)", optional_old_self=True)],
         INT
         | {
             "x-kubernetes-validations": [
                 {"rule": "self > 0", "messageExpression": "string(self)", "optionalOldSelf": True}
             ]
         }),
        (Annotated[int, Format("int32"), msgspec.Meta(ge=1)], {"type": "integer", "format": "int32", "minimum": 1}),
        (Annotated[str, Format("uri")] | None, {"type": "string", "format": "uri", "nullable": True}),
        (Annotated[dict[str, str], MapType("atomic")],
         {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"}),
        (Annotated[Dict, FieldCount(at_least=1, at_most=2)],
         {"type": "object", "properties": {"a": INT}, "minProperties": 1, "maxProperties": 2}),
        (Annotated[Dict, FieldCount(at_most=0)], {"type": "object", "properties": {"a": INT}, "maxProperties": 0}),
        (Annotated[dict[str, Any], EmbeddedResource()],
         {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
        (Dict, {"type": "object", "properties": {"a": INT}}),
        (PartlyRequired, {"type": "object", "properties": {"a": INT, "b": {"type": "string"}}, "required": ["a"]}),
    ],
)  # fmt: skip
def test_a_type_has_its_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


def test_descriptions_come_from_docstrings_and_names_from_the_encoder() -> None:
    schema = schema_of(Described)
    assert schema["description"] == "One thing.\n\nMore about it."
    assert schema["properties"]["hostName"] == {"type": "string", "description": "the host, on two lines."}
    assert schema["properties"]["port"]["description"] == "said by Meta"
    assert schema["required"] == ["hostName"]


def test_a_dataclass_has_defaults_and_no_description_that_was_made() -> None:
    schema = schema_of(Plain)
    assert schema["properties"]["b"]["default"] == ["x"]
    assert schema.keys() == {"type", "properties", "required"}
    assert "hidden" not in schema["properties"]


def test_a_pydantic_model_has_its_constraints_aliases_and_defaults() -> None:
    schema = schema_of(Model)
    assert schema["description"] == "A model."
    assert schema["properties"] == {
        "size": INT | {"minimum": 1, "maximum": 9, "exclusiveMaximum": True, "description": "how large"},
        "hostName": {"type": "string", "minLength": 1, "pattern": "^x", "default": "x"},
        "rest": {
            "type": "array",
            "items": INT | {"minimum": 2, "exclusiveMinimum": True},
            "maxItems": 3,
            "default": [],
        },
    }
    assert schema["required"] == ["size"]


def test_a_list_of_type_map_has_keys() -> None:
    schema = schema_of(Annotated[list[Item], ListType("map", keys=("name",))])
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == ["name"]


def test_unknown_fields_of_a_class_are_kept_where_it_is_marked() -> None:
    schema = schema_of(Annotated[Item, PreserveUnknownFields()])
    assert schema["x-kubernetes-preserve-unknown-fields"] is True
    assert schema["properties"]["name"] == {"type": "string"}


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Tagged(msgspec.Struct, tag=True):
    a: int


class TwoNames(pydantic.BaseModel):
    a: int = pydantic.Field(validation_alias="b", serialization_alias="c")


class BadDefault(msgspec.Struct):
    a: Annotated[int, msgspec.Meta(ge=1)] = 0


@pytest.mark.parametrize(
    ("hint", "error", "reason"),
    [
        (Tree, TypeError, r"cannot contain itself \(Tree → Tree\)"),
        (Tagged, TypeError, "has a tag"),
        (TwoNames, TypeError, "read as 'b' and written as 'c'"),
        (int | bool, TypeError, "one type"),
        (Item | Described, TypeError, "one type"),
        (dict[int, str], TypeError, "keys of objects"),
        (tuple[int, str], TypeError, "named fields"),
        (Decimal, TypeError, "a str with a pattern"),
        (dt.timedelta, TypeError, "an int of seconds"),
        (complex, TypeError, "cannot express"),
        (Literal["a", 1], TypeError, "all str or all int"),
        (BadDefault, ValueError, r"BadDefault\.a: the default does not fit"),
        (Annotated[str, msgspec.Meta(pattern="(?=a)")], ValueError, "lookaround"),
        (Annotated[str, msgspec.Meta(pattern=r"(a)\1")], ValueError, "a reference to a group"),
        (Annotated[bytes, msgspec.Meta(max_length=3)], ValueError, "max_length is no constraint"),
        (Annotated[list[Item], ListType("set")], ValueError, "of type 'set'"),
        (Annotated[list[Item], ListType("map", keys=("other",))], ValueError, "no field 'other'"),
        (Annotated[list[int | None], ListType("set")], ValueError, "cannot be None"),
        (Annotated[str, ListType("set")], ValueError, "ListType is no constraint of a value of type string"),
    ],
)
def test_what_has_no_structural_schema_is_refused_with_place_and_remedy(
    hint: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        schema_of(hint)


def test_a_list_has_keys_exactly_if_it_is_a_map() -> None:
    with pytest.raises(ValueError, match="a list of type 'map' has keys"):
        ListType("map")
    with pytest.raises(ValueError, match="a list of type 'map' has keys"):
        ListType("set", keys=("a",))


def test_a_format_is_one_that_the_server_knows_and_the_type_can_have() -> None:
    with pytest.raises(ValueError, match=r"Format\('int8'\): the server knows byte, cidr, date"):
        Format("int8")
    with pytest.raises(ValueError, match=r"it: Format\('int32'\) is no constraint of a value of type string"):
        schema_of(Annotated[str, Format("int32")], at="it")


def test_a_null_is_left_out_where_absence_means_the_same() -> None:
    class Inner(msgspec.Struct):
        must: int | None
        may: int | None = None
        has_default: int | None = 5
        free: dict[str, Any] = {}

    schema = schema_of(Inner)
    plain = {"must": None, "may": None, "has_default": None, "free": {"x": None}}
    assert without_nulls(plain, schema) == {"must": None, "has_default": None, "free": {"x": None}}


@pytest.mark.parametrize("numbers", [(-1, None), (2, 1)])
def test_a_number_of_fields_that_no_object_has_is_refused(numbers: tuple[int, int | None]) -> None:
    with pytest.raises(ValueError, match="no object has such a number of fields"):
        FieldCount(*numbers)
    with pytest.raises(ValueError, match="FieldCount is no constraint of a value of type string"):
        schema_of(Annotated[str, FieldCount(at_least=1)])


def test_a_condition_and_a_quantity_have_the_schemas_that_controller_gen_makes() -> None:
    number = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    assert schema_of(Quantity) == {
        "x-kubernetes-int-or-string": True,
        "pattern": rf"^(\+|-)?{number}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{number}))?$",
    }
    conditions = schema_of(Conditions)
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    item = conditions["items"]
    assert item["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]
    found = {
        name: {key: value for key, value in field.items() if key != "description"}
        for name, field in item["properties"].items()
    }
    domain = r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    name = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])"
    assert found == {
        "type": {"type": "string", "maxLength": 316, "pattern": f"^{domain}{name}$"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {"type": "string", "maxLength": 32768},
    }
