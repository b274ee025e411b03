"""A real cluster is restored from a backup: its versions are lower than before, and its watches do not say so."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from kinformer import Client, ClusterConfig, SharedInformerFactory
from kinformer.errors import ConnectError
from kinformer.resources import CONFIGMAPS
from tests.apiserver.following import Follower, versions

if TYPE_CHECKING:
    from pathlib import Path

    from kinformer import SharedInformer
    from kinformer.testing import ControlPlane

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SPACE = "default"


async def as_stored(client: Client, *informers: SharedInformer) -> None:
    async with asyncio.timeout(60):
        while True:
            stored = {
                f"{SPACE}/{found.name}": found.resource_version
                for found in await client.list(CONFIGMAPS, namespace=SPACE)
            }
            if all(versions(informer) == stored for informer in informers):
                return
            await asyncio.sleep(0.1)


async def test_the_restored_state_is_in_the_cache_within_a_minute(control_plane: ControlPlane, tmp_path: Path) -> None:
    assert control_plane.folder is not None
    data, backup = control_plane.folder / "etcd" / "member", tmp_path / "backup"
    config = ClusterConfig.for_server(control_plane.url, token=control_plane.token, ca_file=control_plane.ca_file)
    async with Client(config) as client:
        for name in ("changes", "goes", "exchanged"):
            await client.create(CONFIGMAPS, {"metadata": {"name": name}, "data": {"a": "old"}}, namespace=SPACE)
        await control_plane.kill()
        shutil.copytree(data, backup)
        await control_plane.start()
        factories = [
            SharedInformerFactory(client, namespace=SPACE, streaming_lists=streams) for streams in (True, False)
        ]
        informers = [factory.core.v1.configmaps for factory in factories]
        followers = [Follower(informer) for informer in informers]
        async with factories[0], factories[1]:
            for number in range(30):
                await client.patch(CONFIGMAPS, "changes", {"data": {"a": str(number)}}, namespace=SPACE)
            for name in ("goes", "exchanged"):
                await client.delete(CONFIGMAPS, name, namespace=SPACE)
            for name in ("exchanged", "comes"):
                await client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace=SPACE)
            await as_stored(client, *informers)
            await control_plane.kill()
            # A restore takes longer than the pause before the next watch.
            async with asyncio.timeout(60):
                while not all(isinstance(informer.status.last_error, ConnectError) for informer in informers):
                    await asyncio.sleep(0.05)
            shutil.rmtree(data)
            shutil.copytree(backup, data)
            await control_plane.start()
            await as_stored(client, *informers)
            assert [follower.objects[f"{SPACE}/changes"]["data"] for follower in followers] == [{"a": "old"}] * 2
            # Later events arrive, although they are older than the state before the restore.
            await client.patch(CONFIGMAPS, "changes", {"data": {"a": "new"}}, namespace=SPACE)
            await as_stored(client, *informers)
            for follower in followers:
                assert f"{SPACE}/comes" not in follower.objects
                assert follower.objects[f"{SPACE}/changes"]["data"] == {"a": "new"}
