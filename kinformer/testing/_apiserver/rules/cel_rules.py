"""The rules in CEL that the schema of a CRD has (`x-kubernetes-validations`, KEP-2876)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, required
from kinformer.testing._apiserver.rules.cel import (
    CompileError,
    EvaluationError,
    Expression,
    check_types,
    compile_expression,
    from_json,
)
from kinformer.testing._apiserver.rules.cel.declarations import type_of_schema
from kinformer.testing._apiserver.rules.cel.signatures import BOOL, STRING, optional_of
from kinformer.testing._apiserver.rules.cel.values import Optional
from kinformer.testing._apiserver.rules.schema_rules import RULES_FIELD
from kinformer.testing._apiserver.rules.schema_values import MISSING, item_before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.cel.signatures import Type
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_rule_texts", "check_rules"]

_VARIABLES: Final = ("self", "oldSelf")
_ROOT: Final = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
    },
}
"""The properties that every object has for its rules."""


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Expression:
    return compile_expression(text, _VARIABLES)


def check_rule_texts(schema: dict[str, Any], path: str, within: str = "", *, is_whole: bool = True) -> Iterator[Cause]:
    """Return the causes why the rules of a schema cannot be evaluated.

    Args:
        schema: a part of the schema of a CRD.
        path: its path in the CRD.
        within: the path of the list or map around it whose items have no former state; "" if there is none.
        is_whole: whether it is the schema of whole objects.
    """
    own = type_of_schema(schema, is_whole=is_whole) if schema.get(RULES_FIELD) else None
    for index, rule in enumerate(schema.get(RULES_FIELD) or ()):
        at = f"{path}.{RULES_FIELD}[{index}]"
        shown = {
            "Rule": rule["rule"],
            "Message": rule.get("message", ""),
            "MessageExpression": rule.get("messageExpression", ""),
            "Reason": rule.get("reason"),
            "FieldPath": rule.get("fieldPath", ""),
            "OptionalOldSelf": rule.get("optionalOldSelf"),
        }
        for field, value in (("rule", shown), ("messageExpression", rule.get("messageExpression", ""))):
            text = rule.get(field)
            if not text:
                continue
            if why := _fault_of(text, field, own, rule):
                yield invalid_value(f"{at}.{field}", value, why)
        yield from _of_old_self(rule, at, within)
    in_map = within or ("" if schema.get("x-kubernetes-map-type") in {None, "granular"} else path)
    in_list = within or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
    for name, below in (schema.get("properties") or {}).items():
        yield from check_rule_texts(below, f"{path}.properties[{name}]", in_map, is_whole=False)
    for field, around in (("items", in_list), ("additionalProperties", within)):
        if isinstance(schema.get(field), dict):
            yield from check_rule_texts(schema[field], f"{path}.{field}", around, is_whole=False)


def _fault_of(text: str, field: str, own: Type | None, rule: dict[str, Any]) -> str:
    """The reason why an expression of a rule is refused; "" if it is not."""
    prefix = "compilation failed" if field == "rule" else "messageExpression compilation failed"
    known = {} if own is None else dict.fromkeys(_VARIABLES, own)
    if own is not None and rule.get("optionalOldSelf"):
        known["oldSelf"] = optional_of(own)
    try:
        found = check_types(text, known)
        _compiled(text)
    except CompileError as error:
        return f"{prefix}: {error}"
    if field == "rule" and found != BOOL:
        return "cel expression must evaluate to a bool"
    if field != "rule" and found != STRING:
        return "messageExpression must evaluate to a string"
    return ""


def _of_old_self(rule: dict[str, Any], at: str, within: str) -> Iterator[Cause]:
    """Judge whether a rule may, and does, ask for the former state."""
    try:
        asks = "oldSelf" in _compiled(rule["rule"]).names
    except CompileError:
        return
    if asks and within:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
        yield invalid_value(f"{at}.rule", rule["rule"], why)
    if not asks and rule.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        yield invalid_value(f"{at}.optionalOldSelf", rule["optionalOldSelf"], why)


def check_rules(new: dict[str, Any], old: dict[str, Any] | None, schema: dict[str, Any]) -> list[Cause]:
    """Return the causes why the rules of a schema refuse an object.

    Args:
        new: the object, which fits the schema but for its rules.
        old: its state before; `None` for a new object.
        schema: the schema of its CRD.
    """
    whole = schema | {"properties": _ROOT | (schema.get("properties") or {})}
    return [*_of_value(new, MISSING if old is None else old, whole, "")]


def _of_value(new: Any, old: Any, schema: dict[str, Any], path: str) -> Iterator[Cause]:
    # What does not change is not judged again (KEP-4008).
    if new is None or (old is not MISSING and new == old):
        return
    for rule in schema.get(RULES_FIELD) or ():
        yield from _of_rule(rule, new, old, schema, path)
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        extra = schema.get("additionalProperties")
        for name, value in new.items():
            below = (schema.get("properties") or {}).get(name) or (extra if isinstance(extra, dict) else None)
            if below is not None:
                is_free = name not in (schema.get("properties") or {})
                at = f"{path}[{name}]" if is_free else f"{path}.{name}".lstrip(".")
                yield from _of_value(value, before.get(name, MISSING), below, at)
    elif isinstance(new, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(new):
            yield from _of_value(item, item_before(item, old, schema), schema["items"], f"{path}[{index}]")


def _of_rule(rule: dict[str, Any], new: Any, old: Any, schema: dict[str, Any], path: str) -> Iterator[Cause]:
    try:
        expression = _compiled(rule.get("rule") or "")
    except CompileError:
        # It was posted while nothing was judged; there is nothing to evaluate.
        return
    variables = {"self": from_json(new, schema)}
    if "oldSelf" in expression.names:
        if old is MISSING and not rule.get("optionalOldSelf"):
            # A rule about a change has nothing to say of a new value.
            return
        variables["oldSelf"] = _old_self(old, schema, optional=bool(rule.get("optionalOldSelf")))
    at = f"{path}{rule.get('fieldPath') or ''}".lstrip(".")
    message = (rule.get("message") or "").strip()
    try:
        if expression.evaluate(variables) is True:
            return
    except EvaluationError as error:
        shown = message or expression.text.strip()
        why = f"{error} evaluating rule: {shown}"
        if str(error).startswith("no such overload"):
            signature = "call arguments did not match a supported operator, function or macro signature"
            why = f"'{error}': {signature} for rule: {shown}"
        yield invalid_value(path, schema.get("type", ""), why)
        return
    yield _refusal(
        rule, new, at or path, message or _message(rule, variables) or f"failed rule: {expression.text.strip()}"
    )


def _old_self(old: Any, schema: dict[str, Any], *, optional: bool) -> Any:

    value = None if old is MISSING else from_json(old, schema)
    return Optional(value, is_set=old is not MISSING) if optional else value


def _message(rule: dict[str, Any], variables: dict[str, Any]) -> str:
    """The message that an expression makes; "" if it makes none."""
    text = rule.get("messageExpression")
    if not text:
        return ""
    try:
        made = _compiled(text).evaluate(variables)
    except (CompileError, EvaluationError):
        return ""
    return made.strip() if isinstance(made, str) and "\n" not in made.strip() else ""


def _refusal(rule: dict[str, Any], value: Any, path: str, message: str) -> Cause:
    match rule.get("reason") or "FieldValueInvalid":
        case "FieldValueForbidden":
            return forbidden(path, message)
        case "FieldValueRequired":
            return required(path, message)
        case "FieldValueDuplicate":
            return duplicate(path, value)
    if isinstance(value, dict | list):
        # Objects and lists are not shown.
        return ("FieldValueInvalid", f"Invalid value: {message}", path)
    shown = int(value) if isinstance(value, float) and value == int(value) else value
    return ("FieldValueInvalid", f"Invalid value: {json.dumps(shown, ensure_ascii=False)}: {message}", path)
