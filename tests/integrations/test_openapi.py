"""Routes of caches as generated clients and kubectl's selectors see them: schemas, fieldSelector, pages."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from kinformer import Client, SharedInformerFactory
from kinformer.errors import SelectorError
from kinformer.integrations import fastapi, starlette
from kinformer.integrations._fastapi_schemas import Health, Status, list_model, object_model
from kinformer.integrations.starlette import close_event_streams
from kinformer.resources import NAMESPACES, PODS
from kinformer.testing import build
from tests.integrations.conftest import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer.testing import ApiServer
    from tests.integrations.conftest import Served

NODES = ("node-1", "node-2", "")


def indexed(client: Client) -> SharedInformerFactory:
    factory = SharedInformerFactory(client)
    factory.core.v1.pods.add_indexers({"spec.nodeName": lambda pod: [pod.at("spec.nodeName", "")]})
    return factory


@pytest.fixture(params=["fastapi", "starlette"])
async def served(
    request: pytest.FixtureRequest, api: ApiServer, connect: Callable[[], Client]
) -> AsyncIterator[Served]:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    for number, (node, namespace, label) in enumerate(itertools.product(NODES, ("default", "shop"), ("a", "b"))):
        pod = build.pod(f"p{number:02}", namespace=namespace, labels={"app": label}, node=node)
        api.create(pod)
    if request.param == "fastapi":
        informers: Any = fastapi.Informers(indexed, client=connect)
        app: Any = FastAPI(lifespan=informers.lifespan)
        app.include_router(informers.router("pods", "namespaces"))
        app.include_router(informers.health())
    else:
        informers = starlette.Informers(indexed, client=connect)
        routes = [*informers.routes("pods", "namespaces"), *informers.health_routes()]
        app = Starlette(routes=routes, lifespan=informers.lifespan)
    async with serving(app) as running:
        yield running
        close_event_streams()


async def listed(served: Served, **query: str) -> Any:
    async with served.http.get(served.url + "/pods", params=query) as response:
        return response.status, await response.json()


async def names(served: Served, **query: str) -> set[str]:
    status, body = await listed(served, **query)
    assert status == 200, body
    return {pod["metadata"]["name"] for pod in body["items"]}


FIELDS = [
    "",
    "spec.nodeName=node-1",
    "spec.nodeName!=node-1",
    "spec.nodeName=",
    "spec.nodeName!=",
    "spec.nodeName=node-1,spec.nodeName=node-2",
    "spec.nodeName=node-2,metadata.namespace=shop",
    "metadata.name=p03",
    "metadata.name!=p03,spec.nodeName!=node-2",
]


@pytest.mark.parametrize("fields", FIELDS)
async def test_a_field_selector_selects_what_the_api_server_selects(
    served: Served, connect: Callable[[], Client], fields: str
) -> None:
    async with connect() as client:
        for namespace, labels in itertools.product((None, "shop"), ("", "app=a", "app!=a")):
            there = await client.list(PODS, namespace=namespace, label_selector=labels, field_selector=fields)
            query = {"fieldSelector": fields, "labelSelector": labels, "namespace": namespace or ""}
            assert await names(served, **query) == {pod.name for pod in there.items}, (namespace, labels)


async def test_a_field_without_an_index_is_a_bad_request_that_names_those_with_one(served: Served) -> None:
    status, body = await listed(served, fieldSelector="status.phase=Running")
    assert (status, body["reason"]) == (400, "BadRequest")
    assert "metadata.name, metadata.namespace, namespace, spec.nodeName" in body["message"]
    for wrong in ("nonsense", "a=" + "b" * 5000, ",".join(f"metadata.name!=p{n}" for n in range(100))):
        assert (await listed(served, fieldSelector=wrong))[0] == 400


async def test_a_selector_of_a_request_is_a_bad_request_in_an_endpoint_of_ones_own(
    connect: Callable[[], Client],
) -> None:
    informers = fastapi.Informers(client=connect)
    pods = informers.informer("pods")
    app = FastAPI(lifespan=informers.lifespan)
    app.add_exception_handler(SelectorError, fastapi.selector_error)

    @app.get("/mine")
    async def mine(selector: str) -> list[str]:
        return [pod.name for pod in (await pods()).lister.list(selector=selector)]

    async with serving(app) as served:
        assert await served.json("/mine?selector=app%3Dweb") == []
        status, _, body = await served.get("/mine?selector=a+in+(")
        assert status == 400
        Status.model_validate_json(body)


async def test_an_endpoint_may_return_objects_and_keys(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(build.pod("web-0"))
    informers = fastapi.Informers(client=connect)
    pods = informers.informer("pods")
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/objects", response_model=None)
    async def objects() -> Any:
        return (await pods()).lister.list()

    @app.get("/keys", response_model=None)
    async def keys() -> Any:
        return [pod.key for pod in (await pods()).lister]

    async with serving(app) as served:
        assert [pod["metadata"]["name"] for pod in await served.json("/objects")] == ["web-0"]
        assert await served.json("/keys") == ["default/web-0"]


async def test_pages_of_what_is_selected_are_whole(served: Served) -> None:
    query, found, pages = {"fieldSelector": "spec.nodeName!=node-1", "limit": "3"}, [], 0
    while True:
        _, body = await listed(served, **query)
        found += [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in body["items"]]
        pages += 1
        token = body["metadata"].get("continue")
        if not token:
            break
        assert body["metadata"]["remainingItemCount"] == 8 - len(found)
        query["continue"] = token
    assert (len(found), pages) == (8, 3)
    assert found == sorted(set(found))


async def test_every_answer_fits_its_schema(served: Served) -> None:
    pods = await served.json("/pods?limit=2")
    page = list_model(PODS).model_validate(pods)
    assert page.model_dump()["metadata"]["remainingItemCount"] == 10
    object_model(PODS).model_validate(await served.json("/pods/default/p00"))
    list_model(NAMESPACES).model_validate(await served.json("/namespaces"))
    for path in ("/healthz", "/readyz"):
        Health.model_validate(await served.json(path))
    for path in ("/pods?labelSelector=a+in+(", "/pods/default/nothing"):
        status, _, body = await served.get(path)
        assert status in {400, 404}
        Status.model_validate_json(body)


def test_openapi_describes_objects_lists_errors_and_health() -> None:
    informers = fastapi.Informers()
    app = FastAPI()
    app.include_router(informers.router("pods", "namespaces"))
    app.include_router(informers.health())
    schema = app.openapi()

    def of(path: str, code: str) -> Any:
        return schema["paths"][path]["get"]["responses"][code]["content"]["application/json"]["schema"]

    for path, code, name in [
        ("/pods", "200", "PodList"),
        ("/pods", "400", "Status"),
        ("/pods", "503", "Status"),
        ("/pods/{namespace}/{name}", "200", "Pod"),
        ("/pods/{namespace}/{name}", "404", "Status"),
        ("/namespaces/{name}", "200", "Namespace"),
        ("/healthz", "200", "Health"),
        ("/readyz", "503", "Health"),
    ]:
        assert of(path, code) == {"$ref": f"#/components/schemas/{name}"}, (path, code)
    pod = schema["components"]["schemas"]["Pod"]
    assert pod["properties"]["kind"]["const"] == "Pod"
    assert pod["additionalProperties"] is True
    parameters = {each["name"] for each in schema["paths"]["/pods"]["get"]["parameters"]}
    assert parameters == {"namespace", "labelSelector", "fieldSelector", "limit", "continue"}
    stream = schema["paths"]["/watch/pods"]["get"]["responses"]["200"]["content"]
    assert list(stream) == ["text/event-stream"]
