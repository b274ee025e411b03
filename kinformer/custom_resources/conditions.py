"""`Condition`: an entry of `status.conditions`, as a class for fields of your own classes.

The fields and their bounds are those of apimachinery, meta/v1, Condition.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated, Literal, TypeAlias

import msgspec

from kinformer.custom_resources.markers import ListType

__all__ = ["Condition", "Conditions"]


class Condition(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A statement about an object, of which a list has one entry per type.

    Attributes:
        type: the subject, in CamelCase, such as "Ready", or with a domain.
        status: "True", "False" or "Unknown".
        observed_generation: the `metadata.generation` that the statement is about.
        last_transition_time: the time since which the status has its value.
        reason: why, as one word for programs.
        message: why, for people.
    """

    type: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            max_length=316,
        ),
    ]
    status: Literal["True", "False", "Unknown"]
    observed_generation: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    last_transition_time: datetime
    reason: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)
    ]
    message: Annotated[str, msgspec.Meta(max_length=32768)]


Conditions: TypeAlias = Annotated[list[Condition], ListType("map", keys=("type",))]
"""The type of a field `conditions` of a status; server-side apply merges it by type."""
