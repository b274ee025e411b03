"""The Go types behind the API: structs with their fields, as JSON and as protobuf.

The table in the archive has a text for each type (see tests/apiserver/assets/schemas/main.go):

    string bool int32 int64 float64 bytes any    as in Go; `bytes` is base64 in JSON
    []T   map[K]T   *T                           slices, maps, pointers
    @core/v1.PodSpec                             a struct
    v1.RestartPolicy=string                      a named type and its shape
    v1.Verbs~[]string                            a named slice that protobuf has as a message with the items in field 1
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, Archive

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Field", "GoType", "Struct", "Types"]

_NAMED: Final = re.compile(r"([\w./]+)([=~])(.+)")
_INTEGERS: Final = {"int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}


@dataclass(frozen=True, slots=True)
class GoType:
    """One type.

    Attributes:
        form: "string", "bool", "int", "float", "bytes", "any", "slice", "map", "pointer" or "struct".
        name: the type as Go prints it in an error, as "[]v1.Container".
        bits: of an "int".
        of: the element of a slice, the value of a map, the target of a pointer.
        struct: the struct, of form "struct".
        wrapped: of a slice, that protobuf has it as a message with the items in field 1.
    """

    form: str
    name: str
    bits: int = 64
    of: GoType | None = None
    struct: Struct | None = None
    wrapped: bool = False

    @property
    def element(self) -> GoType:
        """The element type of a slice or map, or the target of a pointer."""
        assert self.of is not None
        return self.of

    @property
    def target(self) -> GoType:
        """The type itself, without pointers in front."""
        found = self
        while found.form == "pointer":
            found = found.element
        return found


@dataclass(slots=True)
class Field:
    """One field of a struct.

    Attributes:
        name: its JSON name; "" of an inlined struct.
        type: its type.
        number: its number in protobuf; 0 if it has none.
        wire: its wire type as the Go tag has it: "bytes", "varint", "fixed64".
        omit_empty: JSON leaves out false, 0, "", nil, and empty slices and maps.
        omit_zero: JSON leaves out a struct that has only zero values.
        inline: its fields stand in the JSON object of the parent.
        patch: strategic merge patch strategies, as ("merge", "retainKeys").
        merge_key: the key of a list that is merged by strategic merge patch.
        list_type: "atomic", "set" or "map" for server-side apply; "" if nothing is said.
        list_keys: the keys of a list of type "map".
        atomic: a map or struct that server-side apply treats as one value.
        enum: the values that OpenAPI allows; empty if it does not say.
        default: the default that OpenAPI has, with `has_default`.
        required: whether OpenAPI calls it required.
    """

    name: str
    type: GoType
    number: int = 0
    wire: str = ""
    omit_empty: bool = False
    omit_zero: bool = False
    inline: bool = False
    patch: tuple[str, ...] = ()
    merge_key: str = ""
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    atomic: bool = False
    enum: tuple[str, ...] = ()
    default: Any = None
    has_default: bool = False
    required: bool = False


@dataclass(slots=True, eq=False)
class Struct:
    """One struct type.

    Attributes:
        key: its package and name, as "core/v1.PodSpec".
        fields: its fields in the order of the Go source.
        custom: it writes itself as JSON (Time, Quantity, IntOrString, …).
        atomic: server-side apply treats it as one value.
    """

    key: str
    fields: list[Field] = field(default_factory=list)
    custom: bool = False
    atomic: bool = False
    _by_name: dict[str, Field] = field(default_factory=dict)
    _by_number: dict[int, Field] = field(default_factory=dict)
    _inlined: dict[str, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        """Its name without the package."""
        return self.key.rpartition(".")[2]

    @property
    def by_name(self) -> dict[str, Field]:
        """Its fields by JSON name, those of inlined structs among them."""
        if not self._by_name:
            self._by_name = {one.name: one for one in self._walk()}
        return self._by_name

    @property
    def by_number(self) -> dict[int, Field]:
        """Its fields by protobuf number."""
        if not self._by_number:
            self._by_number = {one.number: one for one in self.fields if one.number}
        return self._by_number

    @property
    def inlined(self) -> dict[str, tuple[str, ...]]:
        """The names of the inlined structs on the way to a field, by the JSON name of the field."""
        if self._inlined is None:
            self._inlined = {}
            for one in self.fields:
                inner = one.type.target.struct if one.inline else None
                for name in () if inner is None else inner.by_name:
                    self._inlined[name] = (inner.name, *inner.inlined.get(name, ())) if inner else ()
        return self._inlined

    def _walk(self) -> Iterator[Field]:
        for one in self.fields:
            inlined = one.type.target.struct if one.inline else None
            if inlined is not None:
                yield from inlined._walk()
            elif one.name:
                yield one


class _Table(msgspec.Struct):
    """The table as it is kept: a row is decoded when its struct is made, as all rows take five times the memory."""

    kinds: dict[str, str] = {}
    types: dict[str, msgspec.Raw] = {}


class Types:
    """All types of a Kubernetes release; each struct is made when it is first needed.

    Attributes:
        release: the release, as "1.36".
    """

    def __init__(self, release: str = DEFAULT_RELEASE) -> None:
        self.release = release
        self._archive = Archive.of(release)
        self._structs: dict[str, Struct] = {}

    @staticmethod
    def of(release: str = DEFAULT_RELEASE) -> Types:
        """Return the types of a release; the same object each time."""
        return _types_of(release)

    @cached_property
    def _table(self) -> _Table:
        return msgspec.json.decode(self._archive.read("types.json") or b"{}", type=_Table)

    def kind(self, api_version: str, kind: str) -> Struct | None:
        """Return the struct of a kind, as ("apps/v1", "Deployment"); `None` if Kubernetes has no such kind."""
        key = self._table.kinds.get(f"{api_version} {kind}")
        return None if key is None else self.struct(key)

    def kinds(self) -> list[tuple[str, str]]:
        """Return every (apiVersion, kind)."""
        split = (name.split(" ") for name in self._table.kinds)
        return [(api_version, kind) for api_version, kind in split]

    def struct(self, key: str) -> Struct:
        """Return the struct of a key, as "core/v1.PodSpec"."""
        found = self._structs.get(key)
        if found is None:
            row = msgspec.json.decode(self._table.types[key])
            # Known before its fields are read: a struct may contain itself.
            found = self._structs[key] = Struct(key, custom=row.get("custom", False), atomic=row.get("atomic", False))
            found.fields = [self._field(one) for one in row.get("fields", ())]
        return found

    def _field(self, row: dict[str, Any]) -> Field:
        options = row.get("options", "").split(",")
        return Field(
            name=row["json"],
            type=self.parse(row["type"]),
            number=int(row.get("number", 0)),
            wire=row.get("wire", ""),
            omit_empty="omitempty" in options,
            omit_zero="omitzero" in options,
            inline=row.get("inline", False),
            patch=tuple(row["patch"].split(",")) if row.get("patch") else (),
            merge_key=row.get("merge", ""),
            list_type=row.get("listType", ""),
            list_keys=tuple(row.get("listKeys", ())),
            atomic=row.get("mapType") == "atomic",
            enum=tuple(row.get("enum", ())),
            default=row.get("default"),
            has_default="default" in row,
            required=row.get("required", False),
        )

    def parse(self, text: str) -> GoType:
        """Return the type that a text of the table describes."""
        if text.startswith("*"):
            target = self.parse(text[1:])
            return GoType("pointer", "*" + target.name, of=target)
        if text.startswith("[]"):
            element = self.parse(text[2:])
            return GoType("slice", "[]" + element.name, of=element)
        if text.startswith("map["):
            key, _, value = text[4:].partition("]")
            element = self.parse(value)
            return GoType("map", f"map[{key.partition('=')[0]}]{element.name}", of=element)
        if text.startswith("@"):
            struct = self.struct(text[1:])
            return GoType("struct", struct.key.rpartition("/")[2], struct=struct)
        if match := _NAMED.fullmatch(text):
            name, sign, shape = match.groups()
            inner = self.parse(shape)
            return GoType(inner.form, name, bits=inner.bits, of=inner.of, struct=inner.struct, wrapped=sign == "~")
        name = text
        if name in _INTEGERS:
            return GoType("int", name, bits=int(name.lstrip("uint") or 64))
        if name in {"float64", "float32"}:
            return GoType("float", name)
        return GoType(name, {"bytes": "[]uint8", "any": "interface {}"}.get(name, name))


@lru_cache
def _types_of(release: str) -> Types:
    return Types(release)
