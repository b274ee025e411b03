"""Whatever is awaited in another event loop than its own is refused with an error that says so, and never hangs."""

from __future__ import annotations

import asyncio
import enum
import importlib
import inspect
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

from kinformer import (
    Client,
    ClusterConfig,
    Controller,
    EventRecorder,
    Finalizer,
    Fleet,
    Labels,
    LeaderElector,
    Manager,
    ShardGroup,
    SharedInformerFactory,
    WorkQueue,
    retry_on_conflict,
)
from kinformer.cache.delta_fifo import DeltaFIFO
from kinformer.custom_resources import custom_resource
from kinformer.errors import StoppedError, WrongLoopError
from kinformer.integrations.settling import Settled
from kinformer.integrations.status_endpoint import StatusServer
from kinformer.operators.evictions import evict
from kinformer.operators.status_conditions import StatusCondition, write_conditions
from kinformer.proxy import CacheProxy, WorkerCaches
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import ApiServer
from kinformer.webhooks import CertificateFiles, Webhooks, WebhookServer
from kinformer.workqueue import RateLimitingQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MODULES = (
    *("kinformer", "kinformer.testing", "kinformer.integrations.fastapi"),
    *("kinformer.integrations.starlette", "kinformer.integrations.settling", "kinformer.integrations.status_endpoint"),
    *("kinformer.integrations.ui", "kinformer.integrations.prometheus", "kinformer.proxy", "kinformer.webhooks"),
    *("kinformer.operators.evictions", "kinformer.operators.status_conditions", "kinformer.operators.shard_group"),
)
SPECIAL = ("__aenter__", "__aexit__", "__anext__", "__call__")
LEAVE = (None, None, None)


class Fields(msgspec.Struct):
    """As much of a ConfigMap as is needed here."""

    data: dict[str, str] | None = None


@custom_resource(group="example.com", version="v1")
class Website(msgspec.Struct):
    """A class with a CRD."""

    spec: Fields


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class World:
    """One of everything, started in the loop that `begin` runs in."""

    async def begin(self) -> None:
        self.stack = stack = AsyncExitStack()
        self.server = await stack.enter_async_context(ApiServer())
        self.server.create(config_map("a"))
        config = ClusterConfig.for_server(self.server.url)
        self.client = await stack.enter_async_context(Client(config))
        self.factory = SharedInformerFactory(self.client, namespace="default")
        self.informer = self.factory.core.v1.configmaps
        self.scoped = self.factory.informer(PODS, scope=Labels("a=b"))
        self.typed = self.factory.informer(CONFIGMAPS, type=Fields)
        self.cached = self.client.cached(self.factory)
        self.registration = self.informer.add_event_handler(lambda event: None)
        await stack.enter_async_context(self.factory)
        await self.factory.wait_for_cache_sync(timeout=60)
        self.obj = await self.client.get(CONFIGMAPS, "a", namespace="default")
        # Handlers that never end, so that what waits for them would wait for ever.
        self.busy = self.informer.add_event_handler(self._never)
        self.controller = Controller("c", self._never, grace=0.1)
        self.controller.watches(self.informer)
        await stack.enter_async_context(self.controller)
        self.elector = LeaderElector(self.client, "lease", namespace="default")
        self.leadership = await stack.enter_async_context(self.elector)
        self.recorder = await stack.enter_async_context(EventRecorder(self.client, "test"))
        self.status = await stack.enter_async_context(StatusServer(self.factory, port=0))
        self.manager = await stack.enter_async_context(Manager(port=0))
        self.proxy = await stack.enter_async_context(CacheProxy(self.client, [CONFIGMAPS], listen="127.0.0.1:0"))
        self.webhooks = await stack.enter_async_context(WebhookServer(Webhooks(), self._certificate(), port=0))
        self.group = await stack.enter_async_context(self._group("group"))
        self.other_group = self._group("other-group")
        self.fleet = await stack.enter_async_context(Fleet({"one": config}))
        shared = await stack.enter_async_context(Client(config))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.workers = await stack.enter_async_context(WorkerCaches(shared, folder))
        self.settled = Settled(self.server, self.factory)
        self.finalizer = Finalizer(self.client, "example.com/f")
        kept = config_map("kept")
        kept["metadata"]["finalizers"] = ["example.com/f"]
        self.kept = await self.client.create(CONFIGMAPS, kept)
        self.queue: WorkQueue[str] = WorkQueue()
        self.limiting: RateLimitingQueue[str] = RateLimitingQueue()
        self.fifo = DeltaFIFO()
        self.events = self.informer.events(initial=False)
        loop = asyncio.get_running_loop()
        self.waits = [loop.create_task(wait()) for wait in (self.queue.get, self.limiting.get, self.fifo.wait)]
        await asyncio.sleep(0)
        for queue in (self.queue, self.limiting):
            queue.add("under way")
        await asyncio.gather(*self.waits[:2])
        # Another informer that is not started yet, and one more of everything that has a start.
        self.unstarted = SharedInformerFactory(self.client, namespace="default")
        self.new = self.unstarted.core.v1.configmaps
        self.another = LeaderElector(self.client, "other", namespace="default")

    def _group(self, name: str) -> ShardGroup:
        return ShardGroup(self.client, name, namespace="default", by="namespace")

    def _certificate(self) -> CertificateFiles:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        leaf = trustme.CA().issue_cert("localhost")
        leaf.cert_chain_pems[0].write_to_path(folder / "crt")
        leaf.private_key_pem.write_to_path(folder / "key")
        return CertificateFiles(folder / "crt", folder / "key")

    async def _never(self, _: Any) -> None:
        await asyncio.Event().wait()

    async def end(self) -> None:
        for wait in self.waits:
            wait.cancel()
        await self.stack.aclose()


