"""Tables and pages of a replay are those of the server that was recorded."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer import Client, ClusterConfig
from kinformer.objects import KubeObject
from kinformer.proxy._bodies import Refusal
from kinformer.recordings import Recorder, Replay, recordable
from kinformer.recordings._pages import MOST_OPEN_LISTS, Pages
from kinformer.recordings._tables import Tables, recorded_time
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from pathlib import Path

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
WIDGETS = "/apis/example.com/v1/widgets"


async def get(session: aiohttp.ClientSession, url: str, status: int = 200) -> Any:
    async with session.get(url, headers=TABLE if "asTable" in url else {}) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


def widgets_with_columns() -> dict[str, Any]:
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec}}
    definition = build.custom_resource_definition("widgets", "Widget", schema=schema)
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    return definition


def without_ages(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out the ages, which are those at the time of the recording, and versions of the whole list."""
    place = [column["name"] for column in table["columnDefinitions"]].index("Age")
    for row in table["rows"]:
        assert row["cells"].pop(place).endswith("s")
    del table["metadata"]["resourceVersion"]
    return table


@pytest.mark.parametrize("path", ["/api/v1/pods", "/apis/apps/v1/deployments", WIDGETS])
async def test_a_table_is_that_of_the_recorded_server(tmp_path: Path, path: str) -> None:
    async with ApiServer() as server, aiohttp.ClientSession() as session:
        server.create(build.pod("web-1", node="node-1"))
        server.create(build.pod("web-0", phase="Succeeded"))
        server.create(build.deployment("web", replicas=3))
        server.create(widgets_with_columns())
        server.create(build.custom_resource("example.com/v1", "Widget", "w", "default", spec={"size": 3}))
        async with Client(ClusterConfig.for_server(server.url)) as client:
            resources = recordable(await client.resources())
            async with Recorder(client, tmp_path / "a.kin", resources) as recorder:
                await recorder.listed()
        wanted = await get(session, f"{server.url}{path}?asTable")
        async with Replay(tmp_path / "a.kin") as replay:
            found = await get(session, f"{replay.url}{path}?asTable")
            name = found["rows"][0]["object"]["metadata"]["name"]
            group, plural = path.rsplit("/", 1)
            one = await get(session, f"{replay.url}{group}/namespaces/default/{plural}/{name}?asTable")
            assert one["rows"][0]["cells"] == found["rows"][0]["cells"]
            await get(session, f"{replay.url}{path}?asTable&includeObject=Everything", status=400)
        assert without_ages(found) == without_ages(wanted)


async def test_a_watch_in_tables_names_the_columns_once(tmp_path: Path) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(build.pod("web-0"))
        async with Recorder(client, tmp_path / "a.kin", [PODS]) as recorder:
            await recorder.listed()
            server.create(build.pod("web-1"))
            async with asyncio.timeout(20):
                while recorder.events < 1:
                    await recorder.run(0.005)
    async with Replay(tmp_path / "a.kin", speed=math.inf, hold=True) as replay, aiohttp.ClientSession() as session:
        url = f"{replay.url}/api/v1/pods?watch=1&timeoutSeconds=20"
        async with session.get(url, headers=TABLE) as answer:
            events = [json.loads(await answer.content.readline())]
            replay.play()
            events.append(json.loads(await answer.content.readline()))
    assert [event["object"]["rows"][0]["cells"][0] for event in events] == ["web-0", "web-1"]
    assert [event["object"]["columnDefinitions"] is None for event in events] == [False, True]


async def test_redacted_custom_resources_keep_their_columns(tmp_path: Path) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.create(widgets_with_columns())
        server.create(build.custom_resource("example.com/v1", "Widget", "secretive", "default", spec={"size": 3}))
        resources = recordable(await client.resources())
        async with Recorder(client, tmp_path / "a.kin", resources, redact=True) as recorder:
            await recorder.listed()
    async with Replay(tmp_path / "a.kin") as replay, aiohttp.ClientSession() as session:
        table = await get(session, f"{replay.url}{WIDGETS}?asTable")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Age"]
        assert table["rows"][0]["cells"][1] == 3
        assert "secretive" not in json.dumps(table)


async def test_pages_together_are_the_list_of_the_first_page_even_if_the_replay_goes_on(tmp_path: Path) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        for name in "edcba":
            server.create(build.config_map(name))
        async with Recorder(client, tmp_path / "a.kin", [CONFIGMAPS]) as recorder:
            await recorder.listed()
            server.delete("v1", "ConfigMap", "d")
            async with asyncio.timeout(20):
                while recorder.events < 1:
                    await recorder.run(0.005)
    async with Replay(tmp_path / "a.kin", speed=math.inf, hold=True) as replay, aiohttp.ClientSession() as session:
        url = f"{replay.url}/api/v1/configmaps?limit=2"
        first = await get(session, url)
        assert first["metadata"]["remainingItemCount"] == 3
        replay.play()
        await replay.finished()
        second = await get(session, f"{url}&continue={first['metadata']['continue']}")
        assert second == await get(session, f"{url}&continue={first['metadata']['continue']}")
        third = await get(session, f"{url}&continue={second['metadata']['continue']}")
        pages = [first, second, third]
        assert [item["metadata"]["name"] for page in pages for item in page["items"]] == ["a", "b", "c", "d", "e"]
        assert {page["metadata"]["resourceVersion"] for page in pages} == {first["metadata"]["resourceVersion"]}
        assert "continue" not in third["metadata"]
        rows = await get(session, f"{url}&asTable")
        assert len(rows["rows"]) == 2
        assert rows["metadata"]["remainingItemCount"] == 2
        for bad in ("limit=abc", "limit=-1", "continue=garbage", "continue=1-2&resourceVersion=1"):
            await get(session, f"{replay.url}/api/v1/configmaps?{bad}", status=400)
        await get(session, f"{replay.url}/api/v1/namespaces/default/configmaps?continue=1-2", status=400)
        await get(session, f"{replay.url}/api/v1/configmaps?continue=999-2", status=410)


def test_lists_that_clients_never_finish_do_not_pile_up() -> None:
    pages, objects = Pages(), [KubeObject.from_dict(build.config_map(name), CONFIGMAPS) for name in "abc"]
    first = pages.first("/a", 1, objects, 1)
    for _ in range(MOST_OPEN_LISTS):
        pages.first("/a", 1, objects, 1)
    with pytest.raises(Refusal, match="too old"):
        pages.next("/a", first.more["continue"], 1)
    assert len(pages._open) == MOST_OPEN_LISTS


def test_a_value_that_no_column_expects_is_unknown_in_its_row_only() -> None:
    tables = Tables(lambda: (), lambda: recorded_time("2026-01-01T00:00:00Z", 60))
    bad = build.pod("bad") | {"status": 5}
    table = tables.table(PODS, [bad, build.pod("good")], {}, "")
    assert [row["cells"][:2] for row in table["rows"]] == [["bad", "<unknown>"], ["good", "0/1"]]
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])
    recorded_time("no time", 1e308)
