"""The causes of a refusal stand in the order in which a real kube-apiserver finds them."""

from __future__ import annotations

import pytest

from kinformer.testing._apiserver.rules.cause_order import in_walk_order


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            ["spec.selector", "spec.x", "spec.selector.matchLabels"],
            ["spec.selector.matchLabels", "spec.selector", "spec.x"],
        ),
        (
            ["spec.template.spec.containers[0].name", "spec.podFailurePolicy.rules[0].action"],
            ["spec.podFailurePolicy.rules[0].action", "spec.template.spec.containers[0].name"],
        ),
        (
            ["spec.initContainers[0].startupProbe", "spec.initContainers[1].restartPolicy"],
            ["spec.initContainers[0].startupProbe", "spec.initContainers[1].restartPolicy"],
        ),
        (
            ["spec.initContainers[1].startupProbe", "spec.initContainers[1].restartPolicy"],
            ["spec.initContainers[1].restartPolicy", "spec.initContainers[1].startupProbe"],
        ),
        (["spec.b", "spec.a"], ["spec.b", "spec.a"]),
    ],
)
def test_causes_stand_in_the_order_of_the_walk(found: list[str], wanted: list[str]) -> None:
    ordered = in_walk_order([("FieldValueInvalid", str(at), field) for at, field in enumerate(found)])
    assert [field for _, _, field in ordered] == wanted
    assert len({text for _, text, _ in ordered}) == len(found)
