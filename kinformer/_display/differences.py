"""Differences between two states of an object, field by field.

    ~ spec.replicas: 2 → 3
    ~ spec.template.spec.containers[web].image: web:1 → web:2
    + metadata.labels.tier: front
    - status.conditions[Progressing]

Elements of lists are matched as in a strategic merge patch: by their name, type or similar key, if all have one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer._display.secrets import shown_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.objects import KubeObject

__all__ = ["Difference", "differences"]

_ABSENT: Final = object()
# Fields that change with every write, and so are no information.
_NOISE: Final = {("metadata", "resourceVersion"), ("metadata", "managedFields")}
_MERGE_KEYS: Final = ("name", "type", "containerPort", "port", "mountPath", "key", "uid", "ip")
_BY_KEY: Final = {("data",), ("stringData",), ("metadata", "annotations"), ("metadata", "labels")}
"""Maps that are compared key by key even if one state has none of them."""


class Difference(NamedTuple):
    """One field that differs.

    Attributes:
        sign: "+" for an added field, "-" for a removed one, "~" for a changed one.
        path: its place, such as `spec.containers[web].image`.
        before: its old value as compact JSON, a string without quotes; "" for an added field.
        after: its new value, in the same form; "" for a removed field.
    """

    sign: str
    path: str
    before: str
    after: str


def differences(old: KubeObject, new: KubeObject, *, show_secrets: bool = False) -> list[Difference]:
    """Return the fields that differ, in their order; values of a Secret are shown as sizes unless `show_secrets`."""
    return [*_compare((), *shown_pair(old, new, show_secrets=show_secrets))]


def _compare(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Difference]:
    if old == new or path in _NOISE:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _compare((*path, name), old.get(name, _ABSENT), new.get(name, _ABSENT))
        return
    if isinstance(old, list) and isinstance(new, list):
        before, after = _by_key(old, new)
        for name in dict.fromkeys((*before, *after)):
            yield from _compare((*path, name), before.get(name, _ABSENT), after.get(name, _ABSENT))
        return
    if path in _BY_KEY and (old is _ABSENT or new is _ABSENT) and isinstance(new if old is _ABSENT else old, dict):
        yield from _compare(path, {} if old is _ABSENT else old, {} if new is _ABSENT else new)
        return
    sign = "+" if old is _ABSENT else "-" if new is _ABSENT else "~"
    yield Difference(sign, _written(path), _short(old), _short(new))


def _by_key(old: list[Any], new: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the elements of two lists by the first merge key that identifies them in both, else by their index."""
    for key in _MERGE_KEYS:
        found = [
            {f"[{element[key]}]": element for element in elements if isinstance(element, dict) and key in element}
            for elements in (old, new)
        ]
        if all(len(by_key) == len(elements) for by_key, elements in zip(found, (old, new), strict=True)):
            return found[0], found[1]
    return (
        {f"[{index}]": element for index, element in enumerate(old)},
        {f"[{index}]": element for index, element in enumerate(new)},
    )


def _written(path: tuple[str, ...]) -> str:
    """Return the path as text; a name with a dot or a slash is put in brackets."""
    text = ""
    for step in path:
        if step.startswith("["):
            text += step
        elif "." in step or "/" in step:
            text += f"['{step}']"
        else:
            text += f".{step}" if text else step
    return text


def _short(value: Any) -> str:
    if value is _ABSENT:
        return ""
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
