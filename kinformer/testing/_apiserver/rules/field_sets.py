"""Which fields an object has, and whose they are: `metadata.managedFields` and server-side apply (KEP-555).

A field is a path of steps as `fieldsV1` writes them: "f:NAME" for a field, "k:{...}" for the item of a list that is
merged by key, "v:..." for a value of a list that is a set. Lists that are neither are atomic: one field.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.store.status import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FieldSet", "list_keys", "record_update", "server_side_apply"]

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = set[Path]

# Lists of built-in resources that are merged by key (the listMapKey and patchMergeKey tags of k8s.io/api).
_MERGE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "volumeClaimTemplates": (),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "addresses": ("type",),
    "podIPs": ("ip",),
    "secrets": ("name",),
}
_PORT_KEYS: Final = {"containerPort": ("containerPort", "protocol"), "port": ("port", "protocol")}
_SETS: Final = {"finalizers"}
# Maps with free keys: they are listed by themselves, too, with the step ".".
_MAPS: Final = {
    *("labels", "annotations", "data", "stringData", "binaryData"),
    *("limits", "requests", "capacity", "allocatable", "parameters"),
    # Structures that may be absent as a whole are, too.
    *("conversion", "rollingUpdate", "livenessProbe", "readinessProbe", "startupProbe"),
}
# Structures and maps that are one field, whatever is in them (the structType and mapType tags).
_ATOMIC: Final = {"selector", "labelSelector", "namespaceSelector", "nodeSelector", "resourceFieldRef", "secretRef"}
_IGNORED_METADATA: Final = {
    *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
}


def list_keys(field: str, items: list[Any]) -> tuple[str, ...]:
    """The fields by which the items of a list are told apart; none when the list is atomic."""
    if not items or not all(isinstance(item, dict) for item in items):
        return ()
    if field == "ports":
        return next((keys for name, keys in _PORT_KEYS.items() if name in items[0]), ())
    keys = _MERGE_KEYS.get(field, ())
    return keys if keys and all(keys[0] in item for item in items) else ()


def item_step(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The step to the item of a list that is merged by key."""
    present = {
        key: item.get(key, "TCP") if key == "protocol" else item[key] for key in keys if key in {*item, "protocol"}
    }
    return "k:" + json.dumps(present, separators=(",", ":"), sort_keys=True)


def fields_of(manifest: dict[str, Any], *, custom: bool, itself: bool) -> FieldSet:  # noqa: C901 - one walk, kind by kind
    """All fields a manifest sets, without those the server sets itself.

    Args:
        manifest: the object.
        custom: of a custom resource, whose lists are atomic and whose structures are listed by themselves.
        itself: list maps and list items by themselves, as an update does and an apply does not.
    """
    found: FieldSet = set()

    def walk(value: Any, path: Path, field: str) -> None:
        if isinstance(value, dict) and value and (custom or field not in _ATOMIC):
            if itself and (field in _MAPS or (custom and len(path) > 0 and path[0] != "f:metadata")):
                found.add((*path, "."))
            for name, child in value.items():
                walk(child, (*path, f"f:{name}"), name)
        elif isinstance(value, list) and field in _SETS:
            if itself:
                found.add((*path, "."))
            found.update((*path, "v:" + json.dumps(item)) for item in value)
        elif isinstance(value, list) and (not custom or path[0] == "f:metadata") and (keys := list_keys(field, value)):
            if itself and field != "containers":
                # Which a pod always has, were it empty; all others may be absent as a whole.
                found.add((*path, "."))
            for item in value:
                at = (*path, item_step(item, keys))
                found.add((*at, "."))
                for name, child in item.items():
                    walk(child, (*at, f"f:{name}"), name)
        else:
            found.add(path)

    for top, value in manifest.items():
        if top == "metadata":
            for name, child in value.items():
                if name not in _IGNORED_METADATA:
                    walk(child, ("f:metadata", f"f:{name}"), name)
        elif top not in {"kind", "apiVersion"}:
            walk(value, (f"f:{top}",), top)
    return found


