"""The form in which a cache holds its objects, and its size in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Storage", "StorageStatus", "checked_storage"]

Storage: TypeAlias = Literal["plain", "compact"]
"""The form in which objects are held. "plain": the JSON as received. "compact": zstd with a dictionary made of the
cache's own objects, at a tenth of the size or less; a read beyond the object's head decompresses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """The number and size of the objects in a cache at one moment.

    Attributes:
        storage: "plain" or "compact".
        objects: the number of objects.
        json_bytes: the size of their JSON.
        stored_bytes: the size in which that JSON is held: the same if plain, less if compact. It does not include the
            heads, keys and index entries of the objects, which take about 470 bytes per object (650 if plain).
        dictionary_bytes: the size of the dictionary; 0 while there is none. Compressing and decompressing with it take
            about 0.7 MB more.
        generation: the number of dictionaries used so far.
        trials: the number of dictionaries made and tried so far; one that is hardly better than the present one is not
            used.
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
        """`stored_bytes` divided by `json_bytes`: 1.0 if plain."""
        return self.stored_bytes / self.json_bytes if self.json_bytes else 1.0


def checked_storage(storage: str) -> Storage:
    """Return the argument if it names a form of storage.

    Raises:
        ValueError: it does not.
    """
    match storage:
        case "plain" | "compact":
            return storage
    msg = f"storage={storage!r} is unknown; it is 'plain' (objects as JSON) or 'compact' (compressed)"
    raise ValueError(msg)
