"""The rules for CRDs: names, versions, printer columns, and structural schemas (KEP-1693, apiextensions validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.cel_rules import check_rule_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_names", "check_versions"]

_DNS_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DNS_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_DNS_1035}')"
)
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_APPROVAL: Final = "api-approved.kubernetes.io"
_FORBIDDEN: Final = {
    "$ref": "$ref is not supported",
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
}


def check_names(metadata: dict[str, Any], spec: dict[str, Any]) -> Iterator[Cause]:
    """Return the causes why the names of a CRD are refused."""
    group, names = spec.get("group") or "", spec.get("names") or {}
    if re.search(r"(^|\.)(k8s|kubernetes)\.io$", group) and not (metadata.get("annotations") or {}).get(_APPROVAL):
        why = (
            f'protected groups must have approval annotation "{_APPROVAL}", see '
            "https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield required(f"metadata.annotations[{_APPROVAL}]", why)
    for field in ("plural", "singular"):
        if names.get(field) and not re.fullmatch(_DNS_1035, names[field]):
            yield invalid_value(f"spec.names.{field}", names[field], _DNS_1035_RULE)
    for field in ("kind", "listKind"):
        if names.get(field) and not re.fullmatch(_DNS_1035, names[field].lower()):
            why = f"may have mixed case, but should otherwise match: {_DNS_1035_RULE}"
            yield invalid_value(f"spec.names.{field}", names[field], why)


def check_versions(spec: dict[str, Any]) -> Iterator[Cause]:
    """Return the causes why the versions of a CRD are refused."""
    versions = spec.get("versions") or []
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    columns = [version.get("additionalPrinterColumns") for version in versions]
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name") or ""
        if name and not re.fullmatch(_DNS_1035, name):
            yield invalid_value(f"{path}.name", name, _DNS_1035_RULE)
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            yield invalid_value(f"{path}.deprecationWarning", version["deprecationWarning"], why)
        # What all versions have in common is one field inside the API server.
        is_shared = all(one == columns[0] for one in columns)
        for at, column in enumerate((columns[index] or ()) if not is_shared or index == 0 else ()):
            yield from _column(column, f"{'spec' if is_shared else path}.additionalPrinterColumns[{at}]")
        is_shared = all(one == schemas[0] for one in schemas)
        schema = schemas[index]
        if isinstance(schema, dict) and (not is_shared or index == 0):
            place = "spec.validation" if is_shared else f"{path}.schema"
            yield from _root(schema, f"{place}.openAPIV3Schema")


def _column(column: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, form, place = column.get("type"), column.get("format"), column.get("jsonPath")
    if kind and kind not in _COLUMN_TYPES:
        yield invalid_value(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        yield invalid_value(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if place and not place.startswith("."):
        yield invalid_value(f"{path}.JSONPath", place, "must be a simple json path starting with .")


def _root(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    if not schema:
        return
    kind = schema.get("type")
    if not kind:
        yield required(f"{path}.type", "must not be empty at the root")
    elif kind != "object":
        yield invalid_value(f"{path}.type", kind, "must be object at the root")
    if schema.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    yield from _schema(schema, path)
    yield from check_rule_texts(schema, path)


def _schema(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from (forbidden(f"{path}.{field}", why) for field, why in _FORBIDDEN.items() if schema.get(field))
    if schema.get("$schema"):
        yield invalid_value(path, "", "OpenAPIV3Schema 'schema' is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", why)
    if schema.get("type") and schema["type"] not in _TYPES:
        yield one_of(f"{path}.type", schema["type"], _TYPES)
    yield from _lists(schema, path)
    extra, properties = schema.get("additionalProperties"), schema.get("properties") or {}
    if properties and extra is not None:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("type") == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    for name, below in properties.items():
        yield from _inner(below, f"{path}.properties[{name}]", "object fields")
    if isinstance(extra, dict):
        yield from _inner(extra, f"{path}.additionalProperties", "object fields")
    if isinstance(schema.get("items"), dict):
        yield from _inner(schema["items"], f"{path}.items", "array items")


def _inner(schema: dict[str, Any], path: str, what: str) -> Iterator[Cause]:
    has_free_type = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and not has_free_type:
        yield required(f"{path}.type", f"must not be empty for specified {what}")
    yield from _schema(schema, path)


def _lists(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    if kind is not None:
        if schema.get("type") != "array":
            why = "must be array if x-kubernetes-list-type is specified"
            yield invalid_value(f"{path}.type", schema.get("type", ""), why)
        if kind not in {"atomic", "set", "map"}:
            yield one_of(f"{path}.x-kubernetes-list-type", kind, ("atomic", "set", "map"))
        elif kind == "map" and not keys:
            why = "must not be empty if x-kubernetes-list-type is map"
            yield required(f"{path}.x-kubernetes-list-map-keys", why)
    if keys and kind != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield invalid_value(f"{path}.x-kubernetes-list-type", kind, why)
    given = schema.get("x-kubernetes-map-type")
    if given is not None and given not in {"atomic", "granular"}:
        yield one_of(f"{path}.x-kubernetes-map-type", given, ("atomic", "granular"))
