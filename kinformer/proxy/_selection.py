"""Which requests are answered from a cache, and which objects they select. Pure.

Everything that is not certain goes to the API server: so its own words refuse bad options, and a form of answer that
the proxy does not make (tables, metadata only, protobuf) is made by the server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from kinformer.errors import SelectorError
from kinformer.labels import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = [
    "Form",
    "ListOptions",
    "Place",
    "Selection",
    "asked_form",
    "is_object_of",
    "place_of",
    "place_of_any",
    "read_options",
]

Form: TypeAlias = Literal["whole", "metadata", "other"]
"""The form of the objects in an answer: whole objects as JSON, metadata only as JSON, or one that no cache has."""

_KNOWN: Final = frozenset(
    {"watch", "resourceVersion", "resourceVersionMatch", "limit", "labelSelector", "fieldSelector", "timeoutSeconds",
     "allowWatchBookmarks", "sendInitialEvents"}
)  # fmt: skip

_TEXT_FIELDS: Final = {
    ("", "pods"): frozenset(
        {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase"}
    ),
}
"""Fields beside name and namespace that the API server selects by, as text (pkg/registry/core/pod/strategy.go)."""

_COLLECTION: Final = re.compile(
    r"(?P<version>/api/v1|/apis/[a-z0-9.-]+/v[a-z0-9]+)(?:/namespaces/(?P<namespace>[a-z0-9.-]+))?/(?P<plural>[a-z0-9.-]+)"
)
_PARTIAL: Final = frozenset({"as=partialobjectmetadata", "as=partialobjectmetadatalist", "g=meta.k8s.io", "v=v1"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_TRUE: Final = frozenset({"1", "true", "True", "TRUE", "t", "T"})
_FALSE: Final = frozenset({"", "0", "false", "False", "FALSE", "f", "F"})
"""Go's strconv.ParseBool, and nothing for false."""


class Selection(NamedTuple):
    """The objects that a list or a watch has.

    Attributes:
        namespace: their namespace; "" for all.
        labels: the label selector; `None` for none.
        fields: path, "=" or "!=", and value, of the field selector.
    """

    namespace: str = ""
    labels: LabelSelector | None = None
    fields: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if it selects all objects."""
        return self == _WHOLE

    def selects(self, obj: KubeObject) -> bool:
        """Return whether it has this object."""
        if self.namespace and obj.key.namespace != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(obj.labels):
            return False
        seen = obj.view() if self.fields else obj
        return all((_field(seen, path) == value) is (operator == "=") for path, operator, value in self.fields)


_WHOLE: Final = Selection()


class ListOptions(NamedTuple):
    """The options of a list or a watch (meta/v1 ListOptions).

    Attributes:
        selection: the objects.
        watch: whether it is a watch.
        version: the version to begin with, or that the list must have at least; 0 for any.
        present_first: whether a watch begins with the present objects as ADDED events.
        initial_events: whether a bookmark ends these events (a streaming list).
        bookmarks: whether the watch takes bookmarks.
        timeout_seconds: seconds after which the watch ends; 0 for the default.
    """

    selection: Selection
    watch: bool = False
    version: int = 0
    present_first: bool = False
    initial_events: bool = False
    bookmarks: bool = False
    timeout_seconds: int = 0


def place_of(path: str, resource: Resource) -> str | None:
    """Return the namespace that a path lists a resource in, "" for all; `None` if it is no path of its lists."""
    if path == resource.path():
        return ""
    if not resource.namespaced:
        return None
    before, _, after = resource.path("?").partition("?")
    if not path.startswith(before) or not path.endswith(after):
        return None
    namespace = path[len(before) : len(path) - len(after)]
    return namespace if namespace and "/" not in namespace and "%" not in namespace else None


def is_object_of(path: str, resource: Resource, namespace: str) -> bool:
    """Return whether a path is that of one object, without a subresource.

    Args:
        path: the path.
        resource: the resource of the object.
        namespace: the only namespace that the object may be in; "" for any.
    """
    before, _, name = path.rpartition("/")
    if not _NAME.fullmatch(name) or not before:
        return False
    place = place_of(before, resource)
    return place is not None and (bool(place) is resource.namespaced) and (not namespace or place == namespace)


class Place(NamedTuple):
    """The target of a list or a watch.

    Attributes:
        whole: the path of the lists of all namespaces.
        namespace: the namespace; "" for all.
    """

    whole: str
    namespace: str


def place_of_any(path: str) -> Place | None:
    """Return the target of a path that has the form of a list; `None` if it has another form."""
    found = _COLLECTION.fullmatch(path)
    if found is None:
        return None
    return Place(f"{found['version']}/{found['plural']}", found["namespace"] or "")


def asked_form(accept: str) -> Form:
    """Return the first form in an `Accept` header that the proxy knows."""
    for media in accept.split(",") if accept else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in media.split(";"))
        if any(parameter.startswith("as=") for parameter in parameters):
            partial = kind == "application/json" and _PARTIAL.issuperset(parameters) and len(parameters) == 3
            return "metadata" if partial else "other"
        if kind in {"application/json", "application/*", "*/*"}:
            return "whole"
    return "other"


def read_options(resource: Resource, namespace: str, query: Sequence[tuple[str, str]]) -> ListOptions | None:
    """Return the options of a request; `None` if the API server has to answer it."""
    given = dict(query)
    if len(given) != len(query) or not given.keys() <= _KNOWN:
        return None
    selection = _selection(resource, namespace, given)
    watch, initial, bookmarks = (_bool(given, name) for name in ("watch", "sendInitialEvents", "allowWatchBookmarks"))
    version, seconds = _number(given, "resourceVersion"), _number(given, "timeoutSeconds")
    match, limit = given.get("resourceVersionMatch", ""), _number(given, "limit")
    if None in {watch, initial, bookmarks} or None in {version, seconds, limit} or selection is None:
        return None
    assert version is not None
    assert seconds is not None
    if watch:
        if (match == "NotOlderThan") is not initial or (match and not initial):
            return None
    elif initial or match not in {"", "NotOlderThan"} or (match and not given.get("resourceVersion")):
        return None
    elif version and limit and not match:
        # That means exactly this version (API concepts, "resourceVersion").
        return None
    return ListOptions(
        selection,
        watch=bool(watch),
        version=version,
        present_first=bool(initial) or version == 0,
        initial_events=bool(initial),
        bookmarks=bool(bookmarks),
        timeout_seconds=seconds,
    )


def _selection(resource: Resource, namespace: str, given: Mapping[str, str]) -> Selection | None:
    try:
        labels = LabelSelector.parse(given.get("labelSelector", ""))
        fields = FieldSelector.parse(given.get("fieldSelector", "")).requirements
    except SelectorError:
        return None
    known = {"metadata.name"} | ({"metadata.namespace"} if resource.namespaced else set())
    known |= _TEXT_FIELDS.get((resource.group, resource.plural), frozenset())
    if any(path not in known for path, _, _ in fields):
        return None
    return Selection(namespace, labels or None, fields)


def _field(obj: KubeObject, path: str) -> str:
    if path == "metadata.name":
        return obj.key.name
    if path == "metadata.namespace":
        return obj.key.namespace
    found = obj.at(path, "")
    return found if isinstance(found, str) else ""


def _bool(given: Mapping[str, str], name: str) -> bool | None:
    text = given.get(name, "")
    return True if text in _TRUE else False if text in _FALSE else None


def _number(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "")
    if not text:
        return 0
    return int(text) if _NUMBER.fullmatch(text) else None
