"""Regular expressions that Python and Go read alike.

The API server compiles patterns with Go's package regexp (RE2), which has no lookaround and no references.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_pattern"]

_ONLY_PYTHON: Final = (
    (r"\(\?(?:[=!]|<[=!])", "lookaround"),
    (r"\(\?P=|\\[1-9]", "a reference to a group"),
    (r"\(\?\(", "a condition"),
    (r"\(\?>|[*+?}]\+", "a possessive quantifier or an atomic group"),
    (r"\(\?#", "a comment"),
    (r"\\Z", r"\Z (write $)"),
    (r"\\[uUN]", r"an escape \u, \U or \N (write the character itself)"),
    (r"\(\?[a-zA-Z-]*[aLux]", "a flag other than i, m and s"),
)


def check_pattern(pattern: str, at: str) -> None:
    """Refuse a pattern that Go cannot read.

    Raises:
        ValueError: Python cannot read it either, or it has something that only Python has.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        msg = f"{at}: the pattern {pattern!r} is no regular expression: {error}"
        raise ValueError(msg) from error
    # Escaped backslashes and the content of character classes are no operators.
    bare = re.sub(r"\\\\", "", pattern)
    bare = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "[]", bare)
    for form, name in _ONLY_PYTHON:
        if re.search(form, bare):
            msg = f"{at}: the pattern {pattern!r} has {name}, which the API server cannot read"
            raise ValueError(msg)
