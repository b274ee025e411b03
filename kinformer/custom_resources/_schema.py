"""The structural schema (OpenAPI v3) of a class.

The rules of structural schemas are those of the API server: apiextensions-apiserver,
pkg/apiserver/schema/structural.go and validation.go. Each value has one type, nothing refers to anything, and no value
is of two classes.
"""

from __future__ import annotations

import datetime as dt
import enum
import types
import uuid
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Final, Literal, NoReturn, Union, get_args, get_origin

import msgspec

from kinformer._object_classes import is_pydantic, plain_of
from kinformer.custom_resources._classes import MISSING, ClassField, description_of, fields_of, has_fields
from kinformer.custom_resources._patterns import check_pattern
from kinformer.custom_resources.markers import (
    EmbeddedResource,
    FieldCount,
    Format,
    ListType,
    MapType,
    PreserveUnknownFields,
    Rule,
)

__all__ = ["Schema", "rules_in_schema", "schema_of", "without_nulls"]

Schema = dict[str, Any]

_SCALARS: Final[dict[Any, Schema]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    bytes: {"type": "string", "format": "byte"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    uuid.UUID: {"type": "string", "format": "uuid"},
}
_LISTS: Final = (list, tuple, Sequence, MutableSequence)
_SETS: Final = (set, frozenset, AbstractSet)
_MAPS: Final = (dict, Mapping, MutableMapping)
_OF_ENUM: Final[dict[type, str]] = {str: "string", int: "integer", bool: "boolean"}
_LENGTHS: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_FREE: Final[Schema] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
_REMEDIES: Final = {
    "timedelta": "an int of seconds, or a str with a pattern",
    "time": "a str with a pattern",
    "Decimal": "a str with a pattern, or int | str for a quantity",
    "tuple": "a class with named fields, or tuple[X, ...]",
    "type": "a concrete type",
}


_MARKERS: Final = (Rule, FieldCount, Format, ListType, MapType, PreserveUnknownFields, EmbeddedResource)
_WORDS: Final = (
    *("ge", "gt", "le", "lt", "multiple_of"),
    *("min_length", "max_length", "pattern"),
    *("title", "description"),
)
"""The constraints, as msgspec.Meta and pydantic's Field name them."""


def schema_of(hint: Any, *, at: str = "") -> Schema:
    """Return the structural schema of a type.

    Args:
        hint: a class of fields, or any type of one of its fields.
        at: the place of the type, for errors: "Website.spec".

    Raises:
        TypeError: no structural schema has the values of this type; names the place, the type and the remedy.
        ValueError: a constraint or a default does not fit its type.
    """
    return _Walk(()).schema(hint, at or getattr(hint, "__name__", str(hint)))


def without_nulls(value: Any, schema: Schema) -> Any:
    """Return plain data without the nulls that mean the same as an absent field.

    A null means absence where the field may be absent and has no default in the schema.
    """
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        required = schema.get("required", ())
        kept = {}
        for name, child in value.items():
            below = properties.get(name)
            if below is not None and child is None and name not in required and "default" not in below:
                continue
            kept[name] = without_nulls(child, below or (extra if isinstance(extra, dict) else {}))
        return kept
    if isinstance(value, list):
        return [without_nulls(child, schema.get("items", {})) for child in value]
    return value


def rules_in_schema(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return rules in the form of `x-kubernetes-validations`."""
    return [
        {
            name: value
            for name, value in (
                ("rule", rule.rule),
                ("message", rule.message),
                ("messageExpression", rule.message_expression),
                ("reason", rule.reason),
                ("fieldPath", rule.field_path),
                ("optionalOldSelf", rule.optional_old_self),
            )
            if value
        }
        for rule in rules
    ]


class _Walk:
    """The way from a class down to one of its types.

    Args:
        above: the classes that the present type is a part of.
    """

    def __init__(self, above: tuple[type, ...]) -> None:
        self._above = above

    def schema(self, hint: Any, at: str) -> Schema:
        hint, notes = _unwrapped(hint)
        constraints, markers = _sorted_out(notes, at)
        schema = self._bare(hint, at)
        _constrain(schema, constraints, at)
        for marker in markers:
            _mark(schema, marker, at)
        return schema

    def _bare(self, hint: Any, at: str) -> Schema:
        origin, arguments = get_origin(hint), get_args(hint)
        if hint in _SCALARS:
            return dict(_SCALARS[hint])
        if hint is Any or hint is object:
            return dict(_FREE)
        if origin is Literal:
            return _enumeration(arguments, at)
        if origin in {Union, types.UnionType}:
            return self._union(arguments, at)
        if has_fields(hint):
            return self._object(hint, at)
        if isinstance(hint, type) and issubclass(hint, enum.Enum) and not issubclass(hint, enum.Flag):
            found = _enumeration([member.value for member in hint], at)
            text = description_of(hint)
            return found | ({"description": text} if text else {})
        container = origin or hint
        if container in _MAPS:
            return self._map(arguments, at)
        if container in _SETS or (
            container in _LISTS and (container is not tuple or arguments[1:] == (...,) or not arguments)
        ):
            return self._list(container, arguments[0] if arguments else Any, at)
        return _refuse(hint, at)

    def _union(self, members: Sequence[Any], at: str) -> Schema:
        kinds = [member for member in members if member not in {type(None), msgspec.UnsetType}]
        nullable = type(None) in members
        if {_unwrapped(kind)[0] for kind in kinds} == {int, str}:
            schema: Schema = {"x-kubernetes-int-or-string": True}
            for kind in kinds:
                _constrain(schema, _sorted_out(_unwrapped(kind)[1], at)[0], at)
        elif len(kinds) == 1:
            schema = self.schema(kinds[0], at)
        else:
            names = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            msg = (
                f"{at}: a structural schema gives each value one type, and this is {names or 'None'}; use one class "
                "with optional fields, int | str, or Any"
            )
            raise TypeError(msg)
        if nullable:
            schema["nullable"] = True
            if "enum" in schema and None not in schema["enum"]:
                schema["enum"] = [*schema["enum"], None]
        return schema

    def _map(self, arguments: Sequence[Any], at: str) -> Schema:
        key, value = arguments or (str, Any)
        if key is not str:
            msg = f"{at}: the server does not check keys of objects, so they are of type str, not {key}"
            raise TypeError(msg)
        if value is Any or value is object:
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {"type": "object", "additionalProperties": self.schema(value, f"{at}.*")}

    def _list(self, container: Any, item: Any, at: str) -> Schema:
        items = self.schema(item, f"{at}[]")
        schema: Schema = {"type": "array", "items": items}
        if container in _SETS and items.get("type") not in {"object", "array", None} and not items.get("nullable"):
            schema["x-kubernetes-list-type"] = "set"
        return schema

    def _object(self, kind: type, at: str) -> Schema:
        if kind in self._above:
            path = " → ".join(each.__name__ for each in (*self._above[self._above.index(kind) :], kind))
            msg = (
                f"{at}: a structural schema cannot contain itself ({path}); use dict[str, Any] or Any for the inner one"
            )
            raise TypeError(msg)
        below = _Walk((*self._above, kind))
        properties: dict[str, Schema] = {}
        required = []
        for field in fields_of(kind):
            place = f"{at}.{field.name}"
            schema = below.schema(field.type, place)
            if field.description and "description" not in schema:
                schema["description"] = field.description
            _give_default(schema, field, place)
            properties[field.json_name] = schema
            if field.required:
                required.append(field.json_name)
        found: Schema = {"type": "object"}
        if text := description_of(kind):
            found["description"] = text
        if properties:
            found["properties"] = properties
        if required:
            found["required"] = required
        if is_pydantic(kind) and getattr(kind, "model_config", {}).get("extra") == "allow":
            found["x-kubernetes-preserve-unknown-fields"] = True
        return found


def _unwrapped(hint: Any) -> tuple[Any, list[Any]]:
    """Return a type without `Annotated`, aliases and NewTypes, and its annotations from the inside out."""
    notes: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *outer = get_args(hint)
            notes += outer
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint, notes


def _sorted_out(notes: Sequence[Any], at: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the constraints and the markers among annotations. Those of other libraries count by their names."""
    constraints: dict[str, Any] = {}
    markers = []
    for note in notes:
        if isinstance(note, _MARKERS):
            markers.append(note)
            continue
        if isinstance(note, str | type):
            continue
        inner = getattr(note, "metadata", None)  # pydantic's Field inside of a type
        if isinstance(inner, list):
            constraints |= _sorted_out(inner, at)[0]
        constraints |= {word: found for word in _WORDS if (found := getattr(note, word, None)) is not None}
    return constraints, markers


def _enumeration(values: Sequence[Any], at: str) -> Schema:
    given = [value for value in values if value is not None]
    kinds = {
        type(value) if type(value) in _OF_ENUM else next((k for k in (str, int) if isinstance(value, k)), None)
        for value in given
    }
    (kind,) = kinds if len(kinds) == 1 else (None,)
    if kind is None:
        msg = f"{at}: the values of an enumeration are all str or all int, not {', '.join(map(repr, values))}"
        raise TypeError(msg)
    plain = [kind(value) for value in given]
    schema: Schema = {"type": _OF_ENUM[kind], "enum": plain}
    return schema if len(given) == len(values) else schema | {"enum": [*plain, None], "nullable": True}


def _constrain(schema: Schema, constraints: dict[str, Any], at: str) -> None:
    kind = schema.get("type")
    numeric, text = kind in {"integer", "number", None}, kind in {"string", None}
    for word, name, strict in (
        ("ge", "minimum", False),
        ("gt", "minimum", True),
        ("le", "maximum", False),
        ("lt", "maximum", True),
    ):
        if word in constraints:
            _require(numeric, word, kind, at)
            schema[name] = constraints[word]
            if strict:
                schema[f"exclusive{name.capitalize()}"] = True
    if "multiple_of" in constraints:
        _require(numeric, "multiple_of", kind, at)
        schema["multipleOf"] = constraints["multiple_of"]
    if "pattern" in constraints:
        _require(text, "pattern", kind, at)
        check_pattern(constraints["pattern"], at)
        schema["pattern"] = constraints["pattern"]
    for index, word in enumerate(("min_length", "max_length")):
        if word in constraints:
            # The server counts the characters of the base64 text, and decoding counts bytes.
            _require((kind or "string") in _LENGTHS and schema.get("format") != "byte", word, kind, at)
            schema[_LENGTHS[kind or "string"][index]] = constraints[word]
    for word in ("title", "description"):
        if word in constraints:
            schema[word] = constraints[word]


def _require(fits: bool, word: str, kind: str | None, at: str) -> None:
    if not fits:
        msg = f"{at}: {word} is no constraint of a value of type {kind or 'any'}"
        raise ValueError(msg)


def _mark(schema: Schema, marker: Any, at: str) -> None:
    kind = schema.get("type")
    match marker:
        case Rule():
            schema.setdefault("x-kubernetes-validations", []).extend(rules_in_schema([marker]))
        case FieldCount(at_least=least, at_most=most):
            _require(kind == "object", "FieldCount", kind, at)
            schema |= {"minProperties": least} if least else {}
            schema |= {} if most is None else {"maxProperties": most}
        case Format(name=name):
            _require(kind in marker.types, f"Format({name!r})", kind, at)
            schema["format"] = name
        case ListType(type=list_type, keys=keys):
            _require(kind == "array", "ListType", kind, at)
            schema["x-kubernetes-list-type"] = list_type
            if list_type != "atomic":
                _check_items(schema["items"], keys, at)
            if keys:
                schema["x-kubernetes-list-map-keys"] = list(keys)
        case MapType(type=map_type):
            _require(kind == "object", "MapType", kind, at)
            schema["x-kubernetes-map-type"] = map_type
        case PreserveUnknownFields():
            _require(kind in {"object", None}, "PreserveUnknownFields", kind, at)
            schema["x-kubernetes-preserve-unknown-fields"] = True
            schema.pop("additionalProperties", None)
        case EmbeddedResource():
            _require(kind == "object", "EmbeddedResource", kind, at)
            schema["x-kubernetes-embedded-resource"] = True
            if "properties" not in schema:
                schema["x-kubernetes-preserve-unknown-fields"] = True
                schema.pop("additionalProperties", None)


def _check_items(items: Schema, keys: Sequence[str], at: str) -> None:
    if items.get("nullable"):
        msg = f"{at}: the items of a list of type 'set' or 'map' cannot be None"
        raise ValueError(msg)
    if not keys:
        if items.get("type") in {"object", "array", None}:
            msg = f"{at}: the items of a list of type 'set' are str, int, float or bool"
            raise ValueError(msg)
        return
    properties = items.get("properties", {})
    for key in keys:
        found = properties.get(key)
        if found is None or found.get("type") in {"object", "array"} or found.get("nullable"):
            msg = f"{at}: the items have no field {key!r} of a plain type that could be a key"
            raise ValueError(msg)
        if key not in items.get("required", ()) and "default" not in found:
            msg = f"{at}: the key {key!r} of the items must be required, or have a default"
            raise ValueError(msg)


def _give_default(schema: Schema, field: ClassField, at: str) -> None:
    if field.default in (MISSING, None, msgspec.UNSET):
        return
    value = without_nulls(plain_of(field.default), schema)
    if not is_pydantic(type(field.default)):
        try:
            msgspec.convert(value, field.type, str_keys=True, builtin_types=())
        except msgspec.ValidationError as error:
            msg = f"{at}: the default does not fit its own type: {error}"
            raise ValueError(msg) from error
        except TypeError:
            pass  # a part of it is a pydantic model, which checks by itself
    schema["default"] = value


def _refuse(hint: Any, at: str) -> NoReturn:
    name = getattr(get_origin(hint) or hint, "__name__", str(hint))
    remedy = _REMEDIES.get(name, "str, int, float, bool, a class, list, dict, Literal, an Enum or Any")
    msg = f"{at}: a structural schema cannot express {hint}; use {remedy}"
    raise TypeError(msg)
