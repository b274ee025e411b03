"""The informers of a web application: they start and stop with it, and its endpoints find them."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from kinformer.client import Client
from kinformer.errors import AlreadyStartedError, CacheSyncError, NotStartedError, StoppedError
from kinformer.informer.factory import SharedInformerFactory
from kinformer.informer.settings import InformerSettings, checked_settings, requested
from kinformer.integrations._web.controllers import ControllerRuns
from kinformer.integrations._web.open_streams import OpenStreams

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from kinformer.controller import Controller
    from kinformer.informer import SharedInformer
    from kinformer.informer.typed import TypedInformer
    from kinformer.integrations._web.controllers import MakeController
    from kinformer.proxy import WorkerCaches
    from kinformer.resources import Resource

__all__ = ["Application", "InformerRequest"]

_log = logging.getLogger(__name__)

_NOT_RUNNING: Final = (
    "the informers are not running: give the application their lifespan (lifespan=informers.lifespan) and a "
    "server that runs it; httpx.ASGITransport and mounted applications run no lifespan"
)

A = TypeVar("A")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, eq=False)
class InformerRequest:
    """An informer that an application needs from its factory when it starts; checked at once.

    Attributes:
        resource: the resource.
        settings: the keyword arguments of `SharedInformerFactory.informer`, without `type`.
        type: the class of a `TypedInformer`; `None` for the informer itself.
    """

    resource: Resource
    settings: InformerSettings
    type: builtins.type[Any] | None = None

    @classmethod
    def of(
        cls, resource: Resource | str, settings: InformerSettings, into: builtins.type[Any] | None = None
    ) -> InformerRequest:
        """Check a request long before there is a factory.

        Raises:
            UnknownResourceError: no built-in resource of that name, or one that cannot be watched.
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource, an unknown storage.
            TypeError: an unknown setting.
        """
        return cls(checked_settings(resource, settings), settings, into)


def _behind(found: SharedInformer | TypedInformer[Any]) -> SharedInformer:
    """Return the informer itself, if this is a typed view of one."""
    return cast("SharedInformer", getattr(found, "informer", found))


class Application:
    """The informers, and the controllers, of a web application, for FastAPI and Starlette alike.

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

    def __init__(
        self,
        make: Callable[[Client], SharedInformerFactory] = SharedInformerFactory,
        *,
        client: Callable[[], Client] = Client,
        sync_timeout: float = 10.0,
        controllers: Iterable[MakeController] = (),
        shared: bool | str | Path = False,
    ) -> None:
        self._make = make
        self._client = client
        self._sync_timeout = sync_timeout
        self._factory: SharedInformerFactory | None = None
        self._makers = tuple(controllers)
        self._shared = shared
        self._workers: WorkerCaches | None = None
        self._runs: ControllerRuns | None = None
        self._opened: Client | None = None
        self._requests: list[InformerRequest] = []
        self._found: dict[InformerRequest, SharedInformer | TypedInformer[Any]] = {}

    @property
    def factory(self) -> SharedInformerFactory:
        """Return the factory, while the application runs.

        Raises:
            NotStartedError: the application does not run.
        """
        if self._factory is None:
            raise NotStartedError(_NOT_RUNNING)
        return self._factory

    @property
    def running(self) -> bool:
        """Return whether the lifespan of the application has been entered and not left."""
        return self._factory is not None

    @property
    def controllers(self) -> list[Controller[Any]]:
        """The controllers that run now, for `status_of` and metrics; none while the application does not run."""
        return [] if self._runs is None else [run.controller for run in self._runs.runs]

    @property
    def client(self) -> Client:
        """Return the client of the informers, while the application runs.

        Use it for writes and for other reads. The caches follow writes through this client
        (`SharedInformer.caught_up`), and not those through a second one.

        Raises:
            NotStartedError: the application does not run.
        """
        if self._opened is None:
            raise NotStartedError(_NOT_RUNNING)
        return self._opened

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncGenerator[None, None]:  # noqa: ARG002 - what a lifespan is called with
        """Run the informers while the application runs: `FastAPI(lifespan=informers.lifespan)`.

        It connects, makes the factory and its informers, and starts them. The application starts when all caches have
        synced, at the latest after `sync_timeout`. At the end the informers stop, and nothing is left behind. Each
        entry makes everything anew.

        Raises:
            ConfigError: no configuration says where the API server is.
            OSError: the socket that the workers share cannot be made, or its directory is not private.
            AlreadyStartedError: these informers run already, for another application.
        """
        if self._factory is not None:
            raise AlreadyStartedError("these informers run already; give each application Informers of its own")
        async with self._client() as client, self._sharing(client):
            factory = self._make(client)
            self._opened = client
            self._factory = factory
            try:
                for each in self._requests:
                    self.found(each)
                async with factory:
                    self._runs = ControllerRuns(self._makers, client, factory)
                    self._runs.start()
                    try:
                        await self._wait_for_first_lists(factory)
                        yield
                    finally:
                        await self._runs.stop()
                    # Some servers end the lifespan first, and only then wait for open responses.
                    OpenStreams.of_this_loop().close_those_of([factory, *factory.informers.values()])
            finally:
                self._factory = self._opened = self._runs = None
                self._found.clear()

    def around(
        self, lifespan: Callable[[A], AbstractAsyncContextManager[S]]
    ) -> Callable[[A], AbstractAsyncContextManager[S]]:
        """A lifespan around the application's own: `FastAPI(lifespan=informers.around(mine))`.

        The informers run before yours begins and until it has ended. The value that yours yields (Starlette's lifespan
        state) is passed on. For the other order, use `async with informers.lifespan(app):` in yours.
        """

        @contextlib.asynccontextmanager
        async def both(app: A) -> AsyncGenerator[S, None]:
            async with self.lifespan(app), lifespan(app) as state:
                yield state

        return both

    def ask_for(
        self,
        resource: Resource | str | builtins.type[Any],
        settings: InformerSettings,
        into: builtins.type[Any] | None = None,
    ) -> InformerRequest:
        """Have an informer made when the application starts; see `InformerRequest.of`. A class is a resource, too."""
        if isinstance(resource, type):
            resource, into = requested(resource, into)
        request = InformerRequest.of(resource, settings, into)
        self._requests.append(request)
        return request

    def found(self, request: InformerRequest) -> SharedInformer | TypedInformer[Any]:
        """Return the informer of a request, or its typed view, while the application runs.

        Raises:
            NotStartedError: it does not run.
            ValueError: another request of the same scope has another transform or storage.
        """
        found = self._found.get(request)
        if found is None or _behind(found).stopped:
            found = self.factory.informer(request.resource, type=request.type, **request.settings)
            self._found[request] = found
        return found

    def informer_of(self, request: InformerRequest) -> SharedInformer:
        """Return the informer of a request itself; see `found`."""
        return _behind(self.found(request))

    def named(self) -> dict[str, SharedInformer]:
        """Return all informers by name; none while the application does not run."""
        if self._factory is None:
            return {}
        return {informer.name: informer for informer in self._factory.informers.values()}

    @property
    def workers(self) -> WorkerCaches | None:
        """The caches that the workers share, while the application runs; `None` if each worker reads for itself."""
        return self._workers

    @contextlib.asynccontextmanager
    async def _sharing(self, client: Client) -> AsyncGenerator[None, None]:
        if not self._shared:
            yield
            return
        # Imported here: services that do not share need no HTTP server.
        from kinformer.proxy import WorkerCaches, workers_can_share

        if not workers_can_share():
            _log.warning("workers cannot share on this platform, which has no Unix sockets: each reads for itself")
            yield
            return
        async with WorkerCaches(client, None if self._shared is True else self._shared) as workers:
            self._workers = workers
            try:
                yield
            finally:
                self._workers = None

    async def _wait_for_first_lists(self, factory: SharedInformerFactory) -> None:
        if not self._sync_timeout:
            return
        try:
            await factory.wait_for_cache_sync(timeout=self._sync_timeout)
        except (CacheSyncError, StoppedError) as error:
            _log.warning("the application starts without its caches: %s", error)
