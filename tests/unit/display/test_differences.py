"""What an update changed, field by field; never the values of a Secret."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer._display.differences import differences
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, DEPLOYMENTS, SECRETS, Resource


def told(old: dict[str, Any], new: dict[str, Any], resource: Resource = DEPLOYMENTS, **options: Any) -> list[str]:
    base = {"metadata": {"name": "a", "namespace": "default"}}
    before, after = (KubeObject.from_dict(base | manifest, resource) for manifest in (old, new))
    texts = []
    for sign, path, was, now in differences(before, after, **options):
        texts.append(f"{sign} {path}: {was} → {now}" if sign == "~" else f"{sign} {path}: {was or now}")
    return texts


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (spec(replicas=2), spec(replicas=3), ["~ spec.replicas: 2 → 3"]),
        (spec(), spec(paused=True), ["+ spec.paused: true"]),
        (spec(a="x", b="y"), spec(b="y"), ["- spec.a: x"]),
        (spec(a=""), spec(a=None), ['~ spec.a: "" → null']),
        (spec(a={"b": 1}), spec(a=[1]), ['~ spec.a: {"b":1} → [1]']),
        ({}, {"status": {"phase": "x"}}, ['+ status: {"phase":"x"}']),
        (
            spec(labels={"app.kubernetes.io/name": "a"}),
            spec(labels={"app.kubernetes.io/name": "b"}),
            ["~ spec.labels['app.kubernetes.io/name']: a → b"],
        ),
        (
            spec(containers=[{"name": "web", "image": "web:1"}, {"name": "side", "image": "s:1"}]),
            spec(containers=[{"name": "side", "image": "s:1"}, {"name": "web", "image": "web:2"}]),
            ["~ spec.containers[web].image: web:1 → web:2"],
        ),
        (
            spec(conditions=[{"type": "Ready", "status": "False"}]),
            spec(conditions=[{"type": "Ready", "status": "True"}, {"type": "Late", "status": "True"}]),
            [
                "~ spec.conditions[Ready].status: False → True",
                '+ spec.conditions[Late]: {"type":"Late","status":"True"}',
            ],
        ),
        (
            spec(rules=[{"name": "a"}, {"name": "a", "x": 1}]),
            spec(rules=[{"name": "a"}, {"name": "a", "x": 2}]),
            ["~ spec.rules[1].x: 1 → 2"],  # a name that is there twice identifies nothing
        ),
        (spec(args=["a", "b"]), spec(args=["a", "c", "d"]), ["~ spec.args[1]: b → c", "+ spec.args[2]: d"]),
    ],
)
def test_each_field_that_differs_is_told_with_its_path(
    old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    assert told(old, new) == expected
    assert told(old, old) == []


def test_what_changes_with_every_write_is_not_told() -> None:
    def state(version: str) -> dict[str, Any]:
        managed = [{"manager": "m", "time": version}]
        metadata = {"name": "a", "namespace": "default", "resourceVersion": version, "managedFields": managed}
        return {"metadata": metadata}

    assert told(state("1"), state("2")) == []


def test_the_values_of_a_secret_are_hidden_and_that_they_changed_is_not() -> None:
    annotation = "kubectl.kubernetes.io/last-applied-configuration"

    def state(value: str) -> dict[str, Any]:
        metadata = {"name": "a", "namespace": "default", "annotations": {annotation: f'{{"data":"{value}"}}'}}
        return {"metadata": metadata, "data": {"password": value}, "type": f"kind-of-{value}"}

    hidden = told(state("b25l"), state("dHdv"), SECRETS)
    assert hidden == [
        f"~ metadata.annotations['{annotation}']: <15 bytes, not shown> → <15 bytes, not shown, changed>",
        "~ data.password: <3 bytes, not shown> → <3 bytes, not shown, changed>",
        "~ type: kind-of-b25l → kind-of-dHdv",
    ]
    assert told({}, {"data": {"new": "dHdv"}}, SECRETS) == ["+ data.new: <3 bytes, not shown>"]
    assert told({"data": {"old": "dHdv"}}, {}, SECRETS) == ["- data.old: <3 bytes, not shown>"]
    assert told({}, {"data": {"new": "dHdv"}}, SECRETS, show_secrets=True) == ["+ data.new: dHdv"]
    assert told({}, {"data": {"new": "two"}}, CONFIGMAPS) == ["+ data.new: two"]
