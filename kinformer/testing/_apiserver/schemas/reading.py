"""Reads a JSON value into a Go type, and writes it again, as the API server does with every body of a built-in kind.

A field that the type does not have is left out and reported. A value of the wrong type is refused with Go's own text.
An optional field is left out when it is empty. The rules are those of sigs.k8s.io/json (a fork of encoding/json).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.schemas import scalars

if TYPE_CHECKING:
    from kinformer.testing._apiserver.schemas.go_types import Field, GoType, Struct

__all__ = ["EMPTY_COUNTS", "ReadError", "Reader", "empty"]

_ABSENT: Final = object()


class ReadError(ValueError):
    """A value does not fit its type; the text is Go's."""


class Reader:
    """Reads one body; use a new one for each.

    Args:
        fill: write the fields that Go writes even if they are not set, such as the `resources: {}` of a container.
            Without it a field that the body does not have stays away, so that defaults can be filled in.

    Attributes:
        unknown: the paths of the fields that the type does not have, as `spec.containers[0].foo`.
    """

    def __init__(self, *, fill: bool = True) -> None:
        self._fill = fill
        self.unknown: list[str] = []
        self._mismatch: str | None = None
        self._fields: list[str] = []

    def read(self, struct: Struct, value: dict[str, Any]) -> dict[str, Any]:
        """Return the value as the API server writes it again: fields in the order of the type, nothing unknown.

        Raises:
            ReadError: a field has the wrong type.
        """
        read = self._struct(struct, value, "")
        if self._mismatch is not None:
            raise ReadError(self._mismatch)
        return read

    def _struct(self, struct: Struct, value: dict[str, Any], path: str) -> dict[str, Any]:
        by_name, inlined = struct.by_name, struct.inlined
        prefix = f"{path}." if path else ""
        given: dict[str, Any] = {}
        for name, content in value.items():
            field = by_name.get(name)
            if field is None:
                self.unknown.append(prefix + name)
                continue
            if type(content) is str and field.type.form == "string":
                # Most fields are texts: they fit, and nothing asks for their path.
                given[name] = content
                continue
            # Go names the inlined structs, too.
            way = (*inlined.get(name, ()), name)
            self._fields += way
            given[name] = self._value(field.type, content, prefix + name, struct)
            del self._fields[-len(way) :]
        return _written(struct, given, fill=self._fill)

    def _value(self, type_: GoType, value: Any, path: str, within: Struct) -> Any:
        if type_.form == "pointer":
            return _ABSENT if value is None else self._value(type_.element, value, path, within)
        if type_.form == "struct":
            assert type_.struct is not None
            if type_.struct.custom:
                return self._custom(type_.struct, value, path, within)
            if value is None:
                return _ABSENT
            if not isinstance(value, dict):
                return self._wrong(scalars.kind_of_json(value), type_, within)
            return self._struct(type_.struct, value, path)
        if value is None:
            return _ABSENT
        if type_.form == "slice" and isinstance(value, list):
            element = type_.element
            items = [self._value(element, one, f"{path}[{index}]", within) for index, one in enumerate(value)]
            return [zero(element) if one is _ABSENT else one for one in items]
        if type_.form == "map" and isinstance(value, dict):
            element = type_.element
            if element.form == "string" and all(type(one) is str for one in value.values()):
                return {key: value[key] for key in sorted(value)}
            # Go writes the keys of a map in order.
            entries = {key: self._value(element, value[key], f"{path}.{key}", within) for key in sorted(value)}
            return {key: zero(element) if one is _ABSENT else one for key, one in entries.items()}
        given = _refused(type_, value)
        if given:
            return self._wrong(given, type_, within)
        return _base64(value) if type_.form == "bytes" else value

    def _wrong(self, given: str, type_: GoType, within: Struct) -> Any:
        """Note the first value of a wrong type; reading goes on, as in Go."""
        if self._mismatch is None:
            self._mismatch = self._text(given, type_.name, within)
        return _ABSENT

    def _text(self, given: str, wanted: str, within: Struct) -> str:
        where = ".".join(self._fields)
        return f"json: cannot unmarshal {given} into Go struct field {within.name}.{where} of type {wanted}"

    def _custom(self, struct: Struct, value: Any, path: str, within: Struct) -> Any:
        name = struct.name
        try:
            match name:
                case "Time":
                    return scalars.time(value)
                case "MicroTime":
                    return scalars.micro_time(value)
                case "Quantity":
                    return scalars.quantity(value)
                case "IntOrString":
                    return scalars.int_or_string(value)
        except scalars.MismatchError as error:
            raise ReadError(self._text(error.given, error.wanted, within)) from None
        except ValueError as error:
            raise ReadError(str(error)) from None
        if name.startswith("JSONSchemaPropsOr") and isinstance(value, dict):
            schema = struct.by_name["Schema"].type.target.struct
            assert schema is not None
            return self._struct(schema, value, path)
        if name == "JSONSchemaPropsOrArray" and isinstance(value, list):
            return self._value(struct.by_name["JSONSchemas"].type, value, path, struct)
        # RawExtension, FieldsV1, JSON and the rest keep the value as it is.
        return value if value is not None else _ABSENT


