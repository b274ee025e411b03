"""The wire: the same questions to both servers, by plain HTTP, with the same answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    import aiohttp

    from tests.apiserver.clusters import Cluster

PATHS = ("/api/v1/configmaps", "/api/v1/configmaps?watch=1", "/api", "/apis", "/api/v1", "/api/v1/nosuch",
         "/version", "/healthz", "/readyz")  # fmt: skip


@pytest.mark.parametrize(
    ("authorization", "statuses"),
    [
        ("", (403, 403, 403, 403, 403, 403, 200, 200, 200)),
        ("Bearer", (403, 403, 403, 403, 403, 403, 200, 200, 200)),
        ("Basic {}", (403, 403, 403, 403, 403, 403, 200, 200, 200)),
        ("{}", (403, 403, 403, 403, 403, 403, 200, 200, 200)),
        ("Bearer wrong", (401,) * 9),
        ("Bearer {}", (200, 200, 200, 200, 200, 404, 200, 200, 200)),
        ("bearer {}", (200, 200, 200, 200, 200, 404, 200, 200, 200)),
        ("Bearer {} more", (200, 200, 200, 200, 200, 404, 200, 200, 200)),
    ],
)
async def test_who_asks_decides_what_is_answered(cluster: Cluster, authorization: str, statuses: tuple[int]) -> None:
    headers = {"Authorization": authorization.format(cluster.token)}
    async with cluster.http() as http:
        got = []
        for path in PATHS:
            async with http.get(path, headers=headers) as answer:
                got.append(answer.status)
    assert tuple(got) == statuses


async def event(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """The first event of a watch."""
    async with http.get(path) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, Any] = json.loads(await answer.content.readline())
        return told


async def test_a_restarted_api_server_knows_no_past_but_the_stores(cluster: Cluster) -> None:
    path = CONFIGMAPS.path(cluster.namespace)
    async with cluster.http() as http:
        for number in range(3):
            async with http.post(path, json={"metadata": {"name": f"c{number}"}}) as answer:
                assert answer.status == 201
        async with http.get(f"{path}?limit=1") as answer:
            first = (await answer.json())["metadata"]
        watch = f"{path}?watch=1&resourceVersion={first['resourceVersion']}&timeoutSeconds=5"
        async with http.delete(f"{path}/c2") as answer:
            assert answer.status == 200
        assert (await event(http, watch))["type"] == "DELETED"
    await cluster.restart_api_server()
    async with cluster.http() as http:
        told = await event(http, watch)
        assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")
        # The list goes on where it was, for the store has its past.
        async with http.get(f"{path}?limit=5&continue={first['continue']}") as answer:
            items = (await answer.json())["items"]
        assert [item["metadata"]["name"] for item in items] == ["c1", "c2"]
        await cluster.compact()
        await cluster.restart_api_server()
    async with cluster.http() as http, http.get(f"{path}?limit=5&continue={first['continue']}") as answer:
        assert answer.status == 410
