"""JSON of any shape, decoded so that its nesting cannot overflow the stack of the thread.

Each level of nesting that is built takes some 320 bytes of the stack (measured: a thread of 128 KiB, which is what musl
gives, crashes between 300 and 400 levels). Python's own bound, 1,000 levels on 3.11 and 10,000 from 3.12 on, is meant
for the 8 MiB of a main thread. So in every other thread the depth is bounded here. Skipping over a value, as the pass
over the head does, takes so little that Python's bound is enough.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Final

import msgspec

__all__ = ["MAX_DEPTH", "check_depth", "decode_any"]

MAX_DEPTH: Final = 256
"""Levels of nesting of a value that is read in another thread than the main one; the deepest CRDs have some 60."""

_decode = msgspec.json.Decoder().decode
_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_get_ident = threading.get_ident
_MAIN: Final = threading.main_thread().ident


def decode_any(text: bytes | str | msgspec.Raw) -> Any:
    """Decode JSON into plain dicts, lists, strings and numbers.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is not JSON.
        RecursionError: it is nested too deeply for this thread.
    """
    if _get_ident() != _MAIN:
        check_depth(text)
    return _decode(text)


def check_depth(text: bytes | str | msgspec.Raw) -> None:
    """Refuse JSON that is nested more deeply than `MAX_DEPTH`. In the main thread, do nothing.

    Raises:
        RecursionError: it is nested more deeply.
    """
    if _get_ident() == _MAIN:
        return
    raw = text.encode(errors="replace") if isinstance(text, str) else bytes(text)
    if len(raw) < 2 * MAX_DEPTH:
        return
    # Counting takes as long as a tenth of decoding, and nearly always shows that there is nothing to measure.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deep(raw):
        msg = f"nested more deeply than {MAX_DEPTH} levels"
        raise RecursionError(msg)


def _is_deep(raw: bytes) -> bool:
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _OTHERS)
    if b"[" * (MAX_DEPTH + 1) in brackets:
        return True
    for _ in range(MAX_DEPTH):
        # Each round takes the innermost level away.
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True
