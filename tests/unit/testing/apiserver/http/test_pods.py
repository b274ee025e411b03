"""Logs, evictions and patches of pods and Services on the embedded server, which has no kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer()
    server.create(build.pod("web", "default", node="n", labels={"app": "web"}))
    server.patch("v1", "Pod", "web", {"status": {"phase": "Running"}}, subresource="status")
    return server


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


async def test_a_log_is_the_scripted_text(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.pods.logs("web", "one\ntwo\nthree\n")
    for query, text in {"": "one\ntwo\nthree\n", "?tailLines=1": "three\n", "?tailLines=0": ""}.items():
        async with http.get(f"{PODS}/web/log{query}") as answer:
            assert (answer.status, await answer.text()) == (200, text)
    async with http.get(f"{PODS}/web/log?container=nosuch") as answer:
        assert (answer.status, (await answer.json())["message"]) == (400, "container nosuch is not valid for pod web")


@pytest.mark.parametrize("path", ["exec?command=ls", "attach", "portforward", "proxy/x"])
async def test_a_stream_that_needs_a_kubelet_is_an_error_and_never_the_pod(
    http: aiohttp.ClientSession, path: str
) -> None:
    async with http.post(f"{PODS}/web/{path}") as answer:
        assert answer.status in {400, 404, 500}
        assert (await answer.json())["kind"] == "Status"


def budget(**status: Any) -> dict[str, Any]:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec} | status


async def evict(http: aiohttp.ClientSession) -> tuple[int, Any]:
    async with http.post(f"{PODS}/web/eviction", json={"metadata": {"name": "web"}}) as answer:
        return answer.status, await answer.json()


async def test_an_eviction_is_granted_by_its_budget(server: ApiServer, http: aiohttp.ClientSession) -> None:
    made = server.create(budget())
    code, answer = await evict(http)
    assert (code, answer["reason"], answer["details"]["retryAfterSeconds"]) == (429, "TooManyRequests", 10)
    state = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}
    server.patch("policy/v1", "PodDisruptionBudget", "b", {"status": state}, subresource="status")
    code, answer = await evict(http)
    why = "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert (code, answer["details"]["causes"][0]["message"]) == (429, why)
    server.patch("policy/v1", "PodDisruptionBudget", "b", {"status": {"disruptionsAllowed": 1}}, subresource="status")
    assert (await evict(http))[0] == 201
    left = server.get("policy/v1", "PodDisruptionBudget", "b")
    assert (left["status"]["disruptionsAllowed"], list(left["status"]["disruptedPods"])) == (0, ["web"])
    assert made["status"]["disruptionsAllowed"] == 0


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
    ],
)
async def test_a_wrong_bound_of_a_log_is_refused_before_the_pod_is_looked_up(
    http: aiohttp.ClientSession, query: str, why: str
) -> None:
    async with http.get(f"{PODS}/nosuch/log?{query}") as answer:
        assert (answer.status, why in (await answer.json())["message"]) == (422, True)


async def test_the_address_in_a_status_is_the_first_of_its_addresses(http: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(f"{PODS}/web/status", json={"status": {"podIP": "10.1.1.1"}}, headers=headers) as answer:
        assert (await answer.json())["status"]["podIPs"] == [{"ip": "10.1.1.1"}]


async def test_a_strategic_patch_does_not_change_what_kind_an_object_is(
    server: ApiServer, http: aiohttp.ClientSession
) -> None:
    server.create(build.config_map("c", "default"))
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"kind": "Secret", "apiVersion": "v2", "data": {"a": "b"}}
    async with http.patch("/api/v1/namespaces/default/configmaps/c", json=patch, headers=headers) as answer:
        changed = await answer.json()
    assert (changed["kind"], changed["apiVersion"], changed["data"]) == ("ConfigMap", "v1", {"a": "b"})


async def test_external_addresses_of_a_service_are_warned_of(http: aiohttp.ClientSession) -> None:
    for name, more, why in (("a", {}, "is deprecated"), ("b", {"clusterIP": "None"}, "is ignored for headless")):
        spec = {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"], **more}
        body = {"metadata": {"name": name}, "spec": spec}
        async with http.post("/api/v1/namespaces/default/services", json=body) as answer:
            assert f"spec.externalIPs {why}" in answer.headers["Warning"]
