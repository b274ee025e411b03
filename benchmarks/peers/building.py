"""Builds of clients that are not in Python: one that cannot be built costs only its own rows."""

from __future__ import annotations

import hashlib

__all__ = ["MissingError", "digest", "last_line"]


class MissingError(Exception):
    """A client cannot be measured here; says why in one line."""


def digest(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that stand for the sources of a build."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def last_line(text: str) -> str:
    """The last line that a tool wrote, cut to a length that fits into a table."""
    return (text.strip().splitlines() or ["no word why"])[-1][:200]
