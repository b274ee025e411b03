"""Informers in a Starlette application, or any ASGI application that can use Starlette's responses.

    informers = Informers()
    pods = informers.informer("pods")

    async def web_pods(request: Request) -> Response:
        return list_response(pods(), request, selector="app=web")

    app = Starlette(
        lifespan=informers.lifespan,
        routes=[Route("/web", web_pods), *informers.health_routes(), *informers.routes("pods", "deployments")],
    )

Everything is answered from the caches: no request waits for the API server. For FastAPI there is
`kinformer.integrations.fastapi`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from kinformer._extras import from_extra
from kinformer._survivable import is_survivable

with from_extra("starlette", __name__):
    from starlette.exceptions import HTTPException
    from starlette.responses import Response
    from starlette.routing import Route

from kinformer.custom_resources import resource_of
from kinformer.errors import NotStartedError, SelectorError, StoppedError
from kinformer.informer.settings import checked_settings
from kinformer.integrations._web.answers import (
    Answer,
    health_answer,
    list_answer,
    object_answer,
    refuse_secrets,
    status_answer,
)
from kinformer.integrations._web.application import Application, InformerRequest
from kinformer.integrations._web.event_source import event_source
from kinformer.integrations._web.open_streams import (
    MOST_STREAMS,
    STALL_SECONDS,
    Ending,
    OpenStreams,
    close_event_streams,
)
from kinformer.integrations._web.selection import Selection, bounded_selector
from kinformer.integrations._web.sse import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from kinformer.cache.lister import Lister
    from kinformer.events import T
    from kinformer.informer import SharedInformer
    from kinformer.informer.settings import InformerSettings
    from kinformer.informer.typed import TypedInformer
    from kinformer.labels import SelectorInput
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource
    from kinformer.scope import FieldSelectorInput

__all__ = [
    "CacheResponse",
    "EventStreamResponse",
    "Informers",
    "close_event_streams",
    "event_response",
    "health_response",
    "list_response",
    "object_response",
    "selector_error",
    "synced_lister",
]

Found = TypeVar("Found", bound="SharedInformer | TypedInformer[Any]")

_COMPARISONS_AT_ONCE: Final = 100_000
"""Some 7 ms; more comparisons of objects with requirements of a selector are made in a thread."""

_log = logging.getLogger(__name__)

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


def object_response(
    informer: SharedInformer, request: Request, name: str, namespace: str | None = None, *, allow_secrets: bool = False
) -> Response:
    """Return one object byte for byte, with its resource version as ETag (304 on `If-None-Match`).

    404 if there is no such object, 503 before the cache has synced.

    Raises:
        ValueError: it is a Secret, and `allow_secrets` does not say that it may be served; or no namespace was named
            where one is needed.
    """
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
        ValueError: they are Secrets, and may not.
    """
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
        ValueError: they are Secrets, and may not.
    """
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


def running(application: Application, request: InformerRequest) -> SharedInformer:
    """Return the informer of a request, if the application runs.

    Raises:
        HTTPException: 503, it does not run: no server runs its lifespan, or it is about to end.
    """
    try:
        return application.informer_of(request)
    except (NotStartedError, StoppedError) as error:
        raise HTTPException(status_code=503, detail=str(error), headers={"Retry-After": "1"}) from error


def synced(informer: Found) -> Found:
    """Return the informer, if its cache has synced.

    Raises:
        HTTPException: 503, it has not; an empty answer would be wrong.
    """
    if not informer.has_synced:
        name = informer.resource.plural
        message = f"the cache of {name} is not in sync yet"
        raise HTTPException(status_code=503, detail=message, headers={"Retry-After": "1"})
    return informer


def synced_lister(informer: SharedInformer) -> Lister:
    """Return the lister of an informer, if its cache has synced.

    Raises:
        HTTPException: 503, it has not; an empty answer would be wrong.
    """
    return synced(informer).lister


class Informers(Application):
    """The informers of a Starlette application.

    Args:
        make: makes the factory of a client; the place for its options, for handlers and for indexers.
        client: makes the client; by default the one of the pod or of the kubeconfig.
        sync_timeout: seconds that the start waits for the caches; after that the application starts without them, and
            answers 503 where they are needed. 0 to start at once.
        controllers: each makes a controller of the client and the factory; it is run beside the application, which
            does not wait for it. Called again when the controller has ended with an error or has lost its leadership,
            so it makes the `LeaderElector`, too. Every process of an application runs its own: give them an elector.
        shared: whether the workers of this service on one machine share one list and one watch per scope: the first
            one serves the others, and another one takes over when it ends; see `kinformer.proxy.WorkerCaches`. A path
            names the directory for their socket.
    """

    @overload
    def informer(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], SharedInformer]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> Callable[[], TypedInformer[T]]: ...

    @overload
    def informer(
        self, resource: builtins.type[T], *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], TypedInformer[T]]: ...

    def informer(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `SharedInformerFactory.informer`
        **settings: Unpack[InformerSettings],
    ) -> Callable[[], SharedInformer | TypedInformer[Any]]:
        """Return a function that returns the informer while the application runs.

        Args:
            resource: a `Resource`, the name of a built-in one, or a class of custom resources.
            type: a class of yours, for a `TypedInformer`.
            settings: those of `SharedInformerFactory.informer`: `namespace`, `label_selector`, `field_selector`,
                `metadata_only`, `shard`, `transform` and `storage`.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, an unknown storage.
            TypeError: an unknown setting.
        """
        request = self.ask_for(resource, settings, type)
        return lambda: self.found(request)

    def health_routes(self, *, max_age: float | None = None) -> list[Route]:
        """`/healthz` (are the informers at work?) and `/readyz` (are the caches in sync, and no older than that?)."""

        async def healthz(_: Request) -> Response:
            return health_response(self.named(), ready=False)

        async def readyz(_: Request) -> Response:
            return health_response(self.named(), ready=True, max_age=max_age, running=self.running)

        return [Route("/healthz", healthz), Route("/readyz", readyz)]

    def routes(
        self,
        *resources: Resource | str | builtins.type[Any],
        allow_secrets: bool = False,
        **settings: Unpack[InformerSettings],
    ) -> list[Route]:
        """Routes that serve whole caches: `/pods`, `/pods/{namespace}/{name}`, and `/watch/pods` for `EventSource`.

        Query parameters: `namespace`, `labelSelector`, and for lists `fieldSelector`, `limit` and `continue`.

        Args:
            *resources: the resources to serve: `Resource`s, names of built-in ones, and classes of custom resources.
            allow_secrets: whether Secrets may be among them.
            settings: those of `SharedInformerFactory.informer`, for all of the resources: `scope`, `namespace` (not for
                those without namespaces), selectors, `metadata_only`, `transform` and `storage`.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            SelectorError: a selector does not parse.
            ValueError: Secrets that may not be served, two resources of one name, or a setting that a resource cannot
                have.
            TypeError: an unknown setting.
        """
        served = servable(resources, settings, allow_secrets=allow_secrets)
        return [route for resource in served for route in self._routes_of(self.ask_for(resource, served[resource]))]

    def _routes_of(self, what: InformerRequest) -> list[Route]:
        plural = what.resource.plural

        async def listed(request: Request) -> Response:
            query = request.query_params
            try:
                limit = int(query.get("limit", "0"))
            except ValueError:
                return CacheResponse(status_answer(400, "BadRequest", "limit is not a number"))
            return await list_response_in_turn(
                running(self, what),
                request,
                namespace=query.get("namespace"),
                selector=query.get("labelSelector"),
                field_selector=query.get("fieldSelector"),
                limit=limit,
                continue_from=query.get("continue", ""),
                allow_secrets=True,
            )

        async def one(request: Request) -> Response:
            path = request.path_params
            return object_response(
                running(self, what), request, path["name"], path.get("namespace"), allow_secrets=True
            )

        async def watched(request: Request) -> Response:
            query = request.query_params
            return event_response(
                running(self, what),
                request,
                namespace=query.get("namespace"),
                selector=query.get("labelSelector"),
                allow_secrets=True,
            )

        return [Route(f"/watch/{plural}", watched), Route(f"/{plural}", listed), Route(path_of_one(what.resource), one)]


def path_of_one(resource: Resource) -> str:
    """The path of one object of a resource."""
    return f"/{resource.plural}/{{namespace}}/{{name}}" if resource.namespaced else f"/{resource.plural}/{{name}}"


def servable(
    resources: Sequence[Resource | str | type[Any]], settings: InformerSettings, *, allow_secrets: bool
) -> dict[Resource, InformerSettings]:
    """Check whether these resources can be served side by side; return what to ask of the informer of each.

    Raises:
        UnknownResourceError: no built-in resource of that name.
        SelectorError: a selector does not parse.
        ValueError: Secrets that may not be served, two resources of one name, or a setting that a resource cannot have.
        TypeError: an unknown setting.
    """
    found: dict[Resource, InformerSettings] = {}
    names: set[str] = set()
    for each in resources:
        resource = checked_settings(resource_of(each) if isinstance(each, type) else each, {})
        refuse_secrets(resource, allow_secrets=allow_secrets)
        if resource.plural in names:
            msg = f"two resources are named {resource.plural}; serve them at paths of their own"
            raise ValueError(msg)
        names.add(resource.plural)
        found[resource] = settings.copy()
        if not resource.namespaced:
            found[resource].pop("namespace", None)
        checked_settings(resource, found[resource])
    return found
