"""Informers in a FastAPI application.

    informers = Informers()
    Pods = Annotated[Lister, Depends(informers.lister("pods"))]

    app = FastAPI(lifespan=informers.lifespan)
    app.include_router(informers.health())                       # /healthz, /readyz
    app.include_router(informers.router("pods", "deployments"))  # /pods, /pods/{namespace}/{name}, /watch/pods

    @app.get("/images/{namespace}/{name}")
    def images(namespace: str, name: str, pods: Pods) -> list[str]:
        pod = pods.get(name, namespace)
        return [] if pod is None else [container["image"] for container in pod["spec"]["containers"]]

Everything is answered from the caches: no request waits for the API server. Endpoints may be `def` or `async def`:
threads may read the cache.
"""

import builtins
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from typing import Annotated, Any, Final, Unpack, overload

from kinformer._extras import from_extra

with from_extra("fastapi", __name__):
    from fastapi import APIRouter, Path, Query, Request, Response
    from fastapi.encoders import ENCODERS_BY_TYPE
    from fastapi.responses import JSONResponse

from kinformer.cache.lister import Lister
from kinformer.custom_resources import resource_of
from kinformer.events import T
from kinformer.informer import SharedInformer
from kinformer.informer.factory import GRACE
from kinformer.informer.settings import InformerSettings, checked_settings, requested
from kinformer.informer.typed import TypedInformer, TypedLister
from kinformer.integrations._fastapi_on_demand import used_by_request
from kinformer.integrations._fastapi_schemas import (
    Health,
    Status,
    list_response_schema,
    object_response_schema,
)
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
from kinformer.integrations._web.application import Application, InformerRequest
from kinformer.integrations._web.open_streams import close_event_streams
from kinformer.integrations.starlette import path_of_one, running, servable, synced
from kinformer.objects import ObjectKey
from kinformer.resources import Resource
from kinformer.scope import Scope

__all__ = [
    "CacheResponse",
    "EventStreamResponse",
    "Informers",
    "close_event_streams",
    "event_response",
    "list_response",
    "object_response",
    "selector_error",
]

# An endpoint may return a key, as it may return an object; both are JSON then.
ENCODERS_BY_TYPE[ObjectKey] = str

_Namespace = Annotated[str, Query(description="Only objects of this namespace.")]
_LabelSelector = Annotated[
    str, Query(alias="labelSelector", description="Only objects with such labels: app=web,tier!=cache.")
]
_FieldSelector = Annotated[
    str,
    Query(
        alias="fieldSelector",
        description="Only objects with such fields: metadata.name, metadata.namespace, and those of which the informer "
        "has an index of the same name: spec.nodeName=node-1.",
    ),
]
_Limit = Annotated[int, Query(ge=0, description="How many at most, sorted; 0 for all.")]
_Continue = Annotated[str, Query(alias="continue", description="metadata.continue of the page before.")]

_SELECTING: Final = ("scope", "namespace", "label_selector", "field_selector")

_UNAVAILABLE: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "The cache is not in sync yet.", "model": Status}
}
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Unchanged since the ETag."}}
_HEALTH: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": Health},
    503: {"description": "No; the reasons are in the body.", "model": Health},
}


