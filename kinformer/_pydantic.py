"""The form in which pydantic writes a class of ours: the plain dict of its fields.

pydantic's core reads the table of a subclass of dict itself, and so undecoded values; of another mapping it knows
nothing. But for a value of no declared type it first asks the class for `__pydantic_serializer__`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PydanticSerializer", "instance_schema"]


class PydanticSerializer:
    """The `__pydantic_serializer__` of a class. It is made when pydantic first asks; pydantic itself is not imported.

    Args:
        plain: returns the plain dict of a value.
    """

    def __init__(self, plain: Callable[[Any], dict[str, Any]]) -> None:
        self._plain = plain
        self._made: Any = None

    def __get__(self, instance: object, owner: type) -> Any:
        if self._made is None:
            core = importlib.import_module("pydantic_core")
            self._made = core.SchemaSerializer(_any_written_as(self._plain, core.core_schema))
        return self._made


def instance_schema(owner: type, plain: Callable[[Any], dict[str, Any]]) -> Any:
    """Return the pydantic schema of a class: its instances are taken as they are, and written as plain dicts."""
    schemas = importlib.import_module("pydantic_core").core_schema
    return schemas.json_or_python_schema(
        json_schema=schemas.dict_schema(),
        python_schema=schemas.is_instance_schema(owner),
        serialization=schemas.plain_serializer_function_ser_schema(plain, return_schema=schemas.dict_schema()),
    )


def _any_written_as(plain: Callable[[Any], dict[str, Any]], schemas: Any) -> Any:
    return schemas.any_schema(serialization=schemas.plain_serializer_function_ser_schema(plain))
