"""Paths into an object: `spec.containers[0].image`, `metadata.labels["app.kubernetes.io/name"]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

__all__ = ["steps_of", "value_at"]

# A name, a position in brackets, or a quoted name in brackets.
_STEP: Final = re.compile(
    r"""(?:^|\.)(?P<name>[^.\[\]"']+)"""
    r"""|\[(?P<position>-?\d+)\]"""
    r"""|\[(?P<quote>["'])(?P<quoted>.*?)(?P=quote)\]"""
)


@lru_cache(maxsize=1024)
def steps_of(path: str) -> tuple[str, ...]:
    """Return the steps of a path: names of fields, and positions in lists as decimal numbers.

    Args:
        path: names joined by dots, as in "status.phase"; positions as ".0" or "[0]"; a name that contains a dot or a
            slash in brackets and quotes, as in kubectl's JSONPath.

    Raises:
        ValueError: the text is no path; the message names the remedy.
    """
    steps: list[str] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            msg = f"{path!r} is no path: character {at + 1} starts no step; write 'spec.containers[0].image'"
            raise ValueError(msg)
        name = match["name"]
        if name is not None and "/" in name:
            msg = (
                f"{path!r} is no path: a name that contains a slash or a dot stands in brackets and quotes, as in "
                """'metadata.labels["app.kubernetes.io/name"]'"""
            )
            raise ValueError(msg)
        steps.append(name if name is not None else match["position"] or match["quoted"] or "")
        at = match.end()
    if not steps:
        msg = "'' is no path: name a field, as in 'status.phase'"
        raise ValueError(msg)
    return tuple(steps)


def value_at(value: Any, steps: Iterable[str | int], default: Any) -> Any:
    """Return the value to which some steps lead from another one; the default where they lead nowhere."""
    for step in steps:
        if isinstance(value, Mapping):
            if step not in value:
                return default
            value = value[str(step)]
        elif isinstance(value, list):
            try:
                value = value[int(step)]
            except (IndexError, ValueError):
                return default
        else:
            return default
    return value
