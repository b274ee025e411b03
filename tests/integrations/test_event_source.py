"""Server-sent events from a cache: what a browser is told, also when it comes back, is slow, or stays too long."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from kinformer import SharedInformer
from kinformer.integrations._web import event_source as _event_source
from kinformer.integrations._web.event_source import event_source
from kinformer.integrations._web.open_streams import Ending, OpenStreams
from kinformer.integrations._web.selection import Selection
from kinformer.integrations.starlette import Informers, close_event_streams, event_response
from kinformer.labels import LabelSelector
from kinformer.resources import CONFIGMAPS, SECRETS
from tests.failures import each_kind, foreign
from tests.integrations.conftest import config_map, serving, watching
from tests.paths import ROOT
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from kinformer import Client, KubeObject
    from kinformer.testing import ApiServer
    from tests.integrations.conftest import Message, Served


@pytest.fixture
async def informers(connect: Callable[[], Client]) -> Informers:
    return Informers(client=connect)


@pytest.fixture
async def served(api: ApiServer, informers: Informers) -> AsyncIterator[Served]:
    async with serving(Starlette(routes=informers.routes("configmaps"), lifespan=informers.lifespan)) as running:
        yield running
        close_event_streams()


def told(messages: list[Message]) -> list[tuple[str, str]]:
    return [(m.event, m.data.get("metadata", {}).get("name", "")) for m in messages]


NEWS = "/watch/configmaps?namespace=default&labelSelector=app%3Dweb"


async def test_a_browser_is_told_what_there_is_and_what_happens(api: ApiServer, served: Served) -> None:
    created = api.create(config_map("a", color="red"))
    async with watching(served, NEWS) as browser:
        there = await browser.until("synced")
        assert told(there) == [("reset", ""), ("added", "a"), ("synced", "")]
        assert there[1].data == created
        api.create(config_map("b"))
        api.create(config_map("elsewhere", app="db"))
        assert told([await browser.next()]) == [("added", "b")]
        api.update(config_map("a", color="blue"))
        changed = await browser.next()
        assert (changed.event, changed.data["data"]) == ("updated", {"color": "blue"})
        api.delete("v1", "ConfigMap", "a", "default")
        gone = await browser.next()
        assert (gone.event, gone.data["kind"]) == ("deleted", "ConfigMap")
        assert gone.data["metadata"] == {"name": "a", "namespace": "default", "uid": created["metadata"]["uid"]}


async def test_an_object_that_leaves_the_selection_is_gone_and_one_that_enters_it_is_new(
    api: ApiServer, served: Served
) -> None:
    api.create(config_map("a"))
    api.create(config_map("b", app="db"))
    async with watching(served, NEWS) as browser:
        await browser.until("synced")
        api.update(config_map("a", app="db"))
        api.update(config_map("b"))
        assert told([await browser.next(), await browser.next()]) == [("deleted", "a"), ("added", "b")]


async def test_who_comes_back_is_told_what_was_missed(api: ApiServer, served: Served) -> None:
    for name in ("kept", "changed", "deleted", "left", "replaced"):
        api.create(config_map(name))
    async with watching(served, NEWS) as browser:
        await browser.until("synced")
        await browser.id_reaches(api.resource_version)
    api.update(config_map("changed", n="1"))
    api.delete("v1", "ConfigMap", "deleted", "default")
    api.update(config_map("left", app="db"))
    api.delete("v1", "ConfigMap", "replaced", "default")
    api.create(config_map("replaced"))
    api.create(config_map("new"))
    api.create(config_map("came-and-went"))
    api.delete("v1", "ConfigMap", "came-and-went", "default")
    async with watching(served, NEWS, browser.last_event_id) as again:
        missed = [*told(await again.until("synced"))]
        while ("added", "new") not in missed or ("deleted", "deleted") not in missed:
            missed.append(told([await again.next()])[0])
    assert ("reset", "") not in missed
    assert {*missed} - {("deleted", "came-and-went"), ("deleted", "replaced")} == {
        *(("updated", "changed"), ("deleted", "deleted"), ("deleted", "left")),
        *(("added", "replaced"), ("added", "new"), ("synced", "")),
    }


async def test_a_browser_that_left_in_the_middle_of_a_burst_misses_nothing(api: ApiServer, served: Served) -> None:
    known: dict[str, str] = {}
    last = ""

    async def read(some: int) -> None:
        nonlocal last
        async with watching(served, "/watch/configmaps?namespace=default", last) as browser:
            for _ in range(some):
                async with asyncio.timeout(60):
                    message = await browser.next()
                assert message.event != "reset"
                if message.event == "deleted":
                    known.pop(message.data["metadata"]["name"], None)
                elif message.event != "synced":
                    known[message.data["metadata"]["name"]] = message.data["metadata"]["resourceVersion"]
            last = browser.last_event_id

    async with watching(served, "/watch/configmaps?namespace=default") as browser:
        for message in await browser.until("synced"):
            if message.event == "added":
                known[message.data["metadata"]["name"]] = message.data["metadata"]["resourceVersion"]
        await browser.id_reaches(1)
        last = browser.last_event_id
    for turn in range(6):
        for number in range(40):
            manifest = config_map(f"m{number}", turn=str(turn))
            (api.create if not turn else api.update)(manifest)
        for number in range(turn, 40, 7):
            api.delete("v1", "ConfigMap", f"m{number}", "default")
            if turn < 5:
                api.create(config_map(f"m{number}"))
        await read(5)
    wanted = {m["metadata"]["name"]: m["metadata"]["resourceVersion"] for m in api.list("v1", "ConfigMap", "default")}
    async with asyncio.timeout(60), watching(served, "/watch/configmaps?namespace=default", last) as browser:
        while known != wanted:
            message = await browser.next()
            assert message.event != "reset"
            if message.event == "deleted":
                known.pop(message.data["metadata"]["name"], None)
            elif message.event != "synced":
                known[message.data["metadata"]["name"]] = message.data["metadata"]["resourceVersion"]


async def test_an_id_of_another_life_begins_anew(api: ApiServer, served: Served) -> None:
    api.create(config_map("a"))
    for unknown in ("1", "99999999999", "nonsense", "-5"):
        async with watching(served, NEWS, unknown) as browser:
            assert told(await browser.until("synced")) == [("reset", ""), ("added", "a"), ("synced", "")], unknown


async def test_a_bad_selector_is_refused(served: Served) -> None:
    status, _, body = await served.get("/watch/configmaps?labelSelector=a+b")
    assert status == 400
    assert b"label selector" in body


async def test_secrets_are_not_streamed(api: ApiServer, connect: Callable[[], Client]) -> None:
    informers = Informers(client=connect)
    with pytest.raises(ValueError, match="allow_secrets=True"):
        informers.routes(SECRETS)
    informer = informers.informer(SECRETS)

    async def leak(request: Request) -> Response:
        with pytest.raises(ValueError, match="allow_secrets=True"):
            event_response(informer(), request)
        close_event_streams()
        return event_response(informer(), request, allow_secrets=True)

    async with serving(Starlette(routes=[Route("/leak", leak)], lifespan=informers.lifespan)) as served:
        assert (await served.get("/leak"))[2].startswith(b"retry: ")


async def test_a_browser_that_goes_away_leaves_nothing_behind(api: ApiServer, served: Served) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async with watching(served, NEWS) as browser:
            await browser.until("synced")
    async with asyncio.timeout(60):
        while OpenStreams.of_this_loop() and len(OpenStreams.of_this_loop()):
            await asyncio.sleep(0.01)
        while {task for task in asyncio.all_tasks() - before if "event stream" in task.get_name()}:
            await asyncio.sleep(0.01)


async def test_streams_end_when_they_are_told_to(served: Served) -> None:
    async with watching(served, NEWS) as one, watching(served, NEWS) as other:
        await one.until("synced")
        await other.until("synced")
        close_event_streams()
        for browser in (one, other):
            with pytest.raises(EOFError):
                await browser.next()
    async with watching(served, NEWS) as late:
        with pytest.raises(EOFError):
            await late.next()


async def test_streams_end_with_their_informer(served: Served, informers: Informers) -> None:
    async with watching(served, NEWS) as browser:
        await browser.until("synced")
        await informers.factory.core.v1.configmaps.stop()
        with pytest.raises(EOFError):
            await browser.next()


async def test_a_reader_that_does_not_read_costs_no_more_than_the_newest_state(
    api: ApiServer, served: Served, informers: Informers
) -> None:
    text = "x" * 50_000
    api.create(config_map("a", text=text, n="0"))
    async with served.http.get(served.url + NEWS, read_bufsize=1 << 12) as response:
        assert response.status == 200
        # Nobody reads: what the sockets do not take waits, and 2,000 states of 50 KB would be 100 MB.
        for number in range(2_000):
            api.update(config_map("a", text=text, n=str(number)))
            if number % 20 == 0:
                await asyncio.sleep(0)
        await informers.factory.core.v1.configmaps.wait_for(
            "a", lambda obj: bool(obj and obj["data"]["n"] == "1999"), 20, namespace="default"
        )
        size = 0
        async with asyncio.timeout(60):
            async for line in response.content.iter_any():
                size += len(line)
                if b'"n":"1999"' in line:
                    break
        assert size < 50_000_000


# ----------------------------------------------------------------------------------------------- in virtual time


@asynccontextmanager
async def streaming(informer: SharedInformer, **options: Any) -> AsyncIterator[tuple[list[bytes], Ending]]:
    """What a stream has said so far."""
    said: list[bytes] = []
    ending = Ending()
    source = event_source(informer, ending=ending, selection=options.pop("selection", Selection()), **options)

    async def read() -> None:
        async for piece in source:
            said.append(piece)

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await settled()
        yield said, ending
        ending.end()
        await reading


@pytest.mark.looptime
async def test_silence_is_broken_by_what_is_no_event() -> None:
    source = FakeSource(pod("a", 5), version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        stream = await source.watched()
        async with streaming(informer, heartbeat=15) as (said, _):
            said.clear()
            await asyncio.sleep(14.9)
            assert said == []
            await asyncio.sleep(0.2)
            assert said == [b"id: 10\n\n"]
            stream.modified(pod("a", 20))
            await asyncio.sleep(0.1)
            assert (len(said), said[-1]) == (3, b"id: 20\n\n")
            await asyncio.sleep(15)
            assert said[3:] == [b"id: 20\n\n"]


@pytest.mark.looptime
async def test_a_stream_is_kept_alive_until_there_is_a_cache() -> None:
    source = FakeSource(pod("a", 5), version=10)
    source.list_delay = 20
    async with SharedInformer(source) as informer, streaming(informer, heartbeat=15) as (said, _):
        await asyncio.sleep(16)
        assert said == [b"retry: 1000\n\n", b": not in sync yet\n\n"]
        await asyncio.sleep(30)
        assert b"event: added" in b"".join(said)


@pytest.mark.looptime
async def test_a_stream_that_waits_for_its_cache_ends_at_once() -> None:
    source = FakeSource()
    source.list_delay = 1000
    async with SharedInformer(source) as informer:
        began = asyncio.get_running_loop().time()
        async with streaming(informer) as (_, ending):
            ending.end()
        assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.looptime
async def test_a_stream_may_be_told_to_end_again_and_when_a_wait_has_just_run_out() -> None:
    async with SharedInformer(FakeSource()) as informer:
        await informer.synced()
        async with streaming(informer, heartbeat=15) as (_, ending):
            ending.end()
            # Now the wait has run out, and whoever waits has not had his turn.
            asyncio.get_running_loop().call_soon(ending.end)
            await asyncio.sleep(0)
            ending.end()


@pytest.mark.looptime
async def test_line_breaks_between_fields_do_not_break_events() -> None:
    source = FakeSource(version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()

        def pretty(obj: Any) -> bytes:
            return b'{\r\n  "name": "a\\nb"\n}'

        async with streaming(informer, render=pretty) as (said, _):
            (await source.watched()).added(pod("a", 11))
            await settled()
            assert b'event: added\ndata: {    "name": "a\\nb" }\n\n' in b"".join(said)


@pytest.mark.looptime
async def test_a_deletion_that_was_missed_is_told_to_who_comes_back() -> None:
    source = FakeSource(pod("a", 5), pod("b", 6), version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        async with streaming(informer):
            pass
        # The watch breaks, "a" goes unseen, and the next list shows it.
        source.objects, source.version = [pod("b", 6)], 30
        await informer.relist()
        async with streaming(informer, last_event_id="10") as (said, _):
            text = b"".join(said)
            assert b"event: reset" not in text
            assert text.count(b"event: deleted") == 1
            assert b'"name":"a"' in text
        async with streaming(informer, last_event_id="31") as (said, _):
            assert b"event: reset" in b"".join(said), "a version that the cache has not come to"


@pytest.mark.looptime
async def test_who_has_missed_more_deletions_than_are_remembered_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_event_source, "_MOST_DELETIONS", 3)
    source = FakeSource(*(pod(f"p{n}", 5) for n in range(6)), version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        async with streaming(informer):
            pass
        for number in range(5):
            (await source.watched()).deleted(pod(f"p{number}", 11 + number))
            await settled()
        for known, begins_anew in (("10", True), ("12", True), ("13", False), ("15", False)):
            async with streaming(informer, last_event_id=known) as (said, _):
                assert (b"event: reset" in b"".join(said)) is begins_anew, known


@pytest.mark.looptime
async def test_a_version_of_another_replica_is_understood() -> None:
    """Two services behind one address: the id may be ahead of what this one had when something happened."""
    source = FakeSource(pod("a", 5), version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        async with streaming(informer):
            pass
        # One batch brings both; the other replica had told of the first only.
        (await source.watched()).modified(pod("a", 11), pod("a", 12))
        await settled()
        async with streaming(informer, last_event_id="11") as (said, _):
            assert b'"resourceVersion":"12"' in b"".join(said)


@pytest.mark.looptime
async def test_a_stream_of_a_stopped_informer_ends() -> None:
    informer = SharedInformer(FakeSource())
    await informer.stop()
    async with streaming(informer, selection=Selection(selector=LabelSelector())) as (said, _):
        assert said == [b"retry: 1000\n\n"]


# ------------------------------------------------------------------------------------------------- a real shutdown


async def test_a_server_with_open_streams_ends_when_it_is_told_to(api: ApiServer, tmp_path: Path) -> None:
    api.create(config_map("a"))
    api.write_kubeconfig(tmp_path / "kubeconfig")
    program = tmp_path / "app.py"
    program.write_text(
        "from fastapi import FastAPI\n"
        "from kinformer.integrations.fastapi import Informers\n"
        "informers = Informers()\n"
        "app = FastAPI(lifespan=informers.lifespan)\n"
        f"app.include_router(informers.router({CONFIGMAPS.plural!r}))\n"
    )
    for number, loop in ((signal.SIGTERM, "uvloop"), (signal.SIGINT, "asyncio")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "app:app", "--port", "0", "--app-dir", str(tmp_path), "--loop", loop),
            env={**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig"), "PYTHONPATH": str(ROOT)},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        url, log = "", b""
        async with asyncio.timeout(60):
            while not url:
                line = await process.stderr.readline()
                assert line, log
                log += line
                if b"running on" in line:
                    url = line.split(b"running on ")[1].split()[0].decode()
            import aiohttp

            async with aiohttp.ClientSession() as http:
                streams = [await http.get(f"{url}/watch/configmaps") for _ in range(3)]
                for stream in streams:
                    while b"synced" not in await stream.content.readline():
                        pass
                process.send_signal(number)
                # With a stream left open, it would wait for ever.
                log += await process.stderr.read()
                await process.wait()
                for stream in streams:
                    assert (await stream.content.read()) is not None
                    stream.close()
        assert process.returncode in {0, -number, 128 + number}
        assert b"Application shutdown complete" in log
        assert b"Traceback" not in log.replace(b"KeyboardInterrupt", b"") or number == signal.SIGINT
        assert b"ERROR" not in log
        assert len(api.open_watches) == 0


@each_kind
@pytest.mark.looptime
async def test_an_object_that_cannot_be_rendered_is_left_out_and_the_others_come(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def render(obj: KubeObject) -> bytes:
        if obj.name.startswith("bad"):
            raise foreign(kind)
        return b'{"name":"%s"}' % obj.name.encode()

    source = FakeSource(pod("bad0", 4), pod("a", 5), version=10)
    async with SharedInformer(source) as informer:
        await informer.synced()
        stream = await source.watched()
        async with streaming(informer, render=render) as (said, _):
            stream.added(pod("bad1", 11), pod("b", 12))
            await settled()
        text = b"".join(said)
        assert b'"name":"a"' in text
        assert b'"name":"b"' in text
        assert b"bad" not in text
    assert [record.message for record in caplog.records if "render raised" in record.message] == [
        "the event stream of pods.v1 leaves out objects: render raised"
    ]
