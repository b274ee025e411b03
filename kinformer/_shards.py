"""Shares of the objects of a resource, by a hash: `Shard`, one of several equal shares, and `Ranges`, any hash ranges.

The hash is 64-bit FNV-1a (RFC 9923) of the uid or of the namespace of an object, as KEP-5866 has it. Pure.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.objects import KubeObject

__all__ = [
    "SLICE_LABEL",
    "Ranges",
    "Shard",
    "ShardBy",
    "ShardLike",
    "hash_of",
    "may_merge",
    "missing_share",
    "ranges_of",
    "ranges_over",
    "same_shard",
]

_ALL: Final = 1 << 64
"""How many values the hash has."""

_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3
_MASK: Final = _ALL - 1

ShardBy: TypeAlias = Literal["uid", "namespace", "owner", "label"]
"""The property of an object that is hashed. "owner": the uid of the owner that controls it. "label": `SLICE_LABEL`."""

_BY: Final = ("uid", "namespace")
_BY_OTHERS: Final = ("owner", "label")

SLICE_LABEL: Final = "kinformer.dev/slice"
"""Label of an object that belongs to another one: two hex digits, the first byte of the hash of that other object."""

_LABEL_VALUE: Final = re.compile(r"[0-9a-f]{2}")


@functools.lru_cache(maxsize=16_384)
def hash_of(text: str) -> int:
    """Return the hash of a uid or a namespace.

    Hashes are remembered: one takes some 4 µs in Python, and the events of an object repeat its uid. Only so many,
    because each takes 200 bytes.
    """
    value = _OFFSET
    for byte in text.encode():
        value = (value ^ byte) * _PRIME & _MASK
    return value


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares of a resource's objects (KEP-5866). The shares cover all objects, and do not overlap.

        factory.informer(PODS, shard=Shard(0, of=3))  # in the first of three programs

    The hash of an object's uid, which never changes, decides its share. An API server with the feature gate
    ShardedListAndWatch (alpha in Kubernetes 1.36, off by default) sends a share only; one without sends everything.
    So the client also checks each object: the result is the same on both servers, and only the traffic differs.

    Args:
        index: the number of the share, from 0.
        of: the number of shares.
        by: "uid" to spread objects evenly, "namespace" to keep those of a namespace together.

    Raises:
        ValueError: there is no such share.

    Examples:
        >>> third = factory.informer("pods", shard=Shard(0, of=3))
    """

    index: int
    of: int
    by: Literal["uid", "namespace"] = "uid"

    def __post_init__(self) -> None:
        if self.of < 1 or not 0 <= self.index < self.of:
            msg = f"Shard({self.index}, of={self.of}): shares are counted from 0, and index must be less than `of`"
            raise ValueError(msg)
        if self.by not in _BY:
            msg = f"Shard(by={self.by!r}): objects are shared out by their 'uid' or by their 'namespace'"
            raise ValueError(msg)

    @property
    def bounds(self) -> tuple[int, int]:
        """The hashes of the share: the first of them, and the first after them."""
        return self.index * _ALL // self.of, (self.index + 1) * _ALL // self.of

    def has(self, obj: KubeObject) -> bool:
        """Return whether an object is in the share."""
        return self.covers(obj.uid if self.by == "uid" else obj.namespace)

    def covers(self, text: str) -> bool:
        """Return whether a uid is in the share; with `by="namespace"`, whether a namespace is."""
        low, high = self.bounds
        return low <= hash_of(text) < high

    @property
    def name(self) -> str:
        """For people: "shard 1 of 3", counted from 1."""
        return f"shard {self.index + 1} of {self.of}" + ("" if self.by == "uid" else f" by {self.by}")

    def __str__(self) -> str:
        """Return the value of the query parameter `shardSelector`."""
        return _selector(self.by, (self.bounds,))


