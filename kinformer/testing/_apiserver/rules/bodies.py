"""The one door for bodies: an object of the expected kind, whose fields have the types of that kind.

Everything behind the door may rely on the types. The texts are those of Go's `encoding/json` and of apimachinery.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kinformer.testing._apiserver.schemas import scalars
from kinformer.testing._apiserver.schemas.go_types import Types
from kinformer.testing._apiserver.schemas.reading import Reader, ReadError
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.structure import builtin_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.testing._apiserver.schemas.go_types import Struct
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.structure import Structure

__all__ = [
    "ReadBody",
    "as_object",
    "check_object",
    "check_types",
    "not_strict",
    "of_kind",
    "of_type",
    "patched_kind_fault",
    "read_built_in",
    "type_fault",
]

_GO_WORDS: Final[dict[type, str]] = {
    **dict.fromkeys((int, float), "number"),
    str: "string",
    bool: "bool",
    dict: "object",
    list: "array",
    type(None): "null",
}
_SCHEME: Final = "pkg/runtime/scheme.go:111"
"""The place that errors of a kube-apiserver name as the registry of its kinds."""

_BOUNDS: Final = {"int32": 1 << 31, "int64": 1 << 63}


class _Place(NamedTuple):
    """The place of a value: the innermost struct, as Go names it, and the names of the fields on the way."""

    struct: str
    path: tuple[str, ...] = ()


def as_object(body: Any, kind: str) -> dict[str, Any]:
    """The body as a JSON object; null is an empty one, as Go reads it.

    Raises:
        Refusal: 400.
    """
    if body is None:
        return {}
    if isinstance(body, dict):
        return body
    raw = msgspec.json.encode(body).hex()
    msg = f"the object provided is unrecognized (must be of type {kind}): {_no_object(body)} ({raw})"
    raise status.bad_request(msg)


def _no_object(body: Any) -> str:
    shape = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
    found = _GO_WORDS[type(body)]
    return f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {shape}"


def of_kind(body: Any, kind: str, api_version: str, structure: Structure) -> dict[str, Any]:
    """The body as an object of a kind, with its kind and version filled in; nulls are dropped, as Go reads them.

    Raises:
        Refusal: 400.
    """
    given = as_object(body, kind)
    _check_kind(given, kind, api_version, Types.of())
    check_types(given, kind, api_version.rpartition("/")[2], structure)
    read: dict[str, Any] = _without_nulls(given)
    return {"kind": kind, "apiVersion": api_version} | read


def of_type(body: Any, name: str) -> dict[str, Any]:
    """The body as a type of the table, such as `apis/meta/v1.DeleteOptions`, which may be sent in any version.

    Raises:
        Refusal: 400.
    """
    structure = builtin_type(name)
    kind = structure.go_type
    given = {} if body is None else body
    if not isinstance(given, dict):
        raise status.bad_request(_no_object(given))
    if fault := type_fault(given, structure, kind):
        raise status.bad_request(fault)
    if given.get("kind") not in {None, "", kind}:
        version = given.get("apiVersion") or "v1"
        msg = f'no kind "{given["kind"]}" is registered for version "{version}" in scheme "{_SCHEME}"'
        raise status.bad_request(msg)
    read: dict[str, Any] = _without_nulls(given)
    return read


def _check_kind(given: Mapping[str, Any], kind: str, api_version: str, types: Types) -> None:
    version, name = given.get("apiVersion") or api_version, given.get("kind") or kind
    if not isinstance(version, str) or not isinstance(name, str) or (version, name) == (api_version, kind):
        return
    expected, known = (types.kind(*one) for one in ((api_version, kind), (version, name)))
    if expected is None or (known is not None and name == kind):
        if version != api_version:
            msg = f"the API version in the data ({version}) does not match the expected API version ({api_version})"
        else:
            msg = f'{name} in version "{api_version}" cannot be handled as a {kind}: no kind "{name}" is registered'
        raise status.bad_request(msg)
    why = _other_kind(name, version, kind, expected, known)
    msg = f'{name} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind}: {why}'
    raise status.bad_request(msg)


def _other_kind(name: str, version: str, kind: str, expected: Struct, known: Struct | None) -> str:
    """The reason why an object of one kind does not stand for one of another, in the words of the scheme."""
    if known is None:
        return f'no kind "{name}" is registered for version "{version}" in scheme "{_SCHEME}"'
    package = expected.key.partition("/")[0]
    return f"converting ({known.key.rpartition('/')[2]}) to ({package}.{kind}): unknown conversion"


def patched_kind_fault(patched: Mapping[str, Any], kind: str, api_version: str, types: Types) -> str:
    """The reason why a patched object is none of its kind any more; "" if it is.

    Another version of the same kind is no fault: the object is read in that version.
    """
    name, version = patched.get("kind") or kind, patched.get("apiVersion") or api_version
    if not isinstance(name, str) or not isinstance(version, str):
        return ""
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    expected, known = (types.kind(*one) for one in ((api_version, kind), (version, name)))
    same_group = version.rpartition("/")[0] == api_version.rpartition("/")[0]
    if expected is None or (known is not None and name == kind and same_group):
        return ""
    return _other_kind(name, version, kind, expected, known)


def check_types(given: Any, kind: str, version: str, structure: Structure) -> None:
    """Refuse an object whose fields have other types than those of its kind.

    Raises:
        Refusal: 400.
    """
    fault = type_fault(given, structure, kind)
    if fault:
        msg = f'{kind} in version "{version}" cannot be handled as a {kind}: {fault}'
        raise status.bad_request(msg)


def type_fault(given: Any, structure: Structure, kind: str) -> str:
    """The first field whose type does not fit, in Go's words; "" if all fit."""
    return _fault(given, structure, _Place(structure.go_type or kind))


