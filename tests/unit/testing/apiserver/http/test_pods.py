"""Logs and evictions of pods on the embedded server, which has no kubelet."""

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
