"""Answers over HTTP: JSON documents, objects in the form that was asked for, lists."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from kinformer.testing._apiserver.http.requests import view_of
from kinformer.testing._apiserver.http.views import list_bytes, object_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Stored

__all__ = ["json_answer", "list_answer", "object_answer"]

_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
_GZIP_FROM: Final = 128 * 1024
"""Shorter answers are never compressed (apiserver handlers/responsewriters, defaultGzipThresholdBytes)."""


def json_answer(value: Any, *, code: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=code, headers=_HEADERS | (headers or {}))


def object_answer(
    request: web.BaseRequest, kind: ResourceType, stored: Stored, *, now: datetime, code: int = 200
) -> web.Response:
    """An object, in the form that the request accepts.

    Raises:
        Refusal: 406, no such form.
    """
    view = view_of(request.headers.get("Accept", ""))
    body = object_bytes(kind, stored, view, now=now, include=_included(request)) + b"\n"
    return web.Response(body=body, status=code, headers=_HEADERS)


def list_answer(
    request: web.BaseRequest, kind: ResourceType, items: Sequence[Stored], metadata: dict[str, Any], *, now: datetime
) -> web.Response:
    """A list, in the form that the request accepts; compressed if it is long and the request takes that.

    Raises:
        Refusal: 406, no such form.
    """
    view = view_of(request.headers.get("Accept", ""))
    body = list_bytes(kind, items, metadata, view, now=now, include=_included(request))
    headers = dict(_HEADERS)
    if len(body) > _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        # The fastest level, as the API server's own writer uses.
        body = gzip.compress(body, compresslevel=1)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return web.Response(body=body, headers=headers)


def _included(request: web.BaseRequest) -> str:
    return request.query.get("includeObject", "")
