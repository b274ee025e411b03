"""Informers over scopes of several parts, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    Added,
    Client,
    ClusterConfig,
    Deleted,
    Labels,
    Namespaces,
    ObjectKey,
    Scope,
    SharedInformer,
    SharedInformerFactory,
    StoppedError,
    WaitTimeoutError,
)
from kinformer.errors import CacheSyncError, ForbiddenError
from kinformer.resources import CONFIGMAPS, NAMESPACES, NODES
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kinformer import Event

SPACES = ("a", "b", "c")


def config_map(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def names(informer: SharedInformer) -> set[str]:
    return {str(obj.key) for obj in informer.lister.list()}


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        for space in SPACES:
            server.create(build.namespace(space))
            server.create(config_map("x", space, app="x"))
            server.create(config_map("y", space, app="y"))
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as client:
        yield client


async def test_several_namespaces_are_one_cache_and_one_stream(
    server: ApiServer, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, namespace=["a", "b"])
    assert informer is factory.informer(CONFIGMAPS, scope=Namespaces("b", "a"))
    events: list[Event] = []
    informer.add_event_handler(events.append)
    await informer.synced(10)
    assert names(informer) == {"a/x", "a/y", "b/x", "b/y"}
    assert {part.scope for part in informer.status.scopes} == {"in a", "in b"}
    await until(lambda: len(events) == 4)
    assert all(isinstance(event, Added) and event.initial for event in events)
    server.create(config_map("new", "b"))
    server.create(config_map("new", "c"))
    await until(lambda: "b/new" in names(informer))
    await until(lambda: len(events) == 5)
    assert informer.is_live


async def test_a_scope_changes_without_listing_anew_what_stays(
    server: ApiServer, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
    events: list[Event] = []
    await informer.synced(10)
    informer.add_event_handler(events.append)
    await until(lambda: len(events) == 4)
    events.clear()
    await until(lambda: server.count("watch", "configmaps") == 2)
    before = server.count("watch", "configmaps") + server.count("list", "configmaps")
    await informer.set_scope(Namespaces("b", "c"), 10)
    assert names(informer) == {"b/x", "b/y", "c/x", "c/y"}
    await until(lambda: len(events) == 4)
    told = {(type(event), str(event.key), getattr(event, "out_of_scope", None)) for event in events}
    assert told == {
        (Added, "c/x", None),
        (Added, "c/y", None),
        (Deleted, "a/x", True),
        (Deleted, "a/y", True),
    }
    requests = server.count("watch", "configmaps") + server.count("list", "configmaps")
    assert requests == before + 1, "one streaming list, for the new part"
    await until(
        lambda: len([watch for watch in server.open_watches if str(watch.target.kind.plural) == "configmaps"]) == 2
    )
    server.delete("v1", "ConfigMap", "x", "b")
    await until(lambda: len(events) == 5)
    assert events[-1].key == ObjectKey("b", "x")
    assert isinstance(events[-1], Deleted)
    assert not events[-1].out_of_scope


async def test_a_part_that_is_refused_leaves_the_others_alone(server: ApiServer, client: Client) -> None:
    server.tokens["token"] = "reader"
    server.deny("reader", "*", "configmaps", "b")
    server.deny("reader", "*", "configmaps", "c")
    config = ClusterConfig.for_server(server.url, token="token")
    async with Client(config) as reader, SharedInformerFactory(reader) as factory:
        informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
        await informer.synced(10, fail_fast=True)
        assert names(informer) == {"a/x", "a/y"}
        parts = {part.scope: part for part in informer.status.scopes}
        assert parts["in a"].has_synced
        assert isinstance(parts["in b"].last_error, ForbiddenError)
        assert parts["in b"].failures
        server.allow("reader", "*", "configmaps", "b")
        await until(lambda: names(informer) == {"a/x", "a/y", "b/x", "b/y"})
        nothing = factory.informer(CONFIGMAPS, scope=Namespaces("c"))
        with pytest.raises(CacheSyncError, match="403|forbidden"):
            await nothing.synced(10, fail_fast=True)


async def test_a_tenant_is_followed_by_the_labels_of_its_namespaces(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces(labels="tenant=x") | Namespaces(glob="[c]"))
    events: list[Event] = []
    informer.add_event_handler(events.append)
    await informer.synced(10)
    assert names(informer) == {"c/x", "c/y"}
    await client.patch(NAMESPACES, "a", {"metadata": {"labels": {"tenant": "x"}}})
    await until(lambda: names(informer) == {"a/x", "a/y", "c/x", "c/y"})
    await client.patch(NAMESPACES, "a", {"metadata": {"labels": {"tenant": None}}})
    await until(lambda: names(informer) == {"c/x", "c/y"})
    await until(lambda: len(events) == 6)
    assert all(isinstance(event, Deleted) and event.out_of_scope for event in events[-2:])


async def test_own_writes_are_seen_in_the_union(client: Client, factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a") | Labels("app=x"))
    await informer.synced(10)
    for round_ in range(5):
        written = await client.patch(CONFIGMAPS, "x", {"data": {"round": str(round_)}}, namespace="a")
        await informer.caught_up(written, 5)
        found = informer.lister.get("x", namespace="a")
        assert found is not None
        assert found.resource_version == written.resource_version
    await client.delete(CONFIGMAPS, "x", namespace="a")
    await informer.caught_up(None, 5)
    assert "a/x" not in names(informer)


async def test_a_cached_client_takes_no_answer_from_a_scope_that_may_change(
    server: ApiServer, client: Client, factory: SharedInformerFactory
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
    await informer.synced(10)
    cached = client.cached(factory)
    server.create(config_map("new", "c"))
    assert (await cached.get(CONFIGMAPS, "new", namespace="c")).name == "new"
    assert len(await cached.list(CONFIGMAPS, namespace="c")) == 3
    assert len(await cached.list(CONFIGMAPS, namespace="a")) == 2


async def test_a_relist_lists_every_part(server: ApiServer, factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
    await informer.synced(10)
    await informer.relist(10)
    assert informer.status.lists["asked for"] == 2
    await factory.informer(CONFIGMAPS, scope=Scope.nothing()).relist(10)


async def test_what_cannot_be_a_scope_of_the_informer_is_refused(factory: SharedInformerFactory) -> None:
    fixed = factory.informer(CONFIGMAPS, namespace="a")
    with pytest.raises(TypeError, match="ask for the informer with scope="):
        await fixed.set_scope(Namespaces("b"))
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
    with pytest.raises(ValueError, match="metadata_only"):
        await informer.set_scope(Scope(metadata_only=True))
    nodes = factory.informer(NODES, scope=Scope())
    with pytest.raises(ValueError, match="cluster-scoped"):
        await nodes.set_scope(Namespaces("a"))
    with pytest.raises(TypeError, match="put it into the scope"):
        factory.informer(CONFIGMAPS, scope=Scope(), label_selector="a=b")
    await informer.stop()
    with pytest.raises(StoppedError, match="scope was not changed"):
        await informer.set_scope(Namespaces("b"))


async def test_a_switch_that_takes_too_long_goes_on(server: ApiServer, factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    await informer.synced(10)
    with pytest.raises(WaitTimeoutError, match="does not show its new scope"):
        await informer.set_scope(Namespaces("b"), 0)
    await until(lambda: names(informer) == {"b/x", "b/y"})


@pytest.mark.parametrize("live", [False, True])
async def test_an_informer_of_no_namespace_is_live_and_follows_those_that_come(
    server: ApiServer, factory: SharedInformerFactory, live: bool
) -> None:
    scope = Namespaces(labels="tenant=x") if live else Scope.nothing()
    informer = factory.informer(CONFIGMAPS, scope=scope)
    await informer.synced(10)
    assert (informer.is_live, informer.status.scopes) == (True, ())
    assert informer.is_fresh(75)
    if live:
        server.update(build.namespace("a", labels={"tenant": "x"}))
    else:
        await informer.set_scope(Namespaces("a"), 10)
    await until(lambda: names(informer) == {"a/x", "a/y"})
    assert informer.status.received_version
    await informer.set_scope(Scope.nothing(), 10)
    assert (informer.is_live, names(informer)) == (True, set())


async def test_a_scope_that_is_set_before_the_first_turn_of_a_started_informer_is_waited_for(
    factory: SharedInformerFactory,
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Scope.nothing())
    await informer.set_scope(Namespaces("a"), 10)
    assert (informer.has_synced, names(informer)) == (True, {"a/x", "a/y"})


async def test_a_scope_that_is_set_before_the_first_turn_fails_with_the_informer(
    factory: SharedInformerFactory,
) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Scope.nothing())
    # Its parts are cancelled before they have begun.
    setting = asyncio.gather(informer.set_scope(Namespaces("a"), 10), informer.stop(), return_exceptions=True)
    assert [type(found) for found in await setting] == [StoppedError, type(None)]


async def test_a_failure_of_a_part_that_left_the_scope_is_none_of_the_informer(
    server: ApiServer, client: Client
) -> None:
    server.tokens["token"] = "reader"
    server.deny("reader", "*", "configmaps", "b")
    config = ClusterConfig.for_server(server.url, token="token")
    async with Client(config) as reader, SharedInformerFactory(reader) as factory:
        informer = factory.informer(CONFIGMAPS, scope=Namespaces("a", "b"))
        await informer.synced(10)
        await until(lambda: informer.status.failures)
        await informer.set_scope(Scope.nothing(), 10)
        assert (informer.is_live, informer.status.failures, informer.status.retry_at) == (True, 0, None)


async def test_a_value_that_is_no_scope_is_refused_before_anything_changes(factory: SharedInformerFactory) -> None:
    informer = factory.informer(CONFIGMAPS, scope=Namespaces("a"))
    await informer.synced(10)
    values: list[Any] = ["a", ["a", "b"], {"app": "x"}, 5]
    for value in values:
        with pytest.raises(TypeError, match="is no scope: give a Scope"):
            await informer.set_scope(value)
        with pytest.raises(TypeError, match="is no scope: give a Scope"):
            factory.informer(CONFIGMAPS, scope=value)
    assert informer.scope == Namespaces("a")
