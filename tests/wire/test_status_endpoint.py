"""The status as JSON: by ASGI, mounted or alone, and by a server of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer import AlreadyStartedError, Controller, SharedInformerFactory, TerminalError
from kinformer.integrations.status_endpoint import StatusApp, StatusServer, status_of
from kinformer.testing import build

if TYPE_CHECKING:
    from kinformer import ObjectKey
    from kinformer.integrations.settling import Settled
    from kinformer.testing import ApiServer, Faults


async def nothing(key: ObjectKey) -> None:
    """Reconcile."""


async def asked(app: StatusApp, path: str, root_path: str = "", method: str = "GET") -> tuple[int, Any]:
    """One request, as an ASGI server passes it on."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "root_path": root_path}, receive, send)
    start, body = sent
    assert dict(start["headers"])[b"content-type"] == b"application/json"
    return start["status"], json.loads(body["body"] or "null")


async def test_it_says_how_informers_and_controllers_are(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    secrets = informer_factory.core.v1.secrets
    secrets.add_event_handler(lambda event: None, name="listener")
    controller = Controller("example", nothing).watches(secrets)
    kube_api.create(build.secret("password", data={"password": "hunter2"}))
    kube_api.create(build.secret("other"))
    async with informer_factory, controller:
        await settled()
        kube_api.patch("v1", "Secret", "other", {"type": "Opaque", "metadata": {"labels": {"a": "b"}}})
        kube_api.delete("v1", "Secret", "other")
        await settled()
        data = status_of(informer_factory, controller)
        assert (await asked(StatusApp(informer_factory, controller), ""))[0] == 200
    (informer,) = data["informers"]
    assert informer["name"] == "secrets.v1"
    assert (informer["state"], informer["synced"], informer["objects"]) == ("watching", True, 1)
    assert informer["storage"] == "plain"
    assert informer["stored_bytes"] == informer["json_bytes"] == sum(len(found.raw) for found in secrets.lister.list())
    assert informer["changes"] == {"added": 2, "updated": 1, "deleted": 1}
    assert (informer["events"], informer["watches"], informer["lists"]) == (2, 1, {"initial": 1})
    assert (informer["errors"], informer["failures"], informer["last_error"]) == ({}, 0, None)
    assert informer["silent_seconds"] < 60
    assert [(handler["name"], handler["waiting"]) for handler in informer["handlers"]] == [
        ("listener", 0),
        ("controller example", 0),
    ]
    (example,) = data["controllers"]
    assert (example["name"], example["state"], example["workers"]) == ("example", "running", 4)
    assert (example["queued"], example["working"], example["delayed"], example["failing"]) == (0, 0, 0, 0)
    assert example["results"]["success"] >= 2
    assert example["last_error"] is None
    # Nothing of an object is in it, neither a name nor what it holds.
    text = json.dumps(data)
    assert "password" not in text
    assert "aHVudGVyMg" not in text


async def test_what_goes_wrong_is_in_it(
    kube_api: ApiServer, kube_faults: Faults, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    informer_factory.core.v1.configmaps  # noqa: B018 - asking for it makes it
    await settled()
    kube_faults.drop_watches()
    kube_api.create(build.config_map("a"))
    await settled()
    kube_faults.end_watches()
    for name in ("b", "c"):  # the first may still come by the watch that ends
        kube_api.create(build.config_map(name))
        await settled()
    (informer,) = status_of(informer_factory)["informers"]
    assert informer["errors"] == {"StreamBrokenError": 1}
    assert informer["watch_ends"] == {"StreamBrokenError": 1, "closed": 1}
    assert informer["last_error"].startswith("StreamBrokenError: ")
    assert sum(informer["watch_ends"].values()) == informer["watches"] - 1
    assert informer["failures"] == 0


async def test_it_answers_where_it_is_mounted_and_alone() -> None:
    app = StatusApp()
    assert (await asked(app, "/kinformer/status"))[0] == 200
    # Starlette mounts at root_path, and leaves the whole path in `path`.
    assert (await asked(app, "/internal/informers/", root_path="/internal/informers"))[0] == 200
    assert (await asked(app, "/internal/informers", root_path="/internal/informers"))[0] == 200
    assert (await asked(app, "/internal/informers/x", root_path="/internal/informers"))[0] == 404
    assert (await asked(app, "/else"))[0] == 404
    assert (await asked(app, "", method="POST"))[0] == 405
    assert await asked(app, "", method="HEAD") == (200, None)


async def test_it_takes_part_in_the_lifespan_of_a_server() -> None:
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await StatusApp()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_program_without_a_web_server_can_serve_it(informer_factory: SharedInformerFactory) -> None:
    informer_factory.core.v1.pods  # noqa: B018 - asking for it makes it
    async with StatusServer(informer_factory, port=0) as server, aiohttp.ClientSession() as session:
        assert server.url.startswith("http://127.0.0.1:")
        async with session.get(server.url) as answer:
            assert (await answer.json())["informers"][0]["state"] == "new"
        async with session.get(server.url.removesuffix("/kinformer/status")) as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "the pages are /kinformer/status"})
        async with session.post(server.url) as answer:
            assert answer.status == 405
        with pytest.raises(AlreadyStartedError, match="is being served already"):
            await server.__aenter__()


def test_what_has_no_status_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="'pods' has no status"):
        StatusApp("pods")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'pods' has no status"):
        StatusServer("pods")  # type: ignore[arg-type]


async def test_of_a_reconcile_that_fails_only_the_class_of_its_error_is_told(
    kube_api: ApiServer, informer_factory: SharedInformerFactory, settled: Settled
) -> None:
    async def fails(key: ObjectKey) -> None:
        raise TerminalError("hunter2")

    maps = informer_factory.core.v1.configmaps
    controller = Controller("example", fails).watches(maps)
    async with informer_factory, controller:
        kube_api.create(build.config_map("a"))
        await settled()
        (example,) = status_of(controller)["controllers"]
    assert (example["failing"], example["last_error"]) == (1, "TerminalError")
    assert "hunter2" not in json.dumps(example)
