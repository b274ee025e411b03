"""Roles, impersonation, reviews and tokens of service accounts on the embedded server."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RBAC = "rbac.authorization.k8s.io/v1"
PODS, NODES = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
MAPS = "/api/v1/namespaces/default/configmaps"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
READ = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> ApiServer:
    return ApiServer(rbac=True, clock=clock)


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


def role(name: str, *rules: dict[str, Any], kind: str = "Role", **more: Any) -> dict[str, Any]:
    metadata = {"name": name} | more.pop("metadata", {})
    return {"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": [*rules], **more}


def binding(name: str, *, to: tuple[str, str], role_kind: str = "Role", kind: str = "RoleBinding") -> dict[str, Any]:
    subject_kind, subject = to
    place = {"namespace": "default"} if subject_kind == "ServiceAccount" else {}
    return {
        "apiVersion": RBAC,
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": name},
        "subjects": [{"kind": subject_kind, "name": subject, **place}],
    }


async def code(http: aiohttp.ClientSession, path: str, user: str, *groups: str, method: str = "GET") -> int:
    headers = [("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups)]
    async with http.request(method, path, headers=headers, json={} if method == "POST" else None) as answer:
        return answer.status


async def test_a_role_gives_what_it_names_in_its_namespace_alone(
    server: ApiServer, http: aiohttp.ClientSession
) -> None:
    assert await code(http, PODS, "jo") == 403
    server.create(role("reader", READ))
    server.create(binding("reader", to=("User", "jo")))
    assert await code(http, PODS, "jo") == 200
    assert await code(http, f"{PODS}?watch=1", "jo") == 403
    assert await code(http, "/api/v1/pods", "jo") == 403
    assert await code(http, "/api/v1/namespaces/kube-system/pods", "jo") == 403
    assert await code(http, MAPS, "jo") == 403
    assert await code(http, PODS, "someone-else") == 403


async def test_a_group_and_a_cluster_role_give_it_everywhere(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.create(role("readers", READ, kind="ClusterRole"))
    server.create(binding("readers", to=("Group", "team"), role_kind="ClusterRole", kind="ClusterRoleBinding"))
    assert await code(http, "/api/v1/pods", "jo", "team") == 200
    assert await code(http, "/api/v1/pods", "jo") == 403
    assert await code(http, NODES, "jo", "system:masters") == 200


async def test_names_subresources_and_wildcards_each_cover_their_own(
    server: ApiServer, http: aiohttp.ClientSession
) -> None:
    one = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["*"]}
    scales = {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]}
    server.create(role("narrow", one, scales))
    server.create(binding("narrow", to=("User", "jo")))
    assert await code(http, f"{MAPS}/mine", "jo") == 404
    assert await code(http, f"{MAPS}/other", "jo") == 403
    assert await code(http, MAPS, "jo") == 403
    assert await code(http, "/apis/apps/v1/namespaces/default/deployments/d/scale", "jo") == 404
    assert await code(http, "/apis/apps/v1/namespaces/default/deployments/d", "jo") == 403


async def test_cluster_roles_are_aggregated_by_their_labels(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.create(binding("view", to=("User", "jo"), role_kind="ClusterRole"))
    path = "/apis/x.io/v1/namespaces/default/widgets"
    assert await code(http, PODS, "jo") == 200
    assert await code(http, PODS, "jo", method="POST") == 403
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    assert await code(http, leases, "jo") == 403
    server.create(role("widgets", rule, kind="ClusterRole", metadata={"labels": label}))
    assert await code(http, leases, "jo") == 200
    assert await code(http, path, "jo") in {403, 404}


async def test_a_user_without_the_right_to_impersonate_is_refused() -> None:
    guarded = ApiServer(tokens={"t": "jo", "a": "root"}, groups={"root": ["system:masters"]}, rbac=True)
    async with guarded, aiohttp.ClientSession(guarded.url) as http:
        headers = {"Authorization": "Bearer t", "Impersonate-User": "root"}
        async with http.get(PODS, headers=headers) as answer:
            message = (await answer.json())["message"]
        assert 'User "jo" cannot impersonate resource "users"' in message
        async with http.get(PODS, headers={"Authorization": "Bearer a", "Impersonate-User": "jo"}) as answer:
            assert answer.status == 403
        async with http.get(PODS, headers={"Authorization": "Bearer a"}) as answer:
            assert answer.status == 200
        assert guarded.requests[-2].user == "jo"


async def test_a_review_gives_the_reason(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.create(role("reader", READ))
    server.create(binding("reader", to=("User", "jo")))
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    body = {"spec": {"user": "jo", "resourceAttributes": attributes}}
    async with http.post(f"{AUTHORIZATION}/subjectaccessreviews", json=body) as answer:
        review = await answer.json()
    reason = 'RBAC: allowed by RoleBinding "reader/default" of Role "reader" to User "jo"'
    assert review["status"] == {"allowed": True, "reason": reason}
    body["spec"]["user"] = "mo"
    async with http.post(f"{AUTHORIZATION}/subjectaccessreviews", json=body) as answer:
        assert (await answer.json())["status"] == {"allowed": False}
    rules = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    async with http.post(rules, json={"spec": {"namespace": "default"}}, headers={"Impersonate-User": "jo"}) as answer:
        status = (await answer.json())["status"]
    assert READ in status["resourceRules"]
    assert server.list(RBAC, "Role") != [], "a review is not stored"


async def test_a_denial_is_seen_by_reviews_without_roles() -> None:
    async with ApiServer(tokens={"t": "jo"}) as server, aiohttp.ClientSession(server.url) as http:
        server.deny("jo", "delete", "pods")
        for verb, allowed in (("get", True), ("delete", False)):
            body = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}}
            headers = {"Authorization": "Bearer t"}
            async with http.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json=body, headers=headers) as answer:
                assert (await answer.json())["status"]["allowed"] is allowed


async def test_the_token_of_a_service_account_is_its_user_until_it_expires(
    server: ApiServer, http: aiohttp.ClientSession, clock: Clock
) -> None:
    server.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}})
    server.create(role("reader", READ))
    server.create(binding("reader", to=("ServiceAccount", "s")))
    async with http.post(f"{ACCOUNTS}/s/token", json={"spec": {"expirationSeconds": 600}}) as answer:
        headers = {"Authorization": f"Bearer {(await answer.json())['status']['token']}"}
    async with http.get(PODS, headers=headers) as answer:
        assert answer.status == 200
    async with http.get(MAPS, headers=headers) as answer:
        assert 'User "system:serviceaccount:default:s"' in (await answer.json())["message"]
    async with http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}, headers=headers) as answer:
        groups = (await answer.json())["status"]["userInfo"]["groups"]
    assert groups == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    server.tokens["t"] = "jo"
    clock.now += timedelta(seconds=601)
    async with http.get(PODS, headers=headers) as answer:
        assert answer.status == 401
    async with http.post(f"{ACCOUNTS}/s/token", json={"spec": {"expirationSeconds": 60}}, headers={}) as answer:
        assert answer.status in {403, 422}


async def test_a_token_is_bound_only_to_an_object_that_is_there(server: ApiServer, http: aiohttp.ClientSession) -> None:
    server.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}})
    secret = server.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "held"}})

    async def asked(**ref: str) -> tuple[int, str]:
        body = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret"} | ref}}
        async with http.post(f"{ACCOUNTS}/s/token", json=body) as answer:
            told = await answer.json()
            return answer.status, told.get("message") or told["status"]["token"]

    code, token = await asked(name="held", uid=secret["metadata"]["uid"])
    assert code == 201
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["kubernetes.io"]["secret"] == {"name": "held", "uid": secret["metadata"]["uid"]}
    assert await asked(name="none") == (404, 'secrets "none" not found')
    assert await asked(name="none", kind="Pod") == (404, 'pods "none" not found')
    message = "cannot bind token to object of type /v1, Kind=ConfigMap"
    assert await asked(name="held", kind="ConfigMap") == (400, message)
    assert (await asked(name="held", uid="other"))[0] == 409


@pytest.mark.parametrize(
    ("role_name", "may", "may_not"),
    [
        ("view", "list pods, get pods/log, get services/status, list resourcequotas", "get secrets, create pods"),
        ("edit", "get secrets, create pods/exec, create pods, list pods", "create resourcequotas, create rolebindings"),
        ("admin", "create rolebindings, get secrets, list pods", "create resourcequotas, create limitranges"),
    ],
)
async def test_the_roles_of_a_new_cluster_give_what_a_real_one_gives(
    server: ApiServer, http: aiohttp.ClientSession, role_name: str, may: str, may_not: str
) -> None:
    server.create(binding(role_name, to=("User", "jo"), role_kind="ClusterRole"))
    for questions, allowed in ((may, True), (may_not, False)):
        for question in questions.split(", "):
            verb, _, resource = question.partition(" ")
            plural, _, subresource = resource.partition("/")
            group = "rbac.authorization.k8s.io" if plural == "rolebindings" else ""
            asked = {
                "namespace": "default",
                "verb": verb,
                "resource": plural,
                "subresource": subresource,
                "group": group,
            }
            body = {"spec": {"user": "jo", "resourceAttributes": asked}}
            async with http.post(f"{AUTHORIZATION}/subjectaccessreviews", json=body) as answer:
                assert (await answer.json())["status"]["allowed"] is allowed, question


async def test_a_role_that_gathers_others_gathers_those_that_they_gather(
    server: ApiServer, http: aiohttp.ClientSession
) -> None:
    def gathering(name: str, label: str, **labels: str) -> dict[str, Any]:
        chosen = {"clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]}
        return role(name, kind="ClusterRole", metadata={"labels": labels}, aggregationRule=chosen)

    # The two gather each other, too.
    for manifest in (gathering("outer", "a", b="yes"), gathering("inner", "b", a="yes")):
        server.create(manifest)
    server.create(role("leaf", READ, kind="ClusterRole", metadata={"labels": {"b": "yes"}}))
    server.create(binding("outer", to=("User", "jo"), role_kind="ClusterRole"))
    assert await code(http, PODS, "jo") == 200
