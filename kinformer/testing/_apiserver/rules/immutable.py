"""The fields that do not change after creation, as the strategies of a kube-apiserver 1.36 refuse it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.custom_resources import check_stored_versions
from kinformer.testing._apiserver.rules.pod_defaults import quality
from kinformer.testing._apiserver.rules.workload_validation import check_selector_of_update
from kinformer.testing._apiserver.store.status import Cause, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["changes_beside_faults", "validate_change"]

_POD_RULE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_STATEFULSET_RULE: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFULSET_CHANGES: Final = {
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds"),
    "persistentVolumeClaimRetentionPolicy",
}
_CLAIM_RULE: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_VOLUME_CHANGES: Final = {
    *("capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions"),
    *("volumeMode", "nodeAffinity", "volumeAttributesClassName"),
}

_FIXED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    **{("apps", plural): ("spec.selector",) for plural in ("deployments", "replicasets", "daemonsets")},
    ("batch", "jobs"): (
        *("spec.completions", "spec.selector", "spec.template", "spec.completionMode", "spec.podFailurePolicy"),
        *("spec.backoffLimitPerIndex", "spec.managedBy", "spec.successPolicy"),
    ),
    ("networking.k8s.io", "ingressclasses"): ("spec.controller",),
    ("storage.k8s.io", "storageclasses"): ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    ("scheduling.k8s.io", "priorityclasses"): ("preemptionPolicy",),
    ("node.k8s.io", "runtimeclasses"): ("handler",),
    ("discovery.k8s.io", "endpointslices"): ("addressType",),
    ("", "secrets"): ("type",),
    ("certificates.k8s.io", "clustertrustbundles"): ("spec.signerName",),
    ("apiextensions.k8s.io", "customresourcedefinitions"): ("spec.group", "spec.names.plural", "spec.names.kind"),
}
"""The fields of which a change is refused as "field is immutable"."""

_SEALED: Final = {("", "configmaps"): ("data", "binaryData"), ("", "secrets"): ("data",)}
"""The fields that `immutable: true` seals."""


def validate_change(kind: ResourceType, before: dict[str, Any], after: dict[str, Any], subresource: str = "") -> None:
    """Refuse a change of a field that cannot be changed.

    Raises:
        Refusal: 422.
    """
    if kind.custom:
        return
    changes = _changes_of_state if subresource == "status" else partial(_changes, subresource=subresource)
    causes = changes(kind, before, after)
    if causes:
        raise invalid(kind.kind, before["metadata"]["name"], causes, kind.group)


def _changes(kind: ResourceType, before: dict[str, Any], after: dict[str, Any], *, subresource: str) -> list[Cause]:
    """Return why an object cannot follow on the one before."""
    causes = [
        _is_immutable(path, value)
        for path in _FIXED.get(kind.storage, ())
        if (value := _at(after, path)) != _at(before, path) and not _is_free(kind, before, path)
    ]
    causes += _of_own_rules(kind, before, after, subresource)
    old, new = before.get("spec") or {}, after.get("spec") or {}
    match kind.storage:
        case ("apps", "statefulsets") if _except(old, _STATEFULSET_CHANGES) != _except(new, _STATEFULSET_CHANGES):
            causes.append(_forbidden("spec", _STATEFULSET_RULE))
        case ("", "persistentvolumeclaims") if _fixed_in_claim(old, before) != _fixed_in_claim(new, before):
            causes.append(_forbidden("spec", _CLAIM_RULE))
        case ("", "services") if old.get("clusterIP") and new.get("clusterIP") not in {None, old["clusterIP"]}:
            shown = json.dumps([new["clusterIP"]])
            causes.append(
                ("FieldValueInvalid", f"Invalid value: {shown}: may not change once set", "spec.clusterIPs[0]")
            )
        case ("scheduling.k8s.io", "priorityclasses") if before.get("value", 0) != after.get("value", 0):
            causes.append(_forbidden("value", "may not be changed in an update."))
        case ("certificates.k8s.io", "podcertificaterequests") | ("storagemigration.k8s.io", _) if old != new:
            causes.append(invalid_value("spec", _as_in_go(kind.plural, new), "field is immutable"))
        case ("apiextensions.k8s.io", "customresourcedefinitions"):
            causes += check_stored_versions(new, after.get("status") or {})
        case ("rbac.authorization.k8s.io", _) if _role(before) != _role(after):
            causes.append(("FieldValueInvalid", f"Invalid value: {_role(after)}: cannot change roleRef", "roleRef"))
        case _:
            pass
    if kind.storage == ("", "persistentvolumes"):
        causes += _of_volume(old, new)
    elif kind.storage == ("", "services") and _is_balanced(old) and _is_balanced(new):
        causes += _of_balancer(old, new)
    return causes + _sealed(kind, before, after)


def _of_own_rules(kind: ResourceType, before: dict[str, Any], after: dict[str, Any], subresource: str) -> list[Cause]:
    """Return the causes of the kinds whose rules for a change are their own."""
    old, new = before.get("spec") or {}, after.get("spec") or {}
    match kind.storage:
        case ("", "pods") if not subresource:
            return _of_pod(old, new)
        case ("", "pods") if subresource == "ephemeralcontainers":
            return _of_ephemeral(old, new)
        case ("", "pods") if subresource == "resize":
            return [*_of_resize(old, new)]
        case ("", "nodes"):
            return _of_node(old, new)
        case ("", "events") if kind.group:
            return _of_event(before, after)
        case ("", "resourcequotas") if (old.get("scopes") or []) != (new.get("scopes") or []):
            return [invalid_value("spec.scopes", new.get("scopes"), "field is immutable")]
        case ("batch", "jobs"):
            return check_selector_of_update(before, after)
    return []


def _changes_of_state(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> list[Cause]:
    """Return why the state of an object cannot follow on the one before."""
    old, new = before.get("status") or {}, after.get("status") or {}
    match kind.storage:
        case ("certificates.k8s.io", "podcertificaterequests") if old != new:
            ends = {"Issued", "Denied", "Failed"}
            if _true_conditions(old) & ends:
                return [_wrong_state("immutable after PodCertificateRequest is issued, denied, or failed")]
            if not _true_conditions(new) & ends:
                why = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
                return [_wrong_state(why)]
            if "Issued" not in _true_conditions(new) and new.keys() - {"conditions"}:
                why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
                return [_wrong_state(why)]
        case ("storagemigration.k8s.io", "storageversionmigrations"):
            return _migration_state(old, new)
    return []


def _wrong_state(why: str) -> Cause:
    return "FieldValueInvalid", f"Invalid value: {why}", "status"


def _true_conditions(state: dict[str, Any]) -> set[str]:
    return {one["type"] for one in state.get("conditions") or () if one.get("status") == "True"}


def _migration_state(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    """The rules of a migration (pkg/apis/storagemigration/validation, ValidateStorageVersionMigrationStatusUpdate)."""
    causes = []
    if old.get("resourceVersion") not in {None, "", new.get("resourceVersion")}:
        causes.append(_is_immutable("status.resourceVersion", new.get("resourceVersion", "")))
    order = ("type", "status", "observedGeneration", "lastTransitionTime", "reason", "message")
    given = [{name: one[name] for name in order if name in one} for one in new.get("conditions") or ()]
    reasons = []
    if {"Succeeded", "Failed"} <= _true_conditions(new):
        reasons.append("Both success and failed conditions cannot be true at the same time")
    reasons += [
        f"{word} condition cannot be set to false once it is true"
        for word, kind in (("Success", "Succeeded"), ("Failed", "Failed"))
        if kind in _true_conditions(old) - _true_conditions(new)
    ]
    return causes + [invalid_value("status.conditions", given, why) for why in reasons]


_GO_FIELDS: Final = {
    "podcertificaterequests": {
        **{name: name[:1].upper() + name[1:] for name in ("signerName", "podName", "podUID", "serviceAccountName")},
        **{name: name[:1].upper() + name[1:] for name in ("serviceAccountUID", "nodeName", "nodeUID")},
        "maxExpirationSeconds": "MaxExpirationSeconds",
        "pkixPublicKey": "PKIXPublicKey",
        "proofOfPossession": "ProofOfPossession",
        "stubPKCS10Request": "StubPKCS10Request",
        "unverifiedUserAnnotations": "UnverifiedUserAnnotations",
    },
    "storageversionmigrations": {"resource": "Resource"},
}
"""The fields of a spec as Go prints its internal type, in their order."""


def _as_in_go(plural: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {go: spec.get(name) for name, go in _GO_FIELDS[plural].items()}


def _is_immutable(path: str, value: Any) -> Cause:
    shown = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return "FieldValueInvalid", f"Invalid value: {shown}: field is immutable", path


def _forbidden(path: str, rule: str) -> Cause:
    return "FieldValueForbidden", f"Forbidden: {rule}", path


def _is_free(kind: ResourceType, before: dict[str, Any], path: str) -> bool:
    """Report whether a job that is suspended, and has not begun, may still change its template (KEP-2926)."""
    if kind.storage != ("batch", "jobs") or path != "spec.template":
        return False
    return bool(_at(before, "spec.suspend")) and not _at(before, "status.startTime")


def _at(manifest: dict[str, Any], path: str) -> Any:
    value: Any = manifest
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _except(spec: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in names}


def _of_volume(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    if _except(old, _VOLUME_CHANGES) != _except(new, _VOLUME_CHANGES):
        what = "spec.persistentvolumesource"
        causes.append(_forbidden(what, f"{what} is immutable after creation"))
    if (old.get("volumeMode") or "Filesystem") != (mode := new.get("volumeMode") or "Filesystem"):
        causes.append(("FieldValueInvalid", f'Invalid value: "{mode}": field is immutable', "volumeMode"))
    if old.get("nodeAffinity") is not None and old["nodeAffinity"] != new.get("nodeAffinity"):
        shown = json.dumps(new.get("nodeAffinity"), separators=(",", ":"))
        why = "field is immutable, except for updating from beta label to GA"
        causes.append(("FieldValueInvalid", f"Invalid value: {shown}: {why}", "nodeAffinity"))
    return causes


def _is_balanced(spec: dict[str, Any]) -> bool:
    return spec.get("type") == "LoadBalancer"


def _of_balancer(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    if old.get("loadBalancerClass") != (given := new.get("loadBalancerClass")):
        why = "may not change once set"
        causes.append(("FieldValueInvalid", f"Invalid value: {json.dumps(given)}: {why}", "spec.loadBalancerClass"))
    ports = old.get("healthCheckNodePort"), new.get("healthCheckNodePort")
    if all(spec.get("externalTrafficPolicy") == "Local" for spec in (old, new)) and all(ports) and ports[0] != ports[1]:
        causes.append(_forbidden("spec.healthCheckNodePort", "field is immutable"))
    return causes


def _of_pod(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    for field in ("containers", "initContainers"):
        if len(old.get(field) or ()) != len(new.get(field) or ()):
            return [_forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
    causes = []
    seconds, left = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if seconds is not None and left is None:
        why = "must not update from a positive integer to nil value"
        causes.append(invalid_value("spec.activeDeadlineSeconds", None, why))
    elif seconds is not None and left > seconds:
        causes.append(invalid_value("spec.activeDeadlineSeconds", left, "must be less than or equal to previous value"))
    kept = [_except(one, {"tolerationSeconds"}) for one in new.get("tolerations") or ()]
    if any(_except(one, {"tolerationSeconds"}) not in kept for one in old.get("tolerations") or ()):
        why = "existing toleration can not be modified except its tolerationSeconds"
        causes.append(_forbidden("spec.tolerations", why))
    return causes + ([_forbidden("spec", _POD_RULE)] if _fixed_in_pod(old) != _fixed_in_pod(new) else [])


def _of_resize(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Cause]:
    """The rules of a change of a pod's resources (pkg/apis/core/validation, ValidatePodResize)."""
    if (was := quality(old)) != quality(new):
        yield invalid_value("spec", was, "Pod QOS Class may not change as a result of resizing")
    for field in ("containers", "initContainers"):
        names, others = ([one.get("name") for one in spec.get(field) or ()] for spec in (old, new))
        if names != others:
            yield _forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            return
    if _not_resized(old) != _not_resized(new):
        yield _forbidden("spec", "only cpu and memory resources are mutable")


