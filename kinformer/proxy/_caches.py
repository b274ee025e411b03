"""The caches of a proxy, and which of them answers: one per resource, or one per scope that readers ask for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from kinformer._tasks import BackgroundTask
from kinformer.errors import KinformerError
from kinformer.proxy._bodies import Refusal
from kinformer.proxy._downstream import Fanout
from kinformer.proxy._selection import is_object_of, place_of, place_of_any, read_options
from kinformer.proxy._upstream import Upstream
from kinformer.proxy._watch_cache import WINDOW_BYTES, WINDOW_EVENTS, WatchCache
from kinformer.resources import BUILTIN, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinformer._flag import Flag
    from kinformer.backoff import Backoff
    from kinformer.cache.storage import Storage
    from kinformer.client import Client
    from kinformer.proxy._selection import Form, ListOptions

__all__ = ["CacheSettings", "Caches", "CachesOfResources", "CachesOnDemand", "Question", "Served"]

MAX_SCOPES: Final = 1000
"""Scopes that are cached on demand at once; one more is refused with 429."""

IDLE_SECONDS: Final = 60.0
"""Seconds that a cache on demand goes on after its last reader."""


class CacheSettings(NamedTuple):
    """The settings of each cache; see `CacheProxy`."""

    window_events: int = WINDOW_EVENTS
    window_bytes: int = WINDOW_BYTES
    storage: Storage = "plain"
    backoff: Backoff | None = None


class Question(NamedTuple):
    """A list or a watch: the path, the form of the objects, and the query of the request."""

    path: str
    form: Form
    query: Sequence[tuple[str, str]]


class Served:
    """One list and watch of the API server, and the readers of it.

    Args:
        client: the client of the API server.
        resource: the resource.
        settings: settings of the cache.
        namespace: the namespace that the API server is asked for; "" for all.
        label_selector: the labels that it is asked for.
        field_selector: the fields that it is asked for.
        metadata_only: whether it is asked for metadata only.

    Attributes:
        readers: number of requests that the cache answers at this moment.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        settings: CacheSettings,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> None:
        cache = WatchCache(
            resource,
            namespace,
            window_events=settings.window_events,
            window_bytes=settings.window_bytes,
            storage=settings.storage,
            metadata_only=metadata_only,
        )
        source = client.list_watch(
            resource,
            namespace=namespace or None,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
        )
        self.upstream = Upstream(source, cache, backoff=settings.backoff)
        self.fanout = Fanout(cache)
        self.readers = 0
        self._task = BackgroundTask(f"kinformer proxy of {source.scope}")

    def start(self) -> None:
        """Begin to list and watch."""
        self._task.start(self.upstream.run(), on_end=self._ended)

    @property
    def synced(self) -> Flag:
        """Flag that is set when the first list is there."""
        return self.upstream.synced

    async def stop(self) -> None:
        """End the list or watch of the API server."""
        with contextlib.suppress(Exception):  # a defect was logged when it ended the task
            await self._task.stop()

    def _ended(self) -> None:
        if self._task.failure is not None:
            self.upstream.ended_by(self._task.failure)
            # Their clients list anew, and get the refusal.
            self.fanout.end()


class Caches(Protocol):
    """Caches, and the way from a request to one of them."""

    @property
    def served(self) -> Iterable[Served]:
        """The caches that there are now."""
        ...

    def start(self) -> None:
        """Start the caches that are known from the beginning."""
        ...

    async def stop(self) -> None:
        """Stop all caches."""
        ...

    async def find(self, question: Question) -> tuple[Served, ListOptions] | None:
        """Return the cache that answers a question, and the options; `None` if none does."""
        ...

    def has(self, path: str) -> bool:
        """Return whether a path is that of objects that the caches have: a list of them, or one of them."""
        ...

    def taken(self, served: Served) -> None:
        """Note that a reader begins to use a cache."""
        ...

    def left(self, served: Served) -> None:
        """Note that a reader has left a cache."""
        ...


class CachesOfResources:
    """One cache per resource, from the start to the end of the proxy.

    Args:
        client: the client of the API server.
        resources: the resources.
        namespace: the only namespace; "" for all.
        settings: settings of the caches.
    """

    def __init__(self, client: Client, resources: Iterable[Resource], namespace: str, settings: CacheSettings) -> None:
        self._by_resource = {
            resource: Served(client, resource, settings, namespace=namespace if resource.namespaced else "")
            for resource in resources
        }

    @property
    def served(self) -> Iterable[Served]:
        """The caches."""
        return self._by_resource.values()

    def start(self) -> None:
        """Start all caches."""
        for served in self._by_resource.values():
            served.start()

    async def stop(self) -> None:
        """Stop all caches."""
        for served in self._by_resource.values():
            await served.stop()

    async def find(self, question: Question) -> tuple[Served, ListOptions] | None:
        """Return the cache that answers a question; see `Caches.find`."""
        if question.form != "whole":
            return None
        for resource, served in self._by_resource.items():
            namespace = place_of(question.path, resource)
            if namespace is None:
                continue
            scope = served.upstream.cache.namespace
            if scope and namespace != scope:
                return None
            options = read_options(resource, namespace, question.query)
            return None if options is None else (served, options)
        return None

    def has(self, path: str) -> bool:
        """Return whether a path is that of objects that the caches have; see `Caches.has`."""
        for resource, served in self._by_resource.items():
            scope = served.upstream.cache.namespace
            namespace = place_of(path, resource)
            if (namespace is not None and (not scope or namespace == scope)) or is_object_of(path, resource, scope):
                return True
        return False

    def taken(self, served: Served) -> None:
        """Note that a reader begins to use a cache."""
        served.readers += 1

    def left(self, served: Served) -> None:
        """Note that a reader has left a cache."""
        served.readers -= 1


