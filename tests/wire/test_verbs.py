"""What each verb sends, what it makes of the answer, and what it refuses before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from kinformer.client import Client
from kinformer.config import ClusterConfig
from kinformer.errors import ConflictError, NotFoundError, ProtocolError
from kinformer.objects import KubeObject
from kinformer.resources import DEPLOYMENTS, NODES, PODS, SELFSUBJECTACCESSREVIEWS
from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.wire.conftest import Scripted

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-0", "namespace": "web", "uid": "u", "resourceVersion": "7"},
}
BARE = {"metadata": {"name": "web-0", "namespace": "web"}, "spec": {"nodeName": "n"}}


def sent(scripted: Scripted, at: int = -1) -> tuple[str, str, dict[str, str], Any]:
    request, body = scripted.seen[at], scripted.bodies[at]
    return request.method, request.path, dict(request.query), json.loads(body) if body else None


async def test_get(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps(POD) + "\n")
    pod = await client.get(PODS, "web-0", namespace="web")
    assert pod == POD
    assert (str(pod.key), pod.resource_version) == ("web/web-0", "7")
    assert sent(scripted) == ("GET", "/api/v1/namespaces/web/pods/web-0", {}, None)
    await client.get(PODS, pod, subresource="status")
    assert sent(scripted)[1] == "/api/v1/namespaces/web/pods/web-0/status"
    await client.get(NODES, "system:node")
    assert sent(scripted)[1] == "/api/v1/nodes/system:node"


async def test_create_fills_in_kind_and_version(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps(POD), status=201)
    made = await client.create(PODS, BARE, field_manager="me", dry_run=True)
    assert made.uid == "u"
    full = {"apiVersion": "v1", "kind": "Pod", **BARE}
    assert sent(scripted) == ("POST", "/api/v1/namespaces/web/pods", {"fieldManager": "me", "dryRun": "All"}, full)
    assert scripted.seen[0].headers["Content-Type"] == "application/json"
    # An item of a list, which has neither on the wire, can go straight back.
    await client.create(PODS, KubeObject.from_json(json.dumps(BARE).encode(), PODS))
    assert sent(scripted)[3] == full


async def test_a_review_is_answered_though_it_has_no_name(scripted: Scripted, client: Client) -> None:
    scripted.says(
        json.dumps({"kind": "SelfSubjectAccessReview", "metadata": {}, "status": {"allowed": True}}), status=201
    )
    answer = await client.create(SELFSUBJECTACCESSREVIEWS, {"spec": {"resourceAttributes": {"verb": "list"}}})
    assert answer.at("status.allowed") is True
    assert sent(scripted)[1] == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def test_create_of_a_subresource_keeps_its_own_kind(scripted: Scripted, client: Client) -> None:
    scripted.says(
        json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}), status=201
    )
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-0", "namespace": "web"}}
    assert (await client.create(PODS, eviction, subresource="eviction"))["status"] == "Success"
    assert sent(scripted) == ("POST", "/api/v1/namespaces/web/pods/web-0/eviction", {}, eviction)


async def test_replace(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps(POD))
    await client.replace(PODS, POD)
    assert sent(scripted) == ("PUT", "/api/v1/namespaces/web/pods/web-0", {}, POD)
    await client.replace_status(PODS, POD, field_manager="me")
    assert sent(scripted) == ("PUT", "/api/v1/namespaces/web/pods/web-0/status", {"fieldManager": "me"}, POD)


@pytest.mark.parametrize(
    ("kind", "patch", "content_type", "body"),
    [
        ("merge", {"a": None}, "application/merge-patch+json", {"a": None}),
        ("strategic", {"a": 1}, "application/strategic-merge-patch+json", {"a": 1}),
        ("json", [{"op": "remove", "path": "/a"}], "application/json-patch+json", [{"op": "remove", "path": "/a"}]),
        ("apply", {"a": 1}, "application/apply-patch+yaml", {"apiVersion": "v1", "kind": "Pod", "a": 1}),
    ],
)
async def test_patch(scripted: Scripted, client: Client, kind: Any, patch: Any, content_type: str, body: Any) -> None:
    scripted.says(json.dumps(POD))
    await client.patch(PODS, "web-0", patch, namespace="web", type=kind, field_manager="me", force=kind == "apply")
    query = {"fieldManager": "me"} | ({"force": "true"} if kind == "apply" else {})
    assert sent(scripted) == ("PATCH", "/api/v1/namespaces/web/pods/web-0", query, body)
    assert scripted.seen[0].headers["Content-Type"] == content_type
    await client.patch_status(PODS, POD, patch, type=kind, field_manager="me")
    assert sent(scripted)[1] == "/api/v1/namespaces/web/pods/web-0/status"


async def test_delete_returns_what_is_left_or_none(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps(POD))
    left = await client.delete(
        PODS,
        "web-0",
        namespace="web",
        propagation_policy="Foreground",
        grace_period_seconds=0,
        uid="u",
        resource_version="7",
    )
    assert left == POD
    assert sent(scripted) == (
        "DELETE",
        "/api/v1/namespaces/web/pods/web-0",
        {},
        {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "u", "resourceVersion": "7"},
        },
    )
    scripted.says(json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"name": "web-0"}}))
    assert await client.delete(PODS, POD) is None
    assert sent(scripted)[3] is None


async def test_delete_collection(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [BARE]}))
    gone = await client.delete_collection(PODS, namespace="web", label_selector="a=b", grace_period_seconds=0)
    assert [o.name for o in gone] == ["web-0"]
    method, path, query, body = sent(scripted)
    assert (method, path, query) == ("DELETE", "/api/v1/namespaces/web/pods", {"labelSelector": "a=b"})
    assert body["gracePeriodSeconds"] == 0
    scripted.says(json.dumps({"kind": "Status", "status": "Success", "metadata": {}}))
    assert len(await client.delete_collection(NODES)) == 0


async def test_list_returns_a_sequence_with_a_version(scripted: Scripted, client: Client) -> None:
    bad = {"metadata": {"name": "odd", "labels": {"a": 1}}}
    scripted.says(json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [BARE, bad]}))
    found = await client.list(PODS)
    assert (len(found), found[0].name, found.resource_version, repr(found)) == (
        1,
        "web-0",
        "9",
        "<ObjectList of 1, resourceVersion=9>",
    )
    assert [failure.key for failure in found.failures] == ["odd"]
    assert sent(scripted)[2] == {"limit": "500"}


async def test_refusals_say_what_was_tried(scripted: Scripted, client: Client) -> None:
    status = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "the object has been modified"}
    scripted.says(json.dumps(status), status=409)
    with pytest.raises(
        ConflictError, match='cannot update pods "web-0" in namespace web: the object has been modified'
    ):
        await client.replace(PODS, POD)
    with pytest.raises(ConflictError, match='cannot update status of pods "web-0" in namespace web'):
        await client.replace_status(PODS, POD)
    with pytest.raises(ConflictError, match='cannot apply deployments.apps "d" in namespace web'):
        await client.patch(DEPLOYMENTS, "d", {}, namespace="web", type="apply", field_manager="me")
    scripted.says("404 page not found", status=404, content_type="text/plain")
    with pytest.raises(NotFoundError, match=r'cannot delete nodes "n": 404 page not found; .* \(404\)') as refused:
        await client.delete(NODES, "n")
    assert "is its CustomResourceDefinition installed, with this version?" in str(refused.value)


async def test_an_answer_that_is_no_object_is_a_protocol_error(scripted: Scripted, client: Client) -> None:
    for body in ("", "[1]", "nonsense", '{"metadata": 5}'):
        scripted.says(body)
        with pytest.raises(ProtocolError, match='cannot get nodes "n": the answer is no Kubernetes object'):
            await client.get(NODES, "n")


WRONG: list[tuple[Callable[[Client], Awaitable[object]], str]] = [
    (lambda c: c.get(PODS, "web-0"), "live in namespaces; say which one 'web-0' is in"),
    (lambda c: c.get(PODS, "", namespace="web"), "needs a name, or an object with metadata.name"),
    (
        lambda c: c.get(PODS, {"metadata": {}}, namespace="web"),
        "needs a name, or an object with metadata.name",
    ),
    (lambda c: c.get(PODS, "a/b", namespace="web"), "'a/b' cannot be part of the URL"),
    (lambda c: c.get(NODES, "n", namespace="web"), "nodes are cluster-scoped"),
    (lambda c: c.get(PODS, POD, namespace="other"), "lies in namespace 'web', and namespace 'other' was given"),
    (lambda c: c.create(PODS, {"metadata": {"name": "x"}}), "name the one to create this in"),
    (lambda c: c.create(PODS, {"metadata": {}}, namespace="web"), "needs metadata.name or metadata.generateName"),
    (lambda c: c.create(PODS, {**POD, "kind": "Job"}), "the object has kind 'Job', and pods have 'Pod'"),
    (lambda c: c.create(PODS, {**POD, "spec": {1, 2} and object()}), "cannot be sent as JSON"),
    (lambda c: c.replace(PODS, {**POD, "apiVersion": "v2"}), "has apiVersion 'v2', and pods have 'v1'"),
    (
        lambda c: c.replace(PODS, {"spec": {}}, namespace="web"),
        "needs a name, or an object with metadata.name",
    ),
    (lambda c: c.patch(PODS, POD, {}, type="apply"), "apply needs a field_manager"),
    (lambda c: c.patch(PODS, POD, {}, force=True), "force is for apply only, and this is a merge patch"),
    (lambda c: c.patch(PODS, POD, {}, type="json"), "a JSON patch is a list of operations"),
    (lambda c: c.patch(PODS, POD, [], type="merge"), "a merge patch is a mapping"),
    (lambda c: c.patch(PODS, POD, {}, type="yaml"), "'yaml' is no type of patch; known are merge, json"),  # type: ignore[call-overload]  # that is the point
    (lambda c: c.delete(PODS, POD, grace_period_seconds=-1), "at least 0 seconds, not -1"),
    (lambda c: c.delete(PODS, POD, propagation_policy="Later"), "'Later' is no propagation policy"),  # type: ignore[call-overload]  # that is the point
    (lambda c: c.delete_collection(PODS), "name the one to delete them in"),
    (lambda c: c.list(NODES, namespace="web"), "nodes are cluster-scoped"),
]


@pytest.mark.parametrize(("call", "says"), WRONG, ids=[says for _, says in WRONG])
async def test_wrong_arguments_are_refused_before_anything_is_sent(
    scripted: Scripted, client: Client, call: Callable[[Client], Awaitable[object]], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        await call(client)
    assert scripted.seen == []


async def test_names_cannot_break_out_of_their_place_in_the_url(scripted: Scripted, client: Client) -> None:
    scripted.says(json.dumps(POD))
    await client.get(NODES, "n?watch=1#x y")
    assert scripted.seen[0].path == "/api/v1/nodes/n?watch=1#x y"
    assert dict(scripted.seen[0].query) == {}


async def test_a_server_below_a_path_is_asked_below_it(scripted: Scripted) -> None:
    from kinformer.config import ClusterConfig

    scripted.says(json.dumps(POD))
    async with Client(ClusterConfig.for_server(scripted.url + "/k8s/clusters/c-1/"), user_agent="me/1") as client:
        await client.get(NODES, "n")
    assert scripted.seen[0].path == "/k8s/clusters/c-1/api/v1/nodes/n"
    assert scripted.seen[0].headers["User-Agent"].startswith("me/1 kinformer/")


async def test_concurrent_verbs_do_not_mix_their_answers(scripted: Scripted, client: Client) -> None:
    import asyncio

    scripted.answer = lambda request: web.json_response({"metadata": {"name": request.path.rpartition("/")[2]}})
    found = await asyncio.gather(*(client.get(NODES, f"n{i}") for i in range(100)))
    assert [node.name for node in found] == [f"n{i}" for i in range(100)]


async def test_a_list_without_a_resource_version_can_be_read() -> None:
    # metrics.k8s.io sends such lists.
    body = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a","namespace":"web"}}]}'
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        server.faults.answer_next(body, verb="list", count=None)
        listed = await client.list(PODS)
        assert ([obj.name for obj in listed], listed.resource_version) == (["a"], "")
        pages = [page async for page in client.list_watch(PODS).list()]
        assert [page.resource_version for page in pages] == [""]
