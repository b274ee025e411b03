"""`custom_resource` makes a class the definition of a custom resource, and `crd` makes the manifest of it.

@custom_resource(group="example.com", version="v1", kind="Website", short_names=("web",))
class Website(CustomResource, msgspec.Struct, rename="camel"):
    metadata: ObjectMeta
    spec: WebsiteSpec
    status: WebsiteStatus | None = None

Website.crd()                                 # the CustomResourceDefinition, as plain data
await client.install(Website)                 # applies it and waits until it is served
websites = factory.informer(Website)          # handlers and the lister get a Website
site = await client.get(Website, "a", namespace="default")
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from kinformer._object_classes import decoder_of, plain_of
from kinformer.custom_resources._classes import fields_of, has_fields
from kinformer.custom_resources._schema import rules_in_schema, schema_of, without_nulls
from kinformer.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kinformer.custom_resources._schema import Schema
    from kinformer.custom_resources.markers import Column, Rule, Scale

__all__ = ["CustomResource", "crd", "custom_resource", "is_custom_resource", "manifest_of", "resource_of", "version_of"]

T = TypeVar("T")

_BOUND: Final = "__kinformer_definition__"
_TAKEN: Final = ("crd", "resource")
_MOST_SELECTABLE: Final = 8
_PLAIN: Final[dict[str, Schema]] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    # The server knows metadata; a schema may only restrict the name.
    "metadata": {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class _Definition:
    """The definition that a class carries: its resource, and one version of the CRD."""

    resource: Resource
    version: dict[str, Any]
    categories: tuple[str, ...]
    schema: Schema
    metadata: dict[str, Any]


class CustomResource:
    """An optional base class, by which type checkers know the names that `custom_resource` adds to a class.

    Attributes:
        resource: the resource of the objects.
    """

    __slots__ = ()

    resource: ClassVar[Resource]

    @classmethod
    def crd(cls) -> dict[str, Any]:
        """Return the CustomResourceDefinition with this one version, as plain data; see `crd`."""
        return crd(cls)


def custom_resource(
    *,
    group: str,
    version: str,
    kind: str = "",
    plural: str = "",
    singular: str = "",
    scope: Literal["Namespaced", "Cluster"] = "Namespaced",
    short_names: Sequence[str] = (),
    categories: Sequence[str] = (),
    status: type | None = None,
    scale: Scale | None = None,
    columns: Sequence[Column] = (),
    selectable_fields: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    served: bool = True,
    storage: bool = True,
    deprecated: str | bool = False,
) -> Callable[[type[T]], type[T]]:
    """Make a class the definition of a custom resource.

    The class stands for whole objects: it has the field `spec`, mostly `metadata` and `status`, and others as needed.
    The schema comes from the types of the fields, the defaults from their defaults, and the descriptions from the
    docstrings and their `Attributes:`. The class itself stays as it is, but for the attributes `resource` and `crd()`.

    Args:
        group: the API group, such as "example.com".
        version: such as "v1" or "v1beta1".
        kind: the kind of the objects; the name of the class by default.
        plural: the name in URLs; by default the kind in lower case with the English ending.
        singular: the kind in lower case by default.
        scope: "Namespaced" or "Cluster".
        short_names: abbreviations for kubectl.
        categories: groups of resources for kubectl, such as "all".
        status: the class of the status, if the class itself has no field `status`. Either turns on the subresource.
        scale: turns on the subresource `scale`.
        columns: the columns of `kubectl get`, besides the name; the age is then not shown unless it is one of them.
        selectable_fields: JSON paths of fields that a field selector may name besides the name and the namespace, such
            as ".spec.tier"; at most 8, each a string, an integer or a boolean (KEP-4358).
        rules: rules about the whole object.
        labels: labels of the CRD.
        annotations: annotations of the CRD, such as `api-approved.kubernetes.io`, which groups of Kubernetes need. Of
            several versions, those of the first class count, as for the categories.
        served: whether the server serves this version.
        storage: whether the server stores objects in this version; exactly one version of a CRD does.
        deprecated: whether the server warns about this version, or the text of the warning.

    Returns:
        The decorator. It raises `TypeError` for a class or a type that no structural schema can express, and
        `ValueError` for a constraint or a default that does not fit.

    Raises:
        ValueError: group, version, plural, scope or a name of the scale cannot be.
    """
    if scope not in {"Namespaced", "Cluster"}:
        msg = f"scope={scope!r}: a resource is 'Namespaced' or 'Cluster'"
        raise ValueError(msg)
    if "." not in group:
        msg = f"group={group!r}: the group of a custom resource is a DNS name with a dot, such as 'example.com'"
        raise ValueError(msg)

    def decorate(kind_of_objects: type[T]) -> type[T]:
        name = kind or kind_of_objects.__name__
        resource = Resource(
            group,
            version,
            plural or _plural_of(name.lower()),
            name,
            namespaced=scope == "Namespaced",
            singular=singular,
            short_names=tuple(short_names),
        )
        schema = _root_schema(kind_of_objects, status, rules)
        made: dict[str, Any] = {"name": version, "served": served, "storage": storage}
        if deprecated:
            made["deprecated"] = True
            if isinstance(deprecated, str):
                made["deprecationWarning"] = deprecated
        made["schema"] = {"openAPIV3Schema": schema}
        subresources = _subresources(schema, scale)
        if subresources:
            made["subresources"] = subresources
        if columns:
            made["additionalPrinterColumns"] = [_column(column) for column in columns]
        if selectable_fields:
            made["selectableFields"] = _selectable(schema, selectable_fields, kind_of_objects.__name__)
        metadata = {"labels": dict(labels or {}), "annotations": dict(annotations or {})}
        setattr(kind_of_objects, _BOUND, _Definition(resource, made, tuple(categories), schema, metadata))
        kind_of_objects.resource = resource  # type: ignore[attr-defined]
        kind_of_objects.crd = classmethod(_crd_of_one)  # type: ignore[attr-defined]
        return kind_of_objects

    return decorate


def is_custom_resource(kind: object) -> bool:
    """Return whether an object is a class that `custom_resource` has decorated; a class derived from one is none."""
    return isinstance(kind, type) and _BOUND in kind.__dict__


def resource_of(kind: Resource | type) -> Resource:
    """Return the resource of a decorated class; a `Resource` is returned as it is.

    Raises:
        TypeError: it is neither.
    """
    return kind if isinstance(kind, Resource) else _definition_of(kind).resource


def version_of(kind: type) -> dict[str, Any]:
    """Return the version of the CRD that a decorated class defines: its schema, columns and subresources; not a copy.

    Raises:
        TypeError: it is no decorated class.
    """
    return _definition_of(kind).version


def crd(*versions: type) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a decorated class, or of the classes of several versions.

    Pure: nothing is asked and nothing is changed; the result is a copy.

    Raises:
        TypeError: a class is not decorated.
        ValueError: the classes are of different resources or of one version, or not exactly one has `storage`.
    """
    definitions = [_definition_of(kind) for kind in versions]
    if not definitions:
        raise ValueError("crd() needs at least one class")
    first = definitions[0].resource
    for other in (each.resource for each in definitions[1:]):
        if (other.group, other.plural, other.kind, other.namespaced) != (
            *(first.group, first.plural, first.kind),
            first.namespaced,
        ):
            msg = f"{other} and {first} are no versions of one resource: group, kind, plural and scope must be the same"
            raise ValueError(msg)
    names = [each.resource.version for each in definitions]
    if len(set(names)) < len(names):
        msg = f"{first.qualified} has two classes of one version: {', '.join(names)}"
        raise ValueError(msg)
    stored = [each.resource.version for each in definitions if each.version["storage"]]
    if len(stored) != 1:
        msg = (
            f"exactly one version of {first.qualified} is stored, not {', '.join(stored) or 'none'}; "
            "give the others @custom_resource(storage=False)"
        )
        raise ValueError(msg)
    spec_names: dict[str, Any] = {
        "plural": first.plural,
        "singular": first.singular,
        "kind": first.kind,
        "listKind": first.list_kind,
    }
    if first.short_names:
        spec_names["shortNames"] = list(first.short_names)
    if definitions[0].categories:
        spec_names["categories"] = list(definitions[0].categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": first.qualified} | {name: dict(of) for name, of in definitions[0].metadata.items() if of},
        "spec": {
            "group": first.group,
            "names": spec_names,
            "scope": "Namespaced" if first.namespaced else "Cluster",
            "versions": [copy.deepcopy(each.version) for each in definitions],
        },
    }