VERBS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "apply": lambda c: c.apply(CONFIGMAPS, config_map("z"), field_manager="t"),
    "create": lambda c: c.create(CONFIGMAPS, config_map("z")),
    "delete": lambda c: c.delete(CONFIGMAPS, "a", namespace="default"),
    "delete_collection": lambda c: c.delete_collection(CONFIGMAPS, namespace="default"),
    "patch": lambda c: c.patch(CONFIGMAPS, "a", {"data": {}}, namespace="default"),
    "patch_status": lambda c: c.patch_status(PODS, "a", {"status": {}}, namespace="default"),
    "replace": lambda c: c.replace(CONFIGMAPS, config_map("a")),
    "replace_status": lambda c: c.replace_status(PODS, {**config_map("a"), "kind": "Pod"}),
    "scale": lambda c: c.scale("deployments", "a", 1, namespace="default"),
    "resolve": lambda c: c.resolve("widgets.example.com"),
}
READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "get": lambda c: c.get(PODS, "elsewhere", namespace="kube-system"),
    "list": lambda c: c.list(PODS, namespace="kube-system"),
}


def _of(part: str, verbs: dict[str, Callable[[Any], Awaitable[object]]]) -> dict[str, Any]:
    def made(verb: Callable[[Any], Awaitable[object]]) -> Callable[[World], Awaitable[object]]:
        return lambda world: verb(getattr(world, part))

    return {name: made(verb) for name, verb in verbs.items()}


async def _iterate(world: World) -> None:
    await anext(world.client.list_watch(PODS).list())


async def _watch(world: World) -> None:
    async with world.client.list_watch(PODS).watch(resource_version="1", timeout_seconds=9) as batches:
        await anext(batches)


async def _next_of_none(world: World) -> None:
    world.events.take_waiting()
    await anext(world.events)


async def _item(queue: WorkQueue[str]) -> None:
    async with queue.item():
        pass


