"""`kinformer top` shows how a running program is, from its status endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from kinformer import Controller, ProtocolError, SharedInformer, SharedInformerFactory
from kinformer.cli._session import UsageProblem
from kinformer.cli._top import (
    _NUMBERS,
    CONTROLLER_TITLES,
    TITLES,
    _ask,
    _status_url,
    _table,
    controllers_of,
    plain,
    rows_of,
)
from kinformer.cli._units import byte_size
from kinformer.integrations.status_endpoint import StatusServer, status_of
from kinformer.testing import build
from tests.cli.conftest import environment
from tests.sources import FakeSource
from tests.wire.raw_server import RawServer, answer
from tests.wire.test_arbitrary_answers import near

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kinformer import Client, ObjectKey
    from kinformer.integrations.settling import Settled
    from kinformer.testing import ApiServer, Faults


async def nothing(key: ObjectKey) -> None:
    """Reconcile."""


@asynccontextmanager
async def program(kube_client: Client, settled: Settled) -> AsyncIterator[StatusServer]:
    """A program with an informer, a controller, and its status on a port of its own."""
    factory = SharedInformerFactory(kube_client)
    pods = factory.core.v1.pods
    controller = Controller("example", nothing).watches(pods)
    async with factory, controller, StatusServer(factory, controller, port=0) as server:
        await settled(factory)
        yield server


async def run(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kinformer", "top", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_without_a_terminal_it_looks_once_and_prints_lines(
    kube_api: ApiServer, kube_client: Client, settled: Settled
) -> None:
    kube_api.create(build.pod("web-0"))
    async with program(kube_client, settled) as server:
        code, out, err = await run(server.url.removesuffix("/kinformer/status"))
    assert (code, err) == (0, "")
    header, row, empty, controllers, example = out.splitlines()
    assert tuple(header.split()) == TITLES
    assert row.split()[:3] == ["pods.v1", "watching", "1"]
    assert empty == ""
    assert tuple(controllers.split()) == CONTROLLER_TITLES
    assert example.split() == ["example", "running", "0", "0/4", "0", "1", "0"]


async def test_in_a_terminal_it_is_live_until_it_is_ended(
    kube_api: ApiServer, kube_client: Client, settled: Settled
) -> None:
    async with program(kube_client, settled) as server:
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kinformer", "top", server.url, "--every", "0.1"),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment(TERM="xterm-256color", COLUMNS="140", LINES="30"),
        )
        os.close(theirs)
        try:
            seen = ""
            for number in range(2):
                # The second pod comes while it looks.
                kube_api.create(build.pod(f"web-{number}"))
                wanted = (rf"pods\.v1\s+watching\s+{number + 1}\b", "1 informers", "all well")
                while not all(re.search(each, seen) for each in wanted):
                    data = await asyncio.to_thread(os.read, ours, 1 << 16)
                    # Some screens of 140 by 30: a read may bring any part of one.
                    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", (seen + data.decode(errors="replace")))[-20_000:]
            process.send_signal(signal.SIGINT)
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(drained, ours))
                assert await process.wait() == 130
            assert process.stderr is not None
            assert await process.stderr.read() == b""
        finally:
            os.close(ours)


def drained(terminal: int) -> None:
    """Read a terminal until nobody writes to it any more."""
    while True:
        try:
            if not os.read(terminal, 1 << 16):
                return
        except OSError:
            return


async def test_a_picture_can_be_taken(kube_client: Client, settled: Settled, tmp_path: Path) -> None:
    async with program(kube_client, settled) as server:
        code, _, _ = await run(server.url, "--every", "0.1", "--picture", str(tmp_path / "top.svg"))
    assert code == 0
    assert "pods.v1" in (tmp_path / "top.svg").read_text()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765/kinformer/status"),
        ("https://app.example.com/", "https://app.example.com/kinformer/status"),
        ("http://app/internal/informers", "http://app/internal/informers"),
        ("[::1]:80", "http://[::1]:80/kinformer/status"),
    ],
)
def test_of_the_url_as_much_is_needed_as_differs(given: str, url: str) -> None:
    assert _status_url(given) == url


@pytest.mark.parametrize("given", ["", "ftp://app", "http://"])
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(UsageProblem, match="is no URL of a program"):
        _status_url(given)


async def test_what_does_not_serve_a_status_is_told_in_one_line(kube_api: ApiServer) -> None:
    for url, said in (
        ("127.0.0.1:1", "does not answer"),
        (kube_api.url, "answers 404; the program serves its status with"),
        (f"{kube_api.url}/version", "no status of kinformer"),
    ):
        code, out, err = await run(url)
        assert (code, out) == (1, "")
        assert said in err
        assert err.count("\n") == 1


async def test_trouble_is_told_below_the_row_and_colors_it(
    kube_faults: Faults, informer_factory: SharedInformerFactory
) -> None:
    kube_faults.fail_next(None, status=403, verb="list")
    kube_faults.fail_next(None, status=403, verb="watch")
    pods = informer_factory.core.v1.pods
    async with informer_factory:
        while pods.status.failures < 2 or pods.status.retry_at is None:
            await asyncio.sleep(0)
        status = status_of(informer_factory)
    (row,) = rows_of(status, None, 1)
    assert row.level == "bad"
    assert row.trouble.startswith("ForbiddenError: ")
    assert "; next try in 0." in row.trouble
    assert f"! pods.v1: {row.trouble}" in plain(status, None, 1)


def informer(**changed: Any) -> dict[str, Any]:
    handlers = [{"name": "slow", "synced": True, "waiting": 7, "behind_seconds": 0.0, "failures": 0}]
    figures = {
        "objects": 3,
        "stored_bytes": 27_300,
        "events": 10,
        "lists": {"initial": 1},
        "watches": 2,
        "errors": {"StreamBrokenError": 2},
    }
    state = {"health": "live", "state": "watching", "synced": True, "listed": 0, "silent_seconds": 3.0, "failures": 0}
    last = {"last_error": None, "retry_in_seconds": None}
    return {"name": "pods.v1"} | figures | state | last | {"handlers": handlers} | changed


@pytest.mark.parametrize(
    ("changed", "level", "trouble"),
    [
        ({}, "good", ""),
        ({"silent_seconds": 1200.0}, "bad", "no answer from the API server for 20m"),
        ({"synced": False, "listed": 500}, "busy", "listing: 500 objects so far"),
        (
            {"sharding": "here", "foreign_events": 7},
            "good",
            "the API server does not filter the shard; 7 objects and events of other shards came",
        ),
        ({"sharding": "server", "foreign_events": 0}, "good", ""),
        ({"health": "ended", "state": "gave up", "last_error": "ForbiddenError: no"}, "bad", "ForbiddenError: no"),
        (
            {"handlers": [{"name": "slow", "waiting": 7, "behind_seconds": 61.0}]},
            "busy",
            "handler slow has been behind for 61s",
        ),
    ],
)
def test_what_is_trouble(changed: dict[str, Any], level: str, trouble: str) -> None:
    (row,) = rows_of({"informers": [informer(**changed)]}, None, 1)
    assert (row.level, row.trouble) == (level, trouble)


def test_rates_are_what_has_come_since_the_look_before() -> None:
    before, now = {"informers": [informer()]}, {"informers": [informer(events=15)]}
    (row,) = rows_of(now, before, 2.0)
    assert row.cells == ("pods.v1", "watching", "3", "27.3 KB", "2.5", "15", "1", "2", "3s", "7", "2")
    (restarted,) = rows_of({"informers": [informer(events=1)]}, now, 2.0)
    assert restarted.cells[4] == "0.0"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 KB"),
        (9_460, "9.46 KB"),
        (99_600, "100 KB"),
        (999_700, "1 MB"),
        (2.5e9, "2.5 GB"),
        (5e12, "5000 GB"),
    ],
)
def test_a_size_has_three_digits(size: float, text: str) -> None:
    assert byte_size(size) == text


@pytest.mark.parametrize("width", [118, 80, 60, 45, 30, 10])
def test_a_narrow_terminal_loses_columns_and_cuts_no_figure(width: int) -> None:
    from rich.console import Console

    now = {"informers": [informer(objects=43_210, events=1_234_567)], "controllers": []}
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(_table(TITLES, _NUMBERS, rows_of(now, None, 1), width))
    header, row = (line.split() for line in console.export_text().splitlines())
    if width >= 30:
        assert set(header) <= {*TITLES}
        assert header[:2] == ["INFORMER", "STATE"]
        assert not [cell for cell in row if "…" in cell]
    assert len(header) >= 2
    if width >= 60:
        assert "43210" in row


def controller(**changed: Any) -> dict[str, Any]:
    figures = {"workers": 4, "queued": 2, "working": 1, "longest_seconds": 3.0, "delayed": 5, "failing": 0}
    results = {"success": 7, "error": 1}
    return {"name": "web", "state": "running", "last_error": None, "results": results} | figures | changed


@pytest.mark.parametrize(
    ("changed", "level", "trouble"),
    [
        ({}, "good", ""),
        ({"failing": 2, "last_error": "ConflictError"}, "bad", "2 keys fail, the last with ConflictError"),
        ({"longest_seconds": 1800.0}, "busy", "a reconcile has been under way for 30m"),
    ],
)
def test_what_is_trouble_of_a_controller(changed: dict[str, Any], level: str, trouble: str) -> None:
    before = {"controllers": [controller(results={"success": 2, "error": 0})]}
    (row,) = controllers_of({"controllers": [controller(**changed)]}, before, 2.0)
    assert (row.level, row.trouble) == (level, trouble)
    longest = row.cells[4]
    assert row.cells == ("web", "running", "2", "1/4", longest, "5", "3.0", "8", "1")


async def test_an_odd_status_is_an_error_that_says_so_and_never_a_traceback() -> None:
    answers = [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"informers":[{}]}', b'{"informers":5,"controllers":[]}']
    good = msgspec.json.encode(status_of(SharedInformer(FakeSource()), Controller("example", nothing)))
    rng = random.Random(7)
    answers += [json.dumps(near(msgspec.json.decode(good), rng)).encode("utf-8", "surrogatepass") for _ in range(80)]
    said = [b""]
    async with (
        RawServer(lambda head, writer: answer(said[0])) as server,
        aiohttp.ClientSession() as session,
    ):
        shown = 0
        for said[0] in [*answers, good]:
            with contextlib.suppress(ProtocolError):
                status = await _ask(session, server.url)
                assert "\x1b" not in plain(status, status, 1.0)
                shown += 1
        assert shown >= 1


async def test_a_status_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinformer.cli._top._MOST_BYTES", 100_000)
    async with (
        RawServer(lambda head, writer: answer(b" " * 1_000_000)) as server,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(ProtocolError, match="which is no status of kinformer"):
            await _ask(session, server.url)
