"""The promises of ControlPlane: on a real etcd and kube-apiserver."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from kinformer import Client, ClusterConfig, ExpiredError, ForbiddenError, UnauthorizedError
from kinformer.resources import CONFIGMAPS, NAMESPACES
from kinformer.testing import ControlPlane, ControlPlaneError

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def admin(plane: ControlPlane) -> Client:
    return Client(ClusterConfig.for_server(plane.url, token=plane.token, ca_file=plane.ca_file))


def is_alive(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


async def names(plane: ControlPlane) -> set[str]:
    async with admin(plane) as client:
        return {found.name for found in await client.list(NAMESPACES)}


async def test_it_is_a_release_and_says_which(control_plane: ControlPlane) -> None:
    async with admin(control_plane) as client:
        version = await client.version()
    assert version.git_version == control_plane.version
    assert control_plane.version.startswith("v1.")


async def test_what_was_stored_survives_kill_at_the_same_address(control_plane: ControlPlane) -> None:
    url = control_plane.url
    async with admin(control_plane) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "survives"}})
    await control_plane.kill()
    assert not control_plane.running
    await control_plane.start()
    assert control_plane.running
    assert control_plane.url == url
    assert "survives" in await names(control_plane)


@pytest.mark.parametrize("gracefully", [False, True])
async def test_each_way_to_restart_keeps_what_is_stored(control_plane: ControlPlane, gracefully: bool) -> None:
    before = await names(control_plane)
    await control_plane.restart_api_server(gracefully=gracefully)
    assert await names(control_plane) == before
    await control_plane.restart(gracefully=gracefully)
    assert await names(control_plane) == before
    await control_plane.kill_api_server()
    await control_plane.start()
    assert await names(control_plane) == before


async def test_compacting_expires_the_pages_of_a_list(control_plane: ControlPlane) -> None:
    async with admin(control_plane) as client:
        source = client.list_watch(NAMESPACES)
        pages = source.list(limit=1)
        await anext(pages)
        await client.create(NAMESPACES, {"metadata": {"generateName": "compacted-"}})
        await control_plane.compact()
        await control_plane.restart_api_server()
        with pytest.raises(ExpiredError):
            async for _ in pages:
                pass


async def test_users_are_who_they_are_and_may_do_nothing_until_rbac_lets_them(control_plane: ControlPlane) -> None:
    for config in (
        ClusterConfig.for_server(control_plane.url, token=control_plane.tokens["alice"], ca_file=control_plane.ca_file),
        ClusterConfig.for_server(
            control_plane.url,
            ca_file=control_plane.ca_file,
            **dict(zip(("cert_file", "key_file"), control_plane.client_certificate("alice"), strict=True)),  # type: ignore[arg-type]
        ),
    ):
        async with Client(config) as client:
            with pytest.raises(ForbiddenError, match='User "alice" cannot list'):
                await client.list(CONFIGMAPS)
    wrong = ClusterConfig.for_server(control_plane.url, token="wrong", ca_file=control_plane.ca_file)
    async with Client(wrong) as client:
        with pytest.raises(UnauthorizedError):
            await client.list(CONFIGMAPS)


async def test_a_group_of_a_client_certificate_counts(control_plane: ControlPlane) -> None:
    certificate, key = control_plane.client_certificate("root", "system:masters")
    config = ClusterConfig.for_server(
        control_plane.url, ca_file=control_plane.ca_file, cert_file=certificate, key_file=key
    )
    async with Client(config) as client:
        assert await client.list(NAMESPACES)


async def test_its_kubeconfig_is_private_and_works(control_plane: ControlPlane, tmp_path: Path) -> None:
    path = tmp_path / "of-alice"
    control_plane.write_kubeconfig(path, "alice")
    for file in (path, control_plane.kubeconfig_file):
        assert file.stat().st_mode & 0o777 == 0o600
    async with Client(await ClusterConfig.load(control_plane.kubeconfig_file)) as client:
        assert await client.list(NAMESPACES)
    async with Client(await ClusterConfig.load(path)) as client:
        with pytest.raises(ForbiddenError, match='User "alice"'):
            await client.list(NAMESPACES)


async def test_leaving_it_leaves_nothing_also_when_it_is_cancelled() -> None:
    entered: asyncio.Future[tuple[Path, list[int | None]]] = asyncio.get_running_loop().create_future()

    async def live() -> None:
        async with ControlPlane() as plane:
            pids = [server.pid for server in (plane._etcd, plane._api_server) if server is not None]
            entered.set_result((plane.folder, pids))
            await asyncio.get_running_loop().create_future()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(live())
        folder, pids = await entered
        assert folder.exists()
        task.cancel()
    assert not folder.exists()
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


async def test_a_flag_it_does_not_know_is_shown_in_the_error() -> None:
    with pytest.raises(ControlPlaneError, match="kube-apiserver ended before it was ready") as caught:
        await ControlPlane(flags={"no-such-flag": "1"}).start()
    assert "unknown flag: --no-such-flag" in str(caught.value)


async def test_kubectl_works_with_its_kubeconfig(control_plane: ControlPlane) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl: install kubernetes-client, or set KINFORMER_KUBECTL")
    process = await asyncio.create_subprocess_exec(
        *(kubectl, "--kubeconfig", control_plane.kubeconfig_file, "get", "ns", "default", "-o", "name"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out.decode() == "namespace/default\n"
