"""The rules of writing: create, update and apply, by the strategies of a kube-apiserver's registry."""

from __future__ import annotations

import uuid
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.admission import admit, check_ports, without_admission
from kinformer.testing._apiserver.rules.bodies import as_object, check_object, check_types
from kinformer.testing._apiserver.rules.certificates import CERTIFICATES, next_request, with_requester
from kinformer.testing._apiserver.rules.condition_times import fill_in_condition_times
from kinformer.testing._apiserver.rules.conversions import in_stored_version, in_version
from kinformer.testing._apiserver.rules.custom_resources import note_stored_version
from kinformer.testing._apiserver.rules.defaults import establish, fill_in, has_generation, in_order, select_pods_of_job
from kinformer.testing._apiserver.rules.ending_definitions import refuse_new_object
from kinformer.testing._apiserver.rules.immutable import changes_beside_faults, validate_change
from kinformer.testing._apiserver.rules.life_cycle import CRDS, JOBS, NAMESPACES, PODS, DeleteOptions, LifeCycle
from kinformer.testing._apiserver.rules.managed_fields import record_update, server_side_apply
from kinformer.testing._apiserver.rules.metadata import check_prefix_again
from kinformer.testing._apiserver.rules.pod_defaults import fill_in_addresses
from kinformer.testing._apiserver.rules.preconditions import (
    check_created_by_update,
    check_identity,
    check_name,
    check_size,
    refuse_deletion_by_write,
    refuse_new_finalizers,
)
from kinformer.testing._apiserver.rules.service_changes import follow_change
from kinformer.testing._apiserver.rules.status_validation import validate_status
from kinformer.testing._apiserver.rules.subresources import changed_part
from kinformer.testing._apiserver.rules.validation import prune, validate
from kinformer.testing._apiserver.rules.workload_validation import check_generated_selector
from kinformer.testing._apiserver.rules.writing import (
    PLAIN_WRITE,
    SUFFIX_LENGTH,
    Write,
    changed_metadata,
    metadata_by_status,
    name_suffix,
    spec_of_generation,
)
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import Storage, Store, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.rules.webhooks import Admission
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

__all__ = ["Registry"]

_LONGEST_PREFIX: Final = 63 - SUFFIX_LENGTH
_SECRETS: Final = ("", "secrets")
_SERVICES: Final = ("", "services")

_VOLUMES: Final = ("", "persistentvolumes")

# A LimitRange without a name gets one (pkg/registry/core/limitrange/strategy.go).
_LIMITS: Final = ("", "limitranges")

# A kubelet registers its node with its status (pkg/registry/core/node/strategy.go).
_CREATED_WITH_STATUS: Final = {("", "nodes")}

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