CALLS: dict[str, Callable[[World], Awaitable[object]]] = {
    **{f"Client.{name}": call for name, call in _of("client", VERBS | READS).items()},
    **{f"CachedClient.{name}": call for name, call in _of("cached", VERBS | READS).items()},
    "Client.__aexit__": lambda w: w.client.__aexit__(*LEAVE),
    "Client.install": lambda w: w.client.install(Website),
    "Client.openapi": lambda w: w.client.openapi("v1"),
    "Client.resources": lambda w: w.client.resources(),
    "EventRecorder.flush": lambda w: w.recorder.flush(),
    "Client.version": lambda w: w.client.version(),
    "list_watch().list": _iterate,
    "list_watch().watch": _watch,
    "SharedInformer.__aenter__": lambda w: w.new.__aenter__(),
    "SharedInformer.__aexit__": lambda w: w.informer.__aexit__(*LEAVE),
    "SharedInformer.caught_up": lambda w: w.informer.caught_up(timeout=None),
    "SharedInformer.find": lambda w: w.informer.find(w.obj.key),
    "SharedInformer.relist": lambda w: w.informer.relist(),
    "SharedInformer.set_scope": lambda w: w.scoped.set_scope(Labels("a=c")),
    "SharedInformer.stop": lambda w: w.informer.stop(),
    "SharedInformer.synced": lambda w: w.informer.synced(),
    "SharedInformer.wait_for": lambda w: w.informer.wait_for("a", lambda _: False),
    "TypedInformer.caught_up": lambda w: w.typed.caught_up(timeout=None),
    "TypedInformer.synced": lambda w: w.typed.synced(),
    "TypedInformer.wait_for": lambda w: w.typed.wait_for("a", lambda _: False),
    "SharedInformerFactory.__aenter__": lambda w: w.unstarted.__aenter__(),
    "SharedInformerFactory.__aexit__": lambda w: w.factory.__aexit__(*LEAVE),
    "SharedInformerFactory.discover": lambda w: w.factory.discover("widgets.example.com"),
    "SharedInformerFactory.stop": lambda w: w.factory.stop(),
    "SharedInformerFactory.use": lambda w: w.factory.use(CONFIGMAPS).__aenter__(),
    "SharedInformerFactory.wait_for_cache_sync": lambda w: w.factory.wait_for_cache_sync(),
    "HandlerRegistration.remove": lambda w: w.busy.remove(),
    "HandlerRegistration.synced": lambda w: w.busy.synced(),
    "EventStream.__anext__": _next_of_none,
    "Controller.__aenter__": lambda w: Controller("d", w._never).watches(w.informer).__aenter__(),
    "Controller.__aexit__": lambda w: w.controller.__aexit__(*LEAVE),
    "Controller.unwatch": lambda w: w.controller.unwatch(w.informer),
    "Controller.run": lambda w: Controller("d", w._never).watches(w.informer).run(),
    "LeaderElector.__aenter__": lambda w: w.another.__aenter__(),
    "LeaderElector.__aexit__": lambda w: w.elector.__aexit__(*LEAVE),
    "LeaderElector.run": lambda w: w.another.run(w._never),
    "Leadership.lost": lambda w: w.leadership.lost(),
    "Manager.ready": lambda w: w.manager.ready(1),
    "Manager.__aexit__": lambda w: w.manager.__aexit__(*LEAVE),
    "EventRecorder.__aexit__": lambda w: w.recorder.__aexit__(*LEAVE),
    "Finalizer.add": lambda w: w.finalizer.add(w.obj),
    "Finalizer.reconcile": lambda w: w.finalizer.reconcile(w.obj, w._never, w._never),
    "Finalizer.remove": lambda w: w.finalizer.remove(w.kept),
    "retry_on_conflict": lambda w: retry_on_conflict(w.client, w.obj, lambda obj: w.client.replace(CONFIGMAPS, obj)),
    "ShardGroup.__aenter__": lambda w: w.other_group.__aenter__(),
    "ShardGroup.__aexit__": lambda w: w.group.__aexit__(*LEAVE),
    "ShardGroup.leave": lambda w: w.group.leave(),
    "ShardGroup.changes": lambda w: anext(w.group.changes()),
    "CacheProxy.__aexit__": lambda w: w.proxy.__aexit__(*LEAVE),
    "CacheProxy.synced": lambda w: w.proxy.synced(),
    "WebhookServer.certificate_ended": lambda w: w.webhooks.certificate_ended(),
    "WebhookServer.__aexit__": lambda w: w.webhooks.__aexit__(*LEAVE),
    "evict": lambda w: evict(w.client, "a", namespace="default"),
    "write_conditions": lambda w: write_conditions(w.client, w.obj, StatusCondition("Ready", "True", "Fine", "it is")),
    "Fleet.__aexit__": lambda w: w.fleet.__aexit__(*LEAVE),
    "Fleet.leads": lambda w: w.fleet.leads(w.leadership).__aenter__(),
    "Fleet.settled": lambda w: w.fleet.settled(),
    "WorkerCaches.__aexit__": lambda w: w.workers.__aexit__(*LEAVE),
    "StatusServer.__aexit__": lambda w: w.status.__aexit__(*LEAVE),
    "Settled.__call__": lambda w: w.settled(),
    "ApiServer.__aexit__": lambda w: w.server.__aexit__(*LEAVE),
    "ApiServer.stop": lambda w: w.server.stop(),
    "ApiServer.restart": lambda w: w.server.restart(),
    "WorkQueue.get": lambda w: w.queue.get(),
    "WorkQueue.item": lambda w: _item(w.queue),
    "WorkQueue.shut_down": lambda w: w.queue.shut_down(drain=True),
    "RateLimitingQueue.get": lambda w: w.limiting.get(),
    "RateLimitingQueue.item": lambda w: _item(w.limiting),
    "RateLimitingQueue.shut_down": lambda w: w.limiting.shut_down(drain=True),
    "DeltaFIFO.pop": lambda w: w.fifo.pop(),
    "DeltaFIFO.wait": lambda w: w.fifo.wait(),
}

