"""The objects that a kube-apiserver makes at its first start.

`first_roles.jsonl` and `first_objects.jsonl` have one object a line. The roles of the controllers are left out, as no
user has them (bootstrappolicy/policy.go).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["OBJECTS", "ROLES", "first_objects", "first_roles"]

OBJECTS: Final = Path(__file__).with_name("first_objects.jsonl")
"""The file with the priority classes, flow schemas and ranges of addresses, recorded from a real server."""

ROLES: Final = Path(__file__).with_name("first_roles.jsonl")
"""The file with the roles and their bindings, recorded from a real server."""


def first_objects() -> list[dict[str, Any]]:
    """Return the objects that each server has, as they are stored."""
    return _read(OBJECTS)


def first_roles() -> list[dict[str, Any]]:
    """Return the roles of a server, before their bindings."""
    return _read(ROLES)


def _read(file: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
