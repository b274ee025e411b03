"""Storage migration: each object is written again, and one that others write or delete meanwhile is left to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Client, ClusterConfig, ConflictError
from kinformer.custom_resources import ObjectMeta, custom_resource, migrate_storage, resource_of
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def box(version: str, *, storage: bool = True) -> Any:
    kind = msgspec.defstruct("Box", [("metadata", ObjectMeta), ("spec", dict[str, str], {})])
    return custom_resource(group="example.com", version=version, storage=storage)(kind)


class Raced(Client):
    """A client before each of whose replacements something happens."""

    before: Callable[[Any], Awaitable[object]]

    async def replace(self, resource: Any, obj: Any, **options: Any) -> Any:
        await self.before(obj)
        return await super().replace(resource, obj, **options)


async def installed(client: Client) -> Any:
    old, new = box("v1alpha1"), box("v1")
    await client.install(old)
    for name in ("a", "b", "c"):
        await client.create(old, old(ObjectMeta(name=name, namespace="default")))
    await client.install(new, box("v1alpha1", storage=False))
    return new


async def stored(client: Client) -> Any:
    return (await client.get(CUSTOMRESOURCEDEFINITIONS, "boxes.example.com")).at("status.storedVersions")


async def test_objects_that_others_write_or_delete_meanwhile_are_left_to_them() -> None:
    async with ApiServer() as server, Raced(ClusterConfig.for_server(server.url)) as client:
        resource = resource_of(await installed(client))

        async def before(obj: Any) -> None:
            if obj.name == "a":
                await client.patch(resource, obj, {"spec": {"by": "others"}})
            if obj.name == "b":
                await client.delete(resource, obj)

        client.before = before
        assert await migrate_storage(client, resource) == 1
        assert [each.name for each in await client.list(resource, namespace="default")] == ["a", "c"]
        assert await stored(client) == ["v1"]


async def test_a_definition_that_has_changed_meanwhile_keeps_its_versions() -> None:
    async with ApiServer() as server, Raced(ClusterConfig.for_server(server.url)) as client:
        resource = resource_of(await installed(client))

        async def before(_: Any) -> None:
            change = {"metadata": {"labels": {"changed": "yes"}}}
            await client.patch(CUSTOMRESOURCEDEFINITIONS, "boxes.example.com", change)

        client.before = before
        with pytest.raises(ConflictError):
            await migrate_storage(client, resource)
        assert await stored(client) == ["v1alpha1", "v1"]