def _refused(type_: GoType, value: Any) -> str:
    """Return what Go calls a value that does not fit a type; "" if it fits."""
    match type_.form:
        case "any":
            return ""
        case "string" | "bytes":
            fits = isinstance(value, str)
        case "bool":
            fits = isinstance(value, bool)
        case "float":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "int":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return scalars.kind_of_json(value)
            unsigned = type_.name.rpartition(".")[2].startswith("uint")
            low, high = (0, 1 << type_.bits) if unsigned else (-(1 << type_.bits - 1), 1 << type_.bits - 1)
            return f"number {value}" if isinstance(value, float) or not low <= value < high else ""
        case _:
            fits = False
    return "" if fits else scalars.kind_of_json(value)


def _base64(text: str) -> str:
    """Return base64 as Go writes it.

    Raises:
        ReadError: it is not base64.
    """
    # Go's decoder ignores line breaks.
    text = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:
        wrong = re.search(r"[^A-Za-z0-9+/]", text.rstrip("="))
        msg = f"illegal base64 data at input byte {wrong.start() if wrong else len(text) - len(text) % 4}"
        raise ReadError(msg) from None


EMPTY_COUNTS: Final = {"policies"}
"""The lists of which an empty one is refused, while a missing one gets the default."""


def _counts(field: Field, value: Any) -> bool:
    return value == [] and field.name in EMPTY_COUNTS


def empty(value: Any) -> bool:
    """Return whether Go's `omitempty` leaves a value out."""
    return value is None or value is False or value == "" or value in (0, [], {})


def zero(type_: GoType) -> Any:
    """Return what Go writes for the zero value of a type."""
    match type_.form:
        case "string":
            return ""
        case "bool":
            return False
        case "int" | "float":
            return 0
        case "struct":
            struct = type_.struct
            assert struct is not None
            if struct.custom:
                return {"Quantity": "0", "IntOrString": 0}.get(struct.name)
            return _written(struct, {})
    return None


def _written(struct: Struct, given: dict[str, Any], *, fill: bool = True) -> dict[str, Any]:
    """Write a struct as Go does: every field in order, optional ones only where they are not empty."""
    out: dict[str, Any] = {}
    if fill:
        for field in struct.fields:
            _write(field, given, out, fill=True)
        return out
    # Fields that are not given stay away: only the given ones are looked at, in the same order.
    for name, field in struct.by_name.items():
        if name in given:
            _write(field, given, out, fill=False)
    return out


def _write(field: Field, given: dict[str, Any], out: dict[str, Any], *, fill: bool) -> None:
    if field.inline:
        inlined = field.type.target.struct
        if inlined is not None and not (field.type.form == "pointer" and not inlined.by_name.keys() & given.keys()):
            for one in inlined.fields:
                _write(one, given, out, fill=fill)
        return
    if not field.name or field.name == "-":
        return
    value = given.get(field.name, _ABSENT)
    form = field.type.form
    if value is _ABSENT:
        if not fill or (field.omit_empty and form != "struct"):
            return
        value = zero(field.type)
        if field.omit_zero and form == "struct":
            return
        if field.omit_empty and form == "struct" and value is None:
            # A time that is not set, of a field without omitzero, is null.
            out[field.name] = None
            return
    elif (field.omit_empty and form not in {"pointer", "struct"} and empty(value) and not _counts(field, value)) or (
        field.omit_zero and form == "struct" and value in (None, {})
    ):
        return
    out[field.name] = value
