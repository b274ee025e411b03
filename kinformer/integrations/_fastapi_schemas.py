"""Schemas of the answers, for OpenAPI: generated clients get classes instead of strings.

The answers themselves are cached bytes, which no model ever reads. So a schema names what holds for every object of a
kind, and leaves the rest open (`additionalProperties`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from kinformer.custom_resources import crd

if TYPE_CHECKING:
    from kinformer.resources import Resource

__all__ = ["Health", "Status", "list_response_schema", "object_response_schema"]


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


def object_response_schema(resource: Resource, kind: type[Any] | None) -> dict[str, Any]:
    """Return the description of an answer with one object: by the schema of its class, if it has one."""
    if kind is None:
        return {"model": object_model(resource)}
    return _described(_schema_of(resource, kind))


def list_response_schema(resource: Resource, kind: type[Any] | None) -> dict[str, Any]:
    """Return the description of an answer with a list: by the schema of the class of the objects, if they have one."""
    if kind is None:
        return {"model": list_model(resource)}
    properties = {
        "apiVersion": {"const": resource.api_version},
        "kind": {"const": f"{resource.kind}List"},
        "metadata": ListMeta.model_json_schema(),
        "items": {"type": "array", "items": _schema_of(resource, kind)},
    }
    return _described(
        {"type": "object", "title": f"{resource.kind}List", "properties": properties, "required": [*properties]}
    )


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Successful Response", "content": {"application/json": {"schema": schema}}}


def _schema_of(resource: Resource, kind: type[Any]) -> dict[str, Any]:
    """Return the schema of a class as its CRD has it, with the fields that every object has."""
    (version,) = crd(kind)["spec"]["versions"]
    schema: dict[str, Any] = _openapi(version["schema"]["openAPIV3Schema"])
    schema["title"] = resource.kind
    schema["properties"] |= {
        "apiVersion": {"const": resource.api_version},
        "kind": {"const": resource.kind},
        "metadata": ObjectMeta.model_json_schema(),
    }
    schema["required"] = ["apiVersion", "kind", "metadata", *schema.get("required", ())]
    return schema


def _openapi(schema: Any) -> Any:
    """Return a structural schema in the dialect of OpenAPI 3.1, which has no `nullable`."""
    if isinstance(schema, list):
        return [_openapi(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _openapi(value) for name, value in schema.items() if name != "nullable"}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made
