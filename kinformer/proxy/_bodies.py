"""Bodies of answers: events, bookmarks, lists and refusals. Objects are sent as the API server sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kinformer._any_json import decode_any
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kinformer.resources import Resource

__all__ = [
    "Refusal",
    "at_version",
    "bookmark_line",
    "error_line",
    "event_line",
    "list_pieces",
    "too_large",
    "too_old",
]

_encode = msgspec.json.Encoder().encode
_PIECE = 256 * 1024


class Refusal(Exception):  # noqa: N818 - an answer to a client, not an error of the proxy
    """A request is refused; has the HTTP status, and the body as the API has it (meta/v1 Status)."""

    def __init__(self, code: int, reason: str, message: str, *, retry_after: int | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
        }
        if retry_after is not None:
            details["retryAfterSeconds"] = retry_after
        if details:
            status["details"] = details
        self.body = _encode(status | {"code": code})


def too_old(version: int, oldest: int) -> Refusal:
    """Return the refusal of a watch whose version is older than all kept changes."""
    return Refusal(410, "Expired", f"too old resource version: {version} ({oldest})")


def too_large(version: int, present: int) -> Refusal:
    """Return the refusal of a version that the cache has not reached in time (apiserver storage/errors.go)."""
    return Refusal(
        504,
        "Timeout",
        f"Too large resource version: {version}, current: {present}",
        retry_after=1,
        causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
    )


def event_line(kind: bytes, obj: KubeObject, form: Resource) -> bytes:
    """Return one event of a watch.

    Args:
        kind: "ADDED", "MODIFIED" or "DELETED".
        obj: the object.
        form: has kind and apiVersion, if the JSON of the object has none.
    """
    # A view, so that a compressed object stays compressed in the cache.
    seen = obj.view()
    body = (seen if form is seen.resource else KubeObject(seen.raw, seen.metadata, form, seen.key)).to_json()
    if b"\n" in body:
        # Between two tokens: a line break cannot be part of a JSON string.
        body = body.replace(b"\n", b" ")
    return b'{"type":"%s","object":%s}\n' % (kind, body)


def error_line(refusal: Refusal) -> bytes:
    """Return the event that ends a watch with an error."""
    return b'{"type":"ERROR","object":%s}\n' % refusal.body


def bookmark_line(resource: Resource, version: int, *, ends_initial: bool = False) -> bytes:
    """Return a bookmark.

    Args:
        resource: the watched resource.
        version: the version that the watch has reached.
        ends_initial: whether it ends the initial events of a streaming list.
    """
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if ends_initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = _encode({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata})
    return b'{"type":"BOOKMARK","object":%s}\n' % body


def list_pieces(
    resource: Resource, objects: Iterable[KubeObject], version: int, more: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    """Return the body of a list in pieces of some 256 KiB.

    Args:
        resource: the resource.
        objects: the objects.
        version: the version of the list.
        more: more metadata of the list: the token of its next page.
    """
    metadata = _encode({"resourceVersion": str(version), **(more or {})})
    piece = [
        b'{"kind":%s,"apiVersion":%s,"metadata":%s,"items":['
        % (_encode(resource.list_kind), _encode(resource.api_version), metadata)
    ]
    size = 0
    separator = b""
    for obj in objects:
        raw = obj.view().raw
        piece.append(separator)
        piece.append(raw)
        separator = b","
        size += len(raw)
        if size > _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    piece.append(b"]}\n")
    yield b"".join(piece)


def at_version(obj: KubeObject, version: int) -> KubeObject:
    """Return an object with another resource version and all else as it is."""
    obj = obj.view()
    old, new = b'"resourceVersion":"%s"' % obj.resource_version.encode(), b'"resourceVersion":"%d"' % version
    if obj.raw.count(old) == 1 and obj.raw.count(b'"resourceVersion"') == 1:
        return KubeObject.from_json(obj.raw.replace(old, new), obj.resource)
    manifest: dict[str, Any] = decode_any(obj.raw)
    manifest["metadata"]["resourceVersion"] = str(version)
    return KubeObject.from_dict(manifest, obj.resource)
