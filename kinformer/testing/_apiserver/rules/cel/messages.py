"""The values of named types that an expression makes, as `Object.spec{replicas: 1}`, and JSON of any value."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from kinformer.testing._apiserver.rules.cel.functions import FUNCTIONS
from kinformer.testing._apiserver.rules.cel.values import Optional, Quantity

__all__ = ["Made", "WrongTypeError", "plain_value"]


class WrongTypeError(Exception):
    """A value stands where one of another name belongs."""


class Made(dict[str, Any]):
    """A value of a named type.

    Attributes:
        type: the name of the type, as "Object.spec".
    """

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.type = name


def plain_value(value: Any, path: str = "") -> Any:
    """Return a value as JSON.

    Args:
        value: the value of an expression.
        path: the name that a value of a named type must have here; "" for any.

    Raises:
        WrongTypeError: a value of a named type has the name of another place.
    """
    if isinstance(value, Made):
        root = value.type.partition(".")[0]
        wanted = path or (root if root == "JSONPatch" else value.type)
        if value.type != wanted and root != "JSONPatch":
            msg = f'unexpected type name "{value.type}", expected "{wanted}"'
            raise WrongTypeError(f"{msg}, which matches field name path from root Object type")
        # The value of a patch begins with a type of any name.
        below = wanted if root == "Object" else ""
        return {name: plain_value(one, f"{below}.{name}" if below else "") for name, one in value.items()}
    if isinstance(value, dict):
        return {name: plain_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain_value(one, path) for one in value]
    if isinstance(value, Optional):
        return plain_value(value.value, path) if value.is_set else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | timedelta):
        return FUNCTIONS["string"](value)
    if isinstance(value, Quantity):
        return str(value.number)
    return value
