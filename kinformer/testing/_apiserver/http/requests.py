"""The parts of a request: its path, its query, its headers and its body, as the API server reads them."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer.testing._apiserver.rules.causes import forbidden, one_of
from kinformer.testing._apiserver.schemas import protobuf
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from yaml import SafeLoader

    from kinformer.testing._apiserver.schemas.go_types import Types
    from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
    from kinformer.testing._apiserver.store.status import Cause

__all__ = [
    "ListOptions",
    "Target",
    "decode_applied",
    "decode_body",
    "find_target",
    "is_true",
    "media_type",
    "wants_aggregated",
]

_INTEGER: Final = re.compile(r"-?[0-9]+")
_VERSION: Final = re.compile(r"[0-9]+")
_SHOWN: Final = 1024
"""Bytes of a body that a message shows (apimachinery runtime/codec, summarizeData)."""


@dataclass(frozen=True, slots=True)
class Target:
    """The resource, or the object, or the part of an object that a path names."""

    kind: ResourceType
    namespace: str
    name: str = ""
    subresource: str = ""


def find_target(path: str, catalog: Catalog) -> Target:
    """Find the resource, object or subresource that a path under /api or /apis names.

    Raises:
        Refusal: 404, no such resource in a group that is served.
        TextRefusal: 404, no such group, or no such path.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise status.page_not_found()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    kind = catalog.lookup(group, version, rest[0])
    if kind is None:
        # Built-in groups answer with a Status; a CRD that is gone leaves nothing, not even its group.
        raise status.no_such_resource() if catalog.knows(group, version) else status.page_not_found()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if (len(rest) > 3 and subresource != "proxy") or (subresource and subresource not in kind.subresources):
        raise status.no_such_resource()
    if namespace and not kind.namespaced:
        raise status.no_such_resource()
    return Target(kind, namespace, name, subresource)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """meta/v1 ListOptions: the query of a list or a watch."""

    label_selector: str = ""
    field_selector: str = ""
    shard_selector: str = ""
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool = False
    initial_events_named: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ListOptions:
        """Read them from a query.

        Raises:
            Refusal: 400 for a value that is no number, 422 for a combination that makes no sense.
        """
        options = cls(
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            shard_selector=query.get("shardSelector", ""),
            resource_version=query.get("resourceVersion", ""),
            match=query.get("resourceVersionMatch", ""),
            limit=_number(query, "limit"),
            continue_token=query.get("continue", ""),
            timeout_seconds=_number(query, "timeoutSeconds") if query.get("timeoutSeconds") else None,
            bookmarks=is_true(query.get("allowWatchBookmarks")),
            send_initial_events=is_true(query.get("sendInitialEvents")),
            initial_events_named="sendInitialEvents" in query,
        )
        options.check(watch=is_true(query.get("watch")))
        return options

    def check(self, *, watch: bool) -> None:
        """Refuse combinations that make no sense (apimachinery meta/internalversion/validation)."""
        if watch:
            if causes := [*self._faults_of_watch()]:
                raise status.invalid("ListOptions", "", causes, group="meta.k8s.io")
            return
        causes = [forbidden("resourceVersionMatch", why) for why in self._faults_of_match()]
        if self.match not in {"", "Exact", "NotOlderThan"}:
            causes.append(one_of("resourceVersionMatch", self.match, ("Exact", "NotOlderThan", "")))
        if self.initial_events_named:
            causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        if causes:
            raise status.invalid("ListOptions", "", causes, group="meta.k8s.io")

    def _faults_of_watch(self) -> Iterator[Cause]:
        if self.initial_events_named and self.match != "NotOlderThan":
            yield forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        if self.match and not self.initial_events_named:
            yield forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        if self.match not in {"", "NotOlderThan"}:
            yield one_of("resourceVersionMatch", self.match, ("NotOlderThan",))
        if self.continue_token:
            yield forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")

    def _faults_of_match(self) -> Iterator[str]:
        if self.match and self.continue_token:
            yield "resourceVersionMatch is forbidden when continue is provided"
        elif self.match and not self.resource_version:
            yield "resourceVersionMatch is forbidden unless resourceVersion is provided"
        elif self.match == "Exact" and self.resource_version == "0":
            yield 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'

    def version(self, *, watch: bool) -> int:
        """The resource version as a number; 0 when there is none.

        Raises:
            Refusal: it is no number: 400 for a list, 500 for a watch.
        """
        text = self.resource_version
        if not text:
            return 0
        if not _VERSION.fullmatch(text):
            why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
            raise status.internal(why) if watch else status.bad_request(f"invalid resource version: {why}")
        return int(text)


