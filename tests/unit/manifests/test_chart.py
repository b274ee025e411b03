"""The chart: text of the code is no template, and each value that a template names is in values.yaml."""

from __future__ import annotations

import re

import yaml

from kinformer.manifests._chart import chart_of
from kinformer.manifests._objects import objects_of
from tests.unit.manifests.operators import led, planned, with_own_certificate


async def test_braces_in_a_description_are_no_template() -> None:
    plan = planned(led())
    assert '{{ "{{" }} .Values.image }}' in chart_of(plan, objects_of(plan))["templates/crds.yaml"]


async def test_each_value_of_a_template_is_in_the_values() -> None:
    plan = planned(with_own_certificate())
    chart = chart_of(plan, objects_of(plan))
    values = yaml.safe_load(chart["values.yaml"])
    named = {path for text in chart.values() for path in re.findall(r"(?<!\}\} )\.Values\.([\w.]+)", text)}
    assert len(named) > 10
    for path in named:
        found = values
        for step in path.split("."):
            found = found[step]
    assert values["replicas"] == plan.replicas


async def test_definitions_outlive_the_release() -> None:
    plan = planned(led())
    assert "helm.sh/resource-policy: keep" in chart_of(plan, objects_of(plan))["templates/crds.yaml"]
