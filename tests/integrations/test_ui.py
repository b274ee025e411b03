"""The page's server: who may read it, what it never says, and what it keeps."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI

from kinformer import Client, Controller, SharedInformer, SharedInformerFactory
from kinformer._display.columns import columns_of
from kinformer.integrations.fastapi import Informers
from kinformer.integrations.starlette import close_event_streams
from kinformer.integrations.ui import Column, Dashboard
from kinformer.integrations.ui.changes import Changes
from kinformer.integrations.ui.presentation import as_yaml, difference
from kinformer.integrations.ui.related import Relations
from kinformer.integrations.ui.rows import RowCache
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS, SECRETS
from kinformer.testing import build
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


async def related(served: Served, informer: str, name: str, namespace: str = "default") -> dict[str, Any]:
    """Return what the page shows as related to an object, as soon as it has an owner, an owned object or an Event."""
    query = f"informer={informer}&namespace={namespace}&name={name}"
    async with watching(served, f"/informers/api/object?{query}") as browser:
        while True:
            found: dict[str, Any] = (await browser.until("related"))[-1].data
            if found["owners"] or found["owned"] or found["events"]:
                return found


def names(rows: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(row["depth"], row["kind"], row["name"]) for row in rows]


async def test_an_object_has_its_owners_its_owned_objects_and_its_events(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    informers = Informers(client=connect)
    for resource in ("deployments", "replicasets", "pods", "events", "nodes"):
        informers.informer(resource)
    informers.informer("pods", namespace="default")  # the same pods in a second cache
    app = FastAPI(lifespan=informers.lifespan)
    app.mount("/informers", Dashboard(informers))
    web = api.create(build.deployment("web", replicas=1))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": web["metadata"]["uid"]}
    metadata = {"name": "web-1", "namespace": "default", "ownerReferences": [reference]}
    template = web["spec"]["template"]
    spec = {"replicas": 1, "selector": web["spec"]["selector"], "template": template}
    replicas = api.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
    pods = [api.create(build.pod(f"web-1-{number}", owner=replicas)) for number in range(2)]
    # Its owner had the same name, and another UID.
    api.create(build.pod("other", metadata={"ownerReferences": [reference | {"uid": "another"}]}))
    for number, (about, reason) in enumerate([(web, "Scaled"), (pods[0], "Pulled"), (web, "Warned")]):
        about = {"kind": about["kind"], "name": about["metadata"]["name"], "uid": about["metadata"]["uid"]}
        about["namespace"] = "default"
        api.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"event-{number}", "namespace": "default"},
                "involvedObject": about,
                "reason": reason,
                "message": f"number {number}",
                "type": "Warning" if reason == "Warned" else "Normal",
                "count": number + 1,
                "lastTimestamp": f"2026-01-0{number + 1}T00:00:00Z",
            }
        )
    async with serving(app) as served:
        found = await related(served, "deployments.v1.apps", "web")
        assert found["owners"] == []
        assert names(found["owned"]) == [
            (0, "ReplicaSet", "web-1"),
            (1, "Pod", "web-1-0"),
            (1, "Pod", "web-1-1"),
        ]
        assert [row["state"] for row in found["owned"]] == ["0 ready", "Pending", "Pending"]
        assert found["owned"][0]["informer"] == "replicasets.v1.apps"
        assert [(event["type"], event["reason"], event["message"], event["count"]) for event in found["events"]] == [
            ("Warning", "Warned", "number 2", 3),
            ("Normal", "Scaled", "number 0", 1),
        ]
        found = await related(served, "pods.v1", "web-1-0")
        assert names(found["owners"]) == [(0, "ReplicaSet", "web-1"), (1, "Deployment", "web")]
        assert [event["reason"] for event in found["events"]] == ["Pulled"]
        close_event_streams()


def owned(name: str, *owners: str) -> KubeObject:
    """A pod that is owned by others, by a cyclic reference perhaps; the UID of each is uid-default-NAME."""
    references = [{"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": f"uid-default-{owner}"} for owner in owners]
    manifest = pod(name).to_dict()
    manifest["metadata"]["ownerReferences"] = references
    return KubeObject.from_dict(manifest, PODS)


async def test_a_circle_of_owners_has_an_end_and_an_owner_in_no_cache_has_no_link() -> None:
    async with SharedInformer(FakeSource(owned("a", "b", "gone"), owned("b", "a"), owned("c", "c"))) as pods:
        await pods.synced(timeout=60)
        relations = Relations(lambda: {"pods": pods}, columns_of)
        found = await relations.of(pods.lister.get("a", namespace="default") or pod("a"))
        assert names(found["owners"]) == [(0, "Pod", "b"), (0, "Pod", "gone")]
        assert [row["informer"] for row in found["owners"]] == ["pods", None]
        assert names(found["owned"]) == [(0, "Pod", "b")]
        assert found["events"] is None
        found = await relations.of(pods.lister.get("c", namespace="default") or pod("c"))
        assert (found["owners"], found["owned"]) == ([], [])


async def test_of_many_owned_objects_the_first_are_shown_and_the_others_counted() -> None:
    objects = [owned(f"p-{number:03}", "a") for number in range(230)]
    async with SharedInformer(FakeSource(pod("a"), *objects)) as pods:
        await pods.synced(timeout=60)
        found = await Relations(lambda: {"pods": pods}, columns_of).of(pods.lister.get("a", "default") or pod("a"))
        assert (len(found["owned"]), found["more"]) == (200, 30)
        assert found["owned"][0]["name"] == "p-000"


async def test_controllers_are_shown_with_the_class_of_their_last_error(
    api: ApiServer, connect: Callable[[], Client]
) -> None:
    def failing(client: Client, factory: SharedInformerFactory) -> Controller[ObjectKey]:
        del client

        async def reconcile(key: ObjectKey) -> None:
            raise ValueError(PASSWORD)

        return Controller("broken", reconcile).watches(factory.informer("configmaps"))

    api.create(config_map("a"))
    informers = Informers(client=connect, controllers=[failing])
    app = FastAPI(lifespan=informers.lifespan)
    app.mount("/informers", Dashboard(informers))
    async with serving(app) as served, watching(served, "/informers/api/overview") as browser:
        while True:
            (*_, message) = await browser.until("informers")
            if any(one["failing"] for one in message.data["controllers"]):
                break
        (shown,) = message.data["controllers"]
        assert (shown["name"], shown["state"], shown["last_error"]) == ("broken", "running", "ValueError")
        assert PASSWORD not in json.dumps(message.data)
        async with served.http.get(f"{served.url}/informers/kinformer/status") as answer:
            assert [one["name"] for one in (await answer.json())["controllers"]] == ["broken"]
        close_event_streams()


async def test_something_else_than_controllers_is_refused(connect: Callable[[], Client]) -> None:
    async with connect() as client, SharedInformerFactory(client) as factory:
        with pytest.raises(TypeError, match="expected an iterable of Controllers"):
            Dashboard(factory, controllers=["broken"])  # type: ignore[list-item]


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
        shown: dict[str, Any] = {"changes": []}
        while not shown["changes"] or "more" not in shown["yaml"]:
            message = await browser.next()
            said += json.dumps(message.data).encode()
            shown = message.data if message.event == "object" else shown
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
