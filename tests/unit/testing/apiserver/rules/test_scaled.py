"""The fields of a custom resource that its scale is read from; the texts are those of a real server."""

from __future__ import annotations

from typing import Any

import pytest

from kinformer.testing._apiserver.rules.scaled import check_scale

SCALE = {
    "subresources": {
        "scale": {
            "specReplicasPath": ".spec.size",
            "statusReplicasPath": ".status.size",
            "labelSelectorPath": ".status.selector",
        }
    }
}


@pytest.mark.parametrize(
    ("manifest", "causes"),
    [
        ({}, []),
        ({"spec": {"size": 0}, "status": {"size": 2**31 - 1, "selector": "a=b"}}, []),
        ({"spec": {"size": -1}}, [(".spec.size", "Invalid value: -1: should be a non-negative integer")]),
        (
            {"spec": {"size": 2**31}},
            [(".spec.size", "Invalid value: 2147483648: should be less than or equal to 2147483647")],
        ),
        ({"status": {"size": -2}}, [(".status.size", "Invalid value: -2: should be a non-negative integer")]),
        (
            {"spec": {"size": "x"}},
            [(".spec.size", "Invalid value: 0: .spec.size accessor error: x is of the type string, expected int64")],
        ),
        (
            {"spec": 5},
            [(".spec.size", ("Invalid value: 0: .spec accessor error: 5 is of the type int64, "
                            "expected map[string]interface{}"))],
        ),
        (
            {"status": {"selector": 5}},
            [(".status.selector", ('Invalid value: "": .status.selector accessor error: 5 is of the type int64, '
                                  "expected string"))],
        ),
    ],
)  # fmt: skip
def test_replicas_are_numbers_of_32_bits_and_a_selector_is_a_text(
    manifest: dict[str, Any], causes: list[tuple[str, str]]
) -> None:
    assert [(path, message) for _, message, path in check_scale(SCALE, manifest)] == causes
    assert check_scale({}, manifest) == []
