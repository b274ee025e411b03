"""Sends the requests of a shard group to the API server, and watches its Leases. `_shard_protocol` decides."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from kinformer._survivable import is_survivable, text_of
from kinformer.errors import (
    ApiError,
    ConfigError,
    ConflictError,
    KinformerError,
    LifecycleError,
    NotFoundError,
    TransportError,
)
from kinformer.objects import version_number
from kinformer.operators._shard_leases import (
    MalformedLeaseError,
    member_lease,
    member_of,
    member_record,
    selector_of,
    table_lease,
    table_record,
)
from kinformer.operators._shard_records import (
    UNREADABLE_MEMBER,
    UNREADABLE_TABLE,
    Answer,
    DeleteMember,
    Done,
    ListMembers,
    MemberRecord,
    ReadMember,
    ReadTable,
    Refused,
    Request,
    Table,
    Unanswered,
    WriteMember,
    WriteTable,
)
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["ShardClient", "ShardRequests"]

# The logger that users know.
_log = logging.getLogger("kinformer.operators.shard_group")

# Failures after which the next attempt may succeed. Others (a closed client, a wrong argument) stay.
_PASSING: Final = (ApiError, TransportError, ConfigError, TimeoutError)

_RecordT = TypeVar("_RecordT", MemberRecord, Table)

_WATCH_SECONDS: Final = 300
_PAUSE: Final = 1.0
"""Seconds from the beginning of a watch to the next one, at least."""


class ShardClient(Protocol):
    """The client of a shard group; `kinformer.Client` is one. Reads without a version return the most recent state."""

    async def get(self, resource: Resource, name: str, /, *, namespace: str) -> KubeObject:
        """Read a Lease; `NotFoundError` if there is none."""
        ...

    async def list(self, resource: Resource, /, *, namespace: str, label_selector: str) -> Any:
        """List Leases; the result has `items` or can be iterated over, and has a `resource_version`."""
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Create a Lease; `ConflictError` if there is one."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Replace a Lease in the version that it names; `ConflictError` if that is not the present one."""
        ...

    async def delete(self, resource: Resource, name: str, /, *, namespace: str, resource_version: str) -> Any:
        """Delete a Lease in a version; `ConflictError` if that is not the present one."""
        ...

    def list_watch(self, resource: Resource, /, *, namespace: str, label_selector: str) -> Any:
        """Return a source (`kinformer.listwatch.ListerWatcher`) of Leases."""
        ...


