"""ValidatingAdmissionPolicies; the answers are those of a real kube-apiserver 1.36."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

API = "admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/shop/configmaps"
BY = "ValidatingAdmissionPolicy 'limits.example.com' with binding 'deny.example.com' denied request: "


@pytest.fixture
def server() -> ApiServer:
    server = ApiServer()
    server.create(build.namespace("shop", labels={"checked": "yes"}))
    return server


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


def policy(*validations: dict[str, Any], **spec: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    constraints = {"resourceRules": [rule], "namespaceSelector": {"matchLabels": {"checked": "yes"}}}
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "limits.example.com"},
        "spec": {"matchConstraints": constraints, "validations": [*validations]} | spec,
    }


def binding(*actions: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "deny.example.com"},
        "spec": {"policyName": "limits.example.com", "validationActions": [*(actions or ("Deny",))]} | spec,
    }


async def created(http: aiohttp.ClientSession, name: str = "a", **fields: Any) -> tuple[int, str, str]:
    """Create a ConfigMap; return the status, the reason with the message, and the warning."""
    metadata = {"name": name} | fields.pop("metadata", {})
    async with http.post(MAPS, json={"metadata": metadata} | fields) as answer:
        told = await answer.json()
        text = f"{told['reason']}: {told['message']}" if answer.status >= 400 else ""
        return answer.status, text, answer.headers.get("Warning", "")


async def test_a_policy_denies_with_its_message_and_its_reason(http: aiohttp.ClientSession, server: ApiServer) -> None:
    size = {"expression": "variables.size <= 1", "messageExpression": "'too many: ' + string(variables.size)"}
    name = {"expression": "object.metadata.name != 'bad'", "message": "a bad name", "reason": "Forbidden"}
    variables = [{"name": "size", "expression": "has(object.data) ? size(object.data) : 0"}]
    server.create(policy(size, name, variables=variables))
    assert await created(http, "unbound", data={"a": "1", "b": "2"}) == (201, "", "")
    server.create(binding())
    text = f'Invalid: configmaps "a" is forbidden: {BY}too many: 2'
    assert await created(http, data={"a": "1", "b": "2"}) == (422, text, "")
    text = f'Forbidden: configmaps "bad" is forbidden: {BY}a bad name'
    assert await created(http, "bad") == (403, text, "")
    assert await created(http, data={"a": "1"}) == (201, "", "")


async def test_an_update_sees_the_old_object_and_a_policy_without_message_shows_its_expression(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    expression = "request.operation != 'UPDATE' || object.data == oldObject.data"
    server.create(policy({"expression": expression}))
    server.create(binding())
    assert (await created(http, data={"a": "1"}))[0] == 201
    async with http.patch(
        f"{MAPS}/a", json={"data": {"a": "2"}}, headers={"Content-Type": "application/merge-patch+json"}
    ) as answer:
        told = await answer.json()
    assert told["message"] == f'configmaps "a" is forbidden: {BY}failed expression: {expression}'
    assert told["details"] == {
        "name": "a",
        "kind": "configmaps",
        "causes": [{"message": f"{BY}failed expression: {expression}"}],
    }


async def test_a_binding_that_warns_lets_the_write_pass(http: aiohttp.ClientSession, server: ApiServer) -> None:
    server.create(policy({"expression": "false", "message": "no"}))
    server.create(binding("Warn", "Audit"))
    warning = "Validation failed for ValidatingAdmissionPolicy 'limits.example.com' with binding 'deny.example.com': no"
    assert await created(http) == (201, "", f'299 - "{warning}"')


async def test_parameters_are_read_from_the_object_that_the_binding_names(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    server.create(policy({"expression": "size(object.data) <= int(params.data.most)"}, paramKind=kind))
    server.create(binding(paramRef={"name": "params", "namespace": "default", "parameterNotFoundAction": "Deny"}))
    missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert (await created(http, data={"a": "1"}))[1] == f'Invalid: configmaps "a" is forbidden: {BY}{missing}'
    server.create(build.config_map("params", data={"most": "1"}))
    assert (await created(http, data={"a": "1"}))[0] == 201
    assert (await created(http, "b", data={"a": "1", "b": "2"}))[0] == 422


async def test_an_expression_without_a_value_denies_unless_the_policy_ignores_failures(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    expression = "object.metadata.labels.x == 'y'"
    server.create(policy({"expression": expression}))
    server.create(binding())
    fault = f"expression '{expression}' resulted in error: no such key: labels"
    assert (await created(http))[1] == f'Invalid: configmaps "a" is forbidden: {BY}{fault}'
    server.update(policy({"expression": expression}, failurePolicy="Ignore"))
    assert (await created(http))[0] == 201


async def test_conditions_selectors_and_exclusions_leave_writes_out(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    skip = {"name": "skip", "expression": "!has(object.metadata.labels) || !('skip' in object.metadata.labels)"}
    server.create(policy({"expression": "false"}, matchConditions=[skip]))
    server.create(
        binding(matchResources={"objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}})
    )
    assert (await created(http))[0] == 422
    assert (await created(http, metadata={"labels": {"skip": "yes"}}))[0] == 201
    assert (await created(http, "b", metadata={"labels": {"free": "yes"}}))[0] == 201
    server.create(build.namespace("other"))
    async with http.post("/api/v1/namespaces/other/configmaps", json={"metadata": {"name": "a"}}) as answer:
        assert answer.status == 201
    changed = policy({"expression": "false"})
    rule = changed["spec"]["matchConstraints"]["resourceRules"][0]
    changed["spec"]["matchConstraints"]["excludeResourceRules"] = [rule | {"resourceNames": ["c"]}]
    server.update(changed)
    assert (await created(http, "c"))[0] == 201
    assert (await created(http, "d"))[0] == 422


async def test_the_conditions_of_a_webhook_decide_whether_it_is_called(
    http: aiohttp.ClientSession, server: ApiServer
) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    webhook = {
        "name": "nobody.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [
            {"name": "not-free", "expression": "object.metadata.name != 'free'"},
            {"name": "labelled", "expression": "object.metadata.labels.x == 'y'"},
        ],
    }
    configuration = {
        "apiVersion": API,
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "hooks"},
        "webhooks": [webhook],
    }
    server.create(configuration)
    assert (await created(http, "free"))[0] == 201
    code, text, _ = await created(http)
    fault = "expression 'object.metadata.labels.x == 'y'' resulted in error: no such key: labels"
    assert (code, text) == (403, f'Forbidden: configmaps "a" is forbidden: {fault}')
    code, text, _ = await created(http, metadata={"labels": {"x": "y"}})
    assert (code, text.partition(":")[0]) == (500, "InternalError")
    server.update(configuration | {"webhooks": [webhook | {"failurePolicy": "Ignore"}]})
    assert (await created(http))[0] == 201
