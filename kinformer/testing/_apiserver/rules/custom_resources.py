"""Custom resources: their objects pruned by the schema of their CRD, and the rules for CRDs themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.rules.structural import check_names, check_versions

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_definition", "copied", "pruned"]


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
