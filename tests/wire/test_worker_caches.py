"""Workers that share: one list and one watch of the API server for all, and a successor of the first worker."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import ApiError, Client, ClusterConfig, ForbiddenError, NotFoundError, SharedInformerFactory
from kinformer.custom_resources import CustomResource, ObjectMeta, crd, custom_resource, resource_of
from kinformer.errors import AlreadyStartedError
from kinformer.proxy import UnixAddress, WorkerCaches, _caches, _worker_caches
from kinformer.proxy._process_lock import Beat, ProcessLock, Silence, private_directory
from kinformer.resources import CONFIGMAPS, LEASES, PODS, Resource
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kinformer import SharedInformer


def config_map(name: str, namespace: str = "default", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": "1"}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


class Worker:
    """The client, caches and factory of a worker."""

    def __init__(self, client: Client, caches: WorkerCaches) -> None:
        self.client = client
        self.caches = caches
        self.factory = SharedInformerFactory(client)


@asynccontextmanager
async def worker(server: ApiServer, directory: Path) -> AsyncIterator[Worker]:
    async with (
        Client(ClusterConfig.for_server(server.url)) as client,
        WorkerCaches(client, directory) as caches,
    ):
        yield Worker(client, caches)


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def names(informer: SharedInformer) -> list[str]:
    return sorted(each.name for each in informer.lister.list())


async def test_many_workers_are_one_watch_per_scope(server: ApiServer, tmp_path: Path) -> None:
    server.create(config_map("a", app="web"))
    server.create(config_map("b"))
    async with worker(server, tmp_path / "d") as one, worker(server, tmp_path / "d") as two:
        assert (one.caches.serves, two.caches.serves) == (True, False)
        whole, web, heads = [], [], []
        for each in (one, two):
            whole.append(each.factory.informer(CONFIGMAPS, namespace="default"))
            web.append(each.factory.informer(CONFIGMAPS, label_selector="app=web"))
            heads.append(each.factory.informer(CONFIGMAPS, namespace="default", metadata_only=True))
        async with one.factory, two.factory:
            for each in (one, two):
                await each.factory.wait_for_cache_sync(timeout=60)
            assert [names(each) for each in web] == [["a"], ["a"]]
            server.create(config_map("c", app="web"))
            await eventually(lambda: [names(each) for each in web] == [["a", "c"]] * 2)
            await eventually(lambda: all("c" in names(each) for each in [*whole, *heads]))
            assert len(server.open_watches) == 3
            assert [each.lister.get("c", "default") for each in whole] == [server.get("v1", "ConfigMap", "c")] * 2
            async with Client(ClusterConfig.for_server(server.url)) as direct:
                plain = SharedInformerFactory(direct).informer(CONFIGMAPS, namespace="default", metadata_only=True)
                async with plain:
                    await plain.synced(timeout=60)
                    assert [each.lister.get("c", "default") for each in heads] == [plain.lister.get("c", "default")] * 2


async def test_writes_and_reads_of_a_worker_go_to_the_api_server(server: ApiServer, tmp_path: Path) -> None:
    async with worker(server, tmp_path / "d") as one, worker(server, tmp_path / "d") as two:
        informer = two.factory.informer(CONFIGMAPS)
        async with two.factory:
            await two.factory.wait_for_cache_sync(timeout=60)
            made = await two.client.create(CONFIGMAPS, config_map("a"))
            await informer.caught_up(made, timeout=60)
            assert informer.lister.get("a", "default") == made
            before = server.count("list", "configmaps")
            assert "a" in {each.name for each in await two.client.list(CONFIGMAPS)}
            assert server.count("list", "configmaps") == before + 1
        assert one.caches.serves


async def test_the_socket_serves_lists_and_watches_only(server: ApiServer, tmp_path: Path) -> None:
    async with worker(server, tmp_path / "d") as one, Client(ClusterConfig.for_socket(one.caches.path)) as stranger:
        with pytest.raises(ForbiddenError):
            await stranger.create(CONFIGMAPS, config_map("a"))
        with pytest.raises(ForbiddenError):
            await stranger.get(CONFIGMAPS, "a", namespace="default")
        assert stat.S_IMODE(one.caches.path.lstat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "d").lstat().st_mode) == 0o700
        assert {each.suffix for each in (tmp_path / "d").iterdir()} == {".lock", ".sock"}
        assert all(stat.S_IMODE(each.lstat().st_mode) == 0o600 for each in (tmp_path / "d").iterdir())
    assert list((tmp_path / "d").iterdir()) == []


async def test_leases_are_watched_at_the_api_server(server: ApiServer, tmp_path: Path) -> None:
    async with worker(server, tmp_path / "d") as one, worker(server, tmp_path / "d") as two:
        for each in (one, two):
            each.factory.informer(LEASES)
        async with one.factory, two.factory:
            for each in (one, two):
                await each.factory.wait_for_cache_sync(timeout=60)
            await eventually(lambda: len(server.open_watches) == 2)


async def test_another_worker_takes_over_before_the_first_one_ends(server: ApiServer, tmp_path: Path) -> None:
    server.create(config_map("gone"))
    async with contextlib.AsyncExitStack() as others:
        async with worker(server, tmp_path / "d"):
            two = await others.enter_async_context(worker(server, tmp_path / "d"))
            informer = two.factory.informer(CONFIGMAPS, namespace="default")
            await others.enter_async_context(two.factory)
            await two.factory.wait_for_cache_sync(timeout=60)
            assert not two.caches.serves
        assert two.caches.serves
        server.delete("v1", "ConfigMap", "gone")
        server.create(config_map("new"))
        await eventually(lambda: "new" in names(informer) and "gone" not in names(informer))
        assert informer.status.failures == 0
    assert list((tmp_path / "d").iterdir()) == []


async def test_a_refusal_by_the_api_server_reaches_each_worker(tmp_path: Path) -> None:
    async with ApiServer(tokens={"t": "app"}) as server:
        server.deny("app", "list", "secrets")
        server.deny("app", "watch", "secrets")
        async with (
            Client(ClusterConfig.for_server(server.url, token="t")) as client,
            WorkerCaches(client, tmp_path / "d"),
        ):
            informer = SharedInformerFactory(client).informer("secrets")
            async with informer:
                await eventually(lambda: informer.status.last_error is not None)
                assert isinstance(informer.status.last_error, ForbiddenError)


class Spec(msgspec.Struct):
    size: int = 1


@custom_resource(group="example.com", version="v1")
class Widget(CustomResource, msgspec.Struct):
    metadata: ObjectMeta
    spec: Spec


WIDGETS = resource_of(Widget)


async def test_custom_resources_are_served_as_their_workers_know_them(server: ApiServer, tmp_path: Path) -> None:
    server.create(crd(Widget))
    server.create(
        {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "w", "namespace": "default"},
            "spec": {},
        }
    )
    async with worker(server, tmp_path / "d") as one, Client(ClusterConfig.for_socket(one.caches.path)) as stranger:
        # Not known from a worker: discovered.
        pages = [page async for page in stranger.list_watch(WIDGETS).list()]
        assert [obj.name for page in pages for obj in page.items] == ["w"]
        with pytest.raises(NotFoundError):
            async for _ in stranger.list_watch(Resource("example.com", "v1", "gadgets", "Gadget")).list():
                pass
        informer = one.factory.informer(WIDGETS)
        async with one.factory:
            await one.factory.wait_for_cache_sync(timeout=60)
            assert names(informer) == ["w"]


async def test_a_cache_ends_after_its_last_reader(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_caches, "IDLE_SECONDS", 0.01)
    async with worker(server, tmp_path / "d") as one:
        informer = one.factory.informer(CONFIGMAPS)
        async with one.factory:
            await informer.synced(timeout=60)
            await eventually(lambda: len(server.open_watches) == 1)
        await eventually(lambda: not server.open_watches)


async def test_there_is_a_bound_of_scopes(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_caches, "MAX_SCOPES", 1)
    async with worker(server, tmp_path / "d") as one, Client(ClusterConfig.for_socket(one.caches.path)) as reader:
        async for _ in reader.list_watch(CONFIGMAPS).list():
            pass
        with pytest.raises(ApiError) as refused:
            async for _ in reader.list_watch(PODS).list():
                pass
        assert refused.value.status == 429


async def test_a_directory_that_others_can_enter_is_refused(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "file").write_text("")
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    for name, why in (("open", "chmod 700"), ("file", "no directory"), ("link", "the directory itself")):
        with pytest.raises(PermissionError, match=why):
            private_directory(tmp_path / name)
        async with Client(ClusterConfig.for_server(server.url)) as client:
            with pytest.raises(PermissionError, match=why):
                await WorkerCaches(client, tmp_path / name).__aenter__()


async def test_caches_of_workers_are_started_once(server: ApiServer, tmp_path: Path) -> None:
    async with worker(server, tmp_path / "d") as one:
        with pytest.raises(AlreadyStartedError):
            await one.caches.__aenter__()


def test_one_lock_is_held_by_one(tmp_path: Path) -> None:
    one, two = ProcessLock(tmp_path / "l"), ProcessLock(tmp_path / "l")
    assert one.take()
    assert one.take()
    assert not two.take()
    one.release()
    # The file that the other one has open is gone: it must not count as the lock.
    three = ProcessLock(tmp_path / "l")
    assert three.take()
    assert not two.take()
    assert not two.take()
    three.release()
    assert two.take()
    two.release()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "l")
    assert lock.take()
    (reading, writing), (begun, begin) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.write(begin, b"x")
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    os.read(begun, 1)
    lock.close()
    other = ProcessLock(tmp_path / "l")
    try:
        assert other.take()
    finally:
        for each in (writing, begun, begin):
            os.close(each)
        os.waitpid(child, 0)
        other.release()


def test_the_lock_of_a_silent_process_is_taken_from_it(tmp_path: Path) -> None:
    silent, two, three = (ProcessLock(tmp_path / "l") for _ in range(3))
    assert silent.take()
    assert silent.beat()
    beat = two.last_beat()
    assert beat is not None
    assert silent.beat()
    assert not two.take_from(beat), "it has beaten meanwhile"
    beat = two.last_beat()
    assert beat is not None
    assert two.take_from(beat)
    assert not three.take_from(beat)
    assert not three.take()
    assert (silent.beat(), two.beat()) == (False, True)
    silent.release()
    assert not silent.take(), "the file of the other one is still there"
    two.release()
    assert silent.take()
    silent.release()


def test_a_lock_that_is_no_file_of_ours_is_left_alone_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "directory").mkdir()
    for name in ("link", "directory"):
        with pytest.raises(OSError, match=f"cannot lock .*/{name}: .*; remove it"):
            ProcessLock(tmp_path / name).take()
    assert not (tmp_path / "elsewhere").exists()


def test_silence_is_time_in_which_the_process_that_measures_was_at_work() -> None:
    silence = Silence(most=0.2)
    first, second, other = Beat((1, 1), 10), Beat((1, 1), 20), Beat((1, 2), 20)
    silence.look(first, 100.0)
    for now in (100.1, 100.2, 160.0):
        assert silence.look(first, now) is None
    assert silence.seconds == pytest.approx(0.4)
    assert silence.look(second, 160.1) is None
    assert silence.seconds == 0
    silence.look(second, 160.2)
    assert silence.look(other, 160.3) == pytest.approx(0.1)
    silence.look(other, 160.4)
    assert silence.seconds == pytest.approx(0.1), "the silence of the one before counts no longer"


@pytest.mark.parametrize("removed", ["socket", "lock", "directory"])
async def test_a_worker_serves_again_after_its_files_were_removed(
    server: ApiServer, tmp_path: Path, removed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_worker_caches, "_BEAT_EVERY", 0.01)
    async with worker(server, tmp_path / "d") as one:
        informer = one.factory.informer(CONFIGMAPS, namespace="default")
        async with one.factory:
            await one.factory.wait_for_cache_sync(timeout=60)
            if removed == "directory":
                shutil.rmtree(tmp_path / "d")
            else:
                (one.caches.path if removed == "socket" else one.caches.path.with_suffix(".lock")).unlink()
            before = one.caches.proxy
            await eventually(lambda: one.caches.serves and one.caches.proxy is not before)
            assert {each.suffix for each in (tmp_path / "d").iterdir()} == {".lock", ".sock"}
            server.create(config_map("new"))
            await eventually(lambda: names(informer) == ["new"])
            await eventually(lambda: len(server.open_watches) == 1)
    assert list((tmp_path / "d").iterdir()) == []


async def test_a_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path, server: ApiServer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot make the directory .*/file/d: .*; name one"):
        private_directory(tmp_path / "file" / "d")
    async with Client(ClusterConfig.for_server(server.url)) as client:
        with pytest.raises(OSError, match="name a shorter one"):
            await WorkerCaches(client, tmp_path / ("a" * 100)).__aenter__()


async def test_a_worker_that_cannot_take_over_logs_that_once_and_serves_when_it_can(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_worker_caches, "_PAUSE", 0.005)
    full = OSError(errno.ENOSPC, "No space left on device")
    attempts: list[object] = []

    def fails(address: UnixAddress) -> socket.socket:
        attempts.append(address)
        raise full

    async with worker(server, tmp_path / "d") as one, worker(server, tmp_path / "d") as two:
        caplog.clear()
        with monkeypatch.context() as patched:
            patched.setattr(UnixAddress, "open", fails)
            # As a disk that is full: the lock is free, and no socket can be made.
            await one.caches.__aexit__()
            await eventually(lambda: len(attempts) > 5)
        await eventually(lambda: two.caches.serves)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
