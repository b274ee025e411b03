"""Typed bodies over HTTP: protobuf in and out, undeclared fields, OpenAPI documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from kinformer.testing._apiserver.schemas import protobuf
from kinformer.testing._apiserver.schemas.go_types import Types

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TYPES = Types.of()
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PROTOBUF = {"Accept": protobuf.MEDIA_TYPE, "Content-Type": protobuf.MEDIA_TYPE}
CRD = {
    "metadata": {"name": "cogs.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "cogs", "singular": "cog", "kind": "Cog", "listKind": "CogList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        yield session


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template} | spec}


async def test_an_object_goes_in_and_comes_out_as_protobuf(session: aiohttp.ClientSession) -> None:
    body = protobuf.encode({"apiVersion": "apps/v1", "kind": "Deployment"} | deployment(replicas=2), TYPES)
    async with session.post(DEPLOYMENTS, data=body, headers=PROTOBUF) as response:
        assert response.status == 201
        assert response.content_type == protobuf.MEDIA_TYPE
        made = protobuf.decode(await response.read(), TYPES)
    async with session.get(f"{DEPLOYMENTS}/d") as response:
        stored = await response.json()
    assert made["spec"]["replicas"] == stored["spec"]["replicas"] == 2
    assert made["metadata"]["uid"] == stored["metadata"]["uid"]


async def test_a_refusal_is_protobuf_where_protobuf_is_asked_for(session: aiohttp.ClientSession) -> None:
    async with session.get(f"{CONFIGMAPS}/none", headers=PROTOBUF) as response:
        assert response.status == 404
        assert protobuf.decode(await response.read(), TYPES)["reason"] == "NotFound"


async def test_a_list_of_custom_resources_is_json_even_if_protobuf_is_preferred(session: aiohttp.ClientSession) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with session.post(crds, json=CRD) as response:
        assert response.status == 201
    accept = {"Accept": f"{protobuf.MEDIA_TYPE},application/json"}
    async with session.get("/apis/example.com/v1/cogs", headers=accept) as response:
        assert (await response.json())["kind"] == "CogList"


async def test_a_watch_comes_in_frames_of_protobuf(session: aiohttp.ClientSession) -> None:
    async with session.post(CONFIGMAPS, json={"metadata": {"name": "a"}, "data": {"k": "v"}}) as response:
        assert response.status == 201
    query = {"watch": "1", "timeoutSeconds": "1"}
    async with session.get(CONFIGMAPS, params=query, headers={"Accept": protobuf.MEDIA_TYPE}) as response:
        assert response.headers["Content-Type"] == f"{protobuf.MEDIA_TYPE};stream=watch"
        size = int.from_bytes(await response.content.readexactly(4))
        frame = await response.content.readexactly(size)
    assert b"ADDED" in frame
    assert protobuf.decode(frame[frame.index(protobuf.MAGIC) :], TYPES)["data"] == {"k": "v"}


async def test_bytes_that_are_no_protobuf_are_refused(session: aiohttp.ClientSession) -> None:
    async with session.post(CONFIGMAPS, data=b"{}", headers={"Content-Type": protobuf.MEDIA_TYPE}) as response:
        assert response.status == 400
        assert "protobuf" in (await response.json())["message"]


async def test_an_undeclared_field_is_dropped_with_a_warning(session: aiohttp.ClientSession) -> None:
    async with session.post(DEPLOYMENTS, json=deployment(replicass=3)) as response:
        made = await response.json()
        assert response.headers["Warning"] == '299 - "unknown field \\"spec.replicass\\""'
    assert "replicass" not in made["spec"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (json.dumps(deployment(replicass=3)), 'unknown field "spec.replicass"'),
        ('{"metadata":{"name":"b","name":"b"},"spec":{}}', 'duplicate field "metadata.name"'),
        # As a real server: in the order of the body, and nothing below an undeclared field.
        (
            '{"metadata":{"zz":{"a":1,"a":2},"zz":2,"name":"b","name":"b"},"yy":1,"spec":{}}',
            'unknown field "metadata.zz", duplicate field "metadata.name", unknown field "yy"',
        ),
    ],
)
async def test_strict_validation_refuses_it(session: aiohttp.ClientSession, body: str, fault: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{DEPLOYMENTS}?fieldValidation=Strict", data=body, headers=headers) as response:
        assert response.status == 400
        expected = f'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: {fault}'
        assert (await response.json())["message"] == expected


async def test_validation_that_does_not_exist_is_refused(session: aiohttp.ClientSession) -> None:
    async with session.post(f"{DEPLOYMENTS}?fieldValidation=Foo", json=deployment()) as response:
        assert response.status == 422
        assert 'supported values: "", "Ignore", "Strict", "Warn"' in (await response.json())["message"]


async def test_an_undeclared_field_of_a_custom_resource_is_treated_alike(session: aiohttp.ClientSession) -> None:
    async with session.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=CRD):
        pass
    cog = {"apiVersion": "example.com/v1", "kind": "Cog", "metadata": {"name": "c"}, "spec": {"sizes": 1}}
    cogs = "/apis/example.com/v1/namespaces/default/cogs"
    async with session.post(f"{cogs}?fieldValidation=Strict", json=cog) as response:
        assert response.status == 400
        assert 'unknown field "spec.sizes"' in (await response.json())["message"]
    async with session.post(cogs, json=cog) as response:
        assert response.status == 201
        assert response.headers["Warning"] == '299 - "unknown field \\"spec.sizes\\""'


async def test_openapi_has_the_built_in_kinds_and_those_of_crds(session: aiohttp.ClientSession) -> None:
    async with session.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=CRD):
        pass
    async with session.get("/openapi/v3") as response:
        places = (await response.json())["paths"]
    async with session.get(places["apis/apps/v1"]["serverRelativeURL"]) as response:
        schemas = (await response.json())["components"]["schemas"]
        assert "io.k8s.api.apps.v1.Deployment" in schemas
    async with session.get(places["apis/example.com/v1"]["serverRelativeURL"]) as response:
        schemas = (await response.json())["components"]["schemas"]
        assert schemas["com.example.v1.Cog"]["properties"]["spec"]["properties"]["size"] == {"type": "integer"}
    async with session.get("/openapi/v2") as response:
        assert len((await response.json())["definitions"]) > 500
