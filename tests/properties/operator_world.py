"""A control plane in memory and on virtual time, processes that run an operator against it, and what befalls both.

The rules of writing are those of `kinformer.testing`; time, the network and the processes are simulated. No garbage
collector runs, so that what an operator leaves behind stays: a kube-apiserver alone collects nothing either.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from examples.shop_operator import Shop, ShopOperator
from kinformer._own_writes.feed import WriteFeed
from kinformer.backoff import Backoff
from kinformer.client import _written as answers
from kinformer.client._typed import typed_as
from kinformer.custom_resources import resource_of
from kinformer.errors import (
    ConnectError,
    KinformerError,
    LeadershipLostError,
    StreamBrokenError,
    TransportTimeoutError,
    api_error,
)
from kinformer.informer.factory import SharedInformerFactory
from kinformer.labels import LabelSelector
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject, ObjectKey
from kinformer.operators.leader_election import LeaderElector
from kinformer.resources import DEPLOYMENTS, LEASES
from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.rules.life_cycle import DeleteOptions
from kinformer.testing._apiserver.rules.patches import apply_merge_patch, apply_strategic_patch
from kinformer.testing._apiserver.rules.writing import Write as StoredWrite
from kinformer.testing._apiserver.store.status import conflict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from kinformer._own_writes.feed import Write
    from kinformer.controller import Controller
    from kinformer.resources import Resource
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Change

SHOPS: Final = Shop.resource

CLIENT_TIMEOUT: Final = 4.0
"""Seconds after which a request is given up, as the example's client has it: below what a lost lease leaves."""

FAULTS: Final = ("503 before", "500 after", "lost before", "lost after", "409 before")

_STANDSTILL: Final = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> float:
    return asyncio.get_running_loop().time()


