"""Finds fields that a body has twice, which a decoder reads as one."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["doubled_keys", "fields_of_doubled"]


class _Pairs(dict[str, Any]):
    """A JSON object that knows which of its names came more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def fields_of_doubled(body: bytes, media: str) -> list[tuple[str, bool]]:
    """Return the fields of a JSON body that has some of them more than once; none for any other body.

    Args:
        body: the body; one that is no JSON has none, since the decoder refuses it.
        media: its media type; only `application/json` is looked at, which is the default.

    Returns:
        The path of each field, as `metadata.name`, and whether it was there before; in the order of the body.
    """
    if media not in {"", "application/json"}:
        return []
    try:
        value = _read(body)
    except (ValueError, RecursionError):
        return []
    return [] if value is None else [*_fields(value, "")]


def doubled_keys(body: bytes) -> list[str]:
    """Return the faults of the keys that a body of YAML has more than once, as `line 3: key "a" already set in map`."""
    if body.startswith(b"{"):
        # Clients write JSON where YAML is asked for, which is read much faster.
        with contextlib.suppress(ValueError, RecursionError):
            if _read(body) is None:
                return []
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(body, Loader=loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return []
    return [] if root is None else [*_keys(root)]


def _keys(node: Any) -> Iterator[str]:
    if node.id == "sequence":
        for child in node.value:
            yield from _keys(child)
    elif node.id == "mapping":
        seen: set[str] = set()
        for key, child in node.value:
            yield from _keys(child)
            if key.id == "scalar" and key.value in seen:
                yield f"line {key.start_mark.line + 1}: key {json.dumps(key.value)} already set in map"
            elif key.id == "scalar":
                seen.add(key.value)


def _read(body: bytes) -> Any:
    """Return a JSON body with its pairs if it has a field more than once, else `None`."""
    doubled = False

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        found = _Pairs(pairs)
        doubled = doubled or len(found) != len(pairs)
        return found

    value = json.loads(body, object_pairs_hook=noted)
    return value if doubled else None


def _fields(value: Any, path: str) -> Iterator[tuple[str, bool]]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, child in value.pairs:
            at = f"{path}.{name}".lstrip(".")
            yield at, name in seen
            if name not in seen:
                seen.add(name)
                yield from _fields(child, at)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _fields(child, f"{path}[{index}]")
