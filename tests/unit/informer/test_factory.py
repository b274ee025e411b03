"""SharedInformerFactory: what is shared, what is not, and what wrong use is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import resources
from kinformer.backoff import Backoff
from kinformer.errors import (
    AlreadyStartedError,
    CacheSyncError,
    ConnectError,
    LifecycleError,
    SelectorError,
    StoppedError,
    UnknownResourceError,
    api_error,
)
from kinformer.informer._api_versions import AppsV1, CoreV1
from kinformer.informer.factory import SharedInformerFactory
from kinformer.resources import DEPLOYMENTS, NODES, PODS, Resource
from kinformer.status import InformerState
from tests.sources import FakeSource, now, pod, settled

if TYPE_CHECKING:
    from kinformer.informer import SharedInformer

pytestmark = pytest.mark.looptime

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


class FakeSources:
    """A client whose sources the test sets by resource; records what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Resource, dict[str, Any]]] = []
        self.sources: list[FakeSource] = []
        self.list_errors: dict[Resource, list[Any]] = {}

    def list_watch(self, resource: Resource, **scope: Any) -> FakeSource:
        self.asked.append((resource, scope))
        source = FakeSource(resource=resource)
        source.list_errors = self.list_errors.get(resource, [])
        self.sources.append(source)
        return source

    async def resolve(self, name: str) -> Resource:
        if name in {"wd", "widgets.v1.example.com"}:
            return WIDGETS
        msg = f"the server has no resource {name!r}"
        raise UnknownResourceError(msg)


async def test_one_identity_is_one_informer_however_it_is_asked_for() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client)
    pods = factory.core.v1.pods
    assert pods is factory.core.v1.pods
    assert pods is factory.informer(PODS)
    assert pods is factory.informer("po")
    assert pods is factory.informer("Pod")
    assert pods is factory.informer(Resource("", "v1", "pods", "Pod"))
    assert len(client.asked) == 1


async def test_selectors_are_compared_by_meaning() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client)
    one = factory.informer(PODS, label_selector="app=web,tier in (b, a)")
    assert one is factory.informer(PODS, label_selector="tier in (a,b),app==web")
    assert one is not factory.informer(PODS, label_selector={"app": "web"})
    assert client.asked[0][1]["label_selector"] == "app=web,tier in (a,b)"


@pytest.mark.parametrize(
    "scope",
    [
        {"namespace": "web"},
        {"label_selector": "app=web"},
        {"field_selector": "spec.nodeName=n1"},
        {"metadata_only": True},
    ],
    ids=lambda scope: next(iter(scope)),
)
async def test_every_part_of_the_scope_makes_an_informer_of_its_own(scope: dict[str, Any]) -> None:
    factory = SharedInformerFactory(FakeSources())
    assert factory.informer(PODS, **scope) is not factory.informer(PODS)
    assert factory.informer(PODS, **scope) is factory.informer(PODS, **scope)


async def test_the_factorys_namespace_holds_for_informers_that_name_none() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client, namespace="web")
    assert factory.core.v1.pods is factory.informer(PODS, namespace="web")
    assert factory.informer(PODS, namespace="") is not factory.core.v1.pods
    _ = factory.core.v1.nodes  # cluster-scoped: no namespace
    assert [scope["namespace"] for _, scope in client.asked] == ["web", None, None]
    assert str(factory.core.v1.pods.lister.key_of("a")) == "web/a"  # the only namespace needs no mention


async def test_every_watchable_built_in_has_its_attribute_and_constant() -> None:
    factory = SharedInformerFactory(FakeSources())
    reached = set()
    for group in vars(type(factory).__mro__[1]):
        if group.startswith("_"):
            continue
        versions = getattr(factory, group)
        for version in vars(type(versions)):
            if version.startswith("_"):
                continue
            served = getattr(versions, version)
            reached |= {getattr(served, name).resource for name in vars(type(served)) if not name.startswith("_")}
    assert reached == {resource for resource in resources.BUILTIN if resource.watchable}
    assert AppsV1.deployments.resource is DEPLOYMENTS
    assert CoreV1.pods.__doc__ == "The informer of pods.v1, the same one each time."


