"""Removal of a key whose `__hash__` or `__eq__` raises since it was added. Both are code of users.

A dict cannot find such a key again. Without this module, it would stay in the books of a queue and of its controller
for ever, and each later step would fail at it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["holds", "removed"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def holds(kept: MutableMapping[K, V], key: K) -> bool:
    """Return whether a mapping has a key; if the key cannot be looked up any more, it is found by its identity."""
    try:
        if key in kept:
            return True
    except BaseException as error:
        if not is_survivable(error):
            raise
    return any(other is key for other in kept)


def removed(kept: MutableMapping[K, V], key: K) -> bool:
    """Remove a key from a mapping; return whether it was there.

    If the key cannot be looked up any more, it is found by its identity. Then all other keys that cannot be hashed go,
    too. The others keep their order.
    """
    try:
        if key in kept:
            del kept[key]
            return True
    except BaseException as error:
        if not is_survivable(error):
            raise
    if all(other is not key for other in kept):
        return False
    entries = [*kept.items()]
    kept.clear()
    for other, value in entries:
        if other is not key:
            try:
                kept[other] = value
            except BaseException as error:
                if not is_survivable(error):
                    raise
    return True
