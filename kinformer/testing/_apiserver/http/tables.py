"""Tables (meta/v1 Table): the columns that `kubectl get` shows, computed by the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.http.cells import CELLS, CELLS_OF_RELEASE, Row, age
from kinformer.testing._apiserver.rules.conversions import as_stored, in_version
from kinformer.testing._apiserver.schemas.archive import Archive
from kinformer.testing._apiserver.store.status import bad_request

if TYPE_CHECKING:
    from kinformer.testing._apiserver.http.cells.rows import CellsOf
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["to_table"]

_Cell: TypeAlias = Callable[[dict[str, Any]], Any]
_AgingCell: TypeAlias = Callable[[dict[str, Any], datetime], Any]

# A pod that has run is greyed by those that show tables (pkg/printers/internalversion/printers.go).
_GENERATION: Final = "deprecated.daemonset.template.generation"
_COMPLETED: Final = {
    phase: [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
    for phase, message in (("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed."))
}

_PATH_STEP: Final = re.compile(
    r"\.?((?:[^.\[\]\\]|\\.)+)|\[[\"']([^\"']+)[\"']\]|\[(\d+)\]|\[\?\(@\.(\w+)==[\"']([^\"']*)[\"']\)\]"
)


def _json_path(path: str) -> _Cell:
    """The simple JSON paths that printer columns have: fields, positions, and a filter on one field."""
    steps = _PATH_STEP.findall(path)

    def cell(manifest: dict[str, Any]) -> Any:
        value: Any = manifest
        for plain, quoted, position, key, wanted in steps:
            if plain or quoted:
                field = quoted or re.sub(r"\\(.)", r"\1", plain)
                value = value.get(field) if isinstance(value, dict) else None
            elif position:
                value = value[int(position)] if isinstance(value, list) and int(position) < len(value) else None
            else:
                items = value if isinstance(value, list) else ()
                value = next((item for item in items if isinstance(item, dict) and item.get(key) == wanted), None)
        return value

    return cell


def _typed(kind: str, cell: _Cell) -> _AgingCell:
    """A cell of a custom column: nothing but values of the column's type (apiextensions-apiserver, tableconvertor)."""

    def typed(manifest: dict[str, Any], now: datetime) -> Any:
        value = cell(manifest)
        match kind:
            case "string" if value is not None and not isinstance(value, str):
                return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            case "date" if isinstance(value, str):
                return age(value, now)
            case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
                return int(value)
            case "number" if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            case "boolean" if isinstance(value, bool):
                return value
            case "string" if isinstance(value, str):
                return value
        return None

    return typed


def _custom_columns(printed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of a custom resource: its name, and those that its CRD declares; its age if there are none."""
    name, made = _usual_columns()
    if not printed:
        return [name, made | {"name": "Age"}]
    return [
        name,
        *(
            {
                "name": column["name"],
                "type": column["type"],
                "format": column.get("format", ""),
                "description": column.get("description")
                or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
                "priority": column.get("priority", 0),
            }
            for column in printed
        ),
    ]


def _custom_cells(printed: list[dict[str, Any]]) -> CellsOf:
    paths = printed or [{"type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    cells = [_typed(column["type"], _json_path(column["jsonPath"])) for column in paths]
    return lambda row: [row.name, *(cell(row.manifest, row.now) for cell in cells)]


def _usual_columns() -> list[dict[str, Any]]:
    """The two columns of a kind that has none of its own: Name, and Created At."""
    return Archive.of().columns("v1", "limitranges")


def _usual_cells(row: Row) -> list[Any]:
    return [row.name, row.at("metadata.creationTimestamp")]


def to_table(
    kind: ResourceType,
    manifests: list[dict[str, Any]],
    metadata: dict[str, Any],
    *,
    now: datetime,
    include: str = "",
) -> dict[str, Any]:
    """A table of objects.

    Args:
        kind: the resource in the version that was asked for.
        manifests: the objects, in any of their versions.
        metadata: the metadata of the list.
        now: for ages.
        include: the part of its object that each row carries: "Metadata" (the default), "Object" or "None".

    Raises:
        Refusal: 400, no such part.
    """
    if include not in {"", "Metadata", "Object", "None"}:
        why = "must be 'Metadata', 'Object', 'None', or empty"
        msg = f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": {why}'
        raise bad_request(msg)
    if kind.definition is None:
        columns = Archive.of(kind.release).columns(kind.api_version, kind.plural) or _usual_columns()
        cells = CELLS_OF_RELEASE.get(kind.release, {}).get(kind.storage) or CELLS.get(kind.storage, _usual_cells)
    else:
        printed = kind.definition.get("additionalPrinterColumns") or []
        columns, cells = _custom_columns(printed), _custom_cells(printed)
    now = now.astimezone(UTC)
    rows = [_row(kind, cells, manifest, now, include) for manifest in manifests]
    # Kinds that have no printer of their own begin with no rows at all (registry/rest/table.go).
    plain = kind.definition is None and cells is _usual_cells
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": None if plain and not rows else rows,
    }


def _row(kind: ResourceType, cells: CellsOf, manifest: dict[str, Any], now: datetime, include: str) -> dict[str, Any]:
    shown = manifest if kind.custom else as_stored(manifest)
    row: dict[str, Any] = {"cells": cells(Row(shown, now))}
    phase = (manifest.get("status") or {}).get("phase") if kind.storage == ("", "pods") else None
    if phase in _COMPLETED:
        row["conditions"] = _COMPLETED[phase]
    return row | {"object": _included(kind, manifest, include)}


def _included(kind: ResourceType, manifest: dict[str, Any], include: str) -> dict[str, Any] | None:
    """The part of an object that its row carries."""
    if include == "None":
        return None
    if include == "Object":
        return in_version(kind, manifest)
    metadata = manifest["metadata"]
    if kind.storage == ("apps", "daemonsets"):
        # Inside the API server this is a field, and the metadata of a row is taken there.
        left = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != _GENERATION}
        metadata = {name: value for name, value in metadata.items() if name != "annotations"}
        metadata |= {"annotations": left} if left else {}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
