"""Scopes: which objects of a resource an informer, a list or a watch covers; and shards, one way to divide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, TypedDict

from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["FieldSelectorInput", "Scope", "ScopeSettings", "ScopedResource", "Shard"]

FieldSelectorInput: TypeAlias = "str | Mapping[str, str] | FieldSelector | None"
"""A field selector as callers give it: "spec.nodeName=node-1", {"spec.nodeName": "node-1"}, or a parsed one."""

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
        """Return whether an object is in the share."""
        return self.covers(obj.uid if self.by == "uid" else obj.namespace)

    def covers(self, text: str) -> bool:
        """Return whether a uid is in the share; with `by="namespace"`, whether a namespace is."""
        low, high = self.bounds
        return low <= _hashed(text) < high

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


class ScopeSettings(TypedDict, total=False):
    """The keyword arguments that name a scope, the same wherever a server selects.

    Reads of a cache (`Lister.list`, `list_response`, `event_response`) select here, by namespace and labels alone, and
    call the latter `selector`.

    Attributes:
        namespace: the only namespace to cover; `None` for all, or for the default of a factory.
        label_selector: only objects with such labels; the server selects.
        field_selector: only objects with such fields; the server selects.
        metadata_only: fetch only the metadata of objects (PartialObjectMetadata).
        shard: only a share of the objects, if several programs divide the work.
    """

    namespace: str | None
    label_selector: SelectorInput
    field_selector: FieldSelectorInput
    metadata_only: bool
    shard: Shard | None


_ALL_LABELS: Final = LabelSelector()
_ALL_FIELDS: Final = FieldSelector()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a resource are covered.

    Scopes are compared by meaning: those of "a=1,b=2" and of "b==2,a=1" are equal.

    Attributes:
        namespace: the only namespace; "" for all.
        label_selector: which labels; the empty selector selects all objects.
        field_selector: which fields.
        metadata_only: whether only the metadata of objects is fetched.
        shard: the share of the objects; `None` for all.
    """

    namespace: str = ""
    label_selector: LabelSelector = _ALL_LABELS
    field_selector: FieldSelector = _ALL_FIELDS
    metadata_only: bool = False
    shard: Shard | None = None

    @classmethod
    def of(
        cls,
        *,
        namespace: str | None = None,
        label_selector: SelectorInput = None,
        field_selector: FieldSelectorInput = None,
        metadata_only: bool = False,
        shard: Shard | None = None,
    ) -> Self:
        """Return the scope that keyword arguments name; see `ScopeSettings`.

        Raises:
            SelectorError: a selector does not parse.
        """
        return cls(
            namespace=namespace or "",
            label_selector=LabelSelector.parse(label_selector),
            field_selector=FieldSelector.parse(field_selector),
            metadata_only=metadata_only,
            shard=shard,
        )

    def __str__(self) -> str:
        """Return the scope in words, without its namespace; "" if it leaves nothing out."""
        parts = [str(selector) for selector in (self.label_selector, self.field_selector) if selector]
        if self.metadata_only:
            parts.append("metadata only")
        if self.shard is not None:
            parts.append(self.shard.name)
        return "; ".join(parts)


_WHOLE: Final = Scope()


@dataclass(frozen=True, slots=True)
class ScopedResource:
    """A resource within a scope: the objects that one informer covers. A factory makes one informer of each.

    Attributes:
        resource: the kind of objects.
        scope: the selection of them.

    Raises:
        ValueError: a namespace for a cluster-scoped resource.
    """

    resource: Resource
    scope: Scope = _WHOLE

    def __post_init__(self) -> None:
        if self.scope.namespace and not self.resource.namespaced:
            msg = f"{self.resource.qualified} are cluster-scoped; leave namespace={self.scope.namespace!r} out"
            raise ValueError(msg)

    def __str__(self) -> str:
        """Return the name of the informer: "pods.v1 in shop (app=web)"."""
        where = f" in {self.scope.namespace}" if self.scope.namespace else ""
        which = f" ({self.scope})" if str(self.scope) else ""
        return f"{self.resource.full_name}{where}{which}"
