"""An apply that is saved would have changed nothing, by the rules of an API server; an apply at rest is saved."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from kinformer.client._cached.apply_records import ApplyRecords, Manager, has_exactly
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, SERVICES, Resource
from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.rules.writing import Write
from tests.seeds import FIRST_SEED

SEQUENCES = int(os.environ.get("KINFORMER_APPLY_SEQUENCES", "30"))


def container(name: str, rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "image": rng.choice(["i:1", "i:2"])}
    made |= rng.choice([{}, {"command": ["x"]}, {"env": [{"name": "E", "value": rng.choice("12")}]}])
    made |= rng.choice([{}, {"resources": {"limits": {"cpu": rng.choice(["1000m", "1", "0.5"])}}}])
    made |= rng.choice([{}, {"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}])
    return made


def deployment(rng: random.Random) -> dict[str, Any]:
    labels = {"app": "a"}
    names: list[str] = rng.choice([["c"], ["c", "d"], ["d", "c"]])
    containers = [container(name, rng) for name in names]
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    return {"spec": spec | rng.choice([{}, {"replicas": rng.choice([1, 2])}])}


def service(rng: random.Random) -> dict[str, Any]:
    ports = [{"port": port} | rng.choice([{}, {"protocol": "TCP"}]) for port in rng.choice([[80], [80, 81], [81, 80]])]
    return {"spec": {"ports": ports, "selector": {"app": rng.choice("ab")}}}


def config_map(rng: random.Random) -> dict[str, Any]:
    return {"data": {key: rng.choice("12") for key in rng.sample("abc", rng.randrange(4))}}


KINDS = ((DEPLOYMENTS, deployment), (SERVICES, service), (CONFIGMAPS, config_map))


def body_of(resource: Resource, rng: random.Random, make: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "o", "namespace": "default"}
    metadata |= rng.choice([{}, {"labels": {"l": rng.choice("12")}}, {"labels": {}}, {"finalizers": ["x.io/y"]}])
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **make(rng)}


@pytest.mark.parametrize(("resource", "make"), KINDS, ids=lambda value: getattr(value, "plural", ""))
def test_a_saved_apply_would_have_changed_nothing_and_the_next_one_is_saved(resource: Resource, make: Any) -> None:
    saved = dict.fromkeys(("same version", "same state", "same fields"), 0)
    refused: list[str | None] = []
    for number in range(FIRST_SEED, FIRST_SEED + SEQUENCES):
        rng = random.Random(number)
        server = ApiServer()
        registry = server._registry
        kind = server._catalog.lookup(resource.group, resource.version, resource.plural)
        assert kind is not None
        records = ApplyRecords()
        bodies = [body_of(resource, rng, make) for _ in range(3)]
        for _ in range(12):
            name, body = rng.choice(["us", "us", "others"]), rng.choice(bodies)
            manager = Manager(name, resource.api_version)
            there = registry.store.get(kind.storage, ("default", "o"))
            if there is not None and rng.random() < 0.3:
                change = rng.choice(
                    [body_of(resource, rng, make), {"metadata": {"labels": {"more": rng.choice("12")}}}]
                )
                try:
                    server.patch(resource.api_version, resource.kind, "o", change, namespace="default")
                except Refusal:
                    continue
            if rng.random() < 0.1:
                records = ApplyRecords()  # a process that begins
            live = None
            why = None
            if registry.store.get(kind.storage, ("default", "o")) is not None:
                live = KubeObject.from_dict(registry.get(kind, "default", "o").manifest, resource)
                why = records.unchanged((name,), manager, body, live)
            force = rng.random() < 0.7
            try:
                answer, _ = registry.apply(kind, "default", "o", body, Write(name), force=force)
            except Refusal:
                refused.append(why)
                continue
            after = KubeObject.from_dict(answer.manifest, resource)
            if why is not None:
                assert live is not None
                saved[why] += 1
                assert after.to_dict() == live.to_dict(), (number, why)
            records.applied((name,), manager, body, after)
            assert records.unchanged((name,), manager, body, after) == "same version"
    assert all(saved.values()), saved
    assert set(refused) <= {None}, "none of them was to be saved"


def managed(fields: dict[str, Any], **values: Any) -> dict[str, Any]:
    entry = {"manager": "us", "operation": "Apply", "apiVersion": "example.com/v1", "fieldsV1": fields}
    return {"metadata": {"name": "o", "managedFields": [entry]}, **values}


@pytest.mark.parametrize(
    ("fields", "live", "applied", "same"),
    [
        ({"f:n": {}}, {"n": 1}, {"n": 1}, True),
        ({"f:n": {}}, {"n": 1}, {"n": True}, False),
        ({"f:n": {}}, {"n": "1"}, {"n": "1000m"}, False),
        ({"f:n": {}}, {"n": None}, {"n": None}, False),
        ({"f:n": {}}, {}, {"n": 1}, False),
        ({"f:n": {}}, {"n": 1, "m": 2}, {"n": 1}, True),
        ({"f:n": {}, "f:m": {}}, {"n": 1, "m": 2}, {"n": 1}, False),
        ({"f:n": {}}, {"n": 1, "m": 2}, {"n": 1, "m": 2}, False),
        # A map that was empty when it was applied last, or one that is owned as a whole.
        ({"f:n": {}}, {"n": {"a": 1}}, {"n": {"a": 1}}, False),
        ({"f:n": {"f:a": {}}}, {"n": {"a": 1, "b": 2}}, {"n": {"a": 1}}, True),
        ({"f:n": {}}, {"n": {}}, {"n": {}}, True),
        ({"f:n": {'k:{"k":1}': {".": {}, "f:k": {}}}}, {"n": [{"k": 1, "x": 2}]}, {"n": [{"k": 1}]}, True),
        (
            {"f:n": {'k:{"k":1}': {".": {}, "f:k": {}}, 'k:{"k":2}': {".": {}, "f:k": {}}}},
            {"n": [{"k": 1}, {"k": 2}]},
            {"n": [{"k": 2}, {"k": 1}]},
            False,
        ),
        ({"f:n": {'v:"a"': {}, 'v:"b"': {}}}, {"n": ["a", "x", "b"]}, {"n": ["a", "b"]}, True),
        ({"f:n": {'v:"a"': {}, 'v:"b"': {}}}, {"n": ["b", "a"]}, {"n": ["a", "b"]}, False),
    ],
)
def test_fields_are_the_same_only_if_nothing_is_left_open(
    fields: dict[str, Any], live: dict[str, Any], applied: dict[str, Any], same: bool
) -> None:
    manager = Manager("us", "example.com/v1")
    body = {"apiVersion": "example.com/v1", "kind": "X", "metadata": {"name": "o"}, **applied}
    assert has_exactly(managed(fields, **live), manager, body) is same
    assert not has_exactly(managed(fields, **live), manager._replace(name="others"), body)
    assert not has_exactly(managed(fields, **live), manager._replace(subresource="status"), body)
    assert not has_exactly(managed(fields, **live), manager._replace(api_version="example.com/v2"), body)
    assert not has_exactly({"metadata": {"name": "o"}, **live}, manager, body)


def test_preconditions_and_lost_answers_send_the_apply() -> None:
    records, manager = ApplyRecords(), Manager("us", "v1")
    metadata = {"name": "o", "uid": "u1", "resourceVersion": "5"}
    cached = KubeObject.from_dict({"metadata": metadata}, CONFIGMAPS)
    body: dict[str, Any] = {"metadata": {"name": "o"}}
    records.applied(("t",), manager, body, cached)
    assert records.unchanged(("t",), manager, body, cached) == "same version"
    for precondition in ({"uid": "u2"}, {"resourceVersion": "4"}):
        assert records.unchanged(("t",), manager, {"metadata": {"name": "o"} | precondition}, cached) is None
    records.lost(("t",))
    assert records.unchanged(("t",), manager, body, cached) is None
    records.applied(("t",), manager, body, cached)
    assert records.unchanged(("t",), manager, body, cached) == "same version"
