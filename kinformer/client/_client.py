"""`Client`: the verbs of the Kubernetes API, and the source of every informer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from kinformer._heads import decode_answer_head
from kinformer._own_writes.feed import WriteFeed
from kinformer.backoff import RetryPolicy
from kinformer.client import _requests as requests
from kinformer.client import _written as answers
from kinformer.client._cached.client import CachedClient
from kinformer.client._decoding.lists import ObjectList, decode_page
from kinformer.client._discovery import Discovery, ServerVersion
from kinformer.client._http.errors import NOT_JSON
from kinformer.client._http.limits import ANSWER_LIMIT
from kinformer.client._http.request_tally import ClientStatus
from kinformer.client._http.transport import Transport
from kinformer.client._list_watch import HttpListerWatcher, accept, place, require_json, selection
from kinformer.client._tables import TableListerWatcher
from kinformer.config import ClusterConfig
from kinformer.errors import (
    AlreadyStartedError,
    ExpiredError,
    NotStartedError,
    ProtocolError,
    StoppedError,
)
from kinformer.objects import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from kinformer._heads import AnswerEnvelope
    from kinformer._own_writes.feed import Write
    from kinformer.client._cached.caches import Caches, Content
    from kinformer.client._cached.client import Missing
    from kinformer.client._requests import PatchType, PropagationPolicy, Target
    from kinformer.metrics import RequestMetrics
    from kinformer.resources import Resource
    from kinformer.scope import Shard

__all__ = ["Client"]


_DEFAULT_RETRY: Final = RetryPolicy()


class Client:
    """Speaks to one API server.

        async with Client() as client:
            pod = await client.get(PODS, "web-0", namespace="default")

    Without a configuration, entering finds one: in-cluster, else KUBECONFIG, else `~/.kube/config`
    (`ClusterConfig.load`). Nothing can be asked before entering or after leaving; a client is entered once. Leaving
    closes every connection, and fails requests in flight with `StoppedError`.

    Every verb raises, besides the errors of its own:

    - `ValueError` for wrong arguments, before anything is sent;
    - an `ApiError` where the server refused, naming verb, resource and namespace;
    - a `TransportError` where no whole answer came, naming the server's address and the cause;
    - `ConfigError` where there are no credentials to be had, as when an exec plugin fails;
    - `LifecycleError` outside of `async with`.

    A 401 renews the credentials and tries once more. Beyond that, `retry` decides which requests are repeated: by
    default, as in client-go, a request that the server refused with 429 or 5xx and a `Retry-After`, and a read whose
    connection was lost; within `timeout`. A 429 also holds back the client's other requests of its kind (reads, writes,
    watches) for as long as the server asks, a minute at most. A cancelled request that writes may or may not have been
    carried out.

    The informers that list with this client learn of each write before the verb returns: see
    `SharedInformer.caught_up`.

    Args:
        config: the API server and the credentials.
        timeout: seconds that a request may take, and that a watch may take to be answered. For lists, which may be
            long, it limits the silence instead of the whole. The server itself gives up after 60.
        connect_timeout: seconds that making a connection may take, the TLS handshake included.
        page_size: objects asked for at a time by `list`; 0 for all at once.
        user_agent: name of the program, put in front of kinformer's own User-Agent.
        metrics: the sink for the number and the duration of requests. Its exceptions are logged.
        retry: which requests are repeated; `None` for none.
        max_answer_bytes: bytes of one answer, decompressed, that may have to be in memory at once. Lists are decoded
            while they come, so this does not bound their length.
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
        self._config = config
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

    @classmethod
    def from_api_client(cls, api: Any, *, timeout: float = 30.0, page_size: int = 500) -> Self:
        """Borrow the configuration of a kubernetes_asyncio `ApiClient`.

        Address, trust, proxy, default headers and API key (with its refresh hook) are the ApiClient's. The connections
        are our own: the ApiClient's session has room for 100, of which each watch would take one for good, and no time
        limits. The ApiClient is not changed and not closed.

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
        """The configuration.

        Raises:
            NotStartedError: none was given, and none has been looked for yet.
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
        """The numbers of requests and repetitions, and the kinds of request that a 429 holds back now."""
        return ClientStatus() if self._transport is None else self._transport.status

    def list_watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: Shard | None = None,
    ) -> HttpListerWatcher:
        """What an informer needs of one resource in one scope. Sends nothing yet, and may be asked for before entering.

        Args:
            resource: what to list and watch.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it; the server selects.
            field_selector: as kubectl takes it; the server selects.
            metadata_only: objects without spec and status, which is all that many controllers need.
            shard: only a share of the objects.

        Raises:
            ValueError: a namespace for a cluster-scoped resource.
        """
        return HttpListerWatcher(
            self._open,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
            writes=self._writes,
        )

    def table_watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> TableListerWatcher:
        """As `list_watch`, of the rows the server itself would show: each object has its metadata, and its `cells`.

        What the columns are, `columns` of the result says once something has been listed.

        Raises:
            ValueError: a namespace for a cluster-scoped resource.
        """
        return TableListerWatcher(
            self._open,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            writes=self._writes,
        )

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
                because an object that is cut and then written back loses what was cut.
            max_age: seconds; a cache whose last contact with the server is older does not answer, see
                `SharedInformer.is_fresh`. By default a cache answers at any age, like a lister.
            patience: seconds to wait at most until a cache shows a write of this client.

        Raises:
            ValueError: the factory lists with another client, or an argument makes no sense.
        """
        return CachedClient(self, factory, missing=missing, accept=accept, max_age=max_age, patience=patience)

    async def get(
        self, resource: Resource, name: Target, *, namespace: str | None = None, subresource: str = ""
    ) -> KubeObject:
        """Read one object, in its most recent state.

        Args:
            resource: its resource.
            name: its name, or an object that has it (and its namespace).
            namespace: its namespace.
            subresource: such as "status" or "scale".

        Raises:
            NotFoundError: there is none.
        """
        where, name = requests.target(resource, name, namespace)
        path = resource.path(where, name, subresource)
        return await self._object("GET", path, resource, f"get {_place(resource, where, name, subresource)}")

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        shard: Shard | None = None,
        resource_version: str = "",
    ) -> ObjectList:
        """Read all objects of a scope, page by page; all pages are of the same version.

        When the server forgets that version midway, all is asked for once more, in one page, as client-go's pager does.

        Args:
            resource: what to list.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            metadata_only: objects without spec and status.
            shard: only a share of the objects.
            resource_version: "" for the most recent state, "0" for whatever the server has at hand, else "not older
                than this".

        Returns:
            The objects. Those that cannot be decoded are left out, and reported in `failures`.
        """
        source = self.list_watch(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
        )
        try:
            return await _whole(source, resource_version, self._page_size)
        except ExpiredError:
            if not self._page_size:
                raise
            return await _whole(source, resource_version, 0)

    async def create(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Create an object.

        Args:
            resource: its resource.
            obj: the object; `apiVersion` and `kind` are filled in.
            namespace: where to create it; the object's own namespace by default.
            subresource: such as "eviction" or "binding", of the object that `obj` names.
            field_manager: the name under which the fields are written.
            dry_run: let the server check everything, and keep nothing.

        Returns:
            The object as the server stored it (for a review or a subresource: as it answered).

        Raises:
            AlreadyExistsError: there is one of that name.
            InvalidError: the server's validation refused it.
        """
        made = requests.manifest(resource, obj, subresource=subresource)
        where, name = requests.created_in(resource, made, namespace, subresource)
        path = resource.path(where, name, subresource) if subresource else resource.path(where)
        return await self._write(
            "POST",
            path,
            resource,
            f"create {_place(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, dry_run=dry_run),
            body=requests.body_of(made),
            dry_run=dry_run,
        )

    async def replace(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Replace an object as a whole (kubectl's `replace`, an HTTP PUT).

        An object with a `metadata.resourceVersion` is replaced only in that version.

        Args:
            resource: its resource.
            obj: the whole object, with its name.
            namespace: its namespace; the object's own by default.
            subresource: such as "status": then only that part is replaced.
            field_manager: the name under which the fields are written.
            dry_run: let the server check everything, and keep nothing.

        Raises:
            ConflictError: another client changed it meanwhile.
            NotFoundError: there is none.
        """
        made = requests.manifest(resource, obj, subresource=subresource)
        where, name = requests.target(resource, made, namespace)
        return await self._write(
            "PUT",
            resource.path(where, name, subresource),
            resource,
            f"update {_place(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, dry_run=dry_run),
            body=requests.body_of(made),
            dry_run=dry_run,
        )

    async def replace_status(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        namespace: str | None = None,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Replace an object's status; everything else in `obj` but its name and version is ignored. As `replace`."""
        return await self.replace(
            resource, obj, namespace=namespace, subresource="status", field_manager=field_manager, dry_run=dry_run
        )

    async def patch(
        self,
        resource: Resource,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Change parts of an object.

        Args:
            resource: its resource.
            name: its name, or an object that has it (and its namespace).
            patch: what to change, in the form of the type.
            namespace: its namespace.
            type: "merge" (RFC 7396), "json" (RFC 6902, a list of operations), "strategic" (built-in resources only) or
                "apply" (server-side apply: sets the fields named, and owns them; creates a missing object).
            subresource: such as "status".
            field_manager: the name under which the fields are written; needed for apply.
            force: apply only: take over fields that other managers own, instead of a `ConflictError`.
            dry_run: let the server check everything, and keep nothing.

        Raises:
            NotFoundError: there is none (never for apply).
            ConflictError: apply met fields of another manager, or the patch names another version than the present one.
            InvalidError: the result is not valid, or a JSON patch's test failed.
        """
        if force and type != "apply":
            msg = f"force is for apply only, and this is a {type} patch"
            raise ValueError(msg)
        body = requests.patch_body(resource, patch, type, field_manager)
        where, name = requests.target(resource, name, namespace)
        return await self._write(
            "PATCH",
            resource.path(where, name, subresource),
            resource,
            f"{'apply' if type == 'apply' else 'patch'} {_place(resource, where, name, subresource)}",
            params=requests.write_params(field_manager=field_manager, force=force, dry_run=dry_run),
            body=body,
            content_type=requests.PATCH_TYPES[type],
            dry_run=dry_run,
        )

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Server-side apply: set the fields of `obj` and own them, beside other writers of the object.

            await client.apply(DEPLOYMENTS, manifest, field_manager="shop-operator", force=True)

        Creates what does not exist. The server remembers the manager of each field: a field that was applied before
        under the same name and is not in `obj` any more is removed, and fields of other managers stay. So `obj` holds
        exactly the fields to own; write it out anew each time, and do not take it from a read. Applying the same again
        changes nothing, and makes no event. Cancelled, it may or may not have been carried out.

        Args:
            resource: its resource.
            obj: the fields that are to be so; `apiVersion` and `kind` are filled in, a name is needed.
            field_manager: under whose name; each controller has its own, the same at each apply.
            namespace: its namespace; the object's own by default.
            subresource: such as "status".
            force: take over fields that other managers own. Controllers do, as they have no other way to go on.
            dry_run: let the server check everything, and keep nothing.

        Raises:
            ApplyConflictError: other managers own some fields; `conflicts` names both.
            ConflictError: `obj` names a version or UID that is not the present one.
            InvalidError: the result is not valid.
            ValueError: no field manager, no name, or an object that was read (it has `managedFields`).
        """
        head = obj.get("metadata")
        if isinstance(head, Mapping) and head.get("managedFields"):
            msg = (
                "this object was read from the server (it has managedFields): applied, every field of it would be "
                f"{field_manager or 'ours'}; apply only the fields that are to be"
            )
            raise ValueError(msg)
        return await self.patch(
            resource,
            obj,
            obj,
            namespace=namespace,
            type="apply",
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def patch_status(
        self,
        resource: Resource,
        name: Target,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API's own word
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> KubeObject:
        """Change parts of an object's status. As `patch`."""
        return await self.patch(
            resource,
            name,
            patch,
            namespace=namespace,
            type=type,
            subresource="status",
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def delete(
        self,
        resource: Resource,
        name: Target,
        *,
        namespace: str | None = None,
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> KubeObject | None:
        """Delete an object.

        Args:
            resource: its resource.
            name: its name, or an object that has it (and its namespace).
            namespace: its namespace.
            propagation_policy: the fate of its dependents; the server decides by default.
            grace_period_seconds: how long a pod has to end; 0 takes it out at once.
            uid: delete it only if it has this UID.
            resource_version: delete it only in this version.
            dry_run: let the server check everything, and delete nothing.

        Returns:
            The object as it is now: with a `deletionTimestamp` if it waits for finalizers or its grace period. `None`
            where the server only says that it is done.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has another UID or version.
        """
        where, name = requests.target(resource, name, namespace)
        doing = f"delete {place(resource, where, name)}"
        body = requests.delete_options(
            propagation_policy=propagation_policy,
            grace_period_seconds=grace_period_seconds,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
        )
        answer = await self._object("DELETE", resource.path(where, name), resource, doing, body=body)
        if not dry_run:
            self._writes.accepted(answers.deleted(resource, ObjectKey(where or "", name), answer))
        return None if answer["kind"] == "Status" else answer

    async def delete_collection(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: PropagationPolicy | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> ObjectList:
        """Delete all objects that are selected; with no selector, all there are.

        Args:
            resource: their resource.
            namespace: their namespace; needed for a namespaced resource, as the API deletes in one at a time.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it.
            propagation_policy: the fate of their dependents.
            grace_period_seconds: how long pods have to end.
            dry_run: let the server check everything, and delete nothing.

        Returns:
            The deleted objects, as they were.
        """
        if resource.namespaced and not namespace:
            msg = f"{resource.qualified} live in namespaces; say in which one to delete them"
            raise ValueError(msg)
        doing = f"delete {place(resource, namespace)}"
        answer = await self._open().request(
            "DELETE",
            resource.path(namespace),
            doing=doing,
            params=selection(label_selector, field_selector),
            headers={"Accept": accept(), "Content-Type": "application/json"},
            body=requests.delete_options(
                propagation_policy=propagation_policy, grace_period_seconds=grace_period_seconds, dry_run=dry_run
            ),
            patient=True,
        )
        require_json(answer.content_type, doing)
        if _head(answer.body, doing).kind == "Status":
            return ObjectList((), "")
        page = await decode_page(answer.body, resource, doing=doing)
        if not dry_run:
            for obj in page.items:
                self._writes.accepted(answers.collected(obj))
        return ObjectList(page.items, page.resource_version, page.failures)

    async def resolve(self, name: str) -> Resource:
        """The resource a kubectl-style name means: "po", "deployments.apps", "widgets.v1.example.com".

        Built-in resources are known without asking the server; others are looked up there, and remembered for a minute.

        Raises:
            UnknownResourceError: neither kinformer nor the server knows one; names those that are spelled alike.
        """
        self._open()  # A name that is built in is no excuse for a client that is not open.
        assert self._discovery is not None
        return await self._discovery.resolve(name)

    async def resources(self) -> Sequence[Resource]:
        """All resources the server has, in its order of preference; remembered for a minute.

        API groups whose own server does not answer are left out, and logged.
        """
        self._open()
        assert self._discovery is not None
        return await self._discovery.resources()

    async def version(self) -> ServerVersion:
        """The server's version."""
        self._open()
        assert self._discovery is not None
        return await self._discovery.version()

    def _open(self) -> Transport:
        if self._transport is None:
            raise NotStartedError("this client is not open; use it inside of `async with client:`")
        if self._transport.closed:
            raise StoppedError("this client is closed; make a new one")
        return self._transport

    async def _write(
        self,
        method: str,
        path: str,
        resource: Resource,
        doing: str,
        *,
        params: Sequence[tuple[str, str]],
        body: bytes,
        dry_run: bool,
        content_type: str = "application/json",
    ) -> KubeObject:
        """Send a request that writes and returns the stored object; report the write to the caches."""
        answer = await self._object(method, path, resource, doing, params=params, body=body, content_type=content_type)
        write = None if dry_run else answers.stored(answer)
        if write is not None:
            self._writes.accepted(write)
        return answer

    async def _object(
        self,
        method: str,
        path: str,
        resource: Resource,
        doing: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> KubeObject:
        """Send a request that is answered with an object."""
        headers = {"Accept": accept()}
        if body is not None:
            headers["Content-Type"] = content_type
        answer = await self._open().request(method, path, doing=doing, params=params, headers=headers, body=body)
        require_json(answer.content_type, doing)
        # Not KubeObject.from_json: a response that is not kept (a review, an eviction) has no name.
        raw = answer.body.strip()
        envelope = _head(raw, doing)
        metadata = envelope.metadata
        return KubeObject(raw, metadata, resource, ObjectKey(metadata.namespace, metadata.name), envelope)


async def _whole(source: HttpListerWatcher, resource_version: str, limit: int) -> ObjectList:
    objects: list[KubeObject] = []
    failures: list[Any] = []
    version = ""
    async for page in source.list(resource_version=resource_version, limit=limit, retry=True):
        objects += page.items
        failures += page.failures
        version = page.resource_version
    return ObjectList(objects, version, failures)


def _head(body: bytes, doing: str) -> AnswerEnvelope:
    try:
        return decode_answer_head(body)
    except NOT_JSON as error:
        msg = f"cannot {doing}: the answer is no Kubernetes object: {error}"
        raise ProtocolError(msg) from error


def _place(resource: Resource, namespace: str | None, name: str, subresource: str) -> str:
    text = place(resource, namespace, name)
    return f"{subresource} of {text}" if subresource else text
