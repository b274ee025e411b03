"""Each part that runs in the background, and ends by a defect while nobody has ended it, has failed loudly.

`BackgroundTask` carries all of them. A new one without an entry here fails. An entry names the test that lets the part
end by a defect, or says where the failure shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from kinformer import Client, ClusterConfig, Fleet, Manager
from kinformer._tasks import BackgroundTask
from kinformer.errors import ApiError, UnexpectedError
from kinformer.fleet._provider_follower import ProviderFollower
from kinformer.manager import _pages as pages
from kinformer.proxy import CacheProxy, UnixAddress
from kinformer.recordings import Recorder
from kinformer.reflector._reflector import Reflector
from kinformer.resources import CONFIGMAPS
from kinformer.testing import ApiServer, build
from kinformer.webhooks import CertificateSecret, Webhooks, WebhookServer
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HERE: Final = "tests/test_long_lived_parts.py"
LOGGED: Final = f"{HERE}::test_a_background_task_without_an_owner_that_reports_logs_its_failure"
PROXY: Final = f"{HERE}::test_a_cache_of_a_proxy_that_ends_by_a_defect_has_failed_and_serves_no_old_state"
RECORDER: Final = f"{HERE}::test_a_recorder_whose_part_ends_by_a_defect_ends_with_an_error"
FLEET: Final = f"{HERE}::test_a_fleet_that_follows_its_provider_no_more_says_so_in_its_status"
WEBHOOKS: Final = f"{HERE}::test_a_manager_fails_whose_webhooks_renew_their_certificate_no_more"
SAID_BY_ITS_CALLER: Final = "a part of a coroutine that waits for it and raises its failure"

PARTS: Final = {
    "cli/_record.py": LOGGED,
    "controller/_controller.py": "tests/unit/controller/test_callbacks_that_raise.py",
    "fleet/_fleet.py": LOGGED,
    "fleet/_provider_follower.py": FLEET,
    "fleet/_member.py": SAID_BY_ITS_CALLER,
    "informer/_life_cycle.py": "tests/unit/informer/test_nothing_ends_an_informer.py",
    "integrations/_web/controllers.py": LOGGED,
    "manager/_manager.py": "tests/unit/manager/test_manager.py",
    "operators/_slice_engine.py": "tests/unit/operators/test_operators_whose_callbacks_raise.py",
    "operators/event_recorder.py": "tests/unit/operators/test_operators_whose_callbacks_raise.py",
    "operators/leader_election.py": LOGGED,
    "proxy/_caches.py": PROXY,
    "proxy/_server.py": LOGGED,
    "proxy/_worker_caches.py": LOGGED,
    "recordings/_recorder.py": RECORDER,
    "recordings/_replay.py": "its status and `finished` have the failure: a damaged file is no defect",
    "testing/_apiserver/http/watch_streams.py": LOGGED,
    "testing/_apiserver/started_faults.py": LOGGED,
    "webhooks/_server.py": WEBHOOKS,
}


def test_each_part_that_runs_in_the_background_has_an_entry() -> None:
    found = set()
    for path in (ROOT / "kinformer").rglob("*.py"):
        if re.search(r"\bBackgroundTask\(", path.read_text().replace("class BackgroundTask", "")):
            found.add(path.relative_to(ROOT / "kinformer").as_posix())
    assert found == set(PARTS)
    for entry in PARTS.values():
        if entry.startswith("tests/"):
            file, _, test = entry.partition("::")
            assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).exists(), entry


def test_only_background_tasks_are_bare() -> None:
    """So the list above is whole: all other tasks have a task group, which raises what ends them."""
    for path in (ROOT / "kinformer").rglob("*.py"):
        if path.name != "_tasks.py":
            text = path.read_text()
            assert "loop().create_task(" not in text, path
            assert "asyncio.create_task(" not in text, path
            assert "ensure_future(" not in text, path


async def defect() -> None:
    raise ZeroDivisionError("by a defect")


async def test_a_background_task_without_an_owner_that_reports_logs_its_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    part = BackgroundTask("kinformer part")
    part.start(defect())
    await part.join()
    (record,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert record.getMessage() == "kinformer part has failed by a defect, and has ended"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_background_task_that_is_ended_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    part = BackgroundTask("kinformer part")
    part.start(asyncio.sleep(60))
    await asyncio.sleep(0)
    await part.stop()
    assert not caplog.records


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Event after which each reflector ends by a defect, as soon as it has something to do."""
    ordered = asyncio.Event()
    take = Reflector._take_batch

    def broken(self: Reflector, *arguments: Any) -> None:
        if ordered.is_set():
            raise ZeroDivisionError
        take(self, *arguments)

    # It must be no failure of the server: those never end a reflector.
    monkeypatch.setattr(Reflector, "_take_batch", broken)
    monkeypatch.setattr("kinformer.reflector._reflector.as_failure", lambda *_: None)
    return ordered


