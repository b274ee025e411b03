"""The rules for metadata: names, labels, annotations, finalizers and owners (apimachinery api/validation)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.names import (
    LABEL,
    LABEL_RULE,
    SUBDOMAIN,
    SUBDOMAIN_RULE,
    label_value_faults,
    qualified_faults,
)

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_metadata"]

_STANDARD_FINALIZERS: Final = {"kubernetes", "orphan", "foregroundDeletion"}
# Names of these are path segments, not DNS names.
_FREE_NAMES: Final = {
    ("v1", "events"),
    ("policy/v1", "poddisruptionbudgets"),
    # Those of a signer have it in front, as "example.com:signer:name".
    ("certificates.k8s.io/v1", "clustertrustbundles"),
    *(
        ("rbac.authorization.k8s.io/v1", plural)
        for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
    ),
}
# Names of these are single DNS labels.
_LABEL_NAMES: Final = {("v1", "namespaces"), ("v1", "services"), ("apps/v1", "statefulsets")}
_STRING_MAPS: Final = ("labels", "annotations")

_MOST_ANNOTATIONS: Final = 256 * 1024
"""Bytes of all annotations together (TotalAnnotationSizeLimitB)."""


def check_metadata(kind: ResourceType, metadata: dict[str, Any]) -> list[Cause]:
    """The reasons why the metadata of an object is refused."""
    causes = _name(kind, metadata.get("name", ""))
    generated = metadata.get("generateName", "")
    if generated and len(generated) > 253:
        message = f'Invalid value: "{generated}": must be no more than 253 bytes'
        causes.append(("FieldValueInvalid", message, "metadata.generateName"))
    for field in _STRING_MAPS:
        for key, value in (metadata.get(field) or {}).items():
            is_label = field == "labels"
            # The case of an annotation's key does not matter.
            faults = [(key, why) for why in qualified_faults(key if is_label else key.lower())]
            faults += [(value, why) for why in label_value_faults(value)] if is_label else []
            causes += [invalid_value(f"metadata.{field}", wrong, why) for wrong, why in faults]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in (metadata.get("annotations") or {}).items())
    if size > _MOST_ANNOTATIONS:
        message = f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes"
        causes.append(("FieldValueTooLong", message, "metadata.annotations"))
    return causes + _finalizers(metadata) + _owners(metadata)


def _name(kind: ResourceType, name: str) -> list[Cause]:
    if not name:
        return [("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")]

    def wrong(why: str) -> list[Cause]:
        return [("FieldValueInvalid", f'Invalid value: "{name}": {why}', "metadata.name")]

    place = (kind.api_version, kind.plural)
    if place in _FREE_NAMES:
        if name in {".", ".."}:
            return wrong(f"may not be '{name}'")
        return [cause for part in ("/", "%") if part in name for cause in wrong(f"may not contain '{part}'")]
    if place in _LABEL_NAMES:
        if "." in name and re.fullmatch(SUBDOMAIN, name):
            return wrong("must not contain dots")
        if not re.fullmatch(LABEL, name):
            return wrong(LABEL_RULE)
        return wrong("must be no more than 63 bytes") if len(name) > 63 else []
    if not re.fullmatch(SUBDOMAIN, name):
        return wrong(SUBDOMAIN_RULE)
    return wrong("must be no more than 253 bytes") if len(name) > 253 else []


def _finalizers(metadata: dict[str, Any]) -> list[Cause]:
    why = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        ("FieldValueInvalid", f'Invalid value: "{finalizer}": {why}', f"metadata.finalizers[{index}]")
        for index, finalizer in enumerate(metadata.get("finalizers") or ())
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]


def _owners(metadata: dict[str, Any]) -> list[Cause]:
    references = metadata.get("ownerReferences") or []
    causes: list[Cause] = [
        ("FieldValueInvalid", 'Invalid value: "": must not be empty', f"metadata.ownerReferences.{field}")
        for reference in references
        for field in ("apiVersion", "kind", "name", "uid")
        if not reference.get(field)
    ]
    controllers = [f"{r.get('kind', '')}/{r.get('name', '')}" for r in references if r.get("controller")]
    if len(controllers) > 1:
        shown = json.dumps(references, separators=(",", ":"))
        why = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        causes.append(("FieldValueInvalid", f"Invalid value: {shown}: {why}", "metadata.ownerReferences"))
    return causes
