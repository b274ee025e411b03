"""OpenAPI documents: those of a real server for built-in kinds, and those of the schemas of CRDs.

The documents of the built-in kinds are kept as a real kube-apiserver sent them. Version 2 has the built-in kinds alone;
version 3 has a document for each group version of a CRD as well.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

__all__ = ["PROTOBUF_V2", "PROTOBUF_V2_SENT", "v2_json", "v2_protobuf", "v3_document", "v3_index"]

PROTOBUF_V2: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""The media type that clients ask for; it is not valid, so the answer names itself a little differently."""

PROTOBUF_V2_SENT: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_LIST_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_STATUS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_REF: Final = "#/components/schemas/"


def v2_json(catalog: Catalog) -> bytes:
    """Return `/openapi/v2` as JSON."""
    return catalog.archive.read("openapi/v2.json") or b"{}"


def v2_protobuf(catalog: Catalog) -> bytes:
    """Return `/openapi/v2` as protobuf: gnostic's `openapi.v2.Document`."""
    return catalog.archive.read("openapi/v2.pb") or b""


def v3_index(catalog: Catalog) -> dict[str, Any]:
    """Return `/openapi/v3`: where the document of each group version is."""
    hashes = dict(catalog.archive.places)
    for place in {_place(kind) for kind in catalog.all_types() if kind.custom}:
        document = json.dumps(_custom_document(catalog, place)).encode()
        hashes[place] = f"{zlib.crc32(document):08X}"
    return {
        "paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={hashes[place]}"} for place in sorted(hashes)}
    }


def v3_document(catalog: Catalog, place: str) -> bytes | dict[str, Any] | None:
    """Return the document of a place, as `apis/apps/v1`; `None` where there is none."""
    return catalog.archive.openapi_v3(place) or _custom_document(catalog, place)


def _place(kind: ResourceType) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _custom_document(catalog: Catalog, place: str) -> dict[str, Any] | None:
    kinds = [kind for kind in catalog.all_types() if kind.custom and kind.served and _place(kind) == place]
    if not kinds:
        return None
    paths: dict[str, Any] = {}
    schemas = _meta_schemas(catalog)
    for kind in kinds:
        schemas |= _schemas_of(kind)
        paths |= _paths_of(kind)
    info = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _meta_schemas(catalog: Catalog) -> dict[str, Any]:
    """The schemas of metadata, with the schemas that they refer to."""
    known = json.loads(catalog.archive.openapi_v3("api/v1") or b"{}")["components"]["schemas"]
    found: dict[str, Any] = {}
    wanted = [_OBJECT_META, _LIST_META, _STATUS]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = known[name]
            wanted += [text.partition('"')[0] for text in json.dumps(known[name]).split(_REF)[1:]]
    return found


def _name(kind: ResourceType) -> str:
    """The name of the schema of a kind: com.example.v1.Widget of widgets.example.com."""
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _gvk(kind: ResourceType, suffix: str = "") -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind + suffix}


def _schemas_of(kind: ResourceType) -> dict[str, Any]:
    assert kind.definition is not None
    given = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    named = {
        "apiVersion": {"type": "string", "description": "The version of the schema of this object."},
        "kind": {"type": "string", "description": "The resource that this object represents."},
        "metadata": {"description": "Standard object's metadata.", "allOf": [{"$ref": _REF + _OBJECT_META}]},
    }
    whole = given | {
        "properties": named | (given.get("properties") or {}) | {"metadata": named["metadata"]},
        "x-kubernetes-group-version-kind": [_gvk(kind)],
    }
    items = {"type": "array", "items": {"$ref": _REF + _name(kind)}}
    listed = {
        "type": "object",
        "description": f"A list of {kind.kind}.",
        "required": ["items"],
        "properties": {
            "apiVersion": named["apiVersion"],
            "kind": named["kind"],
            "metadata": {"allOf": [{"$ref": _REF + _LIST_META}]},
            "items": items,
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, "List")],
    }
    return {_name(kind): whole, _name(kind) + "List": listed}


def _paths_of(kind: ResourceType) -> dict[str, Any]:
    collection = f"/{_place(kind)}/namespaces/{{namespace}}/{kind.plural}"
    if not kind.namespaced:
        collection = f"/{_place(kind)}/{kind.plural}"
    body = {"content": {"application/json": {"schema": {"$ref": _REF + _name(kind)}}}}
    answer = {"200": {"description": "OK", **body}}

    def operation(action: str, *parameters: str) -> dict[str, Any]:
        query = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in parameters
        ]
        return {
            "operationId": f"{action}{kind.version}{kind.kind}",
            "parameters": query,
            "responses": answer,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(kind),
        }

    written = ("dryRun", "fieldManager", "fieldValidation")
    return {
        collection: {
            "get": operation("list", "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion"),
            "post": operation("post", *written) | {"requestBody": body},
        },
        f"{collection}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", *written) | {"requestBody": body},
            "patch": operation("patch", *written, "force"),
            "delete": operation("delete", "dryRun", "gracePeriodSeconds", "propagationPolicy"),
        },
    }
