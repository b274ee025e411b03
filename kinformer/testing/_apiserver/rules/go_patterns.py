"""Regular expressions as Go reads them (RE2, package regexp/syntax), which are those of CRDs and of CEL."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["compiled"]

_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN: Final = re.compile(r"\\.|\[:(?P<class>[a-z]+):\]|\[\^?\]?|.", re.DOTALL)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of Go.

    `$` stands for the end of the text, and not for the place before a last line end. `\d`, `\s`, `\w` and `\b` mean
    ASCII. `\z` and names of classes, as `[[:alpha:]]`, are read. Characters by property, as `\pL`, are not.

    Raises:
        re.error: Python cannot read the pattern.
    """
    has_lines = re.search(r"\(\?[a-zA-Z]*m", pattern) is not None
    parts: list[str] = []
    in_class = False
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if in_class:
            in_class = token != "]"  # noqa: S105
            name = match["class"]
            if name is None and token.startswith("[") and len(token) > 1:
                # "[^" and "[]" open nothing inside a class.
                in_class = not token.endswith("]")
            parts.append(_CLASSES.get(name, token) if name else token.replace("[", r"\["))
        elif (token == "$" and not has_lines) or token == r"\z":  # noqa: S105
            parts.append(r"\Z")
        else:
            in_class = token.startswith("[")
            parts.append(token)
    return re.compile("".join(parts), re.ASCII)
