"""The owners of fields: `metadata.managedFields` after an update, and server-side apply (KEP-555).

The steps are those of structured-merge-diff (merge/update.go) and of apimachinery's field managers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.field_sets import (
    FieldSet,
    Path,
    from_fields_v1,
    shown,
    to_fields_v1,
    with_named_parents,
)
from kinformer.testing._apiserver.rules.typed_values import compare, faults_of, fields_of, merged, without
from kinformer.testing._apiserver.store.status import Refusal, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["Manager", "record_update", "server_side_apply"]

_BEFORE_FIRST_APPLY: Final = "before-first-apply"
"""The owner of the fields of an object that nothing was kept track of (fieldmanager, skipNonAppliedManager)."""

_NEVER_OWNED: Final = {
    ("f:kind",),
    ("f:apiVersion",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
            *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
        )
    ),
}


@dataclass(frozen=True, slots=True)
class Manager:
    """The manager of a write.

    Attributes:
        name: its name.
        api_version: the version of the object that it wrote.
        subresource: "" for the object itself.
        takes_metadata: a write to the status can own fields of the metadata, too.
    """

    name: str
    api_version: str
    subresource: str = ""
    takes_metadata: bool = False

    def takes(self, path: Path) -> bool:
        """Report whether a write can own a field: the status of an object belongs to its subresource."""
        if path in _NEVER_OWNED or path[:2] == ("f:metadata", "f:managedFields"):
            return False
        if self.subresource != "status":
            return True
        return path[0] == "f:status" or (self.takes_metadata and path[0] == "f:metadata")


@dataclass(slots=True)
class _Entry:
    """One entry of `managedFields`, decoded."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @classmethod
    def decode(cls, entry: dict[str, Any]) -> _Entry:
        return cls(
            manager=entry.get("manager") or "",
            operation=entry.get("operation") or "Update",
            api_version=entry.get("apiVersion") or "",
            subresource=entry.get("subresource") or "",
            time=entry.get("time") or "",
            fields=from_fields_v1(entry.get("fieldsV1")),
        )

    def encode(self) -> dict[str, Any]:
        encoded = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(self.fields),
        }
        return encoded | ({"subresource": self.subresource} if self.subresource else {})

    def is_of(self, manager: Manager, operation: str) -> bool:
        """Report whether the entry belongs to a manager; that of an apply does so in each version."""
        same = (self.manager, self.operation, self.subresource) == (manager.name, operation, manager.subresource)
        return same and (operation == "Apply" or self.api_version == manager.api_version)

    @property
    def place(self) -> tuple[str, ...]:
        """The place among the entries (fieldmanager/internal, sortEncodedManagedFields)."""
        return (self.operation, self.time, self.manager, self.api_version, self.subresource)


def _decoded(manifest: dict[str, Any] | None) -> list[_Entry]:
    entries = ((manifest or {}).get("metadata") or {}).get("managedFields") or ()
    return [_Entry.decode(entry) for entry in entries if isinstance(entry, dict)]


def _encoded(entries: list[_Entry]) -> list[dict[str, Any]]:
    return [entry.encode() for entry in sorted(entries, key=lambda entry: entry.place)]