def is_true(text: str | None) -> bool:
    """A boolean of a query: each text but "0" and "false" is true (apimachinery, Convert_Slice_string_To_bool)."""
    return text is not None and text.lower() not in {"0", "false"}


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        msg = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise status.bad_request(msg)
    # A negative number asks for nothing.
    return max(int(text), 0)


def wants_aggregated(accept: str) -> bool:
    """Report whether an Accept header asks for aggregated discovery before plain."""
    for part in accept.split(","):
        given = {piece.strip() for piece in part.split(";")}
        if {"g=apidiscovery.k8s.io", "as=APIGroupDiscoveryList"} <= given and "v=v2" in given:
            return True
        if given & {"application/json"} and len(given) == 1:
            return False
    return False


def _of_yaml(body: bytes) -> Any:
    """Read YAML as Kubernetes does: a value that looks like a time stays text.

    Raises:
        ValueError: the body is no YAML.
    """
    if body.startswith(b"{"):
        # Programs apply JSON, which PyYAML reads slowly: that was half of the time of an apply.
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(body)
    # Imported with the first body that is YAML and no JSON.
    import yaml

    loader = _yaml_loader()
    try:
        return _plain(yaml.load(body, Loader=loader))  # noqa: S506 - a SafeLoader with fewer types
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


@cache
def _yaml_loader() -> type[SafeLoader]:
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("_Yaml", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header."""
    return content_type.partition(";")[0].strip().lower()


def decode_body(body: bytes, content_type: str, kind: str, types: Types) -> Any:
    """The body of a write as JSON values.

    Args:
        body: the bytes.
        content_type: the value of the header.
        kind: the kind that is expected, for messages.
        types: the types of the server's release.

    Raises:
        Refusal: 400 for a body that cannot be read, 415 for an unknown type.
    """
    media = media_type(content_type)
    try:
        if media.endswith("yaml"):
            return _of_yaml(body)
        if media in {"", "application/json"} or media.endswith("+json"):
            return msgspec.json.decode(body)
        if media == protobuf.MEDIA_TYPE:
            return protobuf.decode(body, types)
    except protobuf.ProtobufError as error:
        msg = f"the object provided is unrecognized (must be of type {kind}): {error} ({_summary(body)})"
        raise status.bad_request(msg) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        why = "unexpected end of JSON input" if not body or "truncated" in str(error) else str(error)
        msg = (
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse "
            f"error: {why} ({_summary(body)})"
        )
        raise status.bad_request(msg) from None
    message = (
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml, application/vnd.kubernetes.protobuf"
    )
    raise status.Refusal(415, message, "UnsupportedMediaType")


def decode_applied(body: bytes) -> Any:
    """The configuration of a server-side apply, which is YAML or JSON; `None` for an empty one.

    Raises:
        Refusal: 400, it is no YAML, or no object.
    """
    try:
        value = _of_yaml(body)
    except (ValueError, RecursionError) as error:
        why = _yaml_fault(body) or str(getattr(error.__cause__, "problem", None) or error)
        msg = f"error decoding YAML: error converting YAML to JSON: yaml: {why}"
        raise status.bad_request(msg) from None
    if value is None or isinstance(value, dict):
        return value
    found = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    why = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
    msg = f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}"
    raise status.bad_request(msg)


def _yaml_fault(body: bytes) -> str:
    """The fault of a text that is no YAML, in the words of libyaml, which Go's reader is made from; "" if it is."""
    import yaml

    try:
        for _ in yaml.parse(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            pass
    except yaml.MarkedYAMLError as error:
        marks = (error.context_mark, error.problem_mark)
        line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
        if line and isinstance(error, yaml.scanner.ScannerError):
            line += 1
        return (f"line {line}: " if line else "") + str(error.problem)
    except yaml.YAMLError as error:
        return str(error)
    return ""


def _plain(value: Any) -> Any:
    """YAML values as JSON has them: keys are text, and there are no numbers beyond the finite ones.

    Raises:
        ValueError: a value that JSON does not have.
    """
    if isinstance(value, dict):
        return {name if isinstance(name, str) else _key(name): _plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"json: unsupported value: {value}"
        raise ValueError(msg)
    if isinstance(value, bytes | set | tuple):
        msg = "json: unsupported type"
        raise ValueError(msg)  # noqa: TRY004 - the type of a document, not of an argument
    return value


def _key(name: Any) -> str:
    if isinstance(name, bool | int | float):
        return json.dumps(name)
    msg = f"Unsupported map key of type: {type(name).__name__}"
    raise ValueError(msg)


def _summary(body: bytes) -> str:
    """A body as messages show it: as text or in hexadecimal digits, and not all of a long one."""
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        text = body[:_SHOWN].decode(errors="replace")
        return text + (" ...(truncated)" if len(body) > _SHOWN else "")
    return body[:_SHOWN].hex() + ("..." if len(body) > _SHOWN else "")
