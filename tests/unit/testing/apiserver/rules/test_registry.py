"""The rules of writing: what becomes of an object that is created, changed, applied and deleted."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = "2026-11-23T08:48:40Z"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def server() -> ApiServer:
    return ApiServer(clock=lambda: datetime(2026, 11, 23, 8, 48, 40, tzinfo=UTC))


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


def config(name: str = "c", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name} | fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **fields}


def pod(name: str = "p", *, node: str = "", **metadata: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "web", "image": "web:1"}]} | ({"nodeName": node} if node else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def namespace(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


def owned_by(*owners: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("apiVersion", "kind")
    return [{k: o[k] for k in keys} | {"name": o["metadata"]["name"], "uid": o["metadata"]["uid"]} for o in owners]


def names(server: ApiServer, kind: str = "ConfigMap", place: str | None = None) -> list[str]:
    return [item["metadata"]["name"] for item in server.list("v1", kind, place)]


# Creating


def test_a_new_object_gets_a_uid_a_version_and_a_time_of_its_own(server: ApiServer) -> None:
    first = server.create(config("a"))["metadata"]
    second = server.create(config("b"))["metadata"]
    assert uuid.UUID(first["uid"]) != uuid.UUID(second["uid"])
    assert int(second["resourceVersion"]) == int(first["resourceVersion"]) + 1 == server.resource_version
    assert first["creationTimestamp"] == NOW
    assert first["namespace"] == "default"


def test_what_only_the_server_may_set_is_not_taken_from_the_body(server: ApiServer) -> None:
    forged: dict[str, Any] = {
        "uid": "mine",
        "creationTimestamp": "2000-01-01T00:00:00Z",
        "deletionTimestamp": "2000-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 5,
        "generation": 7,
        "managedFields": [{"manager": "x"}],
    }
    made = server.create(pod(**forged) | {"status": {"phase": "Running"}})
    metadata = made["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] == NOW
    assert metadata["generation"] == 1
    assert not {"deletionTimestamp", "deletionGracePeriodSeconds"} & set(metadata)
    assert [entry["manager"] for entry in metadata["managedFields"]] == ["kinformer"]
    assert made["status"]["phase"] == "Pending"


def test_a_generated_name_is_the_prefix_and_five_letters(server: ApiServer) -> None:
    made = [server.create({**config(), "metadata": {"generateName": "gen-"}})["metadata"] for _ in range(20)]
    assert len({metadata["name"] for metadata in made}) == 20
    for metadata in made:
        assert re.fullmatch(r"gen-[bcdfghjklmnpqrstvwxz2456789]{5}", metadata["name"])
        assert metadata["generateName"] == "gen-"


def test_a_long_prefix_is_cut_so_that_the_name_is_a_label(server: ApiServer) -> None:
    # apiserver storage/names/generate.go: 63 characters, of which five are random.
    made = server.create({**config(), "metadata": {"generateName": "g" * 70}})
    assert len(made["metadata"]["name"]) == 63


def test_a_name_beats_a_prefix(server: ApiServer) -> None:
    assert server.create(config("given", metadata={"generateName": "gen-"}))["metadata"]["name"] == "given"


def test_a_name_can_be_taken_once_in_each_namespace(server: ApiServer) -> None:
    server.create(namespace("other"))
    server.create(config("a"))
    server.create(config("a", metadata={"namespace": "other"}))
    with pytest.raises(Refusal) as refused:
        server.create(config("a"))
    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")
    assert refused.value.message == 'configmaps "a" already exists'


def test_nothing_is_created_in_a_namespace_that_is_not_there(server: ApiServer) -> None:
    with pytest.raises(Refusal, match='namespaces "nowhere" not found') as refused:
        server.create(config("a", metadata={"namespace": "nowhere"}))
    assert refused.value.code == 404


def test_a_caller_that_changes_its_manifest_later_changes_nothing_stored(server: ApiServer) -> None:
    body = config("a", data={"k": "v"}, metadata={"labels": {"l": "1"}})
    made = server.create(body)
    body["data"]["k"] = made["data"]["k"] = "changed"
    body["metadata"]["labels"]["l"] = made["metadata"]["labels"]["l"] = "changed"
    stored = server.get("v1", "ConfigMap", "a")
    assert stored["data"] == {"k": "v"}
    assert stored["metadata"]["labels"] == {"l": "1"}


# Changing


def test_the_generation_counts_changes_of_the_spec_and_of_nothing_else(server: ApiServer) -> None:
    made = server.create(pod())
    assert made["metadata"]["generation"] == 1
    steps: list[tuple[dict[str, Any], str, int]] = [
        ({"metadata": {"labels": {"a": "b"}}}, "", 1),
        ({"status": {"phase": "Running"}}, "status", 1),
        ({"metadata": {"annotations": {"a": "b"}}, "spec": made["spec"]}, "", 1),
        ({"spec": {"activeDeadlineSeconds": 5}}, "", 2),
        ({"spec": {"activeDeadlineSeconds": 4}}, "", 3),
    ]
    for patch, subresource, generation in steps:
        changed = server.patch("v1", "Pod", "p", patch, subresource=subresource)
        assert changed["metadata"]["generation"] == generation, patch


def test_a_config_map_counts_no_generations(server: ApiServer) -> None:
    server.create(config("a"))
    assert "generation" not in server.patch("v1", "ConfigMap", "a", {"data": {"k": "v"}})["metadata"]


def test_a_write_that_changes_nothing_is_no_write(server: ApiServer) -> None:
    made = server.create(pod(labels={"a": "b"}))
    revision = server.resource_version
    assert server.update(made) == made
    assert server.patch("v1", "Pod", "p", {"metadata": {"labels": {"a": "b"}}}) == made
    assert server.patch("v1", "Pod", "p", {}, subresource="status") == made
    assert server.resource_version == revision


def test_an_update_keeps_what_only_the_server_may_set(server: ApiServer) -> None:
    made = server.create(pod())
    forged = {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9, "labels": {"new": "1"}}
    changed = server.update(made | {"metadata": made["metadata"] | forged})["metadata"]
    for field in ("uid", "creationTimestamp", "generation"):
        assert changed[field] == made["metadata"][field]
    assert changed["labels"] == {"new": "1"}


@pytest.mark.parametrize("nothing", [None, ""])
async def test_an_empty_uid_or_version_is_no_precondition(
    http: aiohttp.ClientSession, server: ApiServer, nothing: str | None
) -> None:
    server.create(config("a"))
    body = config("a", data={"k": "v"}, metadata={"uid": nothing, "resourceVersion": nothing})
    async with http.put(f"{MAPS}/a", json=body) as response:
        assert response.status == 200, await response.text()
    assert server.get("v1", "ConfigMap", "a")["data"] == {"k": "v"}


def test_an_update_of_another_incarnation_is_409(server: ApiServer) -> None:
    made = server.create(config("a"))
    server.delete("v1", "ConfigMap", "a")
    server.create(config("a"))
    del made["metadata"]["resourceVersion"]
    with pytest.raises(Refusal, match="Precondition failed: UID in precondition") as refused:
        server.update(made)
    assert refused.value.code == 409


def test_an_update_of_what_is_not_there_is_404(server: ApiServer) -> None:
    with pytest.raises(Refusal, match='configmaps "a" not found') as refused:
        server.update(config("a"))
    assert refused.value.code == 404


def test_an_update_leaves_the_status_and_a_status_update_leaves_the_rest(server: ApiServer) -> None:
    made = server.create(pod(labels={"a": "1"}))
    changed = server.update(
        made | {"status": {"phase": "Failed"}, "metadata": made["metadata"] | {"labels": {"a": "2"}}}
    )
    assert changed["status"]["phase"] == "Pending"
    assert changed["metadata"]["labels"] == {"a": "2"}
    body = changed | {"status": {"phase": "Running"}, "metadata": changed["metadata"] | {"labels": {"a": "3"}}}
    body["spec"] = body["spec"] | {"nodeName": "n"}
    again = server.update(body, subresource="status")
    assert again["status"] == {"phase": "Running"}
    # The metadata of most kinds may be changed here, too.
    assert again["metadata"]["labels"] == {"a": "3"}
    assert "nodeName" not in again["spec"]
    entry = again["metadata"]["managedFields"][-1]
    owned = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:status": {"f:phase": {}}}
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", owned)


def test_the_text_of_a_secret_becomes_data_on_create_and_on_update(server: ApiServer) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1"}}
    made = server.create(secret)
    assert (made["data"], made["type"]) == ({"a": "MQ=="}, "Opaque")
    changed = server.update(made | {"stringData": {"a": "2", "b": "3"}})
    assert changed["data"] == {"a": "Mg==", "b": "Mw=="}
    assert "stringData" not in made.keys() | changed.keys()


# Applying, over HTTP


async def test_apply_creates_with_201_and_changes_with_200(http: aiohttp.ClientSession) -> None:
    codes = []
    for value in ("1", "2"):
        body = config("a", data={"k": value})
        async with http.patch(f"{MAPS}/a?fieldManager=me", json=body, headers=APPLY) as response:
            codes.append((response.status, (await response.json())["data"]))
    assert codes == [(201, {"k": "1"}), (200, {"k": "2"})]


async def test_an_apply_of_the_same_is_no_write(http: aiohttp.ClientSession, server: ApiServer) -> None:
    answers = []
    for _ in range(2):
        async with http.patch(
            f"{MAPS}/a?fieldManager=me", json=config("a", data={"k": "v"}), headers=APPLY
        ) as response:
            answers.append(await response.json())
    assert answers[0] == answers[1]
    assert str(server.resource_version) == answers[0]["metadata"]["resourceVersion"]


async def test_an_apply_conflicts_until_it_is_forced(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(config("a", data={"k": "1"}))
    body = config("a", data={"k": "2"})
    async with http.patch(f"{MAPS}/a?fieldManager=me", json=body, headers=APPLY) as response:
        told = await response.json()
    assert (response.status, told["reason"]) == (409, "Conflict")
    assert told["message"] == 'Apply failed with 1 conflict: conflict with "kinformer" using v1: .data.k'
    async with http.patch(f"{MAPS}/a?fieldManager=me&force=true", json=body, headers=APPLY) as response:
        assert (await response.json())["data"] == {"k": "2"}


async def test_an_apply_that_names_an_old_version_is_409(http: aiohttp.ClientSession, server: ApiServer) -> None:
    old = server.create(config("a", data={"k": "1"}))["metadata"]["resourceVersion"]
    server.patch("v1", "ConfigMap", "a", {"data": {"k": "2"}})
    body = config("a", data={"other": "x"}, metadata={"resourceVersion": old})
    async with http.patch(f"{MAPS}/a?fieldManager=me", json=body, headers=APPLY) as response:
        told = await response.json()
    assert (response.status, told["reason"]) == (409, "Conflict")
    assert server.get("v1", "ConfigMap", "a")["data"] == {"k": "2"}


async def test_an_apply_needs_a_manager(http: aiohttp.ClientSession) -> None:
    async with http.patch(f"{MAPS}/a", json=config("a"), headers=APPLY) as response:
        told = await response.json()
    assert response.status == 422
    assert told["details"]["causes"][0]["field"] == "fieldManager"


async def test_an_apply_never_changes_the_state_that_watches_have_seen(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    async def apply(metadata: dict[str, Any]) -> None:
        body = config("a", metadata=metadata)
        async with http.patch(f"{MAPS}/a?fieldManager=me", json=body, headers=APPLY) as response:
            assert response.ok, await response.text()

    await apply({"finalizers": ["x.io/a"], "labels": {"a": "1", "b": "1"}})
    seen = server.resource_version
    await apply({"labels": {"b": "1"}})
    query = f"resourceVersion={seen}&resourceVersionMatch=Exact&labelSelector=a=1"
    async with http.get(f"{MAPS}?{query}") as response:
        (then,) = (await response.json())["items"]
    assert then["metadata"]["finalizers"] == ["x.io/a"]
    assert server.get("v1", "ConfigMap", "a")["metadata"].keys().isdisjoint({"finalizers"})


async def test_an_applied_object_that_is_new_needs_its_name_and_its_kind(http: aiohttp.ClientSession) -> None:
    async def refusal(body: dict[str, Any]) -> str:
        async with http.patch(f"{MAPS}/a?fieldManager=me", json=body, headers=APPLY) as response:
            assert response.status == 400
            return str((await response.json())["message"])

    nameless = {"apiVersion": "v1", "kind": "ConfigMap"}
    expected = "the name of the object (a based on URL) was undeterminable: name must be provided"
    assert await refusal(nameless) == expected
    named = {"metadata": {"name": "a"}}
    assert await refusal({"apiVersion": "v1", "kind": "Secret"} | named) == "invalid object type: /v1, Kind=Secret"
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment"} | named
    assert await refusal(deployment) == "invalid object type: apps/v1, Kind=Deployment"
    async with http.patch(f"{MAPS}/a?fieldManager=me", json=nameless | named, headers=APPLY) as response:
        assert response.status == 201
    async with http.patch(f"{MAPS}/a?fieldManager=me", json=nameless, headers=APPLY) as response:
        assert response.status == 200


# Dry runs


async def test_a_dry_run_answers_and_stores_nothing(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(config("there", data={"k": "1"}))
    revision = server.resource_version
    dry = "dryRun=All&fieldManager=me"
    async with http.post(f"{MAPS}?{dry}", json=config("new")) as response:
        assert (response.status, (await response.json())["metadata"]["name"]) == (201, "new")
    async with http.patch(f"{MAPS}/there?{dry}", json={"data": {"k": "2"}}, headers=MERGE) as response:
        assert (await response.json())["data"] == {"k": "2"}
    async with http.patch(f"{MAPS}/new?{dry}", json=config("new"), headers=APPLY) as response:
        assert response.status == 201
    async with http.delete(f"{MAPS}/there?{dry}") as response:
        assert response.status == 200
    async with http.delete(f"{MAPS}?{dry}") as response:
        assert response.status == 200
    assert names(server) == ["there"]
    assert server.resource_version == revision


# Deleting


def test_an_object_with_finalizers_is_marked_and_goes_with_the_last_of_them(server: ApiServer) -> None:
    made = server.create(pod(finalizers=["x.io/a", "x.io/b"]))
    server.delete("v1", "Pod", "p")
    marked = server.get("v1", "Pod", "p")["metadata"]
    # delete-with-finalizer.json
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"], marked["generation"]) == (NOW, 0, 2)
    assert int(marked["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    server.patch("v1", "Pod", "p", {"metadata": {"finalizers": ["x.io/b"]}})
    assert names(server, "Pod") == ["p"]
    server.patch("v1", "Pod", "p", {"metadata": {"finalizers": None}})
    assert names(server, "Pod") == []


def test_deleting_again_what_is_marked_is_no_write(server: ApiServer) -> None:
    server.create(config("a", metadata={"finalizers": ["x.io/a"]}))
    server.delete("v1", "ConfigMap", "a")
    revision = server.resource_version
    server.delete("v1", "ConfigMap", "a")
    assert server.resource_version == revision


def test_a_mark_cannot_be_taken_back(server: ApiServer) -> None:
    server.create(config("a", metadata={"finalizers": ["x.io/a"]}))
    server.delete("v1", "ConfigMap", "a")
    patched = server.patch("v1", "ConfigMap", "a", {"metadata": {"deletionTimestamp": None}, "data": {"k": "v"}})
    assert patched["metadata"]["deletionTimestamp"] == NOW


def test_a_pod_on_a_node_is_given_its_time_and_a_shorter_one_counts(server: ApiServer) -> None:
    server.create(pod(node="n"))
    server.delete("v1", "Pod", "p", grace_period_seconds=30)
    marked = server.get("v1", "Pod", "p")["metadata"]
    # delete-pod-graceful.json: when it is due, not when it was asked for.
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2026-11-23T08:49:10Z", 30)
    assert marked["generation"] == 2
    server.delete("v1", "Pod", "p", grace_period_seconds=60)
    assert server.get("v1", "Pod", "p")["metadata"] == marked
    server.delete("v1", "Pod", "p", grace_period_seconds=0)
    assert names(server, "Pod") == []


@pytest.mark.parametrize("place", [{"node": ""}, {"node": "n"}])
def test_a_pod_without_a_node_or_with_an_end_is_not_waited_for(server: ApiServer, place: dict[str, str]) -> None:
    server.create(pod(**place))
    server.patch(
        "v1", "Pod", "p", {"status": {"phase": "Succeeded" if place["node"] else "Pending"}}, subresource="status"
    )
    server.delete("v1", "Pod", "p", grace_period_seconds=30)
    assert names(server, "Pod") == []


async def test_a_delete_is_answered_with_the_object_or_with_what_it_was(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.create(pod())
    made = server.create(config("a"))
    async with http.delete(f"{PODS}/p") as response:
        gone = await response.json()
    assert (gone["kind"], gone["metadata"]["resourceVersion"]) == ("Pod", str(server.resource_version))
    async with http.delete(f"{MAPS}/a") as response:
        assert await response.json() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
        }
    async with http.delete(f"{MAPS}/a") as response:
        assert response.status == 404


@pytest.mark.parametrize("wrong", [{"uid": "other"}, {"resourceVersion": "1"}])
async def test_a_delete_whose_precondition_fails_deletes_nothing(
    http: aiohttp.ClientSession, server: ApiServer, wrong: dict[str, str]
) -> None:
    metadata = server.create(config("a"))["metadata"]
    async with http.delete(f"{MAPS}/a", json={"preconditions": wrong}) as response:
        told = await response.json()
    assert (response.status, told["reason"], told["details"]) == (409, "Conflict", {"name": "a", "kind": "ConfigMap"})
    assert names(server) == ["a"]
    right = {field: metadata[field] for field in ("uid", "resourceVersion")}
    async with http.delete(f"{MAPS}/a", json={"preconditions": right}) as response:
        assert response.status == 200


async def test_a_collection_is_deleted_as_far_as_it_is_selected(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(namespace("other"))
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        server.create(config(name, metadata={"labels": {"app": app}}))
        server.create(config(name, metadata={"labels": {"app": app}, "namespace": "other"}))
    server.patch("v1", "ConfigMap", "c", {"metadata": {"finalizers": ["x.io/hold"]}})
    async with http.delete(f"{MAPS}?labelSelector=app%3Dweb") as response:
        answer = await response.json()
    assert (answer["kind"], [item["metadata"]["name"] for item in answer["items"]]) == ("ConfigMapList", ["a", "c"])
    assert names(server, place="default") == ["b", "c"]
    assert server.get("v1", "ConfigMap", "c")["metadata"]["deletionTimestamp"] == NOW
    assert names(server, place="other") == ["a", "b", "c"]


# What follows from a delete


def test_a_namespace_goes_with_all_that_is_in_it(server: ApiServer) -> None:
    server.create(namespace("web"))
    server.create(config("a", metadata={"namespace": "web"}))
    server.create(pod(node="n", namespace="web"))
    server.create(config("kept"))
    server.delete("v1", "Namespace", "web")
    assert "web" not in names(server, "Namespace")
    assert names(server) == ["kept"]
    assert names(server, "Pod") == []


def test_a_namespace_waits_for_what_has_finalizers_and_takes_nothing_new(server: ApiServer) -> None:
    server.create(namespace("web"))
    server.create(config("held", metadata={"namespace": "web", "finalizers": ["x.io/a"]}))
    server.create(config("free", metadata={"namespace": "web"}))
    server.delete("v1", "Namespace", "web")
    waiting = server.get("v1", "Namespace", "web")
    assert waiting["status"]["phase"] == "Terminating"
    assert waiting["metadata"]["deletionTimestamp"] == NOW
    assert names(server, place="web") == ["held"]
    with pytest.raises(Refusal) as refused:
        server.create(config("late", metadata={"namespace": "web"}))
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
    assert refused.value.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace web because it is being terminated'
    )
    server.patch("v1", "ConfigMap", "held", {"metadata": {"finalizers": None}}, namespace="web")
    assert "web" not in names(server, "Namespace")


def test_a_namespace_with_a_finalizer_of_its_own_goes_with_that(server: ApiServer) -> None:
    server.create(namespace("web", finalizers=["x.io/a"]))
    server.create(config("a", metadata={"namespace": "web"}))
    server.delete("v1", "Namespace", "web")
    assert names(server, place="web") == []
    assert server.get("v1", "Namespace", "web")["status"]["phase"] == "Terminating"
    server.patch("v1", "Namespace", "web", {"metadata": {"finalizers": None}})
    assert "web" not in names(server, "Namespace")


def test_a_namespace_may_lose_its_finalizer_before_its_content(server: ApiServer) -> None:
    server.create(namespace("web", finalizers=["x.io/a"]))
    server.create(config("held", metadata={"namespace": "web", "finalizers": ["x.io/b"]}))
    server.delete("v1", "Namespace", "web")
    server.patch("v1", "Namespace", "web", {"metadata": {"finalizers": None}})
    assert "web" in names(server, "Namespace")
    server.patch("v1", "ConfigMap", "held", {"metadata": {"finalizers": None}}, namespace="web")
    assert "web" not in names(server, "Namespace")


def test_what_is_owned_goes_with_its_last_owner(server: ApiServer) -> None:
    one, two = server.create(config("one")), server.create(config("two"))
    shared = server.create(config("shared", metadata={"ownerReferences": owned_by(one, two)}))
    child = server.create(config("child", metadata={"ownerReferences": owned_by(one)}))
    server.create(config("grandchild", metadata={"ownerReferences": owned_by(child)}))
    server.delete("v1", "ConfigMap", "one")
    assert names(server) == ["shared", "two"]
    left = server.get("v1", "ConfigMap", "shared")["metadata"]
    assert left["ownerReferences"] == owned_by(two)
    assert left["resourceVersion"] != shared["metadata"]["resourceVersion"]
    server.delete("v1", "ConfigMap", "two")
    assert names(server) == []


async def test_orphans_stay_and_forget_their_owner(http: aiohttp.ClientSession, server: ApiServer) -> None:
    owner = server.create(config("owner"))
    server.create(config("child", metadata={"ownerReferences": owned_by(owner)}))
    async with http.delete(f"{MAPS}/owner?propagationPolicy=Orphan") as response:
        assert response.status == 200
    assert "ownerReferences" not in server.get("v1", "ConfigMap", "child")["metadata"]


def test_what_was_disowned_stays(server: ApiServer) -> None:
    owner = server.create(config("owner"))
    server.create(config("child", metadata={"ownerReferences": owned_by(owner)}))
    server.patch("v1", "ConfigMap", "child", {"metadata": {"ownerReferences": None}})
    server.delete("v1", "ConfigMap", "owner")
    assert names(server) == ["child"]


def test_a_name_that_is_free_again_gets_a_new_uid(server: ApiServer) -> None:
    first = server.create(config("a"))
    server.delete("v1", "ConfigMap", "a")
    assert server.create(config("a"))["metadata"]["uid"] != first["metadata"]["uid"]


async def test_one_resource_in_two_versions_is_one_object(http: aiohttp.ClientSession, server: ApiServer) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
    server.create(
        {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}
    )
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h"
    async with http.get(path) as response:
        seen = await response.json()
    assert (seen["apiVersion"], seen["spec"]["maxReplicas"]) == ("autoscaling/v2", 3)
    async with http.put(path, json=seen) as response:
        assert (await response.json())["metadata"]["resourceVersion"] == seen["metadata"]["resourceVersion"]
    async with http.patch(path, json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE) as response:
        told = await response.json()
    assert (response.status, told.get("apiVersion")) == (200, "autoscaling/v2"), told
    assert told["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("metadata", "code", "why"),
    [
        ({}, 400, "the name of the object (m based on URL) was undeterminable: name must be provided"),
        (
            {"name": "m", "deletionGracePeriodSeconds": 5},
            422,
            "metadata.deletionGracePeriodSeconds: Invalid value: 5: ",
        ),
        (
            {"name": "m", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            422,
            "metadata.deletionTimestamp: Invalid value: ",
        ),
        (
            {"name": "m", "generateName": "Bad!"},
            422,
            'metadata.generateName: Invalid value: "Bad!": a lowercase RFC 1123',
        ),
    ],
)
async def test_metadata_that_no_update_may_have_is_refused(metadata: dict[str, Any], code: int, why: str) -> None:
    async with ApiServer() as server, aiohttp.ClientSession(server.url) as http:
        server.create(config("m"))
        async with http.put("/api/v1/namespaces/default/configmaps/m", json={"metadata": metadata}) as answer:
            told = await answer.json()
    assert answer.status == code
    assert why in told["message"]


def test_a_changed_definition_shows_its_objects_by_the_new_schema_and_writes_none(server: ApiServer) -> None:
    text, defaulted = {"type": "string"}, {"type": "string", "default": "d"}

    def definition(**properties: Any) -> dict[str, Any]:
        spec = {"type": "object", "properties": properties}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        names = {"plural": "wids", "kind": "Wid"}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "wids.x.io"},
            "spec": {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [version]},
        }

    server.create(definition(a=text, b=text))
    wid = {"apiVersion": "x.io/v1", "kind": "Wid", "metadata": {"name": "w"}, "spec": {"a": "1", "b": "2"}}
    version = server.create(wid)["metadata"]["resourceVersion"]
    # As a kube-apiserver 1.36.3, which reads the stored object by the schema of the moment.
    for properties, spec in (
        ({"a": text, "c": defaulted}, {"a": "1", "c": "d"}),
        ({"a": text, "b": text}, {"a": "1", "b": "2"}),
    ):
        server.update(definition(**properties))
        found = server.get("x.io/v1", "Wid", "w")
        assert (found["spec"], found["metadata"]["resourceVersion"]) == (spec, version)
