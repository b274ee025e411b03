# ruff: noqa: ARG001, ARG005 - every cell takes an object and the time, and most need one of them
"""Tables (meta/v1 Table): the columns that `kubectl get` shows, computed by the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.store.status import bad_request

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["age", "to_table"]

_Cell: TypeAlias = Callable[[dict[str, Any], datetime], Any]
# name, type, format, priority (0: always shown, 1: with -o wide), its content
_Column: TypeAlias = tuple[str, str, str, int, _Cell]


def age(since: Any, now: datetime) -> str:
    """The time since a moment, as kubectl writes it (apimachinery util/duration, HumanDuration)."""
    if not isinstance(since, str) or not since:
        return "<unknown>"
    try:
        seconds = int((now - datetime.fromisoformat(since)).total_seconds())
    except (ValueError, TypeError):
        # No time, or one without its zone.
        return "<invalid>"
    # Two clocks may differ by a second.
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d" if days % 365 and days < 8 * 365 else f"{days // 365}y"


def at(manifest: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path."""
    value = manifest
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return default if value is None else value


def _path(path: str, default: Any = "<none>") -> _Cell:
    return lambda manifest, now: at(manifest, path, default)


def _name(manifest: dict[str, Any], now: datetime) -> str:
    return str(manifest["metadata"].get("name", ""))


def _age(manifest: dict[str, Any], now: datetime) -> str:
    return age(manifest["metadata"].get("creationTimestamp"), now)


def _count(path: str) -> _Cell:
    return lambda manifest, now: len(at(manifest, path, ()))


def _ratio(ready: str, wanted: str) -> _Cell:
    return lambda manifest, now: f"{at(manifest, ready, 0)}/{at(manifest, wanted, 0)}"


def _joined(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values if value not in {None, ""}) or "<none>"


def _selector(path: str) -> _Cell:
    return lambda manifest, now: _joined(f"{key}={value}" for key, value in at(manifest, path, {}).items())


def _containers(field: str, spec: str = "spec.template.spec") -> _Cell:
    return lambda manifest, now: _joined(c.get(field) for c in at(manifest, f"{spec}.containers", ()) or ())


def _pod_ready(manifest: dict[str, Any], now: datetime) -> str:
    statuses = at(manifest, "status.containerStatuses", ())
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(at(manifest, 'spec.containers', ()) or ())}"


def _pod_status(manifest: dict[str, Any], now: datetime) -> str:
    reason = at(manifest, "status.reason") or at(manifest, "status.phase", "")
    for container in at(manifest, "status.containerStatuses", ()):
        state = container.get("state") or {}
        shown = at(state, "waiting.reason") or at(state, "terminated.reason")
        reason = shown or reason
    return "Terminating" if manifest["metadata"].get("deletionTimestamp") else str(reason)


def _pod_restarts(manifest: dict[str, Any], now: datetime) -> str:
    return str(sum(s.get("restartCount", 0) for s in at(manifest, "status.containerStatuses", ())))


def _node_status(manifest: dict[str, Any], now: datetime) -> str:
    ready = next((c for c in at(manifest, "status.conditions", ()) if c.get("type") == "Ready"), None)
    shown = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if at(manifest, "spec.unschedulable") else shown


def _node_roles(manifest: dict[str, Any], now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = manifest["metadata"].get("labels") or {}
    return _joined(sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix)))


def _node_address(kind: str) -> _Cell:
    def cell(manifest: dict[str, Any], now: datetime) -> str:
        return _joined(a.get("address") for a in at(manifest, "status.addresses", ()) if a.get("type") == kind)

    return cell


def _service_ports(manifest: dict[str, Any], now: datetime) -> str:
    ports = at(manifest, "spec.ports", ()) or ()
    return _joined(
        f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}" for p in ports
    )


def _ingress_hosts(manifest: dict[str, Any], now: datetime) -> str:
    return _joined(rule.get("host", "*") for rule in at(manifest, "spec.rules", ()) or ()).replace("<none>", "*")


def _endpoints(manifest: dict[str, Any], now: datetime) -> str:
    listed = [
        f"{address['ip']}:{port['port']}"
        for subset in manifest.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    return _joined(listed)


def _last_seen(manifest: dict[str, Any], now: datetime) -> str:
    seen = manifest.get("lastTimestamp") or manifest.get("eventTime") or at(manifest, "series.lastObservedTime")
    return age(seen or manifest["metadata"].get("creationTimestamp"), now)


def _event_object(manifest: dict[str, Any], now: datetime) -> str:
    involved = manifest.get("involvedObject") or manifest.get("regarding") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


_TIMES_DESCRIPTION: Final = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is represented in "
    "RFC3339 form and is in UTC."
)
_NAME: Final[_Column] = ("Name", "string", "name", 0, _name)
_AGE: Final[_Column] = ("Age", "string", "", 0, _age)


