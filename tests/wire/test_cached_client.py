"""A cached client over real sockets: caches answer the questions that they contain, and the server the others."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    ApplyConflictError,
    CacheMissError,
    Client,
    ClusterConfig,
    NotFoundError,
    NotStartedError,
    SharedInformerFactory,
    StoppedError,
    Trim,
)
from kinformer.integrations._web.answers import health_answer
from kinformer.resources import CONFIGMAPS, NAMESPACES, SERVICES
from kinformer.scope import Namespaces
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer.client import CachedClient


def config_map(name: str, data: dict[str, Any] | None = None, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
            server.create(config_map(name, {"k": name}, app=app))
        server.create(config_map("d", namespace="default", app="web"))
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


@pytest.fixture
async def cached(client: Client, factory: SharedInformerFactory) -> CachedClient:
    factory.informer(CONFIGMAPS, namespace="shop")
    await factory.wait_for_cache_sync(10)
    return client.cached(factory)


def names(objects: Any) -> list[str]:
    return sorted(obj.name for obj in objects)


async def test_an_informer_that_contains_the_question_answers_without_a_request(
    server: ApiServer, cached: CachedClient
) -> None:
    before = len(server.requests)
    got = await cached.get(CONFIGMAPS, "a", namespace="shop")
    assert (got["data"], got.kind, got.key.name) == ({"k": "a"}, "ConfigMap", "a")
    assert str(got.origin) == f"cache at version {got.origin.resource_version}"
    assert (await cached.get(CONFIGMAPS, got)) == got
    questions: tuple[tuple[dict[str, Any], list[str]], ...] = (
        ({}, ["a", "b", "c"]),
        ({"label_selector": "app=web"}, ["a", "b"]),
        ({"field_selector": "metadata.name!=a"}, ["b", "c"]),
        ({"field_selector": "metadata.name=a", "label_selector": "app"}, ["a"]),
    )
    for options, found in questions:
        listed = await cached.list(CONFIGMAPS, namespace="shop", **options)
        assert names(listed) == found
        assert listed.origin.source == "cache"
    metadata = await cached.list(CONFIGMAPS, namespace="shop", metadata_only=True)
    assert names(metadata) == ["a", "b", "c"]
    assert [obj.get("data") for obj in metadata] == [None] * 3
    with pytest.raises(NotFoundError, match='configmaps "x" not found') as missing:
        await cached.get(CONFIGMAPS, "x", namespace="shop")
    assert missing.value.__notes__ == [f"the answer is of the {got.origin}"]
    assert len(server.requests) == before
    assert cached.status.from_cache == {"get": 3, "list": 5}


async def test_the_error_for_what_is_not_there_is_the_servers(client: Client, cached: CachedClient) -> None:
    with pytest.raises(NotFoundError) as from_server:
        await client.get(CONFIGMAPS, "x", namespace="shop")
    with pytest.raises(NotFoundError) as from_cache:
        await cached.get(CONFIGMAPS, "x", namespace="shop")
    one, other = from_server.value, from_cache.value
    assert str(one) == str(other)
    assert (one.status, one.reason, dict(one.details)) == (other.status, other.reason, dict(other.details))


async def test_what_no_cache_contains_is_asked_of_the_server(cached: CachedClient) -> None:
    assert str((await cached.get(CONFIGMAPS, "d", namespace="default")).origin) == "server"
    assert names(await cached.list(CONFIGMAPS)) == ["a", "b", "c", "d"]
    assert (await cached.list(SERVICES, namespace="shop")).origin.source == "server"
    assert cached.status.from_server == {"not covered": 3}


async def test_an_object_in_a_cache_of_a_part_is_an_answer_and_its_absence_is_none(
    client: Client, factory: SharedInformerFactory
) -> None:
    factory.informer(CONFIGMAPS, label_selector="app=web")
    await factory.wait_for_cache_sync(10)
    cached = client.cached(factory)
    assert (await cached.get(CONFIGMAPS, "a", namespace="shop")).origin.source == "cache"
    assert (await cached.get(CONFIGMAPS, "c", namespace="shop")).origin.source == "server"


async def test_an_informer_whose_scope_can_change_leaves_its_questions_to_the_server(
    client: Client, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("shop"))
    await informer.synced(10)
    cached = client.cached(factory)
    await informer.set_scope(Namespaces("default"), timeout=60)
    assert (await cached.get(CONFIGMAPS, "a", namespace="shop")).origin.source == "server"
    assert names(await cached.list(CONFIGMAPS, namespace="shop")) == ["a", "b", "c"]


async def test_a_list_of_a_namespace_follows_writes_scopes_and_the_end_of_its_informer_each_time(
    client: Client, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("shop"))
    await informer.synced(10)
    cached = client.cached(factory)

    async def listed() -> tuple[list[str], str]:
        found = await cached.list(CONFIGMAPS, namespace="shop")
        return names(found), found.origin.source

    for _ in range(3):
        assert await listed() == (["a", "b", "c"], "cache")
    await cached.create(CONFIGMAPS, config_map("e"))
    for _ in range(3):
        assert await listed() == (["a", "b", "c", "e"], "cache")
    await informer.set_scope(Namespaces("default"), timeout=60)
    assert await listed() == (["a", "b", "c", "e"], "server")
    await informer.set_scope(Namespaces("shop"), timeout=60)
    for _ in range(2):
        assert await listed() == (["a", "b", "c", "e"], "cache")
    await informer.stop()
    assert await listed() == (["a", "b", "c", "e"], "server")
    with pytest.raises(CacheMissError):
        await client.cached(factory, missing="error").list(CONFIGMAPS, namespace="shop")


async def test_questions_that_no_cache_can_answer_are_refused_with_the_reason_of_each(
    client: Client, factory: SharedInformerFactory
) -> None:
    cached = client.cached(factory, missing="error")
    with pytest.raises(CacheMissError, match="no informer of the factory contains the question; start such") as error:
        await cached.get(CONFIGMAPS, "a", namespace="shop")
    assert error.value.reasons == {}
    informer = factory.informer(CONFIGMAPS, namespace="shop")
    with pytest.raises(CacheMissError, match="list configmaps.v1 in shop .* has not synced") as error:
        await cached.list(CONFIGMAPS, namespace="shop")
    assert error.value.reasons == {informer.name: "not synced"}
    await informer.synced(10)
    assert names(await cached.list(CONFIGMAPS, namespace="shop")) == ["a", "b", "c"]
    with pytest.raises(CacheMissError, match="older than max_age"):
        await cached.list(CONFIGMAPS, namespace="shop", max_age=0.0)
    await informer.stop()
    with pytest.raises(CacheMissError, match="no informer of the factory contains the question"):
        await cached.get(CONFIGMAPS, "a", namespace="shop")
    assert cached.status.refused == 4


async def test_a_question_starts_an_informer_which_answers_the_next_ones(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    cached = client.cached(factory, missing="start")
    both = await asyncio.gather(*(cached.get(CONFIGMAPS, name, namespace="shop") for name in "ab"))
    assert [obj.origin.source for obj in both] == ["cache"] * 2
    assert names(await cached.list(CONFIGMAPS, namespace="shop", label_selector="app=web")) == ["a", "b"]
    assert cached.status.started == len(factory.informers) == 1
    assert server.count("list", "configmaps") + server.count("watch", "configmaps") <= 2
    assert (await cached.get(NAMESPACES, "shop")).origin.source == "cache"
    assert not any(informer.on_demand for informer in factory.informers.values())


async def test_an_informer_that_may_not_list_leaves_its_questions_to_the_server(
    server: ApiServer,
) -> None:
    server.tokens["secret"] = "alice"
    for verb in ("list", "watch"):
        server.deny("alice", verb, "configmaps")
    async with (
        Client(ClusterConfig.for_server(server.url, token="secret")) as client,
        SharedInformerFactory(client) as factory,
    ):
        cached = client.cached(factory, missing="start")
        for _ in range(2):
            assert (await cached.get(CONFIGMAPS, "a", namespace="shop")).origin.source == "server"
        assert cached.status.started == 1
        # Nothing keeps it but a use that is over, so it ends, and what one question asked for makes no service unready.
        (informer,) = factory.informers.values()
        assert informer.on_demand
        assert health_answer({informer.name: informer}, ready=True).status == 200
        factory.informer(CONFIGMAPS, namespace="shop")
        assert health_answer({informer.name: informer}, ready=True).status == 503


async def test_a_factory_that_does_not_run_starts_nothing(client: Client) -> None:
    factory = SharedInformerFactory(client)
    cached = client.cached(factory, missing="start")
    with pytest.raises(NotStartedError, match="factory has not been started"):
        await cached.get(CONFIGMAPS, "a", namespace="shop")
    await factory.stop()
    with pytest.raises(StoppedError, match="factory has stopped"):
        await cached.get(CONFIGMAPS, "a", namespace="shop")


@pytest.mark.parametrize("settings", [{"trim": Trim()}, {}])
async def test_caches_that_cut_objects_answer_only_callers_that_accept_it(
    client: Client, settings: dict[str, Any]
) -> None:
    async with SharedInformerFactory(client, **settings) as factory:
        factory.informer(CONFIGMAPS, namespace="shop", transform=None if settings else lambda obj: obj)
        await factory.wait_for_cache_sync(10)
        cached = client.cached(factory)
        assert (await cached.get(CONFIGMAPS, "a", namespace="shop")).origin.source == "server"
        assert (await cached.list(CONFIGMAPS, namespace="shop")).origin.source == "server"
        assert cached.status.from_server == {"not whole": 2}
        enough: Any = "trimmed" if settings else "transformed"
        assert (await cached.get(CONFIGMAPS, "a", namespace="shop", accept=enough)).origin.source == "cache"
        assert (await client.cached(factory, accept=enough).list(CONFIGMAPS, namespace="shop")).origin.source == "cache"
        with pytest.raises(ValueError, match="accept='some'"):
            await cached.get(CONFIGMAPS, "a", namespace="shop", accept="some")  # type: ignore[arg-type]


async def test_reads_show_what_was_written_while_the_watch_is_silent(
    server: ApiServer, client: Client, factory: SharedInformerFactory, cached: CachedClient
) -> None:
    async with asyncio.timeout(60):
        while not server.open_watches:
            await asyncio.sleep(0.001)
    server.faults.freeze_watches()
    quick = client.cached(factory, patience=0.05)
    await client.patch(CONFIGMAPS, "a", {"data": {"k": "new"}}, namespace="shop")
    got = await cached.get(CONFIGMAPS, "a", namespace="shop")
    assert (got["data"], got.origin.source) == ({"k": "new"}, "cache")
    # The watch alone brings deletions: the caches are behind, and the server is asked.
    await quick.delete(CONFIGMAPS, "b", namespace="shop")
    with pytest.raises(NotFoundError) as error:
        await quick.get(CONFIGMAPS, "b", namespace="shop")
    assert not hasattr(error.value, "__notes__")
    listed = await quick.list(CONFIGMAPS, namespace="shop")
    assert (names(listed), listed.origin.source) == (["a", "c"], "server")
    assert quick.status.from_server == {"behind own writes": 2}
    assert (await quick.get(CONFIGMAPS, "c", namespace="shop")).origin.source == "cache"
    server.faults.clear()
    assert (
        await cached.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version))
    ).origin.source == "cache"


async def test_a_list_is_not_older_than_the_version_that_was_asked_for(
    server: ApiServer, client: Client, factory: SharedInformerFactory, cached: CachedClient
) -> None:
    server.patch("v1", "ConfigMap", "a", {"data": {"k": "x"}}, namespace="shop")
    listed = await cached.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version))
    assert {obj.name: obj["data"]["k"] for obj in listed} == {"a": "x", "b": "b", "c": "c"}
    assert listed.origin.source == "cache"
    later = client.cached(factory, patience=0.01, missing="error")
    with pytest.raises(CacheMissError, match="has not reached the version"):
        await later.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version + 1))


async def test_an_apply_is_sent_only_if_it_changes_something(server: ApiServer, cached: CachedClient) -> None:
    wanted = config_map("new", {"size": "1"}, app="web")

    async def applied(manifest: dict[str, Any], **options: Any) -> str:
        answer = await cached.apply(CONFIGMAPS, manifest, field_manager="us", **options)
        assert answer["data"].items() >= manifest["data"].items()
        return answer.origin.source

    assert [await applied(wanted) for _ in range(3)] == ["server", "cache", "cache"]
    # Another manager adds a field of its own: that is none of ours.
    server.patch("v1", "ConfigMap", "new", {"data": {"theirs": "1"}}, namespace="shop")
    await cached.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version))
    assert await applied(wanted) == "cache"
    # It takes one of ours.
    server.patch("v1", "ConfigMap", "new", {"data": {"size": "2"}}, namespace="shop")
    await cached.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version))
    with pytest.raises(ApplyConflictError):
        await applied(wanted)
    assert [await applied(wanted, force=True) for _ in range(2)] == ["server", "cache"]
    # We want one more, then one less.
    more = config_map("new", {"size": "1", "colour": "red"}, app="web")
    assert [await applied(more) for _ in range(2)] == ["server", "cache"]
    assert [await applied(wanted) for _ in range(2)] == ["server", "cache"]
    assert server.get("v1", "ConfigMap", "new", namespace="shop")["data"] == {"size": "1", "theirs": "1"}
    assert await applied(wanted, dry_run=True) == "server"
    assert cached.status.applies_sent == 6
    assert sum(cached.status.applies_saved.values()) == 6


async def test_a_field_that_was_changed_and_changed_back_is_taken_again(
    server: ApiServer, cached: CachedClient
) -> None:
    wanted = config_map("new", {"size": "1"})
    await cached.apply(CONFIGMAPS, wanted, field_manager="us")
    for size in "21":
        server.patch("v1", "ConfigMap", "new", {"data": {"size": size}}, namespace="shop")
    await cached.list(CONFIGMAPS, namespace="shop", resource_version=str(server.resource_version))
    again = await cached.apply(CONFIGMAPS, wanted, field_manager="us")
    assert again.origin.source == "server"
    managers = {e["manager"] for e in again["metadata"]["managedFields"] if "f:data" in e["fieldsV1"]}
    assert "us" in managers


async def test_a_process_that_begins_applies_nothing_that_is_so(
    client: Client, factory: SharedInformerFactory, cached: CachedClient
) -> None:
    wanted = config_map("new", {"size": "1"}, app="web")
    await cached.apply(CONFIGMAPS, wanted, field_manager="us")
    another = client.cached(factory)
    assert (await another.apply(CONFIGMAPS, wanted, field_manager="us")).origin.source == "cache"
    assert another.status.applies_saved == {"same fields": 1}
    assert (await another.apply(CONFIGMAPS, wanted, field_manager="others")).origin.source == "server"


async def test_what_is_trimmed_is_compared_by_version(server: ApiServer, client: Client) -> None:
    async with SharedInformerFactory(client, trim=Trim()) as factory:
        factory.informer(CONFIGMAPS)
        await factory.wait_for_cache_sync(10)
        cached = client.cached(factory)
        wanted = config_map("new", {"size": "1"})
        sources = [(await cached.apply(CONFIGMAPS, wanted, field_manager="us")).origin.source for _ in range(2)]
        assert sources == ["server", "cache"]
        # Whether this concerns a field of ours does not show: the next apply is sent, and the one after it is not.
        server.patch("v1", "ConfigMap", "new", {"data": {"theirs": "1"}}, namespace="shop")
        await cached.list(CONFIGMAPS, accept="trimmed", resource_version=str(server.resource_version))
        sources = [(await cached.apply(CONFIGMAPS, wanted, field_manager="us")).origin.source for _ in range(2)]
        assert sources == ["server", "cache"]


async def test_an_apply_whose_answer_was_lost_is_sent_again(server: ApiServer, cached: CachedClient) -> None:
    wanted = config_map("new", {"size": "1"})
    for _ in range(2):
        await cached.apply(CONFIGMAPS, wanted, field_manager="us")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cached.apply(CONFIGMAPS, config_map("new", {"size": "2"}), field_manager="us")
    assert (await cached.apply(CONFIGMAPS, wanted, field_manager="us")).origin.source == "server"
    assert server.get("v1", "ConfigMap", "new", namespace="shop")["data"] == {"size": "1"}


async def test_the_other_verbs_are_the_clients(server: ApiServer, cached: CachedClient) -> None:
    made = await cached.create(CONFIGMAPS, config_map("new"))
    changed = await cached.replace(CONFIGMAPS, made.to_dict() | {"data": {"n": "1"}})
    assert (await cached.get(CONFIGMAPS, "new", namespace="shop")) == changed
    await cached.patch(CONFIGMAPS, "new", {"data": {"n": "2"}}, namespace="shop")
    assert (await cached.get(CONFIGMAPS, "new", namespace="shop"))["data"] == {"n": "2"}
    space = await cached.get(NAMESPACES, "shop")
    await cached.replace_status(NAMESPACES, space.to_dict() | {"status": {"phase": "Active"}})
    await cached.patch_status(NAMESPACES, "shop", {"status": {"phase": "Active"}})
    await cached.delete(CONFIGMAPS, "new", namespace="shop")
    with pytest.raises(NotFoundError):
        await cached.get(CONFIGMAPS, "new", namespace="shop")
    gone = await cached.delete_collection(CONFIGMAPS, namespace="shop", label_selector="app=web")
    assert names(gone) == ["a", "b"]
    assert names(await cached.list(CONFIGMAPS, namespace="shop")) == ["c"]
    assert await cached.resolve("cm") == CONFIGMAPS


async def test_wrong_arguments_are_refused(client: Client, factory: SharedInformerFactory) -> None:
    async with Client(client.config) as another:
        with pytest.raises(ValueError, match="the factory lists with another client"):
            another.cached(factory)
    arguments: tuple[tuple[dict[str, Any], str], ...] = (
        ({"missing": "guess"}, "missing='guess'"),
        ({"max_age": -1.0}, "max_age=-1.0"),
        ({"patience": -1.0}, "patience=-1.0"),
        ({"accept": "some"}, "accept='some'"),
    )
    for wrong, words in arguments:
        with pytest.raises(ValueError, match=words):
            client.cached(factory, **wrong)
    cached = client.cached(factory)
    with pytest.raises(ValueError, match="needs a name"):
        await cached.get(CONFIGMAPS, {"metadata": {}})
    with pytest.raises(ValueError, match="cluster-scoped"):
        await cached.list(NAMESPACES, namespace="shop")


async def test_a_cached_client_that_is_dropped_is_forgotten(client: Client, cached: CachedClient) -> None:
    before = len(client._writes)
    more = client.cached(cached._factory)
    assert len(client._writes) == before + 1
    del more
    gc.collect()
    assert len(client._writes) == before


async def test_names_and_keys_mean_the_same_as_resources_and_objects(server: ApiServer, client: Client) -> None:
    factory = SharedInformerFactory(client)
    factory.informer(CONFIGMAPS)
    cached = client.cached(factory)
    async with factory:
        await factory.wait_for_cache_sync()
        made = await cached.create("cm", {"metadata": {"name": "named"}}, namespace="default")
        for resource in (CONFIGMAPS, "configmaps", "cm"):
            found = await cached.get(resource, made.key)
            assert found.uid == made.uid
            assert found.origin.source == "cache"
            assert made.uid in [each.uid for each in await cached.list(resource, namespace="default")]
            applied = await cached.apply(
                resource, {"metadata": {"name": "named"}}, namespace="default", field_manager="t"
            )
            assert applied.name == "named"
        await cached.delete("cm", made)
