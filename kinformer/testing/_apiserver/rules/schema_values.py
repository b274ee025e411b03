"""Values of custom resources judged by the OpenAPI v3 schema of their CRD (kube-openapi pkg/validation/validate)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer.testing._apiserver.rules.causes import duplicate, invalid_value, one_of, too_long, too_many
from kinformer.testing._apiserver.rules.formats import format_of, has_format
from kinformer.testing._apiserver.rules.go_patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["MISSING", "check_schema", "item_before"]

_TYPE_NAMES: Final[dict[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
}
_NUMBER_FORMATS: Final[dict[type, str]] = {int: "int64", float: "float64"}
_NOT_PLAIN: Final = {"metadata", "kind", "apiVersion"}
"""The fields of each object that are judged elsewhere."""


_MOST_WHOLE: Final = 2.0**53 - 1
"""The largest number with a fraction part that counts as an integer (swag.IsFloat64AJSONInteger)."""

_MOST_FLOAT: Final = 3.4028234663852886e38
"""The largest number of 32 bits (IEEE 754, binary32)."""


MISSING: Final[Any] = object()
"""Stands for a value that was not there before."""


class _Verdict(NamedTuple):
    """The causes why a value does not fit a schema, and how many checks of the schema it went through.

    Of several alternatives that all refuse a value, the API server reports the causes of the one with most checks.
    """

    causes: list[Cause]
    checks: int


def check_schema(value: Any, schema: dict[str, Any], path: str, before: Any = MISSING) -> list[Cause]:
    """The reasons why a value does not fit an OpenAPI v3 schema (the subset that CRDs have).

    Args:
        value: the value.
        schema: its schema.
        path: where the value stands, as `spec.items[0]`; empty for a whole object.
        before: the value before the change, of an object that changes. A part that has not changed is not refused
            (KEP-4008).
    """
    return _judged(value, schema, path, before).causes


def _judged(value: Any, schema: dict[str, Any], path: str, before: Any) -> _Verdict:
    """Judge a value; one that has not changed has no causes."""
    verdict = _judged_anew(value, schema, path, before)
    if (
        verdict.causes
        and before is not MISSING
        and json.dumps(value, sort_keys=True) == json.dumps(before, sort_keys=True)
    ):
        return _Verdict([], verdict.checks)
    return verdict


def _in_order(value: Any) -> str:
    """A value as text, in which a number differs from a bool."""
    return json.dumps(value, sort_keys=True)


def _judged_anew(value: Any, schema: dict[str, Any], path: str, before: Any) -> _Verdict:
    """Judge a value in the order of the API server, on which the order of the causes depends."""
    types = _types(schema)
    causes = _type_causes(value, types, schema, path)
    if value is None:
        return _Verdict(_distinct([*causes, *_options(value, schema, path)]), 0 if causes else 1)
    checks = 1
    form = format_of(schema)
    if types or form:
        checks += 1 if causes else 2
    combined = _combined(value, schema, path, before)
    causes += combined.causes
    checks += combined.checks + 1
    if isinstance(value, str):
        causes += [*_text(value, schema, path), *_format(value, schema, path)]
        checks += 2 if form else 1
    elif isinstance(value, int | float) and not isinstance(value, bool):
        causes += _out_of_bounds(value, schema, path)
        checks += 2
    elif isinstance(value, list):
        items = _items(value, schema, path, before)
        causes += items.causes
        checks += items.checks + 2
    causes += _options(value, schema, path)
    checks += 1
    if isinstance(value, dict):
        fields = _fields(value, schema, path, before)
        causes += fields.causes
        checks += fields.checks + 1
    return _Verdict(_distinct(causes), checks)


def item_before(item: Any, before: Any, schema: dict[str, Any]) -> Any:
    """The former state of an item of a list, or `MISSING`: only a list of type map says which item it was.

    Args:
        item: the item.
        before: the list before.
        schema: the schema of the list.
    """
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(before, list) or not isinstance(item, dict):
        return MISSING
    wanted = [item.get(key) for key in keys]
    same = (one for one in before if isinstance(one, dict) and [one.get(key) for key in keys] == wanted)
    return next(same, MISSING)


def _distinct(causes: list[Cause]) -> list[Cause]:
    return list(dict.fromkeys(causes))


def _types(schema: dict[str, Any]) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _type_causes(value: Any, types: tuple[str, ...], schema: dict[str, Any], path: str) -> list[Cause]:
    found = "null" if value is None else _TYPE_NAMES[type(value)]
    if found in types or (value is None and (not types or schema.get("nullable"))):
        return []
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_WHOLE
    if ("number" in types and found == "integer") or ("integer" in types and is_whole):
        return []
    wanted, form = ",".join(types), format_of(schema)
    if form and value is not None:
        if not isinstance(value, str | list):
            # The API server names the format instead of the type.
            wanted, found = form, _NUMBER_FORMATS.get(type(value), "")
        elif schema.get("type") not in {"integer", "number"} and "integer" not in types:
            # The API server takes a text for any type, and a list for a text.
            return []
    elif not types:
        return []
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return [("FieldValueTypeInvalid", message, path)]


def _combined(value: Any, schema: dict[str, Any], path: str, before: Any) -> _Verdict:
    """Judge a value by the schemas in anyOf, oneOf, allOf and not."""
    causes: list[Cause] = []
    checks = 1
    if schema.get("anyOf"):
        verdicts = [_judged_anew(value, below, path, before) for below in schema["anyOf"]]
        fits = next((each for each in verdicts if not each.causes), None)
        if fits is None:
            causes.append(_as_a_whole(path, "must validate at least one schema (anyOf)"))
        kept = fits or _nearest(verdicts)
        causes += kept.causes
        checks += kept.checks
    if schema.get("oneOf"):
        verdicts = [_judged_anew(value, below, path, before) for below in schema["oneOf"]]
        fitting = [each for each in verdicts if not each.causes]
        if len(fitting) != 1:
            found = f"Found {len(fitting)} valid alternatives" if fitting else "Found none valid"
            causes.append(_as_a_whole(path, f"must validate one and only one schema (oneOf). {found}"))
        if len(fitting) < 2:
            kept = fitting[0] if fitting else _nearest(verdicts)
            causes += kept.causes
            checks += kept.checks
    if schema.get("allOf"):
        verdicts = [_judged_anew(value, below, path, before) for below in schema["allOf"]]
        causes += [cause for each in verdicts for cause in each.causes]
        checks += sum(each.checks for each in verdicts)
        if any(each.causes for each in verdicts):
            none = ". None validated" if all(each.causes for each in verdicts) else ""
            causes.append(_as_a_whole(path, f"must validate all the schemas (allOf){none}"))
    if schema.get("not") is not None and not _judged_anew(value, schema["not"], path, before).causes:
        causes.append(_as_a_whole(path, "must not validate the schema (not)"))
    return _Verdict(causes, checks)


def _nearest(verdicts: list[_Verdict]) -> _Verdict:
    return max(verdicts, key=lambda each: each.checks)


def _as_a_whole(path: str, why: str) -> Cause:
    """A cause that concerns several schemas. The API server gives it no field."""
    return ("FieldValueInvalid", f'Invalid value: "": {json.dumps(path)} {why}', "<nil>")


def _options(value: Any, schema: dict[str, Any], path: str) -> Iterable[Cause]:
    options = schema.get("enum")
    if options and not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in options):
        yield one_of(path, value, [each if isinstance(each, str) else json.dumps(each) for each in options])


def _text(value: str, schema: dict[str, Any], path: str) -> Iterable[Cause]:
    """The first rule of length and pattern that a text breaks."""
    if len(value) > schema.get("maxLength", len(value)):
        yield too_long(path, schema["maxLength"])
    elif len(value) < schema.get("minLength", 0):
        yield invalid_value(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    elif not _matches(value, schema.get("pattern")):
        yield invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'")


def _format(value: str, schema: dict[str, Any], path: str) -> Iterable[Cause]:
    form = format_of(schema)
    if form and schema.get("type") not in {"integer", "number"} and not has_format(value, form):
        shown = json.dumps(value, ensure_ascii=False)
        message = f"Invalid value: {shown}: {path} in body must be of type {form}: {shown}"
        yield ("FieldValueTypeInvalid", message, path)


def _items(value: list[Any], schema: dict[str, Any], path: str, before: Any) -> _Verdict:
    causes: list[Cause] = []
    checks = 0
    if isinstance(below := schema.get("items"), dict):
        for index, child in enumerate(value):
            verdict = _judged(child, below, f"{path}[{index}]", item_before(child, before, schema))
            causes += verdict.causes
            checks += verdict.checks
    if len(value) < schema.get("minItems", 0):
        least = schema["minItems"]
        causes.append(invalid_value(path, len(value), f"{path} in body should have at least {least} items"))
    if len(value) > schema.get("maxItems", len(value)):
        causes.append(too_many(path, len(value), schema["maxItems"]))
    if not (isinstance(before, list) and _doubles(before, schema, path)):
        causes += _doubles(value, schema, path)
    return _Verdict(causes, checks)


def _fields(value: dict[str, Any], schema: dict[str, Any], path: str, before: Any) -> _Verdict:
    causes: list[Cause] = []
    checks = 0
    if len(value) < schema.get("minProperties", 0):
        least = schema["minProperties"]
        causes.append(invalid_value(path, len(value), f"{path} in body should have at least {least} properties"))
    if len(value) > schema.get("maxProperties", len(value)):
        causes.append(too_many(path, len(value), schema["maxProperties"]))
    causes += [
        ("FieldValueRequired", "Required value", f"{path}.{name}".lstrip("."))
        for name in schema.get("required", ())
        if name not in value
    ]
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for name, child in value.items():
        below = properties.get(name, extra)
        if isinstance(below, dict) and not (path == "" and name in _NOT_PLAIN):
            known = before.get(name, MISSING) if isinstance(before, dict) else MISSING
            verdict = _judged(child, below, f"{path}.{name}".lstrip("."), known)
            causes += verdict.causes
            checks += verdict.checks
    return _Verdict(causes, checks)


def _doubles(items: list[Any], schema: dict[str, Any], path: str) -> list[Cause]:
    """The causes of items that stand twice in a set, or have the same keys in a list of type map."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    causes: list[Cause] = []
    seen: list[Any] = []
    for index, item in enumerate(items):
        if kind == "map" and isinstance(item, dict):
            one = {key: item[key] for key in keys if key in item}
        elif kind == "set":
            one = item
        else:
            continue
        if one in seen:
            causes.append(duplicate(f"{path}[{index}]", one))
        seen.append(one)
    return causes