def _fault(value: Any, structure: Structure, place: _Place) -> str:
    if value is None or structure.shape == "any":
        return ""
    if structure.shape == "scalar":
        return _scalar_fault(value, structure.go_type, place)
    if structure.shape == "list":
        if not isinstance(value, list):
            return _mismatch(value, _go_type(structure), place)
        below = structure.child("")
        return next((fault for item in value if (fault := _fault(item, below, place))), "")
    if not isinstance(value, dict):
        return _mismatch(value, _go_type(structure), place)
    for name, child in value.items():
        inner = structure.child(name)
        at = place
        if structure.shape == "struct":
            at = _Place(structure.go_type or place.struct, (*place.path, name))
        if fault := _fault(child, inner, at):
            return fault
    return ""


def _scalar_fault(value: Any, go_type: str, place: _Place) -> str:
    match go_type:
        case "string" | "date-time":
            return "" if isinstance(value, str) else _mismatch(value, "string", place)
        case "bool" | "boolean":
            return "" if isinstance(value, bool) else _mismatch(value, "bool", place)
        case "int32" | "int64" | "integer":
            bound = _BOUNDS.get(go_type, 1 << 63)
            if type(value) is int and -bound <= value < bound:
                return ""
            return _mismatch(value, go_type, place, number=f" {value}")
        case "double" | "number":
            return "" if type(value) in {int, float} else _mismatch(value, "float64", place)
        case "byte":
            return _base64_fault(value) if isinstance(value, str) else _mismatch(value, "[]uint8", place)
        case "quantity":
            if type(value) in {int, float}:
                return ""
            if not isinstance(value, str):
                return scalars.NO_QUANTITY
            try:
                scalars.quantity(value)
            except ValueError as error:
                return str(error)
            return ""
        case "int-or-string":
            return "" if type(value) in {int, str} else _mismatch(value, "int32", place, number=f" {value}")
    return ""


def _base64_fault(text: str) -> str:
    plain = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/]", text)
        return f"illegal base64 data at input byte {bad.start() if bad else len(text)}"
    return ""


