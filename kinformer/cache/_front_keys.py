"""The keys of a dict from its front, while they are taken out of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.objects import ObjectKey

__all__ = ["front_keys"]

_PARTS: Final = 64
_SMALLEST_PART: Final = 1024


def front_keys(emptied: dict[ObjectKey, Any]) -> Iterator[ObjectKey]:
    """Yield the keys of a dict in their order, until it is empty; the caller removes each key before it takes the next.

    A dict finds its first key only by a walk over all keys that were removed before it. A copy of all keys holds each
    of them until its end, and then frees 100,000 at once. So the keys are copied in parts, of which there are 64 at
    most. A key that was removed in another way since its part was copied is yielded, too.

    Args:
        emptied: the dict. Keys that are added meanwhile come last.
    """
    part = max(_SMALLEST_PART, len(emptied) // _PARTS)
    while emptied:
        yield from [*islice(emptied, part)]
