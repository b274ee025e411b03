"""Finalizers, owners, conditions and Events through a real client, against an API server with its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.errors import NotFoundError
from kinformer.event_recorder import EventRecorder
from kinformer.finalizers import Finalizer
from kinformer.owners import controller_of, is_owned_by, owned_by
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS
from kinformer.status_conditions import StatusCondition, find_condition, is_condition, write_conditions
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.objects import KubeObject

SPEC: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "web"}},
    "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    },
}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


@pytest.fixture
async def web(client: Client) -> KubeObject:
    return await client.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}, "spec": SPEC})


async def test_an_object_waits_for_its_finalizer_and_conflicts_are_no_matter(
    server: ApiServer, client: Client, web: KubeObject
) -> None:
    finalizer = Finalizer(client, "example.com/database")
    calls: list[str] = []

    async def apply(obj: KubeObject) -> str:
        calls.append("apply")
        return obj.resource_version

    async def cleanup(obj: KubeObject) -> None:
        calls.append("cleanup")
        # Somebody else writes meanwhile: what is known of the object is old as the finalizer is to be taken off.
        await client.patch(DEPLOYMENTS, "web", {"metadata": {"labels": {"x": "y"}}}, namespace="default")

    await client.patch(DEPLOYMENTS, "web", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
    await finalizer.reconcile(web, apply, cleanup)
    protected = await client.get(DEPLOYMENTS, "web", namespace="default")
    assert finalizer.is_on(protected)
    marked = await client.delete(DEPLOYMENTS, "web", namespace="default")
    assert marked is not None
    assert marked.at("metadata.deletionTimestamp")
    # A cache that is behind does not have it put on once more, which the API would refuse.
    await finalizer.reconcile(web, apply, cleanup)
    with pytest.raises(NotFoundError):
        await client.get(DEPLOYMENTS, "web", namespace="default")
    assert calls == ["apply", "cleanup"]
    await finalizer.remove(marked)


async def test_conditions_are_written_once_and_beside_others(
    server: ApiServer, client: Client, web: KubeObject
) -> None:
    await write_conditions(client, web, StatusCondition("Progressing", "True", "Started"))
    ready = StatusCondition("Ready", False, "NotYet", "0 of 1")
    written = await write_conditions(client, web, ready)
    assert written is not None
    assert is_condition(written, "Progressing")
    assert is_condition(written, "Ready", "False", current=True)
    entry = find_condition(written, "Ready")
    assert entry is not None
    assert entry["observedGeneration"] == 1
    again = await write_conditions(client, written, ready)
    assert again is not None
    assert again.resource_version == written.resource_version


async def test_an_owned_object_is_created(client: Client, web: KubeObject) -> None:
    manifest = owned_by({"metadata": {"name": "settings"}, "data": {"a": "1"}}, web)
    made = await client.create(CONFIGMAPS, manifest, namespace=web.namespace)
    assert is_owned_by(made, web, controller=True)
    found = controller_of(made)
    assert found is not None
    assert found.is_of(DEPLOYMENTS)


async def test_events_are_stored_counted_and_combined(server: ApiServer, client: Client, web: KubeObject) -> None:
    async with EventRecorder(client, "shop-operator") as events:
        for _ in range(3):
            events.normal(web, "Created", "made it")
        for i in range(15):
            events.warning(web, "Full", f"node {i} is full")
    stored = await client.list(EVENTS, namespace="default", field_selector="involvedObject.name=web")
    counts = {event["message"]: event["count"] for event in stored if event["reason"] == "Full"}
    assert len(counts) == 10
    assert counts["(combined from similar events): node 14 is full"] == 6
    assert [event["count"] for event in stored if event["reason"] == "Created"] == [3]
    assert events.dropped == 0
