"""The meaning of writes that controllers rely on, with the same assertions on the embedded and on a real server."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.testing import build

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.apiserver.clusters import Cluster

    Ask = Callable[..., Awaitable[tuple[int, Any]]]

JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
CONTAINER = {"name": "c", "image": "i", "resources": {}}


@pytest.fixture
def ask(cluster: Cluster) -> Ask:
    """Send a request to a path below the namespace of the test; `{ns}` stands for it."""

    async def send(method: str, path: str, body: Any = None, content_type: str = JSON) -> tuple[int, Any]:
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": content_type, "User-Agent": "asker"}
        url = path.replace("{ns}", f"namespaces/{cluster.namespace}")
        async with cluster.http() as http, http.request(method, url, data=data, headers=headers) as answer:
            text = await answer.text()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text

    return send


MAPS = "/api/v1/{ns}/configmaps"
PODS = "/api/v1/{ns}/pods"
DEPLOYMENTS = "/apis/apps/v1/{ns}/deployments"


def applied_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def deployment(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [*containers] or [CONTAINER]}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template} | spec
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": whole}


async def test_an_apply_of_other_keys_drops_the_old_ones_and_keeps_the_new(ask: Ask) -> None:
    for data in ({"k1": "v"}, {}, {"k2": "new"}):
        code, made = await ask("PATCH", f"{MAPS}/m?fieldManager=m", applied_map(**data), APPLY)
        assert code in {200, 201}
        assert made.get("data", {}) == data


async def test_a_json_patch_adds_a_finalizer_in_the_way_of_kube_rs(ask: Ask) -> None:
    await ask("POST", MAPS, {"metadata": {"name": "m"}})
    operations = [
        {"op": "test", "path": "/metadata/finalizers", "value": None},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a.b/c"]},
    ]
    code, made = await ask("PATCH", f"{MAPS}/m", operations, JSON_PATCH)
    assert (code, made["metadata"]["finalizers"]) == (200, ["a.b/c"])
    assert (await ask("PATCH", f"{MAPS}/m", operations, JSON_PATCH))[0] == 422
    replaced = [{"op": "replace", "path": "/metadata/annotations", "value": {"x": "1"}}]
    assert (await ask("PATCH", f"{MAPS}/m", replaced, JSON_PATCH))[1]["metadata"]["annotations"] == {"x": "1"}
    copied = [{"op": "copy", "from": "/metadata/absent", "path": "/metadata/labels"}]
    assert (await ask("PATCH", f"{MAPS}/m", copied, JSON_PATCH))[0] == 200
    await ask("PATCH", f"{MAPS}/m", {"metadata": {"finalizers": None}}, MERGE)


async def test_two_managers_apply_items_of_one_list(ask: Ask) -> None:
    await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=one", deployment(CONTAINER), APPLY)
    side = deployment({"name": "side", "image": "s", "env": [{"name": "A", "value": "1"}]})
    code, made = await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=two", side, APPLY)
    assert (code, [c["name"] for c in made["spec"]["template"]["spec"]["containers"]]) == (200, ["c", "side"])
    # A manager that drops its item takes it away, and leaves that of the other.
    code, made = await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=one", deployment(side["spec"]["template"]), APPLY)
    assert code == 500, "a field that is not in the schema cannot be applied"
    again = deployment({"name": "side", "image": "s"})
    code, made = await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=one", again, APPLY)
    assert [c["name"] for c in made["spec"]["template"]["spec"]["containers"]] == ["side"]


async def test_an_item_that_its_applier_drops_goes_with_the_fields_that_others_changed(ask: Ask) -> None:
    both = deployment({"name": "web", "image": "1", "tty": True}, {"name": "x", "image": "1"})
    await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=one", both, APPLY)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "2"}]}}}}
    await ask("PATCH", f"{DEPLOYMENTS}/d", change, STRATEGIC)
    less = deployment({"name": "web", "image": "1"})
    _, made = await ask("PATCH", f"{DEPLOYMENTS}/d?fieldManager=one", less, APPLY)
    assert [(c["name"], c.get("tty")) for c in made["spec"]["template"]["spec"]["containers"]] == [("web", None)]


async def test_an_empty_strategy_as_go_sends_it_gets_its_defaults(ask: Ask) -> None:
    code, made = await ask("POST", DEPLOYMENTS, deployment(strategy={}) | {"status": {}})
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert (code, made["spec"]["strategy"]) == (201, {"type": "RollingUpdate", "rollingUpdate": rolling})


async def test_probes_and_volumes_get_their_defaults(ask: Ask) -> None:
    manifest = build.pod("p", "x")
    container = CONTAINER | {"livenessProbe": {"httpGet": {"port": 80}}}
    volumes = [{"name": "s", "secret": {"secretName": "x"}}]
    manifest = {"metadata": {"name": "p"}, "spec": {"containers": [container], "volumes": volumes}}
    _, made = await ask("POST", PODS, manifest)
    assert made["spec"]["containers"][0]["livenessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    secret = {"secretName": "x", "defaultMode": 420}
    assert {"name": "s", "secret": secret} in made["spec"]["volumes"]


async def test_managed_fields_can_be_cleared(ask: Ask) -> None:
    await ask("POST", MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    code, made = await ask("PATCH", f"{MAPS}/m", {"metadata": {"managedFields": [{}]}}, MERGE)
    assert (code, "managedFields" in made["metadata"]) == (200, False)
    _, made = await ask("PATCH", f"{MAPS}/m?fieldManager=n", applied_map(b="2"), APPLY)
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["n", "before-first-apply"]


async def test_a_scale_can_be_applied_and_must_have_a_name(ask: Ask) -> None:
    await ask("POST", DEPLOYMENTS, deployment(replicas=1))
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
    code, made = await ask("PATCH", f"{DEPLOYMENTS}/d/scale?fieldManager=x&force=true", scale, APPLY)
    assert (code, made["spec"]) == (200, {"replicas": 3})
    assert (await ask("PUT", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 3}}))[0] == 400
    _, made = await ask("GET", f"{DEPLOYMENTS}/d")
    assert made["spec"]["replicas"] == 3
    assert [m["subresource"] for m in made["metadata"]["managedFields"] if m["manager"] == "x"] == ["scale"]


async def test_an_autoscaler_is_one_object_in_both_versions(ask: Ask) -> None:
    path = "/apis/autoscaling/{}/{{ns}}/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    await ask("POST", path.format("v1"), {"metadata": {"name": "h"}, "spec": spec})
    _, newer = await ask("GET", path.format("v2") + "/h")
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    assert newer["spec"]["metrics"] == [{"type": "Resource", "resource": resource}]
    _, listed = await ask("GET", path.format("v2"))
    assert listed["items"][0]["spec"] == newer["spec"]
    _, older = await ask("GET", path.format("v1") + "/h")
    assert older["spec"] == spec | {"minReplicas": 1}


async def test_events_of_both_groups_are_in_one_place(ask: Ask, cluster: Cluster) -> None:
    core, new = "/api/v1/{ns}/events", "/apis/events.k8s.io/v1/{ns}/events"
    about = {"kind": "Pod", "namespace": cluster.namespace, "name": "p"}
    await ask("POST", core, {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "m"})
    code, read = await ask("GET", f"{new}/e")
    assert (code, read["regarding"], read["note"], read["apiVersion"]) == (200, about, "m", "events.k8s.io/v1")
    _, listed = await ask("GET", f"{new}?fieldSelector=regarding.name%3Dp")
    assert [item["note"] for item in listed["items"]] == ["m"]


@pytest.mark.parametrize("name", ["system:controller:x.17", "a b", "Ä", "[x]"])
async def test_an_event_has_the_name_of_the_object_that_it_is_about(ask: Ask, cluster: Cluster, name: str) -> None:
    about = {"kind": "ClusterRole", "name": name, "namespace": cluster.namespace}
    code, made = await ask("POST", "/api/v1/{ns}/events", {"metadata": {"name": name}, "involvedObject": about})
    assert (code, made["metadata"]["name"]) == (201, name)


async def test_a_put_creates_an_absent_lease_and_no_config_map(ask: Ask) -> None:
    leases = "/apis/coordination.k8s.io/v1/{ns}/leases"
    assert (await ask("PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {}}))[0] == 201
    code, answer = await ask("PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {}})
    why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    assert (code, answer["message"]) == (422, f'leases.coordination.k8s.io "l" is invalid: {why}')
    assert (await ask("PUT", f"{MAPS}/absent", {"metadata": {"name": "absent"}}))[0] == 404


async def test_only_a_numeric_version_is_refused_in_a_create(ask: Ask) -> None:
    for number, (version, code) in enumerate({"5": 500, "0": 201, "x": 201}.items()):
        body = {"metadata": {"name": f"m-{number}", "resourceVersion": version}}
        assert (await ask("POST", MAPS, body))[0] == code


async def test_sizes_are_limited_as_on_a_cluster(ask: Ask) -> None:
    async def made(**fields: Any) -> tuple[int, Any]:
        code, answer = await ask("POST", MAPS, {"metadata": {"name": "m"}} | fields)
        return code, answer.get("message")

    assert (await made(data={"a": "x" * 600_000, "b": "y" * 400_000}))[0] == 201
    too_long = 'ConfigMap "m" is invalid: []: Too long: may not be more than 1048576 bytes'
    assert await made(data={"a": "x" * 1_100_000}) == (422, too_long)
    code, message = await made(metadata={"name": "m", "annotations": {"a": "x" * 300_000}})
    assert (code, message) == (
        422,
        'ConfigMap "m" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
    )
    code, message = await made(data={"a": "x" * 3_200_000})
    assert (code, message) == (413, "Request entity too large: limit is 3145728")


IMMUTABLE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (MAPS, {"immutable": True, "data": {"a": "1"}}, {"data": {"a": "2"}}, "data"),
    ("/api/v1/{ns}/secrets", {}, {"type": "x/y"}, "type"),
    (DEPLOYMENTS, deployment(), {"spec": {"selector": {"matchLabels": {"a": None}}}}, "spec.selector"),
    ("/apis/apps/v1/{ns}/statefulsets", {"spec": deployment()["spec"]}, {"spec": {"serviceName": "o"}}, "spec"),
    ("/api/v1/{ns}/services", {"spec": {"ports": [{"port": 80}]}}, {"spec": {"clusterIP": "10.0.0.77"}}, "clusterIPs"),
    (
        "/apis/batch/v1/{ns}/jobs",
        {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}},
        {"spec": {"completions": 3}},
        "spec.completions",
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/{ns}/rolebindings",
        {"roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}},
        {"roleRef": {"name": "q"}},
        "roleRef",
    ),
    (
        "/api/v1/{ns}/persistentvolumeclaims",
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        {"spec": {"accessModes": ["ReadWriteMany"]}},
        "spec",
    ),
    (PODS, {"spec": {"containers": [CONTAINER]}}, {"spec": {"nodeName": "n"}}, "spec"),
    (PODS, {"spec": {"containers": [CONTAINER]}}, {"spec": {"containers": [CONTAINER] * 2}}, "spec.containers"),
]


@pytest.mark.parametrize(("path", "body", "patch", "field"), IMMUTABLE)
async def test_a_field_that_cannot_change_is_refused_by_its_name(
    ask: Ask, path: str, body: dict[str, Any], patch: dict[str, Any], field: str
) -> None:
    code, _ = await ask("POST", path, body | {"metadata": {"name": "d"}})
    assert code == 201
    code, answer = await ask("PATCH", f"{path}/d", patch, MERGE)
    assert code == 422
    assert any(field in cause["field"] for cause in answer["details"]["causes"]), answer


async def test_a_pod_is_resized_and_gets_ephemeral_containers_by_their_subresources_alone(ask: Ask) -> None:
    await ask("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
    added = {"spec": {"ephemeralContainers": [{"name": "e", "image": "x"}]}}
    assert (await ask("PATCH", f"{PODS}/p", added, STRATEGIC))[0] == 422
    code, made = await ask("PATCH", f"{PODS}/p/ephemeralcontainers", added, STRATEGIC)
    assert (code, made["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"]) == (200, "File")


async def test_a_log_without_a_node_is_empty_and_exec_says_that_there_is_no_host(ask: Ask) -> None:
    await ask("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
    assert await ask("GET", f"{PODS}/p/log") == (204, "")
    for path in ("exec?command=ls&stdout=1", "attach?stdout=1"):
        code, answer = await ask("POST", f"{PODS}/p/{path}")
        assert (code, answer["message"]) == (400, "pod p does not have a host assigned")
    code, answer = await ask("GET", f"{PODS}/absent/log")
    assert (code, answer["reason"]) == (404, "NotFound")


async def test_the_rows_of_a_table_carry_the_part_that_was_asked_for(ask: Ask, cluster: Cluster) -> None:
    await ask("POST", MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    url = MAPS.replace("{ns}", f"namespaces/{cluster.namespace}")
    for include, kind in (("Object", "ConfigMap"), ("Metadata", "PartialObjectMetadata"), ("None", None)):
        params = {"includeObject": include}
        async with cluster.http() as http, http.get(url, params=params, headers=headers) as answer:
            rows = [r for r in (await answer.json())["rows"] if r["cells"][0] == "m"]
            assert [(r.get("object") or {}).get("kind") for r in rows] == [kind]


async def test_a_token_request_gives_a_token_that_a_review_knows(ask: Ask, cluster: Cluster) -> None:
    accounts = "/api/v1/{ns}/serviceaccounts"
    await ask("POST", accounts, {"metadata": {"name": "s"}})
    code, issued = await ask("POST", f"{accounts}/s/token", {"spec": {"expirationSeconds": 600}})
    assert (code, issued["kind"]) == (201, "TokenRequest")
    assert (await ask("POST", f"{accounts}/absent/token", {"spec": {}}))[0] == 404
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    code, review = await ask("POST", reviews, {"spec": {"token": issued["status"]["token"]}})
    assert (code, review["status"]["user"]["username"]) == (201, f"system:serviceaccount:{cluster.namespace}:s")
    code, review = await ask("POST", reviews, {"spec": {"token": "wrong"}})
    assert (code, review["status"]) == (201, {"user": {}, "error": "invalid bearer token"})


async def test_reviews_of_access_say_what_the_asker_may_do(ask: Ask) -> None:
    attributes = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    code, review = await ask("POST", path, attributes)
    assert (code, review["status"]["allowed"]) == (201, True)
    assert (await ask("POST", path, {"spec": {}}))[0] == 422
    assert (await ask("GET", path))[0] == 405


async def test_an_unknown_field_is_dropped_with_a_warning_or_refused(ask: Ask, cluster: Cluster) -> None:
    body = deployment(replicass=1)
    code, answer = await ask("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", body)
    why = 'strict decoding error: unknown field "spec.replicass"'
    message = f'Deployment in version "v1" cannot be handled as a Deployment: {why}'
    assert (code, answer["message"]) == (400, message)
    url = DEPLOYMENTS.replace("{ns}", f"namespaces/{cluster.namespace}")
    async with cluster.http() as http, http.post(url, json=body) as made:
        assert made.headers.getall("Warning") == ['299 - "unknown field \\"spec.replicass\\""']
        assert "replicass" not in (await made.json())["spec"]
    assert (await ask("POST", f"{DEPLOYMENTS}?fieldValidation=Foo", body))[0] == 422


async def test_the_path_of_one_object_is_read_and_not_watched(ask: Ask) -> None:
    await ask("POST", MAPS, {"metadata": {"name": "m"}})
    code, read = await ask("GET", f"{MAPS}/m?watch=1&timeoutSeconds=1")
    assert (code, read["kind"]) == (200, "ConfigMap")
