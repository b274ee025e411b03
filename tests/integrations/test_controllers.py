"""Controllers beside a web application: they keep nobody waiting, and come back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from kinformer import Client, Controller, ObjectKey, SharedInformerFactory
from kinformer.backoff import Backoff
from kinformer.integrations import fastapi, starlette
from kinformer.integrations._web import controllers
from kinformer.integrations.status_endpoint import status_of
from kinformer.operators.leader_election import LeaderElector
from kinformer.resources import CONFIGMAPS
from tests.integrations.conftest import config_map, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kinformer.testing import ApiServer


def labelling(seen: list[ObjectKey], *, leader: bool = False) -> controllers.MakeController:
    """A controller that labels each ConfigMap that it sees."""

    def make(client: Client, factory: SharedInformerFactory) -> Controller[Any]:
        maps = factory.core.v1.configmaps

        async def reconcile(key: ObjectKey) -> None:
            if key.name == "poison":
                raise SystemError
            found = maps.lister.get(key)
            if found is not None and "seen" not in found.labels:
                seen.append(key)
                change = {"metadata": {"labels": {"seen": "yes"}}}
                await client.patch(CONFIGMAPS, key.name, change, namespace=key.namespace)

        elector = LeaderElector(client, "labels", namespace="default") if leader else None
        return Controller("labels", reconcile, leader=elector).watches(maps)

    return make


def application(connect: Callable[[], Client], make: controllers.MakeController) -> tuple[Any, Starlette]:
    informers = starlette.Informers(client=connect, controllers=[make])
    return informers, Starlette(routes=informers.health_routes(), lifespan=informers.lifespan)


async def test_every_replica_answers_and_one_of_them_works(api: ApiServer, connect: Callable[[], Client]) -> None:
    seen: list[list[ObjectKey]] = [[], [], []]
    replicas = [application(connect, labelling(each, leader=True)) for each in seen]
    async with (
        asyncio.timeout(60),
        serving(replicas[0][1]) as first,
        serving(replicas[1][1]) as second,
        serving(replicas[2][1]) as third,
    ):
        for served in (first, second, third):
            assert (await served.get("/readyz"))[0] == 200
        api.create(config_map("a"))
        while not any(each for each in seen):
            await asyncio.sleep(0.01)
        states = [status_of(*informers.controllers)["controllers"][0]["state"] for informers, _ in replicas]
        assert sorted(states) == ["running", "standing by", "standing by"]
    assert sum(len(each) for each in seen) >= 1
    assert sum(1 for each in seen if each) == 1
    assert [informers.controllers for informers, _ in replicas] == [[], [], []]


async def test_an_application_whose_server_is_away_starts_and_stops_with_its_controllers(
    connect: Callable[[], Client], api: ApiServer
) -> None:
    client = connect()
    informers = fastapi.Informers(client=lambda: client, controllers=[labelling([])], sync_timeout=0.1)
    async with api.faults.down(), asyncio.timeout(60), informers.lifespan(None):
        assert informers.controllers[0].status.state == "waiting for caches"
    assert not [task for task in asyncio.all_tasks() if "controller" in task.get_name()]


async def test_a_controller_that_ends_with_an_error_is_made_anew(
    api: ApiServer, connect: Callable[[], Client], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(controllers, "Backoff", lambda: Backoff(initial=0.01, maximum=0.02))
    seen: list[ObjectKey] = []
    made = 0
    good = labelling(seen)

    def make(client: Client, factory: SharedInformerFactory) -> Controller[Any]:
        nonlocal made
        made += 1
        controller = good(client, factory)
        if made < 3:

            async def fail() -> None:
                raise ValueError("confidential")

            controller.run = fail  # type: ignore[method-assign]
        return controller

    informers, app = application(connect, make)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(60), informers.lifespan(app):
            api.create(config_map("a"))
            while not seen:
                await asyncio.sleep(0.01)
    assert made == 3
    assert [record.getMessage().partition("; ")[0] for record in caplog.records if "labels" in record.getMessage()] == [
        "controller labels ended: ValueError"
    ] * 2


async def test_what_is_written_through_the_client_of_the_informers_is_in_the_cache(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    api.create(config_map("a"))
    informers = starlette.Informers(client=connect)
    maps = informers.informer("configmaps")
    async with informers.lifespan(None):
        change = {"metadata": {"labels": {"written": "yes"}}}
        await informers.client.patch(CONFIGMAPS, "a", change, namespace="default")
        await maps().caught_up(timeout=60)
        found = maps().lister.get("a", namespace="default")
        assert found is not None
        assert found.labels["written"] == "yes"
