"""The words of Go's `encoding/json` about texts that are no JSON object."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["json_fault"]

_KINDS: Final[dict[type, str]] = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}


def json_fault(content: bytes) -> str:
    """Return why a content is no JSON object, and "" if it is one, or null."""
    text = content.decode(errors="replace")
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        at = min(error.pos, len(text))
        rest = text[at:].lstrip()
        if not rest or error.msg.startswith("Unterminated string"):
            return "unexpected end of JSON input"
        shown = chr(content[len(text[:at].encode())]) if "�" in rest[:1] else rest[0]
        return f"invalid character '{shown}' {_place(error.msg, text[:at])}"
    except RecursionError:
        return "exceeded max depth"
    kind = _KINDS.get(type(value))
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}" if kind else ""


def _place(message: str, before: str) -> str:
    if message.startswith("Extra data"):
        return "after top-level value"
    if message.startswith("Expecting property name"):
        return "looking for beginning of object key string"
    if message.startswith("Expecting ':'"):
        return "after object key"
    if message.startswith("Expecting ','"):
        return "after array element" if before.count("[") > before.count("]") else "after object key:value pair"
    return "looking for beginning of value"
