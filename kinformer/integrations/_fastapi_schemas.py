"""Schemas of the answers, for OpenAPI: generated clients get classes instead of strings.

The answers themselves are cached bytes, which no model ever reads. So a schema names what holds for every object of a
kind, and leaves the rest open (`additionalProperties`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

if TYPE_CHECKING:
    from kinformer.resources import Resource

__all__ = ["Health", "Status", "list_model", "object_model"]


class ObjectMeta(BaseModel):
    """Metadata of an object (meta/v1, ObjectMeta)."""

    model_config = ConfigDict(extra="allow")

    name: str
    namespace: str | None = Field(None, description="Absent for cluster-scoped objects.")
    uid: str
    resourceVersion: str  # noqa: N815 - as in JSON
    creationTimestamp: str  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ListMeta(BaseModel):
    """Metadata of a list (meta/v1, ListMeta)."""

    resourceVersion: str = Field(description="The version that the whole cache shows.")  # noqa: N815
    next: str | None = Field(None, alias="continue", description="Give it as `continue` for the next page.")
    remainingItemCount: int | None = Field(None, description="How many objects follow this page.")  # noqa: N815


class Status(BaseModel):
    """An error, in the form of an API server (meta/v1, Status)."""

    kind: Literal["Status"]
    apiVersion: Literal["v1"]  # noqa: N815
    metadata: dict[str, Any]
    status: Literal["Failure"]
    message: str
    reason: str
    code: int


class InformerHealth(BaseModel):
    """The health of one informer."""

    health: Literal["live", "syncing", "failing", "stopped", "ended"]
    state: str
    synced: bool
    live: bool
    objects: int
    resourceVersion: str  # noqa: N815
    silentForSeconds: float | None  # noqa: N815
    failuresInARow: int  # noqa: N815
    lastError: str | None = Field(description="Class and HTTP status of the last error.")  # noqa: N815


class Health(BaseModel):
    """The health of all informers."""

    status: Literal["ok", "unavailable"]
    reasons: list[str]
    informers: dict[str, InformerHealth]


@cache
def object_model(resource: Resource) -> type[BaseModel]:
    """Return the schema of one object of a resource."""
    fields: dict[str, Any] = {
        "apiVersion": (Literal[resource.api_version], ...),
        "kind": (Literal[resource.kind], ...),
        "metadata": (ObjectMeta, ...),
    }
    return create_model(
        resource.kind,
        __config__=ConfigDict(extra="allow"),
        __doc__=f"An object of {resource.full_name}, as the API server has it.",
        **fields,
    )


@cache
def list_model(resource: Resource) -> type[BaseModel]:
    """Return the schema of a list of a resource."""
    fields: dict[str, Any] = {
        "apiVersion": (Literal[resource.api_version], ...),
        "kind": (Literal[f"{resource.kind}List"], ...),
        "metadata": (ListMeta, ...),
        "items": (list[object_model(resource)], ...),  # type: ignore[misc]
    }
    return create_model(f"{resource.kind}List", __doc__=f"Objects of {resource.full_name}.", **fields)
