"""Reads that see one's own writes, through a real client, while the watches are frozen: open and silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.errors import ApiError, WaitTimeoutError
from kinformer.informer._shared_informer import core_of
from kinformer.informer.factory import SharedInformerFactory
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, PODS
from kinformer.scope import Namespaces, Scope
from kinformer.testing import ApiServer
from tests.sources import pending_writes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.informer import SharedInformer

A = ObjectKey("default", "a")


def config_map(name: str, *, app: str = "web", **metadata: Any) -> dict[str, Any]:
    head = {"name": name, "namespace": "default", "labels": {"app": app}} | metadata
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {"n": "0"}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        server.create(config_map("a"))
        server.create(config_map("kept", finalizers=["example.com/keep"]))
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


async def silent(server: ApiServer, *informers: SharedInformer) -> None:
    """Wait until these are in sync and watch, then have no watch say anything any more."""
    for informer in informers:
        await informer.synced(timeout=60)
    async with asyncio.timeout(60):
        while len(server.open_watches) < len(informers):
            await asyncio.sleep(0.001)
    assert server.faults.freeze_watches() == len(informers)


async def test_what_was_written_is_in_the_cache_ahead_of_the_watch(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    patched = await client.patch(CONFIGMAPS, "a", {"data": {"n": "1"}}, namespace="default")
    made = await client.create(
        CONFIGMAPS, {"metadata": {"generateName": "new-"}, "data": {"x": "y"}}, namespace="default"
    )
    await maps.caught_up()
    assert maps.lister.get(A) == patched
    assert maps.lister.get(made.key) == made
    replaced = await client.replace(CONFIGMAPS, patched.to_dict() | {"data": {"n": "2"}})
    await maps.caught_up(replaced)
    assert maps.lister.get(A) == replaced
    assert pending_writes(maps) == 0
    # And the watch, when it speaks again, changes nothing of that.
    server.faults.clear()
    await maps.caught_up(server.resource_version, timeout=60)
    assert {obj.key: obj.resource_version for obj in maps.lister} == {
        ObjectKey("default", obj["metadata"]["name"]): obj["metadata"]["resourceVersion"]
        for obj in server.list("v1", "ConfigMap")
    }


@pytest.mark.parametrize("scope", [None, Namespaces("default") | Namespaces("other")])
async def test_the_next_line_of_the_program_reads_what_it_wrote(
    server: ApiServer, client: Client, factory: SharedInformerFactory, scope: Scope | None
) -> None:
    maps = factory.informer(CONFIGMAPS) if scope is None else factory.informer(CONFIGMAPS, scope=scope)
    seen: list[tuple[str, asyncio.Task[Any] | None]] = []
    maps.add_event_handler(on_update=lambda _, new: seen.append((new.resource_version, asyncio.current_task())))
    await maps.synced(timeout=60)
    patched = None
    for number in range(5):
        patched = await client.patch(CONFIGMAPS, "a", {"data": {"n": str(number + 1)}}, namespace="default")
        assert maps.lister.get(A) == patched
        made = await client.create(CONFIGMAPS, config_map(f"b-{number}"))
        assert maps.lister.get(made.key) == made
    # The handler is called once with each state, in order, and never within the call that wrote.
    async with asyncio.timeout(60):
        while patched is not None and (not seen or seen[-1][0] != patched.resource_version):
            await asyncio.sleep(0.001)
    versions = [int(version) for version, _ in seen]
    assert versions == sorted(set(versions))
    assert asyncio.current_task() not in {task for _, task in seen}


async def test_an_answer_that_comes_behind_other_changes_is_shown_after_them(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    bulk = [maps.observe(server.create(config_map(f"c-{number}"))) for number in range(2)]
    assert bulk == [True, True]
    fifo = core_of(maps).fifo
    for number in range(100):
        # Without the call that lets the cache take them: a batch for which it needs its own turn.
        fifo.update(KubeObject.from_dict(server.create(config_map(f"d-{number}")), CONFIGMAPS))
    patched = await client.patch(CONFIGMAPS, "a", {"data": {"n": "1"}}, namespace="default")
    await maps.caught_up(patched)
    assert maps.lister.get(A) == patched


async def test_what_changes_nothing_or_is_only_tried_is_no_write(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    same = await client.patch(CONFIGMAPS, "a", {"data": {"n": "0"}}, namespace="default")
    before = maps.lister.get(A)
    assert before is not None
    assert same.resource_version == before.resource_version
    await client.patch(CONFIGMAPS, "a", {"data": {"n": "9"}}, namespace="default", dry_run=True)
    await client.delete(CONFIGMAPS, "a", namespace="default", dry_run=True)
    await client.delete_collection(CONFIGMAPS, namespace="default", dry_run=True)
    with pytest.raises(ApiError):
        await client.create(CONFIGMAPS, config_map("a"))
    assert pending_writes(maps) == 0
    assert maps.lister.get(A) == before


async def test_a_deletion_is_caught_up_with_when_the_watch_tells(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    await client.delete(CONFIGMAPS, "a", namespace="default")
    with pytest.raises(WaitTimeoutError, match=r"configmaps\.v1 has not caught up with default/a"):
        await maps.caught_up(A, timeout=0.05)
    # Other keys are not held up.
    await maps.caught_up(ObjectKey("default", "kept"), timeout=0)
    server.faults.clear()
    await maps.caught_up(A, timeout=60)
    assert maps.lister.get(A) is None


async def test_an_object_that_waits_for_its_finalizer_is_marked_at_once_and_gone_later(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    await client.delete(CONFIGMAPS, "kept", namespace="default")
    await maps.caught_up()
    marked = maps.lister.get("kept", "default")
    assert marked is not None
    assert marked.at("metadata.deletionTimestamp")
    await client.patch(CONFIGMAPS, "kept", {"metadata": {"finalizers": []}}, namespace="default")
    with pytest.raises(WaitTimeoutError):
        await maps.caught_up(marked.key, timeout=0.05)
    server.faults.clear()
    await maps.caught_up(marked.key, timeout=60)
    assert maps.lister.get(marked.key) is None


async def test_a_deleted_collection_is_caught_up_with(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    await client.delete_collection(CONFIGMAPS, namespace="default")
    with pytest.raises(WaitTimeoutError):
        await maps.caught_up(timeout=0.05)
    server.faults.clear()
    await maps.caught_up(timeout=60)
    assert maps.lister.get(A) is None
    marked = maps.lister.get("kept", "default")
    assert marked is not None
    assert marked.at("metadata.deletionTimestamp")


async def test_status_and_scale_are_writes_to_the_object(server: ApiServer, client: Client) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "replicas": 1}
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}}
    server.create(web | {"spec": spec})
    async with SharedInformerFactory(client) as factory:
        deployments = factory.apps.v1.deployments
        await silent(server, deployments)
        await client.patch_status(DEPLOYMENTS, "web", {"status": {"replicas": 3}}, namespace="default")
        await deployments.caught_up()
        cached = deployments.lister.get("web", "default")
        assert cached is not None
        assert cached.at("status.replicas") == 3
        # A Scale is not the Deployment, and so does not go into the cache; but it tells its version.
        await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 7}}, namespace="default", subresource="scale")
        assert pending_writes(deployments) == 1
        server.faults.clear()
        await deployments.caught_up(timeout=60)
        cached = deployments.lister.get("web", "default")
        assert cached is not None
        assert cached.at("spec.replicas") == 7


async def test_a_cache_of_metadata_takes_the_metadata(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    heads = factory.informer(CONFIGMAPS, metadata_only=True)
    await silent(server, heads)
    listed = heads.lister.get(A)
    written = await client.patch(CONFIGMAPS, "a", {"metadata": {"labels": {"x": "y"}}}, namespace="default")
    await heads.caught_up()
    cached = heads.lister.get(A)
    assert cached is not None
    assert cached["metadata"] == written["metadata"]
    assert "data" not in cached
    assert listed is not None
    assert (cached["kind"], cached["apiVersion"]) == (listed["kind"], listed["apiVersion"])


async def test_selectors_and_namespaces_are_minded(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    web = factory.informer(CONFIGMAPS, label_selector="app=web")
    elsewhere = factory.informer(CONFIGMAPS, namespace="kube-system")
    await silent(server, web, elsewhere)
    await client.create(CONFIGMAPS, config_map("other", app="db"))
    assert (pending_writes(web), pending_writes(elsewhere)) == (0, 0)
    # Written out of the selector: only the watch can take it away.
    await client.patch(CONFIGMAPS, "a", {"metadata": {"labels": {"app": "db"}}}, namespace="default")
    assert (pending_writes(web), pending_writes(elsewhere)) == (1, 0)
    server.faults.clear()
    await web.caught_up(A, timeout=60)
    assert web.lister.get(A) is None


async def test_with_a_field_selector_the_watch_has_the_say(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    server.create({"apiVersion": "v1", "kind": "Pod"} | pod)
    pending = factory.informer(PODS, field_selector="status.phase=Pending")
    await silent(server, pending)
    await client.patch_status(PODS, "p", {"status": {"phase": "Running"}}, namespace="default")
    with pytest.raises(WaitTimeoutError):
        await pending.caught_up(timeout=0.05)
    server.faults.clear()
    await pending.caught_up(timeout=60)
    assert len(pending.lister) == 0


async def test_another_clients_writes_are_not_ours(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.core.v1.configmaps
    await silent(server, maps)
    async with Client(ClusterConfig.for_server(server.url)) as another:
        written = await another.patch(CONFIGMAPS, "a", {"data": {"n": "1"}}, namespace="default")
    await maps.caught_up()
    assert maps.lister.get(A) != written
    with pytest.raises(WaitTimeoutError):
        await maps.caught_up(written, timeout=0.05)
    assert maps.observe(written)
    await maps.caught_up(written, timeout=60)
