"""Giving memory that was freed back to the system.

glibc gives back free memory at the end of the heap, and keeps free memory between blocks that are in use. When a list
has come in, its pages lay among the objects that were made of them: a cache of 20,000 compressed pods took
40 % more memory than its objects. To give that back takes less than a millisecond (docs/design/0006).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["give_back_free_memory"]


def give_back_free_memory() -> None:
    """Give back what can be given; where the C library has no such call, do nothing."""
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    try:
        import ctypes

        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, TypeError, AttributeError):  # musl, macOS, Windows
        return lambda _: None
    return trim
