"""The first argument of each verb: a resource, a name that kubectl takes, or a class of custom resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Client, ClusterConfig, ObjectKey, UnknownResourceError
from kinformer.custom_resources import custom_resource
from kinformer.errors import DecodeError, NotFoundError
from kinformer.resources import CONFIGMAPS, Resource
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Spec(msgspec.Struct):
    host: str
    replicas: int = 1


class Status(msgspec.Struct):
    ready: int = 0


@custom_resource(group="example.com", version="v1", kind="Website", short_names=("web",))
class Website(msgspec.Struct):
    metadata: dict[str, Any]
    spec: Spec
    status: Status | None = None


def named(name: str, **spec: Any) -> Website:
    return Website({"name": name, "namespace": "default"}, Spec(**spec))


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        await client.install(Website)
        yield client


async def everything(client: Client, resource: Resource | str | type[Any], manifest: dict[str, Any]) -> list[object]:
    """Use each verb once; return the answers without what differs between two objects of the same content."""
    in_default: Any = {"namespace": "default"}
    answers: list[Any] = [
        await client.create(resource, manifest),
        await client.get(resource, "a", **in_default),
        await client.get(resource, ObjectKey("default", "a")),
        [*await client.list(resource, **in_default)],
        await client.patch(resource, "a", {"metadata": {"labels": {"x": "1"}}}, **in_default),
        await client.apply(resource, manifest, field_manager="test", force=True),
        await client.replace(resource, await client.get(resource, "a", **in_default)),
        await client.delete(resource, "a", **in_default),
        [*await client.delete_collection(resource, **in_default)],
    ]
    return [plain(answer) for answer in answers]


def plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [plain(each) for each in answer]
    if answer is None:
        return None
    found = answer.to_dict() if hasattr(answer, "to_dict") else answer
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        found["metadata"].pop(field, None)
    return found


MANIFEST: dict[str, Any] = {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}}
SITE: dict[str, Any] = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"host": "h", "replicas": 2}}


@pytest.mark.parametrize("name", ["configmaps", "cm", "ConfigMap", "configmaps.v1"])
async def test_a_name_means_the_same_as_its_resource_in_each_verb(client: Client, name: str) -> None:
    assert await everything(client, name, MANIFEST) == await everything(client, CONFIGMAPS, MANIFEST)


@pytest.mark.parametrize("name", ["websites", "web", "websites.example.com", "websites.v1.example.com"])
async def test_the_name_of_a_custom_resource_is_discovered(client: Client, name: str) -> None:
    resource = await client.resolve("websites.example.com")
    assert await everything(client, name, SITE) == await everything(client, resource, SITE)


async def test_an_unknown_name_is_refused_before_anything_is_sent_to_it(client: Client) -> None:
    for ask in (client.get("gadgets", "a"), client.list("gadgets"), client.delete("gadgets", "a")):
        with pytest.raises(UnknownResourceError, match="gadgets"):
            await ask
    with pytest.raises(UnknownResourceError, match="await client.resolve"):
        client.list_watch("gadgets")


async def test_what_is_no_resource_is_refused_with_the_three_forms(client: Client) -> None:
    with pytest.raises(TypeError, match="a Resource, a name such as 'pods', or a class of custom resources, not int"):
        await client.get(5, "a")  # type: ignore[call-overload]  # that is the point
    with pytest.raises(TypeError, match="Spec is no custom resource; decorate the class"):
        await client.get(Spec, "a")


async def test_each_verb_takes_and_gives_objects_of_a_class(client: Client) -> None:
    made = await client.create(Website, named("a", host="h"))
    assert isinstance(made, Website)
    assert made.spec == Spec("h", 1)
    made.spec.replicas = 3
    replaced = await client.replace(Website, made)
    assert replaced.spec.replicas == 3
    replaced.status = Status(ready=2)
    assert (await client.replace_status(Website, replaced)).status == Status(2)
    applied = await client.apply(Website, named("a", host="other"), field_manager="test", force=True)
    assert applied.spec.host == "other"
    assert applied.status == Status(2)
    patched = await client.patch(Website, applied, {"spec": {"replicas": 9}})
    assert patched.spec.replicas == 9
    patched = await client.patch_status(Website, "a", {"status": {"ready": 7}}, namespace="default")
    assert patched.status == Status(7)
    await client.create(Website, {"metadata": {"name": "b", "namespace": "default"}, "spec": {"host": "b"}})
    listed = await client.list(Website, namespace="default")
    assert sorted(site.spec.host for site in listed) == ["b", "other"]
    assert listed.resource_version
    await client.delete(Website, listed[0])
    await client.delete(Website, ObjectKey("default", listed[1].metadata["name"]))
    with pytest.raises(NotFoundError):
        await client.get(Website, "a", namespace="default")


async def test_an_object_that_does_not_fit_the_class_fails_a_list_of_none_other(client: Client) -> None:
    await client.create(Website, named("a", host="h"))
    await client.create("configmaps", MANIFEST)

    @custom_resource(group="example.com", version="v1", kind="Website", short_names=("web",))
    class Stricter(msgspec.Struct):
        metadata: dict[str, Any]
        spec: dict[str, int]

    listed = await client.list(Stricter)
    assert [*listed] == []
    assert [type(failure) for failure in listed.failures] == [DecodeError]
    assert "default/a" in str(listed.failures[0])
    with pytest.raises(TypeError, match="metadata_only=True leaves out spec and status, which Website has"):
        await client.list(Website, metadata_only=True)  # type: ignore[call-overload]  # that is the point
