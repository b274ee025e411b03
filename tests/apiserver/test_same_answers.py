"""The same questions to both servers: the same answers, but for times, uids and versions.

`make test` compares the embedded server with what a real one answered (tests/data/same-answers.json), `make test-real`
the real one, too. With KINFORMER_RECORD=1 the latter writes that file anew, for questions that are new.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from kinformer.testing import build
from tests.paths import DATA

if TYPE_CHECKING:
    from tests.apiserver.clusters import Cluster

RECORDED = DATA / "same-answers.json"

JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


BY_ADMISSION = {"priority", "preemptionPolicy"}
"""What the admission plugin Priority adds to each pod, which the embedded server does not have."""


def plain(value: Any, key: str = "") -> Any:
    """Without what must differ."""
    match value:
        case dict():
            return {name: plain(inner, name) for name, inner in value.items() if name not in BY_ADMISSION}
        case list() if key == "managedFields":
            # Their order is that of their times, to the second.
            return sorted((plain(inner) for inner in value), key=json.dumps)
        case list():
            return [plain(inner) for inner in value]
        case str() if key in {"resourceVersion", "continue", "clusterIP"} or _UID.fullmatch(value):
            return f"<{key}>"
        case str():
            return _TIME.sub("<time>", _UID.sub("<uid>", value))
    return value


Question = tuple[str, str, Any, str]


async def answers(cluster: Cluster, questions: list[Question]) -> list[tuple[int, Any]]:
    got = []
    async with cluster.http() as http:
        for method, path, body, content_type in questions:
            data = None if body is None else body if isinstance(body, str) else json.dumps(body)
            headers = {"Content-Type": content_type, "User-Agent": "asker"}
            async with http.request(method, path, data=data, headers=headers) as answer:
                text = await answer.text()
                try:
                    got.append((answer.status, plain(json.loads(text))))
                except ValueError:
                    got.append((answer.status, text))
    return got


SPACE = "same-answers"
NS = f"/api/v1/namespaces/{SPACE}"
PLACES = {
    "Pod": f"{NS}/pods",
    "ConfigMap": f"{NS}/configmaps",
    "Secret": f"{NS}/secrets",
    "Namespace": "/api/v1/namespaces",
    "Deployment": f"/apis/apps/v1/namespaces/{SPACE}/deployments",
    "Job": f"/apis/batch/v1/namespaces/{SPACE}/jobs",
}
MAPS, PODS, WEB = PLACES["ConfigMap"], PLACES["Pod"], f"{PLACES['Deployment']}/web"


def post(manifest: dict[str, Any]) -> Question:
    return "POST", PLACES[manifest["kind"]], manifest, JSON


def get(*paths: str) -> list[Question]:
    return [("GET", path, None, JSON) for path in paths]


def new(**fields: Any) -> Question:
    """A ConfigMap `x`, that no server should take."""
    return "POST", MAPS, {"metadata": {"name": "x"} | fields.pop("metadata", {})} | fields, JSON


def change(path: str, body: Any, content_type: str = MERGE) -> Question:
    return "PATCH", path, body, content_type


def apply(manager: str, data: dict[str, str], more: str = "") -> Question:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}
    return change(f"{MAPS}/applied?fieldManager={manager}{more}", body, APPLY)


def delete(path: str, options: Any = None) -> Question:
    return "DELETE", path, options, JSON


TWO = build.deployment("two", SPACE)
TWO["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "Z", "value": "1"}]
ENV = [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]

QUESTIONS: dict[str, list[Question]] = {
    "objects": [
        post(build.deployment("web", SPACE, replicas=3, labels={"tier": "front"})),
        post(build.pod("web-0", SPACE, node="node-1", annotations={"a": "b"})),
        post(build.pod("web-1", SPACE)),
        post(build.config_map("settings", SPACE, data={"a": "b"})),
        post(build.config_map("empty", SPACE)),
        post(build.secret("pw", SPACE, data={"password": "x"})),
        post(build.job("backup", SPACE, completions=2)),
        *get(PODS, f"{PODS}/web-0", f"{PODS}/web-0/status", f"{PODS}?limit=1", f"{PODS}?limit=-1"),
    ],
    "lists": get(
        *(
            f"{PODS}?{query}"
            for query in ("limit=abc", "resourceVersion=-1", "labelSelector=a%20in", "fieldSelector=a")
        ),
        *(f"{PODS}?resourceVersionMatch={match}" for match in ("Exact&resourceVersion=0", "Foo&resourceVersion=1")),
        f"{PODS}?labelSelector=app%20in%20(web-0)",
        f"{PODS}?fieldSelector=metadata.name%3Dweb-0",
        *(f"{PLACES[kind]}?fieldSelector=data.a%3D1" for kind in ("ConfigMap", "Secret", "Deployment", "Job", "Pod")),
        "/api/v1/namespaces/absent/pods",
        "/api/v1/namespaces/absent",
    ),
    "places": get(
        *("/apis/nosuch/v1/things", "/apis/apps/v1/things", "/apis/apps/v2/deployments", "/nosuch"),
        *(f"{PODS}/web-0/nosuch", f"{PODS}?watch=1&resourceVersion=abc", f"{PODS}?watch=1&timeoutSeconds=x"),
        f"{PODS}?watch=1&sendInitialEvents=true&timeoutSeconds=1",
        f"{PODS}?watch=1&resourceVersionMatch=NotOlderThan&timeoutSeconds=1",
        *(f"{PODS}?watch=1&labelSelector=a%20in", f"{PODS}?watch=1&shardSelector=x"),
    ),
    "refused": [
        ("POST", MAPS, {"metadata": {}}, JSON),
        new(metadata={"namespace": "other"}),
        new(metadata={"name": "X"}),
        new(metadata={"labels": {"a b": "c"}}),
        new(metadata={"labels": {"a": "c d"}}),
        new(metadata={"finalizers": ["nodomain"]}),
        new(metadata={"resourceVersion": "5"}),
        new(data={"a b": "c"}),
        new(data={"a": 1}),
        post(build.config_map("settings", SPACE)),
        ("POST", PODS, {"metadata": {"name": "x"}}, JSON),
        ("POST", f"{MAPS}?dryRun=All", {"metadata": {"name": "dry"}}, JSON),
        ("POST", f"{MAPS}?dryRun=Some", {"metadata": {"name": "dry"}}, JSON),
        ("POST", "/api/v1/namespaces/absent/configmaps", {"metadata": {"name": "x"}}, JSON),
        ("POST", "/api/v1/configmaps", {"metadata": {"name": "x"}}, JSON),
        ("POST", f"{PODS}/web-0", {}, JSON),
        ("PUT", PODS, {}, JSON),
        change(PODS, {}),
        delete("/api/v1/pods"),
        delete("/api/v1/namespaces/default"),
    ],
    "updates": [
        ("PUT", f"{MAPS}/settings", {"metadata": {"name": "settings"}, "data": {"a": "c"}}, JSON),
        ("PUT", f"{MAPS}/settings", {"metadata": {"name": "other"}, "data": {"a": "c"}}, JSON),
        ("PUT", f"{MAPS}/settings", {"metadata": {"name": "settings", "resourceVersion": "1"}}, JSON),
        ("PUT", f"{MAPS}/settings", {"metadata": {"name": "settings", "resourceVersion": "abc"}}, JSON),
        ("PUT", f"{MAPS}/absent", {"metadata": {"name": "absent"}}, JSON),
        change(f"{MAPS}/settings", {"data": {"b": "1"}}),
        change(f"{MAPS}/absent", {"data": {"b": "1"}}),
        change(f"{MAPS}/settings", {"a": 1}, JSON),
        # When no field has an owner any more, no owners are kept track of.
        change(f"{MAPS}/settings", {"data": None}),
        change(f"{MAPS}/settings", {"metadata": {"labels": {"x": "y"}}}, STRATEGIC),
        change(f"{MAPS}/settings", [{"op": "add", "path": "/data", "value": {"q": "r"}}], JSON_PATCH),
        change(f"{MAPS}/settings", [{"op": "replace", "path": "/nosuch/x", "value": 1}], JSON_PATCH),
        change(f"{MAPS}/settings", [{"op": "test", "path": "/data/q", "value": "z"}], JSON_PATCH),
    ],
    "apply": [
        apply("m", {"a": "1", "b": "2"}),
        apply("n", {"a": "other"}),
        apply("n", {"a": "other"}, "&force=true"),
        apply("m", {"b": "2"}),
        change(f"{MAPS}/applied", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}}, APPLY),
        change(f"{MAPS}/applied?fieldManager=m", {"metadata": {"name": "applied"}, "data": {"b": "2"}}, APPLY),
    ],
    "pods": [
        change(f"{PODS}/web-0/status", {"status": {"phase": "Running"}}),
        change(f"{PODS}/web-0", {"status": {"phase": "Failed"}}),
        change(f"{PODS}/web-0", {"spec": {"containers": [{"name": "app", "image": "new:1"}]}}, STRATEGIC),
        change(f"{PODS}/web-0", {"metadata": {"labels": None}}),
        *(("POST", f"{PODS}/{name}/eviction", {"metadata": {"name": "x"}}, JSON) for name in ("web-0", "absent")),
        ("POST", f"{PODS}/web-1/binding", {"metadata": {"name": "web-1"}}, JSON),
        ("POST", f"{PODS}/web-1/binding", {"metadata": {"name": "web-1"}, "target": {"name": "node-1"}}, JSON),
        ("POST", f"{PODS}/web-1/binding", {"metadata": {"name": "web-1"}, "target": {"name": "node-2"}}, JSON),
        ("POST", f"{PODS}/web-1/eviction", {"metadata": {"name": "web-1"}}, JSON),
        ("POST", f"{PODS}/absent/eviction", {"metadata": {"name": "absent"}}, JSON),
        *get(f"{PODS}/web-1"),
        delete(f"{PODS}/web-0?gracePeriodSeconds=x"),
        delete(f"{PODS}/web-0"),
        delete(f"{PODS}/web-0?gracePeriodSeconds=0"),
        *get(f"{PODS}/web-0"),
    ],
    "workloads": [
        change(WEB, {"spec": {"replicas": 5}}),
        post(TWO),
        # New items of a list stand in front, in the order of the patch.
        change(
            f"{PLACES['Deployment']}/two",
            {
                "spec": {
                    "template": {"spec": {"containers": [{"name": "app", "env": ENV}, {"name": "b", "image": "b:1"}]}}
                }
            },
            STRATEGIC,
        ),
        change(
            f"{PLACES['Deployment']}/two",
            {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:1"}]}}}},
            STRATEGIC,
        ),
        delete(WEB),
    ],
    "deletes": [
        delete(f"{MAPS}/absent"),
        delete(f"{MAPS}/applied", {"preconditions": {"uid": "x"}}),
        delete(f"{MAPS}/applied?dryRun=All"),
        delete(f"{MAPS}/applied"),
        delete(f"{PLACES['Secret']}/pw"),
        delete(MAPS),
    ],
}


def titles() -> list[str]:
    return [f"{number} {method} {path}" for number, (method, path, _, _) in enumerate(everything())]


def everything() -> list[Question]:
    """In this order, as the later questions are about what the earlier ones made."""
    return [post(build.namespace(SPACE)), *(question for group in QUESTIONS.values() for question in group)]


async def test_each_question_is_answered_as_a_real_server_answered_it(cluster: Cluster) -> None:
    got = dict(zip(titles(), await answers(cluster, everything()), strict=True))
    if cluster.name == "real" and os.environ.get("KINFORMER_RECORD"):
        RECORDED.write_text(json.dumps(got, indent=1, ensure_ascii=False) + "\n")
    recorded = {title: tuple(answer) for title, answer in json.loads(RECORDED.read_text()).items()}
    assert list(got) == list(recorded), "the questions have changed: record the answers (KINFORMER_RECORD=1)"
    different = {
        title: {"said": got[title], "recorded": recorded[title]} for title in got if got[title] != recorded[title]
    }
    assert different == {}


async def test_what_cannot_be_changed_is_refused(cluster: Cluster) -> None:
    """The real server also shows the change, which the embedded one does not."""
    space = cluster.namespace
    selector = {"matchLabels": {"app": "other"}}
    template = {"metadata": {"labels": {"app": "other"}}}
    questions = [
        ("POST", f"/api/v1/namespaces/{space}/pods", build.pod("web-0", space, node="node-1"), JSON),
        ("POST", f"/apis/apps/v1/namespaces/{space}/deployments", build.deployment("web", space), JSON),
        change(f"/api/v1/namespaces/{space}/pods/web-0", {"spec": {"nodeName": "other"}}),
        change(f"/api/v1/namespaces/{space}/pods/web-0", {"spec": {"restartPolicy": "Never"}}),
        change(
            f"/apis/apps/v1/namespaces/{space}/deployments/web", {"spec": {"selector": selector, "template": template}}
        ),
    ]
    for status, told in (await answers(cluster, questions))[2:]:
        assert status == 422
        (cause,) = told["details"]["causes"]
        assert (cause["field"], cause["reason"]) in {
            ("spec", "FieldValueForbidden"),
            ("spec.selector", "FieldValueInvalid"),
        }
        assert "pod updates may not change" in cause["message"] or "field is immutable" in cause["message"]
