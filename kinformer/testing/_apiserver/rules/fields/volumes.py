"""The rules for the volumes of pods, and for persistent volumes (pkg/apis/core/validation, validateVolumeSource)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required, too_long
from kinformer.testing._apiserver.rules.fields.terms import (
    between,
    label,
    label_value,
    needed,
    number,
    on,
    qualified,
    subdomain,
)
from kinformer.testing._apiserver.rules.names import subdomain_faults
from kinformer.testing._apiserver.schemas.scalars import quantity_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Check, Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES", "data_source", "local_path", "no_way_up"]

_LONGEST_PORTAL: Final = 64
_MODE: Final = between(0, 0o777, "must be a number between 0 and 0777 (octal), both inclusive")
_PARTITION: Final = number(between(0, 255, "must be between 1 and 255, inclusive"))
_LUN: Final = number(between(0, 255))
_SHORTEST_TOKEN: Final = 600
_LONGEST_TOKEN: Final = 1 << 32
_SELECTED: Final = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_RESOURCES: Final = ("cpu", "ephemeral-storage", "memory")
_FIELDS_OF_RESOURCES: Final = tuple(f"{kind}.{name}" for kind in ("limits", "requests") for name in _RESOURCES)
_DIVISORS: Final = ("1", *(f"1{unit}" for unit in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
_TEMPLATE_FIELDS: Final = {"labels", "annotations"}
_INITIATORS: Final = {
    "iqn": r"iqn\.\d{4}-\d{2}\.([\w\-.]+)(:[^,;*&$|\s]+)$",
    "eui": r"^eui.[0-9A-Fa-f]{16}$",
    "naa": r"^naa.[0-9A-Fa-f]{32}$",
}
_FILLED_FROM: Final = {("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io")}
_LONGEST_DRIVER: Final = 63


def no_way_up(value: Any, path: str) -> Iterable[Cause]:
    """A path, if it is there, that does not lead to a parent."""
    return [invalid_value(path, value, "must not contain '..'")] if value and ".." in value.split("/") else []


def _relative(value: Any, path: str) -> Iterator[Cause]:
    if value:
        if value.startswith("/"):
            yield invalid_value(path, value, "must be a relative path")
        yield from no_way_up(value, path)


def local_path(value: Any, path: str) -> Iterator[Cause]:
    """A relative path, if it is there, whose name is not reserved."""
    yield from _relative(value, path)
    if value and value.startswith("..") and not value.startswith("../") and value != "..":
        yield invalid_value(path, value, "must not start with '..'")


def _absolute(value: Any, path: str) -> Iterator[Cause]:
    if not (value or "").startswith("/"):
        yield invalid_value(path, value or "", "must be an absolute path")


def _driver(value: Any, path: str) -> Iterator[Cause]:
    if not value:
        yield required(path)
        return
    if len(value) > _LONGEST_DRIVER:
        yield too_long(path, _LONGEST_DRIVER)
    for fault in subdomain_faults(value.lower()):
        yield invalid_value(path, value, fault)


def _size_limit(value: dict[str, Any], path: str) -> Iterator[Cause]:
    given = value.get("sizeLimit")
    if given is not None and quantity_number(given) < 0:
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _file_of_pod(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes leaves the list and the position out.
    path = path.rpartition(".items[")[0]
    yield from needed()(value.get("path"), f"{path}.path")
    yield from local_path(value.get("path"), f"{path}.path")
    field, resource = value.get("fieldRef"), value.get("resourceFieldRef")
    if field is not None:
        found = field.get("fieldPath") or ""
        if found and "[" not in found and found not in _SELECTED:
            yield one_of(f"{path}.fieldRef.fieldPath", found, _SELECTED)
        if resource is not None:
            yield invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from resource_field(resource, f"{path}.resourceFieldRef", of_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _MODE(value.get("mode"), f"{path}.mode")


def resource_field(value: dict[str, Any], path: str, *, of_volume: bool = False) -> Iterator[Cause]:
    """Judge a reference to a resource of a container.

    Args:
        value: the reference.
        path: its path.
        of_volume: whether it stands in a volume, so that it must name the container.
    """
    name = value.get("resource") or ""
    if of_volume and not value.get("containerName"):
        yield required(f"{path}.containerName")
    elif not name:
        yield required(f"{path}.resource")
    elif name not in _FIELDS_OF_RESOURCES and not name.startswith(("requests.hugepages-", "limits.hugepages-")):
        yield one_of(f"{path}.resource", name, _FIELDS_OF_RESOURCES)
    divisor = value.get("divisor")
    if divisor is None or quantity_number(divisor) == 0:
        return
    kind = name.partition(".")[2]
    if kind == "cpu" and str(divisor) not in {"1m", "1"}:
        why = "only divisor's values 1m and 1 are supported with the cpu resource"
        yield invalid_value(f"{path}.divisor", name, why)
    known = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
    shown = "hugepages" if kind.startswith("hugepages-") else known.get(kind)
    if shown and str(divisor) not in _DIVISORS:
        why = f"only divisor's values {', '.join(_DIVISORS)} are supported with the {shown} resource"
        yield invalid_value(f"{path}.divisor", name, why)


_PROJECTED: Final = ("secret", "configMap", "downwardAPI", "serviceAccountToken")
"""The sources of a projected volume; the others are features that are off."""


def _projected(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, source in enumerate(value.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap", "downwardAPI"):
            part = source.get(kind)
            if part is None:
                continue
            if kind != "downwardAPI":
                yield from needed()(part.get("name"), f"{at}.{kind}.name")
            for item in part.get("items") or ():
                place = item.get("path") or ""
                if place and place in seen:
                    shown = place if kind == "downwardAPI" else part.get("name") or ""
                    yield invalid_value(path, shown, "conflicting duplicate paths")
                seen.add(place)
        if (token := source.get("serviceAccountToken")) is not None:
            yield from _token(token, f"{at}.serviceAccountToken", path)
        if sum(source.get(kind) is not None for kind in _PROJECTED) > 1:
            yield forbidden(at, "may not specify more than 1 volume type per source")


def _token(token: dict[str, Any], path: str, volume: str) -> Iterator[Cause]:
    seconds = token.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_TOKEN:
        why = "may not specify a duration less than 10 minutes"
        yield invalid_value(f"{path}.expirationSeconds", seconds, why)
    if seconds is not None and seconds > _LONGEST_TOKEN:
        why = "may not specify a duration larger than 2^32 seconds"
        yield invalid_value(f"{path}.expirationSeconds", seconds, why)
    # The path is named at the volume.
    yield from needed()(token.get("path"), f"{volume}.path")
    yield from local_path(token.get("path"), f"{volume}.path")


def _claim_template(value: dict[str, Any], path: str) -> Iterator[Cause]:
    template = value.get("volumeClaimTemplate")
    at = f"{path}.volumeClaimTemplate"
    if template is None:
        yield required(at)
        return
    metadata = template.get("metadata") or {}
    yield from template_metadata(metadata, f"{at}.metadata")
    for name, given in metadata.items():
        if (
            name not in _TEMPLATE_FIELDS
            and given not in (None, "", [], {})
            and (given != 0 or name == "deletionGracePeriodSeconds")
        ):
            yield forbidden(f"{at}.metadata.{'uID' if name == 'uid' else name}", "cannot be set")


def template_metadata(metadata: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the labels and annotations of a template."""
    for key in sorted(metadata.get("annotations") or {}):
        yield from qualified(key.lower(), f"{path}.annotations")
    for key, text in sorted((metadata.get("labels") or {}).items()):
        yield from qualified(key, f"{path}.labels")
        yield from label_value(text, f"{path}.labels")