def record_update(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    structure: Structure,
    custom: bool,
    manager: Manager,
    now: str,
    given: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """`managedFields` after a create, an update or a patch: the manager owns the fields that it changed.

    Args:
        old: the object before, or `None` for a new one.
        new: the object after.
        structure: the structure of both.
        custom: the object is a custom resource, of which an empty one has no fields.
        manager: the manager of the write.
        now: the time, as objects carry it.
        given: the `managedFields` of the request; `[{}]` clears them, any others replace those of the object.
    """
    if given == [{}] and not manager.subresource:
        return []
    entries = [entry for entry in map(_Entry.decode, given or ()) if entry.fields] if not manager.subresource else []
    entries = entries or _decoded(old)
    if old is not None and not entries:
        # Fields that have no owner are not kept track of until the first apply (fieldmanager, skipNonAppliedManager).
        return []
    before = old if old is not None else {} if custom else structure.empty()
    return _encoded(_updated(entries, before, new, structure, manager, now))


def _updated(
    entries: list[_Entry],
    before: dict[str, Any],
    after: dict[str, Any],
    structure: Structure,
    manager: Manager,
    now: str,
) -> list[_Entry]:
    difference = compare(before, after, structure)
    taken = {path for path in difference.set_anew if manager.takes(path)}
    kept: list[_Entry] = []
    mine: _Entry | None = None
    for entry in entries:
        entry.fields -= difference.removed
        if entry.is_of(manager, "Update"):
            mine = entry
        else:
            entry.fields -= difference.set_anew
        if entry.fields or entry is mine:
            kept.append(entry)
    if mine is None:
        mine = _Entry(manager.name, "Update", manager.api_version, manager.subresource, now, set())
        kept.append(mine)
    if taken:
        mine.fields |= taken
        mine.time = now
    return [entry for entry in kept if entry.fields]


def server_side_apply(
    current: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    structure: Structure,
    manager: Manager,
    force: bool,
    now: str,
    sent: dict[str, Any] | None = None,
    finish: Callable[[dict[str, Any]], dict[str, Any]] = lambda manifest: manifest,
) -> dict[str, Any]:
    """The object after a manager has applied its intent.

    Fields that the manager applied before and no longer names are removed, unless another manager owns them, too.

    Args:
        current: the object before, or `None` for a new one.
        applied: the intent.
        structure: the structure of both.
        manager: the manager.
        force: take fields that others own.
        now: the time, as objects carry it.
        sent: the metadata of the intent as it was sent, for errors; by default that of the intent.
        finish: completes the result before it is compared with the object before, with defaults for example.

    Raises:
        Refusal: 409 if others own fields with other values and `force` is not given; 500 if the intent does not fit the
            structure.
    """
    for fault in faults_of(applied, structure):
        # The place is that of the intent, which may name neither.
        named = applied["metadata"] if sent is None else sent
        where = f"{named.get('namespace') or ''}/{named.get('name') or ''}"
        version = applied["apiVersion"]
        versioned = f"{version if '/' in version else f'/{version}'}, Kind={applied['kind']}"
        raise failed(f"failed to create typed patch object ({where}; {versioned}): {fault}")
    base = {} if current is None else current
    entries = _decoded(current)
    if current is not None and not entries:
        everything = fields_of(current, structure)
        taken = {path for path in everything if manager.takes(path)}
        entries = [_Entry(_BEFORE_FIRST_APPLY, "Update", manager.api_version, "", now, taken)]
    mine = next((entry for entry in entries if entry.is_of(manager, "Apply")), None)
    others = [entry for entry in entries if entry is not mine]
    wanted = {path for path in fields_of(applied, structure) if manager.takes(path)}
    result: dict[str, Any] = merged(base, applied, structure)
    if mine is not None and mine.fields:
        result = _pruned(result, structure, mine.fields, [wanted, *(entry.fields for entry in others)])
    changed = compare(base, finish(result), structure)
    set_anew = {path for path in changed.set_anew if manager.takes(path)}
    conflicts = [(entry, entry.fields & set_anew) for entry in others]
    if any(fields for _, fields in conflicts) and not force:
        raise _conflict([(entry, path) for entry, fields in conflicts for path in sorted(fields)])
    for entry, fields in conflicts:
        entry.fields -= fields | changed.removed
    is_same = mine is not None and mine.fields == wanted and mine.api_version == manager.api_version
    time = mine.time if mine is not None and is_same else now
    applied_entry = _Entry(manager.name, "Apply", manager.api_version, manager.subresource, time, wanted)
    metadata = dict(result.get("metadata") or {})
    metadata["managedFields"] = _encoded([entry for entry in (*others, applied_entry) if entry.fields])
    return result | {"metadata": metadata}


def _pruned(result: dict[str, Any], structure: Structure, before: FieldSet, owned: list[FieldSet]) -> dict[str, Any]:
    """The result without the fields that the manager no longer applies and that nothing else holds."""
    all_fields = with_named_parents(fields_of(result, structure), structure)
    last = with_named_parents(before, structure)
    held = with_named_parents(set().union(*owned), structure)
    once = without(result, last, structure) or {}
    left = with_named_parents(fields_of(once, structure), structure)
    twice = without(result, all_fields - left - held, structure) or {}
    left = with_named_parents(fields_of(twice, structure), structure)
    pruned: dict[str, Any] = without(result, (all_fields - left) & last, structure) or {}
    return pruned


def _conflict(conflicts: list[tuple[_Entry, Path]]) -> Refusal:
    """409 in the words of apimachinery util/managedfields/internal/conflict.go."""
    causes = []
    fields: dict[str, list[str]] = {}
    for entry, path in conflicts:
        owner = f'"{entry.manager}"'
        if entry.subresource:
            owner += f' with subresource "{entry.subresource}"'
        if entry.operation == "Update":
            owner += f" using {entry.api_version}"
        causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": shown(path)})
        fields.setdefault(owner, []).append(shown(path))
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [
            line
            for owner in sorted(fields)
            for line in (f"conflicts with {owner}:", *(f"- {f}" for f in fields[owner]))
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Refusal(409, message, "Conflict", {"causes": causes})