async def test_a_cache_of_a_proxy_that_ends_by_a_defect_has_failed_and_serves_no_old_state(
    breaks: asyncio.Event, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "p").mkdir(mode=0o700)
    address = UnixAddress(tmp_path / "p" / "s")
    async with (
        ApiServer() as server,
        Client(ClusterConfig.for_server(server.url)) as upstream,
        CacheProxy(upstream, [CONFIGMAPS], listen=address) as proxy,
        Client(ClusterConfig.for_socket(address.path)) as reader,
    ):
        server.create(build.config_map("a"))
        assert await reader.list(CONFIGMAPS) is not None
        breaks.set()
        server.create(build.config_map("b"))
        async with asyncio.timeout(60):
            while proxy.status()["resources"][0]["upstream"]["state"] != "failed":
                await asyncio.sleep(0.01)
        assert proxy.status()["resources"][0]["upstream"]["error"] == "UnexpectedError"
        assert not proxy.status()["ready"]
        with pytest.raises(ApiError) as refusal:
            await reader.list(CONFIGMAPS)
        assert refusal.value.status == 500
        assert [record for record in caplog.records if record.levelno == logging.CRITICAL]


async def test_a_recorder_whose_part_ends_by_a_defect_ends_with_an_error(
    breaks: asyncio.Event, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        recorder = Recorder(client, tmp_path / "recording", [CONFIGMAPS])
        async with recorder:
            await recorder.listed()
            breaks.set()
            server.create(build.config_map("b"))
            with pytest.raises(UnexpectedError, match="a defect has ended the recording"):
                await recorder.run(5)
    assert [record for record in caplog.records if record.levelno == logging.CRITICAL]


async def test_a_fleet_that_follows_its_provider_no_more_says_so_in_its_status(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ProviderFollower, "_follow", lambda _: defect())
    async with Fleet({}) as fleet:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert isinstance(fleet.status.provider_error, ZeroDivisionError)
    assert [record for record in caplog.records if record.levelno == logging.CRITICAL]


@pytest.mark.parametrize("asked", [False, True])
async def test_a_server_of_webhooks_reports_its_defect_once(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    monkeypatch.setattr(WebhookServer, "_keep_fresh", lambda _: defect())
    async with ApiServer() as api, Client(ClusterConfig.for_server(api.url)) as client:
        certificate = CertificateSecret(client, "default", "tls", hosts=["localhost"])
        with contextlib.nullcontext() if asked else pytest.raises(ZeroDivisionError):
            async with WebhookServer(Webhooks("shop"), certificate, port=0) as server:
                await asyncio.sleep(0)
                if asked:
                    assert isinstance(await server.certificate_ended(), ZeroDivisionError)


async def test_a_manager_fails_whose_webhooks_renew_their_certificate_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WebhookServer, "_keep_fresh", lambda _: defect())
    async with ApiServer() as api, Client(ClusterConfig.for_server(api.url)) as client:
        certificate = CertificateSecret(client, "default", "tls", hosts=["localhost"])
        server = WebhookServer(Webhooks("shop"), certificate, port=0)
        manager = Manager(host="").add(server)
        with pytest.raises(UnexpectedError, match="a defect has ended the renewal of the certificate") as failure:
            await manager.run()
        assert isinstance(failure.value.__cause__, ZeroDivisionError)
        live = pages.liveness({}, [], manager._failed_part)
        assert live.status == 503
        assert b"webhooks shop has failed: UnexpectedError" in live.body
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
