"""The form of an answer: the media type and the view that an Accept header asks for (apiserver, handlers/negotiation).

A request to a built-in resource passes two doors. The first looks at the media types alone, without their parameters.
The second looks at the parameters too: `as`, `g` and `v` ask for another view of the object. A request to a custom
resource passes the second door only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from kinformer.testing._apiserver.schemas import protobuf
from kinformer.testing._apiserver.store import status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.testing._apiserver.store.catalog import ResourceType

__all__ = [
    "ANSWERS",
    "JSON",
    "YAML",
    "Form",
    "check_media",
    "check_shape",
    "form_of",
    "media_of",
    "view_of",
    "wants_protobuf",
]

JSON: Final = "application/json"
YAML: Final = "application/yaml"
ANSWERS: Final = (JSON, YAML, protobuf.MEDIA_TYPE)
"""The media types of answers, in the order in which errors name them."""
_STREAMS: Final = (f"{JSON};stream=watch", f"{protobuf.MEDIA_TYPE};stream=watch")
"""The media types of watches."""
_VIEWS: Final = {"Table", "PartialObjectMetadata", "PartialObjectMetadataList"}
_CORE: Final = {"", "events.k8s.io"}
"""The groups whose types are those of the package core."""


class Form(NamedTuple):
    """A form of an answer.

    Attributes:
        media: the media type.
        view: "" for whole objects, "Table" or "PartialObjectMetadata".
        listed: the metadata of a list was asked for, and not that of one object.
    """

    media: str = JSON
    view: str = ""
    listed: bool = False


class _Clause(NamedTuple):
    """One clause of an Accept header."""

    media: str
    parameters: dict[str, str]


def check_media(accept: str, offered: Sequence[str] = ANSWERS, *, listing: bool = False) -> None:
    """Refuse a request that accepts none of the media types of its path, whatever their parameters are.

    Args:
        accept: the Accept header.
        offered: the media types that the path offers.
        listing: the path is that of a list, which offers watches too.

    Raises:
        Refusal: 406.
    """
    if accept and not any(clause.media in {"*/*", *offered} for clause in _clauses(accept)):
        offered = (*offered, *_STREAMS) if listing else offered
        message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(offered)}"
        raise status.Refusal(406, message, "NotAcceptable", {})


def form_of(accept: str, *, custom: bool = False, watch: bool = False, views: bool = True, tables: bool = True) -> Form:
    """Return the form that an Accept header asks for: that of its first clause that can be met.

    Args:
        accept: the header.
        custom: the resource is a custom one, which has no protobuf form.
        watch: the answer is a stream, which has no YAML form.
        views: the answer has other views than the whole; errors and discovery have none.
        tables: the answer has a view as a table; a review has none.

    Raises:
        Refusal: 406, there is no such form.
    """
    for clause in _clauses(accept or "*/*"):
        form = _form(clause)
        if form is None or (custom and form == Form(protobuf.MEDIA_TYPE)) or (form.view and not views):
            continue
        if form.view == "Table" and not tables:
            continue
        if watch and form.media == YAML:
            raise _none_of(_STREAMS)
        return form
    raise _none_of(ANSWERS)


def check_shape(accept: str, kind: ResourceType, *, is_list: bool) -> None:
    """Refuse to show a list as one object's metadata, or an object as a list's.

    Raises:
        Refusal: 406; 500 for one custom resource.
    """
    form = form_of(accept)
    if form.view != "PartialObjectMetadata" or form.listed == is_list:
        return
    if kind.custom and not is_list:
        raise status.internal("content is not a list")
    package = "core" if kind.group in _CORE else kind.group.partition(".")[0]
    name = f"{package}.{kind.list_of if is_list else kind.kind}"
    if kind.custom:
        name = "unstructured.UnstructuredList"
    view, found = ("PartialObjectMetadata", "a list") if is_list else ("PartialObjectMetadataList", "not a list")
    message = f"you requested {view}, but the requested object is {found} (*{name})"
    raise status.Refusal(406, message, "NotAcceptable")


def media_of(accept: str, *, error: bool = False) -> str:
    """The media type of an answer, or of an error; JSON if the header asks for none that there is."""
    try:
        return form_of(accept, views=not error).media
    except status.Refusal:
        return JSON


def view_of(accept: str) -> str:
    """The view of objects that an Accept header asks for: "", "Table" or "PartialObjectMetadata".

    Raises:
        Refusal: 406, no form that there is.
    """
    return form_of(accept).view


def wants_protobuf(accept: str) -> bool:
    """Report whether an Accept header asks for protobuf before JSON; tables have no protobuf form."""
    return media_of(accept) == protobuf.MEDIA_TYPE


@lru_cache(maxsize=256)
def _clauses(accept: str) -> tuple[_Clause, ...]:
    """The clauses of a header, the most wanted first; of the same weight, those with a wildcard stand last.

    Each answer asks several times, and clients send few headers.
    """
    found = []
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        found.append((_weight(given.pop("q", "1")), _Clause(media, given)))
    found.sort(key=lambda one: (-one[0], one[1].media.endswith("/*"), one[1].media.startswith("*/")))
    return tuple(clause for _, clause in found)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _form(clause: _Clause) -> Form | None:
    media = JSON if clause.media in {"*/*", "application/*"} else clause.media
    if media not in ANSWERS:
        return None
    group, version, view = (clause.parameters.get(name, "") for name in ("g", "v", "as"))
    if not (group or version or view):
        return Form(media)
    if group != "meta.k8s.io" or version not in {"v1", "v1beta1"} or view not in _VIEWS:
        return None
    if view == "Table":
        return None if media == protobuf.MEDIA_TYPE else Form(media, view)
    return Form(media, "PartialObjectMetadata", listed=view != "PartialObjectMetadata")


def _none_of(offered: Sequence[str]) -> status.Refusal:
    message = f"only the following media types are accepted: {', '.join(offered)}"
    return status.Refusal(406, message, "NotAcceptable")
