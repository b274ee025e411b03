"""Markers for the types of fields, given by `Annotated`: rules, kinds of lists and maps, unknown fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

__all__ = [
    "Column",
    "EmbeddedResource",
    "FieldCount",
    "Format",
    "ListType",
    "MapType",
    "PreserveUnknownFields",
    "Quantity",
    "Rule",
    "Scale",
    "at_most_one_of",
    "exactly_one_of",
]

# The words of CEL that are escaped as `__name__` in rules: Kubernetes' page on CustomResourceDefinitions.
_CEL_WORDS: Final = (
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void"
    "|while"
)
_CEL_NAME: Final = re.compile(rf"(?!(?:{_CEL_WORDS})$)[a-zA-Z_][a-zA-Z0-9_]*(?<!__)")

_FORMATS: Final = {
    "integer": ("int32", "int64"),
    "number": ("float", "double"),
    "string": (
        *("byte", "date", "date-time", "duration", "uuid", "password"),
        *("cidr", "email", "hostname", "ipv4", "ipv6", "mac", "uri"),
    ),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in the Common Expression Language, that the API server checks (`x-kubernetes-validations`).

        replicas: Annotated[int, Rule("self == oldSelf", "replicas cannot be changed")]

    Only the server evaluates it: decoding an object does not.

    Attributes:
        rule: the expression; `self` is the value, `oldSelf` the value before.
        message: the text of the refusal; the server shows the rule when it is left out.
        reason: "FieldValueInvalid" (the default), "FieldValueForbidden", "FieldValueRequired" or "FieldValueDuplicate".
        field_path: the field that the refusal names, such as ".spec.replicas"; the value itself by default.
        message_expression: an expression that makes the text; `message` is used if it fails.
        optional_old_self: whether a rule with `oldSelf` counts for new objects, too; `oldSelf` is then an optional
            value, as in "!oldSelf.hasValue() || self == oldSelf.value()".
    """

    rule: str
    message: str = ""
    reason: str = ""
    field_path: str = ""
    message_expression: str = ""
    optional_old_self: bool = False


def exactly_one_of(*fields: str) -> Rule:
    """Return the rule that one of these fields is set, and no other one of them: a union.

        class Source(msgspec.Struct, omit_defaults=True):
            git: Git | None = None
            image: Image | None = None

        source: Annotated[Source, exactly_one_of("git", "image")]

    It is controller-gen's marker `ExactlyOneOf`.

    Args:
        fields: at least two fields of the class, by their names in JSON; none of them has a default but None.

    Raises:
        ValueError: there are fewer than two fields, or a name cannot stand in a rule.
    """
    return _count_rule(fields, "== 1", "exactly one of")


def at_most_one_of(*fields: str) -> Rule:
    """Return the rule that one of these fields is set, or none; see `exactly_one_of`.

    Raises:
        ValueError: there are fewer than two fields, or a name cannot stand in a rule.
    """
    return _count_rule(fields, "<= 1", "at most one of")


def _count_rule(fields: tuple[str, ...], count: str, words: str) -> Rule:
    if len(set(fields)) < 2 or len(set(fields)) < len(fields):
        msg = f"{words} {', '.join(fields) or 'nothing'}: give two or more different fields"
        raise ValueError(msg)
    if wrong := [field for field in fields if not _CEL_NAME.fullmatch(field)]:
        msg = f"{words} {', '.join(fields)}: write a Rule, because {wrong[0]!r} needs an escaped name in CEL"
        raise ValueError(msg)
    present = ", ".join(f"has(self.{field})" for field in fields)
    return Rule(f"[{present}].filter(is_set, is_set).size() {count}", f"{words} {', '.join(fields)} must be set")


