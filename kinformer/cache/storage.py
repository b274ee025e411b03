"""How a cache holds its objects: the choice, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Storage", "StorageStatus", "checked_storage"]

Storage: TypeAlias = Literal["plain", "compact"]
"""How objects are held. "plain": as the JSON that came. "compact": as zstd, with a dictionary made of the cache's own
objects, a tenth of the size or less, decompressed for whoever reads more than an object's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """What a cache holds at one moment.

    Attributes:
        storage: "plain" or "compact".
        objects: how many objects there are.
        json_bytes: the size of their JSON.
        stored_bytes: what is held of it: the same when plain, less when compact. Not the objects' heads, keys and
            places in indexes: some 450 to 700 bytes per object.
        dictionary_bytes: the size of the dictionary; 0 while there is none. What works with it takes some 0.7 MB more.
        generation: how many dictionaries there have been.
        trials: how often a new dictionary was made and tried; one that is hardly better than the present one is not
            taken.
    """

    storage: Storage
    objects: int
    json_bytes: int
    stored_bytes: int
    dictionary_bytes: int = 0
    generation: int = 0
    trials: int = 0

    @property
    def ratio(self) -> float:
        """What is held, of the JSON: 1.0 when plain."""
        return self.stored_bytes / self.json_bytes if self.json_bytes else 1.0


def checked_storage(storage: str) -> Storage:
    """The same, if there is such a storage.

    Raises:
        ValueError: there is not.
    """
    match storage:
        case "plain" | "compact":
            return storage
    msg = f"storage={storage!r} is unknown; it is 'plain' (objects as JSON) or 'compact' (compressed)"
    raise ValueError(msg)
