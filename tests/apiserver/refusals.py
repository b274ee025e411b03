"""Bodies that a kube-apiserver refuses, and its answers, which `tests/data/refusals-1.36.json` keeps.

python -m tests.apiserver.refusals      # asks a real kube-apiserver, and writes the file
"""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    import aiohttp

KEPT = DATA / "refusals-1.36.json"
NAMESPACE = "default"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
CRON_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
COGS = f"/apis/refusals.example.com/v1/namespaces/{NAMESPACE}/cogs"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ACCOUNT = {"metadata": {"name": "default"}}

_SPEC = {
    "text": {"type": "string", "maxLength": 5, "minLength": 2, "pattern": "^[a-z]*$"},
    "items": {
        "type": "array",
        "maxItems": 2,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {
            "type": "object",
            "required": ["k"],
            "properties": {"k": {"type": "string"}, "v": {"type": "string"}},
        },
    },
    "names": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "any": {"x-kubernetes-int-or-string": True},
    "when": {"type": "string", "format": "date-time"},
    "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "integer"}},
    "one": {"type": "string", "enum": ["a", "b"]},
    "size": {"type": "integer", "minimum": 1, "maximum": 9},
    "count": {"type": "integer", "format": "int32", "enum": [1, 2, 3_000_000_000]},
    "ratio": {"type": "number", "multipleOf": 2},
    "quantity": {
        "x-kubernetes-int-or-string": True,
        "pattern": "^[0-9]+(Mi)?$",
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    },
    "choice": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "integer"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "any_of": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "integer"}},
        "anyOf": [
            {"required": ["a"]},
            {"properties": {"b": {"pattern": "^b"}, "c": {"minimum": 5}}, "required": ["b", "c"]},
        ],
    },
    "all_of": {
        "type": "string",
        "allOf": [{"maxLength": 3}, {"minLength": 2}, {"pattern": "^[a-z]*$"}],
    },
    "never": {"type": "string", "not": {"enum": ["no", "none"]}},
    "nested": {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "string"}}},
        "not": {"anyOf": [{"required": ["list"], "properties": {"list": {"items": {"enum": ["x"]}, "minItems": 1}}}]},
    },
    "version": {
        "type": "string",
        "oneOf": [{"enum": ["v1", "v2"]}, {"pattern": "^v2"}, {"allOf": [{"minLength": 9}, {"pattern": "^w"}]}],
    },
    "address": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    "empty": {"type": "string", "nullable": True, "enum": ["a"]},
}
CRD: dict[str, Any] = {
    "metadata": {"name": "cogs.refusals.example.com"},
    "spec": {
        "group": "refusals.example.com",
        "scope": "Namespaced",
        "names": {"plural": "cogs", "singular": "cog", "kind": "Cog", "listKind": "CogList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": _SPEC}},
                    }
                },
            }
        ],
    },
}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i"} | fields


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "bad"}, "spec": {"containers": list(containers or [container()]), **spec}}


