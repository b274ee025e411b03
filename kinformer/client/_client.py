"""`Client`: construction, life cycle and discovery; the verbs come from `_reads` and `_writes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from kinformer._own_writes.feed import WriteFeed
from kinformer.backoff import RetryPolicy
from kinformer.client import _requests as requests
from kinformer.client._discovery import Discovery, ServerVersion
from kinformer.client._http.limits import ANSWER_LIMIT
from kinformer.client._http.request_tally import ClientStatus
from kinformer.client._http.server_warnings import ServerWarnings
from kinformer.client._http.transport import Transport
from kinformer.client._reads import ReadVerbs
from kinformer.client._writes import WriteVerbs
from kinformer.config import ClusterConfig
from kinformer.errors import AlreadyStartedError, NotStartedError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from kinformer._own_writes.feed import Write
    from kinformer.client._cached.caches import Caches, Content
    from kinformer.client._cached.client import CachedClient, Missing
    from kinformer.client._requests import FieldValidation
    from kinformer.custom_resources import Conversions
    from kinformer.metrics import CachedClientMetrics, RequestMetrics
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Client"]


_DEFAULT_RETRY: Final = RetryPolicy()


class Client(ReadVerbs, WriteVerbs):
    """The verbs of one API server, and the source of its informers.

        async with Client() as client:
            pod = await client.get(PODS, "web-0", namespace="default")

    Without a configuration, entering looks for one: in-cluster, else KUBECONFIG, else `~/.kube/config`
    (`ClusterConfig.load`). Requests are possible between entering and leaving; a client can be entered once. Leaving
    closes every connection; requests in flight fail with `StoppedError`.

    Every verb raises, besides the errors of its own:

    - `ValueError` for wrong arguments, before anything is sent;
    - an `ApiError` if the server refuses the request; it names verb, resource and namespace;
    - a `TransportError` if no complete response comes; it names the server's address and the cause;
    - `ConfigError` if no credentials can be obtained, as when an exec plugin fails;
    - `LifecycleError` outside of `async with`.

    After a 401 the client renews the credentials and sends the request once more. `retry` decides which other requests
    are repeated. The default is client-go's: a request that the server refused with 429 or 5xx and a `Retry-After`, and
    a read whose connection was lost, as long as `timeout` allows it. A 429 also holds back the client's other requests
    of its kind (reads, writes, watches) for as long as the server asks, a minute at most. The server may or may not
    have carried out a write that was cancelled.

    Each write is announced to the informers of this client before the verb returns: see `SharedInformer.caught_up`.

    Args:
        config: the API server and the credentials.
        timeout: seconds that a request may take with its repetitions, and that the head of a watch may take. For lists,
            which may be long, it limits the silence instead. The server itself ends a request after 60.
        connect_timeout: seconds that a new connection may take, the TLS handshake included.
        page_size: objects in each page that `list` asks for; 0 for all in one.
        user_agent: the name of the program, written before kinformer's own User-Agent.
        metrics: the sink for the number and the duration of requests. Its exceptions are logged.
        retry: which requests are repeated; `None` for none.
        max_answer_bytes: bytes of one response, decompressed, that may have to be in memory at once. Lists are decoded
            while they arrive, so this does not limit their length.
        field_validation: the server's treatment of unknown and duplicate fields in writes: "Strict" refuses them,
            "Warn" sends a warning for each, "Ignore" drops them in silence. By default the server decides: a
            kube-apiserver warns (KEP-2885).
        on_warning: called with each warning that the server sends (a deprecated version, an unknown field), as often
            as it sends it. By default each text is logged once, by the logger "kinformer.client".

    Examples:
        >>> async with Client(ClusterConfig.for_server(server.url)) as client:
        ...     pod = await client.get("pods", "web-0", namespace="default")
        >>> pod.name
        'web-0'
    """

    def __init__(
        self,
        config: ClusterConfig | None = None,
        *,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        page_size: int = 500,
        user_agent: str = "",
        metrics: RequestMetrics | None = None,
        retry: RetryPolicy | None = _DEFAULT_RETRY,
        max_answer_bytes: int = ANSWER_LIMIT,
        field_validation: FieldValidation | None = None,
        on_warning: Callable[[str], object] | None = None,
    ) -> None:
        if timeout <= 0 or connect_timeout <= 0:
            msg = f"time limits are more than 0 seconds, not {timeout:g} and {connect_timeout:g}"
            raise ValueError(msg)
        if page_size < 0:
            msg = f"page_size is at least 0 (all at once), not {page_size}"
            raise ValueError(msg)
        if max_answer_bytes <= 0:
            msg = f"max_answer_bytes is more than 0, not {max_answer_bytes}"
            raise ValueError(msg)
        if field_validation is not None:
            requests.check_field_validation(field_validation)
        self._config = config
        self._field_validation = field_validation
        self._on_warning = on_warning
        self._warnings = ServerWarnings(on_warning)
        self._retry = retry
        self._max_answer_bytes = max_answer_bytes
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._page_size = page_size
        self._user_agent = user_agent
        self._metrics = metrics
        self._entered = False
        self._transport: Transport | None = None
        self._discovery: Discovery | None = None
        self._writes = WriteFeed()
        self._route: Callable[[Resource], Client | None] | None = None

    @classmethod
    def from_api_client(cls, api: Any, *, timeout: float = 30.0, page_size: int = 500) -> Self:
        """Make a client with the configuration of a kubernetes_asyncio `ApiClient`.

        It has the address, trust, proxy, default headers and API key (with its refresh hook) of the `ApiClient`, and
        connections of its own: the session of an `ApiClient` has room for 100, each watch would hold one of them, and
        it has no time limits. The `ApiClient` is not changed and not closed.

        Raises:
            ConfigError: this is no ApiClient, or its configuration cannot be used.
        """
        return cls(ClusterConfig.from_api_client(api), timeout=timeout, page_size=page_size)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise AlreadyStartedError("this client has been entered before; make a new one")
        self._entered = True
        if self._config is None:
            self._config = await ClusterConfig.load()
        transport = Transport(
            self._config,
            timeout=self._timeout,
            connect_timeout=self._connect_timeout,
            user_agent=self._user_agent,
            metrics=self._metrics,
            retry=self._retry,
            max_answer_bytes=self._max_answer_bytes,
            warnings=self._warnings,
        )
        await transport.open()
        self._transport = transport
        self._discovery = Discovery(transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._transport is not None:
            await self._transport.close()

    def __repr__(self) -> str:
        return f"<Client of {self._config.server if self._config else 'no server yet'}>"

    @property
    def config(self) -> ClusterConfig:
        """Return the configuration.

        Raises:
            NotStartedError: none was given, and the client has not been entered yet.
        """
        if self._config is None:
            raise NotStartedError("this client has no configuration before it is entered; use `async with client:`")
        return self._config

    @property
    def closed(self) -> bool:
        """Return whether the client was left."""
        return self._transport is not None and self._transport.closed

    @property
    def status(self) -> ClientStatus:
        """Return the numbers of requests and repetitions, and the kinds of request that a 429 holds back now."""
        return ClientStatus() if self._transport is None else self._transport.status

    def as_user(
        self,
        user: str,
        *,
        groups: Sequence[str] = (),
        uid: str = "",
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> Client:
        """Make a client that acts as another user (impersonation), with the credentials of this one.

            async with client.as_user("jane", groups=["developers"]) as jane:
                await jane.list(PODS, namespace="shop")

        It has the settings of this client and connections of its own. Its writes are announced to the informers of this
        client, too. This client needs the right to impersonate. A user that this client's own configuration
        impersonates is replaced.

        Args:
            user: the name of the user; "system:serviceaccount:NAMESPACE:NAME" for a service account.
            groups: the groups of the user; the server adds none but `system:authenticated`.
            uid: the UID of the user.
            extra: further attributes of the user, by key.

        Raises:
            NotStartedError: this client has no configuration yet; enter it first.
            ValueError: there is no user, or a name cannot be sent.
        """
        if self._config is None:
            raise NotStartedError("this client has no configuration yet; use as_user inside of `async with client:`")
        made = self.with_config(self._config.as_user(user, groups=groups, uid=uid, extra=extra))
        made._writes = self._writes
        return made

    def with_config(self, config: ClusterConfig) -> Client:
        """Make a client of another configuration, with the settings of this one and connections of its own."""
        return Client(
            config,
            timeout=self._timeout,
            connect_timeout=self._connect_timeout,
            page_size=self._page_size,
            user_agent=self._user_agent,
            metrics=self._metrics,
            retry=self._retry,
            max_answer_bytes=self._max_answer_bytes,
            field_validation=self._field_validation,
            on_warning=self._on_warning,
        )

    def watch_through(self, route: Callable[[Resource], Client | None] | None) -> None:
        """Let informers list and watch through another client, such as one of a `kinformer.proxy.CacheProxy`.

        All verbs, tables, and informers of a shard go on to the server of this client.

        Args:
            route: called before each list and each watch; returns the open client to use, or `None` for this one. With
                `None` instead of a function, this client is used again.
        """
        self._route = route

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        """Call a function with each write that the server accepts from now on; return the function that stops this.

        It is called in the task that wrote, before the verb returns.
        """
        return self._writes.listen(listener)

    def cached(
        self,
        factory: Caches,
        *,
        missing: Missing = "fetch",
        accept: Content = "whole",
        max_age: float | None = None,
        patience: float = 1.0,
        metrics: CachedClientMetrics | None = None,
    ) -> CachedClient:
        """Return a client whose `get` and `list` are answered by the informers of a factory, where they can be.

            cached = client.cached(factory)
            pod = await cached.get(PODS, "web-0", namespace="default")
            pod.origin                      # "cache at version 4711", or "server"

        Args:
            factory: a `SharedInformerFactory` of this client.
            missing: what to do with a question that no cache can answer: "fetch" asks the server, "error" raises
                `CacheMissError`, and "start" starts an informer and asks the server only if that does not sync.
            accept: the least of each object that is enough: the "whole" object, one that is "trimmed" by a `Trim`, or
                the result of a transform, "transformed". By default `Trim` and transforms leave the server to answer,
                because an object that is cut and then written back loses those fields.
            max_age: seconds; a cache whose last contact with the server is older does not answer, see
                `SharedInformer.is_fresh`. By default a cache answers at any age, like a lister.
            patience: seconds to wait at most until a cache shows a write of this client.
            metrics: receives the counts, such as `PrometheusMetrics`.

        Raises:
            ValueError: the factory lists with another client, or an argument makes no sense.
        """
        from kinformer.client._cached.client import CachedClient

        return CachedClient(
            *(self, factory), missing=missing, accept=accept, max_age=max_age, patience=patience, metrics=metrics
        )

    async def install(
        self,
        *versions: type | Conversions,
        conversion: Mapping[str, Any] | None = None,
        field_manager: str = "kinformer",
        allow_incompatible: bool = False,
        timeout: float | None = 30.0,
    ) -> KubeObject:
        """Apply the CRD of a class that `custom_resource` has decorated, and wait until the server serves it.

            await client.install(Website)

        The CRD is applied by server-side apply; the same again changes nothing. Before that, the present CRD is
        compared with the new one (`kinformer.custom_resources.incompatibilities`).

        Args:
            versions: the class, or the classes of all versions; or one `Conversions`.
            conversion: where the API server asks for conversions: `Webhooks.client_config(conversions, at)`. Without
                it, the server changes nothing but `apiVersion` between versions.
            field_manager: the name under which the fields are written. Fields of other managers are taken over.
            allow_incompatible: apply it also if stored objects or clients would break.
            timeout: seconds to wait after the apply; `None` for no limit.

        Returns:
            The CRD as it is served.

        Raises:
            IncompatibleSchemaError: a field or a version would be gone, or a type narrower; nothing was applied.
            InvalidError: the server refused the CRD.
            WaitTimeoutError: the CRD was applied, and is not served in time; the message has the server's reason.
            TypeError: a class is not decorated.
            ValueError: the classes are no versions of one resource; several `Conversions`, or one that lacks a
                function; or `conversion` without `Conversions`.
        """
        from kinformer.custom_resources._install import definition_to_install, install

        wanted = definition_to_install(versions, conversion)
        return await install(
            self, wanted, field_manager=field_manager, allow_incompatible=allow_incompatible, timeout=timeout
        )

    async def resolve(self, name: str) -> Resource:
        """Return the resource of a kubectl-style name: "po", "deployments.apps", "widgets.v1.example.com".

        Built-in resources need no request; discovery of the others is cached for a minute.

        Raises:
            UnknownResourceError: neither kinformer nor the server has one; the error names similar ones.
        """
        self._open()  # Built-in names, too, need an open client, so that a mistake shows at once.
        assert self._discovery is not None
        return await self._discovery.resolve(name)

    async def resources(self) -> Sequence[Resource]:
        """Return all resources of the server, in its order of preference; cached for a minute.

        API groups whose own server does not respond are left out and logged.
        """
        self._open()
        assert self._discovery is not None
        return await self._discovery.resources()

    async def version(self) -> ServerVersion:
        """Return the server's version."""
        self._open()
        assert self._discovery is not None
        return await self._discovery.version()

    async def openapi(self, api_version: str) -> dict[str, Any]:
        """Return the OpenAPI v3 document of a group and version, such as "v1" or "apps/v1", as plain data.

        Its `components.schemas` are the schemas of the kinds; those of custom resources are there, too.

        Raises:
            NotFoundError: the server has no such group and version.
            ApiError: the server refuses, for example because the user may not read `/openapi/v3`.
        """
        self._open()
        assert self._discovery is not None
        return await self._discovery.openapi(api_version)

    def _route_of(self, resource: Resource) -> Transport:
        through = None if self._route is None else self._route(resource)
        return (through or self)._open()

    def _open(self) -> Transport:
        if self._transport is None:
            raise NotStartedError("this client is not open; use it inside of `async with client:`")
        if self._transport.closed:
            raise StoppedError("this client is closed; make a new one")
        return self._transport