def _text(name: str, cell: _Cell, priority: int = 0) -> _Column:
    return (name, "string", "", priority, cell)


def _number(name: str, cell: _Cell, priority: int = 0) -> _Column:
    return (name, "integer", "", priority, cell)


_WORKLOAD_WIDE: Final = (
    _text("Containers", _containers("name"), 1),
    _text("Images", _containers("image"), 1),
    _text("Selector", _selector("spec.selector.matchLabels"), 1),
)
_COLUMNS: Final[dict[tuple[str, str], tuple[_Column, ...]]] = {
    ("", "pods"): (
        _NAME,
        _text("Ready", _pod_ready),
        _text("Status", _pod_status),
        _text("Restarts", _pod_restarts),
        _AGE,
        _text("IP", _path("status.podIP"), 1),
        _text("Node", _path("spec.nodeName"), 1),
        _text("Nominated Node", _path("status.nominatedNodeName"), 1),
        _text("Readiness Gates", lambda manifest, now: "<none>", 1),
    ),
    ("", "nodes"): (
        _NAME,
        _text("Status", _node_status),
        _text("Roles", _node_roles),
        _AGE,
        _text("Version", _path("status.nodeInfo.kubeletVersion", "")),
        _text("Internal-IP", _node_address("InternalIP"), 1),
        _text("External-IP", _node_address("ExternalIP"), 1),
    ),
    ("", "namespaces"): (_NAME, _text("Status", _path("status.phase", "")), _AGE),
    ("", "services"): (
        _NAME,
        _text("Type", _path("spec.type", "")),
        _text("Cluster-IP", _path("spec.clusterIP")),
        _text("External-IP", _path("spec.externalName")),
        _text("Port(s)", _service_ports),
        _AGE,
        _text("Selector", _selector("spec.selector"), 1),
    ),
    ("", "configmaps"): (
        _NAME,
        _text("Data", lambda m, now: str(len(m.get("data") or ()) + len(m.get("binaryData") or ()))),
        _AGE,
    ),
    ("", "secrets"): (
        _NAME,
        _text("Type", _path("type", "")),
        _text("Data", lambda m, now: str(len(m.get("data") or ()))),
        _AGE,
    ),
    ("", "serviceaccounts"): (_NAME, _text("Secrets", lambda m, now: str(len(m.get("secrets") or ()))), _AGE),
    ("", "endpoints"): (_NAME, _text("Endpoints", _endpoints), _AGE),
    ("", "events"): (
        _text("Last Seen", _last_seen),
        _text("Type", _path("type", "")),
        _text("Reason", _path("reason", "")),
        _text("Object", _event_object),
        _text("Subobject", _path("involvedObject.fieldPath", ""), 1),
        _text("Source", _path("source.component", ""), 1),
        _text("Message", _path("message", "")),
        ("Name", "string", "name", 1, _name),
    ),
    ("", "persistentvolumeclaims"): (
        _NAME,
        _text("Status", _path("status.phase", "")),
        _text("Volume", _path("spec.volumeName", "")),
        _text("Capacity", _path("status.capacity.storage", "")),
        _text("StorageClass", _path("spec.storageClassName", "")),
        _AGE,
    ),
    ("", "persistentvolumes"): (
        _NAME,
        _text("Capacity", _path("spec.capacity.storage", "")),
        _text("Reclaim Policy", _path("spec.persistentVolumeReclaimPolicy", "")),
        _text("Status", _path("status.phase", "")),
        _text("StorageClass", _path("spec.storageClassName", "")),
        _AGE,
    ),
    ("apps", "deployments"): (
        _NAME,
        _text("Ready", _ratio("status.readyReplicas", "spec.replicas")),
        _number("Up-to-date", _path("status.updatedReplicas", 0)),
        _number("Available", _path("status.availableReplicas", 0)),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    ("apps", "replicasets"): (
        _NAME,
        _number("Desired", _path("spec.replicas", 0)),
        _number("Current", _path("status.replicas", 0)),
        _number("Ready", _path("status.readyReplicas", 0)),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    ("apps", "statefulsets"): (
        _NAME,
        _text("Ready", _ratio("status.readyReplicas", "spec.replicas")),
        _AGE,
        *_WORKLOAD_WIDE[:2],
    ),
    ("apps", "daemonsets"): (
        _NAME,
        _number("Desired", _path("status.desiredNumberScheduled", 0)),
        _number("Current", _path("status.currentNumberScheduled", 0)),
        _number("Ready", _path("status.numberReady", 0)),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    ("batch", "jobs"): (
        _NAME,
        _text("Completions", _ratio("status.succeeded", "spec.completions")),
        _AGE,
        *_WORKLOAD_WIDE[:2],
    ),
    ("batch", "cronjobs"): (
        _NAME,
        _text("Schedule", _path("spec.schedule", "")),
        _text("Suspend", lambda m, now: str(at(m, "spec.suspend", False))),
        _number("Active", _count("status.active")),
        _text(
            "Last Schedule", lambda m, now: age(at(m, "status.lastScheduleTime"), now).replace("<unknown>", "<none>")
        ),
        _AGE,
    ),
    ("networking.k8s.io", "ingresses"): (
        _NAME,
        _text("Class", _path("spec.ingressClassName")),
        _text("Hosts", _ingress_hosts),
        _AGE,
    ),
    ("coordination.k8s.io", "leases"): (_NAME, _text("Holder", _path("spec.holderIdentity", "")), _AGE),
    ("discovery.k8s.io", "endpointslices"): (
        _NAME,
        _text("AddressType", _path("addressType", "")),
        _text("Ports", lambda m, now: _joined(p.get("port") for p in m.get("ports") or ())),
        _text(
            "Endpoints", lambda m, now: _joined(a for e in m.get("endpoints") or () for a in e.get("addresses") or ())
        ),
        _AGE,
    ),
    ("autoscaling", "horizontalpodautoscalers"): (
        _NAME,
        _text(
            "Reference",
            lambda m, now: f"{at(m, 'spec.scaleTargetRef.kind', '')}/{at(m, 'spec.scaleTargetRef.name', '')}",
        ),
        _text("MinPods", lambda m, now: str(at(m, "spec.minReplicas", 1))),
        _number("MaxPods", _path("spec.maxReplicas", 0)),
        _number("Replicas", _path("status.currentReplicas", 0)),
        _AGE,
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): (
        _NAME,
        _text("Role", lambda m, now: f"{at(m, 'roleRef.kind', '')}/{at(m, 'roleRef.name', '')}"),
        _AGE,
    ),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (
        _NAME,
        _text("Role", lambda m, now: f"{at(m, 'roleRef.kind', '')}/{at(m, 'roleRef.name', '')}"),
        _AGE,
    ),
}
_DEFAULT: Final[tuple[_Column, ...]] = (
    _NAME,
    ("Created At", "date", "", 0, lambda manifest, now: manifest["metadata"].get("creationTimestamp")),
)
_PATH_STEP: Final = re.compile(
    r"\.?((?:[^.\[\]\\]|\\.)+)|\[[\"']([^\"']+)[\"']\]|\[(\d+)\]|\[\?\(@\.(\w+)==[\"']([^\"']*)[\"']\)\]"
)


def _json_path(path: str) -> _Cell:
    """The simple JSON paths that printer columns have: fields, positions, and a filter on one field."""
    steps = _PATH_STEP.findall(path)

    def cell(manifest: dict[str, Any], now: datetime) -> Any:
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


def _typed(kind: str, cell: _Cell) -> _Cell:
    """A cell of a custom column: nothing but values of the column's type (apiextensions-apiserver, tableconvertor)."""

    def typed(manifest: dict[str, Any], now: datetime) -> Any:
        value = cell(manifest, now)
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


def _custom_columns(printed: list[dict[str, Any]]) -> tuple[_Column, ...]:
    if not printed:
        return (_NAME, _AGE)
    cells = (_typed(column["type"], _json_path(column["jsonPath"])) for column in printed)
    return (
        _NAME,
        *(
            (column["name"], column["type"], column.get("format", ""), column.get("priority", 0), cell)
            for column, cell in zip(printed, cells, strict=True)
        ),
    )


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
        manifests: the objects.
        metadata: the metadata of the list.
        now: for ages.
        include: the part of its object that each row carries: "Metadata" (the default), "Object" or "None".

    Raises:
        Refusal: 400, no such part.
    """
    if include not in {"", "Metadata", "Object", "None"}:
        msg = f'unrecognized includeObject value: "{include}"'
        raise bad_request(msg)
    printed = [] if kind.definition is None else kind.definition.get("additionalPrinterColumns") or []
    columns = _COLUMNS.get(kind.storage, _DEFAULT) if kind.definition is None else _custom_columns(printed)
    described = {"Age": _TIMES_DESCRIPTION} | {
        column["name"]: column.get("description")
        or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        for column in printed
    }
    now = now.astimezone(UTC)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": name,
                "type": kind_of_cell,
                "format": form,
                "description": described.get(name) or f"{name} of the {kind.kind}.",
                "priority": priority,
            }
            for name, kind_of_cell, form, priority, _ in columns
        ],
        "rows": [
            {
                "cells": [cell(manifest, now) for *_, cell in columns],
                "object": _included(manifest, include),
            }
            for manifest in manifests
        ],
    }


def _included(manifest: dict[str, Any], include: str) -> dict[str, Any] | None:
    """The part of an object that its row carries."""
    if include == "None":
        return None
    if include == "Object":
        return manifest
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": manifest["metadata"]}
