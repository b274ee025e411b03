"""The Leases of a shard group as manifests, and back. Pure.

A group `sites` has the Lease `sites` with the table, and a Lease `sites-<name>` for each member. All have the label
`kinformer.dev/shard-group`. What a Lease has no field for is JSON in one annotation. `kubectl get leases` shows them.

A second annotation has a checksum over everything that is read. So a Lease in which a person or a program has changed
anything, or which was copied to another name, is no record, and not a wrong one.
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, cast

from kinformer.operators._shard_records import FORMAT, Acknowledgement, Handover, Incarnation, MemberRecord, Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kinformer.objects import KubeObject

__all__ = [
    "GROUP_LABEL",
    "MalformedLeaseError",
    "member_lease",
    "member_of",
    "member_record",
    "selector_of",
    "table_lease",
    "table_record",
    "valid_name",
]

GROUP_LABEL: Final = "kinformer.dev/shard-group"
_ANNOTATION: Final = "kinformer.dev/shards"
_CHECKSUM: Final = "kinformer.dev/shards-checksum"
_MOST_OWNERS: Final = 255
"""The table has two hex digits for each slice; 00 is no owner."""

_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label, which is also a valid value of a label."""


class MalformedLeaseError(ValueError):
    """A Lease of the group has no record."""


def valid_name(name: str) -> bool:
    """Return whether a text can be the name of a group or of a member."""
    return _NAME.fullmatch(name) is not None


def selector_of(group: str) -> str:
    """Return the label selector of the Leases of a group."""
    return f"{GROUP_LABEL}={group}"


def member_of(group: str, lease_name: str) -> str | None:
    """Return the name of the member whose Lease this is; "" for the table, and `None` for a Lease of no group."""
    if lease_name == group:
        return ""
    name = lease_name.removeprefix(f"{group}-")
    return name if name != lease_name and name else None


def member_lease(
    group: str, name: str, record: MemberRecord, *, duration: float, wall: datetime, owner: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the manifest of a member's Lease, without a version.

    Args:
        group: name of the group.
        name: name of the member.
        record: its content.
        duration: seconds that others wait.
        wall: the time, for people.
        owner: reference to the Pod that the Lease goes with; `None` for none.
    """
    ready = {str(number): list(ready) for number, ready in record.ready.items()}
    content = {
        "v": FORMAT,
        "table": record.table,
        "leaving": record.leaving,
        "ready": ready,
        # A server does not store a write that changes nothing, and a wall clock may stand still.
        "renewal": record.renewal,
    }
    spec = {
        "leaseDurationSeconds": max(1, int(duration)),
        "leaseTransitions": record.number,
        "renewTime": _micro_time(wall),
    }
    if record.holds:
        spec["holderIdentity"] = name
    made = _lease(group, f"{group}-{name}", content, spec)
    if owner is not None:
        made["metadata"]["ownerReferences"] = [dict(owner)]
    return made


def member_record(lease: KubeObject) -> MemberRecord:
    """Return the content of a member's Lease.

    Raises:
        MalformedLeaseError: it has no record of a member.
    """
    content, spec = _content(lease), _spec(lease)
    try:
        _require_format(content)
        return MemberRecord(
            number=int(spec["leaseTransitions"]),
            holds=bool(spec.get("holderIdentity")),
            table=str(content["table"]),
            leaving=bool(content["leaving"]),
            ready={
                int(number): Acknowledgement(int(version), str(intent))
                for number, (version, intent) in content["ready"].items()
            },
            renewal=int(content["renewal"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(lease, error) from error


def table_lease(group: str, table: Table, *, wall: datetime) -> dict[str, Any]:
    """Return the manifest of the table, without a version."""
    named = {owner for owner in table.owners if owner is not None} | {one.to for one in table.handovers.values()}
    members = sorted(named)[:_MOST_OWNERS]
    place = {member: number for number, member in enumerate(members, 1)}
    content = {
        "v": FORMAT,
        "id": table.id,
        "by": table.by,
        "slices": len(table.owners),
        "members": [f"{member.member}#{member.number}" for member in members],
        "owner": "".join(f"{0 if owner is None else place.get(owner, 0):02x}" for owner in table.owners),
        "to": {
            str(number): [f"{one.to.member}#{one.to.number}", one.intent] for number, one in table.handovers.items()
        },
    }
    spec = {"leaseDurationSeconds": 1, "leaseTransitions": table.generation, "renewTime": _micro_time(wall)}
    return _lease(group, group, content, spec)


def table_record(lease: KubeObject) -> Table:
    """Return the content of the table.

    Raises:
        MalformedLeaseError: it has no record of a table.
    """
    content, spec = _content(lease), _spec(lease)
    if isinstance(content["v"], int) and content["v"] != FORMAT:
        return Table(id="-", generation=0, by="", owners=(), format=content["v"])
    try:
        _require_format(content)
        members = [_incarnation(text) for text in content["members"]]
        digits = bytes.fromhex(content["owner"])
        owners = tuple(members[one - 1] if one else None for one in digits)
        if len(owners) != content["slices"]:
            msg = f"{len(owners)} owners for {content['slices']} slices"
            raise ValueError(msg)  # noqa: TRY301 - answered like any other
        return Table(
            id=str(content["id"]),
            generation=int(spec["leaseTransitions"]),
            by=str(content["by"]),
            owners=owners,
            handovers={
                int(number): Handover(_incarnation(to), str(intent)) for number, (to, intent) in content["to"].items()
            },
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _malformed(lease, error) from error


def _incarnation(text: str) -> Incarnation:
    member, _, number = text.rpartition("#")
    return Incarnation(member, int(number))


def _lease(group: str, name: str, content: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(content, separators=(",", ":"))
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "labels": {GROUP_LABEL: group},
            "annotations": {_ANNOTATION: text, _CHECKSUM: _checksum(name, text, spec)},
        },
        "spec": spec,
    }


def _checksum(name: str, text: str, spec: Mapping[str, Any]) -> str:
    """Return a checksum of everything that is read of a Lease."""
    read = [name, text, spec.get("leaseTransitions"), spec.get("holderIdentity") or ""]
    return f"{zlib.crc32(json.dumps(read).encode()):08x}"


def _content(lease: KubeObject) -> dict[str, Any]:
    """Return the content of the annotation.

    Raises:
        MalformedLeaseError: it is missing, or was changed.
    """
    try:
        text = lease.annotations[_ANNOTATION]
        if lease.annotations[_CHECKSUM] != _checksum(lease.name, text, _spec(lease)):
            msg = f"its checksum {_CHECKSUM} is wrong: it was changed by something else than a member"
            raise ValueError(msg)  # noqa: TRY301 - answered like any other
        content = json.loads(text)
        content["v"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(lease, error) from error
    return cast("dict[str, Any]", content)


def _require_format(content: Mapping[str, Any]) -> None:
    if content["v"] != FORMAT:
        msg = f"it has the format {content['v']!r}, and this version of kinformer knows {FORMAT}"
        raise ValueError(msg)


def _spec(lease: KubeObject) -> Mapping[str, Any]:
    spec = lease.to_dict().get("spec")
    return spec if isinstance(spec, dict) else {}


def _malformed(lease: KubeObject, error: Exception) -> MalformedLeaseError:
    reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    what = f"the lease {lease.namespace}/{lease.name} has the label {GROUP_LABEL}"
    return MalformedLeaseError(f"{what}, but is no lease of a shard group: {reason}")


def _micro_time(moment: datetime) -> str:
    """Return a time as a MicroTime (meta/v1) is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
