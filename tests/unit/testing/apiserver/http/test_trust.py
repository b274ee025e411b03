"""The embedded server answers no web page, and no name that is not its own."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = json.dumps({"metadata": {"name": "m"}})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with ApiServer(allowed_hosts=["api.example.com"]) as server, aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.mark.parametrize(
    ("host", "code"),
    [
        *((host, 200) for host in ("127.0.0.1", "localhost:8080", "[::1]:80", "10.1.2.3", "kinformer", "localhost.")),
        *((host, 200) for host in ("api.example.com", "kubernetes.default.svc", "x.localhost:1")),
        *((host, 403) for host in ("evil.example.com", "127.0.0.1.evil.example", "api.example.com.evil.example")),
    ],
)
async def test_a_request_for_the_name_of_another_server_is_refused(
    http: aiohttp.ClientSession, host: str, code: int
) -> None:
    async with http.get(MAPS, headers={"Host": host}) as answer:
        assert answer.status == code
        if code == 403:
            assert "allowed_hosts" in (await answer.json())["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
async def test_a_web_page_of_another_origin_writes_nothing(http: aiohttp.ClientSession, content_type: str) -> None:
    headers = {"Origin": "https://evil.example"} | ({"Content-Type": content_type} if content_type else {})
    async with http.post(MAPS, data=BODY.encode(), headers=headers, skip_auto_headers=["Content-Type"]) as answer:
        assert answer.status == 403
    async with http.get(f"{MAPS}/m") as answer:
        assert answer.status == 404


async def test_a_body_without_a_content_type_is_json_but_for_patches(http: aiohttp.ClientSession) -> None:
    # As a kube-apiserver 1.36 takes it.
    async with http.post(MAPS, data=BODY.encode(), skip_auto_headers=["Content-Type"]) as answer:
        assert answer.status == 201
    async with http.patch(f"{MAPS}/m", data=b"{}", skip_auto_headers=["Content-Type"]) as answer:
        assert answer.status == 415
    async with http.post(MAPS, data=BODY, headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415


async def test_a_body_beyond_three_mebibytes_is_413(http: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.post(MAPS, data=io.BytesIO(b" " * 3_145_729), headers=headers) as answer:
        body = await answer.json()
    assert (answer.status, body["reason"]) == (413, "RequestEntityTooLarge")
