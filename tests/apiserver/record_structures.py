"""Write `kinformer/testing/data/structures.json` from the OpenAPI documents of a real kube-apiserver.

    python -m tests.apiserver.record_structures

The table holds the structure of every built-in kind: the type of each field, the keys of each list that is merged by
key, and the structures and maps that are one field for server-side apply. It holds no descriptions and no rules.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from kinformer.testing import ControlPlane
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

TARGET = ROOT / "kinformer/testing/data/structures.json"
_SCALARS = {"integer": "int64", "number": "double", "boolean": "bool", "string": "string"}


def short(reference: str) -> str:
    """`core.v1.Pod` for `#/components/schemas/io.k8s.api.core.v1.Pod`."""
    return ".".join(reference.rpartition("/")[2].split(".")[-3:])


def node(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The structure of one field or item."""
    if "allOf" in schema or "$ref" in schema:
        name = (schema["$ref"] if "$ref" in schema else schema["allOf"][0]["$ref"]).rpartition("/")[2]
        target = schemas[name]
        if "properties" not in target:
            return node(target, schemas)
        # A Go value that is no pointer is always written, if only as {}.
        return {"ref": short(name)} | ({"value": True} if schema.get("default") == {} else {})
    if schema.get("type") == "array":
        made: dict[str, Any] = {"list": node(schema["items"], schemas)}
        if (kind := schema.get("x-kubernetes-list-type", "atomic")) != "atomic":
            made["type"] = kind
        if keys := schema.get("x-kubernetes-list-map-keys"):
            made["keys"] = keys
            made |= key_defaults(keys, schema["items"], schemas)
        if "merge" in schema.get("x-kubernetes-patch-strategy", ""):
            made["merge"] = schema.get("x-kubernetes-patch-merge-key", "")
        return made
    if "additionalProperties" in schema:
        atomic = {"atomic": True} if schema.get("x-kubernetes-map-type") == "atomic" else {}
        return {"map": node(schema["additionalProperties"], schemas)} | atomic
    if schema.get("format") == "int-or-string":
        return "int-or-string"
    if schema.get("oneOf") == [{"type": "string"}, {"type": "number"}]:
        return "quantity"
    kind = schema.get("type")
    if kind in {None, "object"}:
        return "any"
    return schema["format"] if schema.get("format") in {"int32", "byte", "date-time"} else _SCALARS[kind]


def key_defaults(keys: list[str], items: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the fields by which the items of a list differ."""
    target = schemas[items["allOf"][0]["$ref"].rpartition("/")[2]]["properties"]
    defaults = {key: target[key]["default"] for key in keys if target[key].get("default")}
    return {"defaults": defaults} if defaults else {}


def table(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The table of all documents."""
    kinds: dict[str, str] = {}
    types: dict[str, Any] = {}
    schemas = {name: schema for d in documents for name, schema in d.get("components", {}).get("schemas", {}).items()}
    for name, schema in sorted(schemas.items()):
        if "properties" not in schema:
            continue
        fields = {field: node(inner, schemas) for field, inner in schema["properties"].items()}
        made: dict[str, Any] = {"fields": fields}
        if schema.get("x-kubernetes-map-type") == "atomic":
            made["atomic"] = True
        if always := [f for f in schema.get("required", ()) if isinstance(fields[f], dict) and "list" in fields[f]]:
            # Lists that Go writes as null when they are empty.
            made["always"] = always
        types[short(name)] = made
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            if "metadata" in fields and not gvk["kind"].endswith("List"):
                group = f"{gvk['group']}/" if gvk["group"] else ""
                kinds[f"{group}{gvk['version']} {gvk['kind']}"] = short(name)
    return {"kinds": kinds, "types": types}


def text(made: dict[str, Any]) -> str:
    """The table as JSON with one type on a line, so that a difference can be read."""

    def lines(part: dict[str, Any]) -> str:
        return ",\n".join(
            f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}" for name, value in sorted(part.items())
        )

    return f'{{"kinds":{{\n{lines(made["kinds"])}\n}},"types":{{\n{lines(made["types"])}\n}}}}\n'


async def main() -> None:
    """Ask a real server, and write the table."""
    async with ControlPlane() as plane:
        trust = ssl.create_default_context(cafile=str(plane.ca_file))
        async with aiohttp.ClientSession(
            plane.url,
            connector=aiohttp.TCPConnector(ssl=trust),
            headers={"Authorization": f"Bearer {plane.token}"},
            raise_for_status=True,
        ) as http:
            async with http.get("/openapi/v3") as answer:
                index = await answer.json(content_type=None)
            places = [entry["serverRelativeURL"] for entry in index["paths"].values()]
            documents = []
            for place in places:
                async with http.get(place) as answer:
                    documents.append(await answer.json(content_type=None))
    TARGET.write_text(text(table(documents)))


if __name__ == "__main__":
    asyncio.run(main())
