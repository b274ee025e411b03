"""Sets of fields, as `metadata.managedFields` lists them (KEP-555, structured-merge-diff).

A field is a path of steps as `fieldsV1` writes them: "f:NAME" for a field, "k:{...}" for the item of a list that is
merged by key, "v:..." for a value of a list that is a set. A list that is neither is one field.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["FieldSet", "Path", "from_fields_v1", "item_step", "shown", "to_fields_v1", "with_named_parents"]

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = set[Path]


def item_step(item: Any, structure: Structure) -> str:
    """The step to an item of a list that is merged by key, or to a value of a set."""
    if not structure.keys or not isinstance(item, dict):
        return "v:" + json.dumps(item, separators=(",", ":"), sort_keys=True)
    given = {**structure.key_defaults, **item}
    keys = {key: given[key] for key in structure.keys if given.get(key) is not None}
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True)


def to_fields_v1(fields: FieldSet) -> dict[str, Any]:
    """A set of fields as `fieldsV1` nests it; "." stands for a field that has fields of the set below it."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    for path in fields:
        node = tree
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return _sorted(tree)


def _sorted(tree: dict[str, Any]) -> dict[str, Any]:
    return {step: _sorted(tree[step]) for step in sorted(tree)}


def from_fields_v1(tree: Any) -> FieldSet:
    """The set of fields that `fieldsV1` nests; empty for any other value."""

    def walk(node: Any, path: Path) -> Iterator[Path]:
        if not isinstance(node, dict):
            return
        if not node:
            yield path
        for step, child in node.items():
            if step == ".":
                yield path
            else:
                yield from walk(child, (*path, step))

    return set(walk(tree, ())) - {()}


def with_named_parents(fields: FieldSet, structure: Structure) -> FieldSet:
    """The set with each declared field of a struct that has a field of the set below it."""
    found = set(fields)
    for path in fields:
        at = structure
        for index, step in enumerate(path[:-1]):
            kind, _, text = step.partition(":")
            if kind == "f":
                if at.shape == "struct" and at.declares(text):
                    found.add(path[: index + 1])
                at = at.child(text)
            else:
                at = at.child("")
    return found


def shown(path: Path) -> str:
    """A path as messages show it (structured-merge-diff fieldpath/element.go)."""
    return "".join(_shown_step(step) for step in path)


def _shown_step(step: str) -> str:
    kind, _, text = step.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(text).items())
    return f"[{keys}]"
