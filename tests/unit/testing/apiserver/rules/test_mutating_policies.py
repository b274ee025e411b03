"""MutatingAdmissionPolicies change objects as those of a real kube-apiserver do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, build
from tests.apiserver.mutating_policies import KEPT, NAMESPACE, asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CASES: dict[str, Any] = json.loads(KEPT.read_text())
POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    server = ApiServer()
    server.create(build.namespace(NAMESPACE))
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


async def test_objects_are_changed_and_refused_as_on_a_real_server(http: aiohttp.ClientSession) -> None:
    different = {}
    for title, case in CASES.items():
        found = await asked(http, case)
        if found != case["answer"]:
            different[title] = (found, case["answer"])
    # A real server answers a patch that makes no object with 500.
    found, expected = different.pop("jp invalid result")
    assert (found["code"], expected["code"]) == (400, 500)
    assert different == {}


def policy(name: str, expression: str, **spec: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    return {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "reinvocationPolicy": "Never",
            "mutations": [mutation],
            **spec,
        },
    }


async def posted(http: aiohttp.ClientSession, *policies: dict[str, Any]) -> None:
    for one in policies:
        name = one["metadata"]["name"]
        async with http.post(POLICIES, json=one) as answer:
            assert answer.status == 201, await answer.text()
        place = POLICIES.replace("policies", "policybindings")
        await http.post(place, json={"metadata": {"name": name}, "spec": {"policyName": name}})


@pytest.mark.parametrize(("again", "count"), [("Never", "1"), ("IfNeeded", "2")])
async def test_a_policy_sees_the_changes_of_later_ones_if_it_asks_for_it(
    http: aiohttp.ClientSession, again: str, count: str
) -> None:
    counting = 'Object{data: {"count": string(int(object.?data["count"].orValue("0")) + 1)}}'
    await posted(http, policy("a", counting, reinvocationPolicy=again), policy("b", 'Object{data: {"later": "yes"}}'))
    async with http.post(MAPS, json={"metadata": {"name": "m"}}) as answer:
        assert (await answer.json())["data"] == {"count": count, "later": "yes"}


async def test_an_update_and_a_patch_are_changed_and_the_policies_themselves_are_not(
    http: aiohttp.ClientSession,
) -> None:
    every = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    labels = 'Object{metadata: Object.metadata{labels: {"by": request.operation}}}'
    await posted(http, policy("a", labels, matchConstraints={"resourceRules": [every]}))
    async with http.post(MAPS, json={"metadata": {"name": "m"}}) as answer:
        assert (await answer.json())["metadata"]["labels"] == {"by": "CREATE"}
    async with http.patch(
        f"{MAPS}/m", json={"data": {"a": "b"}}, headers={"Content-Type": "application/merge-patch+json"}
    ) as answer:
        assert (await answer.json())["metadata"]["labels"] == {"by": "UPDATE"}
    async with http.post(POLICIES, json=policy("other", labels)) as answer:
        assert "labels" not in (await answer.json())["metadata"]


async def test_a_policy_may_find_no_value_and_be_left_out(http: aiohttp.ClientSession) -> None:
    await posted(http, policy("a", 'Object{data: {"a": object.nope}}', failurePolicy="Ignore"))
    async with http.post(MAPS, json={"metadata": {"name": "m"}}) as answer:
        assert answer.status == 201


@pytest.mark.parametrize("operation", ["add", "replace"])
async def test_a_patch_that_adds_a_field_which_the_kind_does_not_have_is_refused(
    http: aiohttp.ClientSession, operation: str
) -> None:
    def patching(expression: str) -> dict[str, Any]:
        return policy("a", "", mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}])

    unknown = f'[JSONPatch{{op: "{operation}", path: "/nothing", value: "x"}}]'
    await posted(http, patching(unknown))
    async with http.post(MAPS, json={"metadata": {"name": "m"}}) as answer:
        assert answer.status == 400, "a real server answers 500"
        assert 'strict decoding error: unknown field "nothing"' in (await answer.json())["message"]
    # A field that the body has without the policy is left out, as without a policy.
    await http.delete(f"{POLICIES}/a")
    await posted(http, patching('[JSONPatch{op: "add", path: "/data", value: {"a": "b"}}]'))
    async with http.post(MAPS, json={"metadata": {"name": "m"}, "other": 1}) as answer:
        assert (await answer.json())["data"] == {"a": "b"}
