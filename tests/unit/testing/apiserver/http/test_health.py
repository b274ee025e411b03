"""The health of the server and its metrics, by the names and texts of a kube-apiserver 1.36."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as session:
        server.create(build.config_map("a"))
        yield session


async def text(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(("name", "number"), [("healthz", 35), ("livez", 35), ("readyz", 37)])
async def test_a_verbose_answer_names_the_checks_of_a_real_server(
    http: aiohttp.ClientSession, name: str, number: int
) -> None:
    code, told = await text(http, f"/{name}?verbose")
    lines = told.splitlines()
    assert (code, lines[0], lines[-1]) == (200, "[+]ping ok", f"{name} check passed")
    assert len(lines) == number
    assert "[+]poststarthook/rbac/bootstrap-roles ok" in lines
    assert ("[+]informer-sync ok" in lines) == (name == "readyz")


async def test_a_check_can_be_left_out_and_asked_for_alone(http: aiohttp.ClientSession) -> None:
    _, told = await text(http, "/livez?verbose&exclude=etcd&exclude=nosuch&exclude=b")
    assert "[+]etcd excluded: ok" in told
    assert told.endswith(
        'warn: some health checks cannot be excluded: no matches for "b","nosuch"\nlivez check passed\n'
    )
    assert await text(http, "/livez/poststarthook/rbac/bootstrap-roles") == (200, "ok")
    assert await text(http, "/livez?exclude=etcd") == (200, "ok")
    assert (await text(http, "/readyz/nosuch"))[0] == 404


async def test_metrics_count_requests_watches_and_objects(http: aiohttp.ClientSession) -> None:
    await text(http, "/api/v1/configmaps")
    async with http.get("/api/v1/configmaps?watch=1"):
        _, told = await text(http, "/metrics")
    lines = told.splitlines()
    assert 'apiserver_request_total{group="",resource="configmaps",subresource="",verb="LIST"} 1' in lines
    assert 'apiserver_longrunning_requests{group="",resource="configmaps",verb="WATCH"} 1' in lines
    assert 'apiserver_resource_objects{group="",resource="configmaps"} 1' in lines
