"""Which objects, in the same words at every door: factory, discovery, client, FastAPI, Starlette."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from kinformer import Client, Shard, SharedInformerFactory, UnknownResourceError
from kinformer.client import HttpListerWatcher
from kinformer.errors import SelectorError
from kinformer.informer.settings import InformerSettings
from kinformer.informer.typed import TypedInformer, TypedLister
from kinformer.integrations import fastapi, starlette
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.resources import CONFIGMAPS, NODES, PODS
from kinformer.scope import Namespaces, Scope, ScopedResource, ScopeSettings
from kinformer.testing import build
from tests.integrations.conftest import config_map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer.testing import ApiServer

SCOPE = list(ScopeSettings.__annotations__)
SETTINGS = list(InformerSettings.__annotations__)

DOORS: dict[str, Any] = {
    "factory.informer": SharedInformerFactory.informer,
    "factory.discover": SharedInformerFactory.discover,
    "fastapi lister": fastapi.Informers.lister,
    "fastapi informer": fastapi.Informers.informer,
    "starlette informer": starlette.Informers.informer,
}
SCOPE_DOORS: dict[str, Any] = {
    "Scope.of": Scope.of,
    "Client.list": Client.list,
    "Client.list_watch": Client.list_watch,
    "HttpListerWatcher": HttpListerWatcher.__init__,
}


def names(door: Any) -> list[str]:
    """The keyword arguments of a door, those of an unpacked TypedDict included."""
    found: list[str] = []
    for name, parameter in inspect.signature(door).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            assert "InformerSettings" in str(parameter.annotation)
            found += SETTINGS
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("door", DOORS)
def test_each_door_to_an_informer_takes_every_setting_and_a_type(door: str) -> None:
    assert {*SETTINGS, "type"} <= {*names(DOORS[door])}
    assert {*names(DOORS[door])} - {*SETTINGS, "type"} <= {"self", "resource", "name"}


@pytest.mark.parametrize("door", SCOPE_DOORS)
def test_each_door_to_objects_takes_every_part_of_a_scope(door: str) -> None:
    assert {*SCOPE} <= {*names(SCOPE_DOORS[door])}


def test_a_scope_says_each_setting() -> None:
    shard = Shard(0, of=2)
    scope = Scope.of(namespace="shop", label_selector="a=1", field_selector="b=2", metadata_only=True, shard=shard)
    assert {name: getattr(scope, name) for name in SCOPE} == {
        "namespace": "shop",
        "label_selector": LabelSelector.parse("a=1"),
        "field_selector": FieldSelector.parse("b=2"),
        "metadata_only": True,
        "shard": shard,
    }


def test_scopes_are_equal_by_meaning_and_say_what_they_are() -> None:
    one = Scope.of(namespace="shop", label_selector="a=1,b=2", field_selector={"spec.nodeName": "n"})
    other = Scope.of(namespace="shop", label_selector={"b": "2", "a": "1"}, field_selector="spec.nodeName==n")
    assert one == other
    assert hash(one) == hash(other)
    assert str(ScopedResource(PODS, one)) == "pods.v1 in shop (a=1,b=2; spec.nodeName=n)"
    assert str(ScopedResource(PODS)) == "pods.v1"
    shard = Scope.of(metadata_only=True, shard=Shard(0, of=2))
    assert str(ScopedResource(NODES, shard)) == "nodes.v1 (metadata only; shard 1 of 2)"


WRONG: list[tuple[Any, Mapping[str, Any], type[Exception], str]] = [
    ("pdos", {}, UnknownResourceError, "pdos"),
    ("pods", {"label_selector": "a in ("}, SelectorError, "label selector"),
    ("pods", {"field_selector": "nonsense"}, SelectorError, "field selector"),
    ("nodes", {"namespace": "shop"}, ValueError, "cluster-scoped"),
    ("pods", {"storage": "tiny"}, ValueError, "tiny"),
    ("pods", {"labels": "a=b"}, TypeError, "label"),
    ("bindings", {}, UnknownResourceError, "cannot be"),
]


@pytest.mark.parametrize(("resource", "settings", "error", "text"), WRONG, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_a_wrong_setting_is_refused_before_the_application_starts(
    framework: str, resource: Any, settings: Mapping[str, Any], error: type[Exception], text: str
) -> None:
    informers: Any = fastapi.Informers() if framework == "fastapi" else starlette.Informers()
    for door in ("lister", "informer"):
        if hasattr(informers, door):
            with pytest.raises(error, match=text):
                getattr(informers, door)(resource, **settings)


class Settings(BaseModel):
    data: dict[str, str]


async def test_typed_listers_of_part_of_the_objects_reach_a_fastapi_endpoint(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        api.create(config_map(name, color=color))
    informers = fastapi.Informers(client=connect)
    typed = informers.lister(
        CONFIGMAPS,
        type=Settings,
        namespace="default",
        label_selector="app=web",
        field_selector={"metadata.name": "a"},
        storage="compact",
        transform=lambda manifest: manifest | {"data": manifest["data"] | {"seen": "yes"}},
    )
    watching = informers.informer(CONFIGMAPS, type=Settings, namespace="default", metadata_only=True)
    app = FastAPI(lifespan=informers.lifespan)

    @app.get("/settings")
    async def settings(found: Any = Depends(typed)) -> list[Settings]:  # noqa: B008 - annotations cannot name what is local
        assert isinstance(found, TypedLister)
        return [*found.list()]

    @app.get("/kind")
    async def kind(found: Any = Depends(watching)) -> str:  # noqa: B008
        return type(found).__name__

    async with (
        informers.lifespan(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http,
    ):
        assert (await http.get("/settings")).json() == [{"data": {"color": "red", "seen": "yes"}}]
        assert (await http.get("/kind")).json() == "TypedInformer"
        assert {str(covered) for covered in informers.factory.informers} == {
            "configmaps.v1 in default (app=web; metadata.name=a)",
            "configmaps.v1 in default (metadata only)",
        }
        assert informers.client is informers.factory.client


@pytest.mark.parametrize("web", [fastapi, starlette])
async def test_whole_caches_of_a_scope_are_served(web: Any, api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(build.namespace("other"))
    for name, namespace in (("a", "default"), ("b", "other")):
        api.create(build.config_map(name, namespace=namespace))
    informers = web.Informers(client=connect)
    given: dict[str, Any] = {"scope": Namespaces("other"), "storage": "compact"}
    if web is fastapi:
        app: Any = FastAPI(lifespan=informers.lifespan)
        app.include_router(informers.router("configmaps", **given))
    else:
        app = Starlette(lifespan=informers.lifespan, routes=informers.routes("configmaps", **given))
    with pytest.raises(ValueError, match="nodes are cluster-scoped"):
        web.Informers().router("nodes", **given) if web is fastapi else web.Informers().routes("nodes", **given)
    async with (
        informers.lifespan(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http,
    ):
        found = (await http.get("/configmaps")).json()
        assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
        (informer,) = informers.factory.informers.values()
        assert informer.status.storage.storage == "compact"


async def test_a_typed_informer_of_a_shard_reaches_a_starlette_endpoint(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    for number in range(12):
        api.create(config_map(f"m{number}"))
    informers = starlette.Informers(client=connect)
    shares = [informers.informer("configmaps", type=Settings, shard=Shard(index, of=2)) for index in (0, 1)]

    async def counted(_: Any) -> JSONResponse:
        found = [share() for share in shares]
        assert all(isinstance(share, TypedInformer) for share in found)
        return JSONResponse([len(share.informer.lister) for share in found])

    app = Starlette(routes=[Route("/counts", counted)], lifespan=informers.lifespan)
    async with (
        informers.lifespan(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http,
    ):
        counts = (await http.get("/counts")).json()
        server = await informers.client.list(CONFIGMAPS)
        halves = [len((await informers.client.list(CONFIGMAPS, shard=Shard(i, of=2))).items) for i in (0, 1)]
    assert sum(counts) == len(server.items)
    assert counts == halves


async def test_a_discovered_informer_takes_a_type(api: ApiServer, connect: Callable[[], Client]) -> None:
    api.create(config_map("a", color="red"))
    async with connect() as client:
        factory = SharedInformerFactory(client)
        typed = await factory.discover("configmaps.v1.", type=Settings, namespace="default")
        async with factory:
            await typed.synced(timeout=60)
            assert [each.data for each in typed.lister.list()] == [{"color": "red"}]
        with pytest.raises(TypeError, match="'labels'"):
            await factory.discover("configmaps", labels="a=b")  # type: ignore[call-overload]
