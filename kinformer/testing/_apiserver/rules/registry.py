"""The rules of writing: create, update and apply, by the strategies of a kube-apiserver's registry."""

from __future__ import annotations

import secrets
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.admission import admit, check_ports, without_admission
from kinformer.testing._apiserver.rules.bodies import as_object, check_object, check_types
from kinformer.testing._apiserver.rules.conversions import as_stored, in_version
from kinformer.testing._apiserver.rules.defaults import HAS_GENERATION, establish, fill_in, in_order, select_pods_of_job
from kinformer.testing._apiserver.rules.immutable import validate_change
from kinformer.testing._apiserver.rules.life_cycle import CRDS, JOBS, NAMESPACES, PODS, DeleteOptions, LifeCycle
from kinformer.testing._apiserver.rules.managed_fields import Manager, record_update, server_side_apply
from kinformer.testing._apiserver.rules.subresources import changed_part
from kinformer.testing._apiserver.rules.validation import prune, validate
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import Storage, Store, Stored, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

__all__ = ["Registry", "Write"]

# Generated names (apiserver pkg/storage/names/generate.go): labels, the last five letters of which are random.
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 5
_LONGEST_PREFIX: Final = 63 - _SUFFIX_LENGTH
_SECRETS: Final = ("", "secrets")
_SERVICES: Final = ("", "services")

_VOLUMES: Final = ("", "persistentvolumes")

# A LimitRange without a name gets one (pkg/registry/core/limitrange/strategy.go).
_LIMITS: Final = ("", "limitranges")

# A kubelet registers its node with its status (pkg/registry/core/node/strategy.go).
_CREATED_WITH_STATUS: Final = {("", "nodes")}

_MOST_BYTES: Final = 1_572_864
"""Bytes of an object in etcd (etcd --max-request-bytes)."""

_MOST_SENT: Final = 2_097_152
"""Bytes of a message to etcd (etcd client, MaxCallSendMsgSize)."""

_CREATED_BY_UPDATE: Final = {
    *(("", plural) for plural in ("endpoints", "events", "limitranges", "services")),
    *(
        ("rbac.authorization.k8s.io", plural)
        for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
    ),
    ("coordination.k8s.io", "leases"),
    ("node.k8s.io", "runtimeclasses"),
}
"""The resources of which a PUT creates an absent object (AllowCreateOnUpdate of their strategies)."""

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

_COUNTED_METADATA: Final = {("apps", "deployments"): "annotations", ("discovery.k8s.io", "endpointslices"): "labels"}
"""The fields of the metadata whose changes a generation counts, too."""

_KEPT_BY_STATUS: Final = {("apps", "deployments"): ("labels",)}
"""The fields of the metadata that a write to the status leaves, of resources where it changes the others."""

_REVISION: Final = "deployment.kubernetes.io/revision"

_STATUS_ALONE: Final = {
    ("networking.k8s.io", "servicecidrs"),
    *(("flowcontrol.apiserver.k8s.io", plural) for plural in ("flowschemas", "prioritylevelconfigurations")),
    ("resource.k8s.io", "resourceclaims"),
}
"""The built-in resources of which a write to the status changes no labels, annotations, finalizers or owners."""

