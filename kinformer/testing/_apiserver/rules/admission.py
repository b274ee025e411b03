"""The fields that a kube-apiserver's admission adds to a new object, and its refusals (plugin/pkg/admission)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Store

__all__ = ["NOT_READY", "PROTECTION", "admit", "check_ports", "without_admission"]

PROTECTION: Final = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}
"""The finalizers by which a cluster waits for the users of an object (StorageObjectInUseProtection)."""

_CLASSES: Final = ("scheduling.k8s.io", "priorityclasses")
_SERVICES: Final = ("", "services")
_FIRST_PORT: Final = 30_000
_LAST_PORT: Final = 32_767
_RUNTIMES: Final = ("node.k8s.io", "runtimeclasses")
_SYSTEM_CLASSES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_DEFAULT_POLICY: Final = "PreemptLowerPriority"


def admit(store: Store, kind: ResourceType, manifest: dict[str, Any]) -> None:
    """Add the fields of admission to a new object, in place.

    Args:
        store: the objects that there are.
        kind: the kind of the object.
        manifest: the object, as it was sent.

    Raises:
        Refusal: 403, a pod names a class that does not exist, or a priority of its own.
    """
    if kind.storage in PROTECTION:
        metadata = manifest["metadata"]
        given = metadata.get("finalizers") or []
        if PROTECTION[kind.storage] not in given:
            metadata["finalizers"] = [*given, PROTECTION[kind.storage]]
    elif kind.storage == ("", "nodes"):
        _taint(manifest)
    elif kind.storage == ("", "pods"):
        _set_priority(store, kind, manifest)
        _check_runtime(store, kind, manifest)


def _taint(manifest: dict[str, Any]) -> None:
    """Add the taint of a node that is not ready yet (TaintNodesByCondition), in place.

    A controller takes it away when the node is ready, so a node that comes with its condition does not get it.
    """
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    if any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        return
    spec = manifest.setdefault("spec", {})
    given = spec.get("taints") or []
    if not any(one.get("key") == NOT_READY["key"] for one in given):
        spec["taints"] = [*given, dict(NOT_READY)]


def _set_priority(store: Store, kind: ResourceType, manifest: dict[str, Any]) -> None:
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        return
    name = spec.get("priorityClassName") or ""
    value, policy = 0, _DEFAULT_POLICY
    classes = {key[1]: stored.manifest for key, stored in store.all(_CLASSES).items()}
    if not name:
        chosen = next((one for one in classes.values() if one.get("globalDefault")), None)
        if chosen is not None:
            spec["priorityClassName"] = chosen["metadata"]["name"]
            value, policy = chosen.get("value", 0), chosen.get("preemptionPolicy", policy)
    elif name in classes:
        value, policy = classes[name].get("value", 0), classes[name].get("preemptionPolicy", policy)
    elif name in _SYSTEM_CLASSES:
        value = _SYSTEM_CLASSES[name]
    else:
        raise _forbidden(kind, manifest, f"no PriorityClass with name {name} was found")
    computed = "priority admission controller computed {} from the given PriorityClass name"
    if spec.get("priority") not in {None, value}:
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
        raise _forbidden(kind, manifest, why + computed.format(value))
    if spec.get("preemptionPolicy") not in {None, policy}:
        why = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
        raise _forbidden(kind, manifest, why + computed.format(policy))
    spec |= {"priority": value, "preemptionPolicy": policy}


def _check_runtime(store: Store, kind: ResourceType, manifest: dict[str, Any]) -> None:
    spec = manifest.get("spec")
    name = spec.get("runtimeClassName") if isinstance(spec, dict) else None
    if name and store.get(_RUNTIMES, ("", name)) is None:
        raise _forbidden(kind, manifest, f'pod rejected: RuntimeClass "{name}" not found')


def check_ports(store: Store, kind: ResourceType, manifest: dict[str, Any], name: str) -> None:
    """Refuse a service with a port of the nodes that is not for services, or that another service has.

    Raises:
        Refusal: 422.
    """
    if kind.storage != _SERVICES:
        return
    wanted = [
        (index, port["nodePort"])
        for index, port in enumerate((manifest.get("spec") or {}).get("ports") or ())
        if port.get("nodePort")
    ]
    if not wanted:
        return
    place = (manifest["metadata"].get("namespace") or "", name)
    taken = {
        port.get("nodePort")
        for key, stored in store.all(_SERVICES).items()
        if key != place
        for port in stored.manifest["spec"].get("ports") or ()
    }
    causes = []
    for index, number in wanted:
        if not _FIRST_PORT <= number <= _LAST_PORT:
            why = f"provided port is not in the valid range. The range of valid ports is {_FIRST_PORT}-{_LAST_PORT}"
        elif number in taken:
            why = "provided port is already allocated"
        else:
            continue
        causes.append(invalid_value(f"spec.ports[{index}].nodePort", number, why))
    if causes:
        raise status.invalid(kind.kind, name, causes, kind.group)


def _forbidden(kind: ResourceType, manifest: dict[str, Any], why: str) -> status.Refusal:
    name = manifest["metadata"].get("name") or ""
    message = f'{status.qualified(kind)} "{name}" is forbidden: {why}'
    return status.Refusal(403, message, "Forbidden", status.details_of(kind, name))


def without_admission(kind: ResourceType, manifest: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a new object without the fields of admission, which no manager has.

    Args:
        kind: the kind of the object.
        manifest: the object with its defaults.
        given: its spec as it was sent.
    """
    if kind.storage in PROTECTION:
        metadata = dict(manifest["metadata"])
        left = [one for one in metadata.pop("finalizers", ()) if one != PROTECTION[kind.storage]]
        return manifest | {"metadata": metadata | ({"finalizers": left} if left else {})}
    if kind.storage == ("", "pods"):
        spec = {name: value for name, value in manifest["spec"].items() if name not in {"priority", "preemptionPolicy"}}
        if given.get("tolerations") is None:
            spec.pop("tolerations", None)
        return manifest | {"spec": spec}
    if kind.storage == ("", "nodes") and isinstance(manifest.get("spec"), dict):
        spec = dict(manifest["spec"])
        left = [one for one in spec.pop("taints", ()) if one != NOT_READY]
        return manifest | {"spec": spec | ({"taints": left} if left else {})}
    return manifest
