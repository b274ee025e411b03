"""The same for Starlette: routes in place of a router, plain functions in place of dependencies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from kinformer.integrations.starlette import Informers, object_response, synced_lister
from kinformer.resources import CONFIGMAPS
from tests.integrations.conftest import config_map, serving, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from kinformer import Client
    from kinformer.testing import ApiServer


async def test_routes_serve_caches_and_health(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a"))
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    informers = Informers(client=connect)
    routes = [Mount("/cache", routes=informers.routes(CONFIGMAPS, "nodes")), *informers.health_routes(max_age=600)]
    async with serving(Starlette(routes=routes, lifespan=informers.lifespan)) as served:
        assert (await served.json("/cache/configmaps/default/a"))["metadata"]["name"] == "a"
        assert (await served.json("/cache/nodes/n1"))["kind"] == "Node"
        listed = await served.json("/cache/configmaps?labelSelector=app%3Dweb&limit=5&namespace=default")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
        async with watching(served, "/cache/watch/configmaps?namespace=default&labelSelector=app%3Dweb") as browser:
            assert [message.event for message in await browser.until("synced")] == ["reset", "added", "synced"]
        for path in ("/healthz", "/readyz"):
            assert (await served.json(path))["status"] == "ok"
        for query in ("limit=many", "limit=-1", "labelSelector=a+b", "continue=x"):
            status, _, body = await served.get(f"/cache/configmaps?{query}")
            assert (status, json.loads(body)["reason"]) == (400, "BadRequest"), query
        status, _, body = await served.get("/cache/nodes?namespace=default")
        assert (status, json.loads(body)["message"]) == (400, "nodes are in no namespace")
        async with served.http.head(served.url + "/cache/configmaps/default/a") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_endpoints_ask_for_informers_by_a_call(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a"))
    informers = Informers(client=connect)
    maps = informers.informer("configmaps", namespace="default")

    async def names(request: Request) -> Response:
        return JSONResponse([obj.name for obj in synced_lister(maps())])

    async def one(request: Request) -> Response:
        return object_response(maps(), request, request.path_params["name"])

    app = Starlette(routes=[Route("/names", names), Route("/one/{name}", one)], lifespan=informers.lifespan)
    async with serving(app) as served:
        assert await served.json("/names") == ["a"]
        assert (await served.json("/one/a"))["metadata"]["namespace"] == "default"


async def test_an_empty_answer_is_not_given_in_place_of_none(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.faults.fail_next(None, status=503)
    informers = Informers(client=connect, sync_timeout=0)
    maps = informers.informer("configmaps")
    async with informers.lifespan(None):
        with pytest.raises(HTTPException) as refused:
            synced_lister(maps())
        assert refused.value.status_code == 503
