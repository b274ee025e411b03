"""Times on the command line: 30s, 10m, 1h30m, 2d, or a number of seconds."""

from __future__ import annotations

import re
from typing import Final

from kinformer.cli._session import UsageProblem

__all__ = ["seconds_of"]

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """Return the seconds of a duration.

    Raises:
        UsageProblem: it does not parse.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        raise UsageProblem(f"{text!r} is no duration; expected one such as 30s, 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
