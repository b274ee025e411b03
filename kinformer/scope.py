"""Shards: a share of a resource's objects, so that several programs watch it together and each but its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["Shard"]

_ALL: Final = 1 << 64
"""How many values the hash has."""

# 64-bit FNV-1a (RFC 9923).
_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = _ALL - 1


@dataclass(frozen=True, slots=True)
class Shard:
    """One of so many shares of a resource's objects (KEP-5866). All shares together are the whole, and none overlap.

        factory.informer(PODS, shard=Shard(0, of=3))  # in the first of three programs

    An object is in a share by the hash of its uid, which never changes. An API server with the feature gate
    ShardedListAndWatch (alpha in Kubernetes 1.36, off by default) sends a share only; one without sends everything.
    Each object is therefore looked at here as well: the result is the same on both, and only the traffic is not.

    Args:
        index: which share, from 0.
        of: how many there are.
        by: "uid" to spread objects evenly, "namespace" to keep those of a namespace together.

    Raises:
        ValueError: there is no such share.
    """

    index: int
    of: int
    by: Literal["uid", "namespace"] = "uid"

    def __post_init__(self) -> None:
        if self.of < 1 or not 0 <= self.index < self.of:
            msg = f"Shard({self.index}, of={self.of}): shares are counted from 0, and index must be less than `of`"
            raise ValueError(msg)
        if self.by not in {"uid", "namespace"}:
            msg = f"Shard(by={self.by!r}): objects are shared out by their 'uid' or by their 'namespace'"
            raise ValueError(msg)

    @property
    def bounds(self) -> tuple[int, int]:
        """The hashes of the share: the first of them, and the first after them."""
        return self.index * _ALL // self.of, (self.index + 1) * _ALL // self.of

    def has(self, obj: KubeObject) -> bool:
        """Whether an object is in the share."""
        low, high = self.bounds
        return low <= _hashed(obj.uid if self.by == "uid" else obj.namespace) < high

    @property
    def name(self) -> str:
        """For people: "shard 1 of 3", counted from 1."""
        return f"shard {self.index + 1} of {self.of}" + ("" if self.by == "uid" else f" by {self.by}")

    def __str__(self) -> str:
        """As the query `shardSelector` says it."""
        low, high = self.bounds
        return f"shardRange(object.metadata.{self.by}, '0x{low:016x}', '0x{high:016x}')"


def _hashed(text: str) -> int:
    value = _OFFSET
    for byte in text.encode():
        value = (value ^ byte) * _PRIME & _MASK
    return value
