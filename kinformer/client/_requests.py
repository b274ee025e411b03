"""Contents of the requests of the verbs: targets, bodies and options, checked before anything goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from kinformer.resources import Resource

__all__ = [
    "PATCH_TYPES",
    "FieldValidation",
    "PatchType",
    "PropagationPolicy",
    "Target",
    "body_of",
    "check_field_validation",
    "created_in",
    "delete_options",
    "manifest",
    "patch_body",
    "target",
    "write_params",
]

PatchType = Literal["merge", "json", "strategic", "apply"]
PropagationPolicy = Literal["Orphan", "Background", "Foreground"]
FieldValidation = Literal["Strict", "Warn", "Ignore"]
Target = str | ObjectKey | Mapping[str, Any]

# The media type of an apply patch is YAML; JSON is valid YAML.
PATCH_TYPES: Final[Mapping[str, str]] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

_encode = msgspec.json.Encoder().encode


def target(resource: Resource, what: Target, namespace: str | None) -> tuple[str | None, str]:
    """Return the namespace and the name of the object of a verb.

    Args:
        resource: its resource.
        what: the name, the key, or an object that has a name.
        namespace: its namespace; an object's own if not given.

    Raises:
        ValueError: there is no name, or the object lies in another namespace.
    """
    if isinstance(what, str):
        name, own = what, ""
    elif isinstance(what, KubeObject | ObjectKey):
        name, own = what.name, what.namespace
    else:
        metadata = _metadata(what)
        name, own = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    if not name:
        msg = f"{resource.qualified}: the verb needs a name, or an object with metadata.name"
        raise ValueError(msg)
    return _one_namespace(resource, own, namespace), name


def manifest(resource: Resource, what: Mapping[str, Any], *, subresource: str) -> dict[str, Any] | KubeObject:
    """Return the object to send, with `apiVersion` and `kind`.

    A subresource may have a kind of its own (Scale, Eviction, Binding); its kind is not checked.

    Raises:
        TypeError: it is no mapping.
        ValueError: it is of another kind or version than the resource.
    """
    if isinstance(what, KubeObject) and what.resource == resource:
        return what
    if not isinstance(what, Mapping):
        msg = f"expected an object of kind {resource.kind} as a mapping, not {type(what).__name__}"
        raise TypeError(msg)
    made = what.to_dict() if isinstance(what, KubeObject) else dict(what)
    for field, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        said = made.setdefault(field, wanted)
        if said != wanted and not subresource:
            msg = f"the object has {field} {said!r}, and {resource.qualified} have {wanted!r}"
            raise ValueError(msg)
    return made


def body_of(what: object) -> bytes:
    """Encode the body of a request as JSON.

    Raises:
        ValueError: it cannot be written as JSON; the error names the type, never the value.
    """
    if isinstance(what, KubeObject):
        return what.to_json()
    try:
        return _encode(what)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"this cannot be sent as JSON: {error}"
        raise ValueError(msg) from error


def patch_body(resource: Resource, patch: object, kind: PatchType, field_manager: str) -> bytes:
    """Return the body of a patch.

    Raises:
        ValueError: the type is unknown, the patch has not the form of its type, or apply lacks a field manager.
    """
    if kind not in PATCH_TYPES:
        msg = f"{kind!r} is no type of patch; known are {', '.join(PATCH_TYPES)}"
        raise ValueError(msg)
    if kind == "json":
        if not isinstance(patch, Sequence) or not all(isinstance(p, Mapping) and "op" in p for p in patch):
            msg = "a JSON patch is a list of operations, such as {'op': 'remove', 'path': '/spec/nodeName'}"
            raise ValueError(msg)
        return body_of(list(patch))
    if not isinstance(patch, Mapping):
        msg = f"a {kind} patch is a mapping, a part of the object, not {type(patch).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - whether a list is right depends on the value of `type`
    if kind != "apply":
        return body_of(patch)
    if not field_manager:
        msg = "apply needs a field_manager, the name that the server records as the manager of the fields"
        raise ValueError(msg)
    return body_of(manifest(resource, patch, subresource="any"))


def check_field_validation(value: str) -> None:
    """Refuse a field validation that Kubernetes does not have.

    Raises:
        ValueError: it is none of the three.
    """
    if value not in {"Strict", "Warn", "Ignore"}:
        msg = f"{value!r} is no field validation; known are Strict, Warn and Ignore"
        raise ValueError(msg)


def write_params(
    *,
    field_manager: str = "",
    force: bool = False,
    dry_run: bool = False,
    field_validation: FieldValidation | None = None,
) -> list[tuple[str, str]]:
    """Return the query of a request that writes.

    Raises:
        ValueError: an unknown field validation.
    """
    params = [("fieldManager", field_manager)] if field_manager else []
    if field_validation is not None:
        check_field_validation(field_validation)
        params.append(("fieldValidation", field_validation))
    if force:
        params.append(("force", "true"))
    if dry_run:
        params.append(("dryRun", "All"))
    return params


def delete_options(
    *,
    propagation_policy: PropagationPolicy | None,
    grace_period_seconds: int | None,
    uid: str = "",
    resource_version: str = "",
    dry_run: bool = False,
) -> bytes | None:
    """Return the body of a deletion (meta/v1, DeleteOptions); `None` when no option is set.

    Raises:
        ValueError: an unknown policy, or a negative grace period.
    """
    options: dict[str, Any] = {}
    if propagation_policy is not None:
        if propagation_policy not in {"Orphan", "Background", "Foreground"}:
            msg = f"{propagation_policy!r} is no propagation policy; known are Orphan, Background and Foreground"
            raise ValueError(msg)
        options["propagationPolicy"] = propagation_policy
    if grace_period_seconds is not None:
        if grace_period_seconds < 0:
            msg = f"a grace period is at least 0 seconds, not {grace_period_seconds}"
            raise ValueError(msg)
        options["gracePeriodSeconds"] = grace_period_seconds
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
    if preconditions:
        options["preconditions"] = preconditions
    if dry_run:
        options["dryRun"] = ["All"]
    return _encode({"kind": "DeleteOptions", "apiVersion": "v1", **options}) if options else None


def created_in(
    resource: Resource, what: Mapping[str, Any], namespace: str | None, subresource: str
) -> tuple[str | None, str]:
    """Return the namespace and the name (or "") of an object to create.

    Raises:
        ValueError: no namespace or two; or neither `name` nor `generateName` where objects are kept.
    """
    metadata = _metadata(what)
    name = str(metadata.get("name") or "")
    where = _one_namespace(resource, str(metadata.get("namespace") or ""), namespace)
    if resource.namespaced and where is None:
        msg = f"{resource.qualified} live in namespaces; name the one to create this in"
        raise ValueError(msg)
    # The server does not store reviews and bindings, so they need no name.
    if not name and (subresource or (resource.watchable and not metadata.get("generateName"))):
        msg = f"the {resource.kind} to create needs metadata.name" + (
            "" if subresource else " or metadata.generateName"
        )
        raise ValueError(msg)
    return where, name


def _one_namespace(resource: Resource, own: str, given: str | None) -> str | None:
    if own and given and own != given:
        msg = f"the object lies in namespace {own!r}, and namespace {given!r} was given"
        raise ValueError(msg)
    return given or (own if resource.namespaced else "") or None


def _metadata(what: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = what.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}
