"""Custom resources pruned by the schema of their CRD, and filled in with its defaults."""

from __future__ import annotations

from typing import Any

__all__ = ["copied", "pruned"]


def pruned(value: Any, schema: dict[str, Any], path: str = "", unknown: list[str] | None = None) -> Any:
    """A copy without the fields that the schema does not declare, and with its defaults.

    A null in a field that is not nullable counts as absent.

    Args:
        value: the value.
        schema: its schema.
        path: where the value stands, as `spec.items[0]`.
        unknown: receives the paths of the fields that were left out.
    """
    keep_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        result = {}
        for name, child in value.items():
            below = properties.get(name)
            if below is not None and child is None and not below.get("nullable"):
                continue
            if below is not None:
                result[name] = pruned(child, below, f"{path}.{name}".lstrip("."), unknown)
            elif isinstance(extra, dict):
                result[name] = pruned(child, extra, f"{path}.{name}".lstrip("."), unknown)
            elif keep_unknown or extra is True or schema.get("x-kubernetes-embedded-resource"):
                result[name] = copied(child)
            elif unknown is not None:
                unknown.append(f"{path}.{name}".lstrip("."))
        for name, below in properties.items():
            if name not in result and "default" in below:
                result[name] = pruned(below["default"], below)
        return result
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [pruned(child, schema["items"], f"{path}[{at}]", unknown) for at, child in enumerate(value)]
    return copied(value)


def copied(value: Any) -> Any:
    """A copy that shares nothing with the value."""
    if isinstance(value, dict):
        return {name: copied(child) for name, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value
