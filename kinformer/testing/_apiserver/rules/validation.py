"""The rules for new states of objects: required fields, keys, sizes. All reasons for a refusal are given at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.cause_order import in_walk_order
from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.custom_resource_pruning import copied, pruned
from kinformer.testing._apiserver.rules.custom_resources import check_definition
from kinformer.testing._apiserver.rules.fields import check_fields
from kinformer.testing._apiserver.rules.fields.terms import config_key_faults
from kinformer.testing._apiserver.rules.metadata import check_metadata
from kinformer.testing._apiserver.rules.names import LABEL_VALUE, LABEL_VALUE_RULE
from kinformer.testing._apiserver.rules.pod_validation import check_pod_spec
from kinformer.testing._apiserver.rules.scaled import check_scale
from kinformer.testing._apiserver.rules.schema_rules import NOT_CHECKED, blocks_rules, has_rules
from kinformer.testing._apiserver.rules.schema_values import MISSING, check_schema
from kinformer.testing._apiserver.rules.workload_validation import (
    check_cron_job,
    check_disruption_budget,
    check_job,
    check_replication_controller,
    check_secret,
    check_service,
    check_workload,
)
from kinformer.testing._apiserver.schemas.reading import EMPTY_COUNTS
from kinformer.testing._apiserver.store.status import Cause, invalid

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["prune", "validate"]

# Maps of strings that have keys of their own (pkg/apis/core/validation, ValidateConfigMap and ValidateSecret).
_DATA: Final = {("", "configmaps"): ("data", "binaryData"), ("", "secrets"): ("data", "stringData")}
_MOST_DATA: Final = 1024 * 1024
"""Bytes of all values of a ConfigMap or a Secret together (MaxSecretSize)."""

_EVENTS: Final = ("", "events")
_WORKLOADS: Final = {"deployments", "replicasets", "statefulsets", "daemonsets"}


def validate(
    kind: ResourceType, manifest: dict[str, Any], *, any_size: bool = False, before: dict[str, Any] | None = None
) -> None:
    """Refuse an object that breaks a rule.

    Args:
        kind: the kind of the object.
        manifest: the object.
        any_size: whether the limits on its size do not hold.
        before: the state before, of an object that changes.

    Raises:
        Refusal: 422.
    """
    metadata = manifest["metadata"]
    name, spec = metadata.get("name", ""), manifest.get("spec") or {}
    causes = check_metadata(kind, metadata)
    if kind.definition is not None:
        schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
        causes += check_schema(manifest, schema, "", MISSING if before is None else before)
        causes += check_scale(kind.definition, manifest)
        if has_rules(schema):
            # Imported here: most schemas have no rules, and a server without rules needs no modules of CEL.
            from kinformer.testing._apiserver.rules.cel_rules import check_rules

            causes += [NOT_CHECKED] if blocks_rules(causes) else check_rules(manifest, before, schema)
    else:
        causes += _built_in(kind, manifest, name, spec, any_size=any_size)
        causes += check_fields(kind, manifest, causes)
    if causes:
        causes = causes if kind.custom else in_walk_order(causes)
        # Events of both groups are one kind inside the API server.
        raise invalid(kind.kind, name, causes, "" if kind.storage == _EVENTS else kind.group)


def _built_in(
    kind: ResourceType, manifest: dict[str, Any], name: str, spec: dict[str, Any], *, any_size: bool
) -> list[Cause]:
    match kind.storage:
        case ("", "pods"):
            return check_pod_spec(spec, "spec")
        case ("", "podtemplates"):
            return check_pod_spec((manifest.get("template") or {}).get("spec") or {}, "template.spec")
        case ("", "replicationcontrollers"):
            return check_replication_controller(spec)
        case ("", "namespaces"):
            # Its name is a label, too.
            return [] if re.fullmatch(LABEL_VALUE, name) else [invalid_value("metadata.labels", name, LABEL_VALUE_RULE)]
        case ("", "services"):
            return check_service(spec)
        case ("", "secrets"):
            return _data(kind, manifest, any_size=any_size) + check_secret(manifest)
        case ("", "configmaps"):
            return _data(kind, manifest, any_size=any_size)
        case ("apps", plural) if plural in _WORKLOADS:
            return check_workload(plural, spec)
        case ("batch", "jobs"):
            return check_job(spec)
        case ("batch", "cronjobs"):
            return check_cron_job(spec)
        case ("policy", "poddisruptionbudgets"):
            return check_disruption_budget(spec)
        case ("apiextensions.k8s.io", "customresourcedefinitions"):
            return check_definition(name, spec, manifest["metadata"])
    return []


def _data(kind: ResourceType, manifest: dict[str, Any], *, any_size: bool) -> list[Cause]:
    causes: list[Cause] = []
    size = 0
    for field in _DATA[kind.storage]:
        values = manifest.get(field) or {}
        size += sum(len(value) * 3 // 4 if field == "binaryData" else len(value.encode()) for value in values.values())
        # The texts of a Secret are data before they are judged.
        place = "data" if field == "stringData" else field
        causes += [invalid_value(f"{place}[{key}]", key, fault) for key in values for fault in config_key_faults(key)]
    if kind.plural == "configmaps":
        causes += [
            ("FieldValueInvalid", f'Invalid value: "{key}": duplicate of key present in binaryData', f"data[{key}]")
            for key in manifest.get("data") or {}
            if key in (manifest.get("binaryData") or {})
        ]
    if size > _MOST_DATA and not any_size:
        path = "[]" if kind.plural == "configmaps" else "data"
        causes.append(("FieldValueTooLong", f"Too long: may not be more than {_MOST_DATA} bytes", path))
    return causes


def prune(kind: ResourceType, manifest: dict[str, Any], unknown: list[str] | None = None) -> dict[str, Any]:
    """A manifest as it is read before it is judged: a copy that shares nothing with the given one.

    Of a built-in resource, nulls and empty maps are dropped, which Go reads as absence. A custom resource loses the
    fields that its schema does not know, and gets the schema's defaults; `unknown` receives the paths of these fields.
    """
    if kind.definition is None:
        read: dict[str, Any] = _read(manifest, kind.structure)
        return read
    schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
    kept = {name: copied(manifest[name]) for name in ("kind", "apiVersion", "metadata")}
    given = {name: value for name, value in manifest.items() if name not in kept}
    judged: dict[str, Any] = pruned(given, schema, "", unknown)
    return kept | judged


def _read(value: Any, structure: Structure) -> Any:
    """A copy of a value as Go reads and writes it: without nulls, without the empty maps and lists that it omits."""
    if isinstance(value, dict):
        kept = {}
        for name, child in value.items():
            if child is not None and not isinstance(child, dict | list):
                kept[name] = child
                continue
            below = structure.child(name)
            is_left_out = child == ({} if below.shape == "map" else []) and below.shape in {"map", "list"}
            is_omitted = structure.shape == "struct" and name not in structure.always and name not in EMPTY_COUNTS
            if child is None or (is_left_out and is_omitted):
                continue
            # In a schema, null is a value.
            kept[name] = copied(child) if below.keeps_nulls else _read(child, below)
        return kept
    if isinstance(value, list):
        below = structure.child("")
        return [_read({} if item is None and below.shape == "struct" else item, below) for item in value]
    return value
