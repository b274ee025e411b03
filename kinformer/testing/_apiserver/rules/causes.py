"""Causes of a refusal, in the words of apimachinery (util/validation/field)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["duplicate", "forbidden", "invalid_value", "missing", "one_of", "required", "too_long", "too_many"]


def _shown(value: Any) -> str:
    """A value as Go writes it in JSON."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e21 else repr(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(path: str, why: str = "") -> Cause:
    """A field that must be set."""
    return ("FieldValueRequired", f"Required value: {why}" if why else "Required value", path)


def invalid_value(path: str, value: Any, why: str) -> Cause:
    """A field whose value breaks a rule."""
    return ("FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}", path)


def one_of(path: str, value: Any, allowed: Iterable[str]) -> Cause:
    """A field whose value is none of those allowed; they are named in the order given."""
    return (
        "FieldValueNotSupported",
        f"Unsupported value: {_shown(value)}: supported values: {', '.join(map(_shown, allowed))}",
        path,
    )


def duplicate(path: str, value: Any) -> Cause:
    """A value that stands twice where it must be unique."""
    return ("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", path)


def missing(path: str, value: Any) -> Cause:
    """A reference to a thing that is not there."""
    return ("FieldValueNotFound", f"Not found: {_shown(value)}", path)


def forbidden(path: str, why: str) -> Cause:
    """A field that must not be set here."""
    return ("FieldValueForbidden", f"Forbidden: {why}", path)


def too_long(path: str, most: int) -> Cause:
    """A text of too many bytes."""
    return ("FieldValueTooLong", f"Too long: may not be more than {most} bytes", path)


def too_many(path: str, count: int, most: int) -> Cause:
    """A list of too many items."""
    return (
        "FieldValueTooMany",
        f"Too many: {count}: must have at most {most} {'item' if most == 1 else 'items'}",
        path,
    )