def to_fields_v1(fields: FieldSet) -> dict[str, Any]:
    """A set of fields as `fieldsV1` nests it."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_fields_v1(tree: dict[str, Any]) -> FieldSet:
    """The set of fields that `fieldsV1` nests."""

    def walk(node: dict[str, Any], path: Path) -> Iterator[Path]:
        if not node:
            yield path
        for step, child in node.items():
            yield from walk(child, (*path, step))

    return set(walk(tree, ())) - {()}


def value_at(manifest: Any, path: Path) -> Any:
    """What a field holds, or `None`."""
    value, field = manifest, ""
    for step in path:
        if step == ".":
            break
        kind, _, text = step.partition(":")
        if kind == "f":
            field = text
            value = value.get(text) if isinstance(value, dict) else None
        elif isinstance(value, list):
            if kind == "v":
                value = next((item for item in value if item == json.loads(text)), None)
            else:
                keys = list_keys(field, value)
                value = next((item for item in value if keys and item_step(item, keys) == step), None)
        else:
            return None
    return value


def record_update(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    now: str,
    custom: bool,
    subresource: str = "",
) -> list[dict[str, Any]]:
    """`managedFields` after a create, an update or a patch: what the manager changed is now its own."""
    before = {} if old is None else old
    entries = deepcopy(before.get("metadata", {}).get("managedFields") or [])
    if old is not None and not entries:
        # Nobody has anything any more; until somebody applies, nothing is kept track of (fieldmanager, skipnonapplied).
        return []
    fields = fields_of(new, custom=custom, itself=True)
    changed = {path for path in fields if value_at(before, path) != value_at(new, path)}
    changed = {path for path in changed if path[-1] != "." or value_at(before, path) is None}
    if subresource:
        changed = {path for path in changed if path[0] == f"f:{subresource}"}
    mine: dict[str, Any] | None = None
    kept = []
    for entry in entries:
        is_mine = (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            "Update",
            subresource,
        )
        owned = from_fields_v1(entry["fieldsV1"])
        left = {path for path in owned if value_at(new, path) is not None}
        left = left | changed if is_mine else {path for path in left if path not in changed or path[-1] == "."}
        if left != owned:
            entry["fieldsV1"] = to_fields_v1(left)
            if is_mine:
                entry["time"] = now
        if left:
            kept.append(entry)
        if is_mine:
            mine = entry
    if mine is None and changed:
        kept.append(_entry(manager, "Update", new["apiVersion"], now, changed, subresource))
    return sorted(kept, key=_place)


def _place(entry: dict[str, Any]) -> tuple[str, ...]:
    """Where an entry stands among the others (fieldmanager/internal, sortEncodedManagedFields)."""
    return tuple(str(entry.get(name, "")) for name in ("operation", "time", "manager", "apiVersion", "subresource"))


def server_side_apply(
    current: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    now: str,
    custom: bool,
    subresource: str = "",
) -> dict[str, Any]:
    """What an object becomes when a manager applies its intent.

    Fields that the manager applied before and no longer names are removed, unless somebody else has them, too.

    Raises:
        Refusal: 409, others have fields with other values, and it is not forced.
    """
    base = {} if current is None else current
    wanted = fields_of(applied, custom=custom, itself=False)
    entries = deepcopy(base.get("metadata", {}).get("managedFields") or [])
    mine = next(
        (
            e
            for e in entries
            if (e["manager"], e["operation"], e.get("subresource", "")) == (manager, "Apply", subresource)
        ),
        None,
    )
    others = [entry for entry in entries if entry is not mine]
    conflicts: list[tuple[dict[str, Any], Path]] = []
    for entry in others:
        owned = from_fields_v1(entry["fieldsV1"])
        conflicts += [
            (entry, path)
            for path in sorted(wanted & owned)
            if path[-1] != "." and value_at(base, path) != value_at(applied, path)
        ]
    if conflicts and not force:
        raise _conflict(conflicts)
    before = from_fields_v1(mine["fieldsV1"]) if mine is not None else set()
    held_by_others = set().union(*(from_fields_v1(entry["fieldsV1"]) for entry in others)) if others else set()
    # A copy, because fields are taken out of it, and what is stored is never changed.
    result: dict[str, Any] = deepcopy(_merged(base, applied, custom=custom))
    kept_fields = wanted | held_by_others
    for path in sorted(before - kept_fields, reverse=True):
        if not _stays(path, kept_fields):
            _remove(result, path)
    for entry, path in conflicts:
        entry["fieldsV1"] = to_fields_v1(from_fields_v1(entry["fieldsV1"]) - {path})
    kept = [entry for entry in others if entry["fieldsV1"]]
    if mine is not None and before == wanted:
        applied_entry = mine
    else:
        applied_entry = _entry(manager, "Apply", applied["apiVersion"], now, wanted, subresource)
    metadata = result.setdefault("metadata", {})
    metadata["managedFields"] = sorted([applied_entry, *kept], key=_place)
    return result


def _entry(
    manager: str, operation: str, api_version: str, now: str, fields: FieldSet, subresource: str
) -> dict[str, Any]:
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(fields),
    }
    return entry | ({"subresource": subresource} if subresource else {})


def _merged(base: Any, applied: Any, *, custom: bool, field: str = "") -> Any:
    if isinstance(base, dict) and isinstance(applied, dict):
        result = dict(base)
        for name, value in applied.items():
            result[name] = _merged(base.get(name), value, custom=custom and name != "metadata", field=name)
        return result
    if isinstance(base, list) and isinstance(applied, list):
        if field in _SETS:
            return [*base, *(item for item in applied if item not in base)]
        keys = () if custom else list_keys(field, applied)
        if keys and list_keys(field, base):
            result = {item_step(item, keys): item for item in base}
            for item in applied:
                step = item_step(item, keys)
                result[step] = _merged(result.get(step), item, custom=custom)
            return [*result.values()]
    return deepcopy(applied)


def _stays(path: Path, kept: FieldSet) -> bool:
    """Whether a field that nobody names any more stays for the sake of the list item it tells apart, or is."""
    if path[-1] == "." and path[-2].startswith("k:"):
        item = path[:-1]
        return any(other[: len(item)] == item for other in kept)
    if len(path) > 1 and path[-2].startswith("k:"):
        # The key of an item goes with the item.
        return path[-1].removeprefix("f:") in json.loads(path[-2][2:])
    return False


def _remove(manifest: Any, path: Path) -> None:
    """Take a field out, and what is left empty by that."""
    if path[-1] == ".":
        path = path[:-1]
    *way, last = path
    parent = value_at(manifest, tuple(way)) if way else manifest
    kind, _, text = last.partition(":")
    if kind == "f" and isinstance(parent, dict):
        parent.pop(text, None)
    elif kind in {"k", "v"} and isinstance(parent, list):
        field = way[-1].partition(":")[2]
        keys = list_keys(field, parent)
        parent[:] = [
            item
            for item in parent
            if not (item == json.loads(text) if kind == "v" else keys and item_step(item, keys) == last)
        ]
    if not parent and way and way[-1] not in {"f:metadata", "f:spec"}:
        _remove(manifest, tuple(way))


def _conflict(conflicts: list[tuple[dict[str, Any], Path]]) -> Refusal:
    """409 in the words of apimachinery util/managedfields/internal/conflict.go."""
    causes = []
    fields: dict[str, list[str]] = {}
    for entry, path in conflicts:
        where = "".join(_shown(step) for step in path)
        who = f'"{entry["manager"]}"'
        if entry.get("subresource"):
            who += f' with subresource "{entry["subresource"]}"'
        if entry["operation"] == "Update":
            who += f" using {entry['apiVersion']}"
        causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": where})
        fields.setdefault(who, []).append(where)
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [
            line for who in sorted(fields) for line in (f"conflicts with {who}:", *(f"- {f}" for f in fields[who]))
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Refusal(409, message, "Conflict", {"causes": causes})


def _shown(step: str) -> str:
    """A step as messages show it (structured-merge-diff fieldpath/element.go)."""
    kind, _, text = step.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(text).items()) + "]"