def _go_type(structure: Structure) -> str:
    if structure.shape == "list" and structure.item is not None:
        return f"[]{_go_type(structure.item)}"
    if structure.shape == "map" and structure.item is not None:
        return f"map[string]{_go_type(structure.item)}"
    if structure.shape == "struct":
        return f"{structure.go_package}.{structure.go_type}" if structure.go_package else structure.go_type
    named = {"quantity": "resource.Quantity", "int-or-string": "intstr.IntOrString", "byte": "[]uint8"}
    return named.get(structure.go_type, structure.go_type)


def _mismatch(value: Any, go_type: str, place: _Place, *, number: str = "") -> str:
    found = _GO_WORDS.get(type(value), "null")
    shown = number if found == "number" else ""
    where = ".".join((place.struct, *place.path))
    return f"json: cannot unmarshal {found}{shown} into Go struct field {where} of type {go_type}"


def _without_nulls(value: Any) -> Any:
    """A copy without nulls."""
    if isinstance(value, dict):
        return {name: _without_nulls(child) for name, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nulls(child) for child in value]
    return value


def _check_named(kind: ResourceType, given: dict[str, Any]) -> None:
    """Refuse a custom resource that does not name its kind and version."""
    for field, go_name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not given.get(field):
            raw = msgspec.json.encode(given).decode()
            why = f"Object '{go_name}' is missing in '{raw}' ({raw})"
            raise status.bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why}")


def not_strict(kind: ResourceType, faults: Sequence[str]) -> status.Refusal:
    """Return the refusal of an object that is decoded strictly, and has fields that its kind does not have."""
    why = f"strict decoding error: {', '.join(faults)}"
    return status.bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


class ReadBody(NamedTuple):
    """A body as Go reads it, and the paths of the fields that its kind does not have."""

    manifest: dict[str, Any]
    unknown: list[str]


def read_built_in(kind: ResourceType, given: dict[str, Any], unknown: list[str]) -> dict[str, Any]:
    """Return an object of a built-in kind as Go reads it: without unknown fields, nulls and empty options.

    Args:
        kind: the kind.
        given: the object.
        unknown: receives the paths of the fields that the kind does not have.

    Raises:
        ReadError: a field has another type than that of the kind.
    """
    struct = kind.types.kind(kind.api_version, kind.kind)
    if struct is None:
        if fault := type_fault(given, kind.structure, kind.kind):
            raise ReadError(fault)
        return given
    reader = Reader(fill=False)
    read = reader.read(struct, given)
    unknown += reader.unknown
    return read


def check_object(
    kind: ResourceType,
    manifest: Any,
    namespace: str,
    *,
    unknown: list[str] | None = None,
    applied: bool = False,
    read: ReadBody | None = None,
) -> dict[str, Any]:
    """The body of a write to a resource, if it is an object of that kind for that place.

    Args:
        kind: the kind.
        manifest: the body.
        namespace: the namespace of the request; "" of a cluster-scoped kind.
        unknown: receives the paths of the fields that a built-in kind does not have; the object loses them.
        applied: the body is a configuration to be applied, of which nothing is left out and nothing filled in.
        read: the body as `read_built_in` has read it; `None` if it has not been read yet.

    Raises:
        Refusal: 400.
    """
    given = as_object(manifest, kind.kind)
    _check_kind(given, kind.kind, kind.api_version, kind.types)
    structure = kind.structure
    if kind.custom:
        _check_named(kind, given)
        # The schema of a CRD is judged later, with all its faults at once; its metadata is read here.
        checked = {name: given[name] for name in ("kind", "apiVersion", "metadata") if name in given}
        check_types(checked, kind.kind, kind.version, structure)
    elif applied:
        check_types(given, kind.kind, kind.version, structure)
    elif read is not None:
        given = read.manifest
        if unknown is not None:
            unknown += read.unknown
    else:
        try:
            given = read_built_in(kind, given, [] if unknown is None else unknown)
        except ReadError as error:
            msg = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
            raise status.bad_request(msg) from None
    metadata = dict(given.get("metadata") or {})
    if kind.namespaced and metadata.get("namespace") not in {None, "", namespace}:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    # Kind and version stand first, as they do on the wire.
    named = {"kind": kind.kind, "apiVersion": kind.api_version}
    return named | given | {"metadata": metadata} | named
