"""Operations on values of known structure: compare, merge, remove fields (structured-merge-diff, package typed)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.field_sets import item_step, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.field_sets import FieldSet, Path
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["Comparison", "compare", "faults_of", "fields_of", "merged", "without"]

_ABSENT: Final = object()


@dataclass(slots=True)
class Comparison:
    """The fields in which two values differ."""

    added: FieldSet = field(default_factory=set)
    modified: FieldSet = field(default_factory=set)
    removed: FieldSet = field(default_factory=set)

    @property
    def set_anew(self) -> FieldSet:
        """The fields that have a new value."""
        return self.added | self.modified


def compare(before: dict[str, Any], after: dict[str, Any], structure: Structure) -> Comparison:
    """Compare two objects field by field."""
    found = Comparison()
    _compare(before, after, structure, (), found)
    for fields in (found.added, found.modified, found.removed):
        fields.discard(())
    return found


def _compare(before: Any, after: Any, structure: Structure, path: Path, found: Comparison) -> None:
    if before is after:
        return
    parts = None if structure.atomic else _parts(before, after, structure)
    if parts is None:
        if before is _ABSENT:
            found.added.add(path)
        elif after is _ABSENT:
            found.removed.add(path)
        elif before != after:
            found.modified.add(path)
        return
    for step, old, new, below in parts:
        _compare(old, new, below, (*path, step), found)
    if before is _ABSENT:
        found.added.add(path)
    elif after is _ABSENT:
        found.removed.add(path)


def _parts(before: Any, after: Any, structure: Structure) -> Iterator[tuple[str, Any, Any, Structure]] | None:
    """The pairs of values below two values; `None` if the two are one field: both are empty, or no containers."""
    if structure.shape == "scalar" or not (before or after):
        return None
    if structure.shape == "list":
        return _item_parts(before, after, structure)
    if not (_holds(before, dict) and _holds(after, dict)):
        return None
    old: dict[str, Any] = before if isinstance(before, dict) else {}
    new: dict[str, Any] = after if isinstance(after, dict) else {}
    if not old and not new:
        return None
    names = [*old, *(name for name in new if name not in old)]
    return ((f"f:{n}", old.get(n, _ABSENT), new.get(n, _ABSENT), structure.child(n)) for n in names)


def _item_parts(before: Any, after: Any, structure: Structure) -> Iterator[tuple[str, Any, Any, Structure]] | None:
    if not (_holds(before, list) and _holds(after, list)):
        return None
    old = {item_step(item, structure): item for item in (before if isinstance(before, list) else ())}
    new = {item_step(item, structure): item for item in (after if isinstance(after, list) else ())}
    if not old and not new:
        return None
    steps = [*old, *(step for step in new if step not in old)]
    below = structure.child("")
    return ((step, old.get(step, _ABSENT), new.get(step, _ABSENT), below) for step in steps)


def _holds(value: Any, wanted: type) -> bool:
    """Report whether a value is a container of a type, or none at all."""
    return value is _ABSENT or value is None or isinstance(value, wanted)


def fields_of(value: Any, structure: Structure) -> FieldSet:
    """The fields that an applied configuration sets."""
    found: FieldSet = set()
    _fields(value, structure, (), found)
    found.discard(())
    return found


def _fields(value: Any, structure: Structure, path: Path, found: FieldSet) -> None:
    if (
        structure.atomic
        or not isinstance(value, dict | list)
        or (isinstance(value, list) and structure.shape != "list")
    ):
        found.add(path)
        return
    if isinstance(value, dict):
        for name, child in value.items():
            at = (*path, f"f:{name}")
            _fields(child, structure.child(name), at, found)
            if child is None or child == {} or structure.shape != "struct":
                found.add(at)
        return
    for item in value:
        at = (*path, item_step(item, structure))
        _fields(item, structure.child(""), at, found)
        found.add(at)


def merged(base: Any, applied: Any, structure: Structure) -> Any:
    """The base with each field that is applied."""
    if structure.atomic:
        return deepcopy(applied)
    if isinstance(base, dict) and isinstance(applied, dict):
        result = dict(base)
        for name, value in applied.items():
            result[name] = merged(base.get(name), value, structure.child(name))
        return result
    if isinstance(base, list) and isinstance(applied, list) and structure.shape == "list":
        return _merged_lists(base, applied, structure)
    return deepcopy(applied)


def _merged_lists(base: list[Any], applied: list[Any], structure: Structure) -> list[Any]:
    """The items of both; shared items stand in the order of the applied list (typed/merge.go, visitListItems)."""
    old = {item_step(item, structure): item for item in base}
    new = {item_step(item, structure): item for item in applied}
    ours, theirs = [*old], [*new]
    shared = [step for step in theirs if step in old]
    done: set[str] = set()
    result: list[Any] = []
    at = to = 0
    while at < len(ours) or to < len(theirs):
        if at < len(ours) and to < len(theirs) and ours[at] != theirs[to]:
            step = ours[at]
            if step in new and shared and shared[0] != step:
                # A shared item whose turn comes later.
                at += 1
                continue
        if at < len(ours) and (to >= len(theirs) or ours[at] != theirs[to]):
            step = ours[at]
            if step not in new:
                result.append(old[step])
                at += 1
                continue
            if step in done:
                at += 1
        if to < len(theirs):
            step = theirs[to]
            if at < len(ours) and ours[at] == step:
                at += 1
            done.add(step)
            result.append(merged(old.get(step), new[step], structure.child("")))
            to += 1
            if shared and shared[0] == step:
                shared.pop(0)
    return result


def without(value: Any, fields: FieldSet, structure: Structure) -> Any:
    """The value without the fields of a set; containers that become empty by that are left out, too."""
    tree: dict[str, Any] = {}
    for path in fields:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["."] = True
    return _without(value, tree, structure)


def _without(value: Any, tree: dict[str, Any], structure: Structure) -> Any:
    if structure.atomic:
        return value
    if isinstance(value, dict):
        kept = {}
        for name, child in value.items():
            below = tree.get(f"f:{name}")
            if below is None:
                kept[name] = child
            elif "." not in below and (left := _without(child, below, structure.child(name))) is not None:
                kept[name] = left
        return kept or None
    if isinstance(value, list) and structure.shape == "list":
        items = []
        for item in value:
            below = tree.get(item_step(item, structure))
            if below is None:
                items.append(item)
            elif "." not in below and (left := _without(item, below, structure.child(""))) is not None:
                items.append(left)
        return items or None
    return value


def faults_of(value: Any, structure: Structure, path: str = "") -> Iterator[str]:
    """The reasons why a configuration cannot be applied: undeclared fields, items that have the same key."""
    if structure.atomic:
        return
    if isinstance(value, dict):
        for name, child in value.items():
            if structure.shape == "struct" and not structure.declares(name) and not structure.keeps_unknown:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from faults_of(child, structure.child(name), f"{path}.{name}")
    elif isinstance(value, list) and structure.shape == "list":
        seen: set[str] = set()
        for item in value:
            step = item_step(item, structure)
            if step in seen:
                yield f"{path}: duplicate entries for key {shown((step,))}"
            seen.add(step)
            yield from faults_of(item, structure.child(""), f"{path}{shown((step,))}")
