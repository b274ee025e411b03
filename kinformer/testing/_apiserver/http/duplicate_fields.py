"""Finds fields that a JSON body has twice, which a JSON decoder reads as one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["duplicate_fields"]


class _Pairs(dict[str, Any]):
    """A JSON object that knows which of its names came more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def duplicate_fields(body: bytes, media: str) -> list[str]:
    """Return the paths of the fields that a JSON body has more than once, as `metadata.name`.

    Args:
        body: the body; one that is no JSON has none, since the decoder refuses it.
        media: its media type; only `application/json` is looked at.
    """
    if media != "application/json":
        return []
    doubled = False

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        found = _Pairs(pairs)
        doubled = doubled or len(found) != len(pairs)
        return found

    try:
        value = json.loads(body, object_pairs_hook=noted)
    except (ValueError, RecursionError):
        return []
    return [*_paths(value, "")] if doubled else []


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, child in value.pairs:
            at = f"{path}.{name}".lstrip(".")
            if name in seen:
                yield at
            else:
                seen.add(name)
                yield from _paths(child, at)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _paths(child, f"{path}[{index}]")
