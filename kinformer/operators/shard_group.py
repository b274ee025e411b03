"""Shard groups: several replicas of a program divide objects among themselves, with nothing but Leases.

    group = ShardGroup(client, "sites", namespace="ops", by="namespace")
    factory = SharedInformerFactory(client)
    sites = factory.informer(SITES, shard=group)
    controller = Controller("sites", reconcile, shards=group).watches(sites)
    async with group, factory, controller:
        ...

The hash of an object's uid or namespace puts it into one of 256 slices, and each slice has one owner at most. If a
replica comes or goes, slices move in order: the old owner ends its work before the new owner begins. After a crash, the
others take over when the Lease has run out. `_shard_protocol` decides, and docs/design/0012-shard-groups.md has the
rules. docs/how-to/several-replicas.md has the promises and their limits.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from kinformer._shards import SLICE_LABEL, hash_of
from kinformer.errors import AlreadyStartedError, NotOursError, ShardGroupError, StoppedError
from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators._shard_leases import valid_name
from kinformer.operators._shard_protocol import ShardMember, ShardTimes
from kinformer.operators._shard_requests import ShardClient, ShardRequests
from kinformer.operators._slice_engine import SLICES, SliceEngine
from kinformer.operators._slice_work import Gained, Losing, SliceChange, SliceChanges
from kinformer.operators.shard_status import MemberState, ShardGroupStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from kinformer._shards import ShardBy


__all__ = [
    "SLICES",
    "SLICE_LABEL",
    "Gained",
    "GroupMetrics",
    "GroupShare",
    "Losing",
    "ShardClient",
    "ShardGroup",
    "SliceChange",
]

_log = logging.getLogger(__name__)


_TICK: Final = 0.5
"""Seconds after which the state is looked at, if nothing happens."""
_SOON: Final = 0.02
"""Seconds until handlers that are behind are looked at again."""


class GroupMetrics(Protocol):
    """Metrics of shard groups; `kinformer.integrations.prometheus.PrometheusMetrics` is one."""

    def shard_group(self, name: str, group: ShardGroup) -> None:
        """Report a new group, by namespace and name. Its `status` may be read at any time, from any thread."""
        ...


class ShardGroup:
    """One member of a group of replicas that divide objects among themselves.

    Entering reads the table of the group. The member takes slices when all controllers with `shards=group` have
    started. Leaving gives all slices to the other members; controllers do that first when they stop, so that their
    caches are still live. A process that ends by SIGTERM should therefore leave its `async with` (`Manager` and
    `kinformer run` do), and its Pod needs a `terminationGracePeriodSeconds` above `leave_within`.

    Informers with `shard=group` have the objects of the member's slices, and those of slices that are about to come;
    slices of other members are not visible there.

    It needs one RBAC rule: get, list, watch, create, update and delete of leases in one namespace.

    Args:
        client: speaks to the server. Its failures are logged, kept in the status, and tried again.
        name: name of the group, and of the Lease with its table. All replicas give the same.
        namespace: namespace of the Leases.
        by: "namespace" keeps the objects of a namespace together: objects and their owned objects have one owner, and
            no key is ever worked on by two members. "uid" spreads objects evenly, also those of one namespace; the key
            of an object that was deleted and created anew may be worked on by two members at once for a moment.
        identity: name of this member; the host's name and a random part by default. No two processes may ever have the
            same, not even one after the other.
        lease_duration: whole seconds that others wait after they saw a renewal of our Lease.
        renew_deadline: seconds without a successful renewal after which all work stops. Work that is under way then
            has the difference to `lease_duration` to obey its cancellation.
        renew_period: seconds between renewals.
        settle: slices move between living members only after so many seconds without a change of the members.
        handover: seconds after which a planned move that makes no progress is withdrawn.
        grace: seconds that work on a slice may go on when the slice is to be given; then it is cancelled.
        leave_within: seconds that leaving may take; then the Lease is left to run out.
        metrics: gets the group, and reads its status.

    Attributes:
        name: as given.
        namespace: as given.
        by: as given.
        identity: name of this member.

    Raises:
        ValueError: a name that no Lease can have, another `by`, or times that do not fit: it needs
            lease_duration > renew_deadline > 2 × renew_period > 0, and whole seconds for the first.
    """

    def __init__(
        self,
        client: ShardClient,
        name: str,
        *,
        namespace: str,
        by: Literal["uid", "namespace"],
        identity: str | None = None,
        lease_duration: int = 15,
        renew_deadline: float = 10.0,
        renew_period: float = 3.0,
        settle: float = 5.0,
        handover: float = 60.0,
        grace: float = 30.0,
        leave_within: float = 25.0,
        metrics: GroupMetrics | None = None,
    ) -> None:
        identity = _new_identity() if identity is None else identity
        for what, text in (("name", name), ("identity", identity)):
            if not valid_name(text):
                msg = f"ShardGroup({what}={text!r}): it is part of the name of a Lease: lower case, digits and '-'"
                raise ValueError(msg)
        if not namespace:
            msg = "ShardGroup(namespace=''): Leases live in a namespace; name one"
            raise ValueError(msg)
        if by not in {"uid", "namespace"}:
            msg = f"ShardGroup(by={by!r}): objects are divided by their 'uid' or by their 'namespace'"
            raise ValueError(msg)
        if lease_duration != int(lease_duration) or not lease_duration > renew_deadline > 2 * renew_period > 0:
            msg = (
                f"lease_duration={lease_duration}, renew_deadline={renew_deadline}, renew_period={renew_period} "
                "(seconds) do not fit: it needs lease_duration > renew_deadline > 2 × renew_period > 0, and whole "
                "seconds for lease_duration"
            )
            raise ValueError(msg)
        if min(settle, handover, grace, leave_within) < 0:
            msg = f"settle={settle}, handover={handover}, grace={grace}, leave_within={leave_within}: 0 or more seconds"
            raise ValueError(msg)
        self.name = name
        self.namespace = namespace
        self.by: Literal["uid", "namespace"] = by
        self.identity = identity
        self._leave_within = leave_within
        times = ShardTimes(
            lease_duration=float(lease_duration),
            renew_deadline=renew_deadline,
            renew_period=renew_period,
            retry_period=min(0.5, renew_period / 2),
            settle=settle,
            handover=handover,
        )
        member = ShardMember(identity, by=by, slices=SLICES, times=times)
        member.may_join = False
        requests = ShardRequests(
            *(client, name, identity, namespace),
            timeout=renew_deadline / 2,
            lease_duration=float(lease_duration),
            owner=_pod_of_this_process(),
        )
        self._engine = SliceEngine(f"{namespace}/{name}", by, member, requests, grace=grace)
        if metrics is not None:
            metrics.shard_group(f"{namespace}/{name}", self)

    def __repr__(self) -> str:
        engine = self._engine
        return f"<ShardGroup {self._full_name} {self.identity} {engine.state} slices={len(engine.workable)}>"

    # ---- which objects are ours

    def slice_of(self, obj: KubeObject | ObjectKey | str) -> int:
        """Return the slice of an object, of a uid, or with `by="namespace"` of a key or a namespace.

        Raises:
            ValueError: the uid of a key is not known.
        """
        if isinstance(obj, KubeObject):
            text = obj.uid if self.by == "uid" else obj.namespace
        elif isinstance(obj, ObjectKey):
            if self.by == "uid":
                msg = f"the group {self._full_name} goes by uid, and the key {obj} has none: give the object"
                raise ValueError(msg)
            text = obj.namespace
        else:
            text = obj
        return hash_of(text) >> 56

    def owns(self, obj: KubeObject | ObjectKey | str) -> bool:
        """Return whether this member may work on an object at this very moment. The clock is read for the answer.

        Args:
            obj: an object, a uid, or with `by="namespace"` a key or a namespace. For an owned object give its owner.
        """
        return self._engine.may_work(self.slice_of(obj))

    def check(self, obj: KubeObject | ObjectKey | str) -> None:
        """Raise unless this member may work on an object at this very moment; call it before a write.

        It narrows the time in which a process that was stopped (SIGSTOP, a suspended machine) can write as a former
        owner, and cannot close it: no API server checks it. Writes should name the `resourceVersion` that they go by.

        Args:
            obj: as for `owns`.

        Raises:
            NotOursError: it may not.
        """
        number = self.slice_of(obj)
        if not self._engine.may_work(number):
            what = f"{obj.resource.qualified} {obj.key}" if isinstance(obj, KubeObject) else str(obj)
            raise NotOursError(self._full_name, number, what, self._engine.reason(number))

    def token(self, obj: KubeObject | ObjectKey | str) -> int:
        """Return a number that grows each time that the slice of an object gets another owner.

        It is a fencing token for other systems, which can refuse requests with a smaller one: the resource version of
        the table that gave the slice to this member. It only grows, unless etcd is restored from a backup.

        Args:
            obj: as for `owns`.

        Raises:
            NotOursError: this member may not work on the object.
        """
        self.check(obj)
        return self._engine.member.token(self.slice_of(obj))

    def owned(self) -> GroupShare:
        """Return the share of objects whose controlling owner is in the slices of this member: `shard=group.owned()`.

        The owner reference with `controller: true` decides, by its uid. No server can select so: each member gets the
        events of all objects, and keeps its own. Use it for objects that others create.

        Raises:
            ValueError: the group goes by namespace; owned objects are then covered by `shard=group`.
        """
        return GroupShare(self, self._kind("owner"))

    def labelled(self) -> GroupShare:
        """Return the share of objects whose label names a slice of this member: `shard=group.labelled()`.

        The label is the one of `labels`. Every API server selects by it, so that each member gets its own events only.

        Raises:
            ValueError: the group goes by namespace; owned objects are then covered by `shard=group`.
        """
        return GroupShare(self, self._kind("label"))

    def _kind(self, kind: Literal["owner", "label"]) -> Literal["owner", "label"]:
        if self.by == "namespace":
            msg = f"the group {self._full_name} goes by namespace, which owned objects share: give shard=group"
            raise ValueError(msg)
        return kind

    def labels(self, owner: KubeObject) -> dict[str, str]:
        """Return the label for objects that are created for an owner: watched with `shard=group.labelled()`.

        The label names the slice of the owner, which never changes, and not a member.
        """
        return {SLICE_LABEL: f"{self.slice_of(owner):02x}"}

    @property
    def status(self) -> ShardGroupStatus:
        """The status of the group at this moment.

        Raises:
            RuntimeError: no event loop is running.
        """
        return self._engine.status()

    async def changes(self) -> AsyncIterator[SliceChange]:
        """Iterate over the slices that this member gets and loses, for code without a Controller.

            async for change in group.changes():
                match change:
                    case Gained():
                        start_work(change.slice)
                    case Losing():
                        async with change:
                            await end_work(change.slice)

        A slice is given when the body of `async with losing:` has ended. Begin the iteration before the group is
        entered, or right after; there may be one per kind of work. It ends with the group.

        Raises:
            StoppedError: the group has ended.
            WrongLoopError: the group was entered in another event loop.
        """
        engine = self._engine
        engine.refuse_other_loop()
        if engine.left:
            msg = f"{self!r} has ended: there are no changes any more"
            raise StoppedError(msg)
        changes = SliceChanges(engine.member.token, engine.poke)
        engine.attach(changes)
        try:
            async for change in changes.iterate():
                yield change
        finally:
            engine.detach(changes)

    # ---- life

    async def __aenter__(self) -> Self:
        """Read the table of the group, for as long as that takes.

        Raises:
            AlreadyStartedError: the group was entered before.
            LifecycleError: the client is not open.
            ShardGroupError: the group was made with another `by`, or by another version.
        """
        if self._engine.state is not MemberState.NEW:
            msg = f"{self!r} was entered before; make a new one"
            raise AlreadyStartedError(msg)
        await self._engine.start()
        if self._engine.member.refused:
            raise ShardGroupError(self._full_name, self._engine.member.refused)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give all slices to the other members, and the Lease back.

        If cancelled meanwhile, the Lease is left to run out.
        """
        await self.leave()

    async def leave(self) -> None:
        """Give all slices to the other members, and the Lease back; as leaving the context does. Twice does no harm."""
        await self._engine.leave(self._leave_within)

    @property
    def _full_name(self) -> str:
        return f"{self.namespace}/{self.name}"


def engine_of(group: ShardGroup) -> SliceEngine:
    """Return the member at work. For controllers and informers: users have the methods of the group."""
    return group._engine


@dataclass(frozen=True, slots=True)
class GroupShare:
    """The objects that an informer covers for a member of a group.

    Attributes:
        group: the group.
        kind: the property that puts an object into a slice: the "object" itself, its "owner", or its "label".
    """

    group: ShardGroup
    kind: Literal["object", "owner", "label"] = "object"

    @property
    def by(self) -> ShardBy:
        """The property of an object whose hash puts it into a slice: that of the group, if `kind` is "object"."""
        return self.group.by if self.kind == "object" else self.kind


def _new_identity() -> str:
    host = re.sub(r"[^-a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:40]
    return f"{host}-{uuid.uuid4().hex[:8]}".lstrip("-")


def _pod_of_this_process() -> Mapping[str, Any] | None:
    """Return an owner reference to the Pod that the downward API names, so that its Lease is removed with it."""
    name, uid = os.environ.get("POD_NAME", ""), os.environ.get("POD_UID", "")
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid} if name and uid else None
