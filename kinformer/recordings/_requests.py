"""The requests that a replay answers: reads of the recorded resources. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kinformer.errors import SelectorError
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.objects import KubeObject
from kinformer.proxy._bodies import Refusal
from kinformer.proxy._selection import ListOptions, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.resources import Resource

__all__ = ["Place", "form_of", "limit_of", "metadata_only", "place_in", "read_list_options"]

_TRUE: Final = frozenset({"1", "true", "True", "TRUE", "t", "T"})
_META: Final = "meta.k8s.io/v1"


class Place(NamedTuple):
    """The place that a path names.

    Attributes:
        group: the API group.
        version: its version.
        plural: the resource.
        namespace: the namespace; "" for all.
        name: the name of an object; "" for a list.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""


def place_in(path: str) -> Place | None:
    """Return the place of a path under /api or /apis; `None` for a path that names no resource."""
    match [part for part in path.split("/") if part]:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    match rest:
        case ["namespaces", namespace, plural]:
            return Place(group, version, plural, namespace)
        case ["namespaces", namespace, plural, name]:
            return Place(group, version, plural, namespace, name)
        case [plural]:
            return Place(group, version, plural)
        case [plural, name]:
            return Place(group, version, plural, name=name)
    return None


def form_of(accept: str) -> str:
    """Return the form of the answer: "JSON", "PartialObjectMetadata" or "Table".

    Raises:
        Refusal: 406, the client takes neither.
    """
    for media in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (part.strip() for part in media.split(";"))
        views = [parameter.removeprefix("as=") for parameter in parameters if parameter.startswith("as=")]
        if kind not in {"application/json", "application/*", "*/*"}:
            continue
        if not views:
            return "JSON"
        if views[0] in {"PartialObjectMetadata", "PartialObjectMetadataList"}:
            return "PartialObjectMetadata"
        if views[0] == "Table" and "v=v1" in parameters:
            return "Table"
    msg = "a replay answers in application/json: whole objects, as=PartialObjectMetadata, or as=Table in v=v1"
    raise Refusal(406, "NotAcceptable", msg)


def metadata_only(obj: KubeObject) -> KubeObject:
    """Return the object as a PartialObjectMetadata."""
    manifest: dict[str, Any] = obj.to_dict()
    made = {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": manifest.get("metadata") or {}}
    return KubeObject.from_json(msgspec.json.encode(made), obj.resource)


def read_list_options(resource: Resource, place: Place, query: Mapping[str, str], present: int) -> ListOptions:
    """Return the options of a list or watch.

    A field selector may name any field. The limit and the token of a page are read by `limit_of`, and by the pages.

    Args:
        resource: the resource.
        place: the place of the request.
        query: its query.
        present: the version that the resource has reached.

    Raises:
        Refusal: 400 for an option that does not parse, 410 for a version that is no longer there.
    """
    try:
        labels = LabelSelector.parse(query.get("labelSelector", ""))
        fields = FieldSelector.parse(query.get("fieldSelector", "")).requirements
    except SelectorError as error:
        raise Refusal(400, "BadRequest", str(error)) from None
    watch, initial, bookmarks = (
        query.get(name, "") in _TRUE for name in ("watch", "sendInitialEvents", "allowWatchBookmarks")
    )
    version, seconds = _number(query, "resourceVersion"), _number(query, "timeoutSeconds")
    match = query.get("resourceVersionMatch", "")
    if initial and (match != "NotOlderThan" or not watch):
        msg = "sendInitialEvents is for watches, and requires resourceVersionMatch=NotOlderThan"
        raise Refusal(400, "BadRequest", msg)
    paged = bool(query.get("continue"))
    if paged and version:
        raise Refusal(400, "BadRequest", "specifying resource version is not allowed when using continue")
    exact = match == "Exact" or (version and limit_of(query) and not match)
    if not watch and exact and version != present:
        raise Refusal(410, "Expired", f"a replay has no earlier lists: {version} is not the present version, {present}")
    return ListOptions(
        Selection(place.namespace if resource.namespaced else "", labels or None, fields),
        watch=watch,
        version=version,
        present_first=initial or version == 0,
        initial_events=initial,
        bookmarks=bookmarks,
        timeout_seconds=seconds,
    )


def limit_of(query: Mapping[str, str]) -> int:
    """Return the limit of a list; 0 for none.

    Raises:
        Refusal: 400, it is no number.
    """
    return _number(query, "limit")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise Refusal(400, "BadRequest", f"{name}={text!r} is no number")
    return int(text)