BEGINNINGS = "begins anew in the loop that runs; entered twice, it is refused"
APPLICATIONS = "an ASGI application or response: the server that runs it gives it its loop"
ANYWHERE = {
    **dict.fromkeys(("ApiServer.__aenter__", "ApiServer.start", "Client.__aenter__", "Manager.__aenter__"), BEGINNINGS),
    **dict.fromkeys(("EventRecorder.__aenter__", "StatusServer.__aenter__", "Manager.run"), BEGINNINGS),
    **dict.fromkeys(("ClusterConfig.load", "Informers.lifespan"), BEGINNINGS),
    **dict.fromkeys(("CacheResponse.__call__", "Dashboard.__call__", "EventStreamResponse.__call__"), APPLICATIONS),
    **dict.fromkeys(("StatusApp.__call__", "Dashboard.watch", "selector_error"), APPLICATIONS),
    **dict.fromkeys(("Lister.each", "TypedLister.each"), "reads the cache, and waits for nothing but its turn"),
    **dict.fromkeys(("CacheProxy.__aenter__", "WebhookServer.__aenter__", "Fleet.__aenter__"), BEGINNINGS),
    **dict.fromkeys(("ClusterConfig.load_contexts", "WorkerCaches.__aenter__"), BEGINNINGS),
    **dict.fromkeys(("CertificateFiles.load", "CertificateSecret.load"), "reads a certificate, with a client"),
    **dict.fromkeys(("Losing.__aenter__", "Losing.__aexit__"), "of `ShardGroup.changes`; waits for nothing"),
    **dict.fromkeys(("Webhooks.__call__", "Webhooks.answer"), APPLICATIONS),
    "EventStream.__aenter__": "waits for nothing",
    "EventStream.__aexit__": "waits for nothing",
    "EventStream.aclose": "waits for nothing",
    "Faults.down": "stops and starts the ApiServer",
    "Faults.intercept": "called by the server",
}


def awaitable_calls() -> Iterator[str]:
    """Yield the public coroutine functions and asynchronous iterators, as "Class.method"."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.iscoroutinefunction(value):
                yield name
            if not inspect.isclass(value) or issubclass(value, enum.Enum) or "kinformer" not in value.__module__:
                continue
            if getattr(value, "_is_protocol", False):
                continue
            for attribute in dir(value):
                if attribute.startswith("_") and attribute not in SPECIAL:
                    continue
                found = inspect.getattr_static(value, attribute, None)
                function = getattr(found, "__func__", found)
                call = inspect.unwrap(function) if callable(function) else None
                if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
                    yield f"{value.__name__}.{attribute}"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, asyncio.AbstractEventLoop]]:
    home, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    made = World()
    home.run_until_complete(made.begin())
    yield made, other
    # Nothing that was refused has changed anything: all of it still runs, and ends.
    assert made.informer.is_live
    assert made.controller.queue is not None
    home.run_until_complete(asyncio.wait_for(made.end(), 30))
    assert made.informer.stopped
    assert made.client.closed
    for loop in (home, other):
        loop.close()


def test_every_public_coroutine_is_tried_or_works_in_any_loop() -> None:
    control_plane = {name for name in awaitable_calls() if name.startswith("ControlPlane.")}  # no loop of its own
    tried = {name for name in CALLS if name in set(awaitable_calls())}
    assert set(awaitable_calls()) == tried | set(ANYWHERE) | control_plane


@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_another_loop_is_refused(world: tuple[World, asyncio.AbstractEventLoop], call: str) -> None:
    made, other = world

    async def use() -> None:
        await asyncio.wait_for(CALLS[call](made), 60)

    with pytest.raises(WrongLoopError, match="another event loop and can only be used there.*loop_scope"):
        other.run_until_complete(use())


def test_an_informer_whose_client_was_entered_in_another_loop_fails_at_once() -> None:
    home, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    client = Client(ClusterConfig.for_server("http://127.0.0.1:1"))
    factory = SharedInformerFactory(client)

    async def start_and_wait() -> None:
        factory.start()  # with no informer yet, it cannot know
        informer = factory.informer(PODS, scope=Labels("a=b") | Labels("a=c"))
        await asyncio.wait_for(informer.synced(), 60)

    home.run_until_complete(client.__aenter__())
    with pytest.raises((WrongLoopError, StoppedError)):
        other.run_until_complete(start_and_wait())
    home.run_until_complete(client.__aexit__(*LEAVE))
    for loop in (home, other):
        loop.close()
