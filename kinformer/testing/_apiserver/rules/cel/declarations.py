"""The types of the variables that an expression may read: those of admission, and those of a schema.

See apiserver pkg/admission/plugin/cel/compile.go and pkg/cel/common/schemas.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.cel.signatures import BOOL, DYN, INT, STRING, Type, list_of, map_of
from kinformer.testing._apiserver.rules.cel.values import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTHORIZER", "JSON_PATCH", "NAMESPACE", "OBJECT", "REQUEST", "type_of_schema"]

_NAME: Final = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_TEXTS: Final = map_of(STRING, STRING)
_TIME: Final = Type("timestamp")
_DURATION: Final = Type("duration")
_FORMATS: Final = {"byte": Type("bytes"), "duration": _DURATION, "date": _TIME, "date-time": _TIME}
_PLAIN: Final = {"string": STRING, "boolean": BOOL, "integer": INT, "number": Type("double")}


def _record(called: str, /, **fields: Type) -> Type:
    return Type(f"kubernetes.{called}", fields=fields)


def _texts(called: str, *fields: str) -> Type:
    return Type(f"kubernetes.{called}", fields=dict.fromkeys(fields, STRING))


_KIND: Final = _texts("GroupVersionKind", "group", "version", "kind")
_RESOURCE: Final = _texts("GroupVersionResource", "group", "version", "resource")
REQUEST: Final = _record(
    "AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_record(
        "UserInfo", username=STRING, uid=STRING, groups=list_of(STRING), extra=map_of(STRING, list_of(STRING))
    ),
    dryRun=BOOL,
    options=DYN,
)
"""The type of `request`."""

NAMESPACE: Final = _record(
    "Namespace",
    metadata=_record(
        "NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=_TEXTS,
        annotations=_TEXTS,
        UID=STRING,
        creationTimestamp=_TIME,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=_TIME,
        generation=INT,
        resourceVersion=STRING,
        finalizers=list_of(STRING),
    ),
    spec=_record("NamespaceSpec", finalizers=list_of(STRING)),
    status=_record("NamespaceStatus", phase=STRING),
)
"""The type of `namespaceObject`."""

AUTHORIZER: Final = Type(
    "kubernetes.authorization.Authorizer",
    fields={"requestResource": Type("kubernetes.authorization.ResourceCheck")},
)
"""The type of `authorizer`."""

OBJECT: Final = Type("type", (Type("Object"),))
"""The type of the name `Object`, by which a policy makes the fields that it applies."""

JSON_PATCH: Final = Type(
    "type", (Type("JSONPatch", fields={"op": STRING, "path": STRING, "from": STRING, "value": DYN}),)
)
"""The type of the name `JSONPatch`."""

_META: Final = {
    "apiVersion": STRING,
    "kind": STRING,
    "metadata": Type("object", fields={"name": STRING, "generateName": STRING}),
}
"""The fields that every whole object has for its rules."""


def type_of_schema(schema: Mapping[str, Any], path: str = "selfType", *, is_whole: bool = False) -> Type | None:
    """Return the type of the values of a schema; `None` if expressions cannot read them.

    Args:
        schema: a part of the schema of a CRD.
        path: the name that errors show for it.
        is_whole: whether it is the schema of whole objects, which have a kind and metadata.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        item = type_of_schema(items, f"{path}.@items") if isinstance(items, dict) else None
        return None if item is None else list_of(item)
    if kind == "object":
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            value = type_of_schema(extra, f"{path}.@values")
            return None if value is None else map_of(STRING, value)
        fields: dict[str, Type] = {}
        for name, below in (schema.get("properties") or {}).items():
            found = type_of_schema(below, f"{path}.{name}") if isinstance(below, dict) else None
            if found is not None and _NAME.fullmatch(escaped(name)):
                fields[escaped(name)] = found
                fields.setdefault(name, found)
        if is_whole or schema.get("x-kubernetes-embedded-resource"):
            fields |= _META
        return Type(path, fields=fields)
    if kind == "string" and schema.get("format") in _FORMATS:
        return _FORMATS[str(schema.get("format"))]
    return _PLAIN.get(str(kind))
