"""API servers other than kube-apiserver: lists without a version, and null for a value that is not there."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer import SharedInformerFactory
from kinformer.errors import UnknownResourceError
from kinformer.resources import Resource

if TYPE_CHECKING:
    from kinformer.client import Client
    from tests.wire.conftest import Scripted

pytestmark = pytest.mark.usefixtures("storage")

PROJECTS = Resource("project.openshift.io", "v1", "projects", "Project", namespaced=False)
LIST = {"kind": "ProjectList", "apiVersion": "project.openshift.io/v1", "metadata": {}}


def project(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "namespace": None, "resourceVersion": str(version)}
    return {"kind": "Project", "apiVersion": "project.openshift.io/v1", "metadata": metadata}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


class Projects:
    """Lists without a version; a watch without one begins with everything that there is."""

    def __init__(self, *, streams: bool) -> None:
        self.streams = streams
        self.there = [project("a", 5), project("b", 9)]
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if "watch" not in query:
            self.asked.append("list")
            return web.json_response({**LIST, "items": self.there})
        streaming = "sendInitialEvents" in query
        if streaming and not self.streams:
            refusal = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden"}
            return web.json_response(refusal, status=422)
        self.asked.append("stream" if streaming else f"watch {query.get('resourceVersion', '')}".strip())
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if not query.get("resourceVersion"):
            for obj in self.there:
                await response.write(event("ADDED", obj))
        if streaming:
            end = {"annotations": {"k8s.io/initial-events-end": "true"}}
            await response.write(event("BOOKMARK", {"kind": "Project", "metadata": end}))
        await response.write(event("ADDED", project("c", 12)))
        await asyncio.sleep(30)
        return response


@pytest.mark.parametrize("streams", [False, True])
async def test_an_informer_syncs_from_lists_without_a_version(
    scripted: Scripted, client: Client, streams: bool
) -> None:
    scripted.answer = server = Projects(streams=streams)
    factory = SharedInformerFactory(client)
    projects = factory.informer(PROJECTS)
    told: list[str] = []
    projects.add_event_handler(lambda event: told.append(f"{type(event).__name__} {event.obj.name}"))
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await projects.wait_for("c", timeout=60)
        assert sorted(obj.name for obj in projects.lister) == ["a", "b", "c"]
        assert projects.is_live
        while len(told) < 3:
            await asyncio.sleep(0)
    assert told == ["Added a", "Added b", "Added c"]
    assert server.asked == (["stream"] if streams else ["list", "watch"])


async def test_a_list_without_a_version_can_be_listed(scripted: Scripted, client: Client) -> None:
    scripted.answer = Projects(streams=False)
    found = await client.list(PROJECTS)
    assert ([obj.name for obj in found], found.resource_version) == (["a", "b"], "")


async def test_an_informer_of_what_cannot_be_watched_names_the_remedy(client: Client) -> None:
    factory = SharedInformerFactory(client)
    metrics = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", watchable=False)
    with pytest.raises(UnknownResourceError, match=r"pods\.v1beta1\.metrics\.k8s\.io cannot be watched.*client\.list"):
        factory.informer(metrics)
