"""JSONPath templates, as kubectl fills them in. (That kubectl says the same: tests/peers/test_kubectl.py.)"""

from __future__ import annotations

from typing import Final

import pytest

from kinformer.cli._jsonpath import JsonPath, JsonPathError

POD: Final = {
    "kind": "Pod",
    "metadata": {"name": "web-0", "labels": {"app": "web", "example.com/tier": "front"}},
    "spec": {
        "containers": [
            {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]},
            {"name": "side", "image": "side:2", "ports": []},
        ],
        "priority": 0,
        "hostNetwork": False,
        "nodeName": None,
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "False"}]},
}

TEMPLATES: Final = {
    "{.metadata.name}": "web-0",
    "{$.metadata.name}": "web-0",
    "{ .metadata.name }": "web-0",
    "name: {.metadata.name}!": "name: web-0!",
    "{.kind} {.metadata.name}": "Pod web-0",
    "{.metadata['name']}": "web-0",
    r"{.metadata.labels.example\.com/tier}": "front",
    r"{.metadata.labels['example\.com/tier']}": "front",
    "{.spec.containers[0].name}": "web",
    "{.spec.containers[-1].name}": "side",
    "{.spec.containers[*].image}": "web:1 side:2",
    "{.spec.containers[0:1].name}": "web",
    "{.spec.containers[0,1].name}": "web side",
    "{.spec.containers[0]['name','image']}": "web web:1",
    "{.spec.containers[*].ports[*].containerPort}": "80",
    "{..containerPort}": "80",
    "{.spec.priority}{.spec.hostNetwork}": "0false",
    "{.metadata.labels}": '{"app":"web","example.com/tier":"front"}',
    "{.spec.containers[1].ports}": "[]",
    '{.status.conditions[?(@.type=="Ready")].status}': "True",
    "{.status.conditions[?(@.type!='Ready')].type}": "Initialized",
    "{.spec.containers[?(@.image)].name}": "web side",
    "{.spec.containers[?(@.nothing)].name}": "",
    '{.spec.containers[?(@.name=="a}b")].name}': "",
    '{range .spec.containers[*]}{.name}={.image}{"\\n"}{end}': "web=web:1\nside=side:2\n",
    "{range .spec.containers[*]}[{range .ports[*]}{.containerPort}{end}]{end}": "[80][]",
    "{'a'}{\"\\t\"}{'b'}": "a\tb",
}


@pytest.mark.parametrize(("template", "expected"), TEMPLATES.items())
def test_a_template_is_filled_in(template: str, expected: str) -> None:
    assert JsonPath(template).fill_in(POD) == expected


@pytest.mark.parametrize("template", [".metadata.name", "metadata.name"])
def test_an_expression_alone_needs_no_braces(template: str) -> None:
    assert JsonPath(template).fill_in(POD) == "web-0"


@pytest.mark.parametrize(
    "template", ["{.nobody}", "{.spec.containers[9].name}", "{.kind.x}", "{.metadata[0]}", "{.spec.nodeName}"]
)
def test_what_is_not_there_is_nothing(template: str) -> None:
    assert JsonPath(template).fill_in(POD) == ""


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{.a", "a brace is not closed"),
        ("{.a[0}", "a brace is not closed|a bracket is not closed"),
        ("{range .a[*]}{.b}", "{range} without {end}"),
        ("{.a}{end}", "{end} without {range}"),
        ("{.a[x]}", r"\[x\] is no index, range, name in quotes or filter"),
        ("{.a[1:x]}", r"\[1:x\] is no range"),
        ("{.a[?(@.b==Ready)]}", "'Ready' cannot be compared; put text in quotes"),
        ("{.a.[0]}", "names no field"),
        ("{a b}", "a field begins with a dot"),
    ],
)
def test_a_template_that_does_not_parse_is_refused_with_the_reason(template: str, why: str) -> None:
    with pytest.raises(JsonPathError, match=why) as caught:
        JsonPath(template)
    assert repr(template) in str(caught.value)
