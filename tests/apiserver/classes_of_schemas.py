"""Classes for the schemas of definitions, as their authors would write them for kinformer."""

from __future__ import annotations

import copy
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec

from kinformer.custom_resources import (
    Column,
    EmbeddedResource,
    FieldCount,
    Format,
    ListType,
    MapType,
    PreserveUnknownFields,
    Rule,
    Scale,
    custom_resource,
)

__all__ = ["classes_of", "comparable"]

_BOUNDS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "pattern": "pattern",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}
_SCALARS: Final[dict[str, Any]] = {"string": str, "boolean": bool, "integer": int, "number": float}


def classes_of(definition: dict[str, Any]) -> list[type]:
    """Return a class for each version of a definition."""
    spec = definition["spec"]
    made: list[type] = []
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        subresources = version.get("subresources", {})
        scale = subresources.get("scale")
        kind = _class_of(schema, spec["names"]["kind"])
        columns = [
            Column(
                *(each["name"], each["jsonPath"], each["type"]),
                each.get("description", ""),
                each.get("priority", 0),
                each.get("format", ""),
            )
            for each in version.get("additionalPrinterColumns", ())
        ]
        decorate = custom_resource(
            group=spec["group"],
            version=version["name"],
            kind=spec["names"]["kind"],
            plural=spec["names"]["plural"],
            singular=spec["names"].get("singular", ""),
            scope=spec["scope"],
            short_names=spec["names"].get("shortNames", ()),
            categories=spec["names"].get("categories", ()),
            scale=Scale(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath", ""))
            if scale
            else None,
            columns=columns,
            rules=[_rule(each) for each in schema.get("x-kubernetes-validations", ())],
            served=version["served"],
            storage=version["storage"],
            deprecated=version.get("deprecationWarning", version.get("deprecated", False)),
        )
        made.append(decorate(kind))
    return made


def comparable(version: dict[str, Any]) -> dict[str, Any]:
    """Return a version of a definition without that which a class says in another way, or does not say.

    A class has no alternatives of other parts than `int | str`.
    """
    made = copy.deepcopy(version)
    root = made["schema"]["openAPIV3Schema"]
    root.pop("description", None)
    root["required"] = [name for name in root.get("required", ()) if name not in {"apiVersion", "kind", "metadata"}]
    for name in ("apiVersion", "kind", "metadata"):
        root["properties"][name] = {}
    # The server fills in no default of a status here, and turns the subresource on where there is one.
    status = root["properties"].get("status", {})
    status.pop("default", None)
    if status:
        made.setdefault("subresources", {}).setdefault("status", {})
    else:
        made.get("subresources", {}).pop("status", None)
    _simplify(root)
    made.pop("additionalPrinterColumns", None)
    if not made.get("subresources"):
        made.pop("subresources", None)
    return made


def _simplify(schema: dict[str, Any]) -> None:
    for word in ("anyOf", "oneOf", "allOf", "title"):
        schema.pop(word, None)
    if schema.get("type") == "object":
        if not schema.get("minProperties"):
            schema.pop("minProperties", None)
        if not schema.get("properties") and "additionalProperties" not in schema:
            # Neither says which fields there are.
            schema.pop("properties", None)
    if schema.get("format") in {"int64", "double", "date-time", "byte"}:
        del schema["format"]
    if schema.get("type") == "integer" and schema.get("enum"):
        schema.pop("format", None)
    if schema.get("enum"):
        for word in ("minLength", "maxLength", "pattern"):
            schema.pop(word, None)
    if "required" in schema:
        # The server fills in defaults before it looks for required fields.
        has_default = {name for name, each in schema.get("properties", {}).items() if "default" in each}
        schema["required"] = [name for name in schema["required"] if name not in has_default]
    for word in ("required", "x-kubernetes-list-map-keys", "enum"):
        if not schema.get(word):
            schema.pop(word, None)
        elif word == "required":
            schema[word] = sorted(schema[word])
    if "x-kubernetes-preserve-unknown-fields" in schema and "type" not in schema:
        schema.pop("nullable", None)
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    for below in schema.get("properties", {}).values():
        _simplify(below)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            _simplify(schema[word])


def _class_of(schema: dict[str, Any], name: str) -> type:
    required = set(schema.get("required", ()))
    fields: list[tuple[Any, ...]] = []
    names: dict[str, str] = {}
    for number, (key, each) in enumerate(schema.get("properties", {}).items()):
        attribute = f"field_{number}"
        names[attribute] = key
        below = _type_of(each, f"{name}_{number}")
        if "default" in each:
            default = msgspec.convert(each["default"], below, str_keys=True)
            fields.append((attribute, below, msgspec.field(default_factory=partial(copy.deepcopy, default))))
        elif key in required:
            fields.append((attribute, below))
        else:
            fields.append((attribute, below | msgspec.UnsetType, msgspec.UNSET))
    # A field may be required and stand behind others that have defaults.
    return msgspec.defstruct(
        name, fields, rename=names.get, kw_only=True, namespace={"__doc__": schema.get("description")}
    )


def _type_of(schema: dict[str, Any], name: str) -> Any:
    made, notes = _bare(schema, name)
    bounds = {word: schema[key] for key, word in _BOUNDS.items() if key in schema}
    if schema.get("type") == "object" and "additionalProperties" in schema:
        both = {"minProperties": "min_length", "maxProperties": "max_length"}
        bounds |= {word: schema[key] for key, word in both.items() if key in schema}
    elif schema.get("type") == "object" and ("minProperties" in schema or "maxProperties" in schema):
        notes.append(FieldCount(schema.get("minProperties", 0), schema.get("maxProperties")))
    if schema.get("x-kubernetes-int-or-string"):
        text = Annotated[str, msgspec.Meta(**bounds)] if bounds else str
        made, bounds = int | text, {}
    if schema.get("enum"):
        bounds = {}
    if "description" in schema:
        bounds["description"] = schema["description"]
    if bounds:
        notes.append(msgspec.Meta(**bounds))
    for note in notes:
        made = Annotated[made, note]
    return made | None if schema.get("nullable") else made


def _bare(schema: dict[str, Any], name: str) -> tuple[Any, list[Any]]:
    notes: list[Any] = [_rule(each) for each in schema.get("x-kubernetes-validations", ())]
    if "x-kubernetes-map-type" in schema:
        notes.append(MapType(schema["x-kubernetes-map-type"]))
    if schema.get("x-kubernetes-embedded-resource"):
        notes.append(EmbeddedResource())
    if schema.get("format") == "int32" and not schema.get("enum"):
        notes.append(Format(schema["format"]))
    free = schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("enum"):
        return Literal[tuple(schema["enum"])], notes
    match schema.get("type"):
        case "object":
            if schema.get("properties"):
                return _class_of(schema, name), [*notes, *([PreserveUnknownFields()] if free else [])]
            if "additionalProperties" in schema:
                return dict[str, _type_of(schema["additionalProperties"], name)], notes  # type: ignore[misc]
            return (dict[str, Any] if free else _class_of({}, name)), notes
        case "array":
            if "x-kubernetes-list-type" in schema:
                notes.append(
                    ListType(schema["x-kubernetes-list-type"], tuple(schema.get("x-kubernetes-list-map-keys", ())))
                )
            return list[_type_of(schema["items"], name)], notes  # type: ignore[misc]
        case None:
            return Any, notes
        case kind:
            return _SCALARS[str(kind)], notes


def _rule(rule: dict[str, Any]) -> Rule:
    return Rule(
        rule["rule"],
        rule.get("message", ""),
        rule.get("reason", ""),
        rule.get("fieldPath", ""),
        message_expression=rule.get("messageExpression", ""),
        optional_old_self=rule.get("optionalOldSelf", False),
    )
