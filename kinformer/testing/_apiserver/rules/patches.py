"""The three kinds of patch that are no apply: JSON merge patch, JSON patch, and Kubernetes' strategic merge patch."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, Final

import jsonpatch
import jsonpointer

from kinformer.testing._apiserver.rules.field_sets import item_step, list_keys
from kinformer.testing._apiserver.store.status import bad_request, json_patch_failed

__all__ = ["apply_json_patch", "apply_merge_patch", "apply_strategic_patch"]

_PRIMITIVES: Final = {"finalizers"}
_DIRECTIVES: Final = ("$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys", "$patch")


def apply_merge_patch(current: Any, patch: Any) -> Any:
    """RFC 7386: null removes, an object merges, everything else replaces."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result


def apply_json_patch(current: dict[str, Any], patch: Any) -> dict[str, Any]:
    """RFC 6902.

    Raises:
        Refusal: 400 when it is no patch, 422 when a test does not hold or a path leads nowhere.
    """
    try:
        result: dict[str, Any] = jsonpatch.JsonPatch(patch).apply(current)
    except (jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict, jsonpointer.JsonPointerException):
        raise json_patch_failed() from None
    except (jsonpatch.InvalidJsonPatch, TypeError, AttributeError) as error:
        msg = f"error decoding patch: {error}"
        raise bad_request(msg) from None
    return result


def apply_strategic_patch(current: Any, patch: Any) -> Any:
    """Strategic merge patch: a merge patch in which lists that have a key are merged by it, with `$patch` directives.

    See apimachinery pkg/util/strategicpatch; which list has which key is `field_sets.list_keys`.
    """
    if not isinstance(patch, dict):
        return deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: deepcopy(value) for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(current) if isinstance(current, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif name.startswith(_DIRECTIVES):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            result[name] = _merge_list(name, result.get(name) or [], value)
        else:
            result[name] = apply_strategic_patch(result.get(name), value)
    for name, order in patch.items():
        if name.startswith("$setElementOrder/"):
            field = name.partition("/")[2]
            if isinstance(result.get(field), list):
                result[field] = _ordered(field, result[field], order)
    return result


def _merge_list(field: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if field in _PRIMITIVES:
        return [*current, *(item for item in patch if item not in current)]
    directives = [item for item in patch if isinstance(item, dict) and "$patch" in item]
    if any(item == {"$patch": "replace"} for item in directives):
        return [deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    keys = _merge_key(field, patch)
    if not keys:
        return deepcopy(patch)
    merged = {item_step(item, keys): item for item in current}
    for item in patch:
        step = item_step(item, keys)
        if item.get("$patch") == "delete":
            merged.pop(step, None)
        elif item.get("$patch") == "replace":
            merged[step] = {name: deepcopy(value) for name, value in item.items() if name != "$patch"}
        else:
            merged[step] = apply_strategic_patch(merged.get(step), item)
    return _interleaved(merged, [item_step(item, keys) for item in current], [item_step(item, keys) for item in patch])


def _interleaved(merged: dict[str, Any], before: list[str], patched: list[str]) -> list[Any]:
    """The items in strategicpatch's order (mergeSortedSlice).

    Those of the patch are in its order, and before each of them stand those that were in front of it. What is new goes
    in front.
    """
    theirs = [step for step in patched if step in merged]
    ours = [step for step in before if step in merged and step not in theirs]
    found: list[Any] = []
    for step in theirs:
        while ours and step in before and before.index(ours[0]) < before.index(step):
            found.append(merged[ours.pop(0)])
        found.append(merged[step])
    return found + [merged[step] for step in ours]


def _merge_key(field: str, items: list[Any]) -> tuple[str, ...]:
    """The patchMergeKey of a list: the first of the keys that apply goes by, so that a port is known by its number."""
    return list_keys(field, items)[:1]


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    """The items in the order the patch asks for; those it does not name keep theirs, at the end."""
    if not order:
        return items
    keys = _merge_key(field, order)
    names = [item_step(item, keys) if keys else json.dumps(item) for item in order]

    def place(item: Any) -> int:
        name = item_step(item, keys) if keys else json.dumps(item)
        return names.index(name) if name in names else len(names)

    return sorted(items, key=place)
