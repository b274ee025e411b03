"""Under anyio, as FastAPI and Starlette run: cancel scopes cancel every wait in them, also those that clean up."""

from __future__ import annotations

import asyncio

import anyio

from kinformer import Client, ClusterConfig, Controller, ObjectKey, SharedInformerFactory
from kinformer.testing import ApiServer


def ours() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if "kinformer" in task.get_name()}


async def scoped(server: ApiServer, entered: list[SharedInformerFactory], left: list[set[str]]) -> None:
    async def reconcile(key: ObjectKey) -> None:
        await anyio.sleep_forever()

    async with Client(ClusterConfig.for_server(server.url)) as client:
        factory = SharedInformerFactory(client)
        namespaces = factory.core.v1.namespaces
        controller = Controller("scoped", reconcile, workers=2, grace=0.0).watches(namespaces)
        try:
            async with factory, controller:
                await factory.wait_for_cache_sync(timeout=60)
                entered.append(factory)
                await anyio.sleep_forever()
        finally:
            left.append(ours())


def test_a_cancelled_anyio_scope_leaves_no_task_and_no_connection_behind() -> None:
    async def main() -> None:
        async with ApiServer() as server:
            entered: list[SharedInformerFactory] = []
            left: list[set[str]] = []
            async with anyio.create_task_group() as group:
                group.start_soon(scoped, server, entered, left)
                while not entered:
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
            assert left == [set()]
            (factory,) = entered
            assert all(informer.stopped for informer in factory.informers.values())
            while server.open_watches:
                await anyio.sleep(0.01)

    anyio.run(main)
