"""Conditions in a status, and counts that Go leaves out if they are zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.testing._apiserver.controllers.actions import Manifest

__all__ = ["condition_of", "is_true", "made", "nonzero", "with_condition", "without_condition"]


def condition_of(status: Manifest, kind: str) -> Manifest | None:
    """Return the condition of a type, or `None`."""
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), None)


def is_true(status: Manifest, kind: str) -> bool:
    """Report whether the condition of a type is there and true."""
    found = condition_of(status, kind)
    return found is not None and found.get("status") == "True"


def made(kind: str, state: str, now: str, reason: str = "", message: str = "") -> Manifest:
    """Make a condition."""
    condition = {"type": kind, "status": state, "lastTransitionTime": now}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def with_condition(conditions: Iterable[Manifest], new: Manifest) -> list[Manifest]:
    """Set a condition; one that says the same stays, and one with the same status keeps its time."""
    result = []
    found = False
    for one in conditions:
        if one["type"] != new["type"]:
            result.append(one)
            continue
        found = True
        if one["status"] == new["status"]:
            new = new | {"lastTransitionTime": one["lastTransitionTime"]}
        said = ("status", "reason", "message")
        result.append(one if all(one.get(name) == new.get(name) for name in said) else new)
    return result if found else [*result, new]


def without_condition(conditions: Iterable[Manifest], kind: str) -> list[Manifest]:
    """Leave the condition of a type out."""
    return [one for one in conditions if one["type"] != kind]


def nonzero(**fields: object) -> Manifest:
    """Return the fields that Go writes: those that are not zero, empty or `None`."""
    return {name: value for name, value in fields.items() if value not in (0, None, [], {}, "")}
