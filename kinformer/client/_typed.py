"""Answers as objects of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kinformer._object_classes import decoder_of, is_pydantic, reason_of
from kinformer.errors import DecodeError

if TYPE_CHECKING:
    from kinformer.objects import KubeObject

__all__ = ["typed"]

T = TypeVar("T")


def typed(obj: KubeObject, into: type[T]) -> T:
    """Return an object as one of a class.

    Raises:
        DecodeError: it does not fit; the message names the field, never a value.
    """
    try:
        return decoder_of(into)(obj.to_decodable())
    except ValueError as cause:
        msg = f"does not fit {into.__name__}: {reason_of(cause)}"
        # pydantic's own message quotes the input.
        hidden = None if is_pydantic(into) else cause
        raise DecodeError(msg, key=str(obj.key), resource=obj.resource.full_name) from hidden
