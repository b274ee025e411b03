"""Redacted objects: no name and no value of the original, but the same shape, and references that match."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from kinformer.objects import KubeObject
from kinformer.recordings._redaction import Redaction, crd_schemas, without_secret_data
from kinformer.resources import BUILTIN, Resource

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "customer": {"type": "string"},
                "tier": {"type": "string", "enum": ["gold", "iron"]},
                "memory": {"x-kubernetes-int-or-string": True},
                "account": {"type": "integer"},
                "owners": {"type": "object", "additionalProperties": {"type": "string"}},
                "parts": {"type": "array", "items": {"type": "object", "properties": {"partName": {"type": "string"}}}},
            },
        }
    },
}
CRD = {
    "spec": {
        "group": "example.com",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": SCHEMA}}],
    }
}
OWNED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "payments-7d9f-x2x4z",
        "namespace": "secretproject",
        "uid": "11111111-2222-3333-4444-555555555555",
        "resourceVersion": "123456",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"team": "payments", "app.kubernetes.io/name": "payments"},
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "payments-7d9f-x2x4z"}}
            )
        },
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "payments-7d9f", "uid": "payments-uid"}
        ],
        "managedFields": [
            {
                "manager": "acmectl",
                "operation": "Update",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {".": {}, "f:team": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"payments"}': {"f:image": {}}}},
                },
            }
        ],
    },
    "spec": {
        "nodeName": "acme-node-17",
        "containers": [
            {
                "name": "payments",
                "image": "registry.acme.example/payments:1.2.3",
                "imagePullPolicy": "Always",
                "env": [{"name": "ACME_URL", "value": "https://acme.example"}],
                "resources": {"limits": {"cpu": "250m", "memory": "512Mi", "acme.example/gpu": "1"}},
            }
        ],
    },
    "status": {"phase": "Running", "podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture
def redaction() -> Redaction:
    return Redaction([*BUILTIN, WIDGETS], crd_schemas([CRD]), key=b"k" * 32)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(len(key), shape(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


def test_no_name_and_no_value_of_a_pod_is_left(redaction: Redaction) -> None:
    made = json.dumps(redaction.manifest(OWNED, "v1", "Pod")).lower()
    for word in ("payments", "acme", "secretproject", "team", "11111111", "x2x4z", "7d9f"):
        assert word not in made


def test_shape_size_and_words_of_the_api_stay(redaction: Redaction) -> None:
    made = redaction.manifest(OWNED, "v1", "Pod")
    assert shape(made) == shape(OWNED)
    assert abs(len(json.dumps(made)) - len(json.dumps(OWNED))) < 20
    assert made["status"]["phase"] == "Running"
    assert made["status"]["conditions"] == OWNED["status"]["conditions"]
    assert made["metadata"]["resourceVersion"] == "123456"
    assert made["metadata"]["creationTimestamp"] == OWNED["metadata"]["creationTimestamp"]
    container = made["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["limits"]["cpu"].endswith("m")
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["apiVersion"], owner["kind"]) == ("apps/v1", "ReplicaSet")
    assert set(made["metadata"]["managedFields"][0]["fieldsV1"]) == {"f:metadata", "f:spec"}


def test_references_match(redaction: Redaction) -> None:
    pod = redaction.manifest(OWNED, "v1", "Pod")
    replica_set = redaction.manifest(
        {"metadata": {"name": "payments-7d9f", "namespace": "secretproject", "uid": "payments-uid"},
         "spec": {"selector": {"matchLabels": {"team": "payments"}}}}, "apps/v1", "ReplicaSet"
    )  # fmt: skip
    node = redaction.manifest({"metadata": {"name": "acme-node-17"}}, "v1", "Node")
    service = redaction.manifest(
        {"metadata": {"name": "s"}, "spec": {"selector": {"team": "payments"}}}, "v1", "Service"
    )
    namespace = redaction.manifest({"metadata": {"name": "secretproject"}}, "v1", "Namespace")
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["name"], owner["uid"]) == (replica_set["metadata"]["name"], replica_set["metadata"]["uid"])
    assert replica_set["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["nodeName"] == node["metadata"]["name"]
    assert pod["metadata"]["namespace"] == namespace["metadata"]["name"]


def test_a_custom_resource_keeps_the_fields_of_its_schema_and_nothing_of_users(redaction: Redaction) -> None:
    spec = {
        "customer": "acme",
        "tier": "gold",
        "memory": "512Mi",
        "account": 4_930_112_233,
        "owners": {"alice": "bob"},
        "parts": [{"partName": "acme"}],
        "unknown": {"alice": 1},
    }
    manifest = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "acme"}, "spec": spec}
    made = redaction.redacted(KubeObject.from_dict(manifest, WIDGETS))
    decoded = msgspec.json.decode(made)
    assert {"customer", "tier", "memory", "account", "owners", "parts"} <= decoded["spec"].keys()
    assert decoded["spec"]["tier"] == "gold"
    assert decoded["spec"]["parts"][0]["partName"] == decoded["metadata"]["name"] == decoded["spec"]["customer"]
    assert (decoded["apiVersion"], decoded["kind"]) == ("example.com/v1", "Widget")
    for word in (b"acme", b"alice", b"bob", b"4930112233", b"unknown"):
        assert word not in made


def test_without_a_schema_a_custom_resource_keeps_no_key_of_its_own() -> None:
    made = Redaction(BUILTIN).manifest({"metadata": {"name": "a"}, "spec": {"acmeField": {"x": "y"}}}, "a.b/v1", "X")
    assert "acmeField" not in json.dumps(made)


def test_values_that_do_not_fit_their_types_are_replaced_too(redaction: Redaction) -> None:
    odd = {"metadata": {"labels": ["acme"], "name": "a"}, "spec": "acme", "status": {"phase": {"acme": "acme"}}}
    assert "acme" not in json.dumps(redaction.manifest(odd, "v1", "Pod"))


def test_no_data_of_a_secret_is_left_and_the_sizes_are() -> None:
    value = base64.b64encode(b"hunter2!").decode()
    secret: dict[str, Any] = {
        "metadata": {"name": "s", "annotations": {"kapp/original": f'{{"data":{{"p":"{value}"}}}}'}},
        "data": {"password": value, "empty": "", "odd": 7},
        "stringData": {"other": "hunter2"},
        "type": "Opaque",
        "unknown": "hunter2",
    }
    made = without_secret_data(secret)
    assert "hunter2" not in str(made)
    assert value not in str(made)
    assert len(base64.b64decode(made["data"]["password"])) == len(b"hunter2!")
    assert len(made["metadata"]["annotations"]["kapp/original"]) == len(
        secret["metadata"]["annotations"]["kapp/original"]
    )
    assert made["type"] == "Opaque"
    assert len(made["stringData"]["other"]) == len("hunter2")


def test_a_secret_in_an_annotation_of_another_object_is_without_its_data(redaction: Redaction) -> None:
    inner = json.dumps({"apiVersion": "v1", "kind": "Secret", "data": {"p": "aHVudGVyMg=="}})
    manifest = {"metadata": {"name": "c", "annotations": {"a/b": inner}}}
    assert "aHVudGVyMg" not in json.dumps(redaction.manifest(manifest, "v1", "ConfigMap"))
