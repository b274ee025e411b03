"""Custom resources whose definition comes late, goes, and comes again in another version."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    AlreadyExistsError,
    Backoff,
    Client,
    Deleted,
    ForbiddenError,
    NotFoundError,
    Resource,
    SharedInformer,
    SharedInformerFactory,
)
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS
from tests.apiserver.following import Follower, caught_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.apiserver.clusters import Cluster

QUICK = Backoff(initial=0.05, maximum=0.3)


class Gadgets:
    """A custom resource of this test's own: a group that no other test has."""

    def __init__(self, cluster: Cluster, client: Client) -> None:
        self.group = f"{cluster.namespace}.example.com"
        self.crd = f"gadgets.{self.group}"
        self._cluster = cluster
        self._client = client

    def resource(self, version: str) -> Resource:
        return Resource(self.group, version, "gadgets", "Gadget")

    def definition(self, *versions: str) -> dict[str, Any]:
        """Served in all these versions; stored in the last."""
        schema = {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
        return {
            "metadata": {"name": self.crd},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "shortNames": ["gd"]},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": version == versions[-1],
                        "schema": {"openAPIV3Schema": schema},
                        "subresources": {"status": {}},
                    }
                    for version in versions
                ],
            },
        }

    async def define(self, *versions: str) -> None:
        """Post the definition and wait until it is served."""
        while True:
            try:
                await self._client.create(CUSTOMRESOURCEDEFINITIONS, self.definition(*versions))
                break
            except AlreadyExistsError:
                # Its predecessor is still being cleaned up.
                await asyncio.sleep(0.05)
        for version in versions:
            await self.until_served(version, served=True)

    async def until_served(self, version: str, *, served: bool) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await self._client.list(self.resource(version), namespace=self._cluster.namespace)
                    found = True
                except NotFoundError:
                    found = False
                if found is served:
                    return
                await asyncio.sleep(0.05)

    async def make(self, version: str, name: str, size: int) -> None:
        manifest = {"metadata": {"name": name}, "spec": {"size": size}}
        # A moment after it is served in one place, it may not be in another.
        async with asyncio.timeout(60):
            while True:
                try:
                    await self._client.create(self.resource(version), manifest, namespace=self._cluster.namespace)
                    return
                except NotFoundError:
                    await asyncio.sleep(0.05)

    async def drop(self) -> None:
        await self._client.delete(CUSTOMRESOURCEDEFINITIONS, self.crd)


@pytest.fixture
async def gadgets(cluster: Cluster, client: Client) -> AsyncIterator[Gadgets]:
    gadgets = Gadgets(cluster, client)
    yield gadgets
    with contextlib.suppress(NotFoundError):
        await gadgets.drop()


def informer_of(client: Client, cluster: Cluster, resource: Resource) -> tuple[SharedInformerFactory, SharedInformer]:
    factory = SharedInformerFactory(client, namespace=cluster.namespace, backoff=QUICK)
    return factory, factory.informer(resource)


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_posted_after_its_informer_started_deleted_and_posted_again_in_another_version(
    cluster: Cluster, client: Client, gadgets: Gadgets
) -> None:
    v1, v2 = gadgets.resource("v1"), gadgets.resource("v2")
    factory, of_v1 = informer_of(client, cluster, v1)
    of_v2 = factory.informer(v2)
    follower, follower_v2 = Follower(of_v1), Follower(of_v2)
    async with factory:
        # Not there yet: it waits, says why, and has not synced.
        await until(lambda: of_v1.status.failures >= 2)
        assert isinstance(of_v1.status.last_error, NotFoundError)
        assert not of_v1.has_synced

        await gadgets.define("v1")
        await gadgets.make("v1", "a", 1)
        await gadgets.make("v1", "b", 2)
        await of_v1.synced(timeout=60)
        await caught_up(cluster, v1, of_v1)
        assert of_v1.status.failures == 0
        assert {obj.name: obj["spec"]["size"] for obj in of_v1.lister.list()} == {"a": 1, "b": 2}
        assert not of_v2.has_synced

        # It goes, with all there is of it: each has its deletion event.
        await gadgets.drop()
        await until(lambda: not of_v1.lister.list() and of_v1.status.failures)
        await until(lambda: set(follower.deletions()) == {f"{cluster.namespace}/a", f"{cluster.namespace}/b"})
        await gadgets.until_served("v1", served=False)
        await until(lambda: isinstance(of_v1.status.last_error, NotFoundError))
        follower.check()
        for gone in follower.deletions().values():
            assert isinstance(gone, Deleted)

        # It comes again, another one: the old version is not served any more.
        await gadgets.define("v2")
        await gadgets.make("v2", "a", 3)
        await of_v2.synced(timeout=60)
        await caught_up(cluster, v2, of_v2)
        follower_v2.check()
        assert [obj["apiVersion"] for obj in of_v2.lister.list()] == [f"{gadgets.group}/v2"]
        assert of_v1.status.failures
        assert not of_v1.lister.list()

        # Both are served: the first informer finds its own again, each object in the version it asked for.
        definition = gadgets.definition("v1", "v2")
        current = await client.get(CUSTOMRESOURCEDEFINITIONS, gadgets.crd)
        definition["metadata"]["resourceVersion"] = current.resource_version
        await client.replace(CUSTOMRESOURCEDEFINITIONS, definition)
        await until(lambda: of_v1.is_live and of_v2.is_live)
        await gadgets.make("v1", "c", 4)
        await caught_up(cluster, v1, of_v1)
        await caught_up(cluster, v2, of_v2)
        for informer in (of_v1, of_v2):
            assert {obj.name: obj["spec"]["size"] for obj in informer.lister.list()} == {"a": 3, "c": 4}
            assert {obj["apiVersion"] for obj in informer.lister.list()} == {informer.resource.api_version}
        follower.check()
        follower_v2.check()


