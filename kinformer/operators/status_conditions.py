"""`status.conditions`: statements of a controller about an object, in the form that kubectl, Argo CD and people read.

    ready = StatusCondition("Ready", "True", "AllReplicasUp", "3 of 3 replicas are up")
    await write_conditions(client, shop, ready)

A condition has a type, of which a list has one entry; `lastTransitionTime` says since when its *status* has its
value, and changes with nothing else; `observedGeneration` names the observed `metadata.generation`. The
rules are those of apimachinery (pkg/api/meta/conditions.go) and of the API conventions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from kinformer.errors import NotFoundError
from kinformer.objects import KubeObject
from kinformer.operators._class_objects import Obj, as_class_of, as_mapping, as_object, check_keeps_conditions
from kinformer.operators.conflicts import ReadingClient, retry_on_conflict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.custom_resources.definition import CustomResource
    from kinformer.resources import Resource

__all__ = [
    "ConditionClient",
    "StatusCondition",
    "find_condition",
    "is_condition",
    "with_conditions",
    "write_conditions",
]

ConditionStatus = Literal["True", "False", "Unknown"]

# apimachinery, meta/v1, Condition: the patterns of type and reason.
_TYPE: Final = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
)
_REASON: Final = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_LONGEST_MESSAGE: Final = 32768


@dataclass(frozen=True, slots=True)
class StatusCondition:
    """One condition to write.

    Args:
        type: its subject, in CamelCase, such as "Ready", or with a domain: "example.com/Ready".
        status: "True", "False" or "Unknown"; `True` and `False` are taken as well.
        reason: why, as one word for programs.
        message: why, for people. Longer than 32768 characters it is cut, which is what the API takes.
        observed_generation: the `metadata.generation` that was looked at; taken from the object when left out.

    Raises:
        ValueError: type, status or reason are not what the API takes.
    """

    type: str
    status: ConditionStatus | bool
    reason: str
    message: str = ""
    observed_generation: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.status, bool):
            object.__setattr__(self, "status", str(self.status))
        if self.status not in {"True", "False", "Unknown"}:
            msg = f"condition {self.type}: status is 'True', 'False' or 'Unknown', not {self.status!r}"
            raise ValueError(msg)
        if not _TYPE.fullmatch(self.type) or len(self.type) > 316:
            msg = f"{self.type!r} is no type of a condition: expected CamelCase, such as 'Ready' or 'example.com/Ready'"
            raise ValueError(msg)
        if not _REASON.fullmatch(self.reason) or len(self.reason) > 1024:
            msg = f"condition {self.type}: {self.reason!r} is no reason; expected one CamelCase word, such as 'AllUp'"
            raise ValueError(msg)
        if len(self.message) > _LONGEST_MESSAGE:
            object.__setattr__(self, "message", self.message[:_LONGEST_MESSAGE])


class ConditionClient(ReadingClient, Protocol):
    """The client of `write_conditions`; `kinformer.Client` is one."""

    async def patch_status(
        self, resource: Resource, name: str, patch: Mapping[str, Any], /, *, namespace: str | None
    ) -> KubeObject:
        """Merge into an object's status; `ConflictError` if it is not in the version that the patch names."""
        ...


def find_condition(obj: Mapping[str, Any] | CustomResource, type: str) -> dict[str, Any] | None:  # noqa: A002 - the API's own word
    """Return the entry of this type in an object's `status.conditions`, or `None`."""
    return next((dict(entry) for entry in _conditions(as_mapping(obj)) if entry.get("type") == type), None)


def is_condition(
    obj: Mapping[str, Any] | CustomResource | None,
    type: str,  # noqa: A002 - the API's own word
    status: ConditionStatus = "True",
    *,
    current: bool = False,
) -> bool:
    """Return whether an object has a condition of this type and status; for `wait_for`, too.

    Args:
        obj: an object, also one of a class with `custom_resource`, or a manifest; `None` has no conditions.
        type: the condition's type.
        status: the status it must have.
        current: whether it must be about the object's present generation, rather than an older one.
    """
    found = None if obj is None else as_mapping(obj)
    entry = None if found is None else find_condition(found, type)
    if found is None or entry is None or entry.get("status") != status:
        return False
    return not current or (entry.get("observedGeneration") or 0) >= _generation(found)