def manifest_of(obj: Any) -> dict[str, Any]:
    """Return an object of a decorated class as a manifest: plain data with `apiVersion` and `kind`.

    A field that is `None` where the schema lets it be absent is left out.

    Raises:
        TypeError: its class is not decorated, or a part of it has no form in JSON.
    """
    definition = _definition_of(type(obj))
    plain = {name: value for name, value in plain_of(obj).items() if value is not None}
    resource = definition.resource
    made: dict[str, Any] = without_nulls(plain, definition.schema)
    return made | {"apiVersion": resource.api_version, "kind": resource.kind}


def _crd_of_one(kind: type) -> dict[str, Any]:
    """Return the CustomResourceDefinition with this one version, as plain data; see `crd`."""
    return crd(kind)


def _definition_of(kind: object) -> _Definition:
    # Of the class itself: a class derived from it may have other fields.
    found = kind.__dict__.get(_BOUND) if isinstance(kind, type) else None
    if found is None:
        name = getattr(kind, "__name__", repr(kind))
        msg = f"{name} is no custom resource; decorate the class with @custom_resource(group=..., version=...)"
        raise TypeError(msg)
    definition: _Definition = found
    return definition


def _root_schema(kind: type, status: type | None, rules: Sequence[Rule]) -> Schema:
    name = getattr(kind, "__name__", str(kind))
    if not has_fields(kind):
        msg = f"{name} must be a msgspec.Struct, dataclass, TypedDict or pydantic model to be a custom resource"
        raise TypeError(msg)
    decoder_of(kind)
    fields = fields_of(kind)
    if taken := {field.name for field in fields} & set(_TAKEN):
        msg = f"{name} has a field {taken.pop()!r}, a name that @custom_resource needs; put it into spec or status"
        raise TypeError(msg)
    if status is not None and any(field.json_name == "status" for field in fields):
        msg = f"{name} has a field status; leave status={status.__name__} out"
        raise TypeError(msg)
    schema = schema_of(kind, at=name)
    properties = schema.setdefault("properties", {})
    # A status that the server fills in from a default would look like one that a controller has written.
    properties.get("status", {}).pop("default", None)
    if status is not None:
        properties["status"] = schema_of(status, at=f"{name}.status")
    required = [field for field in schema.get("required", ()) if field not in _PLAIN]
    schema.pop("required", None)
    schema["properties"] = {**{at: dict(plain) for at, plain in _PLAIN.items()}, **_without_plain(properties)}
    if required:
        schema["required"] = required
    if rules:
        schema["x-kubernetes-validations"] = rules_in_schema(rules)
    return schema


