"""The fields of a class, the same for msgspec Structs, dataclasses, TypedDicts and pydantic models."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from kinformer._object_classes import is_pydantic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["MISSING", "ClassField", "description_of", "fields_of", "has_fields"]

MISSING: Final[Any] = msgspec.NODEFAULT

_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {2,}(\w+)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)", re.MULTILINE)
_SECTIONS = re.compile(r"^(?:Args|Attributes|Raises|Returns|Example|Examples|Note|Yields):\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class ClassField:
    """One field of a class.

    Attributes:
        name: its name in Python.
        json_name: its name in JSON.
        type: its type, with `Annotated`.
        required: whether an object without it does not fit.
        default: its value in an object without it, or `MISSING`.
        description: its line in the `Attributes:` of the docstring; "" for none.
    """

    name: str
    json_name: str
    type: Any
    required: bool
    default: Any
    description: str


def has_fields(kind: Any) -> bool:
    """Return whether a type is a class of one of the four kinds."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or is_typeddict(kind) or is_pydantic(kind)


def fields_of(kind: type) -> list[ClassField]:
    """Return the fields of a class, in the order of their declaration.

    Raises:
        TypeError: the class has a form that a schema cannot have, such as a tag.
    """
    described = _attributes_of(kind)
    found = [*_raw_fields(kind)]
    return [dataclasses.replace(field, description=described.get(field.name, "")) for field in found]


def description_of(kind: type) -> str:
    """Return the docstring of a class without its sections; "" if it has none of its own."""
    text = kind.__dict__.get("__doc__") or ""
    if dataclasses.is_dataclass(kind) and text.startswith(f"{kind.__name__}("):
        return ""  # made by the dataclass
    return _SECTIONS.split(inspect.cleandoc(text))[0].strip()


def _attributes_of(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "") + "\n"
        section = _ATTRIBUTES.search(text) if has_fields(base) else None
        if section:
            found |= {name: " ".join(line.split()) for name, line in _ATTRIBUTE.findall(section[1])}
    return found


def _raw_fields(kind: type) -> Iterator[ClassField]:
    if is_pydantic(kind):
        yield from _of_pydantic(kind)
    elif is_typeddict(kind):
        yield from _of_typed_dict(kind)
    elif issubclass(kind, msgspec.Struct):
        config = kind.__struct_config__
        if config.tag is not None or config.array_like:
            form = "a tag" if config.tag is not None else "array_like=True"
            msg = f"{kind.__name__} has {form}, which a structural schema cannot express; leave it out"
            raise TypeError(msg)
        for field in msgspec.structs.fields(kind):
            default = _default(field.default, field.default_factory)
            yield ClassField(field.name, field.encode_name, field.type, field.required, default, "")
    else:
        hints = get_type_hints(kind, include_extras=True)
        for each in dataclasses.fields(cast("Any", kind)):
            if not each.init:
                continue
            default = _default(
                MISSING if each.default is dataclasses.MISSING else each.default,
                MISSING if each.default_factory is dataclasses.MISSING else each.default_factory,
            )
            yield ClassField(each.name, each.name, hints[each.name], default is MISSING, default, "")


def _default(default: Any, factory: Callable[[], Any] | Any) -> Any:
    return factory() if default is MISSING and factory is not MISSING else default


def _of_typed_dict(kind: Any) -> Iterator[ClassField]:
    for name, declared in get_type_hints(kind, include_extras=True).items():
        hint, required = declared, name in kind.__required_keys__
        while (word := str(get_origin(hint)).rpartition(".")[2]) in {"Required", "NotRequired", "ReadOnly"}:
            required = required if word == "ReadOnly" else word == "Required"
            (hint,) = get_args(hint)
        yield ClassField(name, name, hint, required, MISSING, "")


def _of_pydantic(kind: Any) -> Iterator[ClassField]:
    fields: Mapping[str, Any] = kind.model_fields
    for name, field in fields.items():
        alias = field.validation_alias or field.alias or name
        written = field.serialization_alias or field.alias or name
        if alias != written:
            msg = f"{kind.__name__}.{name} is read as {alias!r} and written as {written!r}; give it one alias"
            raise TypeError(msg)
        annotated: Any = Annotated
        hint = annotated[(field.annotation, *field.metadata, _described(field))]
        required = field.is_required()
        default = MISSING if required else field.get_default(call_default_factory=True)
        yield ClassField(name, written, hint, required, default, "")


def _described(field: Any) -> msgspec.Meta:
    return msgspec.Meta(title=field.title, description=field.description)
