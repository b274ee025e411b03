"""Copies of a body with one field changed or removed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

GONE: Final = object()
"""In place of a value: the field is removed."""


def changed(body: dict[str, Any], where: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a copy of a body with another value at a place."""
    made = deepcopy(body)
    parent: Any = made
    for step in where[:-1]:
        parent = parent[step]
    if value is GONE:
        del parent[where[-1]]
    else:
        parent[where[-1]] = value
    return made