class Informers(Application):
    """The informers of a FastAPI application.

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
    def lister(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[Lister]]: ...

    @overload
    def lister(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[TypedLister[T]]]: ...

    @overload
    def lister(
        self, resource: builtins.type[T], *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[TypedLister[T]]]: ...

    def lister(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `SharedInformerFactory.informer`
        **settings: Unpack[InformerSettings],
    ) -> Callable[[], Awaitable[Any]]:
        """Return a dependency that reads a cache: `Annotated[Lister, Depends(informers.lister("pods"))]`.

        Until the cache has synced, the endpoint is not called: the answer is 503. Each call returns another function;
        keep it in a name if tests override it (`app.dependency_overrides`).

        Args:
            resource: a `Resource`, the name of a built-in one, or a class of custom resources.
            type: a class of yours (pydantic model, msgspec.Struct, dataclass, TypedDict), for a `TypedLister`.
            settings: those of `SharedInformerFactory.informer`: `namespace`, `label_selector`, `field_selector`,
                `metadata_only`, `shard`, `scope`, `transform` and `storage`.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, an unknown storage.
            TypeError: an unknown setting.
        """
        request = self.ask_for(resource, settings, type)

        # A coroutine function, because FastAPI runs plain functions in threads.
        async def lister() -> Any:
            running(self, request)
            return synced(self.found(request)).lister

        return lister

    @overload
    def informer(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[SharedInformer]]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[TypedInformer[T]]]: ...

    @overload
    def informer(
        self, resource: builtins.type[T], *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> Callable[[], Awaitable[TypedInformer[T]]]: ...

    def informer(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `SharedInformerFactory.informer`
        **settings: Unpack[InformerSettings],
    ) -> Callable[[], Awaitable[Any]]:
        """Return a dependency that is the informer, synced or not.

        As in `Annotated[SharedInformer, Depends(informers.informer("pods"))]`; it takes what `lister` takes.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, an unknown storage.
            TypeError: an unknown setting.
        """
        request = self.ask_for(resource, settings, type)

        async def informer() -> Any:
            running(self, request)
            return self.found(request)

        return informer

    @overload
    def use(
        self,
        resource: Resource | str,
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        *,
        type: None = None,
        timeout: float = 10.0,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> Callable[..., AsyncGenerator[Lister]]: ...

    @overload
    def use(
        self,
        resource: Resource | str,
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        *,
        type: builtins.type[T],
        timeout: float = 10.0,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> Callable[..., AsyncGenerator[TypedLister[T]]]: ...

    @overload
    def use(
        self,
        resource: builtins.type[T],
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        *,
        type: None = None,
        timeout: float = 10.0,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> Callable[..., AsyncGenerator[TypedLister[T]]]: ...

    def use(
        self,
        resource: Resource | str | builtins.type[Any],
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - as for `SharedInformerFactory.informer`
        timeout: float = 10.0,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> Callable[..., AsyncGenerator[Any]]:
        """Return a dependency that reads the objects of one request's scope: `SharedInformerFactory.use`.

            def of_tenant(tenant: str) -> Scope:
                return Namespaces(tenant)

            Pods = Annotated[Lister, Depends(informers.use("pods", of_tenant))]

        All requests of one scope share one informer, which ends some time after the last one. A `ValueError` of
        `scope_of`, as `Namespaces` raises it for a malformed name, is answered with 400 and its message. If the cache
        has not synced within the timeout, or may not be listed, the answer is 503.

        A caller that can name scopes can have informers started. So `scope_of` is the place to check the caller's
        rights.

        Args:
            resource: a `Resource`, the name of a built-in one, or a class of custom resources.
            scope_of: a dependency of FastAPI, which takes parameters of the request and returns the scope. Like each of
                them, a plain function is run in a thread.
            type: a class of yours, for a `TypedLister`.
            timeout: seconds to wait for the first list at most.
            grace: seconds for which the informer goes on at least after the request.
            settings: those of `lister`, except `scope` and selectors.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            ValueError: a negative grace, an unknown storage.
            TypeError: an unknown setting; or a setting that selects, which belongs into the scope.
        """
        return self._used(resource, scope_of, type, attrgetter("lister"), timeout, grace, settings)

    def use_informer(
        self,
        resource: Resource | str | builtins.type[Any],
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        *,
        timeout: float = 10.0,
        grace: float = GRACE,
        **settings: Unpack[InformerSettings],
    ) -> Callable[..., AsyncGenerator[SharedInformer]]:
        """Return a dependency with the informer of one request's scope, for `event_response` and for WebSockets.

            PodsOfTenant = Annotated[SharedInformer, Depends(informers.use_informer("pods", of_tenant))]

            @app.get("/{tenant}/watch")
            async def watch(request: Request, pods: PodsOfTenant) -> Response:
                return event_response(pods, request)

        The informer is in use until the response, or the WebSocket, has ended. The rest is as for `use`.

        Args:
            resource: a `Resource`, the name of a built-in one, or a class of custom resources.
            scope_of: a dependency of FastAPI, which takes parameters of the request and returns the scope.
            timeout: seconds to wait for the first list at most.
            grace: seconds for which the informer goes on at least after the request.
            settings: those of `lister`, except `scope` and selectors.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            ValueError: a negative grace, an unknown storage.
            TypeError: an unknown setting; or a setting that selects, which belongs into the scope.
        """
        kind = resource_of(resource) if isinstance(resource, type) else resource
        return self._used(kind, scope_of, None, lambda informer: informer, timeout, grace, settings)

    def _used(
        self,
        resource: Resource | str | builtins.type[Any],
        scope_of: Callable[..., Scope | Awaitable[Scope]],
        into: builtins.type[Any] | None,
        given: Callable[[Any], Any],
        timeout: float,
        grace: float,
        settings: InformerSettings,
    ) -> Callable[..., AsyncGenerator[Any]]:
        selecting = [name for name in _SELECTING if name in settings]
        if selecting:
            msg = f"use() has the scope of the request: put {', '.join(selecting)} into it"
            raise TypeError(msg)
        if grace < 0:
            msg = f"grace={grace!r} makes no sense: give the seconds from the last use to the end of the informer"
            raise ValueError(msg)
        found, made = requested(resource, into)
        checked_settings(found, settings)

        def use(wanted: Scope) -> AbstractAsyncContextManager[Any]:
            begin: Callable[..., AbstractAsyncContextManager[Any]] = self.factory.use
            return begin(found, type=made, timeout=timeout, grace=grace, fail_fast=True, scope=wanted, **settings)

        return used_by_request(found.plural, scope_of, use, given)

    def health(self, *, max_age: float | None = None) -> APIRouter:
        """A router with `/healthz` (are the informers at work?) and `/readyz` (are the caches in sync?).

        Args:
            max_age: seconds; for readiness no cache may be older. By default an API server that is away does not
                make the application unready. API servers let 60 s pass between two signs of life, so give at least 75.
        """
        router = APIRouter(tags=["health"])

        @router.get("/healthz", response_class=JSONResponse, status_code=200, responses=_HEALTH)
        async def healthz() -> Response:
            """Report whether the informers work; 503 if one has ended for good."""
            return health_response(self.named(), ready=False)

        @router.get("/readyz", response_class=JSONResponse, status_code=200, responses=_HEALTH)
        async def readyz() -> Response:
            """Report whether each cache has synced; 503 if one has not."""
            return health_response(self.named(), ready=True, max_age=max_age, running=self.running)

        return router

    def router(
        self,
        *resources: Resource | str | builtins.type[Any],
        allow_secrets: bool = False,
        **settings: Unpack[InformerSettings],
    ) -> APIRouter:
        """A router that serves whole caches: `/pods`, `/pods/{namespace}/{name}`, and `/watch/pods` for `EventSource`.

        Args:
            *resources: the resources to serve: `Resource`s, names of built-in ones, and classes of custom resources.
                The schema of a class is in the OpenAPI document.
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
        router = APIRouter()
        classes = {resource_of(each): each for each in resources if isinstance(each, type)}
        for resource, given in servable(resources, settings, allow_secrets=allow_secrets).items():
            self._serve(router, self.ask_for(resource, given), classes.get(resource))
        return router

    def _serve(self, router: APIRouter, of: InformerRequest, kind_of_objects: builtins.type[Any] | None) -> None:
        plural, kind, tags = of.resource.plural, of.resource.kind, [of.resource.plural]

        @router.get(
            f"/watch/{plural}",
            tags=[*tags],
            name=f"watch_{plural}",
            summary=f"{kind}: changes, as server-sent events",
            response_class=EventStreamResponse,
            status_code=200,
            responses={
                200: {
                    "description": "The events `reset`, `added`, `updated`, `deleted` and `synced`, with JSON as data."
                },
                400: {"description": "The selector does not parse, or exceeds its bounds."},
                503: {"description": "Too many event streams are open."},
            },
        )
        async def watched(
            request: Request, namespace: _Namespace = "", label_selector: _LabelSelector = ""
        ) -> Response:
            return event_response(
                running(self, of), request, namespace=namespace, selector=label_selector, allow_secrets=True
            )

        @router.get(
            f"/{plural}",
            tags=[*tags],
            name=f"list_{plural}",
            summary=f"{kind}: list",
            response_class=JSONResponse,
            status_code=200,
            responses=_UNAVAILABLE
            | _UNCHANGED
            | {
                200: list_response_schema(of.resource, kind_of_objects),
                400: {
                    "description": "A selector or `continue` does not parse, or exceeds its bounds.",
                    "model": Status,
                },
            },
        )
        async def listed(
            request: Request,
            namespace: _Namespace = "",
            label_selector: _LabelSelector = "",
            field_selector: _FieldSelector = "",
            limit: _Limit = 0,
            continue_from: _Continue = "",
        ) -> Response:
            return await list_response_in_turn(
                running(self, of),
                request,
                namespace=namespace,
                selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_from=continue_from,
                allow_secrets=True,
            )

        async def in_namespace(
            request: Request, namespace: Annotated[str, Path()], name: Annotated[str, Path()]
        ) -> Response:
            return object_response(running(self, of), request, name, namespace, allow_secrets=True)

        async def in_cluster(request: Request, name: Annotated[str, Path()]) -> Response:
            return object_response(running(self, of), request, name, allow_secrets=True)

        router.get(
            path_of_one(of.resource),
            tags=[*tags],
            name=f"read_{plural}",
            summary=f"{kind}: one object",
            response_class=JSONResponse,
            status_code=200,
            responses=_UNAVAILABLE
            | _UNCHANGED
            | {
                200: object_response_schema(of.resource, kind_of_objects),
                404: {"description": "No object has that name.", "model": Status},
            },
        )(in_namespace if of.resource.namespaced else in_cluster)