def deployment(template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    inner = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container()], **(template or {})}}
    return {"metadata": {"name": "bad"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": inner, **spec}}


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
    return {"metadata": {"name": "bad"}, "spec": {"template": template, **spec}}


def cron(schedule: str = "0 0 * * *", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "bad"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": job()["spec"]}, **spec}}


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "bad"}, "spec": {"ports": list(ports), **spec}}


def cog(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "refusals.example.com/v1", "kind": "Cog", "metadata": {"name": "bad"}, "spec": spec}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "a container twice": (PODS, pod(container(), container())),
    "a container without image": (PODS, pod({"name": "c"})),
    "a container without name": (PODS, pod({"image": "i"})),
    "a container with capitals": (PODS, pod(container(name="C"))),
    "an init container of the same name": (PODS, pod(initContainers=[container()])),
    "no containers": (PODS, {"metadata": {"name": "bad"}, "spec": {"containers": []}}),
    "an image with a space": (PODS, pod(container(image=" i"))),
    "a restart policy": (PODS, pod(restartPolicy="Never?")),
    "a DNS policy": (PODS, pod(dnsPolicy="x")),
    "a pull policy": (PODS, pod(container(imagePullPolicy="Sometimes"))),
    "a port of 0": (PODS, pod(container(ports=[{"containerPort": 0}]))),
    "a port too high": (PODS, pod(container(ports=[{"containerPort": 70000}]))),
    "a port name too long": (PODS, pod(container(ports=[{"containerPort": 1, "name": "x" * 16}]))),
    "a port name with capitals": (PODS, pod(container(ports=[{"containerPort": 1, "name": "Web"}]))),
    "a port name without letters": (PODS, pod(container(ports=[{"containerPort": 1, "name": "80"}]))),
    "a port name twice": (
        PODS,
        pod(container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}])),
    ),
    "a port protocol": (PODS, pod(container(ports=[{"containerPort": 1, "protocol": "HTTP"}]))),
    "a variable with =": (PODS, pod(container(env=[{"name": "a=b", "value": "1"}]))),
    "a variable without name": (PODS, pod(container(env=[{"value": "1"}]))),
    "a variable from nothing": (PODS, pod(container(env=[{"name": "A", "valueFrom": {}}]))),
    "a mount of no volume": (PODS, pod(container(volumeMounts=[{"name": "v", "mountPath": "/x"}]))),
    "a mount without path": (
        PODS,
        pod(container(volumeMounts=[{"name": "v"}]), volumes=[{"name": "v", "emptyDir": {}}]),
    ),
    "two mounts at one path": (
        PODS,
        pod(
            container(volumeMounts=[{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]),
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
    ),
    "a volume twice": (PODS, pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}])),
    "a volume without name": (PODS, pod(volumes=[{"emptyDir": {}}])),
    "a request above its limit": (
        PODS,
        pod(container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}})),
    ),
    "a negative limit": (PODS, pod(container(resources={"limits": {"memory": "-1Gi"}}))),
    "a part of an extended resource": (PODS, pod(container(resources={"limits": {"example.com/gpu": "500m"}}))),
    "a resource without domain": (PODS, pod(container(resources={"limits": {"gpu": "1"}}))),
    "a probe of two kinds": (PODS, pod(container(livenessProbe={"httpGet": {"port": 1}, "exec": {"command": ["x"]}}))),
    "a probe of no kind": (PODS, pod(container(readinessProbe={"periodSeconds": 3}))),
    "a liveness probe with two successes": (
        PODS,
        pod(container(livenessProbe={"successThreshold": 2, "exec": {"command": ["x"]}})),
    ),
    "a toleration with a value": (PODS, pod(tolerations=[{"operator": "Exists", "key": "k", "value": "x"}])),
    "a toleration with an operator": (PODS, pod(tolerations=[{"operator": "In", "key": "k"}])),
    "a toleration of all without operator": (PODS, pod(tolerations=[{"value": "x"}])),
    "a toleration with an effect": (PODS, pod(tolerations=[{"operator": "Exists", "effect": "Never"}])),
    "a node selector key": (PODS, pod(nodeSelector={"a b": "c"})),
    "a node selector value": (PODS, pod(nodeSelector={"a": "b c"})),
    "a hostname": (PODS, pod(hostname="A_B")),
    "a deadline of 0": (PODS, pod(activeDeadlineSeconds=0)),
    "negative replicas": (DEPLOYMENTS, deployment(replicas=-1)),
    "a template that does not restart": (DEPLOYMENTS, deployment({"restartPolicy": "Never"})),
    "a selector of other labels": (DEPLOYMENTS, deployment(selector={"matchLabels": {"x": "y"}})),
    "a strategy": (DEPLOYMENTS, deployment(strategy={"type": "X"})),
    "a strategy that never moves": (
        DEPLOYMENTS,
        deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
    ),
    "recreation that rolls": (
        DEPLOYMENTS,
        deployment(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
    ),
    "a template with a bad container": (DEPLOYMENTS, deployment({"containers": [container(name="C")]})),
    "a job that always restarts": (
        JOBS,
        job(template={"spec": {"restartPolicy": "Always", "containers": [container()]}}),
    ),
    "a job without restart policy": (JOBS, job(template={"spec": {"containers": [container()]}})),
    "a job with negative parallelism": (JOBS, job(parallelism=-1)),
    "a schedule of one field": (CRON_JOBS, cron("often")),
    "no schedule": (CRON_JOBS, cron("")),
    "a concurrency policy": (CRON_JOBS, cron(concurrencyPolicy="Maybe")),
    "a service without ports": (SERVICES, {"metadata": {"name": "bad"}, "spec": {}}),
    "a service with unnamed ports": (SERVICES, service({"port": 80}, {"port": 81})),
    "a service with one name twice": (SERVICES, service({"port": 80, "name": "a"}, {"port": 81, "name": "a"})),
    "a service port of 0": (SERVICES, service({"port": 0})),
    "a service port protocol": (SERVICES, service({"port": 80, "protocol": "HTTP"})),
    "a service type": (SERVICES, service({"port": 80}, type="Cluster")),
    "a target port too high": (SERVICES, service({"port": 80, "targetPort": 70000})),
    "a target port name": (SERVICES, service({"port": 80, "targetPort": "Web_Port"})),
    "an external name that is missing": (SERVICES, service(type="ExternalName")),
    "a TLS secret without keys": (SECRETS, {"metadata": {"name": "bad"}, "type": "kubernetes.io/tls"}),
    "a registry secret without key": (
        SECRETS,
        {"metadata": {"name": "bad"}, "type": "kubernetes.io/dockerconfigjson"},
    ),
    "a budget of both kinds": (
        BUDGETS,
        {"metadata": {"name": "bad"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}},
    ),
    "a negative budget": (BUDGETS, {"metadata": {"name": "bad"}, "spec": {"minAvailable": -1}}),
    "a text too long": (COGS, cog(text="abcdefg")),
    "a text too short": (COGS, cog(text="a")),
    "a text of another pattern": (COGS, cog(text="A1")),
    "too many items": (COGS, cog(items=[{"k": "1"}, {"k": "2"}, {"k": "3"}])),
    "an item twice": (COGS, cog(items=[{"k": "1"}, {"k": "1"}])),
    "an item without key": (COGS, cog(items=[{"v": "1"}])),
    "a set with one value twice": (COGS, cog(names=["a", "a"])),
    "a list too short": (COGS, cog(names=[])),
    "a bool for a number or text": (COGS, cog(any=True)),
    "a date": (COGS, cog(when="yesterday")),
    "too many properties": (COGS, cog(map={"a": 1, "b": 2})),
    "a property of another type": (COGS, cog(map={"a": "x"})),
    "a value that is no option": (COGS, cog(one="c")),
    "a number too small": (COGS, cog(size=0)),
    "a number too large": (COGS, cog(size=10)),
    "a fraction for an integer": (COGS, cog(size=1.5)),
    "an integer that no option is": (COGS, cog(count=4)),
    "an integer of another format": (COGS, cog(count=3_000_000_000)),
    "a text for an integer that is an option": (COGS, cog(count="1")),
    "a number that is no multiple": (COGS, cog(ratio=3)),
    "a list for a text": (COGS, cog(text=[])),
    "a text that breaks two rules": (COGS, cog(text="ABCDEFG")),
    "a line end behind a pattern": (COGS, cog(text="abc\n")),
    "a null that is no option": (COGS, cog(empty=None)),
    "a quantity of another pattern": (COGS, cog(quantity="1Gi")),
    "a bool for a quantity": (COGS, cog(quantity=True)),
    "none of two choices": (COGS, cog(choice={})),
    "both of two choices": (COGS, cog(choice={"a": "1", "b": "2"})),
    "a choice of another type": (COGS, cog(choice="a")),
    "none of two schemas": (COGS, cog(any_of={})),
    "almost the second of two schemas": (COGS, cog(any_of={"b": "b", "c": 4})),
    "almost the second of two schemas, with a text": (COGS, cog(any_of={"b": "x", "c": 5})),
    "one of all schemas broken": (COGS, cog(all_of="abcd")),
    "two of all schemas broken": (COGS, cog(all_of="ABCD")),
    "a text that must not be": (COGS, cog(never="no")),
    "an object that must not be": (COGS, cog(nested={"list": ["x", "x"]})),
    "a version of two schemas": (COGS, cog(version="v2")),
    "a version of no schema": (COGS, cog(version="x")),
    "a version of no schema that almost is of the last": (COGS, cog(version="w")),
    "an address of no format": (COGS, cog(address="a")),
}


async def answers(session: aiohttp.ClientSession) -> dict[str, dict[str, Any]]:
    """Send every case; return code, message and causes by title. The server keeps nothing of them."""
    async with session.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json=ACCOUNT):
        pass
    async with session.post(CRDS, json=CRD):
        pass
    for _ in range(100):
        async with session.get(COGS) as response:
            if response.status == 200:
                break
        await asyncio.sleep(0.1)
    found = {}
    for title, (path, body) in CASES.items():
        async with session.post(f"{path}?dryRun=All", json=deepcopy(body)) as response:
            answer = await response.json(content_type=None)
        found[title] = {"code": response.status, "message": answer.get("message", "")}
    return found


async def record() -> None:
    async with real_server() as (_, session):
        found = await answers(session)
    rows = ",\n".join(f"{json.dumps(title)}: {json.dumps(answer)}" for title, answer in found.items())
    KEPT.write_text(f"{{\n{rows}\n}}\n")


if __name__ == "__main__":
    asyncio.run(record())
