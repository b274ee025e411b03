"""HTTP answers from a cache, for any web framework: JSON made of the cached bytes, and the health of caches.

The answers are those of an API server: one object, a `PodList` with `metadata.resourceVersion`, a
`Status` when something is wrong. The bytes of the cache are joined and never decoded.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer.errors import SelectorError
from kinformer.integrations._web.selection import bounded_fields, bounded_selector, selected
from kinformer.objects import ObjectKey
from kinformer.status import Health, error_name, health_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kinformer.informer import SharedInformer
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.scope import FieldSelectorInput

__all__ = ["PIECE_BYTES", "Answer", "health_answer", "list_answer", "object_answer", "refuse_secrets", "status_answer"]

PIECE_BYTES: Final = 64 * 1024
"""The size of the pieces of a long answer; buffers of web servers have this size."""

_JSON: Final = "application/json"
_RETRY_SECONDS: Final = 1
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response.

    Attributes:
        status: the HTTP status.
        pieces: the body, in order.
        headers: all headers except Content-Type and Content-Length.
    """

    status: int
    pieces: Sequence[bytes] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Return the length of the body in bytes."""
        return sum(map(len, self.pieces))

    @property
    def all_headers(self) -> dict[str, str]:
        """Return the headers with Content-Type and Content-Length, unless the status allows no body."""
        if self.status == 304:
            return dict(self.headers)
        return {"content-type": _JSON, "content-length": str(self.length), **self.headers}

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces of 64 KiB or more."""
        together: list[bytes] = []
        size = 0
        for piece in self.pieces:
            together.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                yield b"".join(together)
                together, size = [], 0
        if together:
            yield b"".join(together)


def refuse_secrets(resource: Resource, *, allow_secrets: bool) -> None:
    """Refuse to publish Secrets by mistake.

    Raises:
        ValueError: this is about Secrets, and they were not allowed.
    """
    if resource.plural == "secrets" and not resource.group and not allow_secrets:
        msg = "secrets are not served: every client of the service could read them; allow_secrets=True serves them"
        raise ValueError(msg)


