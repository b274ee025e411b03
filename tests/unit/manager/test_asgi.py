"""The pages of a manager, mounted in an application and by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fastapi import FastAPI

from kinformer import Controller, Manager, ObjectKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def asked(app: Any, path: str, method: str = "GET", **scope: Any) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    whole = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    await app(whole | {"raw_path": path.encode(), "http_version": "1.1", "scheme": "http"} | scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], msgspec.json.decode(body) if body else None


def quiet(**options: Any) -> Manager:
    return Manager(**{"host": "", "blocked_after": None} | options)


async def test_an_application_answers_the_probes_below_its_mount_while_the_manager_runs() -> None:
    manager = quiet()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with manager:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/operator", manager.app)
    assert (await asked(app, "/operator/readyz"))[0] == 503
    async with app.router.lifespan_context(app):
        while not manager.is_ready:
            await asyncio.sleep(0)
        assert (await asked(app, "/operator/readyz"))[0] == 200
        assert (await asked(app, "/operator/livez"))[0] == 200
        assert (await asked(app, "/operator/nothing"))[0] == 404
    status, body = await asked(app, "/operator/readyz")
    assert (status, body["reasons"]) == (503, ["the manager is stopping"])


async def test_by_itself_it_runs_the_manager_for_the_lifespan_of_the_server() -> None:
    log: list[str] = []
    stop = asyncio.Event()

    class Part(contextlib.AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            log.append("started")
            stop.set()

        async def __aexit__(self, *_: object) -> None:
            log.append("stopped")

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        kind = next(messages)
        if kind.endswith("shutdown"):
            await stop.wait()
        return {"type": kind}

    async def send(message: Any) -> None:
        log.append(message["type"])

    await quiet().add(Part()).app({"type": "lifespan"}, receive, send)
    assert log == ["lifespan.startup.complete", "started", "stopped", "lifespan.shutdown.complete"]


async def test_pages_can_only_be_read_and_a_head_has_no_body() -> None:
    app = quiet().app
    assert (await asked(app, "/livez", "POST"))[0] == 405
    assert await asked(app, "/livez", "HEAD") == (200, None)
    assert (await asked(app, "/x/livez", root_path="/x"))[0] == 200
    with pytest.raises(RuntimeError, match="HTTP alone"):
        await app({"type": "websocket"}, None, None)


@pytest.mark.looptime
async def test_a_reconcile_that_hangs_fails_the_liveness_only_where_a_bound_is_given() -> None:
    began = asyncio.Event()

    async def hangs(_: ObjectKey) -> None:
        began.set()
        await asyncio.sleep(3600)

    body: Any = None
    for bound, late in ((None, 200), (60.0, 503)):
        began.clear()
        controller = Controller("sites", hangs, grace=0.1)
        manager = quiet(hung_after=bound).add(controller)
        async with manager:
            controller.queue.add(ObjectKey("default", "a"))
            await began.wait()
            await asyncio.sleep(59)
            assert (await asked(manager.app, "/livez"))[0] == 200
            await asyncio.sleep(2)
            status, body = await asked(manager.app, "/livez")
            assert status == late
    assert body["reasons"] == ["controller sites: reconciles that run for more than 60 s: 1"]


@pytest.mark.parametrize("option", ["grace", "sync_timeout", "blocked_after", "hung_after"])
def test_times_are_more_than_nothing(option: str) -> None:
    wrong: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match="more than 0 seconds"):
        Manager(**wrong)
