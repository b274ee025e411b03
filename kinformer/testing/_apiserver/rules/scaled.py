"""The rules for the fields of a custom resource that its scale is read from.

They are those of apiextensions-apiserver, pkg/registry/customresource/validator.go (ValidateScaleSpec and
ValidateScaleStatus).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_scale"]

_LARGEST: Final = 2**31 - 1
_GO_TYPES: Final[dict[type, str]] = {
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def check_scale(definition: dict[str, Any], manifest: dict[str, Any]) -> list[Cause]:
    """Return the reasons why a custom resource has no scale.

    Args:
        definition: the version of its CRD.
        manifest: the object.
    """
    scale = (definition.get("subresources") or {}).get("scale")
    if not scale:
        return []
    return [
        *_replicas(manifest, scale.get("specReplicasPath") or ""),
        *_replicas(manifest, scale.get("statusReplicasPath") or ""),
        *_selector(manifest, scale.get("labelSelectorPath") or ""),
    ]


def _replicas(manifest: dict[str, Any], path: str) -> list[Cause]:
    value, fault = _nested(manifest, path, int, "int64")
    if fault:
        return [invalid_value(path, 0, fault)]
    if value is None or 0 <= value <= _LARGEST:
        return []
    rule = "should be a non-negative integer" if value < 0 else f"should be less than or equal to {_LARGEST}"
    return [invalid_value(path, value, rule)]


def _selector(manifest: dict[str, Any], path: str) -> list[Cause]:
    _, fault = _nested(manifest, path, str, "string")
    return [invalid_value(path, "", fault)] if fault else []


def _nested(manifest: dict[str, Any], path: str, kind: type, name: str) -> tuple[Any, str]:
    """Return the value of a path, and why it cannot be read, in Go's words; `None` if it is absent."""
    value: Any = manifest
    steps = [step for step in path.split(".") if step]
    for number, step in enumerate(steps):
        if not isinstance(value, dict):
            return None, _accessor_error(steps[:number], value, "map[string]interface{}")
        value = value.get(step)
        if value is None:
            return None, ""
    if not steps or type(value) is kind:
        return value if steps else None, ""
    return None, _accessor_error(steps, value, name)


def _accessor_error(steps: list[str], value: Any, expected: str) -> str:
    found = _GO_TYPES.get(type(value), "float64")
    return f".{'.'.join(steps)} accessor error: {value} is of the type {found}, expected {expected}"
