"""Selectors of the embedded server."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing import Refusal
from kinformer.testing._apiserver.rules.selectors import (
    parse_field_selector,
    parse_label_selector,
)
from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType

LABELS = {"app": "web", "tier": "front", "weight": "7", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("absent!=x", True),
        ("app", True),
        ("!app", False),
        ("!absent", True),
        ("app in (db, web)", True),
        ("app notin (db,web)", False),
        ("absent notin (x)", True),
        ("absent in (x)", False),
        ("weight>6", True),
        ("weight < 7", False),
        ("empty=", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
    ],
)
def test_a_label_selector_selects(selector: str, selected: bool) -> None:
    selects = parse_label_selector(selector)
    assert selects is not None
    assert selects(LABELS) is selected


def test_the_empty_selector_selects_everything() -> None:
    assert parse_label_selector("") is None


@pytest.mark.parametrize("selector", ["a==b==c", "a b", "=a", "a in b", "a in (b", "a>x", "a,,b", "a,"])
def test_what_does_not_parse_is_a_bad_request(selector: str) -> None:
    with pytest.raises(Refusal) as info:
        parse_label_selector(selector)
    assert info.value.code == 400


def resource(group: str, plural: str) -> ResourceType:
    found = Catalog().lookup(group, "v1", plural)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=web-0", True),
        ("metadata.name!=web-0", False),
        ("spec.nodeName=n1,status.phase==Running", True),
        ("status.phase!=Running", False),
        ("spec.hostNetwork=false", True),
        ("spec.nodeName=", False),
    ],
)
def test_a_field_selector_selects(selector: str, selected: bool) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "metadata": {"name": "web-0"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running"},
    }
    selects = parse_field_selector(selector, resource("", "pods"))
    assert selects is not None
    assert selects(pod) is selected


@pytest.mark.parametrize(
    ("event", "selected"),
    [
        ({"source": {"component": "c"}, "reportingComponent": "d"}, True),
        ({"reportingComponent": "c"}, True),
        ({"source": {"component": "d"}}, False),
        ({}, False),
    ],
)
def test_the_source_of_an_event_is_its_component_or_that_which_reports_it(
    event: dict[str, Any], selected: bool
) -> None:
    selects = parse_field_selector("source=c", resource("", "events"))
    assert selects is not None
    assert selects({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}} | event) == selected


def test_only_the_fields_a_resource_offers_can_be_selected() -> None:
    with pytest.raises(Refusal, match=r'^"status\.phase" is not a known field selector: only "metadata\.name"'):
        parse_field_selector("status.phase=x", resource("", "configmaps"))
    with pytest.raises(Refusal, match=r"field label not supported: spec\.nosuch"):
        parse_field_selector("spec.nosuch=x", resource("", "pods"))
