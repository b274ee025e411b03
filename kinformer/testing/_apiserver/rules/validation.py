"""What the server refuses to store: bad names, missing fields, values that do not fit a CRD's schema."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.store.status import Cause, Refusal, bad_request, invalid

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["check_body", "prune", "validate", "validate_change"]

_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_STANDARD_FINALIZERS: Final = {"kubernetes", "orphan", "foregroundDeletion"}
# Maps of strings that have keys of their own (pkg/apis/core/validation, ValidateConfigMap and ValidateSecret).
_DATA: Final = {("", "configmaps"): ("data", "binaryData"), ("", "secrets"): ("data", "stringData")}
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
_GO_WORDS: Final[dict[type, str]] = {
    **dict.fromkeys((int, float), "number"),
    str: "string",
    bool: "bool",
    dict: "object",
    list: "array",
}
# Fields of ObjectMeta whose JSON must have the shape of their Go type; all of them may be null.
_STRINGS: Final = ("name", "generateName", "namespace", "uid", "resourceVersion")
_STRING_MAPS: Final = ("labels", "annotations")
_DEFINITIONS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
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
    _check_metadata(kind, metadata or {})
    given = (metadata or {}).get("namespace")
    if kind.namespaced and given not in {None, "", namespace}:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return {"kind": kind.kind, "apiVersion": kind.api_version} | manifest | {"metadata": dict(metadata or {})}


def _check_metadata(kind: ResourceType, metadata: dict[str, Any]) -> None:
    field = "ObjectMeta.metadata"
    for name in _STRINGS:
        if not isinstance(metadata.get(name), str | None):
            raise _unreadable(kind, metadata[name], f"{field}.{name}", "string")
    for name in _STRING_MAPS:
        values = metadata.get(name)
        if not isinstance(values, dict | None):
            raise _unreadable(kind, values, f"{field}.{name}", "map[string]string")
        for value in (values or {}).values():
            if not isinstance(value, str):
                raise _unreadable(kind, value, f"{field}.{name}", "string")
    for name, wanted, go_type in (("finalizers", str, "[]string"), ("ownerReferences", dict, "[]OwnerReference")):
        items = metadata.get(name)
        if items is not None and not (isinstance(items, list) and all(isinstance(item, wanted) for item in items)):
            raise _unreadable(kind, items, f"{field}.{name}", go_type)


def _unreadable(kind: ResourceType, value: Any, field: str, go_type: str) -> Refusal:
    """400 for JSON that does not fit the Go type it is read into."""
    found = _GO_WORDS.get(type(value), "null")
    msg = (
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: cannot unmarshal {found} '
        f"into Go struct field {field} of type {go_type}"
    )
    return bad_request(msg)


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
    causes += [
        ("FieldValueInvalid", f'Invalid value: "{key}": {_QUALIFIED_RULE}', f"metadata.{field}")
        for field in _STRING_MAPS
        for key in metadata.get(field) or {}
        if not re.fullmatch(_QUALIFIED, key.rpartition("/")[2])
    ]
    causes += [
        ("FieldValueInvalid", f'Invalid value: "{value}": {_LABEL_RULE}', "metadata.labels")
        for value in (metadata.get("labels") or {}).values()
        if not re.fullmatch(_LABEL_VALUE, value) or len(value) > 63
    ]
    why = "name is neither a standard finalizer name nor is it fully qualified"
    causes += [
        ("FieldValueInvalid", f'Invalid value: "{finalizer}": {why}', f"metadata.finalizers[{index}]")
        for index, finalizer in enumerate(metadata.get("finalizers") or ())
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]
    for reference in metadata.get("ownerReferences") or ():
        causes += [
            ("FieldValueInvalid", 'Invalid value: "": must not be empty', f"metadata.ownerReferences.{field}")
            for field in ("apiVersion", "kind", "name", "uid")
            if not reference.get(field)
        ]
    spec = manifest.get("spec")
    if kind.definition is not None:
        schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
        causes += _against_schema(manifest, schema, "")
    elif not isinstance(spec, dict | None):
        raise _unreadable(kind, spec, f"{kind.kind}.spec", f"{kind.version}.{kind.kind}Spec")
    elif kind.storage == ("", "pods"):
        causes += _containers(kind, spec, "spec")
    elif kind.group == "apps" and kind.plural in _WORKLOADS:
        causes += _workload(kind, spec or {})
    elif kind.storage in _DATA:
        causes += _keys(kind, manifest)
    elif kind.storage == _DEFINITIONS:
        causes += _definition(kind, name, spec or {})
    if causes:
        raise invalid(kind.kind, name, causes, kind.group)


def _keys(kind: ResourceType, manifest: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    for field in _DATA[kind.storage]:
        values = _part(kind, manifest, f"{kind.kind}.{field}", field, dict) or {}
        for key, value in values.items():
            if not isinstance(value, str):
                raise _unreadable(kind, value, f"{kind.kind}.{field}", "string")
            if not re.fullmatch(_CONFIG_KEY, key):
                message = f'Invalid value: "{key}": {_CONFIG_KEY_RULE}'
                causes.append(("FieldValueInvalid", message, f"{field}[{key}]"))
    return causes


def validate_change(kind: ResourceType, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse a change of what cannot be changed.

    Raises:
        Refusal: 422.
    """
    old, new = before.get("spec"), after.get("spec")
    if kind.definition is not None or not isinstance(old, dict) or not isinstance(new, dict):
        return
    causes: list[Cause] = []
    if kind.storage == ("", "pods") and _fixed(old) != _fixed(new):
        causes.append(("FieldValueForbidden", f"Forbidden: {_POD_RULE}", "spec"))
    if kind.group == "apps" and kind.plural in _WORKLOADS and old.get("selector") != new.get("selector"):
        shown = json.dumps(new.get("selector"), separators=(",", ":"), sort_keys=True)
        causes.append(("FieldValueInvalid", f"Invalid value: {shown}: field is immutable", "spec.selector"))
    if causes:
        raise invalid(kind.kind, before["metadata"]["name"], causes, kind.group)


