"""Quantities as numbers, to compare them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

__all__ = ["number_of"]

_FACTORS: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PARTS: Final = re.compile(r"([+-]?[0-9.]*)(.*)")


def number_of(quantity: Any) -> Decimal:
    """Return the number of a quantity that was read already, as "1500m" or "2Gi"."""
    match = _PARTS.fullmatch(str(quantity))
    assert match is not None
    digits, suffix = match.groups()
    number = Decimal(digits if digits.strip("+-.") else "0")
    if suffix[:1] in {"e", "E"} and len(suffix) > 1:
        return number.scaleb(int(suffix[1:]))
    if suffix.endswith("i"):
        return number * (1 << 10 * ("KMGTPE".index(suffix[0]) + 1))
    return number.scaleb(_FACTORS[suffix])
