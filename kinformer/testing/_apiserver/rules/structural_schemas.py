"""The rules for schemas of CRDs: they are structural (KEP-1693), and use only what the API server knows.

Source: apiextensions pkg/apiserver/schema/validation.go, complete.go, and pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.custom_resource_pruning import pruned
from kinformer.testing._apiserver.rules.go_pattern_errors import pattern_error
from kinformer.testing._apiserver.rules.schema_rules import has_rules
from kinformer.testing._apiserver.rules.schema_values import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_structure"]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_NEEDS_TYPE: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_ONLY_OUTSIDE: Final = {
    "type": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
"""Fields of a schema that stand only outside of allOf, anyOf, oneOf and not."""
_ROOT_FIELDS: Final = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum"),
    *("MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items"),
    *("Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
"""The fields that may stand at the root of a schema with a status, by their names in Go."""

_POINTERS: Final = {"default", "maxProperties", "minProperties", "not", "$ref"}
"""The other fields of which an empty value is a value."""

_ROOT_NAMES: Final = {
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    *(f"{name[0].lower()}{name[1:]}" for name in _ROOT_FIELDS),
}
_META_FIELDS: Final = ("metadata", "kind", "apiVersion")


def check_structure(schema: dict[str, Any], path: str, *, has_status: bool) -> Iterator[Cause]:
    """Return the causes why a schema of a CRD is refused.

    Args:
        schema: the schema, which may be empty.
        path: its path in the CRD.
        has_status: whether its resources have the subresource status.
    """
    if has_status:
        yield from _root_with_status(schema, path)
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    structure = [] if _is_unsupported(schema) else [*_invariants(schema, "root", path), *_complete(schema, path)]
    structure = sorted(structure, key=lambda cause: f"{cause[2]}: {cause[1]}")
    if not structure and not _is_unsupported(schema):
        structure = [*_defaults(schema, path, is_root=True)]
    yield from structure
    known = [*_known(schema, path, is_root=True)]
    yield from known
    if not structure and not known and has_rules(schema):
        # Imported here, as below: most schemas have no rules, and a server without rules needs no modules of CEL.
        from kinformer.testing._apiserver.rules.cel_rules import check_rule_texts

        yield from check_rule_texts(schema, path)


def _root_with_status(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    why = "of the schema if the status subresource is enabled"
    if schema.get("type") not in {None, "", "object"}:
        yield invalid_value(f"{path}.type", schema["type"], f'only "object" is allowed as the type at the root {why}')
    elif any(
        name not in _ROOT_NAMES and (value is not None if name in _POINTERS else bool(value))
        for name, value in schema.items()
    ):
        yield invalid_value(path, schema, f"only [{' '.join(_ROOT_FIELDS)}] fields are allowed at the root {why}")


def _is_unsupported(schema: Any) -> bool:
    """Report whether a schema has a field that no structural schema can have, at any depth."""
    if not isinstance(schema, dict):
        return False
    return any(schema.get(field) for field in (*_UNSUPPORTED, "$schema")) or any(
        _is_unsupported(below) for _, below, _ in _below(schema, "")
    )


def _below(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The schemas directly below one: the field that each stands in, the schema, and its path."""
    if isinstance(schema.get("additionalProperties"), dict):
        yield "additionalProperties", schema["additionalProperties"], f"{path}.additionalProperties"
    for name, below in (schema.get("properties") or {}).items():
        yield "properties", below, f"{path}.properties[{name}]"
    if isinstance(schema.get("not"), dict):
        yield "not", schema["not"], f"{path}.not"
    for field in ("allOf", "oneOf", "anyOf"):
        for index, below in enumerate(schema.get(field) or ()):
            yield field, below, f"{path}.{field}[{index}]"
    if isinstance(schema.get("items"), dict):
        yield "items", schema["items"], f"{path}.items"


# -------- the invariants of structural schemas