class Plane:
    """The API server, and what must never be."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.registry = self.server._registry
        self.store = self.server._store
        self.registry.life_cycle._collect = lambda uid: None  # type: ignore[method-assign]
        self.server.create(Shop.crd())
        self.times: dict[int, float] = {}
        self.changed: set[asyncio.Event] = set()
        self.wrongs: list[str] = []
        self.terms: list[int] = []
        self.leases = self.kind(LEASES)
        for resource in (SHOPS, DEPLOYMENTS, LEASES):
            self.store.listen(self.kind(resource).storage, self._happened)

    def kind(self, resource: Resource) -> ResourceType:
        kind = self.server._catalog.lookup(resource.group, resource.version, resource.plural)
        assert kind is not None
        return kind

    def all(self, resource: Resource, revision: int | None = None) -> list[KubeObject]:
        storage = self.kind(resource).storage
        found = self.store.all(storage) if revision is None else self.store.at(storage, revision)
        return [KubeObject.from_dict(stored.manifest, resource) for stored in found.values()]

    def shop(self, name: str) -> KubeObject | None:
        return next((shop for shop in self.all(SHOPS) if shop.name == name), None)

    def deployments_of(self, shop: KubeObject) -> list[KubeObject]:
        return [deployment for deployment in self.all(DEPLOYMENTS) if owner_of(deployment) == shop.uid]

    def seen_by(self, when: float) -> int:
        """The newest revision that had been written at a time."""
        return max((revision for revision, at in self.times.items() if at <= when), default=0)

    def update(self, kind: ResourceType, namespace: str, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Update an object, by all rules of the server; a Lease by the rule of its version alone.

        Half of all requests renew a lease, and no schedule is about the other rules for Leases.
        """
        if kind.storage != self.leases.storage:
            return self.registry.update(kind, namespace, name, manifest, StoredWrite("op"))[0].manifest
        known = self.registry.get(kind, namespace, name).manifest
        if manifest["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            raise conflict(kind, name)
        if manifest == known:
            return known
        new = {**manifest, "metadata": {**manifest["metadata"]}}
        return self.store.put(kind.storage, (namespace, name), new, custom=False).manifest

    def _happened(self, change: Change) -> None:
        self.times[change.revision] = now()
        for changed in self.changed:
            changed.set()
        self._judge(change)

    def _judge(self, change: Change) -> None:
        """What must be so after each single write."""
        obj = change.new.manifest
        name = obj["metadata"]["name"]
        if obj["kind"] == "Deployment" and change.kind == "ADDED":
            owner = KubeObject.from_dict(obj, DEPLOYMENTS).at("metadata.ownerReferences.0.uid")
            shops = [shop for shop in self.all(SHOPS) if shop.uid == owner]
            if not shops:
                self.wrongs.append(f"{now():.2f}: Deployment {name} is made for a Shop that is gone")
            elif len(self.deployments_of(shops[0])) > 1:
                self.wrongs.append(f"{now():.2f}: a second Deployment for Shop {shops[0].name}")
        if obj["kind"] == "Shop" and change.kind == "DELETED":
            left = [d.name for d in self.all(DEPLOYMENTS) if owner_of(d) == obj["metadata"]["uid"]]
            if left:
                self.wrongs.append(f"{now():.2f}: Shop {name} is gone, and Deployment {left} is left")

    def arrives(self, process: Process, term: int) -> None:
        """A write of an operator's: nobody else's later term may have begun to write."""
        if self.terms and term < self.terms[-1]:
            self.wrongs.append(f"{now():.2f}: {process.identity} writes of term {term} after {self.terms[-1]}")
        self.terms.append(term)


def owner_of(deployment: KubeObject) -> str:
    return str(deployment.at("metadata.ownerReferences.0.uid", ""))


@dataclass
class Line:
    """What lies between a replica and the server, whatever process it is.

    Attributes:
        latency: seconds that a request and an answer take, or not.
        lag: seconds that lists and watches are behind, by resource: they may come from different servers' caches.
        frozen_until: until when nothing comes through.
    """

    latency: float = 0.0
    lag: dict[Resource, float] = field(default_factory=dict)
    frozen_until: float = 0.0


class Process:
    """One life of one replica: a client with all that can go wrong between it and the server."""

    def __init__(
        self, plane: Plane, line: Line, identity: str, rng: random.Random, others: Callable[[], list[Process]]
    ) -> None:
        self.plane = plane
        self.identity = identity
        self.rng = rng
        self.others = others
        self.elector: LeaderElector | None = None
        self.feed = WriteFeed()
        self.crashed = asyncio.Event()
        self.crash_at: tuple[int, str] | None = None
        self.requests = 0
        self.faults: list[str] = []
        self.line = line
        self.breaks = asyncio.Event()

    # The verbs, as `Client` has them

    async def get(self, resource: Resource | type[Any], name: Any, *, namespace: str | None = None) -> Any:
        name, where = self._target(name, namespace)
        found = resource_of(resource)
        kind = self.plane.kind(found)
        answer = await self._request("get", found, lambda: self.plane.registry.get(kind, where, name).manifest)
        return typed_as(resource, answer)

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], *, namespace: str | None = None, field_manager: str = ""
    ) -> KubeObject:
        kind = self.plane.kind(resource)
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        where = namespace or obj["metadata"]["namespace"]
        return await self._write(
            "create", resource, lambda: self.plane.registry.create(kind, where, manifest, StoredWrite("op")).manifest
        )

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, namespace: str | None = None) -> KubeObject:
        kind = self.plane.kind(resource)
        name, where = self._target(obj, namespace)
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        return await self._write("update", resource, lambda: self.plane.update(kind, where, name, manifest))

    async def patch(
        self,
        resource: Resource,
        name: Any,
        patch: Mapping[str, Any],
        *,
        namespace: str | None = None,
        type: str = "merge",
        subresource: str = "",
        field_manager: str = "",
    ) -> KubeObject:
        kind = self.plane.kind(resource)
        name, where = self._target(name, namespace)

        def do() -> dict[str, Any]:
            current = self.plane.registry.get(kind, where, name).manifest
            if type == "strategic":
                merged = apply_strategic_patch(current, dict(patch), kind.structure)
            else:
                merged = apply_merge_patch(current, dict(patch))
            write = StoredWrite("op", subresource, patched=True)
            return self.plane.registry.update(kind, where, name, merged, write)[0].manifest

        return await self._write("patch", resource, do)

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        kind = self.plane.kind(resource)
        name, where = self._target(obj, namespace)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}

        def do() -> dict[str, Any]:
            write = StoredWrite(field_manager)
            return self.plane.registry.apply(kind, where, name, body, write, force=force)[0].manifest

        return await self._write("patch", resource, do)

    async def patch_status(
        self, resource: Resource, name: Any, patch: Mapping[str, Any], *, namespace: str | None = None
    ) -> KubeObject:
        return await self.patch(resource, name, patch, namespace=namespace, subresource="status")

    async def delete(
        self, resource: Resource, name: Any, *, namespace: str | None = None, uid: str = ""
    ) -> KubeObject | None:
        kind = self.plane.kind(resource)
        name, where = self._target(name, namespace)
        answer = await self._write(
            "delete", resource, lambda: self.plane.registry.delete(kind, where, name, DeleteOptions(uid=uid))
        )
        self.feed.accepted(answers.deleted(resource, ObjectKey(where, name), answer))
        return None if answer["kind"] == "Status" else answer

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        return self.feed.listen(listener)

    def list_watch(self, resource: Resource, **scope: Any) -> Source:
        return Source(self, resource, str(scope.get("label_selector", "")))

    async def resolve(self, name: str) -> Resource:
        raise NotImplementedError

    def _target(self, what: Any, namespace: str | None) -> tuple[str, str]:
        if isinstance(what, str):
            return what, namespace or ""
        if isinstance(what, KubeObject):
            return what.name, what.namespace
        return what["metadata"]["name"], what["metadata"].get("namespace") or namespace or ""

    async def _write(self, verb: str, resource: Resource, do: Callable[[], dict[str, Any]]) -> KubeObject:
        if resource != LEASES:
            leaders = [process.identity for process in self.others() if process.leads]
            if leaders != [self.identity]:
                self.plane.wrongs.append(f"{now():.2f}: {self.identity} writes, and {leaders} lead")
        answer = await self._request(verb, resource, do)
        if verb != "delete":
            write = answers.stored(answer)
            if write is not None:
                self.feed.accepted(write)
        return answer

    @property
    def leads(self) -> bool:
        return self.elector is not None and self.elector.is_leader

    async def _request(self, verb: str, resource: Resource, do: Callable[[], dict[str, Any]]) -> KubeObject:
        """Send a request. Once it is under way it arrives, whatever becomes of the process."""
        self.requests += 1
        self._crash_if("before")
        if self.crashed.is_set():
            raise ConnectError("this process is dead")
        fault = self.faults.pop(0) if self.faults and resource != LEASES else ""
        loop = asyncio.get_running_loop()
        there = self.rng.choice([0.0, self.line.latency]) + max(self.line.frozen_until - loop.time(), 0.0)
        term = self.elector._term.election.transitions if self.elector and self.elector._term else 0
        arrived: asyncio.Future[dict[str, Any] | KinformerError] = loop.create_future()

        def arrive() -> None:
            result: dict[str, Any] | KinformerError
            try:
                match fault:
                    case "503 before":
                        result = api_error(503)
                    case "409 before":
                        result = api_error(409, {"reason": "Conflict"}) if verb == "patch" else do()
                    case _:
                        if verb != "get" and resource != LEASES:
                            self.plane.arrives(self, term)
                        result = do()
            except Refusal as refusal:
                result = api_error(refusal.code, refusal.body)
            if not arrived.done():
                arrived.set_result(result)

        if fault != "lost before" and there < CLIENT_TIMEOUT:
            loop.call_later(there, arrive)
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                result = await arrived
                await asyncio.sleep(self.rng.choice([0.0, self.line.latency]))
        except TimeoutError:
            raise TransportTimeoutError("silent") from None
        self._crash_if("after")
        if self.crashed.is_set():
            raise ConnectError("this process is dead")
        if fault == "500 after":
            raise api_error(500)
        if fault == "lost after":
            raise StreamBrokenError("lost")
        if isinstance(result, KinformerError):
            raise result
        return KubeObject.from_dict(result, resource)

    def _crash_if(self, point: str) -> None:
        if self.crash_at is not None and self.crash_at[1] == point and self.requests >= self.crash_at[0]:
            self.crashed.set()


