"""The cells of volumes, storage classes, CSI drivers and devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.http.cells.rows import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.testing._apiserver.http.cells.rows import CellsOf, Row

__all__ = ["CELLS"]

_ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASSES: Final = tuple(f"storageclass.{part}kubernetes.io/is-default-class" for part in ("", "beta."))


def _modes(given: Sequence[str]) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in given)


def _phase(row: Row) -> str:
    return "Terminating" if row.is_terminating else str(row.at("status.phase", ""))


def _class(row: Row) -> str:
    annotated = row.annotation(_CLASS)
    return str(row.at("spec.storageClassName", "")) if annotated is None else annotated


def _volume(row: Row) -> list[Any]:
    claim = row.at("spec.claimRef")
    return [
        row.name,
        row.at("spec.capacity.storage", "0"),
        _modes(row.list_at("spec.accessModes")),
        row.at("spec.persistentVolumeReclaimPolicy", ""),
        _phase(row),
        "" if claim is None else f"{claim.get('namespace', '')}/{claim.get('name', '')}",
        _class(row),
        row.at("spec.volumeAttributesClassName", "<unset>"),
        row.at("status.reason", ""),
        row.age,
        row.at("spec.volumeMode", "<unset>"),
    ]


def _claim(row: Row) -> list[Any]:
    volume = row.at("spec.volumeName", "")
    return [
        row.name,
        _phase(row),
        volume,
        row.at("status.capacity.storage", "0") if volume else "",
        _modes(row.list_at("status.accessModes")) if volume else "",
        _class(row),
        row.at("spec.volumeAttributesClassName", "<unset>"),
        row.age,
        row.at("spec.volumeMode", "<unset>"),
    ]


def _storage_class(row: Row) -> list[Any]:
    is_default = any(row.annotation(key) == "true" for key in _DEFAULT_CLASSES)
    return [
        f"{row.name} (default)" if is_default else row.name,
        row.at("provisioner", ""),
        row.at("reclaimPolicy", "Delete"),
        row.at("volumeBindingMode", "Immediate"),
        row.at("allowVolumeExpansion", False),
        row.age,
    ]


def _csi_driver(row: Row) -> list[Any]:
    tokens = row.at("spec.tokenRequests")
    return [
        row.name,
        row.at("spec.attachRequired", True),
        row.at("spec.podInfoOnMount", False),
        row.at("spec.storageCapacity", False),
        "<unset>" if tokens is None else ",".join(one.get("audience", "") for one in tokens),
        row.at("spec.requiresRepublish", False),
        joined(row.list_at("spec.volumeLifecycleModes")),
        row.age,
    ]


def _attachment(row: Row) -> list[Any]:
    return [
        row.name,
        row.at("spec.attacher", ""),
        row.at("spec.source.persistentVolumeName", ""),
        row.at("spec.nodeName", ""),
        row.at("status.attached", False),
        row.age,
    ]


def _resource_claim(row: Row) -> list[Any]:
    is_allocated = row.at("status.allocation") is not None
    states = ["deleted"] if row.is_terminating else [] if is_allocated else ["pending"]
    if is_allocated:
        states += ["allocated", "reserved"] if row.count("status.reservedFor") else ["allocated"]
    return [row.name, ",".join(states), row.age]


def _resource_slice(row: Row) -> list[Any]:
    return [row.name, *(row.at(f"spec.{path}", "") for path in ("nodeName", "driver", "pool.name")), row.age]


CELLS: Final[dict[tuple[str, str], CellsOf]] = {
    ("", "persistentvolumes"): _volume,
    ("", "persistentvolumeclaims"): _claim,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("storage.k8s.io", "csidrivers"): _csi_driver,
    ("storage.k8s.io", "csinodes"): lambda row: [row.name, row.count("spec.drivers"), row.age],
    ("storage.k8s.io", "volumeattachments"): _attachment,
    ("storage.k8s.io", "volumeattributesclasses"): lambda row: [row.name, row.at("driverName", ""), row.age],
    ("resource.k8s.io", "deviceclasses"): lambda row: [row.name, row.age],
    ("resource.k8s.io", "resourceclaims"): _resource_claim,
    ("resource.k8s.io", "resourceclaimtemplates"): lambda row: [row.name, row.age],
    ("resource.k8s.io", "resourceslices"): _resource_slice,
}