async def test_a_custom_resource_is_found_by_the_names_kubectl_takes(
    cluster: Cluster, client: Client, gadgets: Gadgets
) -> None:
    await gadgets.define("v1")
    async with asyncio.timeout(60):
        while True:
            # A served version is in discovery a moment later.
            async with cluster.client() as fresh:
                if any(found.group == gadgets.group for found in await fresh.resources()):
                    break
            await asyncio.sleep(0.1)
    async with cluster.client() as fresh:
        for name in (f"gadgets.{gadgets.group}", f"gadgets.v1.{gadgets.group}", f"gadget.{gadgets.group}"):
            found = await fresh.resolve(name)
            assert (found.group, found.version, found.plural) == (gadgets.group, "v1", "gadgets")


async def test_the_status_of_a_custom_resource_is_a_part_of_its_own(
    cluster: Cluster, client: Client, gadgets: Gadgets
) -> None:
    await gadgets.define("v1")
    v1 = gadgets.resource("v1")
    await gadgets.make("v1", "a", 1)
    space = cluster.namespace
    factory, informer = informer_of(client, cluster, v1)
    async with factory:
        await factory.wait_for_cache_sync(timeout=60)
        await client.patch(v1, "a", {"spec": {"size": 2}, "status": {"seen": 1}}, namespace=space)
        await client.patch_status(v1, "a", {"spec": {"size": 9}, "status": {"seen": 2}}, namespace=space)
        await caught_up(cluster, v1, informer)
        (obj,) = informer.lister.list()
        assert obj["spec"] == {"size": 2}
        assert obj["status"] == {"seen": 2}
        assert obj.at("metadata.generation") == 2


async def test_fields_that_the_schema_does_not_have_are_dropped_and_wrong_ones_refused(
    cluster: Cluster, client: Client, gadgets: Gadgets
) -> None:
    await gadgets.define("v1")
    v1, space = gadgets.resource("v1"), cluster.namespace
    made = await client.create(v1, {"metadata": {"name": "a"}, "spec": {"size": 1, "more": 2}}, namespace=space)
    assert made["spec"] == {"size": 1}
    with pytest.raises(Exception, match=r"spec\.size.* must be of type integer"):
        await client.create(v1, {"metadata": {"name": "b"}, "spec": {"size": "big"}}, namespace=space)


async def test_a_deleted_definition_waits_for_the_finalizers_of_its_objects(
    cluster: Cluster, client: Client, gadgets: Gadgets
) -> None:
    await gadgets.define("v1")
    v1, space = gadgets.resource("v1"), cluster.namespace
    await gadgets.make("v1", "free", 1)
    await gadgets.make("v1", "held", 1)
    await client.patch(v1, "held", {"metadata": {"finalizers": ["example.com/paper"]}}, namespace=space)
    factory, informer = informer_of(client, cluster, v1)
    follower = Follower(informer)
    async with factory:
        await informer.synced(timeout=60)
        await gadgets.drop()
        # The objects are deleted; one waits, and the definition with it.
        await until(lambda: set(follower.deletions()) == {f"{space}/free"})
        held = await informer.wait_for(
            "held", lambda o: o is not None and o.at("metadata.deletionTimestamp"), timeout=60
        )
        assert held is not None
        definition = await client.get(CUSTOMRESOURCEDEFINITIONS, gadgets.crd)
        assert definition.at("metadata.deletionTimestamp")
        assert definition.at("metadata.finalizers") == ["customresourcecleanup.apiextensions.k8s.io"]
        terminating = {one["type"]: one for one in definition.at("status.conditions")}["Terminating"]
        assert (terminating["status"], terminating["reason"]) == ("True", "InstanceDeletionInProgress")
        # The second deletion changes nothing, and nothing new is taken meanwhile.
        await gadgets.drop()
        terminates = "create not allowed while custom resource definition is terminating"
        with pytest.raises(ForbiddenError, match=f'"new" is forbidden: {terminates}'):
            await client.create(v1, {"metadata": {"name": "new"}}, namespace=space)
        with pytest.raises(ForbiddenError, match=f'"new" is forbidden: {terminates}'):
            await client.apply(v1, {"metadata": {"name": "new"}}, namespace=space, field_manager="test")
        await client.patch(v1, "held", {"metadata": {"finalizers": None}}, namespace=space)
        await until(lambda: set(follower.deletions()) == {f"{space}/free", f"{space}/held"})
        await gadgets.until_served("v1", served=False)
    follower.check()
    # A definition of the same name can come again.
    await gadgets.define("v1")
    await gadgets.make("v1", "held", 2)