class Source:
    """One resource as one process sees it: `lag` seconds late."""

    def __init__(self, process: Process, resource: Resource, label_selector: str) -> None:
        self.process = process
        self._resource = resource
        self.selector = LabelSelector.parse(label_selector)

    @property
    def resource(self) -> Resource:
        return self._resource

    @property
    def streams_lists(self) -> bool:
        return False

    def covers(self, obj: KubeObject) -> bool | None:
        return self.selector.matches(obj.labels)

    def as_listed(self, obj: KubeObject) -> KubeObject:
        return obj

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        return self.process.feed.listen(listener)

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        plane, process = self.process.plane, self.process
        await self._reachable()
        revision = plane.store.revision
        if resource_version:
            lag = process.line.lag.get(self._resource, 0.0)
            revision = max(plane.seen_by(now() - lag), int(resource_version))
        objects = [obj for obj in plane.all(self._resource, revision) if self.covers(obj)]
        yield ListPage(objects, str(max(revision, 1)))

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        await self._reachable()
        changed = asyncio.Event()
        self.process.plane.changed.add(changed)
        try:
            yield self._batches(int(resource_version), changed, now() + timeout_seconds)
        finally:
            self.process.plane.changed.discard(changed)

    async def _batches(self, seen: int, changed: asyncio.Event, until: float) -> AsyncGenerator[WatchBatch, None]:
        plane, process = self.process.plane, self.process
        storage = plane.kind(self._resource).storage
        while now() < until:
            if process.breaks.is_set() or process.crashed.is_set():
                raise StreamBrokenError("broken")
            changed.clear()
            waiting = until
            for change in plane.store.since(storage, seen):
                lag = process.line.lag.get(self._resource, 0.0)
                due = max(plane.times[change.revision] + lag, process.line.frozen_until)
                if due > now():
                    # A hair more, as a timer may be a hair early.
                    waiting = due + 0.001
                    break
                seen = change.revision
                event = self._event(change)
                if event is not None:
                    yield WatchBatch([event], str(seen))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(waiting):
                    await changed.wait()

    def _event(self, change: Change) -> Delta | None:
        new = KubeObject.from_dict(change.new.manifest, self._resource)
        before = change.old is not None and self.covers(KubeObject.from_dict(change.old.manifest, self._resource))
        after = change.kind != "DELETED" and self.covers(new)
        if after:
            return Delta(DeltaType.UPDATED if before else DeltaType.ADDED, new)
        return Delta(DeltaType.DELETED, new) if before else None

    async def _reachable(self) -> None:
        line = self.process.line
        await asyncio.sleep(line.latency)
        if self.process.crashed.is_set():
            raise ConnectError("this process is dead")
        await asyncio.sleep(max(line.frozen_until - now(), 0.0))


