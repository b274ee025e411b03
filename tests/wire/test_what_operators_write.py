"""Finalizers, owners, conditions and Events through a real client, against an API server with its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.errors import ApplyConflictError, ConflictError, NotFoundError, api_error
from kinformer.operators.event_recorder import EventRecorder
from kinformer.operators.finalizers import Finalizer
from kinformer.operators.owners import controller_of, is_owned_by, owned_by
from kinformer.operators.status_conditions import StatusCondition, find_condition, is_condition, write_conditions
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS, PODDISRUPTIONBUDGETS
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


async def test_conditions_are_written_once_and_beside_others(server: ApiServer, client: Client) -> None:
    # Its conditions are `metav1.Condition`, with the generation; those of a Deployment are older and have none.
    budget = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}}
    web = await client.create(PODDISRUPTIONBUDGETS, budget)
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


def replicas(number: int, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": number, **spec}}


async def test_apply_creates_what_is_missing_and_changes_nothing_the_second_time(client: Client) -> None:
    manifest = {"metadata": {"name": "new", "namespace": "default"}, "spec": SPEC}
    made = await client.apply(DEPLOYMENTS, manifest, field_manager="shops")
    again = await client.apply(DEPLOYMENTS, manifest, field_manager="shops")
    assert (made.uid, made.resource_version) == (again.uid, again.resource_version)
    assert {entry["manager"] for entry in made.at("metadata.managedFields")} == {"shops"}


async def test_apply_takes_out_what_was_applied_before_and_leaves_what_others_wrote(
    client: Client, web: KubeObject
) -> None:
    labelled = {"metadata": {"name": "web", "namespace": "default", "labels": {"tier": "front"}}}
    await client.apply(DEPLOYMENTS, labelled, field_manager="shops")
    await client.patch(DEPLOYMENTS, web, {"metadata": {"labels": {"by": "hand"}}})
    bare = await client.apply(DEPLOYMENTS, {"metadata": {"name": "web"}}, namespace="default", field_manager="shops")
    assert bare.labels == {"by": "hand"}


async def test_a_conflict_of_apply_names_managers_and_fields(client: Client, web: KubeObject) -> None:
    await client.patch(DEPLOYMENTS, web, {"spec": {"replicas": 5, "paused": True}}, field_manager="hand")
    with pytest.raises(ApplyConflictError, match=r"cannot apply deployments\.apps \"web\".*2 conflicts") as info:
        await client.apply(DEPLOYMENTS, replicas(2, paused=False), field_manager="shops")
    assert {(conflict.manager, conflict.field) for conflict in info.value.conflicts} == {
        ("hand", ".spec.replicas"),
        ("hand", ".spec.paused"),
    }
    tried = await client.apply(DEPLOYMENTS, replicas(2), field_manager="shops", force=True, dry_run=True)
    assert tried.at("spec.replicas") == 2
    assert (await client.get(DEPLOYMENTS, web)).at("spec.replicas") == 5
    forced = await client.apply(DEPLOYMENTS, replicas(2), field_manager="shops", force=True)
    assert forced.at("spec.replicas") == 2
    # And then it is the other one who conflicts, if he applies, too.
    with pytest.raises(ApplyConflictError) as info:
        await client.apply(DEPLOYMENTS, replicas(4), field_manager="another")
    assert [conflict.manager for conflict in info.value.conflicts] == ["shops"]


async def test_another_version_than_the_one_named_is_a_conflict_of_another_kind(
    client: Client, web: KubeObject
) -> None:
    await client.patch(DEPLOYMENTS, web, {"metadata": {"labels": {"a": "b"}}})
    stale = replicas(2)
    stale["metadata"]["resourceVersion"] = web.resource_version
    with pytest.raises(ConflictError) as info:
        await client.apply(DEPLOYMENTS, stale, field_manager="shops", force=True)
    assert not isinstance(info.value, ApplyConflictError)


async def test_what_was_read_is_not_applied(client: Client, web: KubeObject) -> None:
    for read in (web, web.to_dict()):
        with pytest.raises(ValueError, match="would give every field of it to shops"):
            await client.apply(DEPLOYMENTS, read, field_manager="shops")
    with pytest.raises(ValueError, match="apply needs a field_manager"):
        await client.apply(DEPLOYMENTS, replicas(1), field_manager="")
    with pytest.raises(ValueError, match="metadata.name"):
        await client.apply(DEPLOYMENTS, {"spec": {}}, field_manager="shops")


@pytest.mark.parametrize(
    ("message", "manager"),
    [
        (
            'conflict with "kubectl-client-side-apply" using v1 at 2026-11-23T08:48:13Z',
            "kubectl-client-side-apply",
        ),
        ('conflict with "a \\"b\\"" with subresource "status"', 'a "b"'),
        ("something new", ""),
    ],
)
def test_the_manager_is_read_from_the_words_of_the_server(message: str, manager: str) -> None:
    cause = {"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": message}
    error = api_error(409, {"reason": "Conflict", "message": "Apply failed", "details": {"causes": [cause]}})
    assert isinstance(error, ApplyConflictError)
    assert error.conflicts == ((manager, ".spec.replicas", message),)
