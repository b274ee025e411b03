"""The paths under /kinformer, and the calls behind them: faults, reset, snapshots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, Refusal, build
from kinformer.testing.fault_spec import FaultSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(control_paths=True) as running:
        yield running


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{server.url}/kinformer/") as session:
        yield session


def contents(server: ApiServer) -> dict[tuple[str, str, str], Any]:
    """All objects without their versions."""
    found = {}
    for one in yaml.safe_load_all(server.snapshot()):
        metadata = one["metadata"]
        found[one["kind"], metadata.get("namespace", ""), metadata["name"]] = one
    return found


def fill(server: ApiServer) -> None:
    server.create(build.custom_resource_definition("widgets", "Widget"))
    server.create(build.custom_resource("example.com/v1", "Widget", "w", spec={"size": 1}))
    server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    web = server.create(build.deployment("web", namespace="shop"))
    pod = build.pod("web-0", namespace="shop", owner=web)
    pod["metadata"]["finalizers"] = ["example.com/stays"]
    server.create(pod)
    server.update(build.pod("web-0", namespace="shop", owner=web, phase="Running"), subresource="status")


def test_a_reset_leaves_the_objects_of_a_new_server_whatever_finalizers_there_were() -> None:
    server = ApiServer()
    names = contents(server).keys()
    fill(server)
    version = server.resource_version
    server.reset()
    assert contents(server).keys() == names
    assert server.resource_version > version
    with pytest.raises(ValueError, match="Widget"):
        server.list("example.com/v1", "Widget")


def test_a_snapshot_comes_back_with_identity_owners_and_status() -> None:
    server, other = ApiServer(), ApiServer()
    fill(server)
    text, before = server.snapshot(), contents(server)
    server.reset()
    for one in (server, other):
        one.restore(text)
        assert contents(one) == before
        assert one.get("v1", "Pod", "web-0", "shop")["status"]["phase"] == "Running"
        assert one.get("example.com/v1", "Widget", "w")["spec"] == {"size": 1}


def test_manifests_without_a_uid_are_created_as_by_requests() -> None:
    server = ApiServer()
    server.restore(yaml.safe_dump_all([build.config_map("a"), {"kind": "List", "apiVersion": "v1", "items": []}]))
    assert server.get("v1", "ConfigMap", "a")["metadata"]["uid"]
    with pytest.raises(Refusal, match="spec.containers"):
        server.restore("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: []}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("[1, 2]", "object 1 of the snapshot has no metadata.name"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {}}", "has no metadata.name"),
        ("{apiVersion: a.b/v1, kind: X, metadata: {name: x}}", "no resource has the kind X of a.b/v1"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: u, namespace: gone}}", "the snapshot has not"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: x, uid: u}, spec: 5}", "PodSpec"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: x, uid: u}, spec: {}}", "spec.containers"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, uid: u, creationTimestamp: old}}", "cannot parse"),
        ("{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x, uid: u}}", "spec"),
        (
            yaml.safe_dump_all([build.config_map("x"), build.config_map("x", "default")]),
            "object 2 of the snapshot: ConfigMap x is object 1, too",
        ),
    ],
)  # fmt: skip
def test_a_snapshot_that_is_not_valid_is_refused_and_nothing_is_lost(text: str, said: str) -> None:
    server = ApiServer()
    fill(server)
    before = contents(server)
    with pytest.raises(Refusal, match=said):
        server.restore(text)
    assert contents(server) == before


async def test_an_informer_follows_a_reset(server: ApiServer) -> None:
    server.create(build.config_map("a"))
    async with Client(ClusterConfig.for_server(server.url)) as client, SharedInformerFactory(client) as factory:
        maps = factory.informer(CONFIGMAPS)
        await factory.wait_for_cache_sync()
        server.reset()
        server.create(build.config_map("b"))
        async with asyncio.timeout(20):
            while {one.name for one in maps.lister.list()} != {"b"}:
                await asyncio.sleep(0.005)


async def test_snapshots_and_reset_over_http(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.create(build.config_map("a"))
    async with http.get("snapshot") as answer:
        text = await answer.text()
    async with http.post("reset") as answer:
        assert answer.status == 200
    assert server.list("v1", "ConfigMap") == []
    async with http.put("snapshot", data=text) as answer:
        assert answer.status == 200
    assert [one["metadata"]["name"] for one in server.list("v1", "ConfigMap")] == ["a"]
    async with http.put("snapshot", data=b"\xff") as answer:
        assert answer.status == 400


async def test_faults_over_http(server: ApiServer, http: aiohttp.ClientSession) -> None:
    async with http.post("faults", data="fail:status=503,resource=configmaps,every=60") as answer:
        assert answer.status == 201
    async with http.post("faults", json={"fault": "delay:seconds=0"}) as answer:
        assert answer.status == 201
    async with http.get(f"{server.url}/api/v1/configmaps") as answer:
        assert answer.status == 503
    async with http.get("faults") as answer:
        state = await answer.json()
    assert "fail:status=503,resource=configmaps,every=60" in [one["fault"] for one in state["faults"]]
    assert {"fault": "drop:resource=", "effect": "open watches are cut, as a network does"} in state["known"]
    async with http.delete("faults") as answer:
        assert answer.status == 200
    async with http.get(f"{server.url}/api/v1/configmaps") as answer:
        assert answer.status == 200
    await asyncio.sleep(0)
    assert server.started_faults == {}


@pytest.mark.parametrize(
    "text",
    ["down:seconds=1e9", "drop:every=nan", "drop:every=-1", "drop:every=1e-9", "delay:seconds=inf", "drop:after=inf",
     "drop:about=0", "repeat:times=100000000", "fail:status=99999", "fail:count=-1", "lag:writes=-1"],
)  # fmt: skip
def test_a_fault_that_would_never_end_or_make_the_server_useless_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not between"):
        FaultSpec.parse(text)


async def test_requests_that_make_no_sense_are_refused(server: ApiServer, http: aiohttp.ClientSession) -> None:
    for method, path, data, code in (
        ("POST", "faults", "drip", 400),
        ("POST", "faults", '{"other": 1}', 400),
        ("POST", "faults", "{", 400),
        ("POST", "faults", "x" * 5000, 413),
        ("PUT", "faults", "", 405),
        ("GET", "reset", None, 405),
        ("GET", "nothing", None, 404),
    ):
        async with http.request(method, path, data=data) as answer:
            assert (answer.status, method, path) == (code, method, path)
    for headers in ({"Host": "rebound.example"}, {"Origin": "http://page.example"}):
        async with http.post("reset", headers=headers) as answer:
            assert answer.status == 403
    for _ in range(100):
        server.start_fault("drop:every=60")
    async with http.post("faults", data="drop") as answer:
        assert answer.status == 400


async def test_without_control_paths_there_are_none_and_users_without_rights_are_refused() -> None:
    async with aiohttp.ClientSession() as session:
        for made, codes in (
            (ApiServer(), {404, 405}),
            (ApiServer(control_paths=True, tokens={"t": "jane"}), {403}),
        ):
            async with made as server, session.post(f"{server.url}/kinformer/reset") as answer:
                assert answer.status in codes
