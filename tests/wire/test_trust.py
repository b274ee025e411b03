"""Whom we believe, who we are, and what happens when either changes while we are connected."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web

from kinformer.client import Client
from kinformer.config import ClusterConfig, Identity
from kinformer.errors import ConfigError, ConnectError, TLSError, TransportError, UnauthorizedError
from kinformer.resources import NODES, PODS
from tests.wire.conftest import Scripted
from tests.wire.raw_server import CHUNKED, RawServer, answer, chunk, event, is_watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NODE = json.dumps({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}})


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Scripted]:
    server = Scripted()
    await server.start(server_context(authority))
    server.says(NODE)
    yield server
    await server.stop()


def pem(path: Path, authority: trustme.CA) -> Path:
    authority.cert_pem.write_to_path(str(path))
    return path


async def ask(config: ClusterConfig, **options: Any) -> str:
    async with Client(config, **options) as client:
        return (await client.get(NODES, "n")).name


async def test_a_server_is_believed_by_its_authority(secure: Scripted, authority: trustme.CA, tmp_path: Path) -> None:
    assert await ask(ClusterConfig.for_server(secure.url, ca_file=pem(tmp_path / "ca", authority))) == "n"


async def test_an_unknown_authority_is_a_tls_error_that_names_the_server(secure: Scripted, tmp_path: Path) -> None:
    for config in (
        ClusterConfig.for_server(secure.url),
        ClusterConfig.for_server(secure.url, ca_file=pem(tmp_path / "other", trustme.CA())),
    ):
        with pytest.raises(
            TLSError, match=f'cannot get nodes "n": no trust between us and {secure.url}: .*certificate verify failed'
        ):
            await ask(config)


async def test_verification_can_be_turned_off(secure: Scripted) -> None:
    assert await ask(ClusterConfig.for_server(secure.url, verify=False)) == "n"


async def test_a_wrong_name_is_refused_and_the_right_one_can_be_given(authority: trustme.CA, tmp_path: Path) -> None:
    server = Scripted()
    server.says(NODE)
    await server.start(server_context(authority, "kube.internal"))
    try:
        ca = pem(tmp_path / "ca", authority)
        with pytest.raises(TLSError, match="is not valid for '127.0.0.1'|doesn't match|mismatch"):
            await ask(ClusterConfig.for_server(server.url, ca_file=ca))
        assert await ask(ClusterConfig.for_server(server.url, ca_file=ca, server_name="kube.internal")) == "n"
        async with Client(ClusterConfig.for_server(server.url, ca_file=ca, server_name="kube.internal")) as client:
            server.streams(b'{"type":"ADDED","object":{"metadata":{"name":"n"}}}\n')
            async with client.list_watch(NODES).watch(resource_version="1", timeout_seconds=60) as stream:
                assert [len(batch.events) async for batch in stream] == [1]
    finally:
        await server.stop()


@pytest.mark.parametrize("zone", ["%1", "%251"])
async def test_the_zone_of_an_address_is_for_this_machine_only(
    authority: trustme.CA, tmp_path: Path, zone: str
) -> None:
    # RFC 6874: no certificate has it, and the Host header does not show it. "1" is the loopback interface.
    async def respond(head: bytes, writer: asyncio.StreamWriter) -> bytes:
        return CHUNKED + chunk(event("ADDED", "a", 11)) + b"0\r\n\r\n" if is_watch(head) else answer()

    server = RawServer(respond)
    try:
        listening = await asyncio.start_server(server._serve, "::1", 0, ssl=server_context(authority, "::1"))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    port = listening.sockets[0].getsockname()[1]
    config = ClusterConfig.for_server(f"https://[::1{zone}]:{port}", ca_file=pem(tmp_path / "ca", authority))
    async with listening, Client(config) as client:
        assert [pod.name for pod in await client.list(PODS)] == ["a"]
        async with client.list_watch(PODS).watch(resource_version="10", timeout_seconds=5) as batches:
            assert [len(batch.events) async for batch in batches] == [1]
    assert {head.lower().split(b"host: ")[1].split(b"\r\n")[0] for head in server.heads} == {f"[::1]:{port}".encode()}


def identity_files(authority: trustme.CA, directory: Path, name: str) -> tuple[Path, Path]:
    issued = authority.issue_cert(identity := f"{name}@example.com", common_name=identity)
    cert, key = directory / "client.crt", directory / "client.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key


def whoami(request: web.Request) -> web.Response:
    assert request.transport is not None
    subject = dict(pair for part in request.transport.get_extra_info("peercert")["subject"] for pair in part)
    return web.json_response({"metadata": {"name": subject["commonName"]}})


async def test_a_client_certificate_says_who_we_are_and_a_new_one_on_disk_is_used_for_new_connections(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Scripted()
    server.answer = whoami
    await server.start(server_context(authority, clients=authority))
    try:
        ca = pem(tmp_path / "ca", authority)
        cert, key = identity_files(authority, tmp_path, "ada")
        with pytest.raises(TransportError):
            await ask(ClusterConfig.for_server(server.url, ca_file=ca), retry=None)
        config = ClusterConfig.for_server(server.url, ca_file=ca, cert_file=cert, key_file=key)
        async with Client(config) as client:
            assert (await client.get(NODES, "n")).name == "ada@example.com"
            (tmp_path / "new").mkdir()
            new_cert, new_key = identity_files(authority, tmp_path / "new", "bob")
            new_cert.rename(cert)  # and the key that belongs to it is not there yet
            assert (await client.get(NODES, "n")).name == "ada@example.com"
            assert (await client.get(NODES, "n")).name == "ada@example.com"
            assert [r.getMessage()[:40] for r in caplog.records] == ["certificates changed but cannot be used,"]
            new_key.rename(key)
            assert (await client.get(NODES, "n")).name == "bob@example.com"
            key.unlink()
            assert (await client.get(NODES, "n")).name == "bob@example.com"
    finally:
        await server.stop()


async def test_inline_certificates_work_and_leave_no_key_on_disk(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64
    import tempfile

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    server = Scripted()
    server.answer = whoami
    await server.start(server_context(authority, clients=authority))
    cert, key = identity_files(authority, tmp_path, "ada")
    data = {path.suffix: base64.b64encode(path.read_bytes()).decode() for path in (cert, key)}
    config = ClusterConfig.from_dict(
        {
            "current-context": "c",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": server.url,
                        "certificate-authority-data": base64.b64encode(authority.cert_pem.bytes()).decode(),
                    },
                }
            ],
            "users": [
                {"name": "u", "user": {"client-certificate-data": data[".crt"], "client-key-data": data[".key"]}}
            ],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
    )
    try:
        assert await ask(config) == "ada@example.com"
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        await server.stop()


async def test_a_new_authority_on_disk_is_used_for_new_connections_while_a_watch_goes_on(
    authority: trustme.CA, tmp_path: Path
) -> None:
    ca = pem(tmp_path / "ca", authority)
    more = asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n')
        await more.wait()
        await response.write(b'{"type":"ADDED","object":{"metadata":{"name":"b"}}}\n')
        return response

    old = Scripted()
    old.answer = watch
    await old.start(server_context(authority))
    other = trustme.CA()
    try:
        async with (
            Client(ClusterConfig.for_server(old.url, ca_file=ca)) as client,
            client.list_watch(NODES).watch(resource_version="1", timeout_seconds=60) as stream,
        ):
            assert len((await anext(stream)).events) == 1
            pem(tmp_path / "next", other).rename(ca)
            with pytest.raises(TLSError):
                await client.get(NODES, "n")
            more.set()
            assert [batch.events[0].object.name async for batch in stream] == ["b"]
    finally:
        await old.stop()


async def test_files_that_hold_no_certificates_are_named_when_the_client_opens(tmp_path: Path) -> None:
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(ConfigError, match=f"the certificate authority \\({tmp_path}/ca\\) cannot be used"):
        await ask(ClusterConfig.for_server("https://127.0.0.1:1", ca_file=tmp_path / "ca"))
    config = ClusterConfig.for_server("https://127.0.0.1:1", cert_file=tmp_path / "crt", key_file=tmp_path / "key")
    with pytest.raises(ConfigError, match=f"the client certificate \\({tmp_path}/crt\\) and its key"):
        await ask(config)


async def test_a_plain_port_spoken_to_by_tls_is_a_tls_or_connect_error(scripted: Scripted) -> None:
    with pytest.raises((TLSError, ConnectError), match="127.0.0.1"):
        await ask(ClusterConfig.for_server(scripted.url.replace("http:", "https:")))


def only(token: str) -> Any:
    def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {token}":
            status = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
            return web.json_response(status, status=401)
        if "watch" in request.query:
            return web.Response(
                body=b'{"type":"ADDED","object":{"metadata":{"name":"n"}}}\n', content_type="application/json"
            )
        return web.Response(text=NODE, content_type="application/json")

    return answer


def with_plugin(url: str, tmp_path: Path, text: str) -> ClusterConfig:
    command = tmp_path / "plugin"
    command.write_text(f"#!/bin/sh\n{text}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    version = "client.authentication.k8s.io/v1"
    return ClusterConfig.from_dict(
        {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [
                {
                    "name": "u",
                    "user": {"exec": {"apiVersion": version, "command": str(command), "interactiveMode": "Never"}},
                }
            ],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
    )


def counting(tmp_path: Path) -> str:
    """A plugin whose token is the number of times it ran."""
    return (
        f"echo x >> {tmp_path}/runs; n=$(wc -l < {tmp_path}/runs); n=$((n)); "
        'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",\\"kind\\":\\"ExecCredential\\",'
        '\\"status\\":{\\"token\\":\\"t$n\\"}}"'
    )


async def test_a_refused_token_is_renewed_once_for_all_who_were_refused_and_each_tries_again(
    scripted: Scripted, tmp_path: Path
) -> None:
    scripted.answer = only("t1")
    async with Client(with_plugin(scripted.url, tmp_path, counting(tmp_path))) as client:
        await client.get(NODES, "n")
        scripted.answer = only("t2")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(client.get(NODES, "n"))
        assert (tmp_path / "runs").read_text().count("x") == 2
        scripted.answer = only("t3")
        async with client.list_watch(NODES).watch(resource_version="1", timeout_seconds=60) as stream:
            assert [len(batch.events) async for batch in stream] == [1]
        assert (tmp_path / "runs").read_text().count("x") == 3


async def test_a_token_refused_twice_is_given_up(scripted: Scripted, tmp_path: Path) -> None:
    scripted.answer = only("never")
    async with Client(with_plugin(scripted.url, tmp_path, counting(tmp_path))) as client:
        with pytest.raises(UnauthorizedError, match='cannot get nodes "n": Unauthorized'):
            await client.get(NODES, "n")
    assert len(scripted.seen) == 2


async def test_one_who_is_cancelled_while_renewing_leaves_the_renewal_to_the_next(
    scripted: Scripted, tmp_path: Path
) -> None:
    scripted.answer = only("t2")
    slow = f"{counting(tmp_path)} > {tmp_path}/out; test $n -gt 1 || sleep 1000; cat {tmp_path}/out"
    async with Client(with_plugin(scripted.url, tmp_path, slow)) as client, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(client.get(NODES, "n"))
        while not (tmp_path / "runs").exists():  # another process writes it
            await asyncio.sleep(0.01)
        second = tasks.create_task(client.get(NODES, "n"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).name == "n"


async def test_a_failing_plugin_is_a_config_error_of_the_request(scripted: Scripted, tmp_path: Path) -> None:
    async with Client(with_plugin(scripted.url, tmp_path, "echo sign in >&2; exit 1")) as client:
        with pytest.raises(ConfigError, match="user 'u': exec plugin .* ended with exit code 1; run it in a terminal"):
            await client.list(PODS)
    assert scripted.seen == []


async def test_a_rotated_token_file_is_used_with_the_next_request(scripted: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    scripted.answer = only("one")
    async with Client(ClusterConfig.for_server(scripted.url, token_file=file)) as client:
        await client.get(NODES, "n")
        scripted.answer = only("two")
        with pytest.raises(UnauthorizedError):
            await client.get(NODES, "n")
        file.write_text("two\n")
        assert (await client.get(NODES, "n")).name == "n"


async def test_an_api_client_is_borrowed_with_its_refresh_hook_and_not_closed(
    secure: Scripted, authority: trustme.CA, tmp_path: Path
) -> None:
    from kubernetes_asyncio.client import ApiClient, Configuration

    configuration = Configuration()
    configuration.host = secure.url
    configuration.ssl_ca_cert = str(pem(tmp_path / "ca", authority))
    calls = 0

    async def refresh(configuration: Any) -> None:
        nonlocal calls
        calls += 1
        configuration.api_key["BearerToken"] = f"Bearer t{calls}"

    configuration.api_key["BearerToken"] = "Bearer t0"
    configuration.refresh_api_key_hook = refresh
    async with ApiClient(configuration, header_name="Impersonate-User", header_value="bob") as api:
        secure.answer = only("t1")
        async with Client.from_api_client(api) as client:
            assert (await client.get(NODES, "n")).name == "n"
            secure.answer = only("t3")
            # t2 is refused, and the hook is asked once more.
            assert (await client.get(NODES, "n")).name == "n"
        assert not api.rest_client.pool_manager.closed
        assert secure.seen[0].headers["Impersonate-User"] == "bob"
        assert secure.seen[0].headers["User-Agent"].startswith("kinformer/")
    with pytest.raises(ConfigError, match="expected a kubernetes_asyncio ApiClient, not str"):
        Client.from_api_client("api")


async def test_a_proxy_is_gone_through(scripted: Scripted) -> None:
    scripted.says(NODE)
    config = ClusterConfig.for_server("http://k8s.invalid:8001", proxy=scripted.url, token="hunter2")
    assert await ask(config) == "n"
    assert scripted.seen[0].headers["Host"] == "k8s.invalid:8001"


def test_an_identity_shows_nothing_of_itself() -> None:
    assert "hunter2" not in repr(Identity("Bearer hunter2"))
