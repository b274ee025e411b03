"""What kubectl wants to read before it writes: OpenAPI v2 and v3, as little of it as is true.

There are paths, with the parameters kubectl looks for (`dryRun`, `fieldValidation`), and no schemas: kubectl then
leaves validation to the server, and merges by the Go types it was compiled with. kubectl up to 1.26 asks for version 2
as protobuf (gnostic's messages, plain enough to be written by hand), later ones for version 3 as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

__all__ = ["PROTOBUF_V2", "PROTOBUF_V2_SENT", "v2_document", "v2_protobuf", "v3_document", "v3_index"]

PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients ask for; it is no valid media type, so the answer names itself a little differently."""

PROTOBUF_V2_SENT = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_TITLE = "Kubernetes"
_VERSION = "v1.36.0"


def _gvk(kind: ResourceType) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _collection_path(kind: ResourceType) -> str:
    prefix = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{prefix}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{prefix}/{kind.plural}"


def v2_document(catalog: Catalog) -> dict[str, Any]:
    """`/openapi/v2` as JSON."""
    parameters = [
        {"name": name, "in": "query", "type": "string", "uniqueItems": True} for name in ("dryRun", "fieldValidation")
    ]
    paths = {}
    for kind in catalog.all_types():
        patch = {
            "operationId": f"patch{kind.version}{kind.kind}",
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": _gvk(kind),
            "x-kubernetes-action": "patch",
        }
        paths[_collection_path(kind) + "/{name}"] = {"patch": patch}
    return {
        "swagger": "2.0",
        "info": {"title": _TITLE, "version": _VERSION},
        "paths": paths,
        "definitions": {},
    }


def v3_index(catalog: Catalog) -> dict[str, Any]:
    """`/openapi/v3`: where the document of each group version is."""
    places = {
        (f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}") for kind in catalog.all_types()
    }
    return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=0"} for place in sorted(places)}}


def v3_document(catalog: Catalog, place: str) -> dict[str, Any] | None:
    """`/openapi/v3/apis/GROUP/VERSION` and `/openapi/v3/api/v1`."""
    types = [
        kind
        for kind in catalog.all_types()
        if place == (f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}")
    ]
    if not types:
        return None
    paths: dict[str, Any] = {}
    for kind in types:
        query = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in ("dryRun", "fieldManager", "fieldValidation", "force")
        ]
        operation = {
            "parameters": query,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": _gvk(kind),
        }
        paths[_collection_path(kind)] = {"post": operation | {"x-kubernetes-action": "post"}}
        paths[_collection_path(kind) + "/{name}"] = {
            "put": operation | {"x-kubernetes-action": "put"},
            "patch": operation | {"x-kubernetes-action": "patch"},
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": _TITLE, "version": _VERSION},
        "paths": paths,
        "components": {"schemas": {}},
    }


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes | str) -> bytes:
    """A length-delimited field of a protobuf message."""
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _message(*fields: bytes) -> bytes:
    return b"".join(fields)


def _named_any(name: str, yaml: str) -> bytes:
    """Gnostic `NamedAny`: name = 1, value = 2 (`Any`: value = 1, yaml = 2)."""
    return _message(_field(1, name), _field(2, _field(2, yaml)))


def v2_protobuf(catalog: Catalog) -> bytes:
    """`/openapi/v2` as protobuf: gnostic's openapi.v2.Document.

    Field numbers are those of openapiv2/OpenAPIv2.proto: Document {swagger = 1, info = 2, paths = 8},
    Info {title = 1, version = 2}, Paths {path = 2}, NamedPathItem {name = 1, value = 2}, PathItem {patch = 8},
    Operation {parameters = 8, responses = 9, vendor_extension = 13}.
    """
    paths = b"".join(_field(2, _named_path(kind)) for kind in catalog.all_types())
    return _message(
        _field(1, "2.0"),
        _field(2, _message(_field(1, _TITLE), _field(2, _VERSION))),
        _field(8, paths),
    )


def _named_path(kind: ResourceType) -> bytes:
    """The PATCH of an object, with the parameter `dryRun`, which kubectl looks for before it sends one.

    ParametersItem {parameter = 1}, Parameter {non_body_parameter = 2}, NonBodyParameter
    {query_parameter_sub_schema = 3}, QueryParameterSubSchema {in = 2, name = 4, type = 6}; Responses
    {response_code = 1}, NamedResponseValue {name = 1, value = 2}, ResponseValue {response = 1}, Response
    {description = 1}.
    """
    parameters = b"".join(
        _field(8, _field(1, _field(2, _field(3, _message(_field(2, "query"), _field(4, name), _field(6, "string"))))))
        for name in ("dryRun", "fieldValidation")
    )
    response = _message(_field(1, "200"), _field(2, _field(1, _field(1, "OK"))))
    extension = _named_any(
        "x-kubernetes-group-version-kind", "".join(f"{name}: {value!r}\n" for name, value in _gvk(kind).items())
    )
    operation = _message(parameters, _field(9, _field(1, response)), _field(13, extension))
    return _message(_field(1, _collection_path(kind) + "/{name}"), _field(2, _field(8, operation)))