@dataclass(frozen=True, slots=True)
class Ranges:
    """A share of a resource's objects that can change while an informer runs: any set of hash ranges.

        pods = factory.informer(PODS, scope=Scope(shard=Ranges()))  # nothing yet, without a request
        await pods.set_scope(Scope(shard=Ranges.of_slices({0, 1, 7}, of=256)))

    Sets of ranges are values: `a | b` is their union, `a & b` their intersection, `a - b` their difference, and an
    empty one is false. Like `Shard`, they are requested from the server, and each object is checked by the client.

    Args:
        spans: pairs of the first hash and the first hash after it. They are sorted and joined.
        by: "uid" to spread objects evenly, "namespace" to keep those of a namespace together. "owner" puts an object
            where the owner is that controls it; no server selects so. "label" goes by the label `kinformer.dev/slice`,
            by which every server selects.

    Raises:
        ValueError: a span outside of 0 to 2^64, or an unknown `by`.
    """

    spans: tuple[tuple[int, int], ...] = ()
    by: ShardBy = "uid"

    def __post_init__(self) -> None:
        if self.by not in _BY + _BY_OTHERS:
            msg = f"Ranges(by={self.by!r}): objects are shared out by their 'uid', 'namespace', 'owner' or 'label'"
            raise ValueError(msg)
        joined: list[tuple[int, int]] = []
        for low, high in sorted(self.spans):
            if not 0 <= low <= high <= _ALL:
                msg = f"Ranges: the span from {low} to {high} is not within 0 to 2^64"
                raise ValueError(msg)
            if low == high:
                continue
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        object.__setattr__(self, "spans", tuple(joined))

    @classmethod
    def of_slices(cls, slices: Iterable[int], of: int = 256, by: ShardBy = "uid") -> Self:
        """Return the ranges of some of `of` equal slices of the hash space, counted from 0.

        Raises:
            ValueError: there is no such slice.
        """
        numbers = sorted(slices)
        if of < 1 or (numbers and not (numbers[0] >= 0 and numbers[-1] < of)):
            msg = f"slices {numbers} of {of}: slices are counted from 0, and each must be less than `of`"
            raise ValueError(msg)
        return cls(tuple((one * _ALL // of, (one + 1) * _ALL // of) for one in numbers), by)

    @classmethod
    def everything(cls, by: ShardBy = "uid") -> Self:
        """Return the ranges of all objects."""
        return cls(((0, _ALL),), by)

    def has(self, obj: KubeObject) -> bool:
        """Return whether an object is in the ranges."""
        match self.by:
            case "uid":
                return self.covers(obj.uid)
            case "namespace":
                return self.covers(obj.namespace)
            case "owner":
                owner = next((one for one in obj.owner_references if one.controller), None)
                return owner is not None and self.covers(owner.uid)
            case "label":
                value = obj.labels.get(SLICE_LABEL, "")
                return _LABEL_VALUE.fullmatch(value) is not None and self._holds(int(value, 16) << 56)

    def covers(self, text: str) -> bool:
        """Return whether a uid is in the ranges; with `by="namespace"`, whether a namespace is."""
        return self._holds(hash_of(text))

    def _holds(self, value: int) -> bool:
        before = bisect_right(self.spans, (value, _ALL)) - 1
        return before >= 0 and value < self.spans[before][1]

    @property
    def label_selector(self) -> str:
        """The label selector of the objects: `kinformer.dev/slice in (a0,a1)`; "" unless they go by their label."""
        if self.by != "label":
            return ""
        values = [f"{number:02x}" for number in range(256) if self._holds(number << 56)]
        return f"{SLICE_LABEL} in ({','.join(values)})"

    def is_within(self, other: Ranges) -> bool:
        """Return whether the other ranges cover all objects of these."""
        return not self or (self.by == other.by and not self - other)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __or__(self, other: Ranges) -> Ranges:
        """Return the union.

        Raises:
            ValueError: they are not by the same field.
        """
        if not isinstance(other, Ranges):
            return NotImplemented
        return Ranges((*self.spans, *other.spans), self._common(other))

    def __and__(self, other: Ranges) -> Ranges:
        """Return the intersection.

        Raises:
            ValueError: they are not by the same field.
        """
        if not isinstance(other, Ranges):
            return NotImplemented
        return self - (Ranges.everything(self._common(other)) - other)

    def __sub__(self, other: Ranges) -> Ranges:
        """Return the ranges that the other ones lack.

        Raises:
            ValueError: they are not by the same field.
        """
        if not isinstance(other, Ranges):
            return NotImplemented
        by = self._common(other)
        left: list[tuple[int, int]] = []
        for span_low, span_high in self.spans:
            low = span_low
            for cut_low, cut_high in other.spans:
                if cut_high <= low or cut_low >= span_high:
                    continue
                left.append((low, max(low, cut_low)))
                low = cut_high
            left.append((low, max(low, span_high)))
        return Ranges(tuple(left), by)

    @property
    def name(self) -> str:
        """For people. It names no ranges, because it must not change with them."""
        return "hash ranges" + ("" if self.by == "uid" else f" by {self.by}")

    def __str__(self) -> str:
        """Return the value of the query parameter `shardSelector`; "" if the server cannot select so."""
        return _selector(self.by, self.spans) if self.by in _BY else ""

    def _common(self, other: Ranges) -> ShardBy:
        if self.by != other.by and self and other:
            msg = f"ranges by {self.by} and ranges by {other.by} cannot be combined"
            raise ValueError(msg)
        return self.by if self else other.by


ShardLike: TypeAlias = Shard | Ranges
"""A share of the objects."""


def ranges_of(shard: ShardLike) -> Ranges:
    """Return a share as ranges."""
    return shard if isinstance(shard, Ranges) else Ranges((shard.bounds,), shard.by)


def same_shard(one: ShardLike | None, other: ShardLike | None) -> bool:
    """Return whether two shares have the same objects, as far as their kinds show."""
    if one is None or other is None:
        return one is other
    return ranges_of(one) == ranges_of(other)


def ranges_over(shard: ShardLike | None, by: ShardBy = "uid") -> Ranges:
    """Return a share as ranges; `None` is everything, by the given field."""
    return Ranges.everything(by) if shard is None else ranges_of(shard)


def missing_share(wanted: ShardLike | None, had: Sequence[ShardLike | None]) -> tuple[bool, ShardLike | None]:
    """Return whether shares lack something of another one, and the share that they lack.

    Args:
        wanted: the share to cover; `None` for everything.
        had: the shares that cover some of it, by the same field.
    """
    if any(same_shard(wanted, one) for one in had):
        return False, None
    by: ShardBy = next((shard.by for shard in (wanted, *had) if shard is not None), "uid")
    whole = ranges_over(wanted, by)
    missing = whole
    for one in had:
        missing -= ranges_over(one, by)
    if not missing:
        return False, None
    return True, wanted if missing == whole else missing


def may_merge(one: ShardLike | None, other: ShardLike | None) -> bool:
    """Return whether two shares have objects in common, as far as their ranges show: they are by the same field."""
    if one is None or other is None:
        return bool(one or other) or one is other
    return one.by == other.by and bool(ranges_of(one) & ranges_of(other))


def _selector(by: str, spans: Iterable[tuple[int, int]]) -> str:
    return " || ".join(f"shardRange(object.metadata.{by}, '0x{low:016x}', '0x{high:016x}')" for low, high in spans)
