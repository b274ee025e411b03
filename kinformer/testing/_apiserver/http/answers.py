"""Answers over HTTP: JSON documents, objects in the form that was asked for, lists."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from kinformer.testing._apiserver.http.negotiation import YAML, check_shape, view_of
from kinformer.testing._apiserver.http.views import list_bytes, object_bytes
from kinformer.testing._apiserver.schemas import protobuf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kinformer.testing._apiserver.schemas.go_types import Types
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Stored

__all__ = ["in_media", "json_answer", "list_answer", "object_answer", "raw_json_answer"]

_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
_GZIP_FROM: Final = 128 * 1024
"""Shorter answers are never compressed (apiserver handlers/responsewriters, defaultGzipThresholdBytes)."""


def in_media(answer: web.Response, media: str, types: Types) -> web.Response:
    """Return a JSON answer in another media type.

    Args:
        answer: the answer. It stays as it is if it is no JSON, or of a kind without protobuf form.
        media: the media type.
        types: the types of the server's release.
    """
    body = answer.body
    if media == _HEADERS["Content-Type"] or answer.content_type != "application/json" or not isinstance(body, bytes):
        return answer
    plain = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    value = msgspec.json.decode(plain)
    if media == YAML:
        # Imported here: few clients ask for YAML, and a server starts without the memory of PyYAML.
        from kinformer.testing._apiserver.http.yaml_text import yaml_text

        encoded: bytes | None = yaml_text(value).encode()
    else:
        encoded = protobuf.encode(value, types) if isinstance(value, dict) else None
    if encoded is None:
        return answer
    dropped = {"Content-Encoding", "Content-Length", "Content-Type"}
    made = web.Response(body=encoded, status=answer.status, headers={"Content-Type": media})
    made.headers.extend((name, text) for name, text in answer.headers.items() if name not in dropped)
    return made


def json_answer(value: Any, *, code: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=code, headers=_HEADERS | (headers or {}))


def raw_json_answer(body: bytes) -> web.Response:
    """A JSON document that is encoded already."""
    return web.Response(body=body, headers=_HEADERS)


def object_answer(
    request: web.BaseRequest, kind: ResourceType, stored: Stored, *, now: datetime, code: int = 200
) -> web.Response:
    """An object, in the form that the request accepts.

    Raises:
        Refusal: 406, no such form.
    """
    accept = request.headers.get("Accept", "")
    check_shape(accept, kind, is_list=False)
    view = view_of(accept)
    body = object_bytes(kind, stored, view, now=now, include=_included(request)) + b"\n"
    return web.Response(body=body, status=code, headers=_HEADERS)


def list_answer(
    request: web.BaseRequest, kind: ResourceType, items: Sequence[Stored], metadata: dict[str, Any], *, now: datetime
) -> web.Response:
    """A list, in the form that the request accepts; compressed if it is long and the request takes that.

    Raises:
        Refusal: 406, no such form.
    """
    accept = request.headers.get("Accept", "")
    check_shape(accept, kind, is_list=True)
    view = view_of(accept)
    body = list_bytes(kind, items, metadata, view, now=now, include=_included(request))
    headers = dict(_HEADERS)
    if len(body) > _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        # The fastest level, as the API server's own writer uses.
        body = gzip.compress(body, compresslevel=1)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return web.Response(body=body, headers=headers)


def _included(request: web.BaseRequest) -> str:
    return request.query.get("includeObject", "")
