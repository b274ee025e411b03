"""The rules in CEL of a schema: whether it has any, and what keeps them from being evaluated.

`cel_rules` evaluates them.

This module stands alone so that a server whose schemas have no rules does without the modules of CEL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["NOT_CHECKED", "RULES_FIELD", "blocks_rules", "has_rules"]

RULES_FIELD: Final = "x-kubernetes-validations"
"""The field of a schema that has its rules."""

_BLOCKING: Final = {
    *("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany"),
    "FieldValueTypeInvalid",
}
NOT_CHECKED: Final[Cause] = (
    "FieldValueInvalid",
    (
        "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
        "existing errors to complete validation"
    ),
    "<nil>",
)
"""The cause beside those that keep rules from being evaluated."""


def blocks_rules(causes: list[Cause]) -> bool:
    """Report whether an object has faults with which its rules cannot be evaluated."""
    return any(reason in _BLOCKING for reason, _, _ in causes)


def has_rules(schema: Any) -> bool:
    """Report whether a schema, or a part of it, has rules."""
    if not isinstance(schema, dict):
        return False
    # A field of an object may have the name of a word of schemas.
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(RULES_FIELD)) or any(map(has_rules, below))
