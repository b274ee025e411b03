"""The order of `kinformer get --sort-by`, as kubectl has it (kubectl pkg/cmd/get/sorter.go)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer._display.secrets import shown
from kinformer.cli._jsonpath import JsonPath, JsonPathError
from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.objects import KubeObject

__all__ = ["check_sort_path", "in_order"]

_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|(m|[kMGTPE]|[KMGTPE]i)?)")
_SUFFIXES: Final = {"": 1.0, "m": 1e-3, "k": 1e3} | {
    f"{letter}{suffix}": base**power
    for suffix, base in (("", 1e3), ("i", 2.0**10))
    for power, letter in enumerate("KMGTPE", start=1)
    if letter + suffix != "K"
}


def check_sort_path(path: str) -> JsonPath:
    """Parse the path of `--sort-by`; the braces and the leading dot may be left out.

    Raises:
        UsageProblem: it does not parse.
    """
    try:
        return JsonPath(path)
    except JsonPathError as error:
        raise UsageProblem(f"--sort-by: {error}") from error


def in_order(objects: Sequence[KubeObject], path: str) -> list[KubeObject]:
    """Return the objects by the first value of the path; objects without one come first, equal ones by their keys.

    Numbers and quantities (`100m`, `1Gi`) are compared by value, other texts byte by byte: web-10 comes before web-2.
    Hidden values of Secrets do not sort: their order would reveal part of them.

    Raises:
        UsageProblem: no object has a value.
    """
    template = check_sort_path(path)
    values = [template.first(shown(obj)) for obj in objects]
    if objects and all(value is None for value in values):
        raise UsageProblem(f"--sort-by: no object has the field {path}")
    found = sorted(zip(values, objects, strict=True), key=lambda pair: (_rank(pair[0]), pair[1].key))
    return [obj for _, obj in found]


def _rank(value: Any) -> tuple[Any, ...]:
    match value:
        case None:
            return (0,)
        case bool() | int() | float():
            return (1, float(value))
        case str():
            quantity = _quantity(value)
            # The times of Kubernetes are of one form and in UTC, so their texts are in the order of time.
            return (1, quantity) if quantity is not None else (2, value.encode())
        case _:
            return (3, str(value))


def _quantity(text: str) -> float | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, exponent, suffix = found.groups()
    return float(number) * (10.0 ** int(exponent) if exponent else _SUFFIXES[suffix or ""])
