"""The rules for CRDs: names, versions, printer columns and schemas (apiextensions validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value, required
from kinformer.testing._apiserver.rules.names import DNS_1035, DNS_1035_RULE
from kinformer.testing._apiserver.rules.structural_schemas import check_structure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_names", "check_versions"]

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_APPROVAL: Final = "api-approved.kubernetes.io"


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
        if names.get(field) and not re.fullmatch(DNS_1035, names[field]):
            yield invalid_value(f"spec.names.{field}", names[field], DNS_1035_RULE)
    for field in ("kind", "listKind"):
        if names.get(field) and not re.fullmatch(DNS_1035, names[field].lower()):
            why = f"may have mixed case, but should otherwise match: {DNS_1035_RULE}"
            yield invalid_value(f"spec.names.{field}", names[field], why)


def check_versions(spec: dict[str, Any]) -> Iterator[Cause]:
    """Return the causes why the versions of a CRD are refused."""
    versions = spec.get("versions") or []
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    columns = [version.get("additionalPrinterColumns") for version in versions]
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name") or ""
        if name and not re.fullmatch(DNS_1035, name):
            yield invalid_value(f"{path}.name", name, DNS_1035_RULE)
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            yield invalid_value(f"{path}.deprecationWarning", version["deprecationWarning"], why)
        # What all versions have in common is one field inside the API server.
        is_shared = all(one == columns[0] for one in columns)
        for at, column in enumerate((columns[index] or ()) if not is_shared or index == 0 else ()):
            yield from _column(column, f"{'spec' if is_shared else path}.additionalPrinterColumns[{at}]")
        is_shared = all(one == schemas[0] for one in schemas)
        schema = schemas[index]
        if schema and isinstance(schema, dict) and (not is_shared or index == 0):
            place = "spec.validation" if is_shared else f"{path}.schema"
            sharing = versions if is_shared else [version]
            has_status = any("status" in (one.get("subresources") or {}) for one in sharing)
            yield from check_structure(schema, f"{place}.openAPIV3Schema", has_status=has_status)


def _column(column: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, form, place = column.get("type"), column.get("format"), column.get("jsonPath")
    if kind and kind not in _COLUMN_TYPES:
        yield invalid_value(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        yield invalid_value(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if place and not place.startswith("."):
        yield invalid_value(f"{path}.JSONPath", place, "must be a simple json path starting with .")
