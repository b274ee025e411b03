"""The life of objects, and the events that handlers get."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kinformer import (
    Added,
    AlreadyExistsError,
    ConflictError,
    Deleted,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SharedInformerFactory,
    Updated,
)
from kinformer.resources import CONFIGMAPS, NAMESPACES, PODS
from tests.apiserver.clusters import pod
from tests.apiserver.following import Follower, caught_up, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import Client
    from tests.apiserver.clusters import Cluster


@pytest.fixture
async def factory(cluster: Cluster, client: Client) -> AsyncIterator[SharedInformerFactory]:
    """Of the test's own namespace; to be started by the test."""
    factory = SharedInformerFactory(client, namespace=cluster.namespace)
    yield factory
    await factory.stop()


def story(follower: Follower, key: str) -> list[str]:
    """The events of an object, briefly."""
    return [type(event).__name__ for event in follower.events_of[key]]


async def test_objects_enter_and_leave_a_label_selector(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    web = factory.informer(PODS, label_selector="app in (web,api),tier!=cache,!hidden")
    follower = Follower(web)
    await client.create(PODS, pod("always", app="web"), namespace=cluster.namespace)
    await client.create(PODS, pod("comes", app="db"), namespace=cluster.namespace)
    await client.create(PODS, pod("never", app="web", tier="cache"), namespace=cluster.namespace)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        patches = [
            ("comes", {"app": "api"}),  # comes in
            ("always", {"hidden": "yes"}),  # leaves
            ("always", {"hidden": None, "tier": "front"}),  # comes back
            ("always", {"tier": "back"}),  # changes inside
            ("never", {"seen": "no"}),  # changes outside
            ("comes", {"app": None}),  # leaves
        ]
        last = {}
        for name, labels in patches:
            last[name] = await client.patch(PODS, name, {"metadata": {"labels": labels}}, namespace=cluster.namespace)
        selector = {"labelSelector": "app in (web,api),tier!=cache,!hidden"}
        assert len(await caught_up(cluster, PODS, web, **selector)) == 1
        follower.check()
    space = cluster.namespace
    assert story(follower, f"{space}/always") == ["Added", "Deleted", "Added", "Updated"]
    assert story(follower, f"{space}/comes") == ["Added", "Deleted"]
    assert f"{space}/never" not in follower.events_of
    left = follower.events_of[f"{space}/comes"][-1]
    # The state it was selected in last, at the version at which it left.
    assert isinstance(left, Deleted)
    assert left.final_state_known
    assert left.obj.labels == {"app": "api"}
    assert left.obj.resource_version == last["comes"].resource_version


async def test_objects_enter_and_leave_a_field_selector(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    running = factory.informer(PODS, field_selector="status.phase=Running,metadata.name!=other")
    one = factory.informer(CONFIGMAPS, field_selector="metadata.name=one")
    follower, of_one = Follower(running), Follower(one)
    for name in ("web", "other"):
        await client.create(PODS, pod(name), namespace=cluster.namespace)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        for name in ("one", "two"):
            await client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace=cluster.namespace)
        for phase in ("Running", "Succeeded"):
            for name in ("other", "web"):
                await client.patch_status(PODS, name, {"status": {"phase": phase}}, namespace=cluster.namespace)
        await caught_up(cluster, CONFIGMAPS, one, fieldSelector="metadata.name=one")
        await caught_up(cluster, PODS, running, fieldSelector="status.phase=Running")
        follower.check()
        of_one.check()
        while len(story(follower, f"{cluster.namespace}/web")) < 2:
            await asyncio.sleep(0.01)
    assert story(follower, f"{cluster.namespace}/web") == ["Added", "Deleted"]
    assert follower.events_of[f"{cluster.namespace}/web"][-1].obj.at("status.phase") == "Running"
    assert set(follower.events_of) == {f"{cluster.namespace}/web"}
    assert set(of_one.events_of) == {f"{cluster.namespace}/one"}


async def test_a_selector_the_server_does_not_know_is_refused_with_its_words(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(PODS, field_selector="spec.nosuch=1")
    async with factory:
        with pytest.raises(Exception, match="field label not supported: spec.nosuch"):
            await client.list(PODS, namespace=cluster.namespace, field_selector="spec.nosuch=1")
        async with asyncio.timeout(60):
            while informer.status.last_error is None:
                await asyncio.sleep(0.01)
        assert "field label not supported: spec.nosuch" in str(informer.status.last_error)
        assert not informer.has_synced


async def test_a_namespace_comes_and_goes(cluster: Cluster, client: Client) -> None:
    factory = SharedInformerFactory(client)
    name = f"{cluster.namespace}-extra"
    namespaces = factory.informer(NAMESPACES, field_selector=f"metadata.name={name}")
    inside = factory.informer(CONFIGMAPS, namespace=name)
    follower, of_inside = Follower(namespaces), Follower(inside)
    async with factory:
        # A namespace that is not there is empty: no error.
        await factory.wait_for_cache_sync(timeout=60)
        with pytest.raises(NotFoundError):
            await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace=name)
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace=name)
        await caught_up(cluster, CONFIGMAPS, inside, namespace=name)
        # A finalizer of ours keeps the content, so that the namespace is seen as it ends, on either server.
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        await client.patch(CONFIGMAPS, "c", held, namespace=name)
        await client.delete(NAMESPACES, name)
        async with asyncio.timeout(60):
            while (found := namespaces.lister.get(name)) is None or found.at("status.phase") != "Terminating":
                await asyncio.sleep(0.01)
        with pytest.raises(ForbiddenError, match="because it is being terminated"):
            await client.create(CONFIGMAPS, {"metadata": {"name": "late"}}, namespace=name)
        if cluster.name == "real":
            # What the namespace controller does, which does not run here.
            await client.delete(CONFIGMAPS, "c", namespace=name)
        await client.patch(CONFIGMAPS, "c", {"metadata": {"finalizers": None}}, namespace=name)
        if cluster.name == "real":
            ended = (await client.get(NAMESPACES, name)).to_dict() | {"spec": {}}
            await client.replace(NAMESPACES, ended, subresource="finalize")
        async with asyncio.timeout(60):
            while len(namespaces.lister) or len(inside.lister):
                await asyncio.sleep(0.01)
        follower.check()
        of_inside.check()
    assert story(follower, f"/{name}")[0] == "Added"
    assert story(follower, f"/{name}")[-1] == "Deleted"
    gone = of_inside.events_of[f"{name}/c"][-1]
    assert isinstance(gone, Deleted)
    assert gone.final_state_known


