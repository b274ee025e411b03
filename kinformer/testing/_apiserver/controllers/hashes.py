"""Hashes of templates, as words that names can contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from kinformer.testing._apiserver.controllers.actions import Manifest

__all__ = ["LETTERS", "safe_hash"]

LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names (apimachinery pkg/util/rand): no vowels, so that no words appear."""


def safe_hash(template: Manifest, collisions: int = 0) -> str:
    """Return a hash of a template.

    The value differs from Go's, which hashes the template as Go prints it; its form is the same.
    """
    data = msgspec.json.encode([template, collisions] if collisions else template, order="deterministic")
    number = 0x811C9DC5
    for byte in data:
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "".join(LETTERS[ord(digit) % len(LETTERS)] for digit in str(number))
