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

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from kinformer._extras import from_extra

with from_extra("starlette", __name__):
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

from kinformer.custom_resources import resource_of
from kinformer.errors import NotStartedError, StoppedError
from kinformer.informer.settings import checked_settings
from kinformer.integrations._starlette_responses import (
    CacheResponse,
    EventStreamResponse,
    event_response,
    health_response,
    list_response,
    list_response_in_turn,
    object_response,
    selector_error,
)
from kinformer.integrations._web.answers import refuse_secrets, status_answer
from kinformer.integrations._web.application import Application, InformerRequest
from kinformer.integrations._web.open_streams import close_event_streams

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from kinformer.cache.lister import Lister
    from kinformer.events import T
    from kinformer.informer import SharedInformer
    from kinformer.informer.settings import InformerSettings
    from kinformer.informer.typed import TypedInformer
    from kinformer.resources import Resource

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
