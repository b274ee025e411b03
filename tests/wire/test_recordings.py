"""A replay over real sockets does what the recorded server did."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer import (
    Added,
    ApiError,
    Client,
    ClusterConfig,
    Deleted,
    MethodNotAllowedError,
    NotFoundError,
    SharedInformerFactory,
    Updated,
)
from kinformer.errors import AlreadyStartedError, NotStartedError, RecordingError
from kinformer.recordings import Recorder, Recording, Replay, recordable
from kinformer.recordings._format import Item, Listed, RecordingWriter
from kinformer.resources import CONFIGMAPS, NAMESPACES, NODES, PODS, SECRETS, Resource
from kinformer.testing import ApiServer, ControlPlane, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCHEDULES = int(os.environ.get("KINFORMER_RECORDING_SCHEDULES", "4"))
STEPS = 60
WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


def config_map(name: str, value: str = "", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(ClusterConfig.for_server(server.url)) as opened:
        yield opened


def client_of(replay: Replay) -> Client:
    return Client(ClusterConfig.for_server(replay.url))


async def caught_up(recorder: Recorder, server: ApiServer, events: int) -> None:
    """Wait until the recorder has all events."""
    server.send_bookmarks()
    async with asyncio.timeout(20):
        while recorder.events < events:
            await asyncio.sleep(0.005)


@pytest.fixture
async def path(server: ApiServer, client: Client, tmp_path: Path) -> Path:
    """A recording: two ConfigMaps in the list, then a change, a new one and a deletion."""
    server.create(config_map("a", app="web"))
    server.create(config_map("b"))
    async with Recorder(client, tmp_path / "a.kin", [CONFIGMAPS, NAMESPACES]) as recorder:
        await recorder.listed()
        server.update(config_map("b", "new"))
        server.create(config_map("c", app="web"))
        server.delete("v1", "ConfigMap", "a")
        await caught_up(recorder, server, 3)
    return tmp_path / "a.kin"


class Histories:
    """The events of all ConfigMaps and Pods that informers have seen. Their order is one per object."""

    def __init__(self, client: Client) -> None:
        self.factory = SharedInformerFactory(client)
        self.seen: dict[str, list[tuple[str, bytes]]] = {}
        self.count = 0
        self.informers = [self.factory.informer(resource) for resource in (CONFIGMAPS, PODS)]
        for informer in self.informers:
            informer.add_event_handler(self.take)

    def take(self, event: Added | Updated | Deleted) -> None:
        self.seen.setdefault(f"{event.obj.kind} {event.obj.key}", []).append(
            (type(event).__name__, event.obj.to_json())
        )
        self.count += 1


@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_an_informer_of_the_replay_sees_the_history_that_one_of_the_server_saw(
    server: ApiServer, client: Client, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for name in "abc":
        server.create(config_map(name))
        server.create(build.pod(name))
    original = Histories(client)
    before = server.resource_version
    async with Recorder(client, tmp_path / "a.kin", [CONFIGMAPS, PODS]) as recorder, original.factory:
        await recorder.listed()
        await original.factory.wait_for_cache_sync()
        for step in range(STEPS):
            kind, name = rng.choice(("ConfigMap", "Pod")), rng.choice("abcdef")
            present = name in {one["metadata"]["name"] for one in server.list("v1", kind)}
            if not present:
                server.create(config_map(name) if kind == "ConfigMap" else build.pod(name))
            elif rng.random() < 0.4:
                server.delete("v1", kind, name)
            else:
                server.patch("v1", kind, name, {"metadata": {"labels": {"step": str(step)}}})
            if rng.random() < 0.05:
                server.faults.drop_watches()
            if rng.random() < 0.2:
                await asyncio.sleep(0.002)
        events = server.resource_version - before
        await caught_up(recorder, server, events)
        async with asyncio.timeout(20):
            while original.count < events + 6:
                await asyncio.sleep(0.005)
    async with Replay(tmp_path / "a.kin", speed=math.inf, hold=True) as replay, client_of(replay) as again:
        copy = Histories(again)
        async with copy.factory:
            await copy.factory.wait_for_cache_sync()
            replay.play()
            await replay.finished()
            async with asyncio.timeout(20):
                while copy.count < original.count:
                    await asyncio.sleep(0.005)
            assert copy.seen == original.seen
            await same_lists(again, client, [CONFIGMAPS, PODS])


async def same_lists(one: Client, other: Client, resources: list[Resource]) -> None:
    for resource in resources:
        lists = [{obj.key: obj.to_dict() for obj in await each.list(resource)} for each in (one, other)]
        assert lists[0] == lists[1], resource


async def test_the_first_lists_are_there_at_once_and_the_events_when_the_replay_plays(path: Path) -> None:
    async with Replay(path, hold=True, speed=math.inf) as replay, client_of(replay) as client:
        assert {obj.name for obj in await client.list(CONFIGMAPS)} == {"a", "b"}
        replay.play()
        await replay.finished()
        assert {obj.name for obj in await client.list(CONFIGMAPS)} == {"b", "c"}
        assert (await client.get(CONFIGMAPS, "b", namespace="default"))["data"] == {"value": "new"}
        assert replay.events == 3
        assert not replay.recording.truncated


async def test_events_come_at_their_times_divided_by_the_speed(path: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.kin"
    writer = RecordingWriter(slow)
    with Recording.open(path) as recording:
        writer.write(recording.header)
        for record in recording:
            if not isinstance(record, Item | Listed) and hasattr(record, "at"):
                record.at = 100.0
            writer.write(record)
    writer.close()
    async with Replay(slow, speed=500) as replay:
        began = asyncio.get_running_loop().time()
        await replay.finished()
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_selectors_names_and_versions_are_those_of_an_api_server(path: Path) -> None:
    async with Replay(path, speed=math.inf) as replay, client_of(replay) as client:
        await replay.finished()
        assert [obj.name for obj in await client.list(CONFIGMAPS, label_selector="app=web")] == ["c"]
        assert [obj.name for obj in await client.list(CONFIGMAPS, field_selector="data.value=new")] == ["b"]
        assert len(await client.list(CONFIGMAPS, namespace="other")) == 0
        with pytest.raises(NotFoundError, match='configmaps "a" not found'):
            await client.get(CONFIGMAPS, "a", namespace="default")
        with pytest.raises(NotFoundError):
            await client.list(PODS)
        with pytest.raises(MethodNotAllowedError, match="can only be read"):
            await client.create(CONFIGMAPS, config_map("d"))


async def test_a_watch_goes_on_from_each_version_and_gets_410_from_an_older_one(path: Path) -> None:
    async with Replay(path, speed=math.inf, hold=True) as replay, aiohttp.ClientSession() as session:
        url = f"{replay.url}/api/v1/configmaps"
        async with session.get(url, headers={"Accept": "application/json"}) as answer:
            listed = int((await answer.json())["metadata"]["resourceVersion"])
        replay.play()
        await replay.finished()
        query = {"watch": "1", "resourceVersion": str(listed), "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
        async with session.get(url, params=query) as answer:
            types = [json.loads(await answer.content.readline())["type"] for _ in range(3)]
        assert types == ["MODIFIED", "ADDED", "DELETED"]
        async with session.get(url, params=query | {"resourceVersion": "1"}) as answer:
            event = json.loads(await answer.content.readline())
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        async with session.get(url, params={"continue": "x"}) as answer:
            assert answer.status == 400
        async with session.get(url, params={"resourceVersion": "many"}) as answer:
            assert answer.status == 400


async def test_a_list_that_replaced_everything_replaces_everything_again(
    server: ApiServer, client: Client, tmp_path: Path
) -> None:
    server.create(config_map("a"))
    async with Recorder(client, tmp_path / "a.kin", [CONFIGMAPS]) as recorder:
        await recorder.listed()
        server.faults.drop_watches()
        server.delete("v1", "ConfigMap", "a")
        server.create(config_map("b"))
        server.compact()
        async with asyncio.timeout(20):
            while not server.open_watches:
                await asyncio.sleep(0.005)
        server.create(config_map("c"))
        await caught_up(recorder, server, 1)
    async with (
        Replay(tmp_path / "a.kin", speed=math.inf, hold=True) as replay,
        client_of(replay) as again,
        SharedInformerFactory(again) as factory,
    ):
        maps = factory.informer(CONFIGMAPS)
        await factory.wait_for_cache_sync()
        assert [obj.name for obj in maps.lister.list()] == ["a"]
        replay.play()
        async with asyncio.timeout(20):
            while {obj.name for obj in maps.lister.list()} != {"b", "c"}:
                await asyncio.sleep(0.005)


async def test_custom_resources_are_found_by_discovery_and_by_short_name(
    server: ApiServer, client: Client, tmp_path: Path
) -> None:
    server.create(build.custom_resource_definition("widgets", "Widget", short_names=["wd"]))
    server.create({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}})
    resources = recordable(await client.resources())
    assert WIDGETS in resources
    async with Recorder(client, tmp_path / "a.kin", resources) as recorder:
        await recorder.listed()
    async with Replay(tmp_path / "a.kin") as replay, client_of(replay) as again:
        assert await again.resolve("wd") == WIDGETS
        assert set(await again.resources()) == set(resources)
        assert [obj["spec"] for obj in await again.list(WIDGETS)] == [{"size": 1}]
        assert str(await again.version()) == str(await client.version())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{replay.url}/apis/example.com/v1") as answer:
                assert [one["name"] for one in (await answer.json())["resources"]] == ["widgets"]
            accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
            async with session.get(f"{replay.url}/apis/example.com/v1/widgets", headers=accept) as answer:
                partial = await answer.json()
            assert partial["kind"] == "PartialObjectMetadataList"
            assert "spec" not in partial["items"][0]


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


async def test_no_data_of_a_secret_is_in_the_file_unless_it_was_asked_for(
    server: ApiServer, client: Client, tmp_path: Path
) -> None:
    def secret(value: str) -> dict[str, Any]:
        metadata = {"name": "s", "namespace": "default", "annotations": {"copy": value}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": value}}

    async def contents(name: str, **options: Any) -> str:
        server.create(secret("hunter2-first"))
        async with Recorder(client, tmp_path / name, [SECRETS], **options) as recorder:
            await recorder.listed()
            server.update(secret("hunter2-later"))
            await caught_up(recorder, server, 1)
            server.delete("v1", "Secret", "s")
            await caught_up(recorder, server, 2)
        return text_of(tmp_path / name)

    for name, options in (("a.kin", {}), ("b.kin", {"redact": True})):
        text = await contents(name, **options)
        assert "hunter2" not in text
        assert "aHVudGVyM" not in text
        assert "AAAA" in text or options
    assert "aHVudGVyM" in await contents("c.kin", secret_data=True)
    with pytest.raises(ValueError, match="redacted recording"):
        Recorder(client, tmp_path / "d.kin", [SECRETS], redact=True, secret_data=True)


async def test_references_match_in_a_redacted_replay(server: ApiServer, client: Client, tmp_path: Path) -> None:
    server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}})
    server.create(build.pod("payments-0", namespace="payments", labels={"app": "payments"}, node="acme-node"))
    server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "acme-node"}})
    async with Recorder(client, tmp_path / "a.kin", [PODS, NODES, NAMESPACES], redact=True) as recorder:
        await recorder.listed()
        server.patch("v1", "Pod", "payments-0", {"metadata": {"labels": {"more": "acme"}}}, namespace="payments")
        await caught_up(recorder, server, 1)
    with Recording.open(tmp_path / "a.kin") as recording:
        assert recording.header.redacted
    text = text_of(tmp_path / "a.kin")
    assert "payments" not in text
    assert "acme" not in text
    async with Replay(tmp_path / "a.kin", speed=math.inf) as replay, client_of(replay) as again:
        await replay.finished()
        (pod,) = await again.list(PODS)
        assert pod["spec"]["nodeName"] in {node.name for node in await again.list(NODES)}
        assert pod.namespace in {namespace.name for namespace in await again.list(NAMESPACES)}
        assert len(pod.labels) == 2


async def test_a_resource_that_the_server_refuses_is_left_out_and_named(tmp_path: Path) -> None:
    async with ApiServer(tokens={"t": "jane"}) as server:
        server.deny("jane", "*", "secrets")
        async with Client(ClusterConfig.for_server(server.url, token="t")) as client:
            async with Recorder(client, tmp_path / "a.kin", [SECRETS, CONFIGMAPS]) as recorder:
                await recorder.listed()
            assert [*recorder.refused] == [SECRETS]
    async with Replay(tmp_path / "a.kin") as replay, client_of(replay) as again:
        assert replay.resources == [CONFIGMAPS]
        assert await again.resources() == [CONFIGMAPS]
        with pytest.raises(ApiError, match="the recorder was refused secrets") as refused:
            await again.list(SECRETS)
        assert refused.value.status == 403


def shorten(path: Path, by: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - by])


def break_behind_the_events(path: Path) -> None:
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join([*lines[:-1], b"{broken\n"])))


async def test_a_full_disk_is_an_error_that_names_the_file_and_says_what_can_be_read(
    server: ApiServer, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "a.kin"
    server.create(config_map("a"))
    with pytest.raises(OSError, match="cannot write to .*a.kin: No space left on device; the part before can be"):
        async with Recorder(client, path, [CONFIGMAPS]) as recorder:
            recorder.write(Listed(0.0, 0, "1"))
            writer = recorder._writer
            assert writer is not None
            writer.flush()
            # The kernel's file that is always full.
            writer._file.close()
            writer._file = Path("/dev/full").open("wb")  # noqa: SIM115, ASYNC230
            with pytest.raises(OSError, match="cannot write to"):
                await recorder.listed()
            with pytest.raises(OSError, match="cannot write to"):
                await recorder.run(5)
    with Recording.open(path) as recording:
        assert len([*recording]) == 2
        assert recording.truncated


async def test_objects_that_cannot_be_decoded_are_counted(server: ApiServer, client: Client, tmp_path: Path) -> None:
    server.create(config_map("a"))
    server.create(config_map("b"))
    server.faults.corrupt("configmaps", "a")
    async with Recorder(client, tmp_path / "a.kin", [CONFIGMAPS]) as recorder:
        await recorder.listed()
        async with asyncio.timeout(20):
            while not recorder.left_out:
                await recorder.run(0.005)
        assert recorder.unlisted == []


async def test_a_pipe_is_refused_and_does_not_stop_the_program(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="no regular file"):
        await Replay(tmp_path / "pipe").__aenter__()


async def test_a_recording_whose_recorder_was_killed_is_played_up_to_its_last_whole_record(path: Path) -> None:
    shorten(path, 20)
    async with Replay(path, speed=math.inf) as replay:
        await replay.finished()
        assert replay.recording.truncated
        assert replay.events <= 3


async def test_damage_behind_the_first_lists_ends_the_replay_with_its_error_and_the_server_stays(path: Path) -> None:
    break_behind_the_events(path)
    async with Replay(path, speed=math.inf) as replay, client_of(replay) as client:
        with pytest.raises(RecordingError, match="damaged behind record"):
            await replay.finished()
        assert await client.list(CONFIGMAPS)


async def test_objects_that_need_too_much_memory_are_refused_before_they_are_held(path: Path) -> None:
    with pytest.raises(RecordingError, match="need more than 500 bytes"):
        async with Replay(path, most_held_bytes=500):
            pass


async def test_it_answers_loopback_names_only_and_no_web_pages(path: Path) -> None:
    async with Replay(path) as replay, aiohttp.ClientSession() as session:
        for headers in ({"Host": "rebound.example"}, {"Origin": "http://page.example"}):
            async with session.get(f"{replay.url}/api/v1/configmaps", headers=headers) as answer:
                assert answer.status == 403
        # Fabric8 sends the address of the server as the origin of its watches.
        async with session.get(f"{replay.url}/api/v1/configmaps", headers={"Origin": replay.url}) as answer:
            assert answer.status == 200
        asks = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with session.get(f"{replay.url}/api/v1/configmaps?watch=1", headers=asks) as answer:
            assert "not a WebSocket" in (await answer.json())["message"]
        with pytest.raises(ValueError, match="loopback addresses only"):
            Replay(path, host="0.0.0.0")
        with pytest.raises(ValueError, match="positive"):
            Replay(path, speed=0)
        with pytest.raises(AlreadyStartedError):
            await replay.__aenter__()
    with pytest.raises(NotStartedError):
        _ = replay.url


async def test_the_replay_is_read_and_begun_over_http(path: Path) -> None:
    async with Replay(path, hold=True, speed=math.inf) as replay, aiohttp.ClientSession() as session:
        url = f"{replay.url}/kinformer/replay"
        async with session.get(url) as answer:
            assert not (await answer.json())["playing"]
        async with session.post(f"{url}?wait") as answer:
            state = await answer.json()
        assert (state["ended"], state["failed"], state["events"]) == (True, "", 3)


async def test_a_version_that_never_comes_gets_504(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.recordings._replay._PATIENCE", 0.01)
    async with Replay(path) as replay, aiohttp.ClientSession() as session:
        async with session.get(f"{replay.url}/api/v1/configmaps", params={"resourceVersion": "999999"}) as answer:
            assert answer.status == 504
        # Older than the present version, as an exact one: gone.
        exact = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
        async with session.get(f"{replay.url}/api/v1/configmaps", params=exact) as answer:
            assert answer.status == 410


@pytest.mark.real
async def test_the_end_of_a_replay_is_the_state_of_the_real_server(control_plane: ControlPlane, tmp_path: Path) -> None:
    config = ClusterConfig.for_server(control_plane.url, token=control_plane.token, ca_file=control_plane.ca_file)
    async with Client(config) as client:
        resources = recordable(await client.resources())
        async with Recorder(client, tmp_path / "a.kin", resources) as recorder:
            await recorder.listed()
            for number in range(20):
                await client.create(CONFIGMAPS, config_map(f"recorded-{number}"))
            for number in range(10):
                await client.delete(CONFIGMAPS, f"recorded-{number}", namespace="default")
            async with asyncio.timeout(20):
                while recorder.events < 30:
                    await asyncio.sleep(0.01)
        async with Replay(tmp_path / "a.kin", speed=math.inf) as replay, client_of(replay) as again:
            await replay.finished()
            # The server writes Leases of its own meanwhile.
            still = [
                one for one in resources if one not in recorder.refused and one.plural not in {"leases", "secrets"}
            ]
            await same_lists(again, client, still)
