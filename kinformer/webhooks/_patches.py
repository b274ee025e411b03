"""JSON patches (RFC 6902) from the difference of two manifests."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["difference", "rebase"]

_KEYS: Final = ("name", "key", "type", "containerPort", "port", "uid", "ip")
"""The fields that are the key of an item in lists of Kubernetes, the most usual first."""


def difference(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """Return the operations that make `after` of `before`; none for equal values.

    A list that differs is replaced as a whole.
    """
    if _same(before, after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [{"op": "replace", "path": path, "value": after}]
    found = [{"op": "remove", "path": f"{path}/{_token(name)}"} for name in before if name not in after]
    for name, value in after.items():
        at = f"{path}/{_token(name)}"
        if name in before:
            found += difference(before[name], value, at)
        else:
            found.append({"op": "add", "path": at, "value": value})
    return found


def rebase(full: Any, before: Any, after: Any) -> Any:
    """Make the change from `before` to `after` in `full`, which may have more fields than both, or fewer.

    Args:
        full: the manifest as the server has sent it.
        before: the part of it that a class knows, with the defaults of the class.
        after: the same after the change.

    Returns:
        `full` with the change. Values that are equal in `before` and `after` stay as they are in `full`, or absent.
    """
    if _same(before, after):
        return full
    if isinstance(before, dict) and isinstance(after, dict) and isinstance(full, dict):
        made = {name: value for name, value in full.items() if name in after or name not in before}
        for name, value in after.items():
            if name not in before:
                made[name] = value
            elif not _same(before[name], value):
                made[name] = rebase(full.get(name), before[name], value)
        return made
    if isinstance(full, list) and isinstance(before, list) and isinstance(after, list) and len(full) == len(before):
        return _rebase_items(full, before, after)
    return after


def _rebase_items(full: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """Find for each item the one that it was: the same, else the one with the same key, else the one at its place."""
    free = dict.fromkeys(range(len(before)))
    origins: list[int | None] = [None] * len(after)

    def pair(matches: Any) -> None:
        for place, item in enumerate(after):
            if origins[place] is None:
                found = next((old for old in free if matches(place, item, old)), None)
                if found is not None:
                    origins[place] = found
                    del free[found]

    pair(lambda _, item, old: _same(before[old], item))
    pair(lambda _, item, old: (key := _key(item)) is not None and key == _key(before[old]))
    if len(before) == len(after):
        pair(lambda place, item, old: place == old and _key(item) is None and _key(before[old]) is None)
    return [
        item if old is None else rebase(full[old], before[old], item) for item, old in zip(after, origins, strict=True)
    ]


def _key(item: Any) -> tuple[str, Any] | None:
    if not isinstance(item, dict):
        return None
    return next(((name, item[name]) for name in _KEYS if isinstance(item.get(name), str | int)), None)


def _same(first: Any, second: Any) -> bool:
    """Compare as JSON: `True` is not 1, at any depth."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(value, second[name]) for name, value in first.items())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