def data_source(value: Any, path: str) -> Iterator[Cause]:
    """The object, if there is one, that a new volume is filled from."""
    if value is None:
        return
    group = value.get("apiGroup") or ""
    yield from needed()(value.get("name"), f"{path}.name")
    yield from needed()(value.get("kind"), f"{path}.kind")
    if not group and value.get("kind") != "PersistentVolumeClaim":
        yield invalid_value(
            path, value.get("kind") or "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        )
    if group:
        yield from subdomain(group, f"{path}.apiGroup")


def _iscsi(value: dict[str, Any], path: str, *, persistent: bool) -> Iterator[Cause]:
    yield from needed()(value.get("targetPortal"), f"{path}.targetPortal")
    if not value.get("iqn"):
        yield required(f"{path}.iqn")
    else:
        yield from _initiator(value["iqn"], f"{path}.iqn", persistent=persistent)
    yield from _LUN(value.get("lun"), f"{path}.lun")
    if (value.get("chapAuthDiscovery") or value.get("chapAuthSession")) and value.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if persistent and value.get("secretRef") is not None:
        yield from needed()(value["secretRef"].get("name"), f"{path}.secretRef.name")
    if value.get("initiatorName") is not None:
        yield from _initiator(value["initiatorName"], f"{path}.initiatorname", persistent=persistent)


def _portal(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """A volume of iSCSI with a name of its initiator gets an interface of this name."""
    iscsi = value.get("iscsi") or {}
    name = value.get("name") or ""
    if iscsi.get("initiatorName") is not None and len(f"{name}:{iscsi.get('targetPortal') or ''}") > _LONGEST_PORTAL:
        rule = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters"
        yield invalid_value(f"{path}.name", name, f"{rule} if iscsi.initiatorName is specified.")


def _initiator(text: str, path: str, *, persistent: bool) -> Iterator[Cause]:
    pattern = _INITIATORS.get(text[:3])
    if pattern is None:
        why = "must be valid format" if persistent else "must be valid format starting with iqn, eui, or naa"
        yield invalid_value(path, text, why)
    elif not re.search(pattern, text):
        yield invalid_value(path, text, "must be valid format")


def _fibre_channel(value: dict[str, Any], path: str) -> Iterator[Cause]:
    names, ids = value.get("targetWWNs") or [], value.get("wwids") or []
    if not names and not ids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names and ids:
        why = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid_value(f"{path}.targetWWNs", names, why)
    if names:
        if value.get("lun") is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        yield from between(0, 255)(value.get("lun"), f"{path}.lun")


def _disk(field: str) -> Rule:
    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        # Kubernetes names the disk of GCE otherwise.
        at = path.replace(".gcePersistentDisk", ".persistentDisk")
        yield from needed()(value.get(field), f"{at}.{field}")
        yield from _PARTITION(value.get("partition"), f"{at}.partition")

    return rule


def _secret_named(value: Any, path: str) -> Iterator[Cause]:
    if value is not None:
        yield from needed()(value.get("name"), f"{path}.name")


def _secret_in_namespace(value: Any, path: str) -> Iterator[Cause]:
    if value is not None:
        for field, check in (("name", subdomain), ("namespace", label)):
            if not value.get(field):
                yield required(f"{path}.{field}")
            else:
                yield from check(value[field], f"{path}.{field}")


def _published_secret(value: Any, path: str) -> Iterator[Cause]:
    yield from _secret_named(value, path)
    if value is not None and value.get("name"):
        yield from subdomain(value["name"], f"{path.rpartition('.')[0]}.name")


def _flex_options(value: Any, path: str) -> Iterator[Cause]:
    for key in sorted(value or {}):
        domain = f".{key.partition('/')[0].lower()}"
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_disk(value: dict[str, Any], path: str) -> Iterator[Cause]:
    place, kind = value.get("diskURI") or "", value.get("kind", "Shared")
    if kind == "Managed" and not place.startswith("/subscriptions/"):
        form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        yield one_of(f"{path}.diskURI", place, [form])
    if kind in {"Dedicated", "Shared"} and not place.startswith("https://"):
        form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        yield one_of(f"{path}.diskURI", place, [form])


def _claim_storage(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the size of a claim, and what fills it."""
    storage = ((value.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is not None and quantity_number(storage) <= 0:
        yield invalid_value(f"{path}.resources[storage]", str(storage), "must be greater than zero")
    other, source = value.get("dataSourceRef"), value.get("dataSource")
    known = (source or {}).get("kind"), (source or {}).get("apiGroup") or ""
    if other is None and not path.startswith("spec.v") and known not in _FILLED_FROM:
        # A claim of its own loses a source that no volume can be filled from (DropDisabledFields).
        return
    yield from data_source(source, f"{path}.dataSource")
    yield from data_source(other, f"{path}.dataSourceRef")
    if source is not None and other is not None and source != other:
        yield invalid_value(path, f"{path}.dataSource", "must match dataSourceRef")


def _volume(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the size of a persistent volume, and what the kind of its storage needs."""
    for name, size in sorted((value.get("capacity") or {}).items()):
        if quantity_number(size) <= 0:
            yield invalid_value(f"{path}.capacity[{name}]", str(size), "must be greater than zero")
    modes = value.get("accessModes") or []
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    if value.get("local") is not None and value.get("nodeAffinity") is None:
        yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    affinity = value.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        yield required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    if (value.get("hostPath") or {}).get("path") == "/" and value.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")


def _named_once(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(value.get("resourceClaims") or ()):
        at, name = f"{path}.resourceClaims[{index}]", claim.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from label(name, f"{at}.name")
        seen.add(name)
        given, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": given, "ResourceClaimTemplateName": template}
        if given is not None and template is not None:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid_value(at, shown, why)
        if given is None and template is None:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid_value(at, shown, why)
        yield from subdomain(given, f"{at}.resourceClaimName")
        yield from subdomain(template, f"{at}.resourceClaimTemplateName")


def _all(*fields: str) -> tuple[Rule, ...]:
    return tuple(on(field, needed()) for field in fields)


_NAMED: Final[Check] = _secret_named
_IN_NAMESPACE: Final[Check] = _secret_in_namespace

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "core/v1.PodSpec": (_named_once,),
    "core/v1.EmptyDirVolumeSource": (_size_limit,),
    "core/v1.HostPathVolumeSource": (on("path", no_way_up),),
    "core/v1.KeyToPath": (on("path", local_path),),
    "core/v1.DownwardAPIVolumeFile": (_file_of_pod,),
    "core/v1.ProjectedVolumeSource": (_projected,),
    "core/v1.CSIVolumeSource": (on("driver", _driver), on("nodePublishSecretRef", _published_secret)),
    "core/v1.CSIPersistentVolumeSource": (
        on("driver", _driver),
        *_all("volumeHandle"),
        on("controllerPublishSecretRef", _IN_NAMESPACE),
        on("controllerExpandSecretRef", _IN_NAMESPACE),
        on("nodePublishSecretRef", _IN_NAMESPACE),
        on("nodeExpandSecretRef", _IN_NAMESPACE),
    ),
    "core/v1.NFSVolumeSource": (on("path", _absolute),),
    "core/v1.EphemeralVolumeSource": (_claim_template,),
    "core/v1.Volume": (_portal,),
    "core/v1.ISCSIVolumeSource": (lambda value, path: _iscsi(value, path, persistent=False),),
    "core/v1.ISCSIPersistentVolumeSource": (lambda value, path: _iscsi(value, path, persistent=True),),
    "core/v1.FCVolumeSource": (_fibre_channel,),
    "core/v1.GCEPersistentDiskVolumeSource": (_disk("pdName"),),
    "core/v1.AWSElasticBlockStoreVolumeSource": (_disk("volumeID"),),
    "core/v1.ImageVolumeSource": _all("reference"),
    "core/v1.RBDVolumeSource": _all("monitors", "image"),
    "core/v1.RBDPersistentVolumeSource": _all("monitors", "image"),
    "core/v1.CephFSVolumeSource": _all("monitors"),
    "core/v1.CephFSPersistentVolumeSource": _all("monitors"),
    "core/v1.FlexVolumeSource": (*_all("driver"), on("options", _flex_options)),
    "core/v1.FlexPersistentVolumeSource": (*_all("driver"), on("options", _flex_options)),
    "core/v1.AzureFileVolumeSource": _all("secretName", "shareName"),
    "core/v1.AzureFilePersistentVolumeSource": _all("secretName", "shareName"),
    "core/v1.AzureDiskVolumeSource": (*_all("diskName", "diskURI"), _azure_disk),
    "core/v1.VsphereVirtualDiskVolumeSource": _all("volumePath"),
    "core/v1.PhotonPersistentDiskVolumeSource": _all("pdID"),
    "core/v1.PortworxVolumeSource": _all("volumeID"),
    "core/v1.ScaleIOVolumeSource": _all("gateway", "system", "volumeName"),
    "core/v1.ScaleIOPersistentVolumeSource": _all("gateway", "system", "volumeName"),
    "core/v1.CinderVolumeSource": (*_all("volumeID"), on("secretRef", _NAMED)),
    "core/v1.CinderPersistentVolumeSource": (*_all("volumeID"), on("secretRef", _IN_NAMESPACE)),
    "core/v1.GlusterfsVolumeSource": _all("endpoints", "path"),
    "core/v1.GlusterfsPersistentVolumeSource": _all("endpoints", "path"),
    "core/v1.StorageOSVolumeSource": (*_all("volumeName"), on("secretRef", _NAMED)),
    "core/v1.QuobyteVolumeSource": (
        on("registry", needed("must be a host:port pair or multiple pairs separated by commas")),
        *_all("volume"),
    ),
    "core/v1.GitRepoVolumeSource": (*_all("repository"), on("directory", _relative)),
    "core/v1.LocalVolumeSource": (*_all("path"), on("path", no_way_up)),
    "core/v1.PersistentVolumeClaimSpec": (_claim_storage,),
    "core/v1.PersistentVolumeSpec": (_volume,),
}