@dataclass(frozen=True, slots=True)
class ListType:
    """The way in which server-side apply merges a list (`x-kubernetes-list-type`).

    Attributes:
        type: "atomic" for a list with one owner, "set" for unique values, "map" for items that have keys.
        keys: the fields of the items that are their key together; for "map" only.

    Raises:
        ValueError: "map" without keys, or keys without "map".
    """

    type: Literal["atomic", "set", "map"]
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in {"atomic", "set", "map"}:
            msg = f"ListType({self.type!r}): a list is 'atomic', a 'set' or a 'map'"
            raise ValueError(msg)
        if (self.type == "map") != bool(self.keys):
            msg = f"ListType({self.type!r}, keys={self.keys!r}): a list of type 'map' has keys, and no other one has"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class MapType:
    """The way in which server-side apply merges an object (`x-kubernetes-map-type`).

    Attributes:
        type: "granular", so that each field has an owner of its own (the default), or "atomic".
    """

    type: Literal["granular", "atomic"]


@dataclass(frozen=True, slots=True)
class PreserveUnknownFields:
    """The API server keeps fields that the schema does not have (`x-kubernetes-preserve-unknown-fields`)."""


@dataclass(frozen=True, slots=True)
class EmbeddedResource:
    """The field holds a whole Kubernetes object with its apiVersion, kind and metadata; the server checks these."""


@dataclass(frozen=True, slots=True)
class FieldCount:
    """The number of fields that an object of a class has (`minProperties`, `maxProperties`).

        target: Annotated[Target, FieldCount(at_least=1, at_most=1)]

    Only the server checks it: decoding an object does not. Fields that the server fills in from defaults count.
    For a dict, `msgspec.Meta(min_length=..., max_length=...)` is checked by both.

    Attributes:
        at_least: the least number.
        at_most: the greatest number; `None` for any.

    Raises:
        ValueError: a number is negative, or the least one is more than the greatest.
    """

    at_least: int = 0
    at_most: int | None = None

    def __post_init__(self) -> None:
        if self.at_least < 0 or (self.at_most is not None and self.at_most < self.at_least):
            msg = f"{self}: no object has such a number of fields"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a value, such as Go's `int32`.

        replicas: Annotated[int, Format("int32")] = 1

    Only the server checks it: decoding an object does not. The formats are those of kube-openapi
    (pkg/validation/strfmt) which say more than a type.

    Attributes:
        name: for an int "int32" or "int64" (the default); for a float "float" or "double" (the default); for a str
            "byte", "cidr", "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "mac", "password",
            "uri" or "uuid".

    Raises:
        ValueError: there is no such format. A format of another type is refused when the class is defined.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.types:
            known = ", ".join(sorted(name for names in _FORMATS.values() for name in names))
            msg = f"Format({self.name!r}): the server knows {known}"
            raise ValueError(msg)

    @property
    def types(self) -> tuple[str, ...]:
        """The JSON types that can have this format."""
        return tuple(kind for kind, names in _FORMATS.items() if self.name in names)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that `kubectl get` shows.

    Attributes:
        name: the title of the column.
        json_path: the field, such as ".spec.replicas".
        type: "string", "integer", "number", "boolean" or "date".
        description: one sentence.
        priority: 0 to show it always, more to show it with `-o wide` only.
        format: such as "int32"; none by default.
    """

    name: str
    json_path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """The fields that `kubectl scale` and autoscalers use (the subresource `scale`).

    Attributes:
        spec: the JSON path of the wanted number of replicas.
        status: the JSON path of the present number.
        selector: the JSON path of the label selector, as a string; needed by a HorizontalPodAutoscaler.
    """

    spec: str = ".spec.replicas"
    status: str = ".status.replicas"
    selector: str = ""


_NUMBER: Final = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"

Quantity: TypeAlias = (
    int | Annotated[str, msgspec.Meta(pattern=rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_NUMBER}))?$")]
)
"""The type of a field with an amount of a resource, such as `1500m` or `1Gi` (apimachinery, resource.Quantity).

The schema is the one that controller-gen makes. The value stays as it is written.
"""