_POD_RULE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _fixed(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a pod's spec stays as it was created (pkg/apis/core/validation, ValidatePodUpdate)."""
    loose = {"activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates"}
    kept = {name: value for name, value in spec.items() if name not in loose}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{name: v for name, v in part.items() if name != "image"} for part in kept[field]]
    return kept


def _containers(kind: ResourceType, spec: Any, path: str) -> list[Cause]:
    containers = _part(kind, spec, f"{path}.containers", "containers", list)
    if not containers:
        return [("FieldValueRequired", "Required value", f"{path}.containers")]
    causes: list[Cause] = []
    for index, container in enumerate(containers):
        if not isinstance(container, dict):
            raise _unreadable(kind, container, f"{path}.containers", "v1.Container")
        causes += [
            ("FieldValueRequired", "Required value", f"{path}.containers[{index}].{field}")
            for field in ("name", "image")
            if not container.get(field)
        ]
    return causes


def _part(kind: ResourceType, parent: Any, path: str, field: str, wanted: type) -> Any:
    """A field that is a structure or a list, if it is there."""
    value = (parent or {}).get(field)
    if value is not None and not isinstance(value, wanted):
        raise _unreadable(kind, value, path, "struct" if wanted is dict else "slice")
    return value


def _definition(kind: ResourceType, name: str, spec: dict[str, Any]) -> list[Cause]:
    """What a CRD needs for its resources to be served (apiextensions pkg/apis/apiextensions/validation)."""
    names = _part(kind, spec, "spec.names", "names", dict) or {}
    versions = _part(kind, spec, "spec.versions", "versions", list) or []
    given = {"spec.group": spec.get("group"), "spec.scope": spec.get("scope")}
    given |= {f"spec.names.{field}": names.get(field) for field in ("plural", "kind")}
    causes: list[Cause] = [("FieldValueRequired", "Required value", path) for path, value in given.items() if not value]
    if spec.get("scope") not in {None, "", "Cluster", "Namespaced"}:
        message = f'Unsupported value: "{spec["scope"]}": supported values: "Cluster", "Namespaced"'
        causes.append(("FieldValueNotSupported", message, "spec.scope"))
    if not causes and name != f"{names['plural']}.{spec['group']}":
        message = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        causes.append(("FieldValueInvalid", message, "metadata.name"))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if not isinstance(version, dict):
            raise _unreadable(kind, version, path, "v1.CustomResourceDefinitionVersion")
        schema = _part(kind, version, f"{path}.schema", "schema", dict)
        if not version.get("name"):
            causes.append(("FieldValueRequired", "Required value", f"{path}.name"))
        if not _part(kind, schema, f"{path}.schema.openAPIV3Schema", "openAPIV3Schema", dict):
            message = "Required value: schemas are required"
            causes.append(("FieldValueRequired", message, f"{path}.schema.openAPIV3Schema"))
        for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
            causes += [
                ("FieldValueRequired", "Required value", f"{path}.additionalPrinterColumns[{at}].{field}")
                for field in ("name", "type", "jsonPath")
                if not column.get(field)
            ]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        shown = json.dumps([version.get("name") for version in versions])
        message = f"Invalid value: {shown}: must have exactly one version marked as storage version"
        causes.append(("FieldValueInvalid", message, "spec.versions"))
    return causes