def with_conditions(
    obj: Mapping[str, Any] | CustomResource,
    *changes: StatusCondition,
    remove: Iterable[str] = (),
    now: datetime | None = None,
) -> list[dict[str, Any]]:
    """An object's conditions after some changes, to be written as its `status.conditions`. The object is not changed.

    `lastTransitionTime` is the present where the status is another one than before, and stays otherwise. Entries keep
    their order, and fields that others added to them; new ones come last.

    Args:
        obj: the object, with its generation and its conditions so far.
        changes: the conditions; of two of the same type the later one counts.
        remove: types that nothing is to be said about any more.
        now: the present; from the clock if left out. Kubernetes keeps whole seconds.
    """
    stamp = (datetime.now(UTC) if now is None else now.astimezone(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    obj = as_mapping(obj)
    gone = set(remove)
    entries = [dict(entry) for entry in _conditions(obj) if entry.get("type") not in gone]
    for change in changes:
        said = _entry(change, obj)
        before = next((entry for entry in entries if entry.get("type") == change.type), None)
        if before is None:
            entries.append({**said, "lastTransitionTime": stamp})
            continue
        if before.get("status") != said["status"] or not before.get("lastTransitionTime"):
            before["lastTransitionTime"] = stamp
        before.update(said)
    return entries


async def write_conditions(
    client: ConditionClient,
    obj: Obj,
    *changes: StatusCondition,
    remove: Iterable[str] = (),
    now: datetime | None = None,
) -> Obj | None:
    """Write conditions into an object's status, if that changes anything: without a change, no request is made.

    The write names the version that was read. After a conflict the object is read anew, so that conditions of
    others are never lost, up to ten times with a growing pause. A generation that is not given is that of `obj`, the
    observed object, also when the object has changed meanwhile. Cancelled, it may or may not have been written.

    `obj` may be an object of a class with `custom_resource` whose status has the field `conditions: Conditions`.

    Returns:
        The object as it is then, of the same class; `None` when it is gone, or another one has its name.

    Raises:
        ConflictError: another writer changed the object each time.
        ApiError: the server refused. A custom resource needs the subresource `status`.
        TransportError: no whole answer came.
        TypeError: the class of the object does not keep its metadata or its conditions.
        DecodeError: the stored object does not fit its class.
    """
    check_keeps_conditions(obj)
    first = as_object(obj)
    observed = [
        StatusCondition(c.type, c.status, c.reason, c.message, _generation(first) or None)
        if c.observed_generation is None
        else c
        for c in changes
    ]
    gone = tuple(remove)

    async def write(current: KubeObject) -> KubeObject | None:
        entries = with_conditions(current, *observed, remove=gone, now=now)
        if entries == list(_conditions(current)):
            return current
        change = {"metadata": {"resourceVersion": current.resource_version}, "status": {"conditions": entries}}
        try:
            return await client.patch_status(
                current.resource, current.name, change, namespace=current.namespace or None
            )
        except NotFoundError:
            return None

    stored = await retry_on_conflict(client, first, write)
    return None if stored is None else as_class_of(obj, stored)


def _entry(condition: StatusCondition, obj: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
    }
    generation = _generation(obj) if condition.observed_generation is None else condition.observed_generation
    if generation:
        entry["observedGeneration"] = generation
    return entry


def _generation(obj: Mapping[str, Any]) -> int:
    if isinstance(obj, KubeObject):
        return obj.generation or 0
    metadata = obj.get("metadata")
    return (metadata.get("generation") or 0) if isinstance(metadata, Mapping) else 0


def _conditions(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = obj.get("status")
    return (status.get("conditions") or []) if isinstance(status, Mapping) else []