class ShardRequests:
    """The requests of one member.

    Args:
        client: speaks to the server.
        group: name of the group.
        member: name of the member.
        namespace: namespace of its Leases.
        timeout: seconds after which a request counts as unanswered.
        lease_duration: seconds that others wait, for the field of the Lease.
        owner: reference to the Pod of this process; `None` for none.

    Attributes:
        last_error: the failure of the last request; `None` if it succeeded.
        conflicts: number of writes of the table that another member was faster with.
    """

    def __init__(
        self,
        client: ShardClient,
        group: str,
        member: str,
        namespace: str,
        *,
        timeout: float,
        lease_duration: float,
        owner: Mapping[str, Any] | None,
    ) -> None:
        self.last_error: BaseException | None = None
        self.conflicts = 0
        self._client = client
        self._group = group
        self._member = member
        self._namespace = namespace
        self._timeout = timeout
        self._lease_duration = lease_duration
        self._owner = owner
        # Requests that failed, and Leases without a record, which are in the log.
        self._failing: set[str] = set()
        self._unreadable: set[str] = set()

    async def send(self, request: Request) -> Answer:
        """Send a request, and return its answer; a failure that may pass is logged, and is no answer.

        Raises:
            LifecycleError: the client is not open.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._sent(request)
        except (ConflictError, NotFoundError) as error:
            # Another member was faster: a group goes like that.
            _log.debug("shard group %s: %s", self._group, error)
            self.conflicts += isinstance(request, WriteTable)
            answer = Refused()
        except LifecycleError:
            raise
        except _PASSING as error:
            self._failed(request, error, text_of(error) or "no answer in time")
            return Unanswered()
        except BaseException as error:
            if not is_survivable(error):
                raise
            self._failed(request, error, text_of(error) or type(error).__name__)
            return Unanswered()
        self.last_error = None
        self._failing.discard(_subject(request))
        return answer

    async def _sent(self, request: Request) -> Answer:
        client, namespace = self._client, self._namespace
        match request:
            case ReadTable():
                return await self._read(self._group, self._table_of)
            case ReadMember(member):
                return await self._read(f"{self._group}-{member}", self._record_of)
            case ListMembers():
                version, members, _ = await self._listed()
                return Done(version, members)
            case WriteTable(version, table):
                return await self._written(version, table_lease(self._group, table, wall=_wall()))
            case WriteMember(member, version, record):
                # The Lease of another member, which is fenced here, does not go with our Pod.
                owner = self._owner if member == self._member else None
                duration = self._lease_duration
                made = member_lease(self._group, member, record, duration=duration, wall=_wall(), owner=owner)
                return await self._written(version, made)
            case DeleteMember(member, version):
                name = f"{self._group}-{member}"
                await client.delete(LEASES, name, namespace=namespace, resource_version=str(version))
                return Done()

    def _record_of(self, lease: KubeObject) -> MemberRecord:
        return self._read_record(lease, member_record, UNREADABLE_MEMBER)

    def _table_of(self, lease: KubeObject) -> Table:
        return self._read_record(lease, table_record, UNREADABLE_TABLE)

    def _read_record(
        self, lease: KubeObject, record_of: Callable[[KubeObject], _RecordT], unreadable: _RecordT
    ) -> _RecordT:
        try:
            record = record_of(lease)
        except MalformedLeaseError as error:
            level = logging.DEBUG if lease.name in self._unreadable else logging.WARNING
            _log.log(level, "shard group %s: %s; the group writes it anew", self._group, error)
            self._unreadable.add(lease.name)
            return unreadable
        self._unreadable.discard(lease.name)
        return record

    async def _read(self, name: str, record_of: Callable[[KubeObject], object]) -> Answer:
        try:
            lease = await self._client.get(LEASES, name, namespace=self._namespace)
        except NotFoundError:
            return Done()
        return Done(version_number(lease.resource_version), record_of(lease))

    async def _written(self, version: int, made: dict[str, Any]) -> Answer:
        if version:
            made["metadata"]["resourceVersion"] = str(version)
            stored = await self._client.replace(LEASES, made, namespace=self._namespace)
        else:
            stored = await self._client.create(LEASES, made, namespace=self._namespace)
        return Done(version_number(stored.resource_version))

    async def _listed(self) -> tuple[int, dict[str, tuple[int, MemberRecord]], tuple[int, Table] | None]:
        """Return the version of a list of all Leases, the members, and the table."""
        found = await self._client.list(LEASES, namespace=self._namespace, label_selector=selector_of(self._group))
        members: dict[str, tuple[int, MemberRecord]] = {}
        table = None
        for lease in found:
            version = version_number(lease.resource_version)
            name = member_of(self._group, lease.name)
            if name == "":
                table = version, self._table_of(lease)
            elif name is not None:
                members[name] = version, self._record_of(lease)
        return version_number(found.resource_version), members, table

    async def watch(
        self,
        saw_member: Callable[[str, int, MemberRecord | None], None],
        saw_table: Callable[[int, Table | None], None],
    ) -> None:
        """Report each change of a Lease of the group, until cancelled.

        Args:
            saw_member: called with the name of a member, a version and its record; `None` when it was deleted.
            saw_table: called with a version and the table; `None` when it was deleted.
        """
        clock = asyncio.get_running_loop().time
        known: set[str] = set()
        while True:
            began = clock()
            try:
                async with asyncio.timeout(self._timeout):
                    version, members, table = await self._listed()
                for name, (at, record) in members.items():
                    saw_member(name, at, record)
                for name in known - members.keys():
                    saw_member(name, version, None)
                known = {*members}
                saw_table(*(table or (version, None)))
                await self._follow(version, known, saw_member, saw_table)
            except LifecycleError:
                # The client is closed; the next request reports that.
                return
            except (KinformerError, TimeoutError) as error:
                _log.debug("shard group %s: the watch of its leases ended: %s", self._group, error)
            except BaseException as error:
                # A user's own client. The next list comes all the same.
                if not is_survivable(error):
                    raise
                _log.error("shard group %s: its leases cannot be watched", self._group, exc_info=error)
            await asyncio.sleep(max(0.0, began + _PAUSE - clock()))

    async def _follow(
        self,
        version: int,
        known: set[str],
        saw_member: Callable[[str, int, MemberRecord | None], None],
        saw_table: Callable[[int, Table | None], None],
    ) -> None:
        source = self._client.list_watch(LEASES, namespace=self._namespace, label_selector=selector_of(self._group))
        async with source.watch(resource_version=str(version), timeout_seconds=_WATCH_SECONDS) as batches:
            async for batch in batches:
                for event in batch.events:
                    lease = event.object
                    at, name = version_number(lease.resource_version), member_of(self._group, lease.name)
                    gone = event.type.name == "DELETED"
                    if name == "":
                        saw_table(at, None if gone else self._table_of(lease))
                    elif name is not None:
                        (known.discard if gone else known.add)(name)
                        saw_member(name, at, None if gone else self._record_of(lease))
                if batch.error is not None:
                    raise batch.error

    def _failed(self, request: Request, error: BaseException, reason: str) -> None:
        subject = _subject(request)
        level = logging.DEBUG if subject in self._failing else logging.WARNING
        self._failing.add(subject)
        text = "shard group %s: %s failed, and is tried again: %s"
        _log.log(level, text, self._group, type(request).__name__, reason)
        self.last_error = error


def _subject(request: Request) -> str:
    """Return the kind of a request and the Lease that it concerns: one warning is enough until it succeeds."""
    return f"{type(request).__name__} {getattr(request, 'member', '')}"


def _wall() -> datetime:
    return datetime.now(UTC)