def _workload(kind: ResourceType, spec: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    selector = _part(kind, spec, "spec.selector", "selector", dict) or {}
    template = _part(kind, spec, "spec.template", "template", dict) or {}
    metadata = _part(kind, template, "spec.template.metadata", "metadata", dict)
    pod = _part(kind, template, "spec.template.spec", "spec", dict)
    if not selector:
        causes.append(("FieldValueRequired", "Required value", "spec.selector"))
    labels = _part(kind, metadata, "spec.template.metadata.labels", "labels", dict) or {}
    wanted = _part(kind, selector, "spec.selector.matchLabels", "matchLabels", dict) or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        shown = "{" + ",".join(f'"{key}":"{value}"' for key, value in sorted(labels.items())) + "}"
        message = f"Invalid value: {shown}: `selector` does not match template `labels`"
        causes.append(("FieldValueInvalid", message, "spec.template.metadata.labels"))
    return causes + _containers(kind, pod, "spec.template.spec")


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
    """A manifest as it is read before it is judged: a copy that shares nothing with what was given.

    Of a built-in resource, nulls are dropped, which Go reads as absence. A custom resource loses the fields its schema
    does not know, and gets the schema's defaults.
    """
    if kind.definition is None:
        read: dict[str, Any] = _without_nulls(manifest)
        # In Go an empty map is no more than none (omitempty).
        return {name: value for name, value in read.items() if value != {} or name not in _DATA.get(kind.storage, ())}
    schema = (kind.definition.get("schema") or {}).get("openAPIV3Schema") or {}
    kept = {name: _copied(manifest[name]) for name in ("kind", "apiVersion", "metadata")}
    pruned: dict[str, Any] = _pruned({name: value for name, value in manifest.items() if name not in kept}, schema)
    return kept | pruned


def _pruned(value: Any, schema: dict[str, Any]) -> Any:
    keep_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        result = {}
        for name, child in value.items():
            below = properties.get(name)
            if below is not None and child is None and "default" in below and not below.get("nullable"):
                continue
            if below is not None:
                result[name] = _pruned(child, below)
            elif isinstance(extra, dict):
                result[name] = _pruned(child, extra)
            elif keep_unknown or extra is True or schema.get("x-kubernetes-embedded-resource"):
                result[name] = _copied(child)
        for name, below in properties.items():
            if name not in result and "default" in below:
                result[name] = _pruned(below["default"], below)
        return result
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_pruned(child, schema["items"]) for child in value]
    return _copied(value)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_copied(child) for child in value]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            # In a schema, null is a value.
            name: _copied(child) if name == "openAPIV3Schema" else _without_nulls(child)
            for name, child in value.items()
            if child is not None
        }
    if isinstance(value, list):
        return [_without_nulls(child) for child in value]
    return value
