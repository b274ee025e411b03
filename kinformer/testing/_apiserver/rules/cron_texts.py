"""The schedule of a CronJob as text: the refusals of robfig/cron, which a kube-apiserver reads it with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["schedule_fault"]

_DESCRIPTORS: Final = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(NamedTuple):
    """One of the five fields: its bounds, and the names of its numbers from the lower bound on."""

    least: int
    most: int
    names: Sequence[str] = ()


_FIELDS: Final = (_Field(0, 59), _Field(0, 23), _Field(1, 31), _Field(1, 12, _MONTHS), _Field(0, 6, _DAYS))


def schedule_fault(text: str) -> str:
    """Return why a schedule is refused, or "" (robfig/cron, parser.go)."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return "" if text in _DESCRIPTORS or text.startswith("@every ") else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for given, field in zip(fields, _FIELDS, strict=True):
        for part in given.split(","):
            try:
                _check_part(part, field)
            except ValueError as error:
                return str(error)
    return ""


def _check_part(part: str, field: _Field) -> None:
    """Judge one of the parts between commas.

    Raises:
        ValueError: it is refused; with the text.
    """
    bounds, *steps = part.split("/")
    ends = bounds.split("-")
    if ends[0] in {"*", "?"}:
        begin, end = field.least, field.most
    else:
        begin = _number(ends[0], field)
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {part}")
        end = _number(ends[1], field) if len(ends) == 2 else begin
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {part}")
    step = 1
    if steps:
        step = _number(steps[0], field._replace(names=()))
        if len(ends) == 1:
            end = field.most
    if begin < field.least:
        raise ValueError(f"beginning of range ({begin}) below minimum ({field.least}): {part}")
    if end > field.most:
        raise ValueError(f"end of range ({end}) above maximum ({field.most}): {part}")
    if begin > end:
        raise ValueError(f"beginning of range ({begin}) beyond end of range ({end}): {part}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {part}")


def _number(text: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.least + field.names.index(text.lower())
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
