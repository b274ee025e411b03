"""Custom resources: their objects judged and pruned by the schema of their CRD, and the rules for CRDs themselves."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, invalid_value, too_long, too_many
from kinformer.testing._apiserver.rules.structural import check_names, check_versions
from kinformer.testing._apiserver.schemas.scalars import time

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_definition", "check_schema", "copied", "pruned"]

_FORMATS: Final = {"date-time", "date", "uuid", "ipv4", "ipv6", "byte"}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def check_definition(name: str, spec: dict[str, Any], metadata: dict[str, Any]) -> list[Cause]:
    """The reasons why the resources of a CRD cannot be served (apiextensions pkg/apis/apiextensions/validation)."""
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    given = {"spec.group": spec.get("group"), "spec.scope": spec.get("scope")}
    given |= {f"spec.names.{field}": names.get(field) for field in ("plural", "kind")}
    causes: list[Cause] = [("FieldValueRequired", "Required value", path) for path, value in given.items() if not value]
    if spec.get("scope") not in {None, "", "Cluster", "Namespaced"}:
        message = f'Unsupported value: "{spec["scope"]}": supported values: "Cluster", "Namespaced"'
        causes.append(("FieldValueNotSupported", message, "spec.scope"))
    if not causes and name != f"{names['plural']}.{spec['group']}":
        message = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        causes.append(("FieldValueInvalid", message, "metadata.name"))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if not version.get("name"):
            causes.append(("FieldValueRequired", "Required value", f"{path}.name"))
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            message = "Required value: schemas are required"
            causes.append(("FieldValueRequired", message, f"{path}.schema.openAPIV3Schema"))
        for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
            causes += [
                ("FieldValueRequired", "Required value", f"{path}.additionalPrinterColumns[{at}].{field}")
                for field in ("name", "type", "jsonPath")
                if not column.get(field)
            ]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        shown = json.dumps([version.get("name") for version in versions])
        message = f"Invalid value: {shown}: must have exactly one version marked as storage version"
        causes.append(("FieldValueInvalid", message, "spec.versions"))
    return [*causes, *check_names(metadata, spec), *check_versions(spec)]


def check_schema(value: Any, schema: dict[str, Any], path: str) -> list[Cause]:
    """The reasons why a value does not fit an OpenAPI v3 schema (the structural subset that CRDs have)."""
    if value is None and schema.get("nullable"):
        return []
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return []
        found = next((name for name, types in _TYPES.items() if type(value) in types), "null")
        message = f'Invalid value: "{found}": {path} in body must be of type integer,string: "{found}"'
        return [("FieldValueTypeInvalid", message, path)]
    expected = _TYPES.get(kind or "")
    if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
        found = next((name for name, types in _TYPES.items() if type(value) in types), "null")
        message = f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'
        return [("FieldValueTypeInvalid", message, path)]
    causes: list[Cause] = []
    if "enum" in schema and value not in schema["enum"]:
        options = ", ".join(f'"{option}"' for option in schema["enum"])
        causes.append(("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {options}', path))
    if isinstance(value, int | float) and not isinstance(value, bool):
        causes += _out_of_bounds(value, schema, path)
    if isinstance(value, str) and not _matches(value, schema.get("pattern")):
        message = f"Invalid value: \"{value}\": {path} in body should match '{schema['pattern']}'"
        causes.append(("FieldValueInvalid", message, path))
    if isinstance(value, str) and schema.get("format") in _FORMATS and not _has_format(value, schema["format"]):
        message = f'Invalid value: "{value}": {path} in body must be of type {schema["format"]}: "{value}"'
        causes.append(("FieldValueTypeInvalid", message, path))
    return causes + _sizes(value, schema, path) + _children(value, schema, path)


def _sizes(value: Any, schema: dict[str, Any], path: str) -> list[Cause]:
    """The causes of texts, lists and maps that are too long or too short."""
    causes: list[Cause] = []
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            causes.append(too_long(path, schema["maxLength"]))
        if len(value) < schema.get("minLength", 0):
            least = schema["minLength"]
            causes.append(invalid_value(path, value, f"{path} in body should be at least {least} chars long"))
    elif isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            causes.append(too_many(path, len(value), schema["maxItems"]))
        if len(value) < schema.get("minItems", 0):
            least = schema["minItems"]
            causes.append(invalid_value(path, len(value), f"{path} in body should have at least {least} items"))
        causes += _doubles(value, schema, path)
    elif isinstance(value, dict):
        if len(value) > schema.get("maxProperties", len(value)):
            causes.append(too_many(path, len(value), schema["maxProperties"]))
        if len(value) < schema.get("minProperties", 0):
            least = schema["minProperties"]
            causes.append(invalid_value(path, len(value), f"{path} in body should have at least {least} properties"))
    return causes


def _doubles(items: list[Any], schema: dict[str, Any], path: str) -> list[Cause]:
    """The causes of items that stand twice in a set, or have the same keys in a list of type map."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    causes: list[Cause] = []
    seen: list[Any] = []
    for index, item in enumerate(items):
        if kind == "map" and isinstance(item, dict):
            one = {key: item[key] for key in keys if key in item}
        elif kind == "set":
            one = item
        else:
            continue
        if one in seen:
            causes.append(duplicate(f"{path}[{index}]", one))
        seen.append(one)
    return causes