# The fields of metadata that only the server sets.
_SERVER_FIELDS: Final = (
    *("name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "generateName", "selfLink"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)


@dataclass(frozen=True, slots=True)
class Write:
    """The circumstances of a write.

    Attributes:
        manager: the manager of the fields that it changes.
        subresource: the part of the object that it may change; "" for the object itself.
        dry_run: nothing is stored.
        any_size: the limits on the size of objects do not hold.
        patched: the new state is a patched object, so that its uid counts as a field and not as a precondition.
        field_validation: what happens to undeclared fields: "Strict" refuses them, "Warn" and "Ignore" drop them.
        patch: the patch, if there is one; errors show the fields that it touches in order.
        faults: the undeclared and the duplicate fields that were found, as `unknown field "spec.foo"`.
    """

    manager: str = "unknown"
    subresource: str = ""
    dry_run: bool = False
    patched: bool = False
    any_size: bool = False
    field_validation: str = "Warn"
    patch: Any = None
    faults: list[str] = field(default_factory=list)

    def checked(self, kind: ResourceType, body: Any, namespace: str) -> dict[str, Any]:
        """Read the body of a write; note undeclared fields, or refuse them.

        Raises:
            Refusal: 400; 422 for a patch.
        """
        unknown: list[str] = []
        read = check_object(kind, body, namespace, unknown=unknown)
        if kind.custom:
            read = prune(kind, read, unknown)
        self.faults.extend(f'unknown field "{path}"' for path in unknown)
        if self.field_validation == "Strict" and self.faults:
            why = f"strict decoding error: {', '.join(self.faults)}"
            if self.patched:
                raise status.unreadable_patch(body, why, body if kind.custom else self.patch)
            msg = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'
            raise status.bad_request(msg)
        return read if kind.custom else prune(kind, read)

    def of(self, kind: ResourceType) -> Manager:
        """The manager, for objects of a kind."""
        takes_metadata = not kind.custom and kind.storage not in _STATUS_ALONE
        return Manager(self.manager, kind.api_version, self.subresource, takes_metadata)


class Registry:
    """Writes to a store by the API server's rules.

    Args:
        store: the store.
        catalog: the resources; posted CRDs are added to it.
        clock: the time, for timestamps.
        on_gone: called with each resource that is no longer served, after its CRD is deleted.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        clock: Callable[[], datetime],
        on_gone: Callable[[Storage], None],
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.life_cycle = LifeCycle(store, catalog, clock=clock, on_gone=on_gone)
        self._clock = clock

    def now(self) -> str:
        """The time as objects carry it."""
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, kind: ResourceType, namespace: str, name: str) -> Stored:
        """One object, in the version of the kind.

        Raises:
            Refusal: 404.
        """
        stored = self.life_cycle.get(kind, namespace, name)
        manifest = in_version(kind, stored.manifest)
        # The JSON that is kept beside an object is that of the version that it is stored in.
        return stored if manifest is stored.manifest else Stored(manifest, b"", stored.revision)

    def create(self, kind: ResourceType, namespace: str, body: Any, write: Write = Write()) -> Stored:
        """Store a new object.

        Raises:
            Refusal: 400, 403, 404 (no such namespace), 409, 422.
        """
        manifest = write.checked(kind, body, namespace)
        metadata = manifest["metadata"]
        version = metadata.get("resourceVersion") or ""
        if version.isdecimal() and int(version):
            raise status.failed("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(_SUFFIX_LENGTH))
            metadata["name"] = metadata["generateName"][:_LONGEST_PREFIX] + suffix
        if not metadata.get("name") and kind.storage == _LIMITS:
            metadata["name"] = str(uuid.uuid4())
        if kind.namespaced:
            metadata["namespace"] = namespace
        admit(self.store, kind, manifest)
        validate(kind, manifest, any_size=write.any_size)
        name = metadata["name"]
        if kind.namespaced:
            self.check_namespace(kind, namespace, name)
        if self.store.get(kind.storage, (namespace, name)) is not None:
            raise status.already_exists(kind, name)
        check_ports(self.store, kind, manifest, name)
        given = metadata.get("managedFields")
        return self._insert(kind, namespace, manifest, write, given=given)

    def _insert(
        self,
        kind: ResourceType,
        namespace: str,
        manifest: dict[str, Any],
        write: Write,
        *,
        given: list[dict[str, Any]] | None = None,
        applied: bool = False,
    ) -> Stored:
        now = self.now()
        metadata = manifest["metadata"]
        managed = metadata.pop("managedFields", None) if applied else None
        for ours in ("managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(ours, None)
        version = metadata.pop("resourceVersion", None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
        metadata.pop("generation", None)
        if kind.namespaced:
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        if kind.custom or kind.storage in HAS_GENERATION:
            metadata["generation"] = 1
        if _makes_status(kind):
            manifest.pop("status", None)
        before_defaults = _given_spec(manifest)
        given_status = deepcopy(manifest.get("status"))
        fill_in(kind, manifest, number=self.store.revision)
        if kind.storage == _VOLUMES:
            manifest["status"]["lastPhaseTransitionTime"] = now
        if not applied:
            # The fields that admission adds, and the server's own status, have no owner.
            owned = _without_admission(kind, manifest, before_defaults, given_status)
            managed = record_update(
                *(None, owned),
                structure=kind.structure,
                custom=kind.custom,
                manager=write.of(kind),
                now=now,
                given=given,
            )
        if managed:
            metadata["managedFields"] = managed
        if kind.storage == JOBS:
            select_pods_of_job(manifest)
        if write.dry_run:
            if version:
                metadata["resourceVersion"] = version
            return Stored(in_order(manifest), b"", self.store.revision)
        # The store fills it in, at its place.
        metadata["resourceVersion"] = ""
        _check_size(manifest, write)
        stored = self._put(kind, (namespace, metadata["name"]), in_order(manifest))
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
            self.life_cycle.put(kind, (namespace, metadata["name"]), establish(manifest, now))
        return stored

    def _put(self, kind: ResourceType, key: tuple[str, str], manifest: dict[str, Any]) -> Stored:
        """Store an object in the version that it is stored in; returns it in the version of the kind."""
        hub = as_stored(manifest)
        stored = self.life_cycle.put(kind, key, hub)
        if hub is manifest:
            return stored
        return Stored(in_version(kind, stored.manifest), b"", stored.revision)

    def update(
        self, kind: ResourceType, namespace: str, name: str, body: Any, write: Write = Write()
    ) -> tuple[Stored, bool]:
        """Store a new state of an object, and say whether the object is new; the same state again is no write.

        Raises:
            Refusal: 400, 404, 409, 422.
        """
        absent = self.store.get(kind.storage, (namespace, name)) is None
        if absent and kind.storage in _CREATED_BY_UPDATE and not write.patched and not write.subresource:
            given = as_object(body, kind.kind)
            check_types(given, kind.kind, kind.version, kind.structure)
            given = given | {"metadata": {"name": name} | (given.get("metadata") or {})}
            return self.create(kind, namespace, given, write), True
        manifest = write.checked(kind, body, namespace)
        return self._replace(kind, namespace, name, manifest, write), False

    def _replace(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        manifest: dict[str, Any],
        write: Write,
        *,
        applied: bool = False,
    ) -> Stored:
        current = self.get(kind, namespace, name)
        before = current.manifest["metadata"]
        given = manifest["metadata"].get("managedFields")
        _check_identity(kind, name, manifest["metadata"], before, write, applied=applied)
        manifest = self._next_state(kind, current.manifest, manifest, write)
        _refuse_new_finalizers(kind, name, before, manifest["metadata"])
        if write.subresource != "status":
            validate_change(kind, current.manifest, manifest, write.subresource)
        old_managed = before.get("managedFields")
        new = {field: value for field, value in manifest["metadata"].items() if field != "managedFields"}
        manifest["metadata"] = new
        unmanaged = {field: value for field, value in before.items() if field != "managedFields"}
        is_same = manifest == current.manifest | {"metadata": unmanaged}
        if applied:
            managed = given
            if is_same and managed == old_managed:
                return current
        else:
            if is_same and given != [{}]:
                return current
            managed = record_update(
                *(current.manifest, manifest),
                structure=kind.structure,
                custom=kind.custom,
                manager=write.of(kind),
                now=self.now(),
                given=given,
            )
        if managed:
            new["managedFields"] = managed
        if "generation" in before and _meaning(kind, manifest) != _meaning(kind, current.manifest):
            new["generation"] = before["generation"] + 1
        return self._store(kind, (namespace, name), in_order(manifest), current, write)

    def _store(
        self, kind: ResourceType, key: tuple[str, str], manifest: dict[str, Any], current: Stored, write: Write
    ) -> Stored:
        if write.dry_run:
            return Stored(manifest, b"", current.revision)
        metadata = manifest["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not LifeCycle.waits(kind, manifest):
            # The write itself is never stored, so a watch sees the state before it (registry/generic/registry/store.go,
            # deleteWithoutFinalizers), and the answer has that state's version.
            self.life_cycle.remove(kind, key, as_stored(current.manifest))
            return Stored(manifest, b"", current.revision)
        _check_size(manifest, write)
        stored = self._put(kind, key, manifest)
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
        if kind.storage == NAMESPACES:
            # It may have waited for this finalizer alone.
            self.life_cycle.finish_namespace(key[1])
        return stored

    def put(self, kind: ResourceType, namespace: str, manifest: dict[str, Any]) -> Stored:
        """Store a state that the server itself has made of an object, by no rule but its own."""
        manifest = in_order(manifest | {"metadata": dict(manifest["metadata"])})
        return self._put(kind, (namespace, manifest["metadata"]["name"]), manifest)

    def put_status(self, kind: ResourceType, namespace: str, name: str, status: Any, write: Write) -> None:
        """Store a status that a controller of the server has made, without the checks of a request.

        Raises:
            Refusal: 404.
        """
        current = self.life_cycle.get(kind, namespace, name).manifest
        if current.get("status") == status:
            return
        manifest = current | {"metadata": dict(current["metadata"]), "status": status}
        # Nothing else differs, so that nothing else needs to be compared.
        before, after = ({name: one[name] for name in ("status",) if name in one} for one in (current, manifest))
        before["metadata"] = {"managedFields": current["metadata"].get("managedFields") or []}
        managed = record_update(
            *(before, after),
            structure=kind.structure,
            custom=kind.custom,
            manager=write.of(kind),
            now=self.now(),
        )
        if managed:
            manifest["metadata"]["managedFields"] = managed
        self.life_cycle.put(kind, (namespace, name), in_order(manifest))

    def apply(
        self, kind: ResourceType, namespace: str, name: str, body: Any, write: Write, *, force: bool
    ) -> tuple[Stored, bool]:
        """Server-side apply; also says whether the object is new.

        Raises:
            Refusal: as `create` and `update`; 409 when others have fields with other values, and it is not forced.
        """
        given = as_object(body, kind.kind)
        if not (given.get("apiVersion") and given.get("kind")):
            raise status.bad_request(f"invalid object type: /, Kind={given.get('kind') or ''}")
        applied = check_object(kind, given, namespace, applied=True)
        if applied["metadata"].get("managedFields"):
            raise status.bad_request("metadata.managedFields must be nil")
        sent = dict(applied["metadata"])
        applied["metadata"].setdefault("name", name)
        current = None
        if self.store.get(kind.storage, (namespace, name)) is not None:
            current = self.get(kind, namespace, name).manifest
        elif uid := applied["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise status.conflict(kind, name, why)
        made = server_side_apply(
            *(current, applied),
            structure=kind.structure,
            manager=write.of(kind),
            force=force,
            now=self.now(),
            sent=sent,
            finish=lambda manifest: manifest if current is None else self._finished(kind, current, manifest, write),
        )
        if current is not None:
            return self._replace(kind, namespace, name, made, write, applied=True), False
        if write.subresource:
            raise status.not_found(kind, name)
        made = prune(kind, made)
        if kind.namespaced:
            made["metadata"]["namespace"] = namespace
        admit(self.store, kind, made)
        validate(kind, made)
        if kind.namespaced:
            self.check_namespace(kind, namespace, name)
        return self._insert(kind, namespace, made, write, applied=True), True

    def _finished(
        self, kind: ResourceType, current: dict[str, Any], manifest: dict[str, Any], write: Write
    ) -> dict[str, Any]:
        """An applied object with its defaults, so that an empty value and its default are the same."""
        finished = prune(kind, manifest)
        if not kind.custom and not write.subresource:
            fill_in(kind, finished, number=self.store.revision)
        return finished | ({"status": current["status"]} if "status" in current and not write.subresource else {})

    def delete(
        self, kind: ResourceType, namespace: str, name: str, options: DeleteOptions, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete an object, or mark it for deletion; returns the answer to the request.

        Raises:
            Refusal: 403, 404, 409.
        """
        answer = self.life_cycle.delete(kind, namespace, name, options, dry_run=dry_run)
        return in_version(kind, answer) if answer.get("kind") == kind.kind else answer

    def _next_state(
        self, kind: ResourceType, current: dict[str, Any], wanted: dict[str, Any], write: Write
    ) -> dict[str, Any]:
        """The next state of an object: the fields that the write may change from it, all others as they are.

        Raises:
            Refusal: 400 or 422, it breaks a rule.
        """
        before, subresource = current["metadata"], write.subresource
        if subresource not in {"", "scale"}:
            state = changed_part(current, prune(kind, {**wanted, "metadata": before}), subresource)
            if subresource == "status" and not kind.custom and kind.storage not in _STATUS_ALONE:
                kept = {name: before.get(name) for name in _KEPT_BY_STATUS.get(kind.storage, ())}
                state["metadata"] = _changed_metadata(wanted["metadata"] | kept, before)
            validate(kind, state, before=current)
            return state
        manifest = prune(kind, wanted)
        manifest["metadata"] = _changed_metadata(manifest["metadata"], before)
        if kind.has_status:
            manifest.pop("status", None)
            if "status" in current:
                manifest["status"] = current["status"]
        if kind.storage == NAMESPACES:
            manifest.setdefault("spec", current["spec"])
        validate(kind, manifest, any_size=write.any_size, before=current)
        check_ports(self.store, kind, manifest, before["name"])
        if not kind.custom:
            self._fill_in_again(kind, current, manifest)
        return in_order(manifest)

    def _fill_in_again(self, kind: ResourceType, current: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Fill in the defaults of an updated object, in place; its status and metadata stay."""
        given = _given_spec(manifest)
        scratch = dict(manifest)
        fill_in(kind, scratch, number=self.store.revision)
        manifest |= {n: value for n, value in scratch.items() if n not in {"metadata", "status", "spec"}}
        for name in manifest.keys() - scratch.keys():
            del manifest[name]
        if "spec" in scratch and kind.storage != NAMESPACES:
            manifest["spec"] = _keeping_assigned(kind, given, scratch["spec"], current.get("spec", {}))

    def check_namespace(self, kind: ResourceType, namespace: str, name: str) -> None:
        """Refuse a new object in a namespace that is absent or ends.

        Raises:
            Refusal: 403, 404.
        """
        found = self.store.get(NAMESPACES, ("", namespace))
        if found is None:
            raise status.not_found(self.catalog.namespaces, namespace)
        if found.manifest["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            message = f'{status.qualified(kind)} "{name}" is forbidden: {why}'
            details = status.details_of(kind, name)
            details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise status.Refusal(403, message, "Forbidden", details)


def _changed_metadata(wanted: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The metadata that is wanted, with the fields that only the server sets as they were."""
    metadata = dict(wanted)
    for name in _SERVER_FIELDS:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in metadata and not metadata[name]:
            del metadata[name]
    return metadata


def _check_size(manifest: dict[str, Any], write: Write) -> None:
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


def _check_identity(
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
    if uid != before["uid"] and not write.patched:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise status.conflict(kind, name, why)
    if version and version != before["resourceVersion"]:
        raise status.conflict(kind, name)
    if uid != before["uid"]:
        cause = ("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
        refusal = status.invalid(kind.kind, name, [cause], kind.group)
        if refusal.details is not None:
            # Two checks find it; the message names it once.
            refusal.details["causes"] *= 2
        raise refusal
    if not version and not applied and (kind.custom or kind.storage in _UPDATED_BY_VERSION):
        cause = (
            "FieldValueInvalid",
            "Invalid value: 0: must be specified for an update",
            "metadata.resourceVersion",
        )
        raise status.invalid(kind.plural, name, [cause], kind.group)


def _refuse_new_finalizers(kind: ResourceType, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
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
        raise status.invalid(
            kind.kind, name, [("FieldValueForbidden", f"Forbidden: {why}", "metadata.finalizers")], kind.group
        )


def _meaning(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """The fields whose changes a generation counts: the spec, or the fields that stand in its place."""
    apart = {"metadata", "status"} if kind.has_status or not kind.custom else {"metadata"}
    meaning = {name: value for name, value in manifest.items() if name not in apart}
    if counted := _COUNTED_METADATA.get(kind.storage):
        given = manifest["metadata"].get(counted) or {}
        # The controller writes its revision together with the status, which counts nothing.
        meaning["metadata"] = {name: value for name, value in given.items() if name != _REVISION}
    return meaning


def _makes_status(kind: ResourceType) -> bool:
    """Report whether the server makes the status of a new object itself."""
    return kind.has_status and kind.storage not in _CREATED_WITH_STATUS


def _given_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """The fields of the spec as it was sent."""
    spec = manifest.get("spec")
    return dict(spec) if isinstance(spec, dict) else {}


def _without_admission(
    kind: ResourceType, manifest: dict[str, Any], given: dict[str, Any], given_status: Any
) -> dict[str, Any]:
    """The manifest without the fields that have no manager: those of admission, and the server's own status."""
    owned = {name: value for name, value in manifest.items() if name != "status" or not _makes_status(kind)}
    owned = without_admission(kind, owned, given)
    if kind.storage == _SERVICES:
        allocated = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} - given.keys()
        owned["spec"] = {name: value for name, value in manifest["spec"].items() if name not in allocated}
    if kind.storage == NAMESPACES:
        owned = {name: value for name, value in owned.items() if name != "spec"}
    if kind.storage in _CREATED_WITH_STATUS:
        owned = {name: value for name, value in owned.items() if name != "status"}
        owned |= {"status": given_status} if given_status else {}
    if kind.plural == "events":
        # Go writes empty texts and times into an empty Event, too.
        owned = {name: value for name, value in owned.items() if value is not None and value != ""}
    return owned


def _keeping_assigned(
    kind: ResourceType, given: dict[str, Any], spec: dict[str, Any], before: dict[str, Any]
) -> dict[str, Any]:
    """A new spec with the addresses that the server assigned to the old one, unless others were given."""
    if kind.storage == PODS:
        return {name: before[name] for name in ("priority", "preemptionPolicy") if name in before} | spec
    if kind.storage != _SERVICES or not before.get("clusterIP"):
        return spec
    kept = {name: before[name] for name in ("clusterIP", "clusterIPs") if name in before and not given.get(name)}
    return spec | kept
