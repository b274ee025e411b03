"""Manifests without the data of Secrets, and without names and values. Pure.

The types of Kubernetes, and the schemas of CRDs, say which parts of an object belong to its shape: the names of fields
stay, and so do closed sets of values, times and versions. Keys of maps, and all other strings, are replaced. An object
of a type without a schema keeps only names of fields that Kubernetes itself has.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.recordings._pseudonyms import Pseudonyms
from kinformer.testing._apiserver.schemas.archive import RELEASES
from kinformer.testing._apiserver.schemas.go_types import Types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.testing._apiserver.schemas.go_types import GoType, Struct

__all__ = ["Redaction", "crd_schemas", "is_secret", "without_secret_data"]

_SECRET_FIELDS: Final = ("apiVersion", "kind", "metadata", "type", "immutable")
_META: Final = "apis/meta/v1.ObjectMeta"
_SCHEMA_MAPS: Final = frozenset({"properties", "patternProperties", "definitions", "dependencies"})
_KEPT_FIELDS: Final = frozenset({"apiVersion", "kind", "resourceVersion", "generation", "observedGeneration"})
_KEPT_IN_DEFINITIONS: Final = {
    "CustomResourceColumnDefinition": frozenset({"name", "type", "format", "jsonPath"}),
    "JSONSchemaProps": frozenset({"type", "format"}),
}
"""Fields of CustomResourceDefinitions whose values are the shape of custom resources: schemas and printed columns."""

_SELECTOR_FIELDS: Final = frozenset({"matchLabels", "matchExpressions"})
_QUANTITY: Final = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]i?)?|[0-9]+%")
_MOST_DEPTH: Final = 100

_WORDS: Final = frozenset(
    {"*", "True", "False", "Unknown", "true", "false", "default", "kube-system", "kube-public", "kube-node-lease",
     "kubernetes", "linux", "windows", "amd64", "arm64", "cpu", "memory", "storage", "ephemeral-storage", "pods",
     "system:masters", "cluster-admin", "create", "delete", "deletecollection", "get", "list", "patch", "update",
     "watch", "bind", "escalate", "impersonate", "use", "approve", "sign", "Ready", "PodScheduled", "Initialized",
     "ContainersReady", "PodReadyToStartContainers", "DisruptionTarget", "Available", "Progressing", "ReplicaFailure",
     "Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget", "MemoryPressure", "DiskPressure",
     "PIDPressure", "NetworkUnavailable", "Established", "NamesAccepted", "AbleToScale", "ScalingActive",
     "ScalingLimited", "Hostname", "InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Normal", "Warning",
     "Opaque", "DisruptionAllowed", "Update", "Apply", "FieldsV1", "status", "scale", "IPv4", "IPv6", "None"}
)  # fmt: skip
"""Words of the API that the types do not list."""


def is_secret(resource: Resource) -> bool:
    """Return whether these are Secrets, the values of which are not recorded."""
    return resource.plural == "secrets" and not resource.group


def without_secret_data(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a Secret with other values of the same size.

    Values of `data` are base64 of zeros. All annotations are replaced, too, because tools keep copies of the whole
    manifest in them. Fields that a Secret does not have are left out.
    """
    safe = {name: manifest[name] for name in _SECRET_FIELDS if name in manifest}
    metadata = safe.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("annotations"), dict):
        blank = {name: "x" * len(str(value).encode()) for name, value in metadata["annotations"].items()}
        safe["metadata"] = metadata | {"annotations": blank}
    data, text = manifest.get("data"), manifest.get("stringData")
    if isinstance(data, dict):
        safe["data"] = {name: _zeros(value) for name, value in data.items()}
    if isinstance(text, dict):
        safe["stringData"] = {name: "x" * len(str(value).encode()) for name, value in text.items()}
    return safe


