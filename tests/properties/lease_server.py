"""Leases as an API server stores them, on virtual time, and clients whose requests and watches have faults."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from kinformer.client._decoding.lists import ObjectList
from kinformer.errors import AlreadyExistsError, ConflictError, NotFoundError, StreamBrokenError
from kinformer.listwatch import Delta, DeltaType, WatchBatch
from kinformer.objects import KubeObject
from kinformer.resources import LEASES

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping

    from kinformer.resources import Resource


class LeaseServer:
    """The Leases of one namespace."""

    def __init__(self, chance: random.Random) -> None:
        self.random = chance
        self.version = 100
        self.leases: dict[str, KubeObject] = {}
        self.events: list[tuple[int, Delta]] = []
        self.changed = asyncio.Event()
        self.unreliable = False

    def store(self, name: str, manifest: Mapping[str, Any] | None, expected: str | None) -> KubeObject:
        """Write a Lease in the version that is expected, "" for a new one; `None` deletes it."""
        known = self.leases.get(name)
        if expected == "" and known is not None:
            raise AlreadyExistsError(name, status=409)
        if expected != "" and known is None:
            raise NotFoundError(name, status=404)
        if expected and known is not None and known.resource_version != expected:
            raise ConflictError(name, status=409)
        self.version += 1
        source = known.to_dict() if manifest is None and known is not None else {**(manifest or {})}
        head = {**source["metadata"], "namespace": "ops", "resourceVersion": str(self.version), "uid": name}
        made = KubeObject.from_dict({**source, "metadata": head}, LEASES)
        kind = DeltaType.DELETED if manifest is None else DeltaType.UPDATED if known else DeltaType.ADDED
        if manifest is None:
            del self.leases[name]
        else:
            self.leases[name] = made
        self.events.append((self.version, Delta(kind, made)))
        self.changed.set()
        self.changed = asyncio.Event()
        return made


class LeaseLine:
    """The client of one member.

    Attributes:
        cut: whether nothing passes.
        hung: whether watches bring nothing.
        dead: whether the process was killed: no request is sent any more.
    """

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.cut = self.hung = self.dead = False

    async def _request(self, execute: Callable[[], Any]) -> Any:
        server, chance = self.server, self.server.random
        if self.cut or self.dead:
            await asyncio.sleep(600)
        if server.unreliable and chance.random() < 0.02:
            # It is applied long after its sender gave up.
            asyncio.get_running_loop().call_later(chance.uniform(1, 40), _quietly, execute)
            await asyncio.sleep(600)
        await asyncio.sleep(chance.choice((0.002, 0.01, 0.05)))
        result = execute()
        if self.cut or self.dead or (server.unreliable and chance.random() < 0.02):
            # The answer is lost.
            await asyncio.sleep(600)
        await asyncio.sleep(chance.choice((0.002, 0.01, 0.05)))
        return result

    async def get(self, resource: Resource, name: str, /, *, namespace: str) -> KubeObject:
        def read() -> KubeObject:
            if name not in self.server.leases:
                raise NotFoundError(name, status=404)
            return self.server.leases[name]

        found: KubeObject = await self._request(read)
        return found

    async def list(self, resource: Resource, /, *, namespace: str, label_selector: str) -> ObjectList[KubeObject]:
        server = self.server

        def read() -> ObjectList[KubeObject]:
            return ObjectList([*server.leases.values()], str(server.version))

        found: ObjectList[KubeObject] = await self._request(read)
        return found

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        made: KubeObject = await self._request(lambda: self.server.store(obj["metadata"]["name"], obj, ""))
        return made

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        head = obj["metadata"]
        made: KubeObject = await self._request(lambda: self.server.store(head["name"], obj, head["resourceVersion"]))
        return made

    async def delete(self, resource: Resource, name: str, /, *, namespace: str, resource_version: str) -> None:
        await self._request(lambda: self.server.store(name, None, resource_version))

    def list_watch(self, resource: Resource, /, *, namespace: str, label_selector: str) -> LeaseLine:
        return self

    @asynccontextmanager
    async def watch(self, *, resource_version: str, timeout_seconds: int) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        yield self._events(int(resource_version))

    async def _events(self, version: int) -> AsyncIterator[WatchBatch]:
        server = self.server
        sent = 0
        while True:
            changed = server.changed
            while sent < len(server.events):
                at, event = server.events[sent]
                sent += 1
                if at <= version:
                    continue
                await asyncio.sleep(server.random.choice((0.002, 0.02, 0.2)))
                while self.hung or self.cut or self.dead:
                    await asyncio.sleep(0.5)
                yield WatchBatch([event], str(at))
            await changed.wait()
            if server.unreliable and server.random.random() < 0.02:
                raise StreamBrokenError("the connection is gone")


def _quietly(execute: Callable[[], Any]) -> None:
    with suppress(ConflictError, NotFoundError):
        execute()
