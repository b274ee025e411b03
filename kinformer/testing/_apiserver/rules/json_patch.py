"""JSON patch (RFC 6902) in the way of the Go library evanphx/json-patch, which Kubernetes uses.

It differs from the RFC where controllers rely on it: a `test` for null holds if the field is absent, a `replace` of an
absent field adds it, a `copy` of an absent field copies null, and negative indices count from the end.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, Final

from kinformer.testing._apiserver.store.status import Refusal, bad_request, json_patch_failed

__all__ = ["PatchError", "apply_json_patch", "patched"]

_MOST_OPERATIONS: Final = 10_000
"""The operations of one patch (apiserver handlers/patch.go, maxJSONPatchOperations)."""

_GO_WORDS: Final = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_KINDS: Final = {"add", "copy", "move", "remove", "replace", "test"}
_ABSENT: Final = object()


class _LeadsNowhereError(Exception):
    """A path that cannot be followed, or a test that does not hold."""


class PatchError(Exception):
    """A patch cannot be applied; the text is that of the Go library.

    Attributes:
        is_test: whether a test does not hold.
    """

    def __init__(self, why: str, *, is_test: bool = False) -> None:
        super().__init__(why)
        self.is_test = is_test


def patched(current: dict[str, Any], patch: list[dict[str, Any]]) -> Any:
    """Apply the operations that a policy makes to a copy of a document.

    Raises:
        PatchError: one of them cannot be applied.
    """
    result = deepcopy(current)
    for operation in patch:
        kind, path = operation.get("op") or "", operation.get("path") or ""
        if kind not in _KINDS:
            msg = f"Unexpected kind: {kind}"
            raise PatchError(msg)
        try:
            _apply(result, operation)
        except _LeadsNowhereError:
            if kind == "test":
                msg = f"testing value {path} failed: test failed"
                raise PatchError(msg, is_test=True) from None
            absent = f"Unable to remove nonexistent key: {path.rpartition('/')[2]}: missing value"
            if kind == "remove" and path:
                msg = f"error in remove for path: '{path}': {absent}"
            else:
                msg = f"{kind} operation does not apply: doc is missing path: {json.dumps(path)}: missing value"
            raise PatchError(msg) from None
    return result


def apply_json_patch(current: dict[str, Any], patch: Any) -> Any:
    """Apply a patch to a copy of a document.

    Raises:
        Refusal: 400 for a body that is no patch, 413 for too many operations, 422 when a test does not hold or a path
            leads nowhere.
    """
    operations = _operations(patch)
    result = deepcopy(current)
    try:
        for operation in operations:
            _apply(result, operation)
    except _LeadsNowhereError:
        raise json_patch_failed() from None
    return result


def _operations(patch: Any) -> list[dict[str, Any]]:
    if patch is None:
        # Go reads null as no operations.
        return []
    if not isinstance(patch, list):
        raise _unreadable(patch, "Go value of type []handlers.jsonPatchOp")
    if len(patch) > _MOST_OPERATIONS:
        msg = f"The allowed maximum operations in a JSON patch is {_MOST_OPERATIONS}, got {len(patch)}"
        raise Refusal(413, msg, "RequestEntityTooLarge", {})
    for operation in patch:
        if not isinstance(operation, dict):
            raise _unreadable(operation, "Go value of type handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            value = operation.get(name)
            if value is not None and not isinstance(value, str):
                raise _unreadable(value, f"Go struct field jsonPatchOp.{name} of type string")
    return patch


def _unreadable(value: Any, where: str) -> Refusal:
    found = _GO_WORDS.get(type(value), "null")
    return bad_request(f"error decoding patch: json: cannot unmarshal {found} into {where}")


def _apply(document: Any, operation: dict[str, Any]) -> None:
    kind, value = operation.get("op"), operation.get("value")
    parent, name = _parent(document, operation.get("path"))
    match kind:
        case "add" if "value" in operation:
            _add(parent, name, deepcopy(value))
        case "remove":
            _remove(parent, name)
        case "replace" if "value" in operation:
            if isinstance(parent, list):
                parent[_index(parent, name)] = deepcopy(value)
            else:
                parent[name] = deepcopy(value)
        case "move":
            source, key = _parent(document, operation.get("from"))
            moved = _get(source, key)
            _remove(source, key)
            _add(*_parent(document, operation.get("path")), moved)
        case "copy":
            copied = _get(*_parent(document, operation.get("from")))
            _add(parent, name, None if copied is _ABSENT else deepcopy(copied))
        case "test":
            found = _get(parent, name)
            if not _same(None if found is _ABSENT else found, value):
                raise _LeadsNowhereError
        case _:
            raise _LeadsNowhereError


def _parent(document: Any, path: str | None) -> tuple[Any, str]:
    """The container that a path leads into, and the name in it."""
    if not path or "/" not in path:
        raise _LeadsNowhereError
    # What stands in front of the first slash counts for nothing.
    _, *way, last = (step.replace("~1", "/").replace("~0", "~") for step in path.split("/"))
    at = document
    for step in way:
        at = _get(at, step)
    if not isinstance(at, dict | list):
        raise _LeadsNowhereError
    return at, last


def _get(parent: Any, name: str) -> Any:
    if isinstance(parent, dict):
        return parent.get(name, _ABSENT)
    if isinstance(parent, list):
        return parent[_index(parent, name)]
    raise _LeadsNowhereError


def _index(items: list[Any], text: str, *, end: int = 0) -> int:
    """The index of an item; a negative one counts from the end."""
    digits = text.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 9:
        raise _LeadsNowhereError
    index = int(text)
    if index < 0:
        index += len(items) + end
    if not 0 <= index < len(items) + end:
        raise _LeadsNowhereError
    return index


def _add(parent: Any, name: str, value: Any) -> None:
    if isinstance(parent, dict):
        parent[name] = value
    elif name == "-":
        parent.append(value)
    else:
        parent.insert(_index(parent, name, end=1), value)


def _remove(parent: Any, name: str) -> None:
    if isinstance(parent, dict):
        if parent.pop(name, _ABSENT) is _ABSENT:
            raise _LeadsNowhereError
    else:
        del parent[_index(parent, name)]


def _same(one: Any, other: Any) -> bool:
    """Report whether two values are the same JSON: 1 is not true, and not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)