async def test_generated_names_are_the_servers_and_differ(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    pods = factory.informer(PODS)
    async with factory:
        made = [await client.create(PODS, pod(), namespace=cluster.namespace) for _ in range(10)]
        names = {obj.name for obj in made}
        assert len(names) == 10
        assert all(name.startswith("made-") and len(name) == len("made-") + 5 for name in names)
        await factory.wait_for_cache_sync(timeout=60)
        await caught_up(cluster, PODS, pods)
        assert {obj.name for obj in pods.lister.list()} == names
        assert all(obj.at("metadata.generateName") == "made-" for obj in pods.lister.list())


async def test_a_finalizer_holds_an_object_until_it_is_taken_away(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.informer(CONFIGMAPS)
    follower = Follower(maps)
    held = {"metadata": {"name": "held", "finalizers": ["example.com/a", "example.com/b"]}}
    space = cluster.namespace
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await client.create(CONFIGMAPS, held, namespace=space)
        await client.delete(CONFIGMAPS, "held", namespace=space)
        marked = await client.get(CONFIGMAPS, "held", namespace=space)
        assert marked.at("metadata.deletionTimestamp") is not None
        # Once it is marked, no finalizer can be added.
        more = {"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}}
        with pytest.raises((InvalidError, ForbiddenError)):
            await client.patch(CONFIGMAPS, "held", more, namespace=space)
        await client.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": ["example.com/b"]}}, namespace=space)
        await client.delete(CONFIGMAPS, "held", namespace=space)  # twice does nothing
        last = await client.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, namespace=space)
        with pytest.raises(NotFoundError):
            await client.get(CONFIGMAPS, "held", namespace=space)
        async with asyncio.timeout(60):
            while story(follower, f"{space}/held")[-1:] != ["Deleted"]:
                await asyncio.sleep(0.01)
        follower.check()
    events = follower.events_of[f"{space}/held"]
    assert [type(event).__name__ for event in events] == ["Added", "Updated", "Updated", "Deleted"]
    # The write that takes the last one away is never stored: the deletion shows the state before it.
    assert [len(event.obj.at("metadata.finalizers", default=[])) for event in events] == [2, 2, 1, 1]
    assert last.at("metadata.deletionTimestamp") is not None


async def test_a_pod_on_a_node_is_given_its_time_to_end(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    pods = factory.informer(PODS)
    follower = Follower(pods)
    space = cluster.namespace
    on_node = pod("on-node")
    on_node["spec"] |= {"nodeName": "node-1", "terminationGracePeriodSeconds": 40}
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await client.create(PODS, on_node, namespace=space)
        await client.create(PODS, pod("waiting"), namespace=space)
        marked = await client.delete(PODS, "on-node", namespace=space)
        assert marked is not None
        assert marked.at("metadata.deletionGracePeriodSeconds") == 40
        # It does not run yet, so the deletion does not wait.
        await client.delete(PODS, "waiting", namespace=space)
        with pytest.raises(NotFoundError):
            await client.get(PODS, "waiting", namespace=space)
        shorter = await client.delete(PODS, "on-node", namespace=space, grace_period_seconds=20)
        assert shorter is not None
        assert shorter.at("metadata.deletionGracePeriodSeconds") == 20
        longer = await client.delete(PODS, "on-node", namespace=space, grace_period_seconds=60)
        assert longer is not None
        assert longer.at("metadata.deletionGracePeriodSeconds") == 20
        # As the kubelet does in the end.
        await client.delete(PODS, "on-node", namespace=space, grace_period_seconds=0)
        await caught_up(cluster, PODS, pods)
        async with asyncio.timeout(60):
            while story(follower, f"{space}/on-node")[-1:] != ["Deleted"]:
                await asyncio.sleep(0.01)
        follower.check()
    # The end is marked first, also where there is no time left.
    assert story(follower, f"{space}/on-node") == ["Added", "Updated", "Updated", "Updated", "Deleted"]
    assert story(follower, f"{space}/waiting") == ["Added", "Updated", "Deleted"]


async def test_the_same_name_again_is_another_object(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.informer(CONFIGMAPS)
    follower = Follower(maps)
    space = cluster.namespace
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        first = await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace=space)
        with pytest.raises(AlreadyExistsError):
            await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace=space)
        await client.delete(CONFIGMAPS, "c", namespace=space)
        second = await client.create(CONFIGMAPS, {"metadata": {"name": "c"}}, namespace=space)
        with pytest.raises(ConflictError):
            await client.delete(CONFIGMAPS, "c", namespace=space, uid=first.uid)
        with pytest.raises(ConflictError):
            await client.replace(CONFIGMAPS, first.to_dict() | {"data": {"a": "b"}})
        await caught_up(cluster, CONFIGMAPS, maps)
        follower.check()
    assert versions(maps) == {f"{space}/c": second.resource_version}
    events = follower.events_of[f"{space}/c"]
    assert [(type(event).__name__, event.obj.uid) for event in events] == [
        ("Added", first.uid),
        ("Deleted", first.uid),
        ("Added", second.uid),
    ]


async def test_what_changes_nothing_is_no_event(
    cluster: Cluster, client: Client, factory: SharedInformerFactory
) -> None:
    maps = factory.informer(CONFIGMAPS)
    follower = Follower(maps)
    space = cluster.namespace
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        made = await client.create(CONFIGMAPS, {"metadata": {"name": "c"}, "data": {"a": "1"}}, namespace=space)
        same = await client.patch(CONFIGMAPS, "c", {"data": {"a": "1"}}, namespace=space)
        assert same.resource_version == made.resource_version
        await client.replace(CONFIGMAPS, made.to_dict())
        changed = await client.patch(CONFIGMAPS, "c", {"data": {"a": "2"}}, namespace=space)
        assert changed.resource_version != made.resource_version
        await caught_up(cluster, CONFIGMAPS, maps)
        follower.check()
    told = follower.events_of[f"{space}/c"]
    assert [type(event) for event in told] == [Added, Updated]