_OWNED_AS_ASKED: Final = {"resize", "ephemeralcontainers"}
"""The subresources whose manager owns all that it asks for, and not only what the write changes."""


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
        self.on_gone = on_gone
        self.life_cycle = LifeCycle(store, catalog, clock=clock, on_gone=on_gone)
        self._clock = clock
        # Custom resources that are shown otherwise than they were written, since their definition has changed.
        self._as_written: dict[Storage, dict[tuple[str, str], Stored]] = {}

    def now(self) -> str:
        """The time as objects carry it."""
        # `strftime` takes four times as long, and each write asks twice.
        return f"{self._clock().astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"

    def get(self, kind: ResourceType, namespace: str, name: str) -> Stored:
        """One object, in the version of the kind.

        Raises:
            Refusal: 404.
        """
        stored = self.life_cycle.get(kind, namespace, name)
        manifest = in_version(kind, stored.manifest)
        # The JSON that is kept beside an object is that of the version that it is stored in.
        return stored if manifest is stored.manifest else Stored(manifest, b"", stored.revision)

    def create(self, kind: ResourceType, namespace: str, body: Any, write: Write = PLAIN_WRITE) -> Stored:
        """Store a new object.

        Raises:
            Refusal: 400, 403, 404 (no such namespace), 409, 422.
        """
        manifest = write.checked(kind, body, namespace)
        metadata = manifest["metadata"]
        version = metadata.get("resourceVersion") or ""
        if version.isdecimal() and int(version) and not write.dry_run:
            raise status.failed("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:_LONGEST_PREFIX] + (write.suffix or name_suffix())
        if not metadata.get("name") and kind.storage == _LIMITS:
            metadata["name"] = write.uid or str(uuid.uuid4())
        if kind.namespaced:
            metadata["namespace"] = namespace
        if kind.storage == CERTIFICATES and write.user is not None:
            manifest = with_requester(manifest, write.user)
        admit(self.store, kind, manifest)
        manifest, source = self._admitted_new(kind, namespace, manifest, write)
        metadata = manifest["metadata"]
        _drop_status(kind, manifest)
        validate(kind, manifest, any_size=write.any_size)
        name = metadata["name"]
        if kind.namespaced:
            self.check_namespace(kind, namespace, name)
        self._refuse_for_definition(kind, name)
        if self.store.get(kind.storage, (namespace, name)) is not None:
            raise status.already_exists(kind, name)
        check_ports(self.store, kind, manifest, name)
        given = metadata.get("managedFields")
        return self._insert(kind, namespace, manifest, write, given=given, source=source)

    def _admitted_new(
        self, kind: ResourceType, namespace: str, manifest: dict[str, Any], write: Write
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """A new object after the mutating webhooks, and the one before if they have changed it.

        Raises:
            UnansweredError: they have not been asked.
            Refusal: they made something of it that is no object of the kind.
        """
        if write.admission is None:
            return manifest, None
        # An object that is not valid yet has no defaults; a webhook may make it valid.
        seen = self._filled_in(kind, manifest)
        key = (namespace, manifest["metadata"].get("name") or "")
        changed = write.admission.mutated("CREATE", kind, key, None, seen)
        if changed is None or changed == seen:
            return manifest, None
        return _checked_again(kind, changed, namespace, write), manifest

    def _insert(
        self,
        kind: ResourceType,
        namespace: str,
        manifest: dict[str, Any],
        write: Write,
        *,
        given: list[dict[str, Any]] | None = None,
        applied: bool = False,
        source: dict[str, Any] | None = None,
    ) -> Stored:
        now = write.now or self.now()
        metadata = manifest["metadata"]
        managed = metadata.pop("managedFields", None) if applied else None
        for ours in ("managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(ours, None)
        version = metadata.pop("resourceVersion", None)
        metadata |= {"uid": write.uid or str(uuid.uuid4()), "creationTimestamp": now}
        if kind.namespaced:
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        if has_generation(kind):
            metadata["generation"] = 1
        elif not metadata.get("generation"):
            # The kinds that do not count keep the number that they are given.
            metadata.pop("generation", None)
        _drop_status(kind, manifest)
        before_defaults = _given_spec(manifest)
        given_status = deepcopy(manifest.get("status"))
        fill_in(kind, manifest, number=self.store.revision, now=self.now())
        if kind.storage == _VOLUMES:
            manifest["status"]["lastPhaseTransitionTime"] = now
        if not applied:
            # The fields that admission adds, and the server's own status, have no owner.
            owned = manifest if source is None else self._filled_in(kind, source)
            before_defaults = before_defaults if source is None else _given_spec(source)
            owned = _without_admission(kind, owned, before_defaults, given_status)
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
            given_selector = _selector_of(manifest)
            select_pods_of_job(manifest)
            check_generated_selector(manifest, given_selector)
        if write.admission is not None:
            key = (namespace if kind.namespaced else "", metadata["name"])
            write.admission.validated("CREATE", kind, key, None, in_order(manifest))
        if write.dry_run:
            if version:
                metadata["resourceVersion"] = version
            return Stored(in_order(manifest), b"", self.store.revision)
        # The store fills it in, at its place.
        metadata["resourceVersion"] = ""
        check_size(manifest, write)
        stored = self._put(kind, (namespace, metadata["name"]), in_order(manifest))
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
            self.life_cycle.put(kind, (namespace, metadata["name"]), establish(manifest, now))
        return stored

    def _filled_in(self, kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
        """A copy of an object with its defaults; as it is if it is not valid."""
        filled = deepcopy(manifest)
        try:
            fill_in(kind, filled, number=self.store.revision, now=self.now())
        except (AttributeError, TypeError, KeyError, ValueError):
            return manifest
        return filled

    def _put(self, kind: ResourceType, key: tuple[str, str], manifest: dict[str, Any]) -> Stored:
        """Store an object in the version that it is stored in; returns it in the version of the kind."""
        hub = in_stored_version(kind, manifest)
        stored = self.life_cycle.put(kind, key, hub)
        if hub is manifest:
            return stored
        if kind.conversion is not None:
            # It is stored now, so that no webhook can be asked any more; the object was converted from this.
            version = {"resourceVersion": stored.manifest["metadata"]["resourceVersion"]}
            return Stored(manifest | {"metadata": manifest["metadata"] | version}, b"", stored.revision)
        return Stored(in_version(kind, stored.manifest), b"", stored.revision)

    def would_create(self, kind: ResourceType, namespace: str, name: str, *, applied: bool) -> bool:
        """Return whether an apply, or else an update, would create this object."""
        may = applied or kind.storage in _CREATED_BY_UPDATE
        return may and self.store.get(kind.storage, (namespace, name)) is None

    def update(
        self, kind: ResourceType, namespace: str, name: str, body: Any, write: Write = PLAIN_WRITE
    ) -> tuple[Stored, bool]:
        """Store a new state of an object, and say whether the object is new; the same state again is no write.

        Raises:
            Refusal: 400, 404, 409, 422.
        """
        absent = self.store.get(kind.storage, (namespace, name)) is None
        if absent and kind.storage in _CREATED_BY_UPDATE and not write.patched and not write.subresource:
            given = as_object(body, kind.kind)
            check_types(given, kind.kind, kind.version, kind.structure)
            check_name(name, given, write)
            metadata = check_created_by_update(kind, namespace, name, given["metadata"], write)
            given = given | {"metadata": metadata}
            return self.create(kind, namespace, given, write), True
        manifest = write.checked(kind, body, namespace)
        check_name(name, manifest, write)
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
        check_identity(kind, name, manifest["metadata"], before, write, applied=applied)
        wanted = manifest["metadata"]
        source: dict[str, Any] | None = None
        if write.admission is not None:
            changed = write.admission.mutated("UPDATE", kind, (namespace, name), current.manifest, manifest)
            if changed is not None and changed != manifest:
                source, manifest = manifest, _checked_again(kind, changed, namespace, write)
        asked = manifest
        manifest = self._next_state(kind, current.manifest, manifest, write)
        refuse_deletion_by_write(kind, name, before, wanted)
        if wanted.get("generateName") and (faults := check_prefix_again(kind, wanted["generateName"])):
            raise status.invalid(kind.kind, name, faults, kind.group)
        refuse_new_finalizers(kind, name, before, manifest["metadata"])
        validate_change(kind, current.manifest, manifest, write.subresource)
        old_managed = before.get("managedFields")
        new = {field: value for field, value in manifest["metadata"].items() if field != "managedFields"}
        manifest["metadata"] = new
        unmanaged = {field: value for field, value in before.items() if field != "managedFields"}
        is_same = manifest == current.manifest | {"metadata": unmanaged}
        if write.admission is not None:
            reviewed = (
                manifest
                if is_same or not old_managed
                else manifest | {"metadata": new | {"managedFields": old_managed}}
            )
            write.admission.validated("UPDATE", kind, (namespace, name), current.manifest, in_order(reviewed))
        if applied:
            managed = given
            if is_same and managed == old_managed:
                return current
        else:
            as_asked = write.subresource in _OWNED_AS_ASKED
            if is_same and given != [{}] and not as_asked:
                return current
            owned = manifest if source is None else self._state_of(kind, current, source, write, manifest)
            if as_asked:
                owned = self._filled_in(kind, asked)
            managed = record_update(
                *(current.manifest, owned),
                structure=kind.structure,
                custom=kind.custom,
                manager=write.of(kind),
                now=write.now or self.now(),
                given=given,
            )
            if is_same and as_asked and managed == (old_managed or []):
                return current
        if managed:
            new["managedFields"] = managed
        if (
            has_generation(kind)
            and "generation" in before
            and spec_of_generation(kind, manifest) != spec_of_generation(kind, current.manifest)
        ):
            new["generation"] = before["generation"] + 1
        return self._store(kind, (namespace, name), in_order(manifest), current, write)

    def _state_of(
        self,
        kind: ResourceType,
        current: Stored,
        source: dict[str, Any],
        write: Write,
        changed: dict[str, Any],
    ) -> dict[str, Any]:
        """The next state without the changes of webhooks, the fields of which have no owner."""
        try:
            return self._next_state(kind, current.manifest, source, write)
        except status.Refusal:
            # It is valid with those changes only.
            return changed

    def _store(
        self, kind: ResourceType, key: tuple[str, str], manifest: dict[str, Any], current: Stored, write: Write
    ) -> Stored:
        if write.dry_run:
            return Stored(manifest, b"", current.revision)
        metadata = manifest["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not LifeCycle.waits(kind, manifest):
            # The write itself is never stored, so a watch sees the state before it (registry/generic/registry/store.go,
            # deleteWithoutFinalizers), and the answer has that state's version.
            self.life_cycle.remove(kind, key, in_stored_version(kind, current.manifest))
            return Stored(manifest, b"", current.revision)
        check_size(manifest, write)
        stored = self._put(kind, key, manifest)
        if kind.storage == CRDS:
            self.catalog.add_crd(manifest)
            if manifest["spec"].get("versions") != current.manifest["spec"].get("versions"):
                self._read_anew((manifest["spec"]["group"], manifest["spec"]["names"]["plural"]))
        if kind.storage == NAMESPACES:
            # It may have waited for this finalizer alone.
            self.life_cycle.finish_namespace(key[1])
        return stored

    def _read_anew(self, storage: Storage) -> None:
        """Read the custom resources of a changed definition by their new schemas: a real server does at each read.

        So they get the new defaults, and lose the fields that are no longer declared, until they are declared again
        (apiextensions-apiserver pkg/apiserver/customresource_handler.go, schemaCoercingDecoder).
        """
        before = self._as_written.get(storage, {})
        written = self._as_written[storage] = {}
        for key, stored in [*self.store.all(storage).items()]:
            known = before.get(key)
            origin = known if known is not None and known.revision == stored.revision else stored
            kind = self.catalog.of_kind(origin.manifest["apiVersion"], origin.manifest["kind"])
            read = origin.manifest if kind is None else in_order(prune(kind, origin.manifest))
            if read != origin.manifest:
                written[key] = origin
            if read != stored.manifest:
                self.store.read_anew(storage, key, read, custom=True)

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
        if given["kind"] != kind.kind and self.catalog.of_kind(str(given["apiVersion"]), str(given["kind"])):
            group, _, version = str(given["apiVersion"]).rpartition("/")
            raise status.bad_request(f"invalid object type: {group}/{version}, Kind={given['kind']}")
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
        elif not sent.get("name"):
            why = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            raise status.bad_request(why)
        made = server_side_apply(
            *(current, applied),
            structure=kind.structure,
            manager=write.of(kind),
            force=force,
            now=write.now or self.now(),
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
        if kind.storage == CERTIFICATES and write.user is not None:
            made = with_requester(made, write.user)
        admit(self.store, kind, made)
        made, _ = self._admitted_new(kind, namespace, made, write)
        _drop_status(kind, made)
        validate(kind, made)
        if kind.namespaced:
            self.check_namespace(kind, namespace, name)
        self._refuse_for_definition(kind, name)
        return self._insert(kind, namespace, made, write, applied=True), True

    def _finished(
        self, kind: ResourceType, current: dict[str, Any], manifest: dict[str, Any], write: Write
    ) -> dict[str, Any]:
        """An applied object with its defaults, so that an empty value and its default are the same."""
        finished = prune(kind, manifest)
        if not kind.custom and not write.subresource:
            fill_in(kind, finished, number=self.store.revision, now=self.now())
        return finished | ({"status": current["status"]} if "status" in current and not write.subresource else {})

    def delete(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        options: DeleteOptions,
        *,
        dry_run: bool = False,
        admission: Admission | None = None,
    ) -> dict[str, Any]:
        """Delete an object, or mark it for deletion; returns the answer to the request.

        Raises:
            Refusal: 403, 404, 409.
        """
        if admission is not None:
            self.admit_deletion(kind, namespace, name, admission)
        if kind.conversion is not None:
            # Asked for before the deletion, as the webhook cannot be asked after it.
            known = self.get(kind, namespace, name).manifest
            answer = self.life_cycle.delete(kind, namespace, name, options, dry_run=dry_run)
            return known | {"metadata": answer["metadata"]} if answer.get("kind") == kind.kind else answer
        answer = self.life_cycle.delete(kind, namespace, name, options, dry_run=dry_run)
        return in_version(kind, answer) if answer.get("kind") == kind.kind else answer

    def admit_deletion(self, kind: ResourceType, namespace: str, name: str, admission: Admission) -> None:
        """Go on if the webhooks admit the deletion of an object.

        Raises:
            UnansweredError: they have not been asked.
            Refusal: 404.
        """
        current = self.get(kind, namespace, name).manifest
        admission.mutated("DELETE", kind, (namespace, name), current, None)
        admission.validated("DELETE", kind, (namespace, name), current, None)

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
            if subresource in {"status", "approval"}:
                state["metadata"] = metadata_by_status(kind, wanted["metadata"], before) or before
            if subresource == "status":
                fill_in_condition_times(kind, state)
            if kind.storage == CERTIFICATES:
                state = next_request(current, state, subresource, write.now or self.now())
            _validate_change_too(kind, state, current, write)
            if subresource == "status":
                if kind.storage == PODS:
                    fill_in_addresses(state)
                validate_status(kind, current, state)
            return state
        manifest = prune(kind, wanted)
        manifest["metadata"] = changed_metadata(manifest["metadata"], before)
        if kind.has_status:
            manifest.pop("status", None)
            if "status" in current:
                manifest["status"] = current["status"]
        if kind.storage == NAMESPACES:
            manifest.setdefault("spec", current["spec"])
        if kind.storage == CERTIFICATES:
            manifest = next_request(current, manifest, "", "")
        if kind.storage == _SERVICES and isinstance(manifest.get("spec"), dict):
            follow_change(manifest["spec"], current.get("spec") or {})
        _validate_change_too(kind, manifest, current, write)
        check_ports(self.store, kind, manifest, before["name"])
        if not kind.custom:
            self._fill_in_again(kind, current, manifest)
        if kind.storage == CRDS:
            note_stored_version(manifest)
        return in_order(manifest)

    def _fill_in_again(self, kind: ResourceType, current: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Fill in the defaults of an updated object, in place; its status and metadata stay."""
        given = _given_spec(manifest)
        scratch = dict(manifest)
        fill_in(kind, scratch, number=self.store.revision, now=self.now())
        manifest |= {n: value for n, value in scratch.items() if n not in {"metadata", "status", "spec"}}
        for name in manifest.keys() - scratch.keys():
            del manifest[name]
        if "spec" in scratch and kind.storage != NAMESPACES:
            manifest["spec"] = _keeping_assigned(kind, given, scratch["spec"], current.get("spec", {}))

    def _refuse_for_definition(self, kind: ResourceType, name: str) -> None:
        """Refuse a new object whose definition ends.

        Raises:
            Refusal: 403.
        """
        if self.life_cycle.definition_ends(kind):
            refuse_new_object(kind, name)

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


def _validate_change_too(kind: ResourceType, manifest: dict[str, Any], current: dict[str, Any], write: Write) -> None:
    """Validate an updated object; a refusal names the changes that are not allowed, too.

    Raises:
        Refusal: 422.
    """
    any_size = write.any_size and write.subresource in {"", "scale"}
    try:
        validate(kind, manifest, any_size=any_size, before=current)
    except status.Refusal as refusal:
        found = (refusal.details or {}).get("causes")
        if refusal.code != HTTPStatus.UNPROCESSABLE_ENTITY or not found:
            raise
        more = changes_beside_faults(kind, current, manifest, write.subresource)
        if not more:
            raise
        causes = [(cause["reason"], cause["message"], cause["field"]) for cause in found]
        raise status.invalid(kind.kind, current["metadata"]["name"], [*causes, *more], kind.group) from None


def _selector_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return (manifest.get("spec") or {}).get("selector") or {}


def _checked_again(kind: ResourceType, changed: dict[str, Any], namespace: str, write: Write) -> dict[str, Any]:
    """An object that webhooks have changed, read as one that was sent."""
    return replace(write, faults=[], field_validation="Ignore", read=None).checked(kind, changed, namespace)


def _makes_status(kind: ResourceType) -> bool:
    """Report whether the server makes the status of a new object itself."""
    return kind.has_status and kind.storage not in _CREATED_WITH_STATUS


def _drop_status(kind: ResourceType, manifest: dict[str, Any]) -> None:
    """Drop the status of a new object if the server makes it; it is not validated, either (PrepareForCreate)."""
    if _makes_status(kind):
        manifest.pop("status", None)


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
    if kind.storage != _SERVICES or not before.get("clusterIP") or spec.get("type") == "ExternalName":
        return spec
    kept = {name: before[name] for name in ("clusterIP", "clusterIPs") if name in before and not given.get(name)}
    return spec | kept