def _has_format(text: str, form: str) -> bool:
    """Report whether a text has one of the formats that are checked (kube-openapi pkg/validation/strfmt)."""
    try:
        match form:
            case "date-time":
                time(text)
            case "date":
                time(f"{text}T00:00:00Z")
            case "uuid":
                return re.fullmatch(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", text) is not None
            case "ipv4":
                IPv4Address(text)
            case "ipv6":
                IPv6Address(text)
            case "byte":
                b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _matches(text: str, pattern: str | None) -> bool:
    """Report whether a text matches a pattern; one that only Go can read matches every text."""
    try:
        return pattern is None or re.search(pattern, text) is not None
    except re.error:
        return True


def _out_of_bounds(value: float, schema: dict[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    low, high, step = schema.get("minimum", value), schema.get("maximum", value), schema.get("multipleOf")
    above, below = (bool(schema.get(f"exclusive{name}")) for name in ("Minimum", "Maximum"))
    if value < low or (above and value == schema.get("minimum")):
        words = "greater than" if above else "greater than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {words} {low}"))
    if value > high or (below and value == schema.get("maximum")):
        words = "less than" if below else "less than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {words} {high}"))
    if step is not None and value % step:
        causes.append(invalid_value(path, value, f"{path} in body should be a multiple of {step}"))
    return causes


def _children(value: Any, schema: dict[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if isinstance(value, dict):
        causes += [
            ("FieldValueRequired", "Required value", f"{path}.{name}".lstrip("."))
            for name in schema.get("required", ())
            if name not in value
        ]
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for name, child in value.items():
            below = properties.get(name) or (extra if isinstance(extra, dict) else None)
            if below is not None and not (path == "" and name in {"metadata", "kind", "apiVersion"}):
                causes += check_schema(child, below, f"{path}.{name}".lstrip("."))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, child in enumerate(value):
            causes += check_schema(child, schema["items"], f"{path}[{index}]")
    return causes


def pruned(value: Any, schema: dict[str, Any], path: str = "", unknown: list[str] | None = None) -> Any:
    """A copy without the fields that the schema does not declare, and with its defaults.

    A null in a field that is not nullable counts as absent.

    Args:
        value: the value.
        schema: its schema.
        path: where the value stands, as `spec.items[0]`.
        unknown: receives the paths of the fields that were left out.
    """
    keep_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        result = {}
        for name, child in value.items():
            below = properties.get(name)
            if below is not None and child is None and not below.get("nullable"):
                continue
            if below is not None:
                result[name] = pruned(child, below, f"{path}.{name}".lstrip("."), unknown)
            elif isinstance(extra, dict):
                result[name] = pruned(child, extra, f"{path}.{name}".lstrip("."), unknown)
            elif keep_unknown or extra is True or schema.get("x-kubernetes-embedded-resource"):
                result[name] = copied(child)
            elif unknown is not None:
                unknown.append(f"{path}.{name}".lstrip("."))
        for name, below in properties.items():
            if name not in result and "default" in below:
                result[name] = pruned(below["default"], below)
        return result
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [pruned(child, schema["items"], f"{path}[{at}]", unknown) for at, child in enumerate(value)]
    return copied(value)


def copied(value: Any) -> Any:
    """A copy that shares nothing with the value."""
    if isinstance(value, dict):
        return {name: copied(child) for name, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value
