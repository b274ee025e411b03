"""JSON of any shape, decoded so that its nesting has a bound of ours, the same on every Python.

Each level of nesting that is built takes some 320 bytes of the stack (measured: a thread of 128 KiB, which is what musl
gives, crashes between 300 and 400 levels). Python's own bound differs: 1,000 levels less the frames of the program on
3.11, 10,000 and more from 3.12 on, all meant for the 8 MiB of a main thread. So the depth is bounded here. In the main
thread, which has the stack for what Python allows, a look at the result is enough, and is faster; in others the text is
looked at before anything is built. Skipping over a value, as the pass over the head does, takes so little that Python's
bound is enough.
"""

from __future__ import annotations

import threading
from itertools import accumulate
from typing import Any, Final

import msgspec

__all__ = ["MAX_DEPTH", "MAX_DEPTH_IN_MAIN_THREAD", "SHORT", "check_depth", "decode_any", "decode_short"]

MAX_DEPTH: Final = 256
"""Levels of nesting of a value that is read in another thread than the main one; the deepest CRDs have some 60."""

MAX_DEPTH_IN_MAIN_THREAD: Final = 512
"""Levels of nesting of a value that is read in the main thread: what Python 3.11 allows some 480 frames down."""

_decode = msgspec.json.Decoder().decode
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: 1 and -1
SHORT: Final = 2 * MAX_DEPTH
"""Bytes of JSON that cannot be nested too deeply: each level has an opening and a closing bracket."""
decode_short: Final = _decode
"""`decode_any` for a value of at most `SHORT` bytes, without a call of a Python function."""
_SHORT_IN_MAIN_THREAD: Final = 2 * MAX_DEPTH_IN_MAIN_THREAD
_get_ident = threading.get_ident
_MAIN: Final = threading.main_thread().ident


def decode_any(text: bytes | str | msgspec.Raw) -> Any:
    """Decode JSON into plain dicts, lists, strings and numbers.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is not JSON.
        RecursionError: it is nested too deeply for this thread.
    """
    if len(text) <= SHORT:
        return _decode(text)
    if _get_ident() != _MAIN:
        check_depth(text)
        return _decode(text)
    value = _decode(text)
    # `_may_be_deeper`, without its calls: each section that a handler reads comes through here.
    if len(text) > _SHORT_IN_MAIN_THREAD:
        raw = text if type(text) is bytes else _bytes(text)
        brackets = len(raw.translate(None, _OTHERS))
        if brackets > _SHORT_IN_MAIN_THREAD and _is_value_deeper(value, MAX_DEPTH_IN_MAIN_THREAD):
            raise _too_deep(MAX_DEPTH_IN_MAIN_THREAD)
    return value


def check_depth(text: bytes | str | msgspec.Raw) -> None:
    """Refuse JSON that is nested more deeply than the bound of this thread.

    Raises:
        RecursionError: it is nested more deeply.
    """
    bound = MAX_DEPTH_IN_MAIN_THREAD if _get_ident() == _MAIN else MAX_DEPTH
    raw = _bytes(text)
    if _may_be_deeper(raw, bound) and _is_text_deeper(raw, bound):
        raise _too_deep(bound)


def _bytes(text: bytes | str | msgspec.Raw) -> bytes:
    return text.encode(errors="replace") if isinstance(text, str) else bytes(text)


def _too_deep(bound: int) -> RecursionError:
    return RecursionError(f"nested more deeply than {bound} levels")


def _may_be_deeper(raw: bytes, bound: int) -> bool:
    # Each level has two brackets. To count them takes a tenth of the time of decoding, and in the main thread nearly
    # always shows that no more is needed: a pod of 9 KB has some 670.
    return len(raw) > 2 * bound and len(raw.translate(None, _OTHERS)) > 2 * bound


def _is_text_deeper(raw: bytes, bound: int) -> bool:
    # Without escaped characters, each second part between quotes is a string, and the others are not.
    parts = raw.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
    steps = b"".join(parts[::2]).translate(_STEPS, _OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > bound


def _is_value_deeper(value: Any, bound: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(bound):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
