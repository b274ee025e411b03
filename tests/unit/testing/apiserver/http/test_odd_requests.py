"""Requests that few clients send get the answers of a real kube-apiserver 1.36."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
import yaml

from kinformer.testing import ApiServer, build
from kinformer.testing._apiserver.http.requests import decode_applied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
UNFINISHED = "error decoding patch: unexpected end of JSON input"
OTHER_KEY = "/registry/configmaps/default/m, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed"
EPHEMERAL = {"name": "e", "image": "registry.example.com/e:v1"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    server = ApiServer()
    server.create(build.config_map("m", "default"))
    server.create(build.pod("p", "default"))
    async with server, aiohttp.ClientSession(server.url) as session:
        yield session


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "code", "why"),
    [
        ("sendInitialEvents=true", 422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ("resourceVersionMatch=Foo", 422, 'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""]'),
        (
            "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact",
            422,
            'to NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]',
        ),
        ("labelSelector=(", 400, "found '(', expected: !, identifier, or 'end of string'"),
        ("labelSelector=a,,b", 400, "found ',', expected: identifier after ','"),
        ("labelSelector=a%3Db%3Dc", 400, "found '=', expected: ',' or 'end of string'"),
        ("watch=true&continue=abc", 422, "resourceVersionMatch is forbidden when continue is provided"),
        ("continue=abc", 400, "continue key is not valid: invalid character 'i' looking for beginning of value"),
        (f"continue={token(v='x', rv=1, start='a')}", 400, "server does not recognize this encoded version x"),
        (f"continue={token(v='meta.k8s.io/v1', rv=0, start='a')}", 400, "incorrect encoded start resourceVersion"),
        (f"continue={token(v='meta.k8s.io/v1', rv=1, start='')}", 400, "encoded start key empty"),
        ("labelSelector=%C3%A9", 400, 'unable to parse requirement: <nil>: Invalid value: "é": name part must consist'),
        ("labelSelector=a%3D" + "x" * 64, 400, "must be no more than 63 bytes"),
    ],
)
async def test_a_list_is_refused(http: aiohttp.ClientSession, query: str, code: int, why: str) -> None:
    async with http.get(f"{MAPS}?{query}") as answer:
        told = await answer.json()
    assert answer.status == code
    assert why in told["message"]


@pytest.mark.parametrize(
    ("path", "media", "body", "code", "why"),
    [
        (f"{MAPS}/m", JSON_PATCH, "{", 400, UNFINISHED),
        (f"{MAPS}/m", MERGE, "", 400, UNFINISHED),
        (f"{MAPS}/m", STRATEGIC, "{", 400, "unexpected end of JSON input"),
        (f"{MAPS}/m", MERGE, '{"kind":"Pod"}', 422, '": converting (v1.Pod) to (core.ConfigMap): unknown conversion'),
        (f"{MAPS}/m", MERGE, '{"apiVersion":"v2"}', 422, '": no kind "ConfigMap" is registered for version "v2" in'),
        (f"{MAPS}/m", MERGE, '{"apiVersion":"a/b/c"}', 422, '": unexpected GroupVersion string: a/b/c'),
        (f"{MAPS}/m", MERGE, '{"apiVersion":null}', 400, "(m based on URL) was undeterminable"),
        (f"{MAPS}/m?fieldManager=x", APPLY, "{", 400, "YAML to JSON: yaml: line 1: did not find expected node content"),
        (f"{MAPS}/m?fieldManager=x", APPLY, "a\nb: c", 400, "yaml: line 2: mapping values are not allowed in this"),
        (f"{MAPS}/m?fieldManager=x", APPLY, "a: *x", 400, "error decoding YAML: error converting YAML to JSON: yaml: "),
        (f"{MAPS}/m?fieldManager=x", APPLY, "[]", 400, "decoding JSON: json: cannot unmarshal array into Go value of"),
        (
            f"{PODS}/p/resize",
            STRATEGIC,
            '{"spec":{"containers":[{"name":"z","image":"i"}]}}',
            422,
            "spec.containers: Forbidden: containers may not be added or removed on resize",
        ),
        (
            f"{PODS}/p/resize",
            STRATEGIC,
            '{"spec":{"containers":[{"name":"app","resources":{"limits":{"x.io/g":"1"},"requests":{"x.io/g":"1"}}}]}}',
            422,
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
        (f"{MAPS}/m", MERGE, '{"metadata":{"name":null}}', 400, "(m based on URL) was undeterminable"),
        (
            f"{MAPS}/m?fieldManager={'x' * 129}",
            APPLY,
            "{}",
            422,
            "fieldManager: Too long: may not be more than 128",
        ),
        (f"{MAPS}/m?fieldManager=a%01", APPLY, "{}", 422, r'"a\x01": invalid character U+0001 (at position 1)'),
        (
            f"{PODS}/p/ephemeralcontainers",
            STRATEGIC,
            json.dumps({"spec": {"ephemeralContainers": [EPHEMERAL | {"targetContainerName": "none"}]}}),
            422,
            'spec.ephemeralContainers[0].targetContainerName: Not found: "none"',
        ),
        (
            f"{PODS}/p/ephemeralcontainers",
            STRATEGIC,
            json.dumps({"spec": {"ephemeralContainers": [EPHEMERAL | {"resources": {"limits": {"cpu": "1"}}}]}}),
            422,
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ],
)
async def test_a_patch_is_refused(
    http: aiohttp.ClientSession, path: str, media: str, body: str, code: int, why: str
) -> None:
    async with http.patch(path, data=body, headers={"Content-Type": media}) as answer:
        told = await answer.json()
    assert (answer.status, why in told["message"]) == (code, True), told["message"]


@pytest.mark.parametrize("path", ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "TOKEN"])
async def test_a_review_has_no_table_but_metadata(http: aiohttp.ClientSession, path: str) -> None:
    async with http.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "s"}}):
        pass
    spec: dict[str, Any] = {"nonResourceAttributes": {"path": "/", "verb": "get"}}
    spec = spec if path != "TOKEN" else {"audiences": []}
    path = path.replace("TOKEN", "/api/v1/namespaces/default/serviceaccounts/s/token")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with http.post(path, json={"spec": spec}, headers={"Accept": table}) as answer:
        assert answer.status == 406
    async with http.post(path, json={"spec": spec}, headers={"Accept": f"{table},application/json"}) as answer:
        assert (await answer.json())["kind"] in {"SelfSubjectAccessReview", "TokenRequest"}
    partial = table.replace("Table", "PartialObjectMetadata")
    async with http.post(path, json={"spec": spec}, headers={"Accept": partial}) as answer:
        assert (await answer.json()).keys() == {"kind", "apiVersion", "metadata"}


async def test_keys_that_yaml_has_twice_are_refused_or_warned_of(http: aiohttp.ClientSession) -> None:
    lines = ("apiVersion: v1", "kind: ConfigMap", "metadata:", "  name: y", "  bad: 1", "data:")
    text = "\n".join([*lines, "  a: b", "  a: c", "  k: d", "  k: e"])
    headers = {"Content-Type": "application/yaml"}
    async with http.post(f"{MAPS}?fieldValidation=Strict", data=text, headers=headers) as answer:
        assert (await answer.json())["message"].partition("strict decoding error: ")[2] == (
            'yaml: unmarshal errors:\n  line 8: key "a" already set in map\n'
            '  line 10: key "k" already set in map, unknown field "metadata.bad"'
        )
    async with http.post(MAPS, data=text, headers=headers) as answer:
        assert answer.status == 201
        assert answer.headers.getall("Warning") == [
            '299 - "line 8: key \\"a\\" already set in map"',
            '299 - "line 10: key \\"k\\" already set in map"',
            '299 - "unknown field \\"metadata.bad\\""',
        ]


async def test_keys_that_an_apply_has_twice_are_refused_or_warned_of(http: aiohttp.ClientSession) -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y"},"data":{"a":"1","a":"2"}}'
    headers, path = {"Content-Type": APPLY}, f"{MAPS}/y?fieldManager=x"
    async with http.patch(f"{path}&fieldValidation=Strict", data=text, headers=headers) as answer:
        why = 'yaml: unmarshal errors:\n  line 1: key "a" already set in map'
        message = f"error strict decoding YAML: error converting YAML to JSON: {why}"
        assert (answer.status, (await answer.json())["message"]) == (400, message)
    async with http.patch(path, data=text, headers=headers) as answer:
        assert answer.status == 201
        assert answer.headers["Warning"] == '299 - "line 1: key \\"a\\" already set in map"'


async def test_a_body_without_a_media_type_is_json_with_its_doubled_fields(http: aiohttp.ClientSession) -> None:
    body = b'{"metadata":{"name":"j"},"data":{"a":"1","a":"2"}}'
    path = f"{MAPS}?fieldValidation=Strict"
    async with http.post(path, data=body, skip_auto_headers=["Content-Type"]) as answer:
        assert (await answer.json())["message"].endswith('strict decoding error: duplicate field "data.a"')


async def test_null_patches_nothing(http: aiohttp.ClientSession) -> None:
    for media in (JSON_PATCH, STRATEGIC):
        async with http.patch(f"{MAPS}/m", data="null", headers={"Content-Type": media}) as answer:
            assert answer.status == 200


async def test_an_ephemeral_container_is_neither_changed_nor_removed(http: aiohttp.ClientSession) -> None:
    path, headers = f"{PODS}/p/ephemeralcontainers", {"Content-Type": MERGE}
    for containers, code in (([EPHEMERAL], 200), ([EPHEMERAL | {"image": "other"}], 422), ([], 422)):
        body = json.dumps({"spec": {"ephemeralContainers": containers}})
        async with http.patch(path, data=body, headers=headers) as answer:
            assert answer.status == code


async def test_a_write_to_an_object_of_another_uid_names_its_place_in_etcd(http: aiohttp.ClientSession) -> None:
    async with http.put(f"{MAPS}/m", json={"metadata": {"name": "m", "uid": "x"}}) as answer:
        told = await answer.json()
    assert answer.status == 409
    assert OTHER_KEY in told["message"]


async def test_a_collection_is_deleted_up_to_its_limit(http: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        await http.post(MAPS, json={"metadata": {"name": name}})
    async with http.delete(f"{MAPS}?limit=2") as answer:
        assert [one["metadata"]["name"] for one in (await answer.json())["items"]] == ["a", "b"]
    async with http.get(MAPS) as answer:
        assert [one["metadata"]["name"] for one in (await answer.json())["items"]] == ["m"]


@pytest.mark.parametrize(
    "query", ["continue=abc", "resourceVersion=x", "resourceVersion=1&resourceVersionMatch=Exact&limit=x"]
)
async def test_a_collection_is_not_deleted_when_its_list_is_refused(http: aiohttp.ClientSession, query: str) -> None:
    async with http.delete(f"{MAPS}?{query}") as answer:
        assert answer.status == 400
    async with http.get(f"{MAPS}/m") as answer:
        assert answer.status == 200


async def test_the_deletion_of_one_page_of_a_collection_names_the_next(http: aiohttp.ClientSession) -> None:
    await http.post(MAPS, json={"metadata": {"name": "n"}})
    async with http.delete(f"{MAPS}?limit=1") as answer:
        told = (await answer.json())["metadata"]
    assert told["remainingItemCount"] == 1
    assert told["continue"]


METADATA = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadata"
TABLE = "application/json;g=meta.k8s.io;v=v1;as=Table"
NO_SUCH_FORM = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubern"
NO_SUCH_TYPE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kuber"
)


@pytest.mark.parametrize(
    ("path", "accept", "why"),
    [
        (f"{MAPS}/m", "text/html", NO_SUCH_TYPE),
        (f"{MAPS}/none", "application/cbor", NO_SUCH_TYPE),
        (
            MAPS,
            "application/*",
            f"{NO_SUCH_TYPE}netes.protobuf, application/json;stream=watch, application/vnd.kubernetes.",
        ),
        ("/version", "text/html", "406: Not Acceptable\n\nAvailable representations: application/json"),
        ("/api/v1", "text/html", NO_SUCH_TYPE),
        ("/api/v1", METADATA, NO_SUCH_FORM),
        (f"{MAPS}/m", "application/json;g=meta.k8s.io;v=v2;as=Table", NO_SUCH_FORM),
        (f"{MAPS}/none", "application/json;g=meta.k8s.io;v=v1;as=Foo", NO_SUCH_FORM),
        (f"{MAPS}/m", "application/json;g=meta.k8s.io;v=v1", NO_SUCH_FORM),
        (f"{MAPS}/m", "application/vnd.kubernetes.protobuf;g=meta.k8s.io;v=v1;as=Table", NO_SUCH_FORM),
        (
            MAPS,
            METADATA,
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
        (f"{MAPS}/m", f"{METADATA}List", "but the requested object is not a list (*core.ConfigMap)"),
    ],
)
async def test_a_form_that_there_is_not_is_refused(
    http: aiohttp.ClientSession, path: str, accept: str, why: str
) -> None:
    async with http.get(path, headers={"Accept": accept}) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["reason"]) == (406, "NotAcceptable")
    assert why in told["message"]
    assert ("details" in told) == why.startswith("406")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/json", "ConfigMap"),
        ("text/html;q=1,*/*;q=0.1", "ConfigMap"),
        ("application/json;g=meta.k8s.io;v=v1;as=Foo,application/json", "ConfigMap"),
        (TABLE, "Table"),
        (f"application/json;q=0.1,{METADATA}", "PartialObjectMetadata"),
    ],
)
async def test_the_first_form_that_there_is_is_sent(http: aiohttp.ClientSession, accept: str, kind: str) -> None:
    async with http.get(f"{MAPS}/m", headers={"Accept": accept}) as answer:
        assert (answer.status, (await answer.json())["kind"]) == (200, kind)


async def test_objects_lists_and_errors_are_sent_as_yaml(http: aiohttp.ClientSession) -> None:
    for path, kind in ((f"{MAPS}/m", "ConfigMap"), (MAPS, "ConfigMapList"), (f"{MAPS}/none", "Status")):
        async with http.get(path, headers={"Accept": "application/json;q=0.5,application/yaml"}) as answer:
            text = await answer.text()
        assert answer.content_type == "application/yaml"
        assert yaml.safe_load(text)["kind"] == kind
    async with http.get(f"{MAPS}?watch=1", headers={"Accept": "application/yaml"}) as answer:
        assert (answer.status, yaml.safe_load(await answer.text())["reason"]) == (406, "NotAcceptable")


async def test_a_text_that_looks_like_a_number_stands_in_double_quotes(http: aiohttp.ClientSession) -> None:
    texts = {"a": "1", "b": "y", "c": "", "d": "plain", "e": "two\nlines", "f": "2026-01-01T00:00:00Z"}
    await http.post(MAPS, json={"metadata": {"name": "texts"}, "data": texts})
    async with http.get(f"{MAPS}/texts", headers={"Accept": "application/yaml"}) as answer:
        text = await answer.text()
    assert yaml.safe_load(text)["data"] == texts
    shown = 'data:\n  a: "1"\n  b: "y"\n  c: ""\n  d: plain\n  e: |-\n    two\n    lines\n  f: "2026-01-01T00:00:00Z"\n'
    assert shown in text


async def test_a_dry_run_is_shown_as_a_table(http: aiohttp.ClientSession) -> None:
    body = {"metadata": {"name": "n"}}
    async with http.post(f"{MAPS}?dryRun=All", json=body, headers={"Accept": TABLE}) as answer:
        assert (answer.status, (await answer.json())["metadata"]) == (201, {})


async def test_a_table_of_nothing_has_no_rows_if_its_kind_has_no_printer(http: aiohttp.ClientSession) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    for path, rows in ((roles, None), (f"{PODS}?labelSelector=none", [])):
        async with http.get(path, headers={"Accept": TABLE}) as answer:
            assert (await answer.json())["rows"] == rows
    async with http.get(f"{MAPS}?includeObject=Foo", headers={"Accept": TABLE}) as answer:
        assert (answer.status, "must be 'Metadata', 'Object'" in (await answer.json())["message"]) == (400, True)


async def test_each_text_but_false_and_0_begins_a_watch(http: aiohttp.ClientSession) -> None:
    for text, watches in (("maybe", True), ("f", True), ("false", False), ("0", False)):
        async with http.get(f"{MAPS}?watch={text}&timeoutSeconds=1&labelSelector=none") as answer:
            assert ("items" in await answer.text()) != watches


@pytest.mark.parametrize(
    ("metadata", "code", "why"),
    [
        ({"resourceVersion": "5"}, 201, ""),
        ({"resourceVersion": "x"}, 500, 'strconv.ParseUint: parsing "x": invalid syntax'),
        (
            {"uid": "x"},
            409,
            "Key: /registry/leases/default/l, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed",
        ),
    ],
)
async def test_an_update_creates_a_lease_of_any_version_but_of_no_uid(
    http: aiohttp.ClientSession, metadata: dict[str, str], code: int, why: str
) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    async with http.put(path, json={"metadata": {"name": "l"} | metadata}) as answer:
        told = await answer.json()
    assert (answer.status, why in told.get("message", "")) == (code, True)


async def test_a_resize_owns_all_that_it_asks_for(http: aiohttp.ClientSession) -> None:
    body = json.dumps({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "app", "image": "other"}]}})
    headers = {"Content-Type": STRATEGIC}
    async with http.patch(f"{PODS}/p/resize?fieldManager=r", data=body, headers=headers) as answer:
        pod = await answer.json()
    assert pod["spec"]["containers"][0]["image"] != "other"
    (owned,) = [one["fieldsV1"] for one in pod["metadata"]["managedFields"] if one["manager"] == "r"]
    assert owned["f:metadata"] == {"f:labels": {"f:a": {}}}
    assert owned["f:spec"] == {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}}


async def test_times_of_a_condition_that_are_not_set_are_null_and_owned(http: aiohttp.ClientSession) -> None:
    body = json.dumps({"status": {"conditions": [{"type": "A", "status": "True"}]}})
    headers = {"Content-Type": MERGE}
    async with http.patch(f"{PODS}/p/status?fieldManager=s", data=body, headers=headers) as answer:
        pod = await answer.json()
    assert pod["status"]["conditions"][-1]["lastProbeTime"] is None
    (owned,) = [one["fieldsV1"] for one in pod["metadata"]["managedFields"] if one["manager"] == "s"]
    assert "f:lastTransitionTime" in owned["f:status"]["f:conditions"]['k:{"type":"A"}']


async def test_an_eviction_whose_precondition_fails_leaves_the_pod_as_it_is(http: aiohttp.ClientSession) -> None:
    body = {"metadata": {"name": "p"}, "deleteOptions": {"preconditions": {"uid": "x"}}}
    async with http.post(f"{PODS}/p/eviction", json=body) as answer:
        assert answer.status == 409
    async with http.get(f"{PODS}/p") as answer:
        conditions = (await answer.json())["status"].get("conditions") or []
    assert "DisruptionTarget" not in {one["type"] for one in conditions}


async def test_a_generation_is_kept_where_none_is_counted(http: aiohttp.ClientSession) -> None:
    async with http.post(MAPS, json={"metadata": {"name": "g", "generation": 5}}) as answer:
        assert (await answer.json())["metadata"]["generation"] == 5
    async with http.put(f"{MAPS}/g", json={"metadata": {"name": "g"}, "data": {"a": "1"}}) as answer:
        assert (await answer.json())["metadata"]["generation"] == 5


async def test_a_refused_update_names_the_immutable_selector_too(http: aiohttp.ClientSession) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await http.post(path, json=build.deployment("d", "default"))
    body, headers = json.dumps({"spec": {"selector": None}}), {"Content-Type": MERGE}
    async with http.patch(f"{path}/d", data=body, headers=headers) as answer:
        told = await answer.json()
    assert [one["field"] for one in told["details"]["causes"]][-1] == "spec.selector"
    assert told["message"].endswith("spec.selector: Invalid value: null: field is immutable]")


async def test_a_status_is_judged_by_the_counts_of_its_own_kind(http: aiohttp.ClientSession) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    await http.post(path, json=build.deployment("d", "default"))
    body = {"metadata": {"name": "d"}, "status": {"replicas": -1}}
    async with http.put(f"{path}/d/status", json=body) as answer:
        told = await answer.json()
    fields = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
    assert [one["field"] for one in told["details"]["causes"]] == [f"status.{field}" for field in fields]


async def test_a_watch_of_a_second_gets_no_last_bookmark(http: aiohttp.ClientSession) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    async with http.get(f"{MAPS}?{query}&labelSelector=none") as answer:
        assert (await answer.text()).count("BOOKMARK") == 1


@pytest.mark.parametrize(
    "value", ["y", "1e3", "2026-01-01", "", "tab\there", "\U0001f600", 1.5, True, None, [{}], 1 << 62]
)
def test_an_apply_of_json_has_the_values_of_json(value: Any) -> None:
    assert decode_applied(msgspec.json.encode({"a": {"b": value}})) == {"a": {"b": value}}


def test_an_apply_of_yaml_that_begins_like_json_is_yaml() -> None:
    assert decode_applied(b"{a: [1, x], }") == {"a": [1, "x"]}