def status_answer(code: int, reason: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error in the form of an API server (meta/v1, Status)."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return Answer(code, [_encode(body)], {"cache-control": "no-store", **(headers or {})})


def object_answer(informer: SharedInformer, key: ObjectKey, *, if_none_match: str = "") -> Answer:
    """Return one object byte for byte; 304 if the client has that version, 404 if there is no such object."""
    obj = informer.indexer.get_by_key(key)
    if obj is None:
        if not informer.has_synced:
            return _not_yet(informer)
        message = f'{informer.resource.qualified} "{key.name}" not found'
        return status_answer(404, "NotFound", message)
    tag = f'"{obj.resource_version}"' if obj.resource_version else ""
    headers = _validators(tag)
    if _has(tag, if_none_match):
        return Answer(304, (), headers)
    return Answer(200, [obj.to_json()], headers)


def list_answer(
    informer: SharedInformer,
    *,
    namespace: str | None = None,
    selector: SelectorInput = None,
    field_selector: FieldSelectorInput = None,
    limit: int = 0,
    continue_from: str = "",
    if_none_match: str = "",
) -> Answer:
    """Return the objects of a namespace (or of all) that a selector selects, as an API server lists them.

    Its `resourceVersion`, and its ETag, is the version of the whole cache: everything up to it is in the answer, and
    single objects may be newer.

    Args:
        informer: whose cache.
        namespace: `None` or "" for all.
        selector: of labels, as kubectl takes it; as text at most 4,096 characters, 64 requirements and values.
        field_selector: of metadata.name, metadata.namespace, and of indexed fields; see `selected`.
        limit: the most objects, sorted by namespace and name; 0 for all, in no particular order.
        continue_from: `metadata.continue` of an earlier answer with a limit; the answer begins after it. Each page
            shows the cache at the moment of its request.
        if_none_match: the header of that name.
    """
    if not informer.has_synced:
        return _not_yet(informer)
    if namespace and not informer.resource.namespaced:
        return status_answer(400, "BadRequest", f"{informer.resource.qualified} are in no namespace")
    # The version is read before the objects, so that the objects are never older than it, also in a thread.
    version = informer.resource_version
    tag = f'W/"{version}"' if version else ""
    headers = _validators(tag)
    if _has(tag, if_none_match):
        return Answer(304, (), headers)
    try:
        objects = selected(informer, namespace, bounded_selector(selector), bounded_fields(field_selector))
        after = _key_of(continue_from) if continue_from else None
    except (SelectorError, ValueError) as error:
        return status_answer(400, "BadRequest", str(error))
    if limit < 0:
        return status_answer(400, "BadRequest", f"limit is {limit}, and cannot be less than 0")
    metadata: dict[str, Any] = {"resourceVersion": version}
    if after is not None:
        objects = [obj for obj in objects if obj.key > after]
    if limit and len(objects) > limit:
        more = len(objects) - limit
        objects = heapq.nsmallest(limit, objects, key=_sorting)
        metadata |= {"continue": _token_of(objects[-1].key), "remainingItemCount": more}
    elif limit or after is not None:
        objects.sort(key=_sorting)
    resource = informer.resource
    head = _encode({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
    pieces = [head[:-1] + b',"items":[']
    for obj in objects:
        pieces += (obj.raw, b",")
    if objects:
        pieces.pop()
    pieces.append(b"]}")
    return Answer(200, pieces, headers)


def health_answer(
    informers: Mapping[str, SharedInformer], *, ready: bool, max_age: float | None = None, running: bool = True
) -> Answer:
    """Return 200 or 503 and the reasons: whether the caches can be relied on.

    A process is alive while its informers work, whatever the server does. An informer that gave up or failed needs a
    new process; a server that is away does not. A process is ready if its caches have synced once. Caches that exist
    only while requests use them do not count: the question of one request must not take the service from all others.

    Args:
        informers: by name.
        ready: whether to check readiness, not liveness.
        max_age: seconds; no cache may be older for readiness. By default an API server that is
            away does not make it unready, because a cache that is a little old answers better than no service.
        running: whether the application runs its informers; without them it is not ready.
    """
    reasons: list[str] = ["the informers are not running"] if ready and not running else []
    states: dict[str, Any] = {}
    for name, informer in informers.items():
        status = informer.status
        health = health_of(status)
        trouble = error_name(status.last_error) if health in {Health.FAILING, Health.ENDED} else None
        because = f": {trouble}" if trouble else ""
        if health is Health.ENDED:
            reasons.append(f"{name}: {status.state}{because}")
        elif not ready or informer.on_demand:
            pass
        elif not status.has_synced:
            reasons.append(f"{name}: not in sync yet{because}")
        elif max_age is not None and not informer.is_fresh(max_age):
            silent = f"{status.silent_for:.0f} s" if status.silent_for is not None else "ever"
            reasons.append(f"{name}: the server has been silent for {silent}{because}")
        states[name] = {
            "health": str(health),
            "state": str(status.state),
            "synced": status.has_synced,
            "live": informer.is_live,
            "objects": status.objects,
            "resourceVersion": status.resource_version,
            "silentForSeconds": None if status.silent_for is None else round(status.silent_for, 1),
            "failuresInARow": status.failures,
            "lastError": error_name(status.last_error),
        }
    body = {"status": "unavailable" if reasons else "ok", "reasons": reasons, "informers": states}
    headers = {"cache-control": "no-store"} | ({"retry-after": str(_RETRY_SECONDS)} if reasons else {})
    return Answer(503 if reasons else 200, [_encode(body)], headers)


def _not_yet(informer: SharedInformer) -> Answer:
    message = f"the cache of {informer.name} is not in sync yet"
    return status_answer(503, "ServiceUnavailable", message, {"retry-after": str(_RETRY_SECONDS)})


def _validators(tag: str) -> dict[str, str]:
    # "no-cache" makes a browser ask each time whether it has changed.
    return {"cache-control": "private, no-cache"} | ({"etag": tag} if tag else {})


def _has(tag: str, if_none_match: str) -> bool:
    """Return whether If-None-Match names the tag, compared weakly (RFC 9110, 13.1.2)."""
    if not tag or not if_none_match:
        return False
    wanted = tag.removeprefix("W/")
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return wanted in named or named == ["*"]


def _sorting(obj: KubeObject) -> ObjectKey:
    return obj.key


def _token_of(key: ObjectKey) -> str:
    return base64.urlsafe_b64encode(_encode([key.namespace, key.name])).decode().rstrip("=")


def _key_of(token: str) -> ObjectKey:
    try:
        namespace, name = msgspec.json.decode(
            base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=tuple[str, str]
        )
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        msg = "continue is no token of an earlier answer"
        raise ValueError(msg) from error
    return ObjectKey(namespace, name)
