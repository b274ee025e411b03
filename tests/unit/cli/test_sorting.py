"""The order of `kinformer get --sort-by`."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.cli._session import UsageProblem
from kinformer.cli._sorting import in_order
from kinformer.objects import KubeObject
from kinformer.resources import CONFIGMAPS, SECRETS
from kinformer.testing import build

ABSENT = object()


def sorted_values(*values: Any) -> list[Any]:
    objects = [
        KubeObject.from_dict(build.config_map(f"c{place}") | ({} if value is ABSENT else {"value": value}), CONFIGMAPS)
        for place, value in enumerate(values)
    ]
    return [obj.get("value", ABSENT) for obj in in_order(objects, ".value")]


@pytest.mark.parametrize(
    "expected",
    [
        [1, 2, 10],
        ["100m", "1", "2k", "1Mi", "1Gi", "2e9"],
        ["a", "a-b", "a01", "a1", "ab", "web-10", "web-2", "\u00e9"],
        ["2026-01-31T09:00:00Z", "2026-02-01T00:00:00Z"],
        [ABSENT, None, 1, "a", {"a": 1}],
    ],
    ids=["numbers", "quantities", "names", "times", "mixed"],
)
def test_values_are_in_the_order_of_their_kind(expected: list[Any]) -> None:

    assert sorted_values(*expected) == expected


def test_equal_values_are_in_the_order_of_keys() -> None:
    objects = [KubeObject.from_dict(build.config_map(name) | {"value": 1}, CONFIGMAPS) for name in ("b", "a")]
    assert [obj.name for obj in in_order(objects, "{.value}")] == ["a", "b"]


def test_values_of_secrets_do_not_sort() -> None:
    objects = [
        KubeObject.from_dict(build.secret(name, data={"password": password}), SECRETS)
        for name, password in (("b", "1"), ("a", "2"))
    ]
    assert [obj.name for obj in in_order(objects, ".data.password")] == ["a", "b"]


def test_a_field_that_no_object_has_is_refused() -> None:
    with pytest.raises(UsageProblem, match=r"no object has the field \.spec\.size"):
        in_order([KubeObject.from_dict(build.config_map("a"), CONFIGMAPS)], ".spec.size")
    assert in_order([], ".spec.size") == []
