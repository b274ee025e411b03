"""Label and field selectors as the API server reads them, with its own words for its refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.rules.conversions import in_version
from kinformer.testing._apiserver.rules.names import label_value_faults, qualified_faults
from kinformer.testing._apiserver.store.status import bad_request

if TYPE_CHECKING:
    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = ["Selection", "parse_field_selector", "parse_label_selector"]

Selection: TypeAlias = Callable[[dict[str, Any]], bool]
"""Report whether an object (its whole manifest) is selected."""

_SYMBOLS = re.compile(r"\s*(==|!=|[=!<>,()]|[^\s=!<>,()]+)")

# Which fields of a built-in resource can be selected, beside name and namespace (pkg/registry/**/strategy.go).
_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
        *("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
    ),
    ("", "events"): (
        *(f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        *("involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"),
    ),
    ("events.k8s.io", "events"): (
        *(f"regarding.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        *("regarding.fieldPath", "reason", "reportingController", "type"),
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
}
_BOOLEANS = {"spec.hostNetwork", "spec.unschedulable"}


_NO_WORDS: Final = {"=", "==", "!=", "<", ">", ",", "(", ")"}
"""The tokens that no requirement begins with."""


class _Reader:
    """The tokens of a label selector, from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens = _SYMBOLS.findall(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def word(self, expected: str) -> str:
        token = self.take()
        if token in {"", "!", *_NO_WORDS}:
            msg = f"unable to parse requirement: found '{token}', expected: {expected}"
            raise bad_request(msg)
        return token


def parse_label_selector(text: str) -> Callable[[Mapping[str, str]], bool] | None:
    """Parse a label selector; returns `None` for one that selects everything.

    Raises:
        Refusal: 400, it does not parse.
    """
    reader = _Reader(text)
    conditions: list[Callable[[Mapping[str, str]], bool]] = []
    if (first := reader.peek()) in _NO_WORDS:
        msg = f"found '{first}', expected: !, identifier, or 'end of string'"
        raise bad_request(msg)
    while reader.peek():
        conditions.append(_requirement(reader))
        separator = reader.take()
        if separator not in {"", ","}:
            msg = f"found '{separator}', expected: ',' or 'end of string'"
            raise bad_request(msg)
        if separator == "," and (not (following := reader.peek()) or following in _NO_WORDS):
            msg = f"found '{following}', expected: identifier after ','"
            raise bad_request(msg)
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    return lambda labels: all(condition(labels) for condition in conditions)


def selects_labels(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Report whether a LabelSelector selects labels; an empty one selects all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or ():
        key, values = term.get("key", ""), term.get("values") or ()
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(term.get("operator", ""), False):
            return False
    return True


def _requirement(reader: _Reader) -> Callable[[Mapping[str, str]], bool]:
    if reader.peek() == "!":
        reader.take()
        absent = _key(reader)
        return lambda labels: absent not in labels
    key = _key(reader)
    operator = reader.peek()
    if operator in {"", ","}:
        return lambda labels: key in labels
    reader.take()
    if operator in {"=", "==", "!="}:
        if reader.peek() in {"=", "==", "!="}:
            msg = f"unable to parse requirement: found '{reader.peek()}', expected: identifier"
            raise bad_request(msg)
        value = "" if reader.peek() in {"", ","} else reader.word("identifier")
        _check_value(key, value, 0)
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if operator in {"in", "notin"}:
        values = _values(reader)
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if operator in {"<", ">"}:
        return _comparison(key, operator, reader.word("identifier") if reader.peek() else "")
    msg = f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
    raise bad_request(msg)


def _key(reader: _Reader) -> str:
    key = reader.word("identifier")
    if faults := qualified_faults(key):
        msg = f'unable to parse requirement: <nil>: Invalid value: "{key}": {"; ".join(faults)}'
        raise bad_request(msg)
    return key


def _check_value(key: str, value: str, index: int) -> None:
    if faults := label_value_faults(value):
        why = "; ".join(faults)
        msg = f'unable to parse requirement: values[{index}][{key}]: Invalid value: "{value}": {why}'
        raise bad_request(msg)


def _values(reader: _Reader) -> set[str | None]:
    if (mark := reader.take()) != "(":
        msg = f"unable to parse requirement: found '{mark}' expected: '('"
        raise bad_request(msg)
    values: set[str | None] = set()
    while True:
        values.add("" if reader.peek() in {",", ")"} else reader.word("identifier"))
        mark = reader.take()
        if mark == ")":
            return values
        if mark != ",":
            expected = "',' or ')'" if not mark else "',', or ')'"
            msg = f"unable to parse requirement: found '{mark}', expected: {expected}"
            raise bad_request(msg)


def _comparison(key: str, operator: str, bound: str) -> Callable[[Mapping[str, str]], bool]:
    try:
        limit = int(bound)
    except ValueError:
        msg = f"unable to parse requirement: values[0]: Invalid value: \"{bound}\": for 'Gt', 'Lt' operators, the value must be an integer"  # noqa: E501
        raise bad_request(msg) from None

    def compare(labels: Mapping[str, str]) -> bool:
        try:
            value = int(labels.get(key, ""))
        except ValueError:
            return False
        return value > limit if operator == ">" else value < limit

    return compare


def parse_field_selector(text: str, kind: ResourceType) -> Selection | None:
    """Parse a field selector for a resource; returns `None` for one that selects everything.

    Raises:
        Refusal: 400, it does not parse, or a field cannot be selected.
    """
    allowed = {"metadata.name", "metadata.namespace"} if kind.namespaced or not kind.group else {"metadata.name"}
    place = (kind.group, kind.plural)
    allowed |= set(_FIELDS.get(place, ()))
    if kind.definition is not None:
        selectable = kind.definition.get("selectableFields") or ()
        allowed = {"metadata.name", "metadata.namespace"} | {field["jsonPath"].lstrip(".") for field in selectable}
    conditions: list[tuple[str, bool, str]] = []
    for term in re.findall(r"(?:\\.|[^\\,])+", text):
        parts = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term, re.DOTALL)
        if parts is None:
            msg = f"invalid selector: '{text}'; can't understand '{term}'"
            raise bad_request(msg)
        path, operator, value = parts.groups()
        if path not in allowed:
            msg = f"field label not supported: {path}"
            if kind.storage == ("batch", "jobs"):
                msg = f'field label "{path}" not supported for Job'
            elif (place not in _FIELDS or kind.group == "apps") and kind.definition is None:
                msg = f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            raise bad_request(msg)
        conditions.append((path, operator == "!=", re.sub(r"\\(.)", r"\1", value)))
    if not conditions:
        return None

    def selected(manifest: dict[str, Any]) -> bool:
        # Only the metadata of a custom resource can be selected by, which no conversion changes.
        read = manifest if kind.conversion is not None else in_version(kind, manifest)
        return all((_field(read, path) == value) != negated for path, negated, value in conditions)

    return selected


def _field(manifest: dict[str, Any], path: str) -> str:
    value: Any = manifest
    if path == "source":
        # Events of the newer group have no source (pkg/registry/core/event/strategy.go).
        return (manifest.get("source") or {}).get("component") or manifest.get("reportingComponent") or ""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if path in _BOOLEANS:
        return "true" if value else "false"
    if value is None:
        return "0" if path in {"status.replicas", "status.successful"} else ""
    return str(value)
