"""The page as an ASGI application, with the data that it requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kinformer._display.changes import describe as describe_change
from kinformer._display.columns import columns_of
from kinformer._hosts import LOOPBACK
from kinformer._log_limit import LimitedLog
from kinformer._survivable import is_survivable
from kinformer.controller import Controller
from kinformer.errors import StoppedError
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations._starlette_responses import EventStreamResponse
from kinformer.integrations._web.sse import ALIVE, RETRY, frame
from kinformer.integrations.status_endpoint import STATUS_PATH, status_of
from kinformer.integrations.ui.changes import Changes
from kinformer.integrations.ui.guard import Guard
from kinformer.integrations.ui.presentation import as_yaml
from kinformer.integrations.ui.related import Relations
from kinformer.integrations.ui.rows import RowCache, row_source
from kinformer.integrations.ui.stats import INTERVAL, Stats
from kinformer.objects import ObjectKey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from kinformer._display.columns import Column
    from kinformer.events import Event
    from kinformer.informer import SharedInformer
    from kinformer.integrations._web.application import Application
    from kinformer.integrations._web.open_streams import Ending
    from kinformer.integrations.ui.changes import Change
    from kinformer.resources import Resource

__all__ = ["Dashboard"]

_log = logging.getLogger(__name__)

_STATIC: Final = Path(__file__).parent / "static"
_SETTLE: Final = 0.25
_RELATED_SECONDS: Final = 2.0
"""How often owners, owned objects and Events of an open object are looked for."""


class Dashboard:
    """A read-only page about informers; an ASGI application to be served or mounted.

    Rates and changes begin when the page is first opened, or `watch` is called.

    Args:
        of: a factory, or the `Informers` of a FastAPI or Starlette application, whose controllers are shown, too.
        controllers: controllers to show beside the informers.
        title: the heading of the page, such as the name of the cluster.
        columns: the columns of a resource's table; by default kubectl's.
        describe: what happened according to an event, in a few words, without the values of a Secret; by default as in
            `kinformer ui`: "Pending → Running", "2/3 → 3/3 ready". `None` for nothing.
        hosts: names that may stand in a request's `Host`, besides loopback; `None` for any, if a proxy in front checks
            them. Without this check, a page on the internet could read this one by DNS rebinding.
    """

    def __init__(
        self,
        of: SharedInformerFactory | Application,
        *,
        controllers: Iterable[Controller[Any]] = (),
        title: str = "",
        columns: Callable[[Resource], Sequence[Column]] = columns_of,
        describe: Callable[[Event], str] | None = describe_change,
        hosts: Collection[str] | None = LOOPBACK,
    ) -> None:
        self._of = of
        self._controllers = tuple(controllers)
        for controller in self._controllers:
            if not isinstance(controller, Controller):
                msg = f"controllers={controller!r}: expected an iterable of Controllers"
                raise TypeError(msg)
        self._title = title
        self._columns = columns
        self._describe = describe
        self._stats = Stats()
        self._changes = Changes()
        self._failed = LimitedLog(_log, "the page: failures of describe")
        self._listening: dict[str, SharedInformer] = {}
        self._rows: dict[str, RowCache] = {}
        self._relations = Relations(lambda: self.informers, self._columns_of)
        routes = [
            Route("/", self._page),
            Route("/api/overview", self._overview),
            Route("/api/rows", self._table),
            Route("/api/object", self._object),
            Route(STATUS_PATH, self._status),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        self._app = Guard(Starlette(routes=routes), hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)

    @property
    def _factory(self) -> SharedInformerFactory:
        return self._of if isinstance(self._of, SharedInformerFactory) else self._of.factory

    @property
    def informers(self) -> dict[str, SharedInformer]:
        """The informers that the page shows, by name."""
        return {informer.name: informer for informer in self._factory.informers.values()}

    @property
    def controllers(self) -> tuple[Controller[Any], ...]:
        """The controllers that the page shows."""
        of = self._of
        return self._controllers if isinstance(of, SharedInformerFactory) else (*self._controllers, *of.controllers)

    async def watch(self) -> None:
        """Take the figures once a second, also while no page is open; until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(INTERVAL)

    def _look(self) -> dict[str, SharedInformer]:
        informers = self.informers
        for name, informer in informers.items():
            if self._listening.get(name) is not informer:
                with contextlib.suppress(StoppedError):
                    self._changes.listen_to(informer)
                self._listening[name] = informer
                self._rows.pop(name, None)
        self._stats.look(informers)
        return informers

    async def _page(self, request: Request) -> Response:
        del request
        html = (_STATIC / "index.html").read_bytes()
        return Response(html, media_type="text/html", headers={"cache-control": "no-cache"})

    async def _status(self, request: Request) -> Response:
        """Answer `kinformer top`."""
        del request
        body = msgspec.json.encode(status_of(*self.informers.values(), *self.controllers))
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    async def _overview(self, request: Request) -> Response:
        del request
        return EventStreamResponse(self._overview_source, self._factory)

    async def _table(self, request: Request) -> Response:
        informer = self._look().get(request.query_params.get("informer", ""))
        if informer is None:
            return _not_found("there is no such informer")
        cache = self._rows.get(informer.name)
        if cache is None or cache.informer is not informer:
            cache = self._rows[informer.name] = RowCache(informer, self._columns_of(informer.resource))
        return EventStreamResponse(lambda ending: row_source(cache, ending), informer)

    def _columns_of(self, resource: Resource) -> Sequence[Column]:
        try:
            return self._columns(resource)
        except BaseException as error:
            # A user's function: the table is shown all the same.
            if not is_survivable(error):
                raise
            _log.error("the page: the columns of %s cannot be had; it shows kubectl's", resource, exc_info=error)
            return columns_of(resource)

    async def _object(self, request: Request) -> Response:
        query = request.query_params
        informer = self._look().get(query.get("informer", ""))
        if informer is None:
            return _not_found("there is no such informer")
        key = ObjectKey(query.get("namespace", ""), query.get("name", ""))
        return EventStreamResponse(lambda ending: self._object_source(informer, key, ending), informer)

    async def _overview_source(self, ending: Ending) -> AsyncGenerator[bytes, None]:
        yield RETRY
        yield frame("about", {"title": self._title})
        while not ending.due:
            controllers = status_of(*self.controllers)["controllers"]
            yield frame(
                "informers",
                self._stats.report(self._look()) | {"recent": self._recent(), "controllers": controllers},
            )
            with contextlib.suppress(TimeoutError):
                async with ending.or_after(INTERVAL):
                    await asyncio.get_running_loop().create_future()

    def _recent(self) -> list[dict[str, Any]]:
        return [
            {
                "informer": informer,
                "namespace": key.namespace,
                "name": key.name,
                "at": change.at,
                "kind": change.kind,
                "number": change.number,
                "summary": self._summary(change),
            }
            for informer, key, change in self._changes.recent(_MOST_RECENT)
        ]

    def _summary(self, change: Change) -> str:
        if change.summary is None:
            change.summary = ""
            if self._describe is not None:
                # If the description fails, the change is shown without one.
                try:
                    change.summary = self._describe(change.event())
                except BaseException as error:
                    if not is_survivable(error):
                        raise
                    self._failed.log(logging.ERROR, "the page: describe raised", exc_info=error)
        return change.summary

    async def _object_source(
        self, informer: SharedInformer, key: ObjectKey, ending: Ending
    ) -> AsyncGenerator[bytes, None]:
        yield RETRY
        yield frame("object", self._shown(informer, key))
        try:
            stream = informer.events(delivery="latest", initial=False)
        except StoppedError:
            return
        related: dict[str, Any] | None = None
        async with stream:
            # Changes from before the stream was open; later ones come by it.
            yield frame("object", self._shown(informer, key))
            while not ending.due:
                obj = informer.indexer.get_by_key(key)
                found = related if obj is None else await self._relations.of(obj)
                yield ALIVE if found == related else frame("related", found)
                related = found
                try:
                    async with ending.or_after(_RELATED_SECONDS):
                        event = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    continue
                if not any(event.key == key for event in [event, *stream.take_waiting()]):
                    continue
                await asyncio.sleep(_SETTLE)
                yield frame("object", self._shown(informer, key))

    def _shown(self, informer: SharedInformer, key: ObjectKey) -> dict[str, Any]:
        obj = informer.indexer.get_by_key(key)
        return {
            "kind": informer.resource.kind,
            "apiVersion": informer.resource.api_version,
            "namespace": key.namespace,
            "name": key.name,
            "exists": obj is not None,
            "synced": informer.has_synced,
            "resourceVersion": "" if obj is None else obj.resource_version,
            "bytes": 0 if obj is None else len(obj.raw),
            "yaml": "" if obj is None else as_yaml(obj),
            "changes": [_told(change) for change in self._changes.of(informer.name, key)[:_MOST_CHANGES]],
        }


_MOST_CHANGES: Final = 40
_MOST_RECENT: Final = 12


def _told(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "at": change.at,
        "kind": change.kind,
        "resourceVersion": change.resource_version,
        "difference": change.difference(),
    }


def _not_found(message: str) -> Response:
    return JSONResponse({"detail": message}, status_code=404)
