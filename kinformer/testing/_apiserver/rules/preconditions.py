"""The preconditions of a write: the right object, the right version, a size that etcd takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.life_cycle import CRDS
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import encode

if TYPE_CHECKING:
    from kinformer.testing._apiserver.rules.writing import Write
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = [
    "check_created_by_update",
    "check_identity",
    "check_name",
    "check_size",
    "refuse_deletion_by_write",
    "refuse_new_finalizers",
]

_MOST_BYTES: Final = 1_572_864
"""Bytes of an object in etcd (etcd --max-request-bytes)."""

_MOST_SENT: Final = 2_097_152
"""Bytes of a message to etcd (etcd client, MaxCallSendMsgSize)."""

_UPDATED_BY_VERSION: Final = {
    ("node.k8s.io", "runtimeclasses"),
    *(("storage.k8s.io", plural) for plural in ("csidrivers", "csinodes", "csistoragecapacities", "volumeattachments")),
    CRDS,
    ("coordination.k8s.io", "leases"),
    ("policy", "poddisruptionbudgets"),
    *(
        ("admissionregistration.k8s.io", plural)
        for plural in (
            *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
            *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
            *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        )
    ),
    ("apiregistration.k8s.io", "apiservices"),
}
"""The built-in resources that are replaced only with their version (AllowUnconditionalUpdate of their strategies)."""


def check_size(manifest: dict[str, Any], write: Write) -> None:
    """Refuse an object that etcd does not take, in its words.

    Raises:
        Refusal: 500.
    """
    size = 0 if write.any_size else len(encode(manifest, custom=False))
    if size > _MOST_SENT:
        why = f"trying to send message larger than max ({size} vs. {_MOST_SENT})"
        raise status.failed(f"rpc error: code = ResourceExhausted desc = {why}")
    if size > _MOST_BYTES:
        raise status.failed("etcdserver: request is too large")


def check_identity(
    kind: ResourceType,
    name: str,
    metadata: dict[str, Any],
    before: dict[str, Any],
    write: Write,
    *,
    applied: bool,
) -> None:
    """Refuse a write that is about another object, or about another version of it.

    Raises:
        Refusal: 400, 409, 422 or 500.
    """
    if (metadata.get("name") or name) != name:
        msg = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(msg)
    version = metadata.get("resourceVersion")
    if version and not version.isdecimal():
        raise status.failed(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    uid = metadata.get("uid") or before["uid"]
    if uid != before["uid"] and not write.patched and not applied:
        raise _other_uid(kind, name, uid, before, write)
    if version and version != before["resourceVersion"]:
        raise status.conflict(kind, name)
    if uid != before["uid"]:
        cause = ("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
        raise _found_twice(status.invalid(kind.kind, name, [cause], kind.group))
    if not version and not applied and (kind.custom or kind.storage in _UPDATED_BY_VERSION):
        cause = (
            "FieldValueInvalid",
            "Invalid value: 0: must be specified for an update",
            "metadata.resourceVersion",
        )
        raise status.invalid(kind.plural, name, [cause], kind.group)


_PLACES: Final = {
    ("", "services"): "services/specs",
    ("", "endpoints"): "services/endpoints",
    ("", "replicationcontrollers"): "controllers",
    ("", "nodes"): "minions",
    ("networking.k8s.io", "ingresses"): "ingress",
}
"""The resources that etcd has under another name."""


def _other_uid(kind: ResourceType, name: str, uid: str, before: dict[str, Any], write: Write) -> status.Refusal:
    """The refusal of a write to an object of another uid, which names the place of the object in etcd."""
    resource = _PLACES.get(kind.storage, kind.plural)
    if kind.custom or kind.storage == CRDS:
        resource = f"{kind.group}/{resource}"
    steps = ["" if write.dry_run else "/registry", resource, before.get("namespace") or "", name]
    key = "/".join(step for step in steps if step or step is steps[0])
    why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
    place = f"Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return status.conflict(kind, name, f"StorageError: invalid object, Code: 4, {place}")


def check_created_by_update(
    kind: ResourceType, namespace: str, name: str, metadata: dict[str, Any], write: Write
) -> dict[str, Any]:
    """Return the metadata of an object that an update creates: the version that it names counts for nothing.

    Raises:
        Refusal: 409 if it names a uid, since no object has that; 500 for a version that is no number.
    """
    version = metadata.get("resourceVersion")
    if isinstance(version, str) and version and not version.isdecimal():
        raise status.failed(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if uid := metadata.get("uid"):
        raise _other_uid(kind, name, uid, {"uid": "", "namespace": namespace}, write)
    return {field: value for field, value in metadata.items() if field != "resourceVersion"}


def check_name(name: str, body: dict[str, Any], write: Write) -> None:
    """Refuse an update whose body does not name its object (apiserver pkg/endpoints/handlers/update.go, checkName).

    Raises:
        Refusal: 400.
    """
    metadata = body.get("metadata")
    if not write.any_size and not (isinstance(metadata, dict) and metadata.get("name")):
        msg = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(msg)


def refuse_deletion_by_write(kind: ResourceType, name: str, before: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse a write that sets the time or the grace period of a deletion (ValidateObjectMetaAccessorUpdate).

    Raises:
        Refusal: 422.
    """
    causes = [
        invalid_value(f"metadata.{field}", given[field], "field is immutable")
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds")
        if given.get(field) is not None and given[field] != before.get(field)
    ]
    if causes:
        raise status.invalid(kind.kind, name, causes, kind.group)


def refuse_new_finalizers(kind: ResourceType, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """An object that is being deleted takes no new finalizers (apimachinery, ValidateObjectMetaAccessorUpdate).

    Raises:
        Refusal: 422.
    """
    new = [f for f in after.get("finalizers") or () if f not in (before.get("finalizers") or ())]
    if before.get("deletionTimestamp") and new:
        listed = ", ".join(f'"{finalizer}"' for finalizer in sorted(new))
        why = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
        )
        cause = ("FieldValueForbidden", f"Forbidden: {why}", "metadata.finalizers")
        raise _found_twice(status.invalid(kind.kind, name, [cause], kind.group))


def _found_twice(refusal: status.Refusal) -> status.Refusal:
    """Return a refusal with its causes doubled: two checks find the fault, and the message names it once."""
    if refusal.details is not None:
        refusal.details["causes"] *= 2
    return refusal
