"""The life of stored objects: how they are written, deleted, and collected with their owner, namespace or CRD.

Everything is synchronous: a deletion is over when the call returns, with all that follows from it. On a real cluster
the garbage collector and the namespace controller take a moment longer. If these controllers run (`controllers`), they
do it here, too, and `LifeCycle` leaves it to them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.testing._apiserver.rules.admission import PROTECTION
from kinformer.testing._apiserver.rules.bodies import of_type
from kinformer.testing._apiserver.rules.defaults import in_order
from kinformer.testing._apiserver.rules.ending_definitions import begin_to_end, is_ending, without_cleanup
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.storage import Key, Storage, Store, Stored

__all__ = ["CRDS", "JOBS", "NAMESPACES", "PODS", "DeleteOptions", "LifeCycle", "check_preconditions"]

NAMESPACES: Final = ("", "namespaces")
PODS: Final = ("", "pods")
JOBS: Final = ("batch", "jobs")
EVENTS: Final = ("", "events")
ORPHANING: Final = {JOBS, ("", "replicationcontrollers")}
"""The resources whose dependents are kept unless the request says otherwise (DefaultGarbageCollectionPolicy)."""

CRDS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")

# Resources whose delete is answered with the object; the delete of all others is answered with a Status.
_RETURNED_ON_DELETE: Final = {
    *(
        ("", plural)
        for plural in ("pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims")
    ),
    *(("", plural) for plural in ("podtemplates", "replicationcontrollers", "resourcequotas")),
    *(
        ("storage.k8s.io", plural)
        for plural in ("csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses")
    ),
    *(
        ("resource.k8s.io", plural)
        for plural in ("deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices")
    ),
    CRDS,
}

# Admission plugin NamespaceLifecycle.
_IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-public", "kube-system"})

_POLICIES: Final = ("Foreground", "Background", "Orphan")
_ORPHAN: Final = "orphan"
_FOREGROUND: Final = "foregroundDeletion"


class DeleteOptions(msgspec.Struct, frozen=True):
    """The options of a delete (meta/v1 DeleteOptions).

    Attributes:
        uid: the object is deleted only if it has this uid; "" for any.
        resource_version: the object is deleted only in this version; "" for any.
        grace_period_seconds: the seconds that a pod is given to end; `None` for its own.
        propagation_policy: "Orphan", "Background", "Foreground" or "".
        dry_run: nothing is deleted.
    """

    uid: str = ""
    resource_version: str = ""
    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    dry_run: bool = False

    @classmethod
    def read(cls, body: Any, query: Mapping[str, str] | None = None) -> DeleteOptions:
        """Read them from the body of a request, or from its query if there is no body.

        Raises:
            Refusal: 400 for other types, 422 for values that make no sense.
        """
        given = of_type(body, "apis/meta/v1.DeleteOptions")
        query = query or {}
        grace = given.get("gracePeriodSeconds")
        if query.get("gracePeriodSeconds"):
            try:
                grace = int(query["gracePeriodSeconds"])
            except ValueError:
                text = query["gracePeriodSeconds"]
                raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        policy = given.get("propagationPolicy") or query.get("propagationPolicy", "")
        orphan = given.get("orphanDependents")
        _check_policy(policy, orphan=orphan)
        preconditions = given.get("preconditions") or {}
        return cls(
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            grace_period_seconds=grace,
            propagation_policy="Orphan" if orphan else policy,
            dry_run=_dry_run(given.get("dryRun") or [], "DeleteOptions"),
        )


def _check_policy(policy: str, *, orphan: bool | None) -> None:
    """Refuse what apimachinery refuses (meta/v1/validation, ValidateDeleteOptions)."""
    cause = None
    if policy and orphan is not None:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        cause = ("FieldValueInvalid", message, "propagationPolicy")
    elif policy not in {"", *_POLICIES}:
        listed = ", ".join(f'"{name}"' for name in (*_POLICIES, "nil"))
        cause = (
            "FieldValueNotSupported",
            f'Unsupported value: "{policy}": supported values: {listed}',
            "propagationPolicy",
        )
    if cause is not None:
        raise status.invalid("DeleteOptions", "", [cause], group="meta.k8s.io")


def _dry_run(values: list[str], options: str) -> bool:
    if unknown := [value for value in values if value != "All"]:
        shown = " ".join(f'"{value}"' for value in unknown)
        message = f'Unsupported value: [{shown}]: supported values: "All"'
        raise status.invalid(options, "", [("FieldValueNotSupported", message, "dryRun")], group="meta.k8s.io")
    return bool(values)


class LifeCycle:
    """Writes objects to a store and takes them out again, with all that follows.

    Args:
        store: the store.
        catalog: the resources; a deleted CRD is taken out of it.
        clock: the time, for timestamps.
        on_gone: called with each resource that is no longer served, after its CRD is deleted.

    Attributes:
        collects: the dependents of a deleted object go with it at once; otherwise a garbage collector sees to them.
        empties: the content of a deleted namespace goes with it at once; otherwise a controller sees to it.
        protects: the finalizers that protect volumes stay; otherwise they go as soon as the volume is deleted.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        clock: Callable[[], datetime],
        on_gone: Callable[[Storage], None],
    ) -> None:
        self.collects = True
        self.empties = True
        self.protects = False
        self.store = store
        self.catalog = catalog
        self._clock = clock
        self._on_gone = on_gone
        self._owned: dict[str, set[tuple[Storage, Key]]] = {}

    def leave_consequences(self) -> None:
        """Leave all that follows on a deletion to controllers, though none runs."""
        self.collects = self.empties = False
        self.protects = True

    def get(self, kind: ResourceType, namespace: str, name: str) -> Stored:
        """One object as it is stored.

        Raises:
            Refusal: 404.
        """
        stored = self.store.get(kind.storage, (namespace, name))
        if stored is None:
            raise status.not_found(kind, name)
        return stored

    def put(self, kind: ResourceType, key: Key, manifest: dict[str, Any]) -> Stored:
        """Store a state of an object."""
        self._forget_owners(kind.storage, key, self.store.get(kind.storage, key))
        stored = self.store.put(kind.storage, key, manifest, custom=kind.custom)
        for reference in manifest["metadata"].get("ownerReferences") or ():
            self._owned.setdefault(reference.get("uid", ""), set()).add((kind.storage, key))
        return stored

    def delete(
        self, kind: ResourceType, namespace: str, name: str, options: DeleteOptions, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete an object, or mark it for deletion; returns the answer to the request.

        Raises:
            Refusal: 403, 404, 409.
        """
        current = self.get(kind, namespace, name).manifest
        metadata = current["metadata"]
        check_preconditions(kind, name, metadata, options)
        if dry_run or options.dry_run:
            return self._deleted(kind, name, current)
        if kind.storage == NAMESPACES and name in _IMMORTAL_NAMESPACES:
            message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise status.Refusal(403, message, "Forbidden", status.details_of(kind, name))
        if kind.storage == CRDS and (metadata.get("finalizers") or self._held_objects(current)):
            return self._end_definition(kind, name, current)
        last = current
        if not self.collects:
            last = _with_finalizer_of_policy(kind, current, options.propagation_policy)
            metadata = last["metadata"]
        elif options.propagation_policy == "Orphan" or (kind.storage in ORPHANING and not options.propagation_policy):
            return self._abandon(kind, (namespace, name), current, options)
        if kind.storage == PODS or metadata.get("finalizers") or kind.storage == NAMESPACES:
            given = last
            last = self._mark(kind, (namespace, name), last, self._grace(kind, current, options))
            if last is given and last is not current:
                last = self.put(kind, (namespace, name), in_order(last)).manifest
            # A pod that is given no time is marked all the same, and goes with the next revision.
            left = set(last["metadata"].get("finalizers") or ())
            if not self.protects and left == {PROTECTION.get(kind.storage)}:
                # The controllers that wait for the users of a volume are not here; their finalizer goes at once.
                self.remove(kind, (namespace, name), last)
                return last
            is_done = last is not given and last["metadata"].get("deletionGracePeriodSeconds") == 0
            if kind.storage != PODS or not is_done or last["metadata"].get("finalizers"):
                return last
        gone = self.remove(kind, (namespace, name), last)
        return self._deleted(kind, name, gone.manifest)

    def _abandon(self, kind: ResourceType, key: Key, current: dict[str, Any], options: DeleteOptions) -> dict[str, Any]:
        """Delete an object whose dependents stay, by the steps that a garbage collector takes, all at once."""
        held = _with_finalizer_of_policy(kind, current, "Orphan")
        last = self._mark(kind, key, held, self._grace(kind, current, options))
        self._orphan(current["metadata"]["uid"])
        others = [one for one in last["metadata"].get("finalizers") or () if one != _ORPHAN]
        if not others and kind.storage != NAMESPACES and not self.waits(kind, last):
            self.remove(kind, key, last)
            return last
        metadata = {name: value for name, value in last["metadata"].items() if name != "finalizers"}
        done = last | {"metadata": metadata | ({"finalizers": others} if others else {})}
        return self.put(kind, key, in_order(done)).manifest

    def remove(self, kind: ResourceType, key: Key, manifest: dict[str, Any]) -> Stored:
        """Take an object out of the store, and carry out all that follows."""
        self._forget_owners(kind.storage, key, self.store.get(kind.storage, key))
        manifest = manifest | {"metadata": dict(manifest["metadata"])}
        gone = self.store.remove(kind.storage, key, manifest, custom=kind.custom)
        if kind.storage == CRDS:
            self._drop_definition(manifest)
        if self.collects:
            self._collect(manifest["metadata"]["uid"])
        if key[0]:
            self.finish_namespace(key[0])
        if kind.custom:
            self._finish_definition(kind)
        return gone

    @staticmethod
    def waits(kind: ResourceType, manifest: dict[str, Any]) -> bool:
        """Report whether an object that is marked for deletion waits for more than its finalizers."""
        if kind.storage == NAMESPACES:
            return bool(manifest.get("spec", {}).get("finalizers"))
        return bool(manifest["metadata"].get("deletionGracePeriodSeconds"))

    def finish_namespace(self, namespace: str) -> None:
        """Remove a namespace that is marked for deletion if nothing is left in it."""
        found = self.store.get(NAMESPACES, ("", namespace))
        if found is None or not found.manifest["metadata"].get("deletionTimestamp"):
            return
        if not self.empties and self.waits(self.catalog.namespaces, found.manifest):
            return
        if any(key[0] == namespace for storage in self.store.storages() for key in self.store.all(storage)):
            return
        emptied = found.manifest | {"spec": {}}
        if not found.manifest["metadata"].get("finalizers"):
            self.remove(self.catalog.namespaces, ("", namespace), emptied)

    def finalize_namespace(self, namespace: str) -> None:
        """Take the finalizer `kubernetes` from a namespace; remove the namespace if it has no other."""
        found = self.store.get(NAMESPACES, ("", namespace))
        if found is None or not self.waits(self.catalog.namespaces, found.manifest):
            return
        left = [name for name in found.manifest["spec"]["finalizers"] if name != "kubernetes"]
        spec = {"finalizers": left} if left else {}
        emptied = found.manifest | {"metadata": dict(found.manifest["metadata"]), "spec": spec}
        if left or emptied["metadata"].get("finalizers"):
            self.put(self.catalog.namespaces, ("", namespace), in_order(emptied))
        else:
            self.remove(self.catalog.namespaces, ("", namespace), emptied)

    def dependents(self, uid: str) -> list[tuple[Storage, Key]]:
        """Return the objects that name the uid as an owner."""
        return [*self._owned.get(uid, ())]

    @staticmethod
    def _deleted(kind: ResourceType, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """The answer to a delete."""
        if kind.storage in _RETURNED_ON_DELETE:
            return manifest
        return status.success(kind, name, manifest["metadata"]["uid"])

    def _mark(self, kind: ResourceType, key: Key, manifest: dict[str, Any], grace: int | None) -> dict[str, Any]:
        """Set the deletionTimestamp; an object that has one keeps it, unless its time becomes shorter."""
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
        metadata["deletionTimestamp"] = _later(begun, grace or 0)
        marked = manifest | {"metadata": metadata}
        if kind.storage == NAMESPACES:
            marked["status"] = {"phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = grace or 0
        stored = self.put(kind, key, in_order(marked))
        if kind.storage == NAMESPACES and self.empties:
            self._empty_namespace(key[1])
        return stored.manifest

    @staticmethod
    def _grace(kind: ResourceType, manifest: dict[str, Any], options: DeleteOptions) -> int | None:
        """The seconds that an object is given to end: only a pod on a node is (pkg/registry/core/pod/strategy.go).

        `None` for a pod that is ending already, if the request does not shorten its time.
        """
        given = options.grace_period_seconds
        if given is not None and given < 0:
            # A negative time is the shortest (apiserver pkg/registry/rest/delete.go).
            given = 1
        if kind.storage != PODS:
            return 0
        if manifest["metadata"].get("deletionTimestamp"):
            return given
        if not manifest["spec"].get("nodeName"):
            return 0
        if manifest.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return 0
        return given if given is not None else int(manifest["spec"].get("terminationGracePeriodSeconds", 30))

    def _drop_definition(self, crd: dict[str, Any]) -> None:
        types = self.catalog.versions_of((crd["spec"]["group"], crd["spec"]["names"]["plural"]))
        for kind in types[:1]:
            for key in sorted(self.store.all(kind.storage)):
                # Garbage collection may have removed it together with another.
                if (stored := self.store.get(kind.storage, key)) is not None:
                    self.remove(kind, key, stored.manifest)
        self.catalog.remove_crd(crd["metadata"]["name"])
        for storage in {kind.storage for kind in types}:
            self._on_gone(storage)

    def definition_ends(self, kind: ResourceType) -> bool:
        """Report whether the definition of a custom resource is deleted, and waits for its objects."""
        found = self.store.get(CRDS, ("", f"{kind.plural}.{kind.group}")) if kind.custom else None
        return found is not None and is_ending(found.manifest)

    def _held_objects(self, crd: dict[str, Any]) -> bool:
        """Report whether objects of a definition have finalizers, so that they do not go with it at once."""
        storage = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
        return any(stored.manifest["metadata"].get("finalizers") for _, stored in self.store.listed(storage))

    def _end_definition(self, kind: ResourceType, name: str, crd: dict[str, Any]) -> dict[str, Any]:
        """Mark a definition for deletion, and delete its objects; it goes with the last of them."""
        if crd["metadata"].get("deletionTimestamp"):
            return crd
        marked = self.put(kind, ("", name), in_order(begin_to_end(crd, _later(self._clock(), 0)))).manifest
        types = self.catalog.versions_of((crd["spec"]["group"], crd["spec"]["names"]["plural"]))
        for custom in types[:1]:
            for key in sorted(self.store.all(custom.storage)):
                if self.store.get(custom.storage, key) is not None:
                    self.delete(custom, *key, DeleteOptions())
            self._finish_definition(custom)
        return marked

    def _finish_definition(self, kind: ResourceType) -> None:
        """Let a deleted definition go if it has no objects any more."""
        if not self.definition_ends(kind) or any(True for _ in self.store.all(kind.storage)):
            return
        definitions = self.catalog.versions_of(CRDS)[0]
        key = ("", f"{kind.plural}.{kind.group}")
        emptied = without_cleanup(self.get(definitions, *key).manifest, _later(self._clock(), 0))
        last = self.put(definitions, key, in_order(emptied)).manifest
        if not last["metadata"].get("finalizers"):
            self.remove(definitions, key, last)

    def _empty_namespace(self, namespace: str) -> None:
        for storage in self.store.storages():
            types = self.catalog.versions_of(storage)
            for key in [key for key in self.store.all(storage) if key[0] == namespace]:
                if self.store.get(storage, key) is not None:
                    self.delete(types[0], *key, DeleteOptions(grace_period_seconds=0))
        self.finish_namespace(namespace)

    def _forget_owners(self, storage: Storage, key: Key, stored: Stored | None) -> None:
        for reference in (stored.manifest["metadata"].get("ownerReferences") or ()) if stored else ():
            owned = self._owned.get(reference.get("uid", ""))
            if owned is not None:
                owned.discard((storage, key))
                if not owned:
                    del self._owned[reference["uid"]]

    def _collect(self, uid: str) -> None:
        """Delete the objects whose last owner is gone; of the others, drop the reference to it."""
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
        self.put(kind, key, in_order(stored.manifest | {"metadata": metadata}))


def _with_finalizer_of_policy(kind: ResourceType, manifest: dict[str, Any], policy: str) -> dict[str, Any]:
    """The object with the finalizer that the garbage collector answers (registry/generic/registry/store.go)."""
    if kind.storage == EVENTS:
        return manifest
    before = manifest["metadata"].get("finalizers") or []
    if not policy:
        # What a former request said holds; then the default of the resource.
        former = {_ORPHAN: "Orphan", _FOREGROUND: "Foreground"}
        default = "Orphan" if kind.storage in ORPHANING else ""
        policy = next((former[name] for name in (_ORPHAN, _FOREGROUND) if name in before), default)
    added = {"Orphan": [_ORPHAN], "Foreground": [_FOREGROUND]}.get(policy, [])
    after = [name for name in before if name not in {_ORPHAN, _FOREGROUND}] + added
    if sorted(after) == sorted(before):
        return manifest
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "finalizers"}
    return manifest | {"metadata": metadata | ({"finalizers": after} if after else {})}


def _later(begun: datetime, seconds: int) -> str:
    """A moment some seconds later, as objects carry it; the last one there is for a time beyond it."""
    try:
        due = begun + timedelta(seconds=seconds)
    except OverflowError:
        due = datetime.max.replace(tzinfo=UTC)
    return due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_preconditions(kind: ResourceType, name: str, metadata: dict[str, Any], options: DeleteOptions) -> None:
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
