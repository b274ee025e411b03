"""The circumstances of a write, and the parts of an object that it may change."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.bodies import check_object, not_strict
from kinformer.testing._apiserver.rules.managed_fields import Manager
from kinformer.testing._apiserver.rules.validation import prune
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from kinformer.testing._apiserver.rules.bodies import ReadBody
    from kinformer.testing._apiserver.rules.rbac import User
    from kinformer.testing._apiserver.rules.webhooks import Admission
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = [
    "PLAIN_WRITE",
    "SUFFIX_LENGTH",
    "Write",
    "changed_metadata",
    "faults_in_order",
    "metadata_by_status",
    "name_suffix",
    "spec_of_generation",
]

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


# Generated names (apiserver pkg/storage/names/generate.go): labels, the last five letters of which are random.
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH: Final = 5
"""Letters at the end of a generated name."""


def name_suffix() -> str:
    """The random end of a generated name."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(SUFFIX_LENGTH))


def faults_in_order(fields: Iterable[tuple[str, bool]], unknown: Collection[str]) -> list[str]:
    """Return the faults of the fields of a body in their order, as Go finds them (sigs.k8s.io/json).

    Args:
        fields: the path of each field, and whether it was there before.
        unknown: the paths of undeclared fields, below which nothing is looked at.
    """
    # Each is named once.
    left = dict.fromkeys(unknown)
    skipped: tuple[str, ...] = ()
    found: dict[str, None] = {}
    for path, again in fields:
        if path in unknown:
            found[f'unknown field "{path}"'] = left.pop(path, None)
            skipped = (*skipped, f"{path}.", f"{path}[")
        elif again and not path.startswith(skipped):
            found[f'duplicate field "{path}"'] = None
    return [*found, *(f'unknown field "{path}"' for path in left)]


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
        fields: the fields of the body in order, if it has some twice: the path of each, and whether it was there
            before.
        faults: the undeclared and the duplicate fields that were found, as `unknown field "spec.foo"`.
        admission: the answers of webhooks; `None` if no webhook is asked.
        uid: the uid of a new object: the same each time that the write is carried out.
        suffix: the end of a generated name, as the uid.
        now: the time for timestamps, as the uid.
        user: the user that writes; `None` for the server itself.
        read: the body as it was read before, with the undeclared fields; `None` if it was not.
    """

    manager: str = "unknown"
    subresource: str = ""
    dry_run: bool = False
    patched: bool = False
    any_size: bool = False
    field_validation: str = "Warn"
    patch: Any = None
    fields: list[tuple[str, bool]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    admission: Admission | None = None
    uid: str = ""
    suffix: str = ""
    now: str = ""
    user: User | None = None
    read: ReadBody | None = None

    def checked(self, kind: ResourceType, body: Any, namespace: str) -> dict[str, Any]:
        """Read the body of a write; note undeclared fields, or refuse them.

        Raises:
            Refusal: 400; 422 for a patch.
        """
        unknown: list[str] = []
        read = check_object(kind, body, namespace, unknown=unknown, read=self.read)
        if kind.custom:
            read = prune(kind, read, unknown)
        if self.fields and not kind.custom:
            self.faults[:] = faults_in_order(self.fields, unknown)
        else:
            # A custom resource is read whole before its schema is looked at.
            self.faults.extend(f'unknown field "{path}"' for path in unknown)
        if self.field_validation == "Strict" and self.faults:
            if self.patched:
                why = f"strict decoding error: {', '.join(self.faults)}"
                raise status.unreadable_patch(body, why, body if kind.custom else self.patch)
            raise not_strict(kind, self.faults)
        return read if kind.custom else prune(kind, read)

    def of(self, kind: ResourceType) -> Manager:
        """The manager, for objects of a kind."""
        takes_metadata = not kind.custom and kind.storage not in _STATUS_ALONE
        return Manager(self.manager, kind.api_version, self.subresource, takes_metadata)


PLAIN_WRITE: Final = Write()
"""A write of the whole object, by no manager that is known."""


def changed_metadata(wanted: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
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


def metadata_by_status(kind: ResourceType, wanted: dict[str, Any], before: dict[str, Any]) -> dict[str, Any] | None:
    """The metadata after a write to the status; `None` for a kind of which it stays.

    Args:
        kind: the kind of the object.
        wanted: the metadata that is wanted.
        before: the metadata as it was.
    """
    if kind.custom or kind.storage in _STATUS_ALONE:
        return None
    kept = {name: before.get(name) for name in _KEPT_BY_STATUS.get(kind.storage, ())}
    return changed_metadata(wanted | kept, before)


def spec_of_generation(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """The fields whose changes a generation counts: the spec, or the fields that stand in its place."""
    apart = {"metadata", "status"} if kind.has_status or not kind.custom else {"metadata"}
    meaning = {name: value for name, value in manifest.items() if name not in apart}
    if counted := _COUNTED_METADATA.get(kind.storage):
        given = manifest["metadata"].get(counted) or {}
        # The controller writes its revision together with the status, which counts nothing.
        meaning["metadata"] = {name: value for name, value in given.items() if name != _REVISION}
    return meaning
