"""A FastAPI application with informers: its life, its endpoints, the answers from the cache, its health."""

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, get_args

import msgspec
import pytest
from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from kinformer import (
    AlreadyStartedError,
    Backoff,
    Client,
    ClusterConfig,
    ConnectError,
    Labels,
    Lister,
    Namespaces,
    Resource,
    Scope,
    SharedInformer,
    SharedInformerFactory,
    UnknownResourceError,
)
from kinformer.cache.storage import Storage
from kinformer.custom_resources import CustomResource, ObjectMeta, custom_resource
from kinformer.integrations.fastapi import Informers, event_response, list_response, object_response
from kinformer.resources import CONFIGMAPS, EVENTS, SECRETS
from kinformer.testing import ApiServer, build
from tests import storages
from tests.integrations.conftest import config_map, serving, watching


async def test_informers_live_as_long_as_the_application_and_leave_nothing_behind(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    informers = Informers(client=connect)
    pods = informers.informer("pods")
    before = asyncio.all_tasks()
    async with serving(FastAPI(lifespan=informers.lifespan)):
        informer = await pods()
        assert informer.has_synced, "the application has started before its caches were whole"
        assert len(api.open_watches) == 1
    assert informer.stopped
    assert asyncio.all_tasks() == before
    async with asyncio.timeout(60):
        while api.connections:
            await asyncio.sleep(0.01)
    with pytest.raises(HTTPException, match=r"lifespan=informers\.lifespan") as refused:
        await pods()
    assert refused.value.status_code == 503


async def test_an_application_can_be_started_again(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a"))
    informers = Informers(client=connect)
    lister = informers.lister(CONFIGMAPS)
    app = FastAPI(lifespan=informers.lifespan)
    for _ in range(2):
        async with serving(app):
            assert (await lister()).get("a", "default") is not None


async def test_the_lifespan_composes_with_the_applications_own(connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    pods = informers.informer("pods")
    seen: list[bool] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append((await pods()).has_synced)
        yield {"greeting": "hello"}
        seen.append((await pods()).stopped)

    app = FastAPI(lifespan=informers.around(own))

    @app.get("/")
    async def greeting(request: Request) -> str:
        return str(request.state.greeting)

    async with serving(app) as served:
        assert await served.json("/") == "hello"
    assert seen == [True, False]


async def test_the_factory_is_made_as_the_application_likes(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a", node="n1"))
    added: list[str] = []

    def make(client: Client) -> SharedInformerFactory:
        factory = SharedInformerFactory(client, namespace="default")
        maps = factory.core.v1.configmaps
        maps.add_indexers({"node": lambda obj: [obj["data"].get("node", "")]})
        maps.add_event_handler(on_add=lambda obj: added.append(obj.name))
        return factory

    informers = Informers(make, client=connect)
    lister = informers.lister("configmaps")
    async with serving(FastAPI(lifespan=informers.lifespan)):
        assert [obj.name for obj in (await lister()).by_index("node", "n1")] == ["a"]
        assert len(informers.factory.informers) == 1
        assert added == ["a"]


async def test_one_set_of_informers_is_for_one_application(connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    async with informers.lifespan(None):
        with pytest.raises(AlreadyStartedError):
            async with informers.lifespan(None):
                pass


async def test_a_request_uses_an_informer_of_its_tenant_which_ends_after_the_last_one(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    for tenant in ("team-a", "team-b"):
        api.create(build.namespace(tenant))
        api.create(config_map("x", tenant))

    def of_tenant(tenant: str) -> Scope:
        return Namespaces(tenant)

    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/{tenant}/maps")
    async def keys(maps: Annotated[Lister, Depends(informers.use(CONFIGMAPS, of_tenant, grace=0))]) -> list[str]:
        assert len(informers.factory.informers) == 1
        return [str(obj.key) for obj in maps.list()]

    async with serving(app) as served:
        for tenant in ("team-a", "team-b"):
            assert await served.json(f"/{tenant}/maps") == [f"{tenant}/x"]
            async with asyncio.timeout(60):
                while informers.factory.informers:
                    await asyncio.sleep(0.01)
        status, _, body = await served.get("/Team_B/maps")
        assert (status, b"Team_B" in body) == (400, True)


async def test_the_informer_of_a_request_is_in_use_until_its_events_end(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.create(config_map("x"))
    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)

    def of_tenant(tenant: str) -> Scope:
        return Namespaces(tenant)

    OfTenant = Annotated[SharedInformer, Depends(informers.use_informer(CONFIGMAPS, of_tenant, grace=0))]  # noqa: N806

    @app.get("/{tenant}/watch")
    async def watch(request: Request, maps: OfTenant) -> Response:
        return event_response(maps, request)

    async with serving(app) as served:
        async with watching(served, "/default/watch") as browser:
            assert [each.event for each in await browser.until("synced")] == ["reset", "added", "synced"]
            (informer,) = informers.factory.informers
            api.create(config_map("y"))
            assert (await browser.next()).data["metadata"]["name"] == "y"
            assert [*informers.factory.informers] == [informer]
        async with asyncio.timeout(60):
            while informers.factory.informers:
                await asyncio.sleep(0.01)


def test_a_response_of_a_lister_is_refused_where_it_is_made() -> None:
    factory = SharedInformerFactory(Client(ClusterConfig.for_server("http://127.0.0.1:1")))
    lister: Any = factory.informer("configmaps").lister
    request = Request({"type": "http", "headers": []})
    for make in (event_response, list_response, functools.partial(object_response, name="a")):
        with pytest.raises(TypeError, match=r"takes an informer, not a Lister: .* informers\.use_informer"):
            make(lister, request)


async def test_a_request_that_has_no_scope_or_no_cache_is_refused_with_the_reason(api: ApiServer) -> None:
    api.tokens["token"] = "reader"
    api.deny("reader", "*", "configmaps", "shut")

    async def of_request(request: Request, labels: str = "") -> Scope:
        if request.path_params["tenant"] == "stranger":
            raise HTTPException(403, "not yours")
        return Namespaces(request.path_params["tenant"]) & Labels(labels)

    informers = Informers(client=lambda: Client(ClusterConfig.for_server(api.url, token="token")))
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/{tenant}/now")
    async def now(_: Annotated[Lister, Depends(informers.use(CONFIGMAPS, of_request, timeout=0))]) -> None: ...

    @app.get("/{tenant}/maps")
    async def maps(_: Annotated[Lister, Depends(informers.use(CONFIGMAPS, of_request, timeout=600))]) -> None: ...

    async with serving(app) as served:
        for path, status, reason in (
            ("stranger/maps", 403, "not yours"),
            ("a/maps?labels=b!!", 400, "b!!"),
            ("a/now", 503, "not in sync yet"),
            ("shut/maps", 503, "not in sync yet"),
        ):
            answered, _, body = await served.get(f"/{path}")
            assert (answered, reason in json.loads(body)["detail"]) == (status, True)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"namespace": "a"}, TypeError, "put namespace into it"),
        ({"grace": -1}, ValueError, "grace=-1"),
        ({"storage": "tight"}, ValueError, "tight"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_what_no_request_could_use_is_refused_where_it_is_written(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Informers().use("pods", Scope.nothing, **settings)


def test_what_cannot_be_watched_is_told_where_it_is_written() -> None:
    with pytest.raises(UnknownResourceError, match="widgets"):
        Informers().lister("widgets")


async def test_endpoints_are_given_typed_listers_and_informers(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a", "default", color="red"))
    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)
    maps = informers.lister("configmaps")
    informer = informers.informer("configmaps", namespace="default", label_selector="app=web")
    threads: list[threading.Thread] = []

    @app.get("/plain/{name}")
    def plain(name: str, lister: Annotated[Lister, Depends(maps)]) -> dict[str, Any]:
        threads.append(threading.current_thread())
        found = lister.get(name, "default")
        return {} if found is None else dict(found["data"])

    @app.get("/size")
    async def size(of: Annotated[SharedInformer, Depends(informer)]) -> int:
        return len(of.lister)

    async with serving(app) as served:
        assert await served.json("/plain/a") == {"color": "red"}
        assert await served.json("/size") == 1
    assert threads[0] is not threading.main_thread()


async def test_plain_endpoints_read_in_threads_while_the_cache_changes(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/names")
    def names(lister: Annotated[Lister, Depends(informers.lister("configmaps"))]) -> list[str]:
        for obj in lister.list(namespace="default", selector="app=web"):
            assert obj["data"]["name"] == obj.name
        return sorted(key.name for key in {obj.key for obj in lister.list()})

    async with serving(app) as served, asyncio.TaskGroup() as tasks:

        async def write() -> None:
            for turn in range(10):
                for number in range(20):
                    api.create(config_map(f"m-{turn}-{number}") | {"data": {"name": f"m-{turn}-{number}"}})
                await asyncio.sleep(0.001)
                for number in range(20):
                    api.delete("v1", "ConfigMap", f"m-{turn}-{number}", "default")

        writing = tasks.create_task(write())

        async def read() -> None:
            while not writing.done():
                await served.json("/names")

        for _ in range(8):
            tasks.create_task(read())


async def test_an_endpoint_is_not_called_before_its_cache_is_whole(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.faults.fail_next(None, status=403, resource="configmaps")
    informers = Informers(client=connect, sync_timeout=0.05)
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("configmaps"))
    app.include_router(informers.health())

    @app.get("/count")
    async def count(lister: Annotated[Lister, Depends(informers.lister("configmaps"))]) -> int:
        return len(lister)

    async with serving(app) as served:
        for path in ("/count", "/configmaps", "/configmaps/default/a", "/readyz"):
            status, headers, body = await served.get(path)
            assert (status, headers["retry-after"]) == (503, "1"), path
            assert b"not in sync yet" in body
        assert (await served.get("/healthz"))[0] == 200
        api.faults.clear()
        informers.factory.core.v1.configmaps.reconnect()
        await informers.factory.wait_for_cache_sync(10)
        assert await served.json("/count") == 0
        assert (await served.get("/readyz"))[0] == 200


async def test_health_says_why_and_nothing_confidential(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a", password="hunter2"))
    api.faults.fail_next(None, status=403, resource="pods")
    informers = Informers(client=connect, sync_timeout=0.05)
    informers.informer("pods")
    informers.informer("configmaps")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.health())
    async with serving(app) as served:
        status, _, body = await served.get("/readyz")
        said = json.loads(body)
        assert (status, said["status"]) == (503, "unavailable")
        assert said["reasons"] == ["pods.v1: not in sync yet: ForbiddenError 403"]
        assert said["informers"]["configmaps.v1"]["synced"]
        assert said["informers"]["configmaps.v1"]["objects"] >= 1
        assert said["informers"]["pods.v1"]["lastError"] == "ForbiddenError 403"
        assert b"hunter2" not in body
        assert b"127.0.0.1" not in body
        assert (await served.get("/healthz"))[0] == 200
        await informers.factory.core.v1.configmaps.stop()
        assert (await served.get("/healthz"))[0] == 200, "it was meant to stop"


async def test_an_informer_that_gives_up_is_a_reason_for_a_new_process(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.faults.fail_next(None, status=500, resource="pods")
    quick = Backoff(initial=0.01, maximum=0.02)
    informers = Informers(
        lambda client: SharedInformerFactory(client, give_up_after=0.05, backoff=quick), client=connect, sync_timeout=10
    )
    pods = informers.informer("pods")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.health())
    async with serving(app) as served:
        for path in ("/healthz", "/readyz"):
            status, _, body = await served.get(path)
            assert (status, json.loads(body)["reasons"]) == (503, ["pods.v1: gave up: ServerError 500"])
        # Who asks for it again gets a new one, which the page tells of.
        api.faults.clear()
        await (await pods()).synced(10)
        assert (await served.get("/healthz"))[0] == 200


async def test_ready_can_mean_fresh(api: ApiServer, connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    informers.informer("pods")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.health(max_age=0.05), prefix="/strict")
    app.include_router(informers.health(max_age=600), prefix="/lenient")
    app.include_router(informers.health())
    async with serving(app) as served, api.faults.down():
        async with asyncio.timeout(60):
            while (await served.get("/strict/readyz"))[0] == 200:
                await asyncio.sleep(0.01)
        _, _, body = await served.get("/strict/readyz")
        assert "the server has been silent for" in json.loads(body)["reasons"][0]
        assert (await served.get("/lenient/readyz"))[0] == 200
        assert (await served.get("/readyz"))[0] == 200


async def test_no_api_server_stops_an_application_from_starting(unused_tcp_port: int) -> None:
    from kinformer import ClusterConfig

    server = f"http://127.0.0.1:{unused_tcp_port}"
    informers = Informers(client=lambda: Client(ClusterConfig.for_server(server)), sync_timeout=0.1)
    pods = informers.informer("pods")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.health())
    async with serving(app) as served:
        status, _, body = await served.get("/readyz")
        assert status == 503
        assert ConnectError.__name__ in json.loads(body)["reasons"][0]
        assert not (await pods()).has_synced


# ------------------------------------------------------------------------------------------ answers from the cache


async def test_objects_are_answered_byte_for_byte(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a", greeting="héllo"))
    informers = Informers(client=connect)
    maps, informer = informers.lister("configmaps"), informers.informer("configmaps")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("configmaps", "nodes"))
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    async with serving(app) as served:
        obj = (await maps()).get("a", "default")
        assert obj is not None
        status, headers, body = await served.get("/configmaps/default/a")
        assert (status, body) == (200, obj.to_json())
        assert headers["content-type"] == "application/json"
        assert headers["etag"] == f'"{obj.resource_version}"'
        assert (await served.json("/nodes/n1"))["kind"] == "Node"
        status, headers, body = await served.get("/configmaps/default/a", If_None_Match=headers["etag"])
        assert (status, body) == (304, b"")
        status, _, body = await served.get("/configmaps/default/nothing")
        assert status == 404
        assert json.loads(body)["message"] == 'configmaps "nothing" not found'
        version = api.update(config_map("a", greeting="bye"))["metadata"]["resourceVersion"]
        await (await informer()).wait_for(
            "a", lambda obj: bool(obj and obj.resource_version == version), 10, namespace="default"
        )
        assert (await served.get("/configmaps/default/a", If_None_Match=f'"{obj.resource_version}"'))[0] == 200


async def test_lists_are_those_of_an_api_server(api: ApiServer, connect: Callable[[], Client]) -> None:
    for name in ("c", "a", "b"):
        api.create(config_map(name, app="web" if name != "b" else "db"))
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    api.create(config_map("d", "other"))
    informers = Informers(client=connect)
    informer = informers.informer("configmaps")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("configmaps"))

    def names(body: Any) -> list[str]:
        return [item["metadata"]["name"] for item in body["items"] if not item["metadata"]["name"].startswith("kube-")]

    async with serving(app) as served:
        everything = await served.json("/configmaps")
        assert (everything["kind"], everything["apiVersion"]) == ("ConfigMapList", "v1")
        assert everything["metadata"] == {"resourceVersion": (await informer()).resource_version}
        assert sorted(names(everything)) == ["a", "b", "c", "d"]
        cached = {obj.name: obj.to_dict() for obj in (await informer()).lister}
        for item in everything["items"]:
            assert {"kind": "ConfigMap", "apiVersion": "v1"} | item == cached[item["metadata"]["name"]]
        assert sorted(names(await served.json("/configmaps?namespace=default&labelSelector=app%3Dweb"))) == ["a", "c"]
        assert names(await served.json("/configmaps?namespace=nowhere")) == []
        assert (await served.json("/configmaps?namespace=nowhere"))["items"] == []

        found, token = [], ""
        while True:
            page = await served.json(f"/configmaps?limit=2&labelSelector=app&continue={token}")
            assert len(page["items"]) <= 2
            found += names(page)
            token = page["metadata"].get("continue", "")
            if not token:
                break
            assert page["metadata"]["remainingItemCount"] > 0
        assert found == ["a", "b", "c", "d"]

        for query, why in (
            ("labelSelector=a+b", b"label selector"),
            ("continue=nonsense", b"no token"),
        ):
            status, _, body = await served.get(f"/configmaps?{query}")
            assert (status, json.loads(body)["reason"]) == (400, "BadRequest")
            assert why in body
        assert (await served.get("/configmaps?limit=-1"))[0] == 422


async def test_a_compact_cache_answers_with_the_same_bytes(
    api: ApiServer, connect: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        api.create(config_map(f"m{number}", text=f"hello {number} " * 50))
    answers = []
    for storage in get_args(Storage):
        storages.use(storage, monkeypatch)
        informers = Informers(client=connect)
        maps = informers.informer("configmaps")
        app = FastAPI(lifespan=informers.lifespan)
        app.include_router(informers.router("configmaps"))
        async with serving(app) as served:
            assert (await maps()).indexer.storage_status.storage == storage
            answers.append([await served.json(f"/configmaps{path}") for path in ("?limit=100", "/default/m7")])
    assert answers[0] == answers[1]


async def test_a_list_is_sent_once_as_long_as_nothing_changes(api: ApiServer, connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    informer = informers.informer("configmaps")
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("configmaps"))
    async with serving(app) as served:
        _, headers, _ = await served.get("/configmaps")
        status, _, body = await served.get("/configmaps", If_None_Match=headers["etag"])
        assert (status, body) == (304, b"")
        assert (await served.get("/configmaps", If_None_Match=f'"x", {headers["etag"]}'))[0] == 304
        api.create(config_map("new"))
        await (await informer()).wait_for("new", None, 10, namespace="default")
        status, _, body = await served.get("/configmaps", If_None_Match=headers["etag"])
        assert status == 200
        assert b'"new"' in body


async def test_long_lists_let_others_have_their_turn(api: ApiServer, connect: Callable[[], Client]) -> None:
    for number in range(40):
        api.create(config_map(f"big-{number:02}", text="x" * 100_000))
    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("configmaps"))

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    async with serving(app) as served:
        async with served.http.get(served.url + "/configmaps") as response:
            first = await response.content.read(1000)
            assert await served.json("/ping") == "pong"
            rest = await response.read()
        items = json.loads(first + rest)["items"]
    assert len([item for item in items if item["metadata"]["name"].startswith("big-")]) == 40


async def test_secrets_are_served_only_where_that_is_said(api: ApiServer, connect: Callable[[], Client]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    api.create(secret | {"data": {"password": "aHVudGVyMg=="}})
    informers = Informers(client=connect)
    with pytest.raises(ValueError, match="allow_secrets=True"):
        informers.router("pods", SECRETS)
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/leak")
    async def leak(request: Request, secrets: Annotated[SharedInformer, Depends(informers.informer(SECRETS))]) -> Any:
        with pytest.raises(ValueError, match="allow_secrets=True"):
            return list_response(secrets, request)
        return "refused"

    app.include_router(informers.router(SECRETS, allow_secrets=True), prefix="/meant")
    async with serving(app) as served:
        assert await served.json("/leak") == "refused"
        assert (await served.json("/meant/secrets/default/s"))["data"] == {"password": "aHVudGVyMg=="}


def test_two_resources_of_one_name_are_not_served_side_by_side() -> None:
    with pytest.raises(ValueError, match="two resources are named events"):
        Informers().router(EVENTS, Resource("events.k8s.io", "v1", "events", "Event"))


async def test_the_routes_are_in_the_applications_openapi(connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router("pods", "nodes"), prefix="/cache")
    app.include_router(informers.health())
    paths = app.openapi()["paths"]
    assert {*paths} == {
        *("/cache/pods", "/cache/pods/{namespace}/{name}", "/cache/watch/pods"),
        *("/cache/nodes", "/cache/nodes/{name}", "/cache/watch/nodes"),
        *("/healthz", "/readyz"),
    }
    listed = {one["name"] for one in paths["/cache/pods"]["get"]["parameters"]}
    assert listed == {"namespace", "labelSelector", "fieldSelector", "limit", "continue"}
    assert "application/json" in paths["/cache/pods"]["get"]["responses"]["200"]["content"]
    assert "text/event-stream" in paths["/cache/watch/pods"]["get"]["responses"]["200"]["content"]


@custom_resource(group="example.com", version="v1", kind="Website")
class Website(CustomResource, msgspec.Struct):
    """A website."""

    metadata: ObjectMeta
    domain: str
    tier: Literal["free", "paid"] | None = None


async def test_a_class_is_served_read_and_described_by_its_schema(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.create(Website.crd())
    api.create(
        {"apiVersion": "example.com/v1", "kind": "Website", "metadata": {"name": "a", "namespace": "default"},
         "domain": "example.com"}
    )  # fmt: skip
    informers = Informers(client=connect)
    lister = informers.lister(Website)
    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.router(Website))
    async with serving(app) as served:
        site = (await lister()).get("a", "default")
        assert site is not None
        assert site.domain == "example.com"
        assert (await served.json("/websites/default/a"))["domain"] == "example.com"
        (listed,) = (await served.json("/websites"))["items"]
        assert listed["metadata"]["name"] == "a"
    described = app.openapi()["paths"]
    one = described["/websites/{namespace}/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert one["properties"]["domain"] == {"type": "string"}
    assert one["properties"]["tier"] == {"type": ["string", "null"], "enum": ["free", "paid", None]}
    assert set(one["required"]) == {"apiVersion", "kind", "metadata", "domain"}
    whole = described["/websites"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert whole["properties"]["items"]["items"] == one