async def test_starting_starts_all_asked_for_and_later_ones_by_themselves() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client)
    pods = factory.core.v1.pods
    async with factory:
        await factory.wait_for_cache_sync(timeout=1)
        nodes = factory.core.v1.nodes
        assert nodes.status.state is InformerState.LISTING
        await factory.wait_for_cache_sync(timeout=1)
        assert pods.has_synced
        assert nodes.has_synced
        await settled()
        assert [source.open_streams for source in client.sources] == [1, 1]
    assert [source.open_streams for source in client.sources] == [0, 0]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_custom_resource_is_found_by_discovery() -> None:
    factory = SharedInformerFactory(FakeSources())
    widgets = await factory.discover("wd")
    assert widgets is factory.informer(WIDGETS)
    assert widgets is await factory.discover("widgets.v1.example.com")
    with pytest.raises(UnknownResourceError, match="no resource 'nosuch'"):
        await factory.discover("nosuch")


async def test_sync_that_takes_too_long_names_each_cache_and_its_last_error() -> None:
    client = FakeSources()
    client.list_errors = {
        PODS: [api_error(403, {"message": 'pods is forbidden: User "bob" cannot list'}) for _ in range(99)],
        NODES: [ConnectError("cannot connect to https://10.0.0.1:6443: refused") for _ in range(99)],
    }
    factory = SharedInformerFactory(client, backoff=Backoff(jitter=0))
    for informer in (factory.core.v1.pods, factory.core.v1.nodes, factory.core.v1.services):
        assert not informer.has_synced
    async with factory:
        with pytest.raises(CacheSyncError) as info:
            await factory.wait_for_cache_sync(timeout=5)
        assert now() == pytest.approx(5, abs=0.01)
    assert str(info.value) == (
        '2 of 3 caches are not in sync after 5 s: pods.v1: pods is forbidden: User "bob" cannot list (403); '
        "nodes.v1: cannot connect to https://10.0.0.1:6443: refused"
    )
    assert set(info.value.causes) == {"pods.v1", "nodes.v1"}
    assert isinstance(info.value, TimeoutError)


async def test_errors_of_all_informers_reach_on_error() -> None:
    client = FakeSources()
    client.list_errors = {PODS: [ConnectError("refused")]}
    told: list[str] = []

    def on_error(error: Exception, informer: SharedInformer) -> None:
        told.append(f"{informer.name}: {error}")

    factory = SharedInformerFactory(client, on_error=on_error)
    assert factory.core.v1.pods is not None
    async with factory:
        await factory.wait_for_cache_sync(timeout=5)
    assert told == ["pods.v1: refused"]


async def test_one_informer_can_be_stopped_alone() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client)
    pods, nodes = factory.core.v1.pods, factory.core.v1.nodes
    async with factory:
        await factory.wait_for_cache_sync(timeout=1)
        await pods.stop()
        await settled()
        assert pods.status.state is InformerState.STOPPED
        assert nodes.status.state is InformerState.WATCHING
        again = factory.core.v1.pods
        assert again is not pods  # a new one takes its place
        await again.synced(timeout=1)


async def test_wrong_use_is_answered_at_once_and_helpfully() -> None:
    factory = SharedInformerFactory(FakeSources())
    with pytest.raises(
        UnknownResourceError, match=r"'widgets.v1.example.com' is no built-in .*`await factory.discover"
    ):
        factory.informer("widgets.v1.example.com")
    with pytest.raises(UnknownResourceError, match="cannot be watched"):
        factory.informer("tokenreviews")
    with pytest.raises(SelectorError, match="at position 4"):
        factory.informer(PODS, label_selector="app b")
    with pytest.raises(ValueError, match="nodes are cluster-scoped"):
        factory.informer(NODES, namespace="web")
    with pytest.raises(LifecycleError, match="has not been started"):
        await factory.wait_for_cache_sync()
    factory.informer(PODS, transform=dict)
    with pytest.raises(ValueError, match="another transform"):
        factory.informer(PODS, transform=lambda manifest: manifest)
    async with factory:
        with pytest.raises(AlreadyStartedError, match="started already"):
            factory.start()
    with pytest.raises(StoppedError, match="make a new"):
        factory.start()
    with pytest.raises(StoppedError):
        factory.informer(NODES)
    await factory.stop()


async def test_a_thousand_requests_make_fifty_informers_and_fifty_watches() -> None:
    client = FakeSources()
    factory = SharedInformerFactory(client)
    heard = 0

    def count(event: object) -> None:
        nonlocal heard
        heard += 1

    async with factory:
        for request in range(1000):
            factory.informer(PODS, namespace=f"ns-{request % 50}").add_event_handler(count)
        await factory.wait_for_cache_sync(timeout=5)
        await settled()
        assert len(client.sources) == 50
        assert [source.open_streams for source in client.sources] == [1] * 50
        for source in client.sources:
            source.stream.added(pod("a", 11))
        await settled()
    assert heard == 1000
