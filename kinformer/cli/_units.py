"""Quantities as people read them."""

from __future__ import annotations

__all__ = ["byte_size"]


def byte_size(count: float) -> str:
    """Return a number of bytes in three digits: `950 B`, `9.5 KB`, `120 MB`. A kilobyte is 1,000 bytes."""
    unit = "B"
    for bigger in ("KB", "MB", "GB"):
        if count < 999.5:
            break
        count, unit = count / 1000, bigger
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