class _Scope(NamedTuple):
    path: str
    labels: str
    fields: str
    form: Form


_BUILT_IN: Final = {resource.path(): resource for resource in BUILTIN}


class CachesOnDemand:
    """One cache per scope that readers ask for: resource, namespace, selectors, and whether it is metadata only.

    A cache ends `IDLE_SECONDS` after its last reader has gone.

    Args:
        client: the client of the API server.
        settings: settings of the caches.
        known: resources beside the built-in ones, by the path of their lists.
    """

    def __init__(self, client: Client, settings: CacheSettings, known: Callable[[str], Resource | None]) -> None:
        self._client = client
        self._settings = settings
        self._known = known
        self._by_scope: dict[_Scope, Served] = {}
        self._timers: dict[_Scope, asyncio.TimerHandle] = {}
        self._ending: set[BackgroundTask] = set()

    @property
    def served(self) -> Iterable[Served]:
        """The caches that there are now."""
        return self._by_scope.values()

    def start(self) -> None:
        """Do nothing: the first reader of a scope starts its cache."""

    async def stop(self) -> None:
        """Stop all caches."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for served in [*self._by_scope.values()]:
            await served.stop()
        for task in [*self._ending]:
            await task.join()

    async def find(self, question: Question) -> tuple[Served, ListOptions] | None:
        """Return the cache that answers a question, a new one if need be; see `Caches.find`.

        Raises:
            Refusal: there is no such resource, or there are too many caches.
        """
        place = place_of_any(question.path)
        if place is None or question.form == "other":
            return None
        given = dict(question.query)
        scope = _Scope(question.path, given.get("labelSelector", ""), given.get("fieldSelector", ""), question.form)
        served = self._by_scope.get(scope)
        if served is not None and served.upstream.has_failed and not served.readers:
            # A new one may work. `_idle` ends the present one otherwise.
            del self._by_scope[scope]
            served = None
        if served is None:
            resource = await self._resource(place.whole, place.namespace)
            served = self._by_scope.get(scope) or self._made(scope, resource, place.namespace)
        rest = [pair for pair in question.query if pair[0] not in {"labelSelector", "fieldSelector"}]
        options = read_options(served.upstream.cache.resource, "", rest)
        return None if options is None else (served, options)

    def has(self, path: str) -> bool:  # noqa: ARG002 - each scope is a cache of its own
        """Return false: what readers ask for is in a cache, or nowhere."""
        return False

    def taken(self, served: Served) -> None:
        """Note that a reader begins to use a cache."""
        served.readers += 1

    def left(self, served: Served) -> None:
        """Note that a reader has left a cache; the cache ends if none comes back."""
        served.readers -= 1
        if not served.readers:
            for scope, each in self._by_scope.items():
                if each is served:
                    self._end_when_idle(scope)

    def _made(self, scope: _Scope, resource: Resource, namespace: str) -> Served:
        """Return a new cache, which begins to list.

        Raises:
            Refusal: there are too many.
        """
        if len(self._by_scope) >= MAX_SCOPES:
            msg = f"this proxy caches {MAX_SCOPES} scopes already"
            raise Refusal(429, "TooManyRequests", msg, retry_after=1)
        served = Served(
            self._client,
            resource,
            self._settings,
            namespace=namespace,
            label_selector=scope.labels,
            field_selector=scope.fields,
            metadata_only=scope.form == "metadata",
        )
        self._by_scope[scope] = served
        served.start()
        self._end_when_idle(scope)
        return served

    def _end_when_idle(self, scope: _Scope) -> None:
        before = self._timers.pop(scope, None)
        if before is not None:
            before.cancel()
        self._timers[scope] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._idle, scope)

    def _idle(self, scope: _Scope) -> None:
        self._timers.pop(scope, None)
        served = self._by_scope[scope]
        if served.readers:
            return
        del self._by_scope[scope]
        task = BackgroundTask(f"end of {scope.path}")
        self._ending.add(task)
        task.start(served.stop(), on_end=lambda: self._ending.discard(task))

    async def _resource(self, whole: str, namespace: str) -> Resource:
        """Return the resource of a path.

        Raises:
            Refusal: there is none, or the API server did not say.
        """
        found = self._known(whole) or _BUILT_IN.get(whole)
        if found is None:
            try:
                everything = await self._client.resources()
            except KinformerError as error:
                msg = f"the proxy cannot discover the resources of the API server ({type(error).__name__})"
                raise Refusal(503, "ServiceUnavailable", msg, retry_after=1) from error
            found = next((each for each in everything if each.path() == whole), None)
        if found is None or not found.watchable or (namespace and not found.namespaced):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return found
