"""Classes that objects are decoded into: msgspec Structs, dataclasses, TypedDicts and pydantic models."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast, is_typeddict

import msgspec
import msgspec.inspect

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoder_of", "is_pydantic", "plain_of", "reason_of"]

T = TypeVar("T")


def is_pydantic(kind: object) -> bool:
    """Return whether a class is a pydantic model; pydantic need not be imported for that."""
    return isinstance(kind, type) and hasattr(kind, "model_validate_json") and hasattr(kind, "model_fields")


def decoder_of(into: type[T]) -> Callable[[bytes], T]:
    """Return the function that decodes JSON into a class. It raises a ValueError for an object that does not fit.

    Raises:
        TypeError: neither msgspec nor pydantic can make one.
    """
    validate = getattr(into, "model_validate_json", None)
    if validate is not None:
        return cast("Callable[[bytes], T]", validate)
    kind: Any = into
    try:
        return _msgspec_decoder_of(kind)
    except TypeError as error:
        named = f"type={into!r} cannot be decoded into"
        if _is_class_of_objects(into):
            # It is of a right kind, so the fault is in a part of it, which msgspec names.
            msg = f"{named}: {error}"
        else:
            msg = f"{named}: it must be a msgspec.Struct, dataclass, TypedDict or pydantic model"
        raise TypeError(msg) from error


@functools.lru_cache(maxsize=256)
def _msgspec_decoder_of(into: Any) -> Callable[[bytes], Any]:
    """Return the decoder of a class. An operator needs the same few with each write, and one takes 0.7 ms to make.

    Raises:
        TypeError: msgspec cannot make one, or the argument has no hash and so is no class.
    """
    # msgspec accepts a class that it does not know, too, and then fails at each object.
    if not _is_object(msgspec.inspect.type_info(into)):
        raise TypeError("no class of objects")
    return msgspec.json.Decoder(into).decode


def _is_class_of_objects(kind: object) -> bool:
    if not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or is_typeddict(kind)


def _is_object(info: msgspec.inspect.Type) -> bool:
    """Return whether a type of msgspec accepts a JSON object. Others would fail at each object of a cluster."""
    if isinstance(info, msgspec.inspect.UnionType):
        return all(map(_is_object, info.types))
    return isinstance(
        info,
        msgspec.inspect.StructType
        | msgspec.inspect.DataclassType
        | msgspec.inspect.TypedDictType
        | msgspec.inspect.DictType
        | msgspec.inspect.AnyType
        | msgspec.inspect.RawType,
    )


def reason_of(cause: ValueError) -> str:
    """Return why an object does not fit, without the object's values.

    pydantic's message quotes the input, which may be a Secret's; its list of errors can do without.
    """
    details = getattr(cause, "errors", None)
    if details is None:
        return str(cause)
    first = details(include_input=False, include_url=False)[0]
    return f"{first['msg']} - at `$.{'.'.join(map(str, first['loc']))}`"


def plain_of(value: Any) -> Any:
    """Return an object of such a class as plain data for JSON, with the names that the JSON has.

    Raises:
        TypeError: a part of it has no form in JSON.
    """
    if is_pydantic(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct | dict | list | tuple | set | frozenset):
        return msgspec.to_builtins(value, str_keys=True, enc_hook=_of_a_part)
    return msgspec.to_builtins(value, enc_hook=_of_a_part)


def _of_a_part(value: Any) -> Any:
    if is_pydantic(type(value)):
        return plain_of(value)
    msg = f"a {type(value).__name__} has no form in JSON"
    raise TypeError(msg)
