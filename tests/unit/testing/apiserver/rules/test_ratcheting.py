"""A part of a custom resource that has not changed is not refused by a schema that has become stricter (KEP-4008).

The expected answers are those of kube-apiserver 1.36.3.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/ratchets.example.com/v1/namespaces/default/ratchets"
TEXT = {"type": "string"}
LOOSE: dict[str, Any] = {
    "text": TEXT,
    "other": TEXT,
    "list": {"type": "array", "items": TEXT},
    "set": {"type": "array", "x-kubernetes-list-type": "atomic", "items": TEXT},
    "map": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": TEXT}},
    },
    "object": {"type": "object", "properties": {"a": TEXT, "b": TEXT}},
    "any": {"type": "object", "properties": {"a": TEXT, "b": TEXT}},
    "free": {"type": "object", "additionalProperties": TEXT},
}
STRICT: dict[str, Any] = LOOSE | {
    "text": TEXT | {"maxLength": 2},
    "list": {"type": "array", "items": TEXT | {"maxLength": 2}},
    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    "map": LOOSE["map"]
    | {"items": {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": TEXT | {"enum": ["x"]}}}},
    "object": LOOSE["object"] | {"required": ["b"], "maxProperties": 1},
    "any": LOOSE["any"] | {"anyOf": [{"properties": {"a": {"pattern": "^x"}}}, {"required": ["b"]}]},
    "free": {"type": "object", "additionalProperties": TEXT | {"format": "ipv4"}},
}
BEFORE: dict[str, Any] = {
    "text": "long",
    "list": ["long"],
    "set": ["a", "a"],
    "map": [{"k": "1", "v": "old"}],
    "object": {"a": "1"},
    "any": {"a": "old"},
    "free": {"a": "old"},
}
CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "another field": ({"other": "new"}, []),
    "the text itself": ({"text": "other"}, ["text"]),
    "an item behind one that stays": ({"list": ["long", "ab"]}, ["list[0]"]),
    "a set that had a value twice": ({"set": ["a", "a", "b"]}, []),
    "an item of a map that stays": ({"map": [{"k": "0", "v": "x"}, {"k": "1", "v": "old"}]}, []),
    "an item of a map": ({"map": [{"k": "1", "v": "new"}]}, ["map[0].v"]),
    "a new item of a map": ({"map": [{"k": "1", "v": "old"}, {"k": "2", "v": "old"}]}, ["map[1].v"]),
    "a field of an object without one that is required": ({"object": {"a": "2"}}, ["object.b"]),
    "a field below several schemas": ({"any": {"a": "new"}}, ["<nil>", "any.a"]),
    "a key beside one that stays": ({"free": {"a": "old", "b": "1.2.3.4"}}, []),
    "a key beside one that stays, to a wrong value": ({"free": {"a": "old", "b": "new"}}, ["free.b"]),
}


def crd(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ratchets.ratchets.example.com"},
        "spec": {
            "group": "ratchets.example.com",
            "scope": "Namespaced",
            "names": {"plural": "ratchets", "singular": "ratchet", "kind": "Ratchet"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        yield session


async def prepare(http: aiohttp.ClientSession) -> None:
    """Create an object, and make its schema stricter."""
    for path, body in ((CRDS, crd(LOOSE)), (OBJECTS, {"apiVersion": "ratchets.example.com/v1", "kind": "Ratchet"})):
        whole = body if path == CRDS else body | {"metadata": {"name": "it"}} | BEFORE
        async with http.post(path, json=whole) as response:
            assert response.status == 201, await response.text()
    patch = json.dumps([{"op": "replace", "path": "/spec/versions", "value": crd(STRICT)["spec"]["versions"]}])
    headers = {"Content-Type": "application/json-patch+json"}
    async with http.patch(f"{CRDS}/{crd(STRICT)['metadata']['name']}", data=patch, headers=headers) as response:
        assert response.status == 200, await response.text()


async def refused(http: aiohttp.ClientSession, changes: dict[str, Any]) -> list[str]:
    """Change the object without keeping it; return the fields that are refused."""
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(f"{OBJECTS}/it?dryRun=All", data=json.dumps(changes), headers=headers) as response:
        answer = await response.json()
    assert response.status in {200, 422}, answer
    return [cause["field"] for cause in answer.get("details", {}).get("causes", [])]


async def test_only_what_changes_is_refused(http: aiohttp.ClientSession) -> None:
    await prepare(http)
    found = {title: await refused(http, changes) for title, (changes, _) in CHANGES.items()}
    assert found == {title: fields for title, (_, fields) in CHANGES.items()}


async def test_a_new_object_is_judged_whole(http: aiohttp.ClientSession) -> None:
    await prepare(http)
    body = {"apiVersion": "ratchets.example.com/v1", "kind": "Ratchet", "metadata": {"name": "new"}} | BEFORE
    async with http.post(OBJECTS, json=body) as response:
        causes = (await response.json())["details"]["causes"]
    assert {cause["field"].partition(".")[0].partition("[")[0] for cause in causes} == {*BEFORE, "<nil>"}
