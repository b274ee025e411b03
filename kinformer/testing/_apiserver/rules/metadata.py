"""The rules for metadata: names, labels, annotations, finalizers and owners (apimachinery api/validation)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import invalid_value
from kinformer.testing._apiserver.rules.defaults import has_generation
from kinformer.testing._apiserver.rules.names import (
    label_faults,
    label_value_faults,
    qualified_faults,
    subdomain_faults,
)

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["check_metadata", "check_prefix_again"]

_STANDARD_FINALIZERS: Final = {"kubernetes", "orphan", "foregroundDeletion"}
# Names of these are path segments, not DNS names.
_FREE_NAMES: Final = {
    ("v1", "events"),
    ("policy/v1", "poddisruptionbudgets"),
    ("certificates.k8s.io/v1", "certificatesigningrequests"),
    # Those of a signer have it in front, as "example.com:signer:name".
    ("certificates.k8s.io/v1", "clustertrustbundles"),
    *(
        ("rbac.authorization.k8s.io/v1", plural)
        for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
    ),
}
# Names of these are single DNS labels.
_LABEL_NAMES: Final = {("v1", "namespaces"), ("v1", "services"), ("apps/v1", "statefulsets")}
_FREE_FINALIZERS: Final = {
    ("policy/v1", "poddisruptionbudgets"),
    ("coordination.k8s.io/v1", "leases"),
    ("node.k8s.io/v1", "runtimeclasses"),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    ("v1", "events"),
}
_FREE_VERSIONS: Final = {"admissionregistration.k8s.io/v1"}
"""The kinds whose finalizers need no domain."""

_LONGEST_CRON_JOB: Final = 52
"""Its jobs have 11 further characters (DNS1035LabelMaxLength)."""

_NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_STRING_MAPS: Final = ("labels", "annotations")

_MOST_ANNOTATIONS: Final = 256 * 1024
"""Bytes of all annotations together (TotalAnnotationSizeLimitB)."""


def check_metadata(kind: ResourceType, metadata: dict[str, Any]) -> list[Cause]:
    """The reasons why the metadata of an object is refused."""
    causes = _name(kind, metadata.get("name", ""))
    causes += _generated_name(kind, metadata.get("generateName") or "")
    if (metadata.get("generation") or 0) < 0 and not has_generation(kind):
        causes.append(invalid_value("metadata.generation", metadata["generation"], _NOT_NEGATIVE))
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
    return causes + _finalizers(kind, metadata) + _owners(metadata)


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
    faults = label_faults(name) if place in _LABEL_NAMES else subdomain_faults(name)
    causes = [cause for fault in faults for cause in wrong(fault)]
    if place == ("batch/v1", "cronjobs") and len(name) > _LONGEST_CRON_JOB:
        causes += wrong(f"must be no more than {_LONGEST_CRON_JOB} characters")
    return causes


def _generated_name(kind: ResourceType, prefix: str) -> list[Cause]:
    """Judge the beginning of a generated name, which may end with a hyphen."""
    place = (kind.api_version, kind.plural)
    if not prefix:
        return []
    if place == ("v1", "replicationcontrollers") or kind.storage == (
        "certificates.k8s.io",
        "certificatesigningrequests",
    ):
        return []
    if place in _FREE_NAMES:
        faults = [f"may not contain '{part}'" for part in ("/", "%") if part in prefix]
    else:
        masked = f"{prefix[:-2]}a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        faults = label_faults(masked) if place in _LABEL_NAMES else subdomain_faults(masked)
    return [invalid_value("metadata.generateName", prefix, fault) for fault in faults]


_PREFIXES_NOT_JUDGED: Final = {
    ("", "services"),
    *(("apps", plural) for plural in ("deployments", "replicasets", "statefulsets", "daemonsets")),
    *(("", plural) for plural in ("replicationcontrollers", "resourcequotas", "events", "podtemplates")),
    ("batch", "cronjobs"),
    ("networking.k8s.io", "networkpolicies"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    *(
        ("rbac.authorization.k8s.io", plural)
        for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
    ),
}
"""The built-in resources whose update judges only what may change of the metadata, and so no `generateName`."""


def check_prefix_again(kind: ResourceType, prefix: str) -> list[Cause]:
    """The reasons why an update is refused for the beginning of a generated name."""
    return [] if kind.custom or kind.storage in _PREFIXES_NOT_JUDGED else _generated_name(kind, prefix)


def _finalizers(kind: ResourceType, metadata: dict[str, Any]) -> list[Cause]:
    why = "name is neither a standard finalizer name nor is it fully qualified"
    causes: list[Cause] = []
    finalizers = metadata.get("finalizers") or []
    for index, finalizer in enumerate(finalizers):
        causes += [invalid_value("metadata.finalizers", finalizer, fault) for fault in qualified_faults(finalizer)]
        is_free = (kind.api_version, kind.plural) in _FREE_FINALIZERS or kind.api_version in _FREE_VERSIONS
        if not is_free and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            causes.append(invalid_value(f"metadata.finalizers[{index}]", finalizer, why))
    if {"orphan", "foregroundDeletion"}.issubset(finalizers):
        both = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid_value("metadata.finalizers", finalizers, both))
    return causes


def _owners(metadata: dict[str, Any]) -> list[Cause]:
    references = metadata.get("ownerReferences") or []
    causes: list[Cause] = []
    for reference in references:
        version = reference.get("apiVersion") or ""
        # A version with two slashes has no group that can be read.
        if version.count("/") > 1 or not version.rpartition("/")[2]:
            why = "version must not be empty"
            causes.append(invalid_value("metadata.ownerReferences.apiVersion", version, why))
        causes += [
            invalid_value(f"metadata.ownerReferences.{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not reference.get(field)
        ]
        if (version, reference.get("kind")) == ("v1", "Event"):
            why = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(invalid_value("metadata.ownerReferences", reference, why))
    controllers = [f"{r.get('kind', '')}/{r.get('name', '')}" for r in references if r.get("controller")]
    if len(controllers) > 1:
        shown = json.dumps(references, separators=(",", ":"))
        why = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        causes.append(("FieldValueInvalid", f"Invalid value: {shown}: {why}", "metadata.ownerReferences"))
    return causes
