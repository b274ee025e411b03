"""The times of conditions that a client leaves out: Go writes them as null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinformer.testing._apiserver.schemas.go_types import Field
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["fill_in_condition_times"]


def fill_in_condition_times(kind: ResourceType, manifest: dict[str, Any]) -> None:
    """Fill in the times of the conditions that are not set: Go writes them as null, and they have an owner."""
    state = manifest.get("status")
    given = state.get("conditions") if isinstance(state, dict) else None
    struct = kind.types.kind(kind.api_version, kind.kind)
    found = struct and struct.by_name.get("status")
    of_status = found and found.type.target.struct
    conditions = of_status and of_status.by_name.get("conditions")
    if not given or not conditions or not isinstance(state, dict):
        return
    one = conditions.type.target.element.target.struct
    if one is not None:
        times = {name for name, field in one.by_name.items() if _is_time(field)}
        state["conditions"] = [
            {name: condition.get(name) for name in one.by_name if name in times or name in condition} | condition
            for condition in given
        ]


def _is_time(field: Field) -> bool:
    """Report whether a field is a time that is written even if it is not set."""
    return field.type.form == "struct" and not field.omit_zero and field.type.name.endswith("Time")
