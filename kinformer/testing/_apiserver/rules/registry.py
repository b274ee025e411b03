"""The rules of writing: what becomes of an object that is created, changed or deleted.

Synchronous: a write is over when the call returns, with all that follows from it (the content of a namespace that is
deleted, the objects of a CRD, what was owned). A real cluster takes a moment longer for those.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.defaults import HAS_GENERATION, establish, fill_in, in_order, select_pods_of_job
from kinformer.testing._apiserver.rules.field_sets import record_update, server_side_apply
from kinformer.testing._apiserver.rules.validation import check_body, prune, validate, validate_change
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import Key, Storage, Store, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

__all__ = ["DeleteOptions", "Registry"]

# Generated names (apiserver pkg/storage/names/generate.go): labels, the last five letters of which are random.
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 5
_LONGEST_PREFIX: Final = 63 - _SUFFIX_LENGTH
NAMESPACES: Final = ("", "namespaces")
PODS: Final = ("", "pods")
JOBS: Final = ("batch", "jobs")
SECRETS: Final = ("", "secrets")
CRDS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
# Resources whose delete is answered with the object; of all others only a Status is left.
_RETURNED_ON_DELETE: Final = {
    *(
        ("", plural)
        for plural in ("pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims")
    ),
    *(("", plural) for plural in ("podtemplates", "replicationcontrollers", "resourcequotas")),
}

# Admission plugin NamespaceLifecycle.
_IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-public", "kube-system"})

# A kubelet registers its node with its status (pkg/registry/core/node/strategy.go).
_CREATED_WITH_STATUS: Final = {("", "nodes")}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """meta/v1 DeleteOptions, as far as they matter here."""

    uid: str = ""
    resource_version: str = ""
    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    dry_run: bool = False


class Registry:
    """Writes to a store by the API server's rules.

    Args:
        store: where to.
        catalog: what there is; posted CRDs are added to it.
        clock: the time, for timestamps.
        on_gone: told of the resources that are no longer served, once their CRD is deleted.
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
        self._clock = clock
        self._on_gone = on_gone
        self._owned: dict[str, set[tuple[Storage, Key]]] = {}

    def now(self) -> str:
        """The time as objects carry it."""
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, kind: ResourceType, namespace: str, name: str) -> Stored:
        """One object, in the version that is asked for.

        Raises:
            Refusal: 404.
        """
        stored = self.store.get(kind.storage, (namespace, name))
        if stored is None:
            raise status.not_found(kind, name)
        if stored.manifest["apiVersion"] != kind.api_version:
            # Without its JSON, which is that of the version it was written in.
            return Stored(stored.manifest | {"apiVersion": kind.api_version}, b"", stored.revision)
        return stored

    def create(
        self, kind: ResourceType, namespace: str, body: Any, *, manager: str = "unknown", dry_run: bool = False
    ) -> Stored:
        """Store a new object.

        Raises:
            Refusal: 400, 403, 404 (no such namespace), 409, 422.
        """
        manifest = prune(kind, check_body(kind, body, namespace))
        metadata = manifest["metadata"]
        if metadata.get("resourceVersion"):
            raise status.failed("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(_SUFFIX_LENGTH))
            metadata["name"] = metadata["generateName"][:_LONGEST_PREFIX] + suffix
        validate(kind, manifest)
        name = metadata["name"]
        if kind.namespaced:
            self._check_namespace(kind, namespace, name)
        if self.store.get(kind.storage, (namespace, name)) is not None:
            raise status.already_exists(kind, name)
        return self._insert(kind, namespace, manifest, manager=manager, dry_run=dry_run)

    def _insert(
        self,
        kind: ResourceType,
        namespace: str,
        manifest: dict[str, Any],
        *,
        manager: str,
        dry_run: bool,
        managed: list[dict[str, Any]] | None = None,
    ) -> Stored:
        now = self.now()
        metadata = manifest["metadata"]
        for ours in ("resourceVersion", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(ours, None)
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
        fill_in(kind.storage, manifest, number=self.store.revision)
        if managed is None:
            # What admission adds and the status the server makes belong to nobody.
            owned = _without_admission(kind, manifest, before_defaults)
            managed = record_update(None, owned, manager=manager, now=now, custom=kind.custom)
        if managed:
            metadata["managedFields"] = managed
        if kind.storage == JOBS:
            select_pods_of_job(manifest)
        if not dry_run:
            # The store fills it in, at its place.
            metadata["resourceVersion"] = ""
        manifest = in_order(manifest)
        if dry_run:
            return Stored(manifest, b"", self.store.revision)
        stored = self._put(kind, (namespace, metadata["name"]), manifest)
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
            established = establish(manifest, now)
            self._put(kind, (namespace, metadata["name"]), established)
        return stored

    def update(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str = "",
        manager: str = "unknown",
        dry_run: bool = False,
        managed: list[dict[str, Any]] | None = None,
    ) -> Stored:
        """Store a new state of an object; what is the same as before is no write.

        Args:
            kind: what it is.
            namespace: where it is.
            name: which it is.
            body: its new state.
            subresource: "status" to change nothing else.
            manager: who does it.
            dry_run: say what would be stored, and store nothing.
            managed: the managed fields of an apply; by default they are derived from what changed.

        Raises:
            Refusal: 400, 404, 409, 422.
        """
        current = self.get(kind, namespace, name)
        manifest = check_body(kind, body, namespace)
        before = current.manifest["metadata"]
        _check_identity(kind, name, manifest["metadata"], before, applied=managed is not None)
        manifest = self._next_state(kind, current.manifest, manifest, subresource)
        _refuse_new_finalizers(kind, name, before, manifest["metadata"])
        if subresource != "status":
            validate_change(kind, current.manifest, manifest)
        now = self.now()
        old_managed = before.get("managedFields")
        new = dict(manifest["metadata"])
        new.pop("managedFields", None)
        manifest["metadata"] = new
        unmanaged = {name: value for name, value in before.items() if name != "managedFields"}
        if managed is None:
            if manifest | {"metadata": new} == current.manifest | {"metadata": unmanaged}:
                return current
            given = {**current.manifest, "metadata": before}
            managed = record_update(
                given, manifest, manager=manager, now=now, custom=kind.custom, subresource=subresource
            )
        elif manifest == current.manifest | {"metadata": unmanaged} and managed == old_managed:
            return current
        if managed:
            new["managedFields"] = managed
        if "generation" in before and _meaning(kind, manifest) != _meaning(kind, current.manifest):
            new["generation"] = before["generation"] + 1
        manifest = in_order(manifest)
        if dry_run:
            return Stored(manifest, b"", current.revision)
        if new.get("deletionTimestamp") and not new.get("finalizers") and not self._waits(kind, manifest):
            # The write itself is never stored, so a watch sees the state before it (registry/generic/registry/store.go,
            # deleteWithoutFinalizers), and the answer has that state's version.
            self._remove(kind, (namespace, name), current.manifest)
            return Stored(manifest, b"", current.revision)
        stored = self._put(kind, (namespace, name), manifest)
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
        if kind.storage == NAMESPACES:
            # Its last finalizer may have been all it waited for.
            self._finish_namespace(name)
        return stored

    def put(self, kind: ResourceType, namespace: str, manifest: dict[str, Any]) -> Stored:
        """Store a state that the server itself has made of an object, by no rule but its own."""
        manifest = in_order(manifest | {"metadata": dict(manifest["metadata"])})
        return self._put(kind, (namespace, manifest["metadata"]["name"]), manifest)

    def apply(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        body: Any,
        *,
        manager: str,
        force: bool,
        subresource: str = "",
        dry_run: bool = False,
    ) -> tuple[Stored, bool]:
        """Server-side apply; also says whether the object is new.

        Raises:
            Refusal: as `create` and `update`; 409 when others have fields with other values, and it is not forced.
        """
        if isinstance(body, dict) and not (body.get("apiVersion") and body.get("kind")):
            raise status.bad_request(f"invalid object type: /, Kind={body.get('kind') or ''}")
        applied = check_body(kind, body, namespace)
        if applied["metadata"].get("managedFields"):
            raise status.bad_request("metadata.managedFields must be nil")
        applied["metadata"].setdefault("name", name)
        existing = self.store.get(kind.storage, (namespace, name))
        made = server_side_apply(
            None if existing is None else existing.manifest,
            applied,
            manager=manager,
            force=force,
            now=self.now(),
            custom=kind.custom,
            subresource=subresource,
        )
        managed = made["metadata"]["managedFields"]
        if existing is not None:
            stored = self.update(kind, namespace, name, made, subresource=subresource, dry_run=dry_run, managed=managed)
            return stored, False
        if subresource:
            raise status.not_found(kind, name)
        made = prune(kind, made)
        validate(kind, made)
        if kind.namespaced:
            self._check_namespace(kind, namespace, name)
        return self._insert(kind, namespace, made, manager=manager, dry_run=dry_run, managed=managed), True

    def delete(
        self, kind: ResourceType, namespace: str, name: str, options: DeleteOptions, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete an object, or mark it for deletion; returns what the request is answered with.

        Raises:
            Refusal: 404, 409.
        """
        current = self.get(kind, namespace, name)
        metadata = current.manifest["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
                "The object might have been deleted and then recreated"
            )
            raise status.precondition_failed(kind, name, why)
        if options.resource_version and options.resource_version != metadata["resourceVersion"]:
            why = (
                f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
                f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have been modified"
            )
            raise status.precondition_failed(kind, name, why)
        if dry_run:
            return self._deleted(kind, name, current.manifest)
        # What a job made is kept, unless one asks for something else (pkg/registry/batch/job/strategy.go).
        if options.propagation_policy == "Orphan" or (kind.storage == JOBS and not options.propagation_policy):
            self._orphan(metadata["uid"])
        if kind.storage == NAMESPACES and name in _IMMORTAL_NAMESPACES:
            message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise status.Refusal(403, message, "Forbidden", status.details_of(kind, name))
        grace = self._grace(kind, current.manifest, options)
        last = current.manifest
        if kind.storage == PODS or metadata.get("finalizers") or kind.storage == NAMESPACES:
            last = self._mark(kind, (namespace, name), last, grace)
            # A pod that is given no time is marked all the same, and goes with the next revision.
            done = last is not current.manifest and last["metadata"].get("deletionGracePeriodSeconds") == 0
            if kind.storage != PODS or not done or last["metadata"].get("finalizers"):
                return last
        gone = self._remove(kind, (namespace, name), last)
        return self._deleted(kind, name, gone.manifest)

    @staticmethod
    def _deleted(kind: ResourceType, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """What a delete is answered with."""
        if kind.storage in _RETURNED_ON_DELETE or kind.storage == CRDS:
            return manifest
        return status.success(kind, name, manifest["metadata"]["uid"])

    def _mark(self, kind: ResourceType, key: Key, manifest: dict[str, Any], grace: int | None) -> dict[str, Any]:
        """Set the deletionTimestamp; what is marked already is left as it is, unless its time becomes shorter."""
        metadata = dict(manifest["metadata"])
        before = metadata.get("deletionGracePeriodSeconds", 0)
        if metadata.get("deletionTimestamp"):
            if grace is None or grace >= before:
                return manifest
            begun = datetime.fromisoformat(metadata["deletionTimestamp"]) - timedelta(seconds=before)
        else:
            begun = self._clock()
            if "generation" in metadata:
                metadata["generation"] += 1
        due = begun + timedelta(seconds=grace or 0)
        metadata["deletionTimestamp"] = due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        marked = manifest | {"metadata": metadata}
        if kind.storage == NAMESPACES:
            marked["status"] = {"phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = grace or 0
        stored = self._put(kind, key, in_order(marked))
        if kind.storage == NAMESPACES:
            self._empty_namespace(key[1])
        return stored.manifest

    @staticmethod
    def _grace(kind: ResourceType, manifest: dict[str, Any], options: DeleteOptions) -> int | None:
        """Seconds that an object is given to end; only pods on a node are (pkg/registry/core/pod/strategy.go).

        `None` for a pod that is ending already, if nobody says that it shall end sooner.
        """
        given = options.grace_period_seconds
        if kind.storage != PODS:
            return 0
        if manifest["metadata"].get("deletionTimestamp"):
            return given
        if not manifest["spec"].get("nodeName"):
            return 0
        if manifest.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return 0
        return given if given is not None else int(manifest["spec"].get("terminationGracePeriodSeconds", 30))

    @staticmethod
    def _waits(kind: ResourceType, manifest: dict[str, Any]) -> bool:
        """Whether an object that is marked for deletion waits for more than its finalizers."""
        if kind.storage == NAMESPACES:
            return bool(manifest.get("spec", {}).get("finalizers"))
        return bool(manifest["metadata"].get("deletionGracePeriodSeconds"))

    def _next_state(
        self, kind: ResourceType, current: dict[str, Any], wanted: dict[str, Any], subresource: str
    ) -> dict[str, Any]:
        """What a write may change of an object: everything else is as it was.

        Raises:
            Refusal: 400 or 422, it breaks a rule.
        """
        before = current["metadata"]
        if subresource == "status":
            changed = prune(kind, {**wanted, "metadata": before})
            status_now = {"status": changed["status"]} if "status" in changed else {}
            state = {name: value for name, value in current.items() if name != "status"} | status_now
            validate(kind, state)
            return state
        manifest = prune(kind, wanted)
        metadata = dict(manifest["metadata"])
        fixed = (
            *("name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "generateName"),
            *("deletionTimestamp", "deletionGracePeriodSeconds"),
        )
        for name in fixed:
            if name in before:
                metadata[name] = before[name]
            else:
                metadata.pop(name, None)
        for name in ("labels", "annotations", "finalizers", "ownerReferences"):
            if name in metadata and not metadata[name]:
                del metadata[name]
        manifest["metadata"] = metadata
        if kind.has_status:
            manifest.pop("status", None)
            if "status" in current:
                manifest["status"] = current["status"]
        if kind.storage == NAMESPACES:
            manifest.setdefault("spec", current["spec"])
        validate(kind, manifest)
        if not kind.custom and isinstance(manifest.get("spec"), dict):
            scratch = dict(manifest)
            fill_in(kind.storage, scratch, number=self.store.revision)
            if "spec" in scratch:
                manifest["spec"] = _keeping_assigned(kind, scratch["spec"], current.get("spec", {}))
        if kind.storage == SECRETS:
            fill_in(kind.storage, manifest, number=self.store.revision)
        return in_order(manifest)

    def _check_namespace(self, kind: ResourceType, namespace: str, name: str) -> None:
        found = self.store.get(NAMESPACES, ("", namespace))
        if found is None:
            namespaces = self.catalog.lookup("", "v1", "namespaces")
            assert namespaces is not None
            raise status.not_found(namespaces, namespace)
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

    def _put(self, kind: ResourceType, key: Key, manifest: dict[str, Any]) -> Stored:
        before = self.store.get(kind.storage, key)
        self._forget_owners(kind.storage, key, before)
        stored = self.store.put(kind.storage, key, manifest, custom=kind.custom)
        for reference in manifest["metadata"].get("ownerReferences") or ():
            self._owned.setdefault(reference.get("uid", ""), set()).add((kind.storage, key))
        return stored

    def _remove(self, kind: ResourceType, key: Key, manifest: dict[str, Any]) -> Stored:
        """Take an object out of the store, and carry out what follows from that."""
        self._forget_owners(kind.storage, key, self.store.get(kind.storage, key))
        manifest = manifest | {"metadata": dict(manifest["metadata"])}
        gone = self.store.remove(kind.storage, key, manifest, custom=kind.custom)
        if kind.storage == CRDS:
            self._drop_definition(manifest)
        self._collect(manifest["metadata"]["uid"])
        if key[0]:
            self._finish_namespace(key[0])
        return gone

    def _drop_definition(self, crd: dict[str, Any]) -> None:
        types = self.catalog.versions_of((crd["spec"]["group"], crd["spec"]["names"]["plural"]))
        for kind in types[:1]:
            for key in sorted(self.store.all(kind.storage)):
                # Another one may have taken it along.
                if (stored := self.store.get(kind.storage, key)) is not None:
                    self._remove(kind, key, stored.manifest)
        self.catalog.remove_crd(crd["metadata"]["name"])
        for storage in {kind.storage for kind in types}:
            self._on_gone(storage)

    def _empty_namespace(self, namespace: str) -> None:
        for storage in self.store.storages():
            types = self.catalog.versions_of(storage)
            for key in [key for key in self.store.all(storage) if key[0] == namespace]:
                if self.store.get(storage, key) is not None:
                    self.delete(types[0], *key, DeleteOptions(grace_period_seconds=0))
        self._finish_namespace(namespace)

    def _finish_namespace(self, namespace: str) -> None:
        """A namespace that is being deleted goes with the last object in it."""
        found = self.store.get(NAMESPACES, ("", namespace))
        if found is None or not found.manifest["metadata"].get("deletionTimestamp"):
            return
        if any(key[0] == namespace for storage in self.store.storages() for key in self.store.all(storage)):
            return
        kind = self.catalog.lookup("", "v1", "namespaces")
        assert kind is not None
        emptied = found.manifest | {"spec": {}}
        if not found.manifest["metadata"].get("finalizers"):
            self._remove(kind, ("", namespace), emptied)

    def _forget_owners(self, storage: Storage, key: Key, stored: Stored | None) -> None:
        for reference in (stored.manifest["metadata"].get("ownerReferences") or ()) if stored else ():
            owned = self._owned.get(reference.get("uid", ""))
            if owned is not None:
                owned.discard((storage, key))
                if not owned:
                    del self._owned[reference["uid"]]

    def _collect(self, uid: str) -> None:
        """Garbage collection: what was owned by this uid alone goes, too."""
        for storage, key in sorted(self._owned.get(uid, ())):
            stored = self.store.get(storage, key)
            if stored is None:
                continue
            owners = [r["uid"] for r in stored.manifest["metadata"]["ownerReferences"] if r["uid"] != uid]
            kind = self.catalog.versions_of(storage)[0]
            if owners:
                self._without_owner(kind, key, stored, uid)
            else:
                self.delete(kind, *key, DeleteOptions())

    def _orphan(self, uid: str) -> None:
        for storage, key in sorted(self._owned.get(uid, ())):
            stored = self.store.get(storage, key)
            if stored is not None:
                self._without_owner(self.catalog.versions_of(storage)[0], key, stored, uid)

    def _without_owner(self, kind: ResourceType, key: Key, stored: Stored, uid: str) -> None:
        metadata = dict(stored.manifest["metadata"])
        left = [reference for reference in metadata["ownerReferences"] if reference["uid"] != uid]
        if left:
            metadata["ownerReferences"] = left
        else:
            del metadata["ownerReferences"]
        self._put(kind, key, in_order(stored.manifest | {"metadata": metadata}))


def _check_identity(
    kind: ResourceType, name: str, metadata: dict[str, Any], before: dict[str, Any], *, applied: bool
) -> None:
    """Whether a write is about the object that there is, in the version that there is.

    Raises:
        Refusal: 400, 409, 422 or 500.
    """
    if (metadata.get("name") or name) != name:
        msg = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(msg)
    if (metadata.get("uid") or before["uid"]) != before["uid"]:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {before['uid']}"
        raise status.conflict(kind, name, why)
    version = metadata.get("resourceVersion")
    if version and not version.isdecimal():
        raise status.failed(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if version and version != before["resourceVersion"]:
        raise status.conflict(kind, name)
    if not version and kind.custom and not applied:
        cause = (
            "FieldValueInvalid",
            "Invalid value: 0: must be specified for an update",
            "metadata.resourceVersion",
        )
        raise status.invalid(kind.kind, name, [cause], kind.group)


def _refuse_new_finalizers(kind: ResourceType, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """What is being deleted waits for nobody else (apimachinery api/validation, ValidateObjectMetaAccessorUpdate).

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
    """What a generation counts the changes of: the spec, or whatever stands in its place."""
    apart = {"metadata", "status"} if kind.has_status or not kind.custom else {"metadata"}
    return {name: value for name, value in manifest.items() if name not in apart}


def _makes_status(kind: ResourceType) -> bool:
    """Whether the status of a new object is the server's, whatever its creator says."""
    return kind.has_status and kind.storage not in _CREATED_WITH_STATUS


def _given_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """The fields of the spec as it was sent."""
    spec = manifest.get("spec")
    return dict(spec) if isinstance(spec, dict) else {}


def _without_admission(kind: ResourceType, manifest: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The manifest as its manager may claim it: what admission added is left out, and the server's own status."""
    owned = {name: value for name, value in manifest.items() if name != "status" or not _makes_status(kind)}
    if kind.storage == ("", "pods"):
        spec = dict(manifest["spec"])
        if given.get("tolerations") is None:
            spec.pop("tolerations", None)
        owned["spec"] = spec
    if kind.storage == ("", "services"):
        allocated = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} - given.keys()
        owned["spec"] = {name: value for name, value in manifest["spec"].items() if name not in allocated}
    if kind.storage == NAMESPACES:
        owned = {name: value for name, value in owned.items() if name != "spec"}
    return owned


def _keeping_assigned(kind: ResourceType, spec: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A new spec with what the server assigned to the old one, where the new one does not say."""
    if kind.storage == ("", "services") and before.get("clusterIP"):
        return spec | {name: before[name] for name in ("clusterIP", "clusterIPs") if name in before}
    return spec
