"""The cluster roles and bindings that a new cluster has, as a kube-apiserver makes them (bootstrappolicy/policy.go).

`first_roles.jsonl` has one object a line. The roles of the controllers are left out, as no user has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["FILE", "first_roles"]

FILE: Final = Path(__file__).with_suffix(".jsonl")
"""The file with the objects, recorded from a real server."""


def first_roles() -> list[dict[str, Any]]:
    """Return the objects, roles before bindings."""
    return [msgspec.json.decode(line) for line in FILE.read_bytes().splitlines()]
