"""Permissions on the embedded server: tokens, and denials verb by verb."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.http.access import ANONYMOUS, Access
from kinformer.testing._apiserver.http.requests import Target
from kinformer.testing._apiserver.rules.rbac import User
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.storage import Store
from tests.paths import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STORE = Store(history=1)
TOKEN = "s3cret-of-alice"
MAPS = "/api/v1/namespaces/default/configmaps"
BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
# How each verb is asked for.
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "get": ("GET", f"{MAPS}/there", {}),
    "list": ("GET", MAPS, {}),
    "watch": ("GET", f"{MAPS}?watch=1", {}),
    "create": ("POST", MAPS, {"json": BODY}),
    "update": ("PUT", f"{MAPS}/there", {"json": BODY | {"metadata": {"name": "there"}}}),
    "patch": ("PATCH", f"{MAPS}/there", {"data": "{}", "headers": {"Content-Type": "application/merge-patch+json"}}),
    "delete": ("DELETE", f"{MAPS}/there", {}),
    "deletecollection": ("DELETE", MAPS, {}),
}


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer(tokens={TOKEN: "alice", "b": "bob"})
    server.create(BODY | {"metadata": {"name": "there"}})
    return server


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with server, aiohttp.ClientSession(server.url, headers=headers) as session:
        yield session


def target(plural: str, group: str = "", *, namespace: str = "default", name: str = "") -> Target:
    kind = Catalog().lookup(group, "v1", plural)
    assert kind is not None
    return Target(kind, namespace, name)


async def asked(http: aiohttp.ClientSession, verb: str, **headers: str) -> tuple[int, Any]:
    method, path, sent = REQUESTS[verb]
    sent = sent | {"headers": sent.get("headers", {}) | headers}
    async with http.request(method, path, **sent) as response:
        if verb == "watch" and response.ok:
            # It would not end by itself.
            return response.status, None
        return response.status, await response.json()


# Tokens


@pytest.mark.parametrize("authorization", ["Bearer wrong", f"Bearer {TOKEN.upper()}"])
async def test_with_a_wrong_token_every_path_is_401(http: aiohttp.ClientSession, authorization: str) -> None:
    recorded = json.loads(json.loads((RECORDINGS / "unauthorized.json").read_text())["response"]["body"])
    for path in (MAPS, f"{MAPS}?watch=1", "/api", "/apis", "/version", "/api/v1/nosuch"):
        async with http.get(path, headers={"Authorization": authorization}) as response:
            assert (response.status, await response.json()) == (401, recorded)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN])
async def test_without_a_token_one_is_anonymous_and_may_see_the_version_alone(
    http: aiohttp.ClientSession, authorization: str
) -> None:
    headers = {"Authorization": authorization}
    for path in (MAPS, f"{MAPS}?watch=1", "/api", "/apis", "/api/v1/nosuch"):
        async with http.get(path, headers=headers) as response:
            told = await response.json()
            assert (response.status, told["reason"]) == (403, "Forbidden")
            assert 'User "system:anonymous" cannot' in told["message"]
    for path in ("/version", "/healthz", "/readyz", "/livez"):
        async with http.get(path, headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer {} more"])
async def test_a_token_says_who_asks(http: aiohttp.ClientSession, server: ApiServer, form: str) -> None:
    for token, user in server.tokens.items():
        async with http.get(MAPS, headers={"Authorization": form.format(token)}) as response:
            assert response.status == 200
        assert server.requests[-1].user == user


async def test_a_token_may_be_taken_away_and_replaced_while_the_server_runs(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    del server.tokens[TOKEN]
    assert (await asked(http, "list"))[0] == 401
    server.tokens["renewed"] = "alice"
    assert (await asked(http, "list", Authorization="Bearer renewed"))[0] == 200


async def test_when_the_last_token_is_taken_away_nobody_is_let_in(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.tokens.clear()
    assert (await asked(http, "list"))[0] == 401


def test_without_tokens_everybody_is_an_administrator_whatever_they_send() -> None:
    access = Access(None, STORE)
    for authorization in ("", "Bearer x", "Basic y"):
        assert access.user(authorization).name == "kubernetes-admin"
    access.tokens["x"] = "alice"
    assert access.user("Bearer x").name == "alice"
    assert access.user("").name == ANONYMOUS


def test_an_empty_list_of_tokens_lets_nobody_in() -> None:
    with pytest.raises(Refusal) as refused:
        Access({}, STORE).user("Bearer x")
    assert refused.value.code == 401
    assert Access({}, STORE).user("").name == ANONYMOUS


def test_the_name_in_a_client_certificate_wins_over_any_token() -> None:
    access = Access({TOKEN: "alice"}, STORE)
    for authorization in ("", f"Bearer {TOKEN}", "Bearer wrong"):
        assert access.user(authorization, "carol").name == "carol"


def test_the_callers_tokens_are_not_changed() -> None:
    given = {TOKEN: "alice"}
    Access(given, STORE).tokens.clear()
    assert given == {TOKEN: "alice"}


async def test_no_token_is_shown(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.deny("alice", "list", "configmaps")
    _, told = await asked(http, "list")
    assert TOKEN not in json.dumps(told)
    assert TOKEN not in repr(server)
    assert TOKEN not in repr([*server.requests])


# Denials


@pytest.mark.parametrize("denied", REQUESTS)
async def test_what_is_denied_is_403_and_every_other_verb_goes_on(
    http: aiohttp.ClientSession, server: ApiServer, denied: str
) -> None:
    server.deny("alice", denied, "configmaps")
    for verb in REQUESTS:
        code, told = await asked(http, verb)
        if verb == denied:
            assert (code, told["reason"], told["details"]["kind"]) == (403, "Forbidden", "configmaps")
            assert f'User "alice" cannot {verb} resource "configmaps" in API group "" ' in told["message"]
        else:
            assert code in {200, 201, 404}, (verb, told)


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete", "deletecollection"])
async def test_a_denied_write_writes_nothing(http: aiohttp.ClientSession, server: ApiServer, verb: str) -> None:
    revision = server.resource_version
    server.deny("alice", verb, "configmaps")
    assert (await asked(http, verb))[0] == 403
    assert server.resource_version == revision


@pytest.mark.parametrize(("name", "verb"), [("forbidden-list", "list"), ("forbidden-watch", "watch")])
def test_a_denial_is_told_in_the_words_of_a_kube_apiserver(name: str, verb: str) -> None:
    recorded = json.loads(json.loads((RECORDINGS / f"{name}.json").read_text())["response"]["body"])
    user = recorded["message"].split('User "')[1].split('"')[0]
    access = Access(None, STORE)
    access.deny(user, verb, "pods")
    with pytest.raises(Refusal) as refused:
        access.authorize(User(user), verb, target("pods", namespace="rec"))
    assert refused.value.body == recorded


def test_a_denial_names_the_object_and_the_group() -> None:
    access = Access(None, STORE)
    access.deny("alice", "get", "deployments.apps")
    with pytest.raises(Refusal) as refused:
        access.authorize(User("alice"), "get", target("deployments", "apps", name="web"))
    assert refused.value.message == (
        'deployments.apps "web" is forbidden: User "alice" cannot get resource "deployments" in API group "apps" '
        'in the namespace "default"'
    )
    assert refused.value.details == {"name": "web", "group": "apps", "kind": "deployments"}


def test_a_cluster_wide_denial_says_so() -> None:
    access = Access(None, STORE)
    access.deny("alice", "list", "nodes")
    with pytest.raises(Refusal, match="at the cluster scope$"):
        access.authorize(User("alice"), "list", target("nodes", namespace=""))


PODS, DEPLOYMENTS = target("pods"), target("deployments", "apps")


@pytest.mark.parametrize(
    ("denial", "user", "verb", "asked_for", "passes"),
    [
        (("alice", "list", "pods"), "alice", "list", PODS, False),
        (("alice", "list", "pods"), "bob", "list", PODS, True),
        (("alice", "list", "pods"), "alice", "watch", PODS, True),
        (("alice", "list", "pods"), "alice", "list", DEPLOYMENTS, True),
        (("alice", "*", "pods"), "alice", "watch", PODS, False),
        (("alice", "list", "*"), "alice", "list", DEPLOYMENTS, False),
        (("alice", "list", "deployments"), "alice", "list", DEPLOYMENTS, False),
        (("alice", "list", "deployments.apps"), "alice", "list", DEPLOYMENTS, False),
        (("alice", "list", "deployments.x.io"), "alice", "list", DEPLOYMENTS, True),
        (("alice", "list", "pods", "default"), "alice", "list", PODS, False),
        (("alice", "list", "pods", "other"), "alice", "list", PODS, True),
        (("alice", "list", "pods", "default"), "alice", "list", target("pods", namespace=""), True),
    ],
)
def test_a_denial_covers_what_it_says(
    denial: tuple[str, ...], user: str, verb: str, asked_for: Target, passes: bool
) -> None:
    access = Access(None, STORE)
    access.deny(*denial)
    if passes:
        access.authorize(User(user), verb, asked_for)
    else:
        with pytest.raises(Refusal):
            access.authorize(User(user), verb, asked_for)


@pytest.mark.parametrize(
    ("taken_back", "left"),
    [
        (("alice",), set()),
        (("alice", "list"), {"watch"}),
        (("alice", "*", "configmaps"), set()),
        (("alice", "*", "pods"), {"list", "watch"}),
        (("bob",), {"list", "watch"}),
        (("alice", "*", "*", "other"), {"list", "watch"}),
        (("alice", "*", "*", "default"), {"list"}),
    ],
)
async def test_denials_are_taken_back_as_far_as_is_said(
    http: aiohttp.ClientSession, server: ApiServer, taken_back: tuple[str, ...], left: set[str]
) -> None:
    server.deny("alice", "list", "configmaps")
    server.deny("alice", "watch", "configmaps", "default")
    server.allow(*taken_back)
    denied = {verb for verb in ("list", "watch") if (await asked(http, verb))[0] == 403}
    assert denied == left


async def test_a_watch_that_is_open_goes_on_when_it_is_denied(http: aiohttp.ClientSession, server: ApiServer) -> None:
    async with http.get(f"{MAPS}?watch=1&resourceVersion={server.resource_version}") as response:
        server.deny("alice", "*", "*")
        server.create(BODY)
        async with asyncio.timeout(60):
            event = json.loads(await response.content.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "c")
    assert (await asked(http, "watch"))[0] == 403


async def test_denied_requests_are_counted_and_refused_ones_without_a_user_are_not(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    server.deny("alice", "list", "configmaps")
    await asked(http, "list")
    await asked(http, "list", Authorization="Bearer wrong")
    assert (server.count("list", "configmaps"), server.requests[-1].user) == (1, "alice")


async def test_discovery_is_open_to_who_may_do_nothing_else(http: aiohttp.ClientSession, server: ApiServer) -> None:
    # The role system:discovery of a real cluster.
    server.deny("alice", "*", "*")
    for path in ("/api", "/apis", "/api/v1", "/version", "/healthz"):
        async with http.get(path) as response:
            assert response.status == 200


def test_the_methods_of_the_server_ask_nobody(server: ApiServer) -> None:
    server.deny("kubernetes-admin", "*", "*")
    server.deny("kinformer", "*", "*")
    server.create(BODY)
    assert len(server.list("v1", "ConfigMap")) == 2
