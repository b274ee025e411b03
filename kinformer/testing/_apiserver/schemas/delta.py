"""The difference between two byte strings that are mostly the same, as the documents of two Kubernetes releases.

A delta is a sequence of steps. Each step has a head of three unsigned 32-bit numbers in little-endian order: the start
of a piece of the old bytes, the length of this piece, and the length of the new bytes that follow the head. The result
has the piece, then the new bytes, for each step in turn.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["apply_delta", "delta_of"]

_HEAD: Final = struct.Struct("<III")
_BLOCK: Final = 32
"""A piece of this length is looked for in the old bytes; a shorter common piece is stored anew."""


def apply_delta(old: bytes, delta: bytes) -> bytes:
    """Return the new bytes that a delta makes of the old bytes."""
    parts = []
    at = 0
    while at < len(delta):
        start, kept, added = _HEAD.unpack_from(delta, at)
        at += _HEAD.size
        parts += [old[start : start + kept], delta[at : at + added]]
        at += added
    return b"".join(parts)


def delta_of(old: bytes, new: bytes) -> bytes:
    """Return the delta that makes the new bytes of the old bytes.

    A match is preferred that goes on where the last one ended, since most changes are small.
    """
    blocks: dict[bytes, int] = {}
    for start in range(0, len(old) - _BLOCK + 1, 8):
        blocks.setdefault(old[start : start + _BLOCK], start)
    steps = []
    start = kept = 0
    literal = bytearray()
    at = 0
    while at < len(new):
        nearby = start + kept + len(literal)
        block = new[at : at + _BLOCK]
        found = nearby if len(block) == _BLOCK and old.startswith(block, nearby) else blocks.get(block, -1)
        if found < 0:
            literal.append(new[at])
            at += 1
            continue
        # The common piece may have begun before the block did.
        while literal and found and old[found - 1] == literal[-1]:
            literal.pop()
            found -= 1
            at -= 1
        steps.append(_HEAD.pack(start, kept, len(literal)) + literal)
        start, literal = found, bytearray()
        kept = _common(old, found, new, at)
        at += kept
    steps.append(_HEAD.pack(start, kept, len(literal)) + literal)
    return b"".join(steps)


def _common(old: bytes, start: int, new: bytes, at: int) -> int:
    """Return how many bytes are the same from two places on."""
    length = 0
    while (piece := new[at + length : at + length + 4096]) and old.startswith(piece, start + length):
        length += len(piece)
    while at + length < len(new) and start + length < len(old) and old[start + length] == new[at + length]:
        length += 1
    return length
