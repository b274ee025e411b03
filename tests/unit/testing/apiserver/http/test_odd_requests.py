"""Requests that few clients send get the answers of a real kube-apiserver 1.36."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
UNFINISHED = "error decoding patch: unexpected end of JSON input"
OTHER_KEY = "/registry/configmaps/default/m, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed"
EPHEMERAL = {"name": "e", "image": "registry.example.com/e:v1"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    server = ApiServer()
    server.create(build.config_map("m", "default"))
    server.create(build.pod("p", "default"))
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "code", "why"),
    [
        ("sendInitialEvents=true", 422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ("resourceVersionMatch=Foo", 422, 'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""]'),
        ("watch=true&continue=abc", 422, "resourceVersionMatch is forbidden when continue is provided"),
        ("continue=abc", 400, "continue key is not valid: invalid character 'i' looking for beginning of value"),
        (f"continue={token(v='x', rv=1, start='a')}", 400, "server does not recognize this encoded version x"),
        (f"continue={token(v='meta.k8s.io/v1', rv=0, start='a')}", 400, "incorrect encoded start resourceVersion"),
        (f"continue={token(v='meta.k8s.io/v1', rv=1, start='')}", 400, "encoded start key empty"),
        ("labelSelector=%C3%A9", 400, 'unable to parse requirement: <nil>: Invalid value: "é": name part must consist'),
        ("labelSelector=a%3D" + "x" * 64, 400, "must be no more than 63 bytes"),
    ],
)
async def test_a_list_is_refused(http: aiohttp.ClientSession, query: str, code: int, why: str) -> None:
    async with http.get(f"{MAPS}?{query}") as answer:
        told = await answer.json()
    assert answer.status == code
    assert why in told["message"]


@pytest.mark.parametrize(
    ("path", "media", "body", "code", "why"),
    [
        (f"{MAPS}/m", JSON_PATCH, "{", 400, UNFINISHED),
        (f"{MAPS}/m", MERGE, "", 400, UNFINISHED),
        (f"{MAPS}/m", STRATEGIC, "{", 400, "unexpected end of JSON input"),
        (f"{MAPS}/m", MERGE, '{"metadata":{"name":null}}', 400, "(m based on URL) was undeterminable"),
        (
            f"{MAPS}/m?fieldManager={'x' * 129}",
            APPLY,
            "{}",
            422,
            "fieldManager: Too long: may not be more than 128",
        ),
        (f"{MAPS}/m?fieldManager=a%01", APPLY, "{}", 422, r'"a\x01": invalid character U+0001 (at position 1)'),
        (
            f"{PODS}/p/ephemeralcontainers",
            STRATEGIC,
            json.dumps({"spec": {"ephemeralContainers": [EPHEMERAL | {"targetContainerName": "none"}]}}),
            422,
            'spec.ephemeralContainers[0].targetContainerName: Not found: "none"',
        ),
        (
            f"{PODS}/p/ephemeralcontainers",
            STRATEGIC,
            json.dumps({"spec": {"ephemeralContainers": [EPHEMERAL | {"resources": {"limits": {"cpu": "1"}}}]}}),
            422,
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ],
)
async def test_a_patch_is_refused(
    http: aiohttp.ClientSession, path: str, media: str, body: str, code: int, why: str
) -> None:
    async with http.patch(path, data=body, headers={"Content-Type": media}) as answer:
        told = await answer.json()
    assert (answer.status, why in told["message"]) == (code, True), told["message"]


async def test_null_patches_nothing(http: aiohttp.ClientSession) -> None:
    for media in (JSON_PATCH, STRATEGIC):
        async with http.patch(f"{MAPS}/m", data="null", headers={"Content-Type": media}) as answer:
            assert answer.status == 200


async def test_an_ephemeral_container_is_neither_changed_nor_removed(http: aiohttp.ClientSession) -> None:
    path, headers = f"{PODS}/p/ephemeralcontainers", {"Content-Type": MERGE}
    for containers, code in (([EPHEMERAL], 200), ([EPHEMERAL | {"image": "other"}], 422), ([], 422)):
        body = json.dumps({"spec": {"ephemeralContainers": containers}})
        async with http.patch(path, data=body, headers=headers) as answer:
            assert answer.status == code


async def test_a_write_to_an_object_of_another_uid_names_its_place_in_etcd(http: aiohttp.ClientSession) -> None:
    async with http.put(f"{MAPS}/m", json={"metadata": {"name": "m", "uid": "x"}}) as answer:
        told = await answer.json()
    assert answer.status == 409
    assert OTHER_KEY in told["message"]


async def test_a_collection_is_deleted_up_to_its_limit(http: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        await http.post(MAPS, json={"metadata": {"name": name}})
    async with http.delete(f"{MAPS}?limit=2") as answer:
        assert [one["metadata"]["name"] for one in (await answer.json())["items"]] == ["a", "b"]
    async with http.get(MAPS) as answer:
        assert [one["metadata"]["name"] for one in (await answer.json())["items"]] == ["m"]
