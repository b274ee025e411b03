"""The rules for CRDs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.structural import check_names, check_versions

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_definition", "check_stored_versions", "note_stored_version"]


def note_stored_version(manifest: dict[str, Any]) -> None:
    """Add the version in which objects are stored from now on to `status.storedVersions`, in place."""
    stored = [version["name"] for version in manifest["spec"]["versions"] if version.get("storage")]
    before = manifest["status"].get("storedVersions") or []
    manifest["status"] = manifest["status"] | {
        "storedVersions": [*before, *(name for name in stored if name not in before)]
    }


def check_stored_versions(spec: dict[str, Any], state: dict[str, Any]) -> list[Cause]:
    """The versions that are gone, and in which objects may be stored."""
    names = {version.get("name") for version in spec.get("versions") or ()}
    return [
        invalid_value(
            f"status.storedVersions[{index}]",
            name,
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
            f"until a storage migration ensures no data remains persisted in {name} and removes {name} from "
            "status.storedVersions",
        )
        for index, name in enumerate(state.get("storedVersions") or ())
        if name not in names
    ]


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