def _without_plain(properties: dict[str, Schema]) -> dict[str, Schema]:
    return {name: schema for name, schema in properties.items() if name not in _PLAIN}


def _subresources(schema: Schema, scale: Scale | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "status" in schema["properties"]:
        found["status"] = {}
    if scale is not None:
        found["scale"] = {"specReplicasPath": scale.spec, "statusReplicasPath": scale.status}
        if scale.selector:
            found["scale"]["labelSelectorPath"] = scale.selector
    return found


def _selectable(schema: Schema, paths: Sequence[str], name: str) -> list[dict[str, str]]:
    """Return the selectable fields, after the checks of the server.

    apiextensions-apiserver, pkg/apis/apiextensions/validation/validation.go (ValidateCustomResourceSelectableFields).
    """
    if len(paths) > _MOST_SELECTABLE:
        msg = f"{name} has {len(paths)} selectable fields, and the server takes at most {_MOST_SELECTABLE}"
        raise ValueError(msg)
    if len(set(paths)) < len(paths):
        msg = f"{name} has a selectable field twice: {', '.join(paths)}"
        raise ValueError(msg)
    for path in paths:
        found: Schema | None = schema
        for part in path.split(".")[1:]:
            found = (found or {}).get("properties", {}).get(part)
        kind = (found or {}).get("type")
        if not path.startswith(".") or path.startswith(".metadata") or kind not in {"string", "integer", "boolean"}:
            reason = f"of type {kind}" if kind else "not there, or not plain"
            msg = (
                f"{name}: the selectable field {path!r} is {reason}; give the path of a str, int or bool outside of "
                'metadata and of lists, such as ".spec.tier"'
            )
            raise ValueError(msg)
    return [{"jsonPath": path} for path in paths]


def _column(column: Column) -> dict[str, Any]:
    made: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    optional = {"description": column.description, "format": column.format, "priority": column.priority}
    return made | {name: value for name, value in optional.items() if value}


def _plural_of(singular: str) -> str:
    """Return the plural as kubebuilder forms it: "proxies", "classes", "websites"."""
    if re.search(r"[^aeiou]y$", singular):
        return f"{singular[:-1]}ies"
    return f"{singular}es" if re.search(r"(?:s|x|z|ch|sh)$", singular) else f"{singular}s"
