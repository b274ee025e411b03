"""A page on the internet cannot read a server of ours by DNS rebinding: `Host` is checked."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

from kinformer import Manager, SharedInformerFactory
from kinformer._hosts import is_allowed, name_in
from kinformer.cli._ui import HOST
from kinformer.integrations.status_endpoint import StatusServer
from kinformer.integrations.ui import Dashboard
from kinformer.recordings import Replay
from kinformer.testing import ApiServer, ControlPlane
from kinformer.webhooks import WebhookServer
from tests.integrations.conftest import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer import Client

FOREIGN = [
    "evil.example",
    "evil.example:8765",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1/evil.example",
    "127.0.0.1?.evil.example",
    "127.0.0.1#.evil.example",
    "127.0.0.1\\evil.example",
    "[::1",
    "",
]
OURS = ["127.0.0.1", "127.0.0.1:8765", "127.8.9.10", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8765"]


@pytest.mark.parametrize("server", [ApiServer, Manager, Replay, StatusServer, WebhookServer])
def test_each_server_listens_on_loopback_unless_another_host_is_given(server: type) -> None:
    assert inspect.signature(server).parameters["host"].default == "127.0.0.1"
    assert HOST == "127.0.0.1"  # of `kinformer ui`, which takes no other
    assert all(
        part in inspect.getsource(ControlPlane)
        for part in ('url = f"http://127.0.0.1:{self._etcd_port}"', '"bind-address": "127.0.0.1"')
    )


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_not_allowed(host: str) -> None:
    assert not is_allowed([host], ())
    assert not is_allowed([host], (), listening_on="0.0.0.0")
    assert is_allowed([host], None)


@pytest.mark.parametrize("host", OURS)
def test_loopback_is_allowed(host: str) -> None:
    assert is_allowed([host], ())


@pytest.mark.parametrize("hosts", [None, (), {"status.svc"}])
def test_several_hosts_are_never_allowed_and_none_is_no_loopback_name(hosts: set[str] | None) -> None:
    assert not is_allowed(["localhost", "localhost"], hosts)
    assert is_allowed([], hosts) is (hosts is None)


def test_names_are_allowed_when_named_and_addresses_when_listening_on_the_network() -> None:
    assert is_allowed(["status.svc:8765"], {"Status.svc"})
    assert not is_allowed(["10.1.2.3"], ())
    assert is_allowed(["10.1.2.3:8765"], (), listening_on="0.0.0.0")
    assert not is_allowed(["other.svc"], (), listening_on="0.0.0.0")
    assert name_in("[2001:db8::1]:80") == "2001:db8::1"


async def status_line(port: int, path: str, *hosts: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    named = "".join(f"Host: {host}\r\n" for host in hosts)
    writer.write(f"GET {path} HTTP/1.1\r\n{named}Connection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n")[0]


ANSWERS = [
    (["127.0.0.1"], b"200"),
    (["evil.example"], b"403"),
    (["evil.example@127.0.0.1"], b"40"),
    (["evil.example", "127.0.0.1"], b"40"),
    (["127.0.0.1", "evil.example"], b"40"),
]


@pytest.mark.parametrize(("hosts", "code"), ANSWERS, ids=lambda value: str(value))
async def test_the_status_server_and_the_page_check_the_host(
    hosts: list[str], code: bytes, connect: Callable[[], Client]
) -> None:
    async with connect() as client:
        factory = SharedInformerFactory(client)
        async with factory, StatusServer(factory, port=0) as status:
            port = int(status.url.split(":")[2].partition("/")[0])
            assert (await status_line(port, "/kinformer/status", *hosts)).split()[1].startswith(code)
            async with serving(Dashboard(factory), lifespan="off") as served:
                page = int(served.url.rpartition(":")[2])
                for path in ("/", "/kinformer/status"):
                    assert (await status_line(page, path, *hosts)).split()[1].startswith(code)


async def test_the_status_server_is_reached_by_a_name_that_it_was_given(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        factory = SharedInformerFactory(client)
        async with factory, StatusServer(factory, port=0, hosts=["status.shop.svc"]) as status:
            port = int(status.url.split(":")[2].partition("/")[0])
            assert b" 200 " in await status_line(port, "/kinformer/status", "status.shop.svc:8765")
            assert b" 403 " in await status_line(port, "/kinformer/status", "other.shop.svc")