MakeOperator = Any
"""From client, factory and elector to something with a `controller`, such as a `ShopOperator`."""


@dataclass
class Stage:
    """Two replicas, and what is done to them."""

    seed: int
    make: MakeOperator = ShopOperator
    own_writes: bool = True
    replicas: int = 2
    resync: float = 0.0
    plane: Plane = field(init=False)
    processes: list[Process | None] = field(init=False)

    def __post_init__(self) -> None:
        self.plane = Plane()
        self.rng = random.Random(self.seed)
        self.processes = [None] * self.replicas
        self.lines = [Line() for _ in range(self.replicas)]
        self._lives = itertools.count(1)

    async def run(self, steps: list[tuple[Any, ...]], quiet: float) -> None:
        """Play the steps, let all come right, and check."""
        tasks = [asyncio.get_running_loop().create_task(self._replica(i)) for i in range(self.replicas)]
        try:
            await asyncio.sleep(0)
            for step in steps:
                await self.act(step)
            self.right_again()
            await asyncio.sleep(quiet)
            self.check()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _replica(self, number: int) -> None:
        while True:
            identity = f"r{number}.{next(self._lives)}"
            process = Process(self.plane, self.lines[number], identity, self.rng, self._alive)
            self.processes[number] = process
            life = asyncio.get_running_loop().create_task(self._life(process))
            death = asyncio.get_running_loop().create_task(process.crashed.wait())
            try:
                await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
            finally:
                process.crashed.set()
                death.cancel()
                life.cancel()
                await asyncio.wait([life, death])
            await asyncio.sleep(self.rng.choice([0.0, 3.0, 20.0]))

    async def _life(self, process: Process) -> None:
        client: Any = process
        factory = SharedInformerFactory(
            client, backoff=Backoff(rng=self.rng), own_writes=self.own_writes, resync=self.resync
        )
        process.elector = LeaderElector(
            client,
            "shop-operator",
            namespace="default",
            identity=process.identity,
            wall_clock=lambda: _STANDSTILL,
            rng=self.rng,
        )
        operator = self.make(client, factory, leader=process.elector)
        controller: Controller[ObjectKey] = operator.controller
        try:
            async with factory:
                await controller.run()
        except LeadershipLostError:
            pass
        except KinformerError:
            if not process.crashed.is_set():
                raise

    async def act(self, step: tuple[Any, ...]) -> None:
        server = self.plane.server
        try:
            match step:
                case "sleep", seconds:
                    await asyncio.sleep(seconds)
                case "shop", name, replicas:
                    if self.plane.shop(name) is None:
                        spec = {"replicas": replicas}
                        server.create(
                            {"apiVersion": "example.com/v1", "kind": "Shop", "metadata": {"name": name}, "spec": spec}
                        )
                    else:
                        server.patch("example.com/v1", "Shop", name, {"spec": {"replicas": replicas}})
                case "close", name:
                    server.delete("example.com/v1", "Shop", name)
                case "touch shop", name:
                    label = str(self.plane.store.revision)
                    server.patch("example.com/v1", "Shop", name, {"metadata": {"labels": {"touched": label}}})
                case "scale by hand", index, replicas:
                    if (found := self._deployment(index)) is not None:
                        server.patch("apps/v1", "Deployment", found.name, {"spec": {"replicas": replicas}})
                case "delete by hand", index:
                    if (found := self._deployment(index)) is not None:
                        server.delete("apps/v1", "Deployment", found.name)
                case "faults", number, faults:
                    self._process(number, lambda p: p.faults.extend(faults))
                case "latency", number, seconds:
                    self.lines[self._index(number)].latency = seconds
                case "lag", number, resource, seconds:
                    self.lines[self._index(number)].lag[resource] = seconds
                case "freeze", number, seconds:
                    self.lines[self._index(number)].frozen_until = now() + seconds
                case "break", number:
                    self._process(number, lambda p: p.breaks.set())
                    await asyncio.sleep(0.01)
                    self._process(number, lambda p: p.breaks.clear())
                case "crash", number:
                    self._process(number, lambda p: p.crashed.set())
                case "crash at", number, requests, point:
                    self._process(number, lambda p: setattr(p, "crash_at", (p.requests + requests, point)))
                case _:
                    raise AssertionError(step)
        except Refusal as refusal:
            # What users do may be refused, as when there is no such Shop.
            if refusal.code not in {404, 409}:
                raise

    def right_again(self) -> None:
        for line in self.lines:
            line.latency = line.frozen_until = 0.0
            line.lag.clear()
        for changed in self.plane.changed:
            changed.set()
        for process in self._alive():
            process.faults.clear()
            process.crash_at = None

    def check(self) -> None:
        """Everything is quiet: is everything right?"""
        plane = self.plane
        wrongs = [*plane.wrongs]
        shops = plane.all(SHOPS)
        for shop in shops:
            deployments = plane.deployments_of(shop)
            if shop.at("metadata.deletionTimestamp"):
                wrongs.append(f"{shop} was never let go")
            elif [deployment.at("spec.replicas") for deployment in deployments] != [shop.at("spec.replicas")]:
                wrongs.append(f"{shop} has {deployments}, which are not one as it wants it")
            elif [condition["type"] for condition in shop.at("status.conditions", [])] != ["Ready"]:
                wrongs.append(f"{shop} does not say how it is")
        if len(plane.all(DEPLOYMENTS)) > len(shops):
            wrongs.append(f"of {plane.all(DEPLOYMENTS)}, not all are of {shops}")
        leaders = [process.identity for process in self._alive() if process.leads]
        if len(leaders) != 1:
            wrongs.append(f"{leaders} lead")
        assert not wrongs, wrongs

    def _alive(self) -> list[Process]:
        return [process for process in self.processes if process is not None]

    def _deployment(self, index: int) -> KubeObject | None:
        there = sorted(self.plane.all(DEPLOYMENTS), key=lambda deployment: deployment.name)
        return there[index % len(there)] if there else None

    def _process(self, number: int, do: Callable[[Process], object]) -> None:
        process = self.processes[self._index(number)]
        if process is not None:
            do(process)

    def _index(self, number: int) -> int:
        """0 is the replica that leads just now, 1 the other one."""
        leading = [index for index, process in enumerate(self.processes) if process is not None and process.leads]
        return (number + (leading[0] if leading else 0)) % self.replicas
