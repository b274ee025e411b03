"""The keys that belong to this replica, if the informers of a controller are sharded.

Every way to a reconcile (an event, a map function, `queue.add`, a resync) comes past here. For a key of another shard
the cache has no object, which a reconcile would take for a deletion. So such a key is dropped, and counted.

The primary informers are those whose objects are the keys. A key belongs to this replica

- with `by="namespace"`, if its namespace does;
- with `by="uid"`, if the primary cache has the object, or has had it until a deletion that is not reconciled yet, or
  if the owner reference that brought the key has a uid of the shard. Otherwise the server is asked for the object.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, runtime_checkable

from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators.owners import owners_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.controller._event_mapping import Source
    from kinformer.operators.shard_group import GroupShare
    from kinformer.resources import Resource
    from kinformer.scope import Shard

__all__ = ["OwnerKeys", "Ownership", "group_share_of", "shard_of"]

K = TypeVar("K", bound=Hashable)


class _Reads(Protocol):
    def get(self, key: ObjectKey, /) -> object: ...


@runtime_checkable
class ShardedSource(Protocol):
    """An informer of a shard."""

    @property
    def shard(self) -> Shard | None:
        """The shard; `None` for all objects."""
        ...

    @property
    def lister(self) -> _Reads:
        """Reads of the cache."""
        ...

    async def find(self, key: ObjectKey, /) -> KubeObject | None:
        """Read an object from the server, of whichever shard."""
        ...

    async def caught_up(self, obj: KubeObject, /) -> None:
        """Wait until the cache has an object."""
        ...


def shard_of(source: object) -> Shard | None:
    """Return the shard of an informer; `None` if it covers all objects."""
    return source.shard if isinstance(source, ShardedSource) else None


def group_share_of(source: object) -> GroupShare | None:
    """Return the share of a group that an informer covers; `None` if it does not follow a group."""
    share: GroupShare | None = getattr(source, "group_share", None)
    return share


class Ownership(Generic[K]):
    """The keys of one controller that belong to this replica.

    Args:
        name: name of the controller, for errors.

    Attributes:
        not_ours: number of keys that were dropped because another replica owns them, or no object has ever had them.
    """

    def __init__(self, name: str) -> None:
        self.not_ours = 0
        self._name = name
        self._primaries: list[Source] = []
        # Informers that bring keys of the primaries; the resource and the informer of the owners where they are owned.
        self._others: list[tuple[Source, Resource | None, Source | None]] = []
        self._shard: Shard | None = None
        # Keys that are not in the cache and are ours all the same, until a reconcile has ended well.
        self._ours: set[ObjectKey] = set()
        # Keys whose owner reference has a uid of the shard: ours if no object has the name any more.
        self._claimed: set[ObjectKey] = set()
        self._refused: set[ObjectKey] = set()
        # Keys whose present reconcile began after their last record: if it ends well, the records have been dealt with.
        self._dealt_with: set[ObjectKey] = set()

    def add_primary(self, source: Source) -> None:
        """Register an informer whose objects are the keys.

        Raises:
            ValueError: the informers of the controller are sharded in ways that do not fit.
        """
        self._primaries.append(source)
        self._check_or_undo(self._primaries.pop)

    def add_other(self, source: Source, owners: Resource | None, owner: Source | None = None) -> None:
        """Register an informer whose objects are mapped to keys.

        Args:
            source: the informer.
            owners: the resource of the owners, if the map follows owner references.
            owner: the informer of the owners, if it was given.

        Raises:
            ValueError: as for `add_primary`.
        """
        primaries = [*self._primaries]
        self._others.append((source, owners, owner))
        if owner is not None and owner not in self._primaries:
            self._primaries.append(owner)

        def undo() -> None:
            self._others.pop()
            self._primaries = primaries

        self._check_or_undo(undo)

    def remove(self, source: Source) -> None:
        """Forget an informer. The shard of the keys stays as it is."""
        self._others = [other for other in self._others if other[0] is not source]
        if not any(owner is source for _, _, owner in self._others):
            self._primaries = [one for one in self._primaries if one is not source]

    @property
    def shard(self) -> Shard | None:
        """The shard of the keys; `None` if this replica owns all keys."""
        return self._shard

    def owns_child_of(self, uid: str, namespace: str) -> bool:
        """Return whether an owner with this uid, in this namespace, belongs to this replica."""
        return self._shard is None or self._shard.covers(uid if self._shard.by == "uid" else namespace)

    def deleted(self, obj: KubeObject) -> None:
        """Record the deletion of an object of this replica: its key still belongs to it, without a cached object."""
        if self._shard is not None and self._shard.by == "uid":
            self._record(self._ours, obj.key)

    def departed(self, obj: KubeObject) -> None:
        """Record that an object went to another replica: only slices of a group do."""

    def claim(self, key: ObjectKey, uid: str) -> None:  # noqa: ARG002 - for a group, whose slices change
        """Record a key that came from an owner reference with a uid of this replica's shard."""
        if self._shard is not None and self._shard.by == "uid":
            self._record(self._claimed, key)

    def begins(self, key: K) -> None:
        """Record that a reconcile of a key begins."""
        if self._shard is not None:
            self._dealt_with.add(cast("ObjectKey", key))

    def ended_well(self, key: K) -> None:
        """Drop the records of a key whose reconcile needs no other attempt, unless they came after its beginning."""
        if cast("ObjectKey", key) in self._dealt_with:
            self._ours.discard(cast("ObjectKey", key))
            self._claimed.discard(cast("ObjectKey", key))

    def ended(self, key: K) -> None:
        """Record that a reconcile has ended, well or not."""
        self._dealt_with.discard(cast("ObjectKey", key))

    def _record(self, records: set[ObjectKey], key: ObjectKey) -> None:
        records.add(key)
        self._dealt_with.discard(key)

    def drops(self, key: K) -> bool:
        """Return whether a key belongs to another replica; count it if so."""
        shard = self._shard
        if shard is None or not isinstance(key, ObjectKey):
            return False
        if shard.by == "namespace":
            foreign = not shard.covers(key.namespace)
        else:
            foreign = key in self._refused
            self._refused.discard(key)
        self.not_ours += foreign
        return foreign

    def unknown(self, key: K) -> Awaitable[None] | None:
        """Return an awaitable that asks the server which replica owns a key; `None` if that is known."""
        shard = self._shard
        if shard is None or shard.by == "namespace" or not isinstance(key, ObjectKey) or key in self._ours:
            return None
        if any(isinstance(source, ShardedSource) and source.lister.get(key) is not None for source in self._primaries):
            return None
        return self._ask(key, shard)

    async def _ask(self, key: ObjectKey, shard: Shard) -> None:
        gone = True
        for source in self._primaries:
            assert isinstance(source, ShardedSource)
            obj = await source.find(key)
            gone = gone and obj is None
            if obj is not None and shard.has(obj):
                # Without this, the reconcile would take the object for a deleted one.
                await source.caught_up(obj)
                self._ours.add(key)
                return
        (self._ours if gone and key in self._claimed else self._refused).add(key)

    def _check_or_undo(self, undo: Callable[[], object]) -> None:
        try:
            self._check()
        except ValueError:
            undo()
            raise

    def _check(self) -> None:
        shards = {shard_of(source) for source in self._primaries}
        if len(shards) > 1:
            several = " and ".join(f"{source.resource.qualified} ({_said(source)})" for source in self._primaries)
            msg = f"controller {self._name!r} watches {several}: a key would belong to two replicas; shard them equally"
            raise ValueError(msg)
        if not shards:
            return
        (self._shard,) = shards
        primary = self._primaries[0].resource
        for source, owners, _ in self._others:
            shard = shard_of(source)
            if shard is None:
                continue
            together = shard == self._shard and shard.by == "namespace"
            if together and (owners is None or owners.namespaced):
                continue
            what = source.resource.qualified
            msg = (
                f"controller {self._name!r}: {primary.qualified} ({_said(self._primaries[0])}) and {what} "
                f"({_said(source)}) do not fit: the event of one of the {what} may come to a replica that does not own "
                f"the key. Watch {what} without shard=, or give both the same Shard(..., by='namespace')"
            )
            raise ValueError(msg)


def _said(source: Source) -> str:
    shard = shard_of(source)
    return "not sharded" if shard is None else shard.name


class OwnerKeys:
    """Maps an object to the key of the owner that controls it, if that is of the given resource, and ours."""

    def __init__(self, owner: Resource, ownership: Ownership[Any]) -> None:
        self._owner = owner
        self._ownership = ownership

    def __call__(self, obj: KubeObject) -> list[ObjectKey]:
        """Return the key of the owner; nothing if another one, or none, controls the object."""
        namespace = obj.namespace if self._owner.namespaced else ""
        keys = []
        for owner in owners_of(obj):
            if owner.controller and owner.is_of(self._owner) and self._ownership.owns_child_of(owner.uid, namespace):
                key = ObjectKey(namespace, owner.name)
                self._ownership.claim(key, owner.uid)
                keys.append(key)
        return keys
