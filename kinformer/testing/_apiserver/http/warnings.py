"""Warnings in answers (KEP-1693): of deprecated kinds, and of fields whose values mean something else."""

from __future__ import annotations

import unicodedata
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.formats import unknown_formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["DEPRECATED", "KEPT_PODS", "add_warnings", "begin_warnings", "format_warnings", "warn", "warnings_of"]

_NOTED: Final[ContextVar[list[str]]] = ContextVar("warnings of the request")

_MOST_CHARACTERS: Final = 4096
_CUT_AT: Final = 256

DEPRECATED: Final = {
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}
"""The warning in each answer about a deprecated kind."""

KEPT_PODS: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_TOKENS: Final = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)
_NEGATIVE: Final = "must be >= 0; negative values are invalid and will be treated as 1"
_ADDRESSES: Final = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
_IGNORED_ADDRESSES: Final = "spec.externalIPs is ignored for headless services"
_POD_SPECS: Final = {
    ("", "pods"): "spec",
    ("", "podtemplates"): "template.spec",
    ("", "replicationcontrollers"): "spec.template.spec",
    **{
        ("apps", plural): "spec.template.spec"
        for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")
    },
    ("batch", "jobs"): "spec.template.spec",
    ("batch", "cronjobs"): "spec.jobTemplate.spec.template.spec",
}


def begin_warnings() -> None:
    """Begin a request, which has no warnings yet."""
    _NOTED.set([])


def warn(*texts: str) -> None:
    """Note warnings for the answer to the request that is being handled."""
    _NOTED.get().extend(texts)


def add_warnings(answer: web.StreamResponse) -> None:
    """Add the warnings of the request to its answer, each once.

    Those with control characters are left out. If all together are too long, each is cut.

    apiserver: pkg/endpoints/filters/warning.go; apimachinery: pkg/util/net/http.go (NewWarningHeader).
    """
    texts = [text for text in dict.fromkeys(_NOTED.get()) if text and not _has_controls(text)]
    if sum(map(len, texts)) > _MOST_CHARACTERS:
        texts = [text[:_CUT_AT] for text in texts]
    written = 0
    for text in texts:
        if written < _MOST_CHARACTERS:
            answer.headers.add("Warning", f"299 - {_quoted(text)}")
            written += len(text)


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def format_warnings(after: Any, before: Any = None) -> Iterator[str]:
    """Return a warning for each format in the schemas of a CRD that is not known, unless the CRD had it before."""
    known = set(_unknown_formats(before))
    return (f"unrecognized format {_quoted(form)}" for form in _unknown_formats(after) if form not in known)


def _unknown_formats(definition: Any) -> Iterator[str]:
    versions = _at(definition, "spec.versions")
    for version in versions if isinstance(versions, list) else ():
        yield from unknown_formats(_at(version, "schema.openAPIV3Schema"))


def warnings_of(kind: ResourceType, manifest: Any) -> Iterator[str]:
    """Return what a kube-apiserver warns of in an object that is written."""
    if (place := _POD_SPECS.get(kind.storage)) is not None:
        seconds = _at(manifest, f"{place}.terminationGracePeriodSeconds")
        if isinstance(seconds, int) and seconds < 0:
            yield f"{place}.terminationGracePeriodSeconds: {_NEGATIVE}"
    elif kind.storage == ("", "services") and _at(manifest, "spec.externalIPs"):
        yield _IGNORED_ADDRESSES if _at(manifest, "spec.clusterIP") == "None" else _ADDRESSES
    elif (
        kind.storage == ("storage.k8s.io", "csidrivers")
        and _at(manifest, "spec.tokenRequests")
        and _at(manifest, "spec.serviceAccountTokenInSecrets") is None
    ):
        yield _TOKENS


def _at(manifest: Any, path: str) -> Any:
    value = manifest
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _quoted(text: str) -> str:
    """Return a quoted string of HTTP (RFC 9110, section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
