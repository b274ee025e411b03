"""Rights that are taken away and given back, tokens that expire, certificates that are exchanged: all under a watch."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kinformer import (
    Backoff,
    Client,
    ClusterConfig,
    ForbiddenError,
    SharedInformer,
    SharedInformerFactory,
    UnauthorizedError,
)
from kinformer.resources import CONFIGMAPS
from tests.apiserver.clusters import replace_files
from tests.apiserver.following import Follower, caught_up
from tests.apiserver.lying_proxy import LyingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.apiserver.clusters import Cluster

QUICK = Backoff(initial=0.05, maximum=0.5)


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[LyingProxy]:
    """Between the informers and the server, so that their connections can be cut."""
    async with LyingProxy(cluster.port) as proxy:
        yield proxy


async def failing_with(informer: SharedInformer, kind: type[Exception]) -> None:
    async with asyncio.timeout(60):
        while not (informer.status.failures and isinstance(informer.status.last_error, kind)):
            await asyncio.sleep(0.01)


async def alive(informer: SharedInformer) -> None:
    async with asyncio.timeout(60):
        while not informer.is_live:
            await asyncio.sleep(0.01)


def maps_of(client: Client, cluster: Cluster) -> tuple[SharedInformerFactory, SharedInformer, Follower]:
    factory = SharedInformerFactory(client, namespace=cluster.namespace, backoff=QUICK)
    maps = factory.core.v1.configmaps
    return factory, maps, Follower(maps)


async def write(client: Client, cluster: Cluster, name: str) -> None:
    await client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace=cluster.namespace)


async def test_a_right_is_taken_away_under_a_watch_and_given_back(
    cluster: Cluster, client: Client, proxy: LyingProxy
) -> None:
    certificate, key = cluster.client_certificate("alice")
    config = ClusterConfig.for_server(proxy.url, ca_file=cluster.ca_file, cert_file=certificate, key_file=key)
    async with Client(config) as as_alice:
        with pytest.raises(ForbiddenError, match='User "alice" cannot list resource "configmaps"'):
            await as_alice.list(CONFIGMAPS, namespace=cluster.namespace)
        await cluster.grant("alice")
        factory, maps, follower = maps_of(as_alice, cluster)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            await cluster.revoke("alice")
            with pytest.raises(ForbiddenError):
                await as_alice.list(CONFIGMAPS, namespace=cluster.namespace)
            # A watch that is open goes on: the server asks only when it is opened.
            await write(client, cluster, "seen")
            await caught_up(cluster, CONFIGMAPS, maps)
            proxy.cut()
            await failing_with(maps, ForbiddenError)
            await write(client, cluster, "not-seen-yet")
            assert maps.lister.get("seen", namespace=cluster.namespace) is not None
            await cluster.grant("alice")
            await caught_up(cluster, CONFIGMAPS, maps)
            await alive(maps)
            assert maps.status.failures == 0
            assert sum(maps.status.lists.values()) == 1
            follower.check()
        await cluster.revoke("alice")


async def test_a_right_that_comes_late_is_waited_for(cluster: Cluster, client: Client) -> None:
    await write(client, cluster, "there")
    certificate, key = cluster.client_certificate("bob")
    config = ClusterConfig.for_server(cluster.url, ca_file=cluster.ca_file, cert_file=certificate, key_file=key)
    async with Client(config) as as_bob:
        factory, maps, follower = maps_of(as_bob, cluster)
        async with factory:
            await failing_with(maps, ForbiddenError)
            assert not maps.has_synced
            await cluster.grant("bob")
            await factory.wait_for_cache_sync(timeout=60)
            await caught_up(cluster, CONFIGMAPS, maps)
            follower.check()
        await cluster.revoke("bob")


def exec_plugin(folder: Path) -> tuple[dict[str, Any], Path, Path]:
    """The user of a kubeconfig; the file that the plugin takes the token from; a file with a line for each call."""
    token, calls, plugin = folder / "token-for-plugin", folder / "calls", folder / "plugin.py"
    plugin.write_text(
        "import json, pathlib\n"
        f"with open({str(calls)!r}, 'a') as calls: calls.write('called\\n')\n"
        f"token = pathlib.Path({str(token)!r}).read_text()\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': token}}))\n"
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(plugin)],
            "interactiveMode": "Never",
        }
    }
    return user, token, calls


async def test_a_token_from_an_exec_plugin_expires_and_is_renewed(
    cluster: Cluster, client: Client, proxy: LyingProxy, tmp_path: Path
) -> None:
    user, token_file, calls = exec_plugin(tmp_path)
    first = await cluster.token_for("robot")
    token_file.write_text(first.value)
    async with Client(await ClusterConfig.load(cluster.kubeconfig(user, proxy.url))) as robot:
        factory, maps, follower = maps_of(robot, cluster)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            assert calls.read_text().count("called") == 1
            second = await cluster.token_for("robot")
            token_file.write_text(second.value)
            await first.expire()
            # An open watch is not asked for a token again.
            await write(client, cluster, "seen")
            await caught_up(cluster, CONFIGMAPS, maps)
            assert calls.read_text().count("called") == 1
            proxy.cut()
            await write(client, cluster, "afterwards")
            await caught_up(cluster, CONFIGMAPS, maps)
            await alive(maps)
            assert calls.read_text().count("called") == 2
            assert sum(maps.status.lists.values()) == 1
            follower.check()
            # One that is not renewed in time is waited for.
            await second.expire()
            proxy.cut()
            await failing_with(maps, UnauthorizedError)
            third = await cluster.token_for("robot")
            token_file.write_text(third.value)
            await write(client, cluster, "in-the-end")
            await caught_up(cluster, CONFIGMAPS, maps)
            follower.check()


async def test_a_token_in_the_pods_file_expires_and_is_replaced(
    cluster: Cluster, client: Client, proxy: LyingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "serviceaccount"
    mounted.mkdir()
    (mounted / "ca.crt").write_bytes(cluster.ca_file.read_bytes())
    (mounted / "namespace").write_text(cluster.namespace)
    first = await cluster.token_for("robot")
    (mounted / "token").write_text(first.value)
    monkeypatch.setattr("kinformer.config._cluster.SERVICE_ACCOUNT", mounted)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", proxy.url.rpartition(":")[2])
    async with Client() as robot:
        assert robot.config.source == "in-cluster service account"
        factory, maps, follower = maps_of(robot, cluster)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            second = await cluster.token_for("robot")
            await first.expire()
            proxy.cut()
            await failing_with(maps, UnauthorizedError)
            await write(client, cluster, "not-seen-yet")
            (mounted / "new").write_text(second.value)
            (mounted / "new").replace(mounted / "token")
            await caught_up(cluster, CONFIGMAPS, maps)
            assert sum(maps.status.lists.values()) == 1
            follower.check()


async def test_a_client_certificate_is_replaced_on_disk(
    cluster: Cluster, client: Client, proxy: LyingProxy, tmp_path: Path
) -> None:
    places = (tmp_path / "tls.crt", tmp_path / "tls.key")
    replace_files(cluster.client_certificate("alice"), places)
    await cluster.grant("alice")
    user = {"client-certificate": str(places[0]), "client-key": str(places[1])}
    async with Client(await ClusterConfig.load(cluster.kubeconfig(user, proxy.url))) as somebody:
        factory, maps, follower = maps_of(somebody, cluster)
        async with factory:
            await factory.wait_for_cache_sync(timeout=60)
            await cluster.revoke("alice")
            proxy.cut()
            await failing_with(maps, ForbiddenError)
            await cluster.grant("bob")
            await write(client, cluster, "not-seen-yet")
            # Still alice: a connection keeps the certificate that it was made with.
            assert "alice" in str(maps.status.last_error)
            replace_files(cluster.client_certificate("bob"), places)
            await caught_up(cluster, CONFIGMAPS, maps)
            assert sum(maps.status.lists.values()) == 1
            follower.check()
        await cluster.revoke("bob")


async def test_secrets_do_not_show_in_what_is_said_about_failures(
    cluster: Cluster, proxy: LyingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    token = "a-token-that-nobody-has"
    async with cluster.client(token, proxy.url) as nobody:
        factory, maps, _ = maps_of(nobody, cluster)
        async with factory:
            await failing_with(maps, UnauthorizedError)
            said = json.dumps([str(maps.status), repr(maps.status.last_error), repr(nobody.config), caplog.text])
    assert token not in said
