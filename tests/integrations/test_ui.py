"""The page's server: who may read it, what it never says, and what it keeps."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI

from kinformer import Client, SharedInformer, SharedInformerFactory
from kinformer.integrations.fastapi import Informers
from kinformer.integrations.starlette import close_event_streams
from kinformer.integrations.ui import Column, Dashboard
from kinformer.integrations.ui.changes import Changes
from kinformer.integrations.ui.presentation import as_yaml, difference
from kinformer.integrations.ui.rows import RowCache
from kinformer.objects import KubeObject
from kinformer.resources import SECRETS
from tests.failures import each_kind, foreign
from tests.integrations.conftest import Served, config_map, serving, watching
from tests.sources import FakeSource, pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kinformer.testing import ApiServer

PASSWORD = "hunter2-never-to-be-seen"
ENCODED = base64.b64encode(PASSWORD.encode()).decode()
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "login",
        "namespace": "default",
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": {"p": PASSWORD}})
        },
    },
    "data": {"password": ENCODED},
}


@pytest.fixture
async def served(api: ApiServer, connect: Callable[[], Client]) -> AsyncIterator[Served]:
    informers = Informers(client=connect)
    informers.informer("configmaps")
    informers.informer("secrets")
    app = FastAPI(lifespan=informers.lifespan)
    app.mount("/informers", Dashboard(informers))
    async with serving(app) as running:
        yield running
        close_event_streams()


async def test_nobody_reads_it_by_another_name_or_from_another_site(served: Served) -> None:
    port = served.url.rpartition(":")[2]
    for headers, status in (
        ({}, 200),
        ({"Host": f"localhost:{port}"}, 200),
        ({"Host": f"[::1]:{port}"}, 200),
        ({"Host": "127.0.0.1.attacker.example"}, 403),
        ({"Host": f"attacker.example:{port}"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": served.url}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ):
        for path in ("/informers/", "/informers/static/page.js"):
            async with served.http.get(served.url + path, headers=headers) as response:
                assert response.status == status, (path, headers)
                assert "hunter2" not in await response.text()
    for path in ("/informers/api/overview", "/informers/api/rows?informer=configmaps.v1"):
        async with served.http.get(served.url + path, headers={"Host": "attacker.example"}) as response:
            assert response.status == 403
    async with served.http.post(served.url + "/informers/") as response:
        assert response.status == 403


async def test_browsers_are_told_to_keep_it_to_themselves(served: Served) -> None:
    _, headers, body = await served.get("/informers/")
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert b"http://" not in body.replace(b"http://www.w3.org", b"")
    assert b"https://" not in body


async def test_other_hosts_can_be_allowed(connect: Callable[[], Client]) -> None:
    async with connect() as client, SharedInformerFactory(client) as factory:
        for hosts, status in ((["dash.example"], 200), (None, 200), ([], 403)):
            async with (
                serving(Dashboard(factory, hosts=hosts), lifespan="off") as served,
                served.http.get(served.url, headers={"Host": "dash.example"}) as response,
            ):
                assert response.status == status


async def test_what_secrets_hold_is_in_no_answer(api: ApiServer, served: Served) -> None:
    api.create(SECRET)
    said = b""
    query = "informer=secrets.v1&namespace=default&name=login"
    for path in ("overview", "rows?informer=secrets.v1", f"object?{query}"):
        async with watching(served, f"/informers/api/{path}") as browser:
            said += json.dumps([m.data for m in [await browser.next(), await browser.next()]]).encode()
    async with watching(served, "/informers/api/rows?informer=secrets.v1") as browser:
        rows = [message.data for message in await browser.until("synced") if message.event == "rows"]
        assert [row[1] for row in rows[0]] == ["login"]
        said += json.dumps(rows).encode()
    async with watching(served, f"/informers/api/object?{query}") as browser:
        await browser.next()
        changed = json.loads(json.dumps(SECRET))
        changed["data"]["more"] = ENCODED
        api.update(changed)
        while not (shown := (await browser.next()).data)["changes"] or "more" not in shown["yaml"]:
            pass
        assert f"password: <{len(PASSWORD)} bytes, not shown>" in shown["yaml"]
        assert ["+", f"  more: <{len(PASSWORD)} bytes, not shown>"] in shown["changes"][0]["difference"]
        said += json.dumps(shown).encode()
    async with watching(served, "/informers/api/overview") as browser:
        recent = (await browser.until("informers"))[-1].data["recent"]
        assert recent[0]["summary"] == "changed"
        said += json.dumps(recent).encode()
    for confidential in (PASSWORD, ENCODED, "hunter2"):
        assert confidential.encode() not in said


def test_a_secret_that_is_not_as_it_should_be_is_not_shown_either() -> None:
    odd = json.loads(json.dumps(SECRET)) | {"stringData": {"p": PASSWORD}, "data": {"a": f"{PASSWORD}!", "b": 7}}
    text = as_yaml(KubeObject.from_dict(odd, SECRETS))
    assert PASSWORD not in text
    assert f"stringData:\n  p: <{len(PASSWORD)} bytes, not shown>\n" in text
    assert PASSWORD not in as_yaml(KubeObject.from_dict(odd | {"data": PASSWORD}, SECRETS))


def test_a_difference_is_of_what_means_something_field_by_field() -> None:
    old = pod("a", 1, spec={"nodeName": "n1", "priority": 1, "containers": [{"name": "web", "image": "web:1"}]})
    new = pod("a", 2, spec={"nodeName": "n2", "priority": 2, "containers": [{"name": "web", "image": "web:1"}]})
    assert difference(old, new) == [
        ["@", "spec"],
        [" ", "  uid: uid-default-a"],
        [" ", "spec:"],
        ["-", "  nodeName: n1"],
        ["+", "  nodeName: n2"],
        ["-", "  priority: 1"],
        ["+", "  priority: 2"],
        [" ", "  containers:"],
        [" ", "  - name: web"],
    ]
    assert difference(pod("a", 1), pod("a", 2)) == []


async def test_changes_are_kept_within_a_budget(api: ApiServer, connect: Callable[[], Client]) -> None:
    async with connect() as client, SharedInformerFactory(client) as factory:
        maps = factory.core.v1.configmaps
        await maps.synced(10)
        changes = Changes(budget=50_000)
        changes.listen_to(maps)
        for number in range(30):
            manifest = config_map("a", text="x" * 5_000, n=str(number))
            (api.update if number else api.create)(manifest)
        key = maps.lister.key_of("a", "default")
        async with asyncio.timeout(60):
            while not (known := changes.of(maps.name, key)) or known[0].resource_version != str(api.resource_version):
                await asyncio.sleep(0.01)
        assert changes.kept_bytes <= 50_000
        assert 2 <= len(known) <= 6
        assert [change.number for change in known] == sorted((change.number for change in known), reverse=True)


async def test_who_opens_a_table_again_gets_the_same_and_what_changed(api: ApiServer, served: Served) -> None:
    for number in range(3):
        api.create(config_map(f"m{number}"))

    async def names() -> list[str]:
        async with watching(served, "/informers/api/rows?informer=configmaps.v1") as browser:
            told = await browser.until("synced")
        assert told[0].data["columns"] == ["DATA", "AGE"]
        return sorted(r[1] for message in told if message.event == "rows" for r in message.data if r[1].startswith("m"))

    assert await names() == ["m0", "m1", "m2"]
    api.delete("v1", "ConfigMap", "m1", "default")
    api.create(config_map("m3"))
    async with asyncio.timeout(60):
        while await names() != ["m0", "m2", "m3"]:
            await asyncio.sleep(0.01)


async def test_a_column_that_fails_for_an_object_fails_for_that_alone(api: ApiServer, connect: Any) -> None:
    api.create(config_map("good", color="red"))
    api.create(config_map("bad"))
    columns = [Column("COLOR", lambda obj, _: str(obj["data"]["color"]))]
    async with connect() as client, SharedInformerFactory(client) as factory:
        maps = factory.informer("configmaps", label_selector="app=web")
        await maps.synced(10)
        async with serving(Dashboard(factory, columns=lambda _: columns), lifespan="off") as served:
            async with watching(served, "/api/rows?informer=configmaps.v1+(app%3Dweb)") as browser:
                told = await browser.until("synced")
            close_event_streams()
        cells = {r[1]: r[4] for message in told if message.event == "rows" for r in message.data}
        assert cells == {"good": ["red"], "bad": ["<KeyError>"]}


async def test_what_there_is_not_is_not_found(served: Served) -> None:
    for path in ("rows?informer=nothing", "object?informer=nothing&name=x", "nothing"):
        assert (await served.get(f"/informers/api/{path}"))[0] == 404
    async with watching(served, "/informers/api/object?informer=configmaps.v1&namespace=default&name=x") as browser:
        assert not (await browser.next()).data["exists"]


@each_kind
async def test_an_object_that_breaks_a_column_is_shown_without_it(kind: str) -> None:
    def cell(obj: KubeObject, now: Any) -> str:
        raise foreign(kind)

    rows = RowCache(SharedInformer(FakeSource()), [Column("ODD", cell)])
    row = json.loads(bytes(rows.row(pod("a", 1), datetime.now(UTC))))
    assert row[4] == [f"<{type(foreign(kind)).__name__}>"]
