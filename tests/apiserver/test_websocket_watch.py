"""A watch over WebSocket brings what one over HTTP brings, as Fabric8 and clients in a browser ask for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType

from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    from kinformer import Client
    from tests.apiserver.clusters import Cluster

WATCH = {"watch": "true", "timeoutSeconds": "1"}
ENDED = {1000, 1006}
"""A kube-apiserver may close the connection before its last message is out."""

PROTOBUF = "application/vnd.kubernetes.protobuf"


def path_of(cluster: Cluster) -> str:
    return f"/api/v1/namespaces/{cluster.namespace}/configmaps"


async def messages(cluster: Cluster, *, accept: str = "application/json", **query: str) -> list[Any]:
    """All messages until the server closes, as type and content; the last is the code of the end."""
    found: list[Any] = []
    async with cluster.http() as http:
        origin = {"Origin": cluster.url, "Accept": accept}
        async with http.ws_connect(path_of(cluster), params=WATCH | query, headers=origin) as socket:
            async with asyncio.timeout(20):
                async for message in socket:
                    found.append((message.type, message.data))
            found.append(socket.close_code)
    return found


async def lines(cluster: Cluster, **query: str) -> list[dict[str, Any]]:
    async with cluster.http() as http, http.get(path_of(cluster), params=WATCH | query) as answer:
        return [msgspec.json.decode(line) for line in (await answer.read()).splitlines()]


async def two_config_maps(cluster: Cluster, client: Client) -> None:
    for name in ("a", "b"):
        manifest = {"metadata": {"name": name, "namespace": cluster.namespace}, "data": {"text": "ü"}}
        await client.create(CONFIGMAPS, manifest)
    await client.delete(CONFIGMAPS, "b", namespace=cluster.namespace)


async def test_the_events_are_those_of_http_each_in_a_text_message(cluster: Cluster, client: Client) -> None:
    await two_config_maps(cluster, client)
    bookmarks = {
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    *events, code = await messages(cluster, **bookmarks)
    assert code in ENDED
    assert {kind for kind, _ in events} == {WSMsgType.TEXT}
    found = [msgspec.json.decode(text) for _, text in events]
    assert [event["type"] for event in found[:2]] == ["ADDED", "BOOKMARK"]
    over_http = await lines(cluster, **bookmarks)
    assert found[0] == over_http[0]
    assert found[1]["object"]["metadata"]["annotations"] == over_http[1]["object"]["metadata"]["annotations"]


async def test_events_of_protobuf_are_binary_messages_without_a_length(cluster: Cluster, client: Client) -> None:
    await two_config_maps(cluster, client)
    *events, code = await messages(cluster, accept=PROTOBUF)
    assert code in ENDED
    assert [(kind, data[:7]) for kind, data in events] == [(WSMsgType.BINARY, b"\n\x05ADDED")]


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 403), ({"Sec-WebSocket-Protocol": "a, b"}, 400)], ids=["no origin", "two protocols"]
)
async def test_a_handshake_without_an_origin_or_with_two_protocols_is_refused(
    cluster: Cluster, headers: dict[str, str], status: int
) -> None:
    given = headers and {"Origin": cluster.url, **headers}
    async with cluster.http() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(path_of(cluster), params=WATCH, headers=given)
    assert caught.value.status == status


async def test_what_is_refused_over_http_is_refused_before_the_handshake(cluster: Cluster) -> None:
    async with cluster.http() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            query = WATCH | {"labelSelector": "(("}
            await http.ws_connect(path_of(cluster), params=query, headers={"Origin": cluster.url})
    assert caught.value.status == 400


async def test_messages_of_the_client_are_ignored_and_its_end_ends_the_watch(cluster: Cluster, client: Client) -> None:
    async with cluster.http() as http:
        query = {"watch": "true", "resourceVersion": "0"}
        socket = await http.ws_connect(path_of(cluster), params=query, headers={"Origin": cluster.url})
        await socket.send_str("hello")
        await two_config_maps(cluster, client)
        kinds = [msgspec.json.decode(await socket.receive_str(timeout=20))["type"] for _ in range(3)]
        assert kinds == ["ADDED", "ADDED", "DELETED"]
        await socket.close()
    if cluster.name == "embedded":
        while cluster.server.open_watches:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
