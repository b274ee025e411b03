"""The structure of objects: the type of each field, the keys of each list, the parts that are one field.

Built-in kinds have theirs in the generated table of Go types (`schemas`). Custom resources have theirs in the schema of
their CRD.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from kinformer.testing._apiserver.schemas.go_types import Field, GoType, Struct, Types

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY", "ATOM", "Structure", "builtin", "builtin_type", "of_schema"]

Shape: TypeAlias = Literal["struct", "map", "list", "scalar", "any"]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The structure of a value.

    Attributes:
        shape: "struct" has named fields, "map" has free keys; "any" takes whatever it holds, and merges its maps.
        go_type: the type in Go, as error messages name it.
        go_package: the package of a struct in Go.
        item: the structure of the values of a map, or of the items of a list.
        atomic: the value is one field for server-side apply, whatever it contains.
        keys: the fields by which the items of a list differ; empty for a set of values.
        key_defaults: the values of absent key fields.
        merge_key: by which field a strategic merge patch merges the list: "" for a list of values, `None` if it
            replaces the list.
        value: Go writes the struct even if it is empty.
        always: the lists that Go writes as null if they are empty.
        keeps_unknown: undeclared fields of a struct are kept.
    """

    shape: Shape
    go_type: str = ""
    go_package: str = ""
    item: Structure | None = None
    atomic: bool = False
    keys: tuple[str, ...] = ()
    key_defaults: Mapping[str, Any] = field(default_factory=dict)
    merge_key: str | None = None
    value: bool = False
    always: tuple[str, ...] = ()
    keeps_unknown: bool = False
    _fields: Mapping[str, Any] = field(default_factory=dict)
    _made: dict[str, Structure] = field(default_factory=dict)

    def child(self, name: str) -> Structure:
        """The structure of a field or of the value at a key; `ANY` for a field that is not declared."""
        if self.shape == "struct":
            found = self._made.get(name)
            if found is None and name in self._fields:
                spec = self._fields[name]
                found = self._made[name] = spec if isinstance(spec, Structure) else _of_field(spec)
            return ANY if found is None else found
        return ANY if self.item is None else self.item

    def declares(self, name: str) -> bool:
        """Report whether a struct has a field of that name."""
        return name in self._fields

    @property
    def keeps_nulls(self) -> bool:
        """Report whether nulls are values here: in the schemas of CRDs, which hold JSON of any kind."""
        return self.go_type == "JSONSchemaProps"

    @property
    def fields(self) -> list[str]:
        """The names of the fields of a struct."""
        return [*self._fields]

    def empty(self) -> dict[str, Any]:
        """The value that Go writes for an empty struct: structs that are no pointers, and null for some lists."""
        found: dict[str, Any] = dict.fromkeys(self.always)
        for name in self._fields:
            below = self.child(name)
            if below.value:
                found[name] = below.empty()
        return found


ANY: Final = Structure("any")
"""A value of any shape, whose maps are merged."""

ATOM: Final = Structure("any", atomic=True)
"""A value of any shape that is one field."""


def builtin_type(key: str) -> Structure:
    """Return a type of the table by its key, such as `apis/meta/v1.DeleteOptions`."""
    return _of_struct(Types.of().struct(key))


def builtin(api_version: str, kind: str, types: Types | None = None) -> Structure:
    """The structure of a built-in kind; `ANY` for a kind that the table does not have.

    Args:
        api_version: such as "apps/v1".
        kind: the kind.
        types: the types of the release; by default those of the usual release.
    """
    struct = (types or Types.of()).kind(api_version, kind)
    return ANY if struct is None else _of_struct(struct)


@cache
def _of_struct(struct: Struct, *, atomic: bool = False, value: bool = False) -> Structure:
    return Structure(
        "struct",
        go_type=struct.name,
        go_package=struct.key.rpartition("/")[2].partition(".")[0],
        atomic=atomic or struct.atomic,
        value=value,
        always=tuple(one.name for one in struct.by_name.values() if one.type.form == "slice" and not one.omit_empty),
        _fields=struct.by_name,
    )


def _of_field(field: Field) -> Structure:
    """The structure of a field, with the rule that merges its list or map."""
    target = field.type.target
    if target.form == "slice":
        return Structure(
            "list",
            item=_of_type(target.element),
            atomic=field.list_type not in {"map", "set"},
            keys=field.list_keys,
            key_defaults=_key_defaults(field.list_keys, target.element),
            merge_key=field.merge_key if "merge" in field.patch else None,
        )
    return _of_type(field.type, atomic=field.atomic)


def _key_defaults(keys: tuple[str, ...], element: GoType) -> dict[str, Any]:
    """The defaults of the fields by which the items of a list differ."""
    struct = element.target.struct
    fields = {} if struct is None else struct.by_name
    return {key: fields[key].default for key in keys if key in fields and fields[key].default}


def _of_type(type_: GoType, *, atomic: bool = False) -> Structure:
    target = type_.target
    match target.form:
        case "struct":
            assert target.struct is not None
            if target.struct.custom:
                return _SELF_WRITTEN.get(target.struct.name) or ATOM
            return _of_struct(target.struct, atomic=atomic, value=type_.form == "struct")
        case "slice":
            return Structure("list", item=_of_type(target.element), atomic=True)
        case "map":
            return Structure("map", item=_of_type(target.element), atomic=atomic)
        case "any":
            return ATOM
    return _scalar({"int": f"int{target.bits}", "float": "double", "bytes": "byte"}.get(target.form, target.form))


@cache
def _scalar(go_type: str) -> Structure:
    return Structure("scalar", go_type)


_SELF_WRITTEN: Final = {
    "Time": _scalar("date-time"),
    "MicroTime": _scalar("date-time"),
    "Quantity": _scalar("quantity"),
    "IntOrString": _scalar("int-or-string"),
}


def of_schema(schema: Mapping[str, Any], *, top: bool = True) -> Structure:
    """The structure that the OpenAPI v3 schema of a CRD describes, with its list and map types."""
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    if schema.get("type") == "array":
        kind = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        items = schema.get("items") or {}
        given = {key: (items.get("properties") or {}).get(key, {}).get("default") for key in keys}
        defaults = {key: value for key, value in given.items() if value is not None}
        below = of_schema(items, top=False)
        return Structure("list", item=below, atomic=kind not in {"map", "set"}, keys=keys, key_defaults=defaults)
    if properties or top or schema.get("x-kubernetes-embedded-resource"):
        fields: dict[str, Any] = {name: of_schema(inner, top=False) for name, inner in properties.items()}
        if top or schema.get("x-kubernetes-embedded-resource"):
            fields |= {"apiVersion": _scalar("string"), "kind": _scalar("string")}
            fields["metadata"] = builtin_type("apis/meta/v1.ObjectMeta")
        return Structure("struct", atomic=atomic, keeps_unknown=keeps, _fields=fields)
    if isinstance(extra, dict):
        return Structure("map", item=of_schema(extra, top=False), atomic=atomic)
    if schema.get("type") == "object" or keeps or "type" not in schema:
        return ATOM if atomic else Structure("any", keeps_unknown=keeps)
    return _scalar(str(schema["type"]))
