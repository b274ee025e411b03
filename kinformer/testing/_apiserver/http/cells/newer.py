"""The cells that Kubernetes 1.37 has more than 1.36: those of its new resources, and those of CRDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.cells.rows import age, labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row

__all__ = ["CELLS", "CELLS_OF_1_37"]


def _last_of(row: Row, wanted: Iterable[str], default: str, *, only_true: bool = False) -> str:
    """The last condition of a set, by its type."""
    types = [
        condition.get("type")
        for condition in row.at("status.conditions", [])
        if not only_true or condition.get("status") == "True"
    ]
    return next((found for found in reversed(types) if found in wanted), default)


def _certificate_request(row: Row) -> list[Any]:
    fields = [row.at(f"spec.{name}", "") for name in ("podName", "serviceAccountName", "nodeName", "signerName")]
    state = _last_of(row, ("Issued", "Denied", "Failed"), "Pending")
    return [row.name, *fields, state, labels(row.at("spec.unverifiedUserAnnotations"))]


def _taint_rule(row: Row) -> list[Any]:
    added = row.at("spec.taint.timeAdded")
    taint = [row.at(f"spec.taint.{name}", "") for name in ("key", "value", "effect")]
    return [row.name, *taint, "" if added is None else age(added, row.now), row.age]


def _migration(row: Row) -> list[Any]:
    names = [row.at("spec.resource.resource", ""), row.at("spec.resource.group", "")]
    state = _last_of(row, ("Running", "Failed", "Succeeded"), "Unknown", only_true=True)
    return [row.name, ".".join(name for name in names if name), state]


def _definition(row: Row) -> list[Any]:
    served = sorted(
        version["name"] + ("(storage)" if version.get("storage") else "")
        for version in row.at("spec.versions", [])
        if version.get("served")
    )
    established = any(
        (condition.get("type"), condition.get("status")) == ("Established", "True")
        for condition in row.at("status.conditions", [])
    )
    return [
        *(row.name, row.at("spec.scope", ""), ",".join(served), row.at("metadata.creationTimestamp")),
        *(row.at("spec.group", ""), row.at("spec.names.kind", ""), ",".join(row.at("spec.names.shortNames", []))),
        established,
    ]


CELLS: Final[dict[tuple[str, str], CellsOf]] = {
    ("certificates.k8s.io", "clustertrustbundles"): lambda row: [row.name, row.at("spec.signerName") or "<none>"],
    ("certificates.k8s.io", "podcertificaterequests"): _certificate_request,
    ("resource.k8s.io", "devicetaintrules"): _taint_rule,
    ("storagemigration.k8s.io", "storageversionmigrations"): _migration,
}

CELLS_OF_1_37: Final[dict[tuple[str, str], CellsOf]] = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}
"""The cells of resources that had fewer columns in 1.36."""