def _invariants(schema: dict[str, Any], level: str, path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield required(f"{path}.items", "must be specified")
    for field, below, at in _below(schema, path):
        if field in {"items", "properties", "additionalProperties"}:
            yield from _invariants(below, "item" if field == "items" else "field", at)
    if level == "root" and schema.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.get("x-kubernetes-int-or-string"):
        for field in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(field):
                why = "must be false if x-kubernetes-int-or-string is true"
                yield invalid_value(f"{path}.{field}", value=True, why=why)
    first = (schema.get("allOf") or [{}])[0]
    yield from _junctors(
        schema,
        path,
        skips_any=schema.get("anyOf") == _INT_OR_STRING,
        skips_first=first.get("anyOf") == _INT_OR_STRING,
    )
    yield from _types(schema, level, path)
    is_resource = level == "root" or bool(schema.get("x-kubernetes-embedded-resource"))
    yield from _object_fields(schema.get("properties") or {}, path, is_root=level == "root", is_resource=is_resource)


def _types(schema: dict[str, Any], level: str, path: str) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-embedded-resource"):
        why = "must be object if x-kubernetes-embedded-resource is true"
        if kind != "object":
            yield invalid_value(f"{path}.type", kind, why) if kind else required(f"{path}.type", why)
        if schema.get("additionalProperties") is not None:
            why = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden(f"{path}.additionalProperties", why)
        if not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
            why = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield required(f"{path}.properties", why)
    elif (
        not kind
        and not schema.get("x-kubernetes-int-or-string")
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        yield required(f"{path}.type", _NEEDS_TYPE[level])
    if level == "root" and kind not in {"", "object"}:
        yield invalid_value(f"{path}.type", kind, "must be object at the root")


def _object_fields(properties: dict[str, Any], path: str, *, is_root: bool, is_resource: bool) -> Iterator[Cause]:
    """Judge the schemas of kind, apiVersion and metadata."""
    for name in ("kind", "apiVersion"):
        if is_resource and name in properties and properties[name].get("type") != "string":
            kind = properties[name].get("type") or ""
            yield invalid_value(f"{path}.properties[{name}].type", kind, "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    at = f"{path}.properties[metadata]"
    if is_resource and metadata.get("type") != "object":
        yield invalid_value(f"{at}.type", metadata.get("type") or "", "must be object")
    others = {name for name, value in metadata.items() if name not in {"type", "default"} and value}
    names = set(metadata.get("properties") or ())
    if is_root and (others - {"properties"} or names - {"name", "generateName"}):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(at, why)


def _junctors(
    schema: dict[str, Any], path: str, *, skips_any: bool = False, skips_first: bool = False
) -> Iterator[Cause]:
    """Judge what stands in allOf, anyOf, oneOf and not of a schema, and its pattern.

    Args:
        schema: the schema.
        path: its path.
        skips_any: whether its anyOf says that a value is a number or a text, which may be.
        skips_first: whether the anyOf of the first of its allOf says so.
    """
    for field, below, at in _below(schema, path):
        if field in {"allOf", "oneOf", "not"} or (field == "anyOf" and not skips_any):
            is_first = field == "allOf" and at.endswith("allOf[0]")
            yield from _nested(below, at, skips_any=skips_first and is_first)
    pattern = schema.get("pattern")
    if pattern and (error := pattern_error(pattern)):
        yield invalid_value(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _nested(schema: dict[str, Any], path: str, *, skips_any: bool = False) -> Iterator[Cause]:
    """Judge a schema in allOf, anyOf, oneOf or not: it only restricts values."""
    yield from _junctors(schema, path, skips_any=skips_any)
    for field, below, at in _below(schema, path):
        if field in {"items", "properties"}:
            yield from _nested(below, at)
    if schema.get("additionalProperties") not in (None, False):
        yield forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    for field, why in _ONLY_OUTSIDE.items():
        if schema.get(field) not in (None, "", False, []):
            yield forbidden(f"{path}.{field}", why)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge whether the fields that are restricted at the root are declared there."""
    for field, below, at in _below(schema, path):
        if field in {"allOf", "anyOf", "oneOf", "not"}:
            yield from _declared(below, schema, path, at)


def _declared(restricting: dict[str, Any], schema: dict[str, Any], path: str, at: str) -> Iterator[Cause]:
    for field, below, place in _below(restricting, at):
        if field in {"allOf", "anyOf", "oneOf", "not"}:
            yield from _declared(below, schema, path, place)
    pairs: list[tuple[str, Any, Any]] = [
        (f"properties[{name}]", below, (schema.get("properties") or {}).get(name))
        for name, below in (restricting.get("properties") or {}).items()
    ]
    if isinstance(restricting.get("items"), dict):
        pairs.append(("items", restricting["items"], schema.get("items")))
    for step, below, declared in pairs:
        if isinstance(declared, dict):
            yield from _declared(below, declared, f"{path}.{step}", f"{at}.{step}")
        else:
            yield required(f"{path}.{step}", f"because it is defined in {at}.{step}")


# -------- defaults


def _defaults(schema: dict[str, Any], path: str, *, is_root: bool = False) -> Iterator[Cause]:
    """Judge the defaults of a schema, and of all below it, by the schemas that they are for."""
    default = schema.get("default")
    if default is not None:
        at = f"{path}.default"
        resource = ("apiVersion", "kind") if is_root or schema.get("x-kubernetes-embedded-resource") else ()
        missing = [name for name in resource if not (isinstance(default, dict) and default.get(name))]
        yield from (required(f"{at}.{name}") for name in missing)
        unknown: list[str] = []
        pruned(default, {name: value for name, value in schema.items() if name != "default"}, unknown=unknown)
        causes = [] if missing else check_schema(default, schema, "")
        if unknown:
            yield invalid_value(at, default, "must not have unknown fields")
        elif not causes and has_rules(schema):
            causes = _refused_by_rules(default, schema)
        for reason, message, field in causes:
            yield (reason, message, f"{at}.{field}".rstrip(".") if field != "<nil>" else field)
    for field, below, place in _below(schema, path):
        if field in {"items", "properties", "additionalProperties"}:
            yield from _defaults(below, place)


def _refused_by_rules(default: Any, schema: dict[str, Any]) -> list[Cause]:
    """Return the causes why the rules of a schema refuse its default."""
    from kinformer.testing._apiserver.rules.cel_rules import check_rules

    causes = check_rules({"f": default}, None, {"type": "object", "properties": {"f": schema}})
    return [(reason, message, field.removeprefix("f").removeprefix(".")) for reason, message, field in causes]


# -------- what the API server knows


def _known(
    schema: dict[str, Any], path: str, *, is_root: bool = False, no_default: str = "", in_metadata: bool = False
) -> Iterator[Cause]:
    """Judge the fields of a schema, and of all below it.

    Args:
        schema: the schema.
        path: its path.
        is_root: whether it is that of a whole object.
        no_default: why it may have no default; "" if it may.
        in_metadata: whether it is a part of the metadata of an object.
    """
    yield from _fields(schema, path, no_default, in_metadata=in_metadata)
    is_resource = is_root or schema.get("x-kubernetes-embedded-resource")
    for field, below, at in _below(schema, path):
        name = at.removeprefix(f"{path}.properties[").removesuffix("]") if field == "properties" else ""
        is_meta = bool(is_resource) and name in _META_FIELDS
        reason = f"in top-level {name}" if is_meta and is_root else no_default
        if field == "additionalProperties" and in_metadata:
            reason = "inside additionalProperties applying to object metadata"
        if field != "items":
            yield from _known(below, at, no_default=reason, in_metadata=in_metadata or is_meta)
    yield from _lists(schema, path)
    yield from _rules(schema, path)
    if isinstance(schema.get("items"), dict):
        yield from _known(schema["items"], f"{path}.items", no_default=no_default, in_metadata=in_metadata)


def _fields(schema: dict[str, Any], path: str, no_default: str, *, in_metadata: bool) -> Iterator[Cause]:
    if schema.get("type") and schema["type"] not in _TYPES:
        yield one_of(f"{path}.type", schema["type"], _TYPES)
    if schema.get("default") is not None and no_default:
        yield forbidden(f"{path}.default", f"must not be set {no_default}")
    for field in _UNSUPPORTED:
        if schema.get(field):
            yield forbidden(f"{path}.{field}", f"{field} is not supported")
    if schema.get("$schema"):
        yield invalid_value(path, "", "OpenAPIV3Schema 'schema' is not supported")
    if schema.get("type") == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if in_metadata and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", why)
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid_value(
            f"{path}.x-kubernetes-preserve-unknown-fields", value=False, why="must be true or undefined"
        )


def _lists(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the types of maps and lists."""
    kind = schema.get("type") or ""
    for field, wanted, known in (
        ("x-kubernetes-map-type", "object", ("atomic", "granular")),
        ("x-kubernetes-list-type", "array", ("atomic", "set", "map")),
    ):
        given = schema.get(field)
        if given is None:
            continue
        why = f"must be {wanted} if {field} is specified"
        if kind != wanted:
            yield invalid_value(f"{path}.type", kind, why) if kind else required(f"{path}.type", why)
        elif field == "x-kubernetes-list-type" and given == "set" and isinstance(schema.get("items"), dict):
            yield from _items_of_set(schema["items"], f"{path}.items")
        if given not in known:
            yield one_of(f"{path}.{field}", given, known)
    keys, given = schema.get("x-kubernetes-list-map-keys") or [], schema.get("x-kubernetes-list-type")
    why = "must be map if x-kubernetes-list-map-keys is non-empty"
    if keys and given is None:
        yield required(f"{path}.x-kubernetes-list-type", why)
    elif keys and given != "map":
        yield invalid_value(f"{path}.x-kubernetes-list-type", given, why)
    if given == "map":
        yield from _map(schema, keys, path)
    if given in {"set", "map"} and isinstance(schema.get("items"), dict) and schema["items"].get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {given}")
    if given == "map":
        yield from _keys(schema, keys, path)


def _items_of_set(items: dict[str, Any], path: str) -> Iterator[Cause]:
    why = "must be atomic as item of a list with x-kubernetes-list-type=set"
    given = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and given not in {None, "atomic"}:
        yield invalid_value(f"{path}.x-kubernetes-list-type", given, why)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        # The API server shows the list type here.
        yield invalid_value(f"{path}.x-kubernetes-map-type", given, why)


def _map(schema: dict[str, Any], keys: list[str], path: str) -> Iterator[Cause]:
    items = schema.get("items")
    if not keys:
        why = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", why)
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid_value(f"{path}.items.type", items.get("type") or "", why)
        return
    for index, key in enumerate(keys):
        field = (items.get("properties") or {}).get(key)
        if field is None:
            why = "entries must all be names of item properties"
            yield invalid_value(f"{path}.x-kubernetes-list-map-keys", keys, why)
        elif field.get("type") in {"array", "object"}:
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid_value(f"{path}.items.properties[{key}].type", "object", why)
        if key in keys[:index]:
            yield invalid_value(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")


def _keys(schema: dict[str, Any], keys: list[str], path: str) -> Iterator[Cause]:
    """Judge the properties that are keys of a list of type map."""
    items = schema.get("items")
    properties = (items.get("properties") or {}) if isinstance(items, dict) else {}
    for key in keys:
        if key not in properties:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in (schema["items"].get("required") or ()) and properties[key].get("default") is None:
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{at}.default", why)
        if properties[key].get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden(f"{at}.nullable", why)


_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def _rules(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the texts of the rules of a schema, but for their expressions."""
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{index}]"
        text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            yield required(f"{at}.rule", "rule is not specified")
        elif message and not message.strip():
            yield invalid_value(f"{at}.message", message, "must be non-empty if specified")
        elif _has_lines(message.strip()):
            yield invalid_value(f"{at}.message", message, "must not contain line breaks")
        elif _has_lines(text) and not message:
            yield required(f"{at}.message", "message must be specified if rule contains line breaks")
        if rule.get("messageExpression") and not rule["messageExpression"].strip():
            yield required(f"{at}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            yield one_of(f"{at}.reason", rule["reason"], _REASONS)
        place = rule.get("fieldPath") or ""
        if place and not place.strip():
            yield invalid_value(f"{at}.fieldPath", place, "must be non-empty if specified")
        if _has_lines(place):
            yield invalid_value(f"{at}.fieldPath", place, "must not contain line breaks")
        if place and not _leads_somewhere(place, schema):
            yield invalid_value(f"{at}.fieldPath", place, "must be a valid path")


def _has_lines(text: str) -> bool:
    return "\n" in text or "\r" in text


def _leads_somewhere(place: str, schema: dict[str, Any]) -> bool:
    """Report whether a path of plain steps leads to a field; any other path is taken."""
    if not place.startswith((".", "[")):
        return False
    if "[" in place:
        return True
    for step in place[1:].split("."):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        below = properties.get(step) or (extra if isinstance(extra, dict) else None)
        if below is None:
            return False
        schema = below
    return True
