"""The records of a shard group: the content of its Leases, and the requests that read and write them.

A group has a Lease for each member and one for the table. docs/design/0012-shard-groups.md explains the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "UNREADABLE_MEMBER",
    "UNREADABLE_TABLE",
    "Acknowledgement",
    "Answer",
    "DeleteMember",
    "Done",
    "Handover",
    "Incarnation",
    "ListMembers",
    "MemberRecord",
    "ReadMember",
    "ReadTable",
    "Refused",
    "Request",
    "Table",
    "Unanswered",
    "WriteMember",
    "WriteTable",
]


FORMAT: Final = 1
"""Version of the format of the records."""


class Incarnation(NamedTuple):
    """One unbroken term of a member's Lease. A member that lost its Lease comes back with the next number."""

    member: str
    number: int


class Acknowledgement(NamedTuple):
    """The statement of a member that it has listed a slice that it is to get.

    Attributes:
        version: the resource version of the list.
        intent: the hand-over that this answers.
    """

    version: int
    intent: str


class Handover(NamedTuple):
    """The intent of an owner to give a slice.

    Attributes:
        to: the next owner.
        intent: name of this hand-over, used once.
    """

    to: Incarnation
    intent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """The content of a member's Lease.

    Attributes:
        number: number of the incarnation.
        holds: whether the incarnation still holds the Lease; false after it has left or was fenced.
        table: id of the table that the incarnation follows, for all its life.
        leaving: whether the member gives all its slices and takes none.
        ready: acknowledgements, by slice.
        renewal: a number that each renewal changes.
        readable: whether the Lease has a record. Something else than a member may have written it. The other attributes
            then have the values known before, and it counts as held: its member may still work.
    """

    number: int
    holds: bool = True
    table: str = ""
    leaving: bool = False
    ready: Mapping[int, Acknowledgement] = field(default_factory=dict)
    renewal: int = 0
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The owners of all slices.

    Attributes:
        id: a name that no other table of the group has had; a table that was deleted and made again has another.
        generation: number of changes so far.
        by: "uid" or "namespace", the property of an object that is hashed.
        owners: the owner of each slice; `None` for a slice without one.
        handovers: intended changes, by slice.
        format: version of its format. If it is another one than `FORMAT`, the other attributes say nothing.
    """

    id: str
    generation: int
    by: str
    owners: tuple[Incarnation | None, ...]
    handovers: Mapping[int, Handover] = field(default_factory=dict)
    format: int = FORMAT


UNREADABLE_MEMBER: Final = MemberRecord(number=0, readable=False)
"""The content of a member's Lease that has no record. Incarnations have numbers from 1."""
UNREADABLE_TABLE: Final = Table(id="", generation=0, by="", owners=())
"""The content of the table if that has no record."""


@dataclass(frozen=True, slots=True)
class ReadMember:
    """Read the most recent state of a member's Lease. The answer is version and record, or 0 and `None`."""

    member: str
    floor: int
    """The highest version that was seen before: a lower answer means that the server has lost writes."""


@dataclass(frozen=True, slots=True)
class WriteMember:
    """Write a member's Lease if it has this version still; version 0 creates it."""

    member: str
    version: int
    record: MemberRecord
    sent: float


@dataclass(frozen=True, slots=True)
class DeleteMember:
    """Delete a member's Lease if it has this version still."""

    member: str
    version: int


@dataclass(frozen=True, slots=True)
class ListMembers:
    """Read the most recent state of all member Leases. The answer is a mapping of names to version and record."""


@dataclass(frozen=True, slots=True)
class ReadTable:
    """Read the most recent state of the table. The answer is version and table, or 0 and `None`."""

    floor: int
    """As for `ReadMember`."""


@dataclass(frozen=True, slots=True)
class WriteTable:
    """Write the table if it has this version still; version 0 creates it."""

    version: int
    table: Table


Request: TypeAlias = ReadMember | WriteMember | DeleteMember | ListMembers | ReadTable | WriteTable


@dataclass(frozen=True, slots=True)
class Done:
    """A request succeeded.

    Attributes:
        version: the version that was read or written; 0 if there is nothing.
        value: the record that was read; for `ListMembers` a mapping of names to versions and records.
    """

    version: int = 0
    value: object = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The object does not have the version that the write named, so nothing was written."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer came. The write may have been applied, or may be applied later."""


Answer: TypeAlias = Done | Refused | Unanswered
