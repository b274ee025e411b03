"""The informers of a web application: made and started with it, stopped with it, found by its endpoints."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kinformer.client import Client
from kinformer.errors import AlreadyStartedError, CacheSyncError, NotStartedError, StoppedError, UnknownResourceError
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations._web.open_streams import OpenStreams
from kinformer.labels import FieldSelector, LabelSelector
from kinformer.resources import Resource, find_resource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from kinformer.informer import SharedInformer
    from kinformer.labels import SelectorInput

__all__ = ["Application", "Wanted", "wanted"]

_log = logging.getLogger(__name__)

A = TypeVar("A")
S = TypeVar("S")


class Wanted(NamedTuple):
    """Of what an application wants an informer; the arguments of `SharedInformerFactory.informer`."""

    resource: Resource
    namespace: str | None
    label_selector: LabelSelector
    field_selector: FieldSelector
    metadata_only: bool


def wanted(
    resource: Resource | str,
    *,
    namespace: str | None = None,
    label_selector: SelectorInput = None,
    field_selector: str | Mapping[str, str] | FieldSelector | None = None,
    metadata_only: bool = False,
) -> Wanted:
    """Check what is wanted, long before there is a factory.

    Raises:
        UnknownResourceError: no built-in resource of that name.
        SelectorError: a selector does not parse.
    """
    found = find_resource(resource) if isinstance(resource, str) else resource
    if found is None:
        msg = f"{resource!r} is no built-in resource; for a custom one give Resource(group, version, plural, kind)"
        raise UnknownResourceError(msg)
    return Wanted(
        found, namespace, LabelSelector.parse(label_selector), FieldSelector.parse(field_selector), metadata_only
    )


class Application:
    """What `kinformer.integrations.starlette.Informers` and `kinformer.integrations.fastapi.Informers` share."""

    def __init__(
        self,
        make: Callable[[Client], SharedInformerFactory] = SharedInformerFactory,
        *,
        client: Callable[[], Client] = Client,
        sync_timeout: float = 10.0,
    ) -> None:
        self._make = make
        self._client = client
        self._sync_timeout = sync_timeout
        self._factory: SharedInformerFactory | None = None
        self._wanted: dict[Wanted, None] = {}
        self._found: dict[Wanted, SharedInformer] = {}

    @property
    def factory(self) -> SharedInformerFactory:
        """The factory, while the application runs.

        Raises:
            NotStartedError: it does not.
        """
        if self._factory is None:
            msg = "the informers are not running; give the application their lifespan: lifespan=informers.lifespan"
            raise NotStartedError(msg)
        return self._factory

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncGenerator[None, None]:  # noqa: ARG002 - what a lifespan is called with
        """Run the informers while the application runs: `FastAPI(lifespan=informers.lifespan)`.

        It connects, makes the factory and its informers, starts them, and lets the application start once all caches
        have synced, or after `sync_timeout` all the same. In the end it stops them and leaves nothing behind. Each time
        it is entered, everything is made anew.

        Raises:
            ConfigError: where the API server is cannot be told.
            AlreadyStartedError: these informers run already, for another application.
        """
        if self._factory is not None:
            raise AlreadyStartedError("these informers run already; give each application Informers of its own")
        async with self._client() as client:
            factory = self._make(client)
            self._factory = factory
            try:
                for each in self._wanted:
                    self.informer_of(each)
                async with factory:
                    await self._wait_for_first_lists(factory)
                    yield
                    # Where a server asks for this first and only then waits for its open responses.
                    OpenStreams.of_this_loop().close()
            finally:
                self._factory = None
                self._found.clear()

    def around(
        self, lifespan: Callable[[A], AbstractAsyncContextManager[S]]
    ) -> Callable[[A], AbstractAsyncContextManager[S]]:
        """A lifespan around the application's own: `FastAPI(lifespan=informers.around(mine))`.

        The informers are there before yours begins, and until it has ended; what yours yields (Starlette's lifespan
        state) is passed on. The other way round, use `async with informers.lifespan(app):` in yours.
        """

        @contextlib.asynccontextmanager
        async def both(app: A) -> AsyncGenerator[S, None]:
            async with self.lifespan(app), lifespan(app) as state:
                yield state

        return both

    def want(self, what: Wanted) -> None:
        """Have an informer made when the application starts."""
        self._wanted.setdefault(what)

    def informer_of(self, what: Wanted) -> SharedInformer:
        """The informer, while the application runs.

        Raises:
            NotStartedError: it does not.
        """
        informer = self._found.get(what)
        if informer is None or informer.stopped:
            informer = self._found[what] = self.factory.informer(
                what.resource,
                namespace=what.namespace,
                label_selector=what.label_selector,
                field_selector=what.field_selector,
                metadata_only=what.metadata_only,
            )
        return informer

    def named(self) -> dict[str, SharedInformer]:
        """All informers by name; none while the application does not run."""
        if self._factory is None:
            return {}
        return {informer.name: informer for informer in self._factory.informers.values()}

    async def _wait_for_first_lists(self, factory: SharedInformerFactory) -> None:
        if not self._sync_timeout:
            return
        try:
            await factory.wait_for_cache_sync(timeout=self._sync_timeout)
        except (CacheSyncError, StoppedError) as error:
            _log.warning("the application starts without its caches: %s", error)
