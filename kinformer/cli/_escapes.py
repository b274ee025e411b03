"""Output that neither drives a terminal nor fails on its encoding.

Objects, and messages of servers, may hold any character: terminal escape sequences, marks that reverse the direction of
text, letters that the encoding of standard output lacks.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import Final

__all__ = ["escaped", "one_line", "survive_any_encoding"]

# C0 without tab and line feed, DEL, C1, and the marks of Unicode that change the direction of text. A carriage return
# before a line feed is kept, so files of Windows pass unchanged.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)"
)

_HANDLER: Final = "kinformer.escaped"


def escaped(text: str) -> str:
    r"""Return a text whose control characters are written as in JSON: `\u001b`. Line breaks and tabs stay."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str) -> str:
    """Return a message as one line without control characters."""
    return escaped(" ".join(text.split()))


def survive_any_encoding() -> None:
    r"""Make standard output and error write a character that their encoding lacks as `\u65e5`, as JSON does."""
    codecs.register_error(_HANDLER, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)), error.end
