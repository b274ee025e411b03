"""Health and status as JSON: a function, an ASGI application, and a server for programs without one.

    status_of(factory, controller, fleet)                  the data
    app.mount("/kinformer/status", StatusApp(factory))     in FastAPI, Starlette, or any ASGI server
    async with StatusServer(factory):                      http://127.0.0.1:8765/kinformer/status
        ...

`kinformer top URL` shows it live. It contains figures, names and texts of errors, never an object or part of one. Bind
it to loopback, or protect it like your metrics, because it names your namespaces and selectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import msgspec

from kinformer._version import __version__
from kinformer.controller import Controller
from kinformer.fleet import Fleet
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations._web.local_server import LocalServer, Page
from kinformer.status import class_of, health_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping

    from kinformer.fleet import ClusterStatus

__all__ = ["STATUS_PATH", "StatusApp", "StatusServer", "status_of"]

STATUS_PATH: Final = "/kinformer/status"
DEFAULT_PORT: Final = 8765

Part: TypeAlias = "SharedInformerFactory | SharedInformer | Controller[Any] | Fleet"
_Scope: TypeAlias = "MutableMapping[str, Any]"
_Message: TypeAlias = "MutableMapping[str, Any]"


def status_of(*parts: Part) -> dict[str, Any]:
    """Return the present state of informers, controllers and fleets as plain data for JSON. Times and ages are seconds.

    Args:
        parts: factories (for all their informers), informers, controllers and fleets. Of each cluster of a fleet, there
            are the sums of its informers and controllers.

    Raises:
        TypeError: something else was given.
    """
    informers: dict[int, SharedInformer] = {}
    controllers: list[Controller[Any]] = []
    fleets: list[Fleet] = []
    for part in parts:
        match part:
            case SharedInformerFactory():
                informers |= {id(informer): informer for informer in part.informers.values()}
            case SharedInformer():
                informers[id(part)] = part
            case Controller():
                controllers.append(part)
            case Fleet():
                fleets.append(part)
            case _:
                msg = f"{part!r} has no status; give factories, informers, controllers and fleets"
                raise TypeError(msg)
    return {
        "kinformer": __version__,
        "informers": [_informer(informer) for informer in informers.values()],
        "controllers": [_controller(controller) for controller in controllers],
        "fleets": [_fleet(fleet) for fleet in fleets],
    }


def _informer(informer: SharedInformer) -> dict[str, Any]:
    status = informer.status
    now = status.taken_at

    def age(since: float | None) -> float | None:
        return None if since is None else round(now - since, 3)

    error = status.last_error
    return {
        "name": informer.name,
        "resource": informer.resource.full_name,
        "kind": informer.resource.kind,
        "health": str(health_of(status)),
        "state": str(status.state),
        "state_seconds": age(status.since),
        "synced": status.has_synced,
        "objects": status.objects,
        "storage": status.storage.storage,
        "json_bytes": status.storage.json_bytes,
        "stored_bytes": status.storage.stored_bytes + status.storage.dictionary_bytes,
        "resource_version": status.resource_version,
        "silent_seconds": age(status.last_contact),
        "event_age_seconds": age(status.last_event_at),
        "failures": status.failures,
        "failing_seconds": age(status.failing_since),
        "retry_in_seconds": None if status.retry_at is None else round(max(status.retry_at - now, 0.0), 3),
        "last_error": None if error is None else f"{class_of(error)}: {error}",
        "last_error_seconds": age(status.last_error_at),
        "lists": status.lists,
        "listed": status.listed,
        "watches": status.watches,
        "watch_ends": status.watch_ends,
        "events": status.events,
        "changes": status.changes._asdict(),
        "errors": status.errors,
        "left_out": status.left_out,
        "handler_failures": status.handler_failures,
        "metrics_failures": status.metrics_failures,
        "streaming_off": status.streaming_off,
        "sharding": status.sharding,
        "foreign_events": status.foreign_events,
        "pending": informer.pending,
        "handlers": [
            {
                "name": handler.name,
                "synced": handler.has_synced,
                "waiting": handler.waiting,
                "behind_seconds": age(handler.behind_since) or 0.0,
                "failures": handler.failures,
            }
            for handler in informer.handlers
        ],
    }


def _controller(controller: Controller[Any]) -> dict[str, Any]:
    status = controller.status
    return {
        "name": status.name,
        "state": str(status.state),
        "workers": status.workers,
        "queued": sum(status.depth.values()),
        "working": len(status.in_progress),
        "longest_seconds": round(max(status.in_progress.values(), default=0.0), 3),
        "delayed": status.delayed,
        "aside": status.aside,
        "failing": len(status.failing),
        # The class alone: the text of a reconcile's error may contain anything.
        "last_error": status.last_error.partition(":")[0] or None,
        "last_error_seconds": None
        if status.last_error_at is None
        else round(status.taken_at - status.last_error_at, 3),
        "results": dict(status.results),
        "metrics_failures": status.metrics_failures,
    }


def _fleet(fleet: Fleet) -> dict[str, Any]:
    status = fleet.status
    error = status.provider_error
    return {
        "name": status.name,
        "answered": status.answered,
        "settled": status.settled,
        # The class alone: the text may have the address of a cluster, or a part of a kubeconfig.
        "provider_error": None if error is None else class_of(error),
        "refused": [*status.refused],
        "clusters": [_cluster(cluster, status.taken_at) for cluster in status.clusters.values()],
    }


def _cluster(status: ClusterStatus, now: float) -> dict[str, Any]:
    controllers = status.controllers.values()
    return {
        "name": status.name,
        "state": str(status.state),
        "state_seconds": round(now - status.since, 3),
        "last_error": status.reason or None,
        "failures": status.failures,
        "retry_in_seconds": None if status.retry_at is None else round(max(status.retry_at - now, 0.0), 3),
        "same_as": status.same_as,
        "objects": status.objects,
        "informers": len(status.informers),
        "events": sum(informer.events for informer in status.informers.values()),
        "queued": sum(sum(controller.depth.values()) for controller in controllers),
        "working": sum(len(controller.in_progress) for controller in controllers),
        "failing": sum(len(controller.failing) for controller in controllers),
        "reconciles": sum(sum(controller.results.values()) for controller in controllers),
    }


class StatusApp:
    """An ASGI application that answers GET and HEAD with `status_of(...)`.

    It answers where it is mounted, and at /kinformer/status when it is the whole application.

    Args:
        parts: as for `status_of`.
    """

    def __init__(self, *parts: Part) -> None:
        status_of(*parts)
        self._parts = parts

    def data(self) -> dict[str, Any]:
        """Return the data of an answer."""
        return status_of(*self._parts)

    async def __call__(
        self, scope: _Scope, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        """Answer one request; a lifespan is accepted, other scopes of ASGI are ignored."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
        code, body = self._answer(scope["method"], path)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes]:
        if path not in {"", STATUS_PATH}:
            return 404, b'{"error":"there is only the status here"}'
        if method not in {"GET", "HEAD"}:
            return 405, b'{"error":"the status can only be read"}'
        return 200, msgspec.json.encode(self.data())


class StatusServer:
    """Serves the status over HTTP, for a program that has no web server of its own.

        async with factory, StatusServer(factory, controller):
            ...                              # $ kinformer top http://127.0.0.1:8765

    Args:
        parts: as for `status_of`.
        host: the address to listen on.
        port: 0 for any free one, which `url` then has.
        hosts: names that may stand in a request's `Host`, such as that of a Service; `None` for any. Loopback is
            always allowed, and every IP address if `host` is not a loopback address. Without this check a page on the
            internet could read the status by DNS rebinding.
    """

    def __init__(
        self,
        *parts: Part,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        hosts: Collection[str] | None = (),
    ) -> None:
        status_of(*parts)
        pages = {STATUS_PATH: lambda: Page(200, msgspec.json.encode(status_of(*parts)))}
        self._server = LocalServer(pages, host=host, port=port, hosts=hosts, owner="StatusServer")

    @property
    def url(self) -> str:
        """Return the URL of the status."""
        return f"{self._server.url}{STATUS_PATH}"

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            AlreadyStartedError: it listens already.
            OSError: the port cannot be bound.
        """
        await self._server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.stop()
