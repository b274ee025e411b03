"""Protobuf bodies of built-in kinds, to and from the JSON value that the rest of the server works on.

A body is an envelope: four bytes of magic, then a `runtime.Unknown` with the apiVersion, the kind and the raw message
(apimachinery pkg/runtime/serializer/protobuf). The field numbers are those of the Go tags.
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.schemas.go_types import Field, GoType, Struct, Types

__all__ = ["MAGIC", "MEDIA_TYPE", "ProtobufError", "decode", "encode", "encode_watch_event", "envelope", "fields_of"]

MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAX_DEPTH: Final = 100
"""Nested messages; the deepest built-in type that does not contain itself has fewer than 20."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """A body is not the protobuf message that it should be."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned varint and the place after it."""
    number = shift = 0
    while True:
        if at >= len(data):
            msg = "unexpected EOF"
            raise ProtobufError(msg)
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (1 << 64) - 1, at
        shift += 7
        if shift >= 70:
            msg = "proto: integer overflow"
            raise ProtobufError(msg)


def fields_of(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield (number, wire type, value) of each field of a message.

    Raises:
        ProtobufError: the bytes are no message.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: Any
        if number == 0:
            msg = "proto: illegal tag 0"
            raise ProtobufError(msg)
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            size, at = _varint(data, at)
            value = data[at : at + size]
            if len(value) != size:
                msg = "unexpected EOF"
                raise ProtobufError(msg)
            at += size
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
            value = data[at : at + size]
            if len(value) != size:
                msg = "unexpected EOF"
                raise ProtobufError(msg)
            at += size
        else:
            msg = f"proto: illegal wireType {wire}"
            raise ProtobufError(msg)
        yield number, wire, value


def _text(data: Any) -> str:
    if not isinstance(data, bytes):
        msg = "proto: wrong wireType for a string"
        raise ProtobufError(msg)
    try:
        return data.decode()
    except UnicodeDecodeError:
        msg = "proto: a string is not valid UTF-8"
        raise ProtobufError(msg) from None


def _signed(number: Any) -> int:
    if not isinstance(number, int):
        msg = "proto: wrong wireType for a number"
        raise ProtobufError(msg)
    return number - (1 << 64) if number >= 1 << 63 else number


def envelope(body: bytes) -> tuple[str, str, bytes]:
    """Return the apiVersion, the kind and the raw message of a body.

    Raises:
        ProtobufError: it is no envelope.
    """
    if not body.startswith(MAGIC):
        shown = " ".join(f"0x{byte:02x}" for byte in body[:4])
        expected = "expected prefix [0x6b 0x38 0x73 0x00]"
        msg = f"provided data does not appear to be a protobuf message, {expected}, got [{shown}]"
        raise ProtobufError(msg)
    api_version = kind = ""
    raw = b""
    for number, _, value in fields_of(body[4:]):
        if number == 1 and isinstance(value, bytes):
            for inner, _, content in fields_of(value):
                if inner == 1:
                    api_version = _text(content)
                elif inner == 2:
                    kind = _text(content)
        elif number == 2 and isinstance(value, bytes):
            raw = value
    return api_version, kind, raw


def decode(body: bytes, types: Types, default: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """Return a body as the JSON value that means the same.

    Args:
        body: the envelope.
        types: the types of the release.
        default: the apiVersion and kind where the envelope does not say.

    Raises:
        ProtobufError: it is no such message, or the kind has no protobuf form.
    """
    api_version, kind, raw = envelope(body)
    api_version, kind = api_version or default[0], kind or default[1]
    found = types.kind(api_version, kind)
    if found is None:
        msg = f'no kind "{kind}" is registered for version "{api_version}"'
        raise ProtobufError(msg)
    return {"kind": kind, "apiVersion": api_version} | _message(found, raw, 0)


def _message(found: Struct, data: bytes, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        msg = "proto: message nested too deeply"
        raise ProtobufError(msg)
    out: dict[str, Any] = {}
    by_number = found.by_number
    for number, wire, value in fields_of(data):
        field = by_number.get(number)
        if field is None:
            continue
        _check_wire(field.type, wire, field.name or str(number))
        if field.inline:
            inlined = field.type.target.struct
            assert inlined is not None
            out |= _message(inlined, value, depth + 1)
            continue
        type_ = field.type.target
        if type_.form == "slice" and not type_.wrapped:
            out.setdefault(field.name, []).append(_value(type_.element, value, depth))
        elif type_.form == "map":
            key, content = _entry(type_.element, value, depth)
            out.setdefault(field.name, {})[key] = content
        else:
            out[field.name] = _value(type_, value, depth)
    return out


def _wire_of(type_: GoType) -> int:
    target = type_.target
    if target.form == "slice" and not target.wrapped:
        target = target.element.target
    return {"bool": _VARINT, "int": _VARINT, "float": _FIXED64}.get(target.form, _BYTES)


def _check_wire(type_: GoType, wire: int, name: str) -> None:
    """Refuse a field that is on the wire in another form than its type has."""
    if wire != _wire_of(type_):
        msg = f"proto: wrong wireType = {wire} for field {name}"
        raise ProtobufError(msg)


def _entry(element: GoType, data: bytes, depth: int) -> tuple[str, Any]:
    key, content = "", None
    for number, wire, value in fields_of(data):
        if number == 1:
            key = _text(value)
        elif number == 2:
            _check_wire(element, wire, "value")
            content = _value(element, value, depth)
    if content is None:
        content = _value(element, b"" if _wire_of(element) == _BYTES else 0, depth)
    return key, content


def _value(type_: GoType, value: Any, depth: int) -> Any:
    target = type_.target
    match target.form:
        case "bool":
            return bool(value)
        case "int":
            return _signed(value)
        case "float":
            return struct.unpack("<d", value)[0]
        case "string":
            return _text(value)
        case "bytes":
            return base64.b64encode(value).decode()
        case "slice":
            # A wrapped slice is a message with the items in field 1.
            items = []
            for number, wire, item in fields_of(value):
                if number == 1:
                    _check_wire(target.element, wire, "items")
                    items.append(_value(target.element, item, depth + 1))
            return items
        case "struct":
            assert target.struct is not None
            if target.struct.custom:
                return _custom(target.struct, value, depth)
            return _message(target.struct, value, depth + 1)
    msg = f"proto: a field of type {target.name} has no protobuf form"
    raise ProtobufError(msg)


def _custom(found: Struct, data: bytes, depth: int) -> Any:
    fields = {number: value for number, _, value in fields_of(data)}
    match found.name:
        case "Time" | "MicroTime":
            return _time(fields, micro=found.name == "MicroTime")
        case "Quantity":
            return _text(fields.get(1, b"0")) or "0"
        case "IntOrString":
            if fields.get(1, 0) == 1:
                return _text(fields.get(3, b""))
            return _signed(fields.get(2, 0))
        case "RawExtension" | "FieldsV1" | "JSON":
            raw = fields.get(1, b"")
            try:
                return msgspec.json.decode(raw) if raw else None
            except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
                msg = f"proto: a {found.name} does not hold JSON"
                raise ProtobufError(msg) from None
    return _schema_or(found, data, depth)


def _schema_or(found: Struct, data: bytes, depth: int) -> Any:
    """JSONSchemaPropsOrBool, …OrArray and …OrStringArray: the one of two forms that is there."""
    message = _message(found, data, depth + 1)
    if "Schema" in message:
        return message["Schema"]
    for name in ("JSONSchemas", "Property"):
        if name in message:
            return message[name]
    return message.get("Allows")


def _time(fields: dict[int, Any], *, micro: bool) -> str | None:
    seconds, nanos = _signed(fields.get(1, 0)), _signed(fields.get(2, 0))
    if seconds == 0 and nanos == 0:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        msg = "proto: a time is out of range"
        raise ProtobufError(msg) from None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{text}.{nanos // 1000:06d}Z" if micro else f"{text}Z"


def _put_varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _put(number: int, wire: int, content: bytes) -> bytes:
    tag = _put_varint(number << 3 | wire)
    return tag + _put_varint(len(content)) + content if wire == _BYTES else tag + content


def encode(obj: dict[str, Any], types: Types) -> bytes | None:
    """Return an object or a list as a protobuf body; `None` if its kind has no protobuf form."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    found = types.kind(api_version, kind)
    if found is None or kind == "Table":
        # The cells of a table are of any type, which protobuf has not.
        return None
    meta = _put(1, _BYTES, api_version.encode()) + _put(2, _BYTES, kind.encode())
    return MAGIC + _put(1, _BYTES, meta) + _put(2, _BYTES, _put_message(found, obj))


def encode_watch_event(kind: str, body: bytes) -> bytes:
    """Return one frame of a watch: a length, then a `meta/v1.WatchEvent` around the object's body.

    Args:
        kind: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
        body: what `encode` returned for the object.
    """
    event = _put(1, _BYTES, kind.encode()) + _put(2, _BYTES, _put(1, _BYTES, body))
    return struct.pack(">I", len(event)) + event


def _put_message(found: Struct, value: dict[str, Any]) -> bytes:
    out = bytearray()
    for field in found.fields:
        if not field.number:
            continue
        if field.inline:
            inlined = field.type.target.struct
            assert inlined is not None
            if inlined.by_name.keys() & value.keys():
                out += _put(field.number, _BYTES, _put_message(inlined, value))
            continue
        content = value.get(field.name)
        if content is not None:
            out += _put_field(field, content)
    return bytes(out)


def _put_field(field: Field, content: Any) -> bytes:
    type_ = field.type.target
    wire = _wire_of(type_)
    if type_.form == "slice" and not type_.wrapped:
        return b"".join(_put(field.number, wire, _put_value(type_.element, one)) for one in content)
    if type_.form == "map":
        element_wire = _wire_of(type_.element)
        entries = (
            _put(1, _BYTES, key.encode()) + _put(2, element_wire, _put_value(type_.element, one))
            for key, one in sorted(content.items())
        )
        return b"".join(_put(field.number, _BYTES, entry) for entry in entries)
    return _put(field.number, wire, _put_value(type_, content))


def _put_value(type_: GoType, value: Any) -> bytes:
    target = type_.target
    match target.form:
        case "bool" | "int":
            return _put_varint(int(value or 0))
        case "float":
            return struct.pack("<d", float(value or 0))
        case "string":
            return str(value if value is not None else "").encode()
        case "bytes":
            return base64.b64decode(value or "")
        case "slice":
            return b"".join(_put(1, _wire_of(target.element), _put_value(target.element, one)) for one in value or ())
        case "struct":
            assert target.struct is not None
            if target.struct.custom:
                return _put_custom(target.struct, value)
            return _put_message(target.struct, value or {})
    return b""


def _put_custom(found: Struct, value: Any) -> bytes:
    match found.name:
        case "Time" | "MicroTime":
            if value is None:
                return b""
            moment = datetime.fromisoformat(value)
            nanos = _put(2, _VARINT, _put_varint(moment.microsecond * 1000)) if moment.microsecond else b""
            return _put(1, _VARINT, _put_varint(int(moment.timestamp() // 1))) + nanos
        case "Quantity":
            return _put(1, _BYTES, str(value if value is not None else "0").encode())
        case "IntOrString":
            if isinstance(value, str):
                return _put(1, _VARINT, b"\x01") + _put(2, _VARINT, b"\x00") + _put(3, _BYTES, value.encode())
            return _put(1, _VARINT, b"\x00") + _put(2, _VARINT, _put_varint(int(value or 0))) + _put(3, _BYTES, b"")
        case "RawExtension" | "FieldsV1" | "JSON":
            return b"" if value is None else _put(1, _BYTES, msgspec.json.encode(value))
    fields = found.by_name
    if isinstance(value, bool):
        return _put(fields["Allows"].number, _VARINT, _put_varint(value))
    if isinstance(value, list):
        name = "JSONSchemas" if "JSONSchemas" in fields else "Property"
        return _put_field(fields[name], value)
    allows = _put(fields["Allows"].number, _VARINT, b"\x01") if "Allows" in fields else b""
    return allows + _put_field(fields["Schema"], value)
