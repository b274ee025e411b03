"""Responses from the caches: objects, lists, streams of events, health. Each is an ASGI application.

`kinformer.integrations.starlette` and `kinformer.integrations.fastapi` offer them, and build their routes of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

from kinformer._extras import from_extra
from kinformer._survivable import is_survivable

with from_extra("starlette", __name__):
    from starlette.responses import Response

from kinformer.cache.lister import Lister
from kinformer.errors import SelectorError
from kinformer.informer.typed import TypedLister
from kinformer.integrations._web.answers import (
    Answer,
    health_answer,
    list_answer,
    object_answer,
    refuse_secrets,
    status_answer,
)
from kinformer.integrations._web.event_source import event_source
from kinformer.integrations._web.open_streams import MOST_STREAMS, STALL_SECONDS, Ending, OpenStreams
from kinformer.integrations._web.selection import Selection, bounded_selector
from kinformer.integrations._web.sse import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from kinformer.informer import SharedInformer
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject
    from kinformer.scope import FieldSelectorInput

__all__ = [
    "CacheResponse",
    "EventStreamResponse",
    "event_response",
    "health_response",
    "list_response",
    "list_response_in_turn",
    "object_response",
    "selector_error",
]

_COMPARISONS_AT_ONCE: Final = 100_000
"""Some 7 ms; more comparisons of objects with requirements of a selector are made in a thread."""

_log = logging.getLogger("kinformer.integrations.starlette")

_GRACE: Final = 0.2
"""Seconds that a reader has to take the rest of its stream when the server shuts down."""


class CacheResponse(Response):
    """Sends cached bytes: never copied as a whole, and other tasks run in between."""

    media_type = "application/json"

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.background = None
        self.body = b""
        self._answer = answer
        self.raw_headers = [(name.encode(), value.encode()) for name, value in answer.all_headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunks = () if scope["method"] == "HEAD" else [*self._answer.chunks()]
        last = len(chunks) - 1
        for number, chunk in enumerate(chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": number < last})
            if number < last:
                await asyncio.sleep(0)
        if not chunks:
            await send({"type": "http.response.body", "body": b""})


class EventStreamResponse(Response):
    """Server-sent events, until the source ends, the client goes away, or the server shuts down.

    A reader that takes nothing for 30 seconds is cut off, and what waits for it is freed; a browser comes back by
    itself. When 1,000 streams are open on the event loop, the answer is 503.

    Args:
        source: makes the stream; the `Ending` it is given says when it should end by itself.
        owner: what the stream reads, an informer or a factory; it ends with the application that has it.
    """

    media_type = "text/event-stream"

    def __init__(self, source: Callable[[Ending], AsyncGenerator[bytes, None]], owner: object = None) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._source = source
        self._owner = owner
        # X-Accel-Buffering: nginx would keep the events to itself.
        headers = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}
        self.raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        streams = OpenStreams.of_this_loop()
        if len(streams) >= MOST_STREAMS:
            message = f"{MOST_STREAMS} event streams are open already"
            refusal = status_answer(503, "ServiceUnavailable", message, {"retry-after": "5"})
            await CacheResponse(refusal)(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        loop = asyncio.get_running_loop()
        ending = Ending()
        writing: asyncio.Task[None] | None = None

        def end() -> None:
            # It ends by itself, unless a client that does not read keeps it in the middle of a write.
            ending.end()
            loop.call_later(_GRACE, lambda: writing is not None and writing.cancel())

        async with asyncio.TaskGroup() as tasks:
            with streams.one(end, self._owner) as stalled:
                writing = tasks.create_task(self._write(send, ending, stalled), name="kinformer event stream")
                listening = tasks.create_task(_disconnected(receive), name="kinformer event stream's reader")
                listening.add_done_callback(lambda _: writing.cancel())
                await asyncio.wait([writing])
            listening.cancel()

    async def _write(self, send: Send, ending: Ending, stalled: Callable[[], None]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # Some servers raise OSError if the client has gone.
        with contextlib.suppress(OSError):
            try:
                async with contextlib.aclosing(self._source(ending)) as pieces:
                    async for piece in pieces:
                        try:
                            async with asyncio.timeout(STALL_SECONDS):
                                await send({"type": "http.response.body", "body": piece, "more_body": True})
                        except OSError as error:
                            raise _ReaderGoneError from error
            except _ReaderGoneError as gone:
                if not isinstance(gone.__cause__, TimeoutError):
                    return
                _log.info("an event stream ended: its reader took nothing for %g s", STALL_SECONDS)
                stalled()
            except BaseException as error:
                # A user's source. The end of the body is sent, so that a browser comes back.
                if not is_survivable(error):
                    raise
                _log.error("an event stream failed; its reader may come back", exc_info=error)
            # What the stream held is freed by now. A stalled reader is left to the server, until it reads or goes away.
            await send({"type": "http.response.body", "body": b""})


class _ReaderGoneError(Exception):
    """A reader took nothing for too long, or has gone."""


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _refuse_lister(informer: object) -> None:
    if isinstance(informer, Lister | TypedLister):
        msg = (
            f"this takes an informer, not a {type(informer).__name__}: ask for one by informers.informer(...), or for "
            "the scope of a request by informers.use_informer(...)"
        )
        raise TypeError(msg)


def object_response(
    informer: SharedInformer, request: Request, name: str, namespace: str | None = None, *, allow_secrets: bool = False
) -> Response:
    """Return one object byte for byte, with its resource version as ETag (304 on `If-None-Match`).

    404 if there is no such object, 503 before the cache has synced.

    Raises:
        ValueError: it is a Secret, and `allow_secrets` does not say that it may be served; or no namespace was named
            where one is needed.
    """
    _refuse_lister(informer)
    refuse_secrets(informer.resource, allow_secrets=allow_secrets)
    key = informer.lister.key_of(name, namespace)
    return CacheResponse(object_answer(informer, key, if_none_match=request.headers.get("if-none-match", "")))


def list_response(
    informer: SharedInformer,
    request: Request,
    *,
    namespace: str | None = None,
    selector: SelectorInput = None,
    field_selector: FieldSelectorInput = None,
    limit: int = 0,
    continue_from: str = "",
    allow_secrets: bool = False,
) -> Response:
    """Return the cached objects as an API server lists them (`{"kind": "PodList", ...}`), joined, never decoded.

    The ETag is the version of the whole cache: 304 while nothing in it has changed. 503 before it has synced, 400 for a
    selector that does not parse.

    Args:
        informer: whose cache.
        request: for its `If-None-Match`.
        namespace: `None` or "" for all.
        selector: of labels, as kubectl takes it.
        field_selector: of metadata.name, metadata.namespace, and of fields with an index: for spec.nodeName that is
            `add_indexers({"spec.nodeName": lambda pod: [pod.at("spec.nodeName", "")]})`.
        limit: how many at most, sorted by namespace and name; 0 for all, unsorted.
        continue_from: `metadata.continue` of an answer that the limit cut short.
        allow_secrets: whether Secrets may be served.

    Raises:
        TypeError: this is a lister.
        ValueError: they are Secrets, and may not.
    """
    _refuse_lister(informer)
    refuse_secrets(informer.resource, allow_secrets=allow_secrets)
    answer = list_answer(
        informer,
        namespace=namespace,
        selector=selector,
        field_selector=field_selector,
        limit=limit,
        continue_from=continue_from,
        if_none_match=request.headers.get("if-none-match", ""),
    )
    return CacheResponse(answer)


async def list_response_in_turn(
    informer: SharedInformer, request: Request, *, selector: SelectorInput = None, **options: Any
) -> Response:
    """Return `list_response(...)`; a thread selects among many objects, so that the loop is not held."""
    try:
        parsed = bounded_selector(selector)
    except SelectorError as error:
        return CacheResponse(status_answer(400, "BadRequest", str(error)))
    answer = functools.partial(list_response, informer, request, selector=parsed, **options)
    work = len(informer.indexer) * len(parsed.requirements)
    return answer() if work <= _COMPARISONS_AT_ONCE else await asyncio.to_thread(answer)


def event_response(
    informer: SharedInformer,
    request: Request,
    *,
    namespace: str | None = None,
    selector: SelectorInput = None,
    heartbeat: float = HEARTBEAT_SECONDS,
    render: Callable[[KubeObject], bytes] | None = None,
    allow_secrets: bool = False,
) -> Response:
    """Return the events of a cache as server-sent events, for a browser's `EventSource`.

    `reset`, `added`, `updated`, `deleted`, `synced`. The id is a resource version; a reader that reconnects with it
    (`Last-Event-ID`) receives the events that it missed; `kinformer.integrations._web.event_source` has the rules. A
    slow reader receives the newest state of each object. The stream ends when the server stops.

    Args:
        informer: whose events.
        request: for its `Last-Event-ID`.
        namespace: `None` or "" for all.
        selector: of labels; an object that leaves it is sent as deleted.
        heartbeat: seconds of silence at most.
        render: from an object to the JSON that is sent; by default the cached bytes.
        allow_secrets: whether Secrets may be served.

    Raises:
        TypeError: this is a lister.
        ValueError: they are Secrets, and may not.
    """
    _refuse_lister(informer)
    refuse_secrets(informer.resource, allow_secrets=allow_secrets)
    try:
        selection = Selection(namespace or "", bounded_selector(selector))
    except SelectorError as error:
        return CacheResponse(status_answer(400, "BadRequest", str(error)))
    last_event_id = request.headers.get("last-event-id", "")
    return EventStreamResponse(
        lambda ending: event_source(
            informer,
            ending=ending,
            selection=selection,
            last_event_id=last_event_id,
            heartbeat=heartbeat,
            render=render,
        ),
        owner=informer,
    )


async def selector_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer 400 when an endpoint of yours raises `SelectorError`, as the routes of `Informers` do.

    app.add_exception_handler(SelectorError, selector_error)
    """
    return CacheResponse(status_answer(400, "BadRequest", str(error)))


def health_response(
    informers: Mapping[str, SharedInformer], *, ready: bool, max_age: float | None = None, running: bool = True
) -> CacheResponse:
    """Return 200 or 503 with reasons as JSON, without objects, secrets, addresses and texts of errors.

    Args:
        informers: by name.
        ready: whether to check readiness (caches in sync), not liveness (informers at work).
        max_age: seconds that a cache may be old for being ready; by default any number.
        running: whether the informers are run at all; without them the application is not ready.
    """
    return CacheResponse(health_answer(informers, ready=ready, max_age=max_age, running=running))