def _not_resized(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources of the containers but for those that a resize may change; a part without others counts as none."""
    return [
        {
            part: others
            for part, amounts in (container.get("resources") or {}).items()
            if part in {"requests", "limits"}
            and (others := {name: str(amount) for name, amount in amounts.items() if name not in {"cpu", "memory"}})
        }
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
    ]


_JUDGED_TOGETHER: Final = {("apps", plural) for plural in ("deployments", "replicasets", "daemonsets")}


def changes_beside_faults(
    kind: ResourceType, before: dict[str, Any], after: dict[str, Any], subresource: str
) -> list[Cause]:
    """Return why an object that is not valid could not follow on the one before, either.

    Only the changes are judged that need no defaults: the selector of a workload, and the resize of a pod.
    """
    if kind.storage == ("", "pods") and subresource == "resize":
        return [*_of_resize(before.get("spec") or {}, after.get("spec") or {})]
    if kind.storage in _JUDGED_TOGETHER and not subresource:
        selector = _at(after, "spec.selector")
        return [_is_immutable("spec.selector", selector)] if selector != _at(before, "spec.selector") else []
    return []


def _of_ephemeral(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    """The rules of containers that are added to a pod that runs (ValidatePodEphemeralContainersUpdate)."""
    causes = []
    there = {one["name"]: one for one in new.get("ephemeralContainers") or ()}
    for one in old.get("ephemeralContainers") or ():
        fate = "removed" if one["name"] not in there else "changed" if there[one["name"]] != one else ""
        if fate:
            why = f'existing ephemeral containers "{one["name"]}" may not be {fate}\n'
            causes.append(_forbidden("spec.ephemeralContainers", why))
    return causes


def _of_node(old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    """The rules of a node (pkg/apis/core/validation, ValidateNodeUpdate)."""
    causes = []
    only_once = 'node updates may not change {} except from "" to valid'
    if old.get("podCIDRs") and old["podCIDRs"] != new.get("podCIDRs"):
        causes.append(_forbidden("spec.podCIDRs", only_once.format("podCIDR")))
    if old.get("providerID") and old["providerID"] != new.get("providerID"):
        causes.append(_forbidden("spec.providerID", only_once.format("providerID")))
    if (old.get("externalID") or "") != (new.get("externalID") or ""):
        causes.append(_forbidden("spec.externalID", "may not be updated"))
    return causes


_OF_EVENT: Final = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
}
"""The fields of an Event of events.k8s.io that stay, and their names in a refusal; its series may change."""

_REFERENCE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_TEXTS_OF_EVENT: Final = {"reason", "message", "type", "action", "reportingController", "reportingInstance"}


def _of_event(before: dict[str, Any], after: dict[str, Any]) -> list[Cause]:
    """The rules of an Event (pkg/apis/core/validation/events.go, ValidateEventUpdate)."""
    causes = []
    for field, shown in _OF_EVENT.items():
        value = after.get(field)
        if (before.get(field) or None) == (value or None):
            continue
        if field in {"regarding", "related"} and value is not None:
            names = {"uid": "UID", "apiVersion": "APIVersion"}
            value = {names.get(name) or name[0].upper() + name[1:]: value.get(name) or "" for name in _REFERENCE}
        elif value is None and shown in _TEXTS_OF_EVENT:
            value = ""
        causes.append(invalid_value(shown, value, "field is immutable"))
    return causes


def _fixed_in_pod(spec: dict[str, Any]) -> dict[str, Any]:
    """The part of a pod's spec that stays as it was created (pkg/apis/core/validation, ValidatePodUpdate)."""
    kept = _except(spec, {"activeDeadlineSeconds", "tolerations", "schedulingGates"})
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [_except(part, {"image"}) for part in kept[field]]
    if kept.get("terminationGracePeriodSeconds", 0) < 0:
        kept["terminationGracePeriodSeconds"] = 1
    return kept


def _fixed_in_claim(spec: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    # A claim is bound by the name of its volume, once.
    free = set() if _at(before, "spec.volumeName") else {"volumeName"}
    if _at(before, "status.phase") == "Bound":
        free |= {"resources", "volumeAttributesClassName"}
    return _except(spec, free)


def _role(manifest: dict[str, Any]) -> str:
    role = manifest.get("roleRef") or {}
    shown = {
        "APIGroup": role.get("apiGroup") or "rbac.authorization.k8s.io",
        "Kind": role.get("kind", ""),
        "Name": role.get("name", ""),
    }
    return json.dumps(shown, separators=(",", ":"))


def _sealed(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> list[Cause]:
    if kind.storage not in _SEALED or not before.get("immutable"):
        return []
    names = ["immutable"] if not after.get("immutable") else []
    names += [name for name in _SEALED[kind.storage] if before.get(name) != after.get(name)]
    return [_forbidden(name, "field is immutable when `immutable` is set") for name in names]
