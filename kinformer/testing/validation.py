"""What the server refuses to store: bad names, missing fields, values that do not fit a CRD's schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing.status import Cause, bad_request, invalid

if TYPE_CHECKING:
    from kinformer.testing.catalog import ResourceType

__all__ = ["check_body", "prune", "validate"]

_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_VALUE: Final = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_LABEL_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)
# Names of these are path segments, not DNS names (pkg/apis/rbac/validation).
_FREE_NAMES: Final = {"rbac.authorization.k8s.io"}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_WORKLOADS: Final = {"deployments", "replicasets", "statefulsets", "daemonsets"}


def check_body(kind: ResourceType, manifest: Any, namespace: str) -> dict[str, Any]:
    """The body of a write, if it is an object of that kind for that place.

    Raises:
        Refusal: 400.
    """
    if not isinstance(manifest, dict):
        what = {str: "string", list: "array", int: "number", float: "number", bool: "bool"}.get(type(manifest), "null")
        shape = (
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
        shown = f'"{manifest}"'.encode().hex() if isinstance(manifest, str) else ""
        msg = (
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse "
            f"error: json: cannot unmarshal {what} into Go value of type {shape} ({shown})"
        )
        raise bad_request(msg)
    api_version, name = manifest.get("apiVersion"), manifest.get("kind")
    if api_version not in {None, kind.api_version}:
        msg = (
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
        raise bad_request(msg)
    if name not in {None, kind.kind}:
        msg = (
            f"{name} in version {kind.api_version!r} cannot be handled as a {kind.kind}: no kind {name!r} is registered"
        )
        raise bad_request(msg.replace("'", '"'))
    metadata = manifest.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        msg = f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}: metadata is no object"
        raise bad_request(msg.replace("'", '"'))
    given = (metadata or {}).get("namespace")
    if kind.namespaced and given not in {None, "", namespace}:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return {"kind": kind.kind, "apiVersion": kind.api_version} | manifest | {"metadata": dict(metadata or {})}


def validate(kind: ResourceType, manifest: dict[str, Any]) -> None:
    """Refuse what breaks a rule; all causes at once.

    Raises:
        Refusal: 422.
    """
    metadata = manifest["metadata"]
    name = metadata.get("name", "")
    causes: list[Cause] = []
    if not name:
        causes.append(("FieldValueRequired", "Required value: name or generateName is required", "metadata.name"))
    elif kind.group not in _FREE_NAMES and not re.fullmatch(_SUBDOMAIN, name):
        causes.append(("FieldValueInvalid", f'Invalid value: "{name}": {_SUBDOMAIN_RULE}', "metadata.name"))
    elif len(name) > 253:
        causes.append(
            ("FieldValueInvalid", f'Invalid value: "{name}": must be no more than 253 bytes', "metadata.name")
        )
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str):
            msg = (
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: cannot unmarshal '
                f"{type(value).__name__} into Go struct field ObjectMeta.metadata.labels of type string"
            )
            raise bad_request(msg)
        if not re.fullmatch(_LABEL_VALUE, value) or len(value) > 63:
            causes.append(("FieldValueInvalid", f'Invalid value: "{value}": {_LABEL_RULE}', "metadata.labels"))
        del key
    spec = manifest.get("spec")
    if kind.storage == ("", "pods"):
        causes += _containers(spec, "spec")
    elif kind.group == "apps" and kind.plural in _WORKLOADS:
        causes += _workload(spec)
    elif kind.definition is not None:
        schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
        causes += _against_schema(manifest, schema, "")
    if causes:
        raise invalid(kind.kind, name, causes, kind.group)


def _containers(spec: Any, path: str) -> list[Cause]:
    if not isinstance(spec, dict) or not spec.get("containers"):
        return [("FieldValueRequired", "Required value", f"{path}.containers")]
    causes: list[Cause] = []
    for index, container in enumerate(spec["containers"]):
        causes += [
            ("FieldValueRequired", "Required value", f"{path}.containers[{index}].{field}")
            for field in ("name", "image")
            if not container.get(field)
        ]
    return causes


def _workload(spec: Any) -> list[Cause]:
    spec = spec if isinstance(spec, dict) else {}
    causes: list[Cause] = []
    selector = spec.get("selector") or {}
    template = spec.get("template") or {}
    if not selector:
        causes.append(("FieldValueRequired", "Required value", "spec.selector"))
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        shown = "{" + ",".join(f'"{key}":"{value}"' for key, value in sorted(labels.items())) + "}"
        message = f"Invalid value: {shown}: `selector` does not match template `labels`"
        causes.append(("FieldValueInvalid", message, "spec.template.metadata.labels"))
    return causes + _containers(template.get("spec"), "spec.template.spec")


def _against_schema(value: Any, schema: dict[str, Any], path: str) -> list[Cause]:
    """What in a value breaks an OpenAPI v3 schema (the structural subset that CRDs have)."""
    if value is None and schema.get("nullable"):
        return []
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        kind = None
    expected = _TYPES.get(kind or "")
    if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
        found = next((name for name, types in _TYPES.items() if type(value) in types), "null")
        message = f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'
        return [("FieldValueTypeInvalid", message, path)]
    causes: list[Cause] = []
    if "enum" in schema and value not in schema["enum"]:
        options = ", ".join(f'"{option}"' for option in schema["enum"])
        causes.append(("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {options}', path))
    if isinstance(value, int | float) and not isinstance(value, bool):
        causes += _out_of_bounds(value, schema, path)
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        message = f"Invalid value: \"{value}\": {path} in body should match '{schema['pattern']}'"
        causes.append(("FieldValueInvalid", message, path))
    return causes + _children_against_schema(value, schema, path)


def _out_of_bounds(value: float, schema: dict[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if value < schema.get("minimum", value):
        message = f"Invalid value: {value}: {path} in body should be greater than or equal to {schema['minimum']}"
        causes.append(("FieldValueInvalid", message, path))
    if value > schema.get("maximum", value):
        message = f"Invalid value: {value}: {path} in body should be less than or equal to {schema['maximum']}"
        causes.append(("FieldValueInvalid", message, path))
    return causes


def _children_against_schema(value: Any, schema: dict[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if isinstance(value, dict):
        causes += [
            ("FieldValueRequired", "Required value", f"{path}.{name}".lstrip("."))
            for name in schema.get("required", ())
            if name not in value
        ]
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for name, child in value.items():
            below = properties.get(name) or (extra if isinstance(extra, dict) else None)
            if below is not None and not (path == "" and name in {"metadata", "kind", "apiVersion"}):
                causes += _against_schema(child, below, f"{path}.{name}".lstrip("."))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, child in enumerate(value):
            causes += _against_schema(child, schema["items"], f"{path}[{index}]")
    return causes


def prune(kind: ResourceType, manifest: dict[str, Any]) -> dict[str, Any]:
    """A custom resource without the fields its schema does not know, and with the schema's defaults."""
    if kind.definition is None:
        return manifest
    schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
    kept = {name: manifest[name] for name in ("kind", "apiVersion", "metadata")}
    pruned: dict[str, Any] = _pruned({name: value for name, value in manifest.items() if name not in kept}, schema)
    return kept | pruned


def _pruned(value: Any, schema: dict[str, Any]) -> Any:
    keep_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        result = {}
        for name, child in value.items():
            if name in properties:
                result[name] = _pruned(child, properties[name])
            elif isinstance(extra, dict):
                result[name] = _pruned(child, extra)
            elif keep_unknown or extra is True or schema.get("x-kubernetes-embedded-resource"):
                result[name] = child
        for name, child in properties.items():
            if name not in result and "default" in child:
                result[name] = child["default"]
        return result
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_pruned(child, schema["items"]) for child in value]
    return value