def _zeros(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    padding = min(len(text) - len(text.rstrip("=")), 2)
    return "A" * (len(text) - padding) + "=" * padding


def crd_schemas(definitions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schemas of custom resources by apiVersion and kind."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for definition in definitions:
        spec = definition.get("spec") or {}
        kind = (spec.get("names") or {}).get("kind", "")
        for version in spec.get("versions") or ():
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema:
                found[f"{spec.get('group')}/{version.get('name')}", kind] = schema
    return found


class Redaction:
    """Replaces names and values of objects.

    Args:
        resources: the resources of the server; the words that name them stay.
        schemas: the schemas of custom resources, by apiVersion and kind.
        key: the key of the replacements; by default a random one.
    """

    def __init__(
        self,
        resources: Iterable[Resource],
        schemas: Mapping[tuple[str, str], dict[str, Any]] | None = None,
        *,
        key: bytes | None = None,
    ) -> None:
        # A release that is newer than the default one has fields more.
        self._types = Types.of(RELEASES[-1])
        self._schemas = schemas or {}
        self._fields, values, self._maps = _vocabulary()
        kept = set(_WORDS) | values
        for resource in resources:
            kept |= {resource.group, resource.version, resource.plural, resource.kind, resource.singular}
            kept |= {resource.api_version, resource.list_kind, resource.qualified}
        self._names = Pseudonyms(kept, key=key)
        for schema in self._schemas.values():
            self._fields |= _property_names(schema)

    def redacted(self, obj: KubeObject) -> bytes:
        """Return the JSON of an object with other names and values."""
        return msgspec.json.encode(self.manifest(obj.to_dict(), obj.resource.api_version, obj.resource.kind))

    def manifest(self, manifest: Mapping[str, Any], api_version: str, kind: str) -> dict[str, Any]:
        """Return a manifest with other names and values."""
        struct = self._types.kind(api_version, kind)
        if struct is not None:
            return self._struct(dict(manifest), struct, 0)
        schema = self._schemas.get((api_version, kind))
        made: dict[str, Any] = {}
        for name, value in manifest.items():
            if name in {"apiVersion", "kind"}:
                made[name] = value
            elif name == "metadata" and isinstance(value, dict):
                made[name] = self._struct(value, self._types.struct(_META), 1)
            elif schema is not None:
                made |= self._by_schema({name: value}, schema, 0)
            else:
                made[name if name in {"spec", "status"} else self._names.string(name)] = self._plain(value, 1)
        return made

    def _struct(self, value: dict[str, Any], struct: Struct, depth: int) -> dict[str, Any]:
        if depth > _MOST_DEPTH:
            return {}
        made: dict[str, Any] = {}
        kept = _KEPT_FIELDS | _KEPT_IN_DEFINITIONS.get(struct.name, frozenset())
        for name, inner in value.items():
            field = struct.by_name.get(name)
            if name in kept and isinstance(inner, str | int):
                made[name] = inner
            elif name == "fieldsV1" and isinstance(inner, dict):
                made[name] = self._managed(inner, "", depth)
            elif field is None:
                # A field of a newer Kubernetes.
                made[name] = self._plain(inner, depth + 1)
            elif name in _SCHEMA_MAPS and isinstance(inner, dict) and struct.name == "JSONSchemaProps":
                made[name] = {key: self._typed(one, field.type.target.element, depth + 2) for key, one in inner.items()}
            else:
                made[name] = self._typed(inner, field.type, depth + 1)
        return made

    def _typed(self, value: Any, declared: GoType, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            return None
        target = declared.target
        if target.form == "struct" and target.struct is not None:
            if not target.struct.custom and isinstance(value, dict):
                return self._struct(value, target.struct, depth)
            if isinstance(value, str):
                return self._scalar(value, target.struct.name)
        elif target.form == "slice" and isinstance(value, list):
            return [self._typed(one, target.element, depth + 1) for one in value]
        elif target.form == "map" and isinstance(value, dict):
            return {self._names.string(key): self._typed(one, target.element, depth + 1) for key, one in value.items()}
        return self._plain(value, depth)

    def _scalar(self, text: str, type_name: str) -> str:
        if type_name in {"Time", "MicroTime"}:
            return text
        if type_name in {"Quantity", "IntOrString"} and _QUANTITY.fullmatch(text):
            return self._names.digits(text)
        return self._text(text)

    def _by_schema(self, value: Any, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _MOST_DEPTH:
            return self._plain(value, depth)
        if isinstance(value, dict):
            fields, rest = schema.get("properties") or {}, schema.get("additionalProperties")
            return {
                (key if key in fields else self._names.string(key)): self._by_schema(
                    one, fields.get(key, rest), depth + 1
                )
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [self._by_schema(one, schema.get("items"), depth + 1) for one in value]
        if value in (schema.get("enum") or ()):
            return value
        is_quantity = schema.get("x-kubernetes-int-or-string") or "Ki" in str(schema.get("pattern") or "")
        if is_quantity and isinstance(value, str) and _QUANTITY.fullmatch(value):
            return self._names.digits(value)
        return self._plain(value, depth)

    def _plain(self, value: Any, depth: int) -> Any:
        """Return a value of no known type with other contents."""
        if depth > _MOST_DEPTH:
            return None
        match value:
            case dict():
                return {
                    (key if key in self._fields else self._names.string(key)): self._plain(one, depth + 1)
                    for key, one in value.items()
                }
            case list():
                return [self._plain(one, depth + 1) for one in value]
            case str():
                return self._text(value)
            case bool():
                return value
            case int():
                return self._names.number(value)
            case float():
                return float(self._names.digits(repr(value))) if len(repr(value)) > 5 else value
        return value

    def _text(self, text: str) -> str:
        """Return another string; one that is a manifest in JSON remains one."""
        stripped = text.strip()
        if stripped.startswith("{") and stripped.endswith("}"):
            try:
                inner = msgspec.json.decode(stripped)
            except (msgspec.DecodeError, RecursionError):
                return self._names.string(text)
            api_version, kind = inner.get("apiVersion"), inner.get("kind")
            if isinstance(api_version, str) and isinstance(kind, str):
                if (api_version, kind) == ("v1", "Secret"):
                    inner = without_secret_data(inner)
                made = self.manifest(inner, api_version, kind)
            else:
                made = self._plain(inner, 0)
            return text.replace(stripped, msgspec.json.encode(made).decode())
        return self._names.string(text)

    def _managed(self, fields: dict[str, Any], parent: str, depth: int) -> dict[str, Any]:
        """Return `fieldsV1`, the names of keys of which are names of users in maps."""
        if depth > _MOST_DEPTH:
            return {}
        made: dict[str, Any] = {}
        for key, inner in fields.items():
            mark, colon, name = key.partition(":")
            renamed = key
            if mark == "f" and colon:
                in_map = parent in self._maps or (parent == "selector" and name not in _SELECTOR_FIELDS)
                kept = name in self._fields and not in_map
                renamed = key if kept else f"f:{self._names.string(name)}"
            elif mark in {"k", "v"} and colon:
                renamed = f"{mark}:{self._managed_value(name, is_key=mark == 'k')}"
            made[renamed] = (
                self._managed(inner, name if mark == "f" else "", depth + 1) if isinstance(inner, dict) else {}
            )
        return made

    def _managed_value(self, text: str, *, is_key: bool) -> str:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return self._names.string(text)
        if is_key and isinstance(value, dict):
            made: Any = {key: self._plain(one, 1) for key, one in value.items()}
        else:
            made = self._plain(value, 1)
        return msgspec.json.encode(made).decode()


def _property_names(schema: Any, depth: int = 0) -> set[str]:
    """Return the names of all properties in a schema."""
    found: set[str] = set()
    if isinstance(schema, dict) and depth < _MOST_DEPTH:
        for name, inner in (schema.get("properties") or {}).items():
            found |= {name} | _property_names(inner, depth + 1)
        for name in ("items", "additionalProperties"):
            found |= _property_names(schema.get(name), depth + 1)
    return found


@lru_cache(maxsize=1)
def _words_of_types() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    fields: set[str] = set()
    values: set[str] = set()
    maps: set[str] = set()
    waiting = [
        struct
        for types in map(Types.of, RELEASES)
        for name in types.kinds()
        if (struct := types.kind(*name)) is not None
    ]
    seen = set(waiting)
    while waiting:
        struct = waiting.pop()
        for field in struct.fields:
            if field.name not in {"", "-"}:
                fields.add(field.name)
            values |= set(field.enum)
            target = field.type.target
            if target.form == "map":
                maps.add(field.name)
            while target.form in {"slice", "map", "pointer"}:
                target = target.element
            if target.struct is not None and target.struct not in seen:
                seen.add(target.struct)
                waiting.append(target.struct)
    return frozenset(fields), frozenset(value for value in values if value), frozenset(maps - {"selector"})


def _vocabulary() -> tuple[set[str], frozenset[str], frozenset[str]]:
    """Return the names of the fields of all types, the values of closed sets, and the names of maps."""
    fields, values, maps = _words_of_types()
    return set(fields), values, maps
