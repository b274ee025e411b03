"""JSON merge patch, and Kubernetes' strategic merge patch."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.store.status import bad_request
from kinformer.testing._apiserver.store.structure import ANY

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = ["apply_merge_patch", "apply_strategic_patch"]

_DIRECTIVES: Final = ("$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys", "$patch")


def apply_merge_patch(current: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch: null removes, an object merges, everything else replaces."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result


def apply_strategic_patch(current: Any, patch: Any, structure: Structure = ANY) -> Any:
    """Apply a strategic merge patch: a merge patch that merges the lists that have a key, and has `$patch` directives.

    See apimachinery pkg/util/strategicpatch.

    Args:
        current: the value before.
        patch: the patch.
        structure: the structure of the value, which knows the keys of its lists.

    Raises:
        Refusal: 400 for a directive or an item that does not have the form it needs.
    """
    if not isinstance(patch, dict):
        return deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: deepcopy(value) for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    if patch.get("$patch") not in (None, "merge"):
        msg = f"unknown patch type: {patch['$patch']} in map: map[$patch:{patch['$patch']}]"
        raise bad_request(msg)
    result = dict(current) if isinstance(current, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {name: value for name, value in result.items() if name in _list(retained, "$retainKeys")}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            kept = [item for item in _items(result.get(field)) if item not in _list(value, name)]
            result[field] = kept
        elif name.startswith(_DIRECTIVES):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            result[name] = _merge_list(_items(result.get(name)), value, structure.child(name))
        else:
            result[name] = apply_strategic_patch(result.get(name), value, structure.child(name))
    for name, order in patch.items():
        if name.startswith("$setElementOrder/"):
            field, listed = name.partition("/")[2], _list(order, name)
            if isinstance(result.get(field), list):
                result[field] = _ordered(result[field], listed, structure.child(field).merge_key)
    return result


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _list(value: Any, directive: str) -> list[Any]:
    if not isinstance(value, list):
        msg = f"the directive {directive} needs a list"
        raise bad_request(msg)
    return value


def _merge_list(current: list[Any], patch: list[Any], structure: Structure) -> list[Any]:
    if structure.merge_key == "":
        return [*current, *(item for item in patch if item not in current)]
    directives = [item for item in patch if isinstance(item, dict) and "$patch" in item]
    if {"$patch": "replace"} in directives:
        return [deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    key = structure.merge_key
    if key is None:
        return deepcopy(patch)
    merged = {_step(item, key): item for item in current}
    for item in patch:
        if not isinstance(item, dict) or item.get(key) is None:
            msg = f"map: {_as_go_map(item)} does not contain declared merge key: {key}"
            raise bad_request(msg)
        step = _step(item, key)
        if item.get("$patch") == "delete":
            merged.pop(step, None)
        elif item.get("$patch") == "replace":
            merged[step] = {name: deepcopy(value) for name, value in item.items() if name != "$patch"}
        else:
            merged[step] = apply_strategic_patch(merged.get(step), item, structure.child(""))
    return _interleaved(merged, [_step(item, key) for item in current], [_step(item, key) for item in patch])


def _as_go_map(item: Any) -> str:
    """A map as Go prints it, for an error."""
    if isinstance(item, dict):
        return f"map[{' '.join(f'{name}:{_as_go_map(value)}' for name, value in sorted(item.items()))}]"
    return str(item)


def _step(item: Any, key: str) -> str:
    return json.dumps(item.get(key) if isinstance(item, dict) else item)


def _interleaved(merged: dict[str, Any], before: list[str], patched: list[str]) -> list[Any]:
    """The items in strategicpatch's order (mergeSortedSlice).

    The items of the patch stand in its order. In front of each stand the items that stood in front of it before. New
    items stand at the front.
    """
    theirs = [step for step in dict.fromkeys(patched) if step in merged]
    ours = [step for step in before if step in merged and step not in theirs]
    found: list[Any] = []
    for step in theirs:
        while ours and step in before and before.index(ours[0]) < before.index(step):
            found.append(merged[ours.pop(0)])
        found.append(merged[step])
    return found + [merged[step] for step in ours]


def _ordered(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """The items in the order that the patch asks for; items that it does not name follow."""
    if not order or key is None:
        return items
    names = [_step(item, key) for item in order]

    def place(item: Any) -> int:
        name = _step(item, key)
        return names.index(name) if name in names else len(names)

    return sorted(items, key=place)
