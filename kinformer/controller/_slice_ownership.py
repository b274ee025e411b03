"""The keys of a controller that belong to this member of a shard group, while slices come and go.

Each key has a slice. Before a reconcile, the group is asked about it:

- Work on the slice may begin: reconcile is called.
- The slice is about to be given, and the object of the key was deleted: reconcile is called, too, for no other member
  would ever know of the deletion.
- The slice is wanted, but not worked on (its objects are being listed, it is about to be given, or the Lease was not
  renewed in time): the key is held until the work begins.
- Otherwise the key belongs to another member, is dropped, and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kinformer._time_slice import TimeSlice
from kinformer.controller._ownership import Ownership, ShardedSource, group_share_of
from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators.shard_group import engine_of
from kinformer.workqueue import DEFAULT_PRIORITY, LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kinformer.operators.shard_group import GroupShare, ShardGroup
    from kinformer.resources import Resource
    from kinformer.workqueue import RateLimitingQueue

__all__ = ["SliceOwnership"]

K = TypeVar("K", bound=Hashable)

# The logger that users know.
_log = logging.getLogger("kinformer.controller")


class SliceOwnership(Ownership[K]):
    """The keys of one controller, and its work on slices; a `kinformer.operators._slice_work.SliceWorker`.

    Args:
        name: name of the controller.
        group: the group.
        queue: where keys come from, and where held keys go.

    Attributes:
        name: as given.
        started: whether the controller takes slices.
        handlers_idle: returns whether the handlers were called for everything that the caches show.
        in_progress: the keys that are being reconciled now.
        revoke: cancels the reconcile of a key.
    """

    def __init__(self, name: str, group: ShardGroup, queue: RateLimitingQueue[K]) -> None:
        super().__init__(name)
        self.name = name
        self.started = False
        self.handlers_idle: Callable[[], bool] = lambda: True
        self.in_progress: Iterable[K] = ()
        self.revoke: Callable[[K], None] = _nothing
        self._group = group
        self._engine = engine_of(group)
        self._queue = queue
        self._held: dict[int, dict[K, int]] = {}
        # Slices of objects that were deleted, until a reconcile has ended well.
        self._gone: dict[ObjectKey, int] = {}
        # With `by="uid"`: slices by the uid of an owner reference, and of objects that only the server has shown.
        self._claims: dict[ObjectKey, int] = {}
        self._asked: dict[ObjectKey, int] = {}
        self._taken: dict[K, int] = {}
        self._draining: set[int] = set()
        self._cut: set[int] = set()
        # Slices that were lost: if they come back before the caches let them go, their objects bring no events.
        self._lost: set[int] = set()
        self._drops = 0
        self._warned = False

    # ---- membership in the group

    def join(self) -> None:
        """Take part in the group's slices; `handlers_idle`, `in_progress` and `revoke` must be set."""
        self._engine.attach(self)

    def begin(self) -> None:
        """Take slices from now on: the workers run."""
        self.started = True
        self._engine.worker_started(self)

    def leave(self) -> None:
        """Take no part in the group's slices any more."""
        self._engine.detach(self)

    # ---- which keys are ours

    def owns_child_of(self, uid: str, namespace: str) -> bool:
        """Return whether an owner with this uid, in this namespace, is in a slice that this member covers."""
        return self._engine.is_wanted(self._group.slice_of(uid if self._group.by == "uid" else namespace))

    def deleted(self, obj: KubeObject) -> None:
        """Record the deletion of an object: its key is to be reconciled before its slice is given."""
        number = self._group.slice_of(obj)
        if self._engine.is_wanted(number):
            self._gone[obj.key] = number
            self._dealt_with.discard(obj.key)

    def departed(self, obj: KubeObject) -> None:
        """Record that an object went to another member: the server need not be asked about its key, if that waits."""
        key = obj.key
        if self._engine.is_wanted(self._group.slice_of(obj)) or not self._queue.waits(cast("K", key)):
            return
        if not any(key in records for records in (self._gone, self._claims, self._asked)):
            self._refused.add(key)

    def claim(self, key: ObjectKey, uid: str) -> None:
        """Record the uid of the owner reference that a key came from."""
        if self._group.by == "uid":
            self._claims[key] = self._group.slice_of(uid)
            self._dealt_with.discard(key)

    def begins(self, key: K) -> None:
        """Record that a reconcile of a key begins."""
        self._dealt_with.add(cast("ObjectKey", key))

    def ended_well(self, key: K) -> None:
        """Drop the records of a key whose reconcile needs no other attempt, unless they came after its beginning."""
        if cast("ObjectKey", key) in self._dealt_with:
            self._drop_records(cast("ObjectKey", key))

    def _drop_records(self, key: ObjectKey) -> None:
        for records in (self._gone, self._claims, self._asked):
            records.pop(key, None)

    def ended(self, key: K) -> None:
        """Record that a reconcile has ended, well or not."""
        super().ended(key)
        number = self._taken.pop(key, None)
        if number in self._draining or number in self._cut:
            self._engine.poke()

    def drops(self, key: K) -> bool:
        """Return whether reconcile must not be called for a key now; hold the key, or count it, if so."""
        if not isinstance(key, ObjectKey):
            if not self._warned:
                self._warned = True
                text = "controller %s divides its keys by namespace or uid, and drops keys that are no ObjectKey: %r"
                _log.error(text, self._name, key)
            self.not_ours += 1
            return True
        engine, number = self._engine, self._slice_of(key)
        if number is None:
            if key in self._refused:
                self._refused.discard(key)
                self.not_ours += 1
                return True
            # The hook `unknown` asks the server.
            return False
        self._refused.discard(key)
        last = self._gone.get(key) == number and number not in self._cut
        if engine.may_work(number) or (last and engine.may_finish(number)):
            self._taken[cast("K", key)] = number
            return False
        if engine.is_wanted(number):
            priority = self._queue.priority(cast("K", key))
            self._held.setdefault(number, {})[cast("K", key)] = DEFAULT_PRIORITY if priority is None else priority
        else:
            self.not_ours += 1
            self._drop_records(key)
        return True

    def unknown(self, key: K) -> Awaitable[None] | None:
        """Return an awaitable that asks the server for the slice of a key; `None` if that is known."""
        if not isinstance(key, ObjectKey) or self._slice_of(key, claimed=False) is not None:
            return None
        return self._ask_server(key)

    async def _ask_server(self, key: ObjectKey) -> None:
        for source in self._primaries:
            assert isinstance(source, ShardedSource)
            obj = await source.find(key)
            if obj is None:
                continue
            number = self._group.slice_of(obj)
            if not self._engine.is_wanted(number):
                self._refused.add(key)
                return
            if self._engine.may_work(number):
                # Without this, the reconcile would take the object for a deleted one.
                await source.caught_up(obj)
            self._asked[key] = number
            return
        claimed = self._claims.get(key)
        if claimed is not None and self._engine.is_wanted(claimed):
            self._gone[key] = claimed
        else:
            self._refused.add(key)

    def _slice_of(self, key: ObjectKey, *, claimed: bool = True) -> int | None:
        """Return the slice of a key; `None` if only the server knows it."""
        if self._group.by == "namespace":
            return self._group.slice_of(key)
        for source in self._primaries:
            assert isinstance(source, ShardedSource)
            obj = source.lister.get(key)
            if isinstance(obj, KubeObject):
                return self._group.slice_of(obj)
        number = self._gone.get(key)
        if number is None:
            number = self._asked.get(key)
        if number is None and claimed and key not in self._refused:
            # Not ours by its owner reference: the server need not be asked.
            number = self._claims.get(key)
            if number is not None and self._engine.is_wanted(number):
                return None
        return number

    # ---- the work on slices

    @property
    def caught_up(self) -> bool:
        """True if the handlers were called for everything that the caches show."""
        return self.handlers_idle()

    def gained(self, slices: frozenset[int]) -> None:
        """Queue the keys of slices."""
        self._draining -= slices
        self._cut -= slices
        held: dict[K, int] = {}
        for number in slices & self._held.keys():
            held |= self._held.pop(number)
        if held:
            self._engine.spawn(self._queue_held(held))
        back = frozenset(slices & self._lost)
        self._lost -= slices
        if back:
            self._engine.spawn(self._queue_all(back))

    def stop(self, slices: frozenset[int], *, at_once: bool) -> None:
        """Begin no reconcile of slices; cancel those under way if `at_once`."""
        if not at_once:
            self._draining |= slices
            for number in slices & self._held.keys():
                # Held when the slice had been drained before, and was not given.
                for key in [key for key in self._held[number] if self._gone.get(cast("ObjectKey", key)) == number]:
                    self._queue.add(key, priority=self._held[number].pop(key))
            return
        self._cut |= slices
        for key in [*self.in_progress]:
            if self._taken.get(key) in slices:
                self.revoke(key)

    def has_stopped(self, number: int) -> bool:
        """Return whether no reconcile of a slice is under way, nor due for a deleted object."""
        if any(self._taken.get(key) == number for key in self.in_progress):
            return False
        return number in self._cut or (self.caught_up and number not in self._gone.values())

    def forget(self, slices: frozenset[int]) -> None:
        """Drop the keys of slices."""
        self._lost |= slices
        self._draining -= slices
        for number in slices:
            self._held.pop(number, None)
        for records in (self._gone, self._claims, self._asked):
            for key in [key for key, number in records.items() if number in slices]:
                del records[key]

    def close(self) -> None:
        """Do nothing: the controller stops by itself."""

    async def _queue_held(self, keys: dict[K, int]) -> None:
        time_slice = TimeSlice()
        for key, priority in keys.items():
            if time_slice.over:
                await time_slice.begin()
            self._queue.add(key, priority=priority)

    async def _queue_all(self, slices: frozenset[int]) -> None:
        """Queue each object of slices that the caches have kept."""
        time_slice = TimeSlice()
        for source in self._primaries:
            assert isinstance(source, ShardedSource)
            for obj in [*cast("Iterable[KubeObject]", source.lister)]:
                if time_slice.over:
                    await time_slice.begin()
                if self._group.slice_of(obj) in slices:
                    self._queue.add(cast("K", obj.key), priority=LOW_PRIORITY)

    # ---- which informers fit

    def _check(self) -> None:
        group = self._group
        for source in self._primaries:
            share = group_share_of(source)
            if share is None or share.group is not group or share.kind != "object":
                msg = (
                    f"controller {self._name!r} divides its keys by the shard group {group.name!r}, which the informer "
                    f"of {source.resource.qualified} does not follow: make it with shard=group"
                )
                raise ValueError(msg)
        for source, owners, _ in self._others:
            share = group_share_of(source)
            if share is None and getattr(source, "shard", None) is None:
                continue
            if share is not None and share.group is group and self._fits(share, owners):
                continue
            what = source.resource.qualified
            remedy = (
                "with shard=group"
                if group.by == "namespace"
                else "with shard=group.owned() or shard=group.labelled(), or without shard="
            )
            msg = (
                f"controller {self._name!r}: the event of one of the {what} may come to a member that does not own the "
                f"key; make their informer {remedy}"
            )
            raise ValueError(msg)

    def _fits(self, share: GroupShare, owners: Resource | None) -> bool:
        if share.kind != "object":
            return owners is not None
        return self._group.by == "namespace" and (owners is None or owners.namespaced)


def _nothing(key: Any) -> None:
    """Cancel nothing."""
