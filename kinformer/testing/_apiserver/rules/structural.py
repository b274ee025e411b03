"""The rules for CRDs: names, versions, printer columns and schemas (apiextensions validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, invalid_value, one_of, required
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
        for fault in _label_faults(names[field]) if names.get(field) else ():
            yield invalid_value(f"spec.names.{field}", names[field], fault)
    for field in ("shortNames", "categories"):
        for index, name in enumerate(names.get(field) or ()):
            for fault in _label_faults(name):
                yield invalid_value(f"spec.names.{field}[{index}]", name, fault)
    for field in ("kind", "listKind"):
        for fault in _label_faults(names[field].lower()) if names.get(field) else ():
            why = f"may have mixed case, but should otherwise match: {fault}"
            yield invalid_value(f"spec.names.{field}", names[field], why)


def _label_faults(name: str) -> Iterator[str]:
    if len(name) > 63:
        yield "must be no more than 63 characters"
    if not re.fullmatch(DNS_1035, name):
        yield DNS_1035_RULE


def check_versions(spec: dict[str, Any]) -> Iterator[Cause]:
    """Return the causes why the versions of a CRD are refused."""
    versions = spec.get("versions") or []
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    columns = [version.get("additionalPrinterColumns") for version in versions]
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name") or ""
        for fault in _label_faults(name) if name else ():
            yield invalid_value(f"{path}.name", name, fault)
            if index == 0:
                # The first version is a field of its own inside the API server.
                yield invalid_value("spec.version", name, fault)
        yield from _warning(version.get("deprecationWarning"), f"{path}.deprecationWarning")
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

    yield from _conversion(spec)
    yield from _subresources(versions)


def _warning(text: Any, path: str) -> Iterator[Cause]:
    if text is None:
        return
    if not text:
        yield invalid_value(path, text, "must not be an empty string")
    if len(text) > 256:
        yield invalid_value(path, text, "must be <= 256 characters long")
    for index, letter in enumerate(text):
        if not letter.isprintable():
            why = "must only contain printable UTF-8 characters; non-printable character found at index"
            yield invalid_value(path, text, f"{why} {index}")
            break


def _conversion(spec: dict[str, Any]) -> Iterator[Cause]:
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid_value("spec.preserveUnknownFields", True, why)
    conversion = spec.get("conversion")
    if conversion is None:
        return
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield required("spec.conversion.strategy")
    elif strategy not in {"None", "Webhook"}:
        yield one_of("spec.conversion.strategy", strategy, ("None", "Webhook"))


def _subresources(versions: list[dict[str, Any]]) -> Iterator[Cause]:
    given = [(version.get("subresources"), version.get("selectableFields")) for version in versions]
    for index, (subresources, fields) in enumerate(given):
        scale = (subresources or {}).get("scale")
        is_shared = all(one[0] == given[0][0] for one in given)
        if scale is not None and (not is_shared or index == 0):
            yield from _scale(scale, f"{'spec' if is_shared else f'spec.versions[{index}]'}.subresources.scale")
        is_shared = all(one[1] == given[0][1] for one in given)
        if fields and (not is_shared or index == 0):
            schema = (versions[index].get("schema") or {}).get("openAPIV3Schema") or {}
            place = f"{'spec' if is_shared else f'spec.versions[{index}]'}.selectableFields"
            yield from _selectable(fields, schema, place)


def _scale(scale: dict[str, Any], path: str) -> Iterator[Cause]:
    for field, roots in (
        ("specReplicasPath", (".spec",)),
        ("statusReplicasPath", (".status",)),
        ("labelSelectorPath", (".spec", ".status")),
    ):
        place = scale.get(field) or ""
        if not place:
            if field != "labelSelectorPath":
                yield required(f"{path}.{field}")
        elif not place.startswith("."):
            yield invalid_value(f"{path}.{field}", place, "must be a simple json path starting with .")
        elif not place.startswith(tuple(f"{root}." for root in roots)):
            known = roots[0] if len(roots) == 1 else f"either {roots[0]} or {roots[1]}"
            yield invalid_value(f"{path}.{field}", place, f"should be a json path under {known}")


def _selectable(fields: list[dict[str, Any]], schema: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, place = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not place:
            yield required(at)
            continue
        if not place.startswith((".", "[")):
            yield invalid_value(at, place, f"is an invalid path: expected [ or . but got: {place}")
        elif place.startswith("..") or (re.fullmatch(r"(\.[A-Za-z0-9_-]+)+", place) and not _has_field(schema, place)):
            yield invalid_value(at, place, "is an invalid path: does not refer to a valid field")
        if place in seen:
            yield duplicate(at, place)
        seen.add(place)


def _has_field(schema: dict[str, Any], place: str) -> bool:
    if place.split(".")[1] == "metadata":
        return True
    for step in place.split(".")[1:]:
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        below = properties.get(step, rest if isinstance(rest, dict) else None)
        if below is None:
            return False
        schema = below
    return True


def _column(column: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, form, place = column.get("type"), column.get("format"), column.get("jsonPath")
    if kind and kind not in _COLUMN_TYPES:
        yield invalid_value(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        yield invalid_value(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if place and not place.startswith("."):
        yield invalid_value(f"{path}.JSONPath", place, "must be a simple json path starting with .")
