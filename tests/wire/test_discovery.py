"""Which resources a server has: from what a real one answered, aggregated and plain."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer.client import Client
from kinformer.errors import ForbiddenError, NotFoundError, NotStartedError, ProtocolError, UnknownResourceError
from kinformer.resources import (
    BUILTIN,
    CLUSTERTRUSTBUNDLES,
    DEPLOYMENTS,
    DEVICETAINTRULES,
    PODCERTIFICATEREQUESTS,
    PODS,
    STORAGEVERSIONMIGRATIONS,
    Resource,
)
from tests.paths import DATA

if TYPE_CHECKING:
    from tests.wire.conftest import Scripted

SINCE_1_37 = {CLUSTERTRUSTBUNDLES, DEVICETAINTRULES, PODCERTIFICATEREQUESTS, STORAGEVERSIONMIGRATIONS}


WIDGET = {
    "resource": "widgets",
    "responseKind": {"group": "example.com", "version": "v1", "kind": "Widget"},
    "scope": "Namespaced",
    "singularResource": "widget",
    "verbs": ["get", "list", "watch"],
    "shortNames": ["wd"],
    "categories": ["all"],
    "subresources": [{"subresource": "status"}],
}


def aggregated(*groups: tuple[str, str, list[Any]]) -> dict[str, Any]:
    items = [
        {"metadata": {"name": g}, "versions": [{"version": v, "resources": r, "freshness": "Current"}]}
        for g, v, r in groups
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


class Cluster:
    """Answers discovery; `documents` by path."""

    def __init__(self, documents: dict[str, Any]) -> None:
        self.documents = documents

    def __call__(self, request: web.Request) -> web.Response:
        if request.path not in self.documents:
            return web.Response(status=404, text="404 page not found")
        document = self.documents[request.path]
        return document() if callable(document) else web.json_response(document)


def with_widgets() -> Cluster:
    return Cluster({"/api": aggregated(("", "v1", [])), "/apis": aggregated(("example.com", "v1", [WIDGET]))})


async def test_built_in_names_need_no_server(scripted: Scripted, client: Client) -> None:
    assert await client.resolve("po") == PODS
    assert await client.resolve("deployments.apps") == DEPLOYMENTS
    assert scripted.seen == []


@pytest.mark.parametrize("name", ["widgets", "widget", "wd", "Widget", "widgets.example.com", "widgets.v1.example.com"])
async def test_a_custom_resource_is_found_by_each_of_its_names(scripted: Scripted, client: Client, name: str) -> None:
    scripted.answer = with_widgets()
    found = await client.resolve(name)
    assert found == Resource("example.com", "v1", "widgets", "Widget")
    assert (found.kind, found.namespaced, found.singular, found.short_names, found.in_all, found.watchable) == (
        "Widget",
        True,
        "widget",
        ("wd",),
        True,
        True,
    )
    assert "APIGroupDiscoveryList" in scripted.seen[0].headers["Accept"]


async def test_an_old_server_is_asked_group_by_group(scripted: Scripted, client: Client) -> None:
    verbs = ["get", "list", "watch"]
    scripted.answer = Cluster(
        {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {
                "kind": "APIGroupList",
                "groups": [
                    {
                        "name": "example.com",
                        "versions": [
                            {"groupVersion": "example.com/v2", "version": "v2"},
                            {"groupVersion": "example.com/v1", "version": "v1"},
                        ],
                        "preferredVersion": {"groupVersion": "example.com/v1", "version": "v1"},
                    },
                    {
                        "name": "down.io",
                        "versions": [{"groupVersion": "down.io/v1", "version": "v1"}],
                        "preferredVersion": {},
                    },
                ],
            },
            "/api/v1": {"kind": "APIResourceList", "resources": [{"name": "pods", "kind": "Pod", "verbs": verbs}]},
            "/apis/down.io/v1": lambda: web.Response(status=503, text="no"),
            **{
                f"/apis/example.com/{v}": {
                    "kind": "APIResourceList",
                    "resources": [
                        {
                            "name": "gadgets",
                            "singularName": "gadget",
                            "kind": "Gadget",
                            "namespaced": False,
                            "verbs": verbs,
                        },
                        {"name": "gadgets/status", "kind": "Gadget", "verbs": ["get"]},
                    ],
                }
                for v in ("v1", "v2")
            },
        }
    )
    found = await client.resolve("gadget")
    assert (found.full_name, found.namespaced) == ("gadgets.v1.example.com", False)
    assert (await client.resolve("gadgets.v2.example.com")).version == "v2"
    assert [r.full_name for r in await client.resources()] == [
        PODS.full_name,
        "gadgets.v1.example.com",
        "gadgets.v2.example.com",
    ]
    with pytest.raises(UnknownResourceError, match=r"\(these API groups did not answer: down.io/v1\)"):
        await client.resolve("gizmos")


async def test_an_unknown_name_says_what_was_asked_and_what_is_spelled_alike(
    scripted: Scripted, client: Client
) -> None:
    scripted.answer = with_widgets()
    with pytest.raises(UnknownResourceError) as caught:
        await client.resolve("widgts")
    assert str(caught.value) == f"{client.config.server} has no resource 'widgts'; did you mean widgets.example.com?"
    with pytest.raises(UnknownResourceError, match="did you mean deployments.apps"):
        await client.resolve("deploymets")
    with pytest.raises(UnknownResourceError, match="has no resource 'qqqqqq'$"):
        await client.resolve("qqqqqq")
    with pytest.raises(UnknownResourceError, match="no resource name"):
        await client.resolve(" ")


async def test_what_is_known_is_not_asked_for_again_and_what_is_not_known_is(
    scripted: Scripted, client: Client
) -> None:
    cluster = scripted.answer = Cluster({"/api": aggregated(("", "v1", [])), "/apis": aggregated()})
    with pytest.raises(UnknownResourceError):
        await client.resolve("widgets")
    cluster.documents["/apis"] = aggregated(("example.com", "v1", [WIDGET]))  # the CRD has just been created
    await client.resolve("widgets")
    asked = len(scripted.seen)
    await asyncio.gather(*(client.resolve(name) for name in ("wd", "widget", "widgets")))
    assert len(scripted.seen) == asked == 4


@pytest.mark.looptime
async def test_what_is_known_is_forgotten_after_a_minute(scripted: Scripted, client: Client) -> None:
    scripted.answer = with_widgets()
    await client.resources()
    await asyncio.sleep(59)
    await client.resources()
    assert len(scripted.seen) == 2
    await asyncio.sleep(2)
    await client.resources()
    assert len(scripted.seen) == 4


async def test_many_who_ask_at_once_cost_one_inquiry(scripted: Scripted, client: Client) -> None:
    scripted.answer = with_widgets()
    await asyncio.gather(*(client.resources() for _ in range(20)))
    assert len(scripted.seen) == 2


async def test_discovery_that_is_refused_or_is_none_raises(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}), status=403)
    with pytest.raises(ForbiddenError, match="cannot discover the resources of /api: no"):
        await client.resolve("widgets")
    for body in ('{"kind":"Pod"}', "[]"):
        scripted.says(body)
        with pytest.raises(ProtocolError, match="cannot discover the resources of /api"):
            await client.resources()


async def test_the_schemas_of_a_group_and_version_are_read_from_the_server(scripted: Scripted, client: Client) -> None:
    document = {"components": {"schemas": {"com.example.v1.Widget": {"type": "object"}}}}
    scripted.answer = Cluster({"/openapi/v3/apis/example.com/v1": document, "/openapi/v3/api/v1": {"components": {}}})
    assert await client.openapi("example.com/v1") == document
    assert await client.openapi("v1") == {"components": {}}
    with pytest.raises(NotFoundError):
        await client.openapi("nowhere.io/v1")


async def test_version(scripted: Scripted, client: Client) -> None:
    scripted.says('{\n "major": "1",\n "minor": "36+",\n "gitVersion": "v1.36.0",\n "platform": "linux/amd64"\n}')
    version = await client.version()
    assert (version.number, str(version), version.platform) == ((1, 36), "v1.36.0", "linux/amd64")


async def test_even_a_built_in_name_needs_an_open_client() -> None:
    from kinformer.config import ClusterConfig

    with pytest.raises(NotStartedError):
        await Client(ClusterConfig.for_server("http://127.0.0.1:1")).resolve("pods")


async def test_the_recorded_aggregated_discovery_has_every_built_in_resource(
    scripted: Scripted, client: Client
) -> None:
    def body(name: str) -> dict[str, Any]:
        text = (DATA / f"{name}.json").read_text()
        return json.loads(json.loads(text)["response"]["body"])  # type: ignore[no-any-return]  # JSON

    scripted.answer = Cluster({"/api": body("discovery-aggregated-api"), "/apis": body("discovery-aggregated-apis")})
    found = {r: r for r in await client.resources()}
    # The recorded server has release 1.36.
    assert {resource for resource in BUILTIN if resource not in found} == SINCE_1_37
    for resource in set(BUILTIN) - SINCE_1_37:
        same = found[resource]
        assert (same.kind, same.namespaced, same.singular, same.short_names, same.in_all, same.watchable) == (
            resource.kind,
            resource.namespaced,
            resource.singular,
            resource.short_names,
            resource.in_all,
            resource.watchable,
        ), resource