def _matches(text: str, pattern: str | None) -> bool:
    """Report whether a text matches a pattern; every text matches one that only Go can read."""
    try:
        return pattern is None or compiled(pattern).search(text) is not None
    except re.error:
        return True


def _out_of_range(value: float, schema: dict[str, Any], path: str) -> Iterable[Cause]:
    """The cause of a number that the type or the format of its schema cannot hold."""
    kind, form = schema.get("type"), schema.get("format")
    if kind == "integer":
        bits = 32 if form == "int32" else 64
        holds = isinstance(value, int) or value.is_integer()
        holds = holds and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
        of_format = f"with format {form}" if form in {"int32", "int64"} else "(default format)"
    else:
        holds = kind != "number" or form != "float" or abs(value) <= _MOST_FLOAT
        of_format = f"with format {form}"
    if not holds:
        # The API server gives this cause no field.
        message = f'Invalid value: "": Checked value must be of type {kind} {of_format} in {path}'
        yield ("FieldValueInvalid", message, "<nil>")


def _out_of_bounds(value: float, schema: dict[str, Any], path: str) -> list[Cause]:
    causes = [*_out_of_range(value, schema, path)]
    low, high, step = schema.get("minimum", value), schema.get("maximum", value), schema.get("multipleOf")
    above, below = (bool(schema.get(f"exclusive{name}")) for name in ("Minimum", "Maximum"))
    if step is not None and value % step:
        causes.append(invalid_value(path, value, f"{path} in body should be a multiple of {step}"))
    if value < low or (above and value == schema.get("minimum")):
        words = "greater than" if above else "greater than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {words} {low}"))
    if value > high or (below and value == schema.get("maximum")):
        words = "less than" if below else "less than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {words} {high}"))
    return causes
