"""The schemas of kinds: of Kubernetes itself, of a cluster, or of CustomResourceDefinitions in files.

All of them are OpenAPI v3 documents in the end; the schema of a CRD becomes a component of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._session import UsageProblem
from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, Archive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kinformer.resources import Resource

__all__ = ["OBJECT_META", "Kind", "Schemas", "builtin_document", "kinds_of_definition", "release"]

OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

_REFERENCE: Final = "#/components/schemas/"
_GROUP_VERSION_KIND: Final = "x-kubernetes-group-version-kind"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that gets a class.

    Attributes:
        group: the API group; "" for the core group.
        version: such as "v1".
        name: such as "Deployment".
        plural: such as "deployments".
        source: the origin of its schema, in words.
    """

    group: str
    version: str
    name: str
    plural: str
    source: str

    @classmethod
    def of(cls, resource: Resource, source: str) -> Kind:
        """Return the kind of a resource."""
        return cls(resource.group, resource.version, resource.kind, resource.plural, source)

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Schemas:
    """The components of OpenAPI documents, by name.

    Attributes:
        components: the schemas.
    """

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}

    def add(self, document: Mapping[str, Any]) -> None:
        """Add the components of a document."""
        components = document.get("components")
        schemas = components.get("schemas") if isinstance(components, dict) else None
        if isinstance(schemas, dict):
            self.components.update({name: schema for name, schema in schemas.items() if isinstance(schema, dict)})

    def name_of(self, kind: Kind) -> str:
        """Return the name of the component of a kind.

        Raises:
            UsageProblem: there is none, or it has no fields.
        """
        wanted = {"group": kind.group, "version": kind.version, "kind": kind.name}
        for name, schema in self.components.items():
            if wanted in (schema.get(_GROUP_VERSION_KIND) or ()) and schema.get("properties"):
                return name
        msg = f"{kind.source} has no schema of {kind.name} ({kind.api_version}), so there are no fields to write down"
        raise UsageProblem(msg)

    def referred(self, schema: Mapping[str, Any]) -> str:
        """Return the name of the component that a schema only refers to; "" if it refers to none."""
        reference = schema.get("$ref", "")
        alternatives = schema.get("allOf")
        if not reference and isinstance(alternatives, list) and len(alternatives) == 1:
            reference = alternatives[0].get("$ref", "")
        name = reference.removeprefix(_REFERENCE) if isinstance(reference, str) else ""
        return name if name in self.components else ""

    def may_be_null(self, name: str, field: str) -> bool:
        """Return whether a server writes null for a field of a component of Kubernetes that is not set."""
        package, _, struct = name.removeprefix("io.k8s.api.").rpartition(".")
        return field in _null_fields().get(f"{package.replace('.', '/')}.{struct}", ())


@cache
def _null_fields() -> dict[str, frozenset[str]]:
    """Return the fields that Go writes even if they are nil, by Go type: those without `omitempty`."""
    known = json.loads(Archive.of().read("types.json") or b'{"types":{}}')["types"]
    return {
        name: frozenset(
            field["json"]
            for field in struct.get("fields", ())
            if not {"omitempty", "omitzero", "inline"} & set(field.get("options", "").split(","))
            and field["type"].startswith(("*", "[]", "map["))
        )
        for name, struct in known.items()
    }


def builtin_document(api_version: str) -> dict[str, Any] | None:
    """Return the OpenAPI document of a group and version of Kubernetes itself; `None` if it has no such version."""
    place = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
    text = Archive.of().openapi_v3(place)
    if text is None:
        return None
    document: dict[str, Any] = json.loads(text)
    return document


def release() -> str:
    """Return the origin of the built-in schemas, in words."""
    return f"Kubernetes {DEFAULT_RELEASE}"


def kinds_of_definition(definition: Mapping[str, Any], source: str) -> Iterable[tuple[Kind, dict[str, Any]]]:
    """Yield each served version of a CustomResourceDefinition as a kind, and a document with its schema.

    Raises:
        UsageProblem: the definition lacks a part that is needed.
    """
    try:
        spec = definition["spec"]
        names = spec["names"]
        for version in spec["versions"]:
            if version.get("served", True):
                kind = Kind(spec["group"], version["name"], names["kind"], names["plural"], source)
                yield kind, _document(kind, version["schema"]["openAPIV3Schema"])
    except (KeyError, TypeError, AttributeError) as error:
        lacks = f"{error.args[0]!r}" if isinstance(error, KeyError) else "a part of the right form"
        msg = f"{source}: a CustomResourceDefinition (apiextensions.k8s.io/v1) lacks {lacks}"
        raise UsageProblem(msg) from None


def _document(kind: Kind, schema: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"default": {}, "allOf": [{"$ref": _REFERENCE + OBJECT_META}]}
    named = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    component = {
        **schema,
        "properties": named | (schema.get("properties") or {}) | {"metadata": metadata},
        _GROUP_VERSION_KIND: [{"group": kind.group, "version": kind.version, "kind": kind.name}],
    }
    document = builtin_document("v1")
    assert document is not None
    meta: dict[str, Any] = document["components"]["schemas"]
    return {"components": {"schemas": meta | {f"{kind.group}.{kind.version}.{kind.name}": component}}}
