"""`CachedClient`: the verbs of a `Client`, answered by the caches of informers where they can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from kinformer._any_json import decode_any
from kinformer.client import _requests as requests
from kinformer.client._cached.answers import SERVER, AnsweredList, AnsweredObject, Origin, answered
from kinformer.client._cached.apply_records import ApplyRecords, Manager
from kinformer.client._cached.caches import ACCEPTED
from kinformer.client._cached.counts import CachedClientStatus, Counts
from kinformer.client._cached.forwarded import ForwardedVerbs
from kinformer.client._cached.reads import CacheReads, Miss, accepted_by
from kinformer.errors import (
    ApiError,
    CacheMissError,
    CacheSyncError,
    KinformerError,
    NotFoundError,
    NotStartedError,
    StoppedError,
    api_error,
)
from kinformer.objects import ObjectKey
from kinformer.scope import Scope, ScopedResource

if TYPE_CHECKING:
    from kinformer.client._cached.caches import Caches, Content, Verbs
    from kinformer.client._requests import Target
    from kinformer.metrics import CachedClientMetrics
    from kinformer.resources import Resource
    from kinformer.scope import FieldSelectorInput, ShardLike

__all__ = ["APPLY_MAX_AGE", "MOST_STARTED", "CachedClient", "CachedClientStatus", "Missing"]

Missing: TypeAlias = Literal["fetch", "error", "start"]
"""What becomes of a question that no cache can answer."""

APPLY_MAX_AGE: Final = 660.0
"""Seconds: a cache whose last contact with the server is older saves no apply. API servers end a watch of a quiet
resource after 10 minutes at the latest, and then it is opened anew."""

MOST_STARTED: Final = 50
"""Maximum number of informers that a cached client starts; further questions are for the server."""

SYNC_SECONDS: Final = 10.0
"""Seconds that a question waits at most for an informer that was started for it."""


class CachedClient(ForwardedVerbs):
    """The verbs of a `Client`. Caches answer `get` and `list` where they can; `apply` sends only changes.

    Made by `Client.cached`. It needs no closing, and it starts no task.

    The answer of a cache is one that the server could have given after the last write of this client to the object:
    that state, or a later one. In a list this holds for each object. Writes by others show as soon as the watch brings
    them. Writes whose answer never came (a timeout, a lost connection) are not known here.

    Each answer has its `origin`. A cache answers a question that its informer's scope contains. Also, any cache that
    has an object answers a `get` of it. Answers of two caches may be of different moments.

    Args:
        client: sends the requests.
        factory: its informers answer; those that are started later, too.
        missing: see `Client.cached`.
        accept: see `Client.cached`.
        max_age: see `Client.cached`.
        patience: see `Client.cached`.
        metrics: see `Client.cached`.

    Raises:
        ValueError: the factory lists with another client, or an argument makes no sense.
    """

    def __init__(
        self,
        client: Verbs,
        factory: Caches,
        *,
        missing: Missing = "fetch",
        accept: Content = "whole",
        max_age: float | None = None,
        patience: float = 1.0,
        metrics: CachedClientMetrics | None = None,
    ) -> None:
        if factory.client is not client:
            raise ValueError("the factory lists with another client: its caches would not show what this one writes")
        if missing not in {"fetch", "error", "start"}:
            msg = f"missing={missing!r}: what no cache can answer is for 'fetch', 'error' or 'start'"
            raise ValueError(msg)
        if max_age is not None and max_age < 0:
            msg = f"max_age={max_age!r} makes no sense: it is the age in seconds that is allowed"
            raise ValueError(msg)
        if patience < 0:
            msg = f"patience={patience!r} makes no sense: it is how many seconds a write is waited for"
            raise ValueError(msg)
        super().__init__(client)
        self._factory = factory
        self._missing = missing
        self._accepted = accepted_by(accept)
        self._max_age = max_age
        self._counts = Counts()
        self._started: set[ScopedResource] = set()
        self._reads = CacheReads(client, factory, patience, self._counts)
        self._records = ApplyRecords()
        if metrics is not None:
            metrics.cached_client(self, self._counts)

    def __repr__(self) -> str:
        return f"<CachedClient of {self._client!r}, missing={self._missing!r}>"

    @property
    def status(self) -> CachedClientStatus:
        """The counts so far."""
        return self._counts.status()

    async def get(
        self,
        resource: Resource | str,
        name: Target,
        *,
        namespace: str | None = None,
        subresource: str = "",
        max_age: float | None = None,
        accept: Content | None = None,
    ) -> AnsweredObject:
        """Read one object.

        Args:
            resource: its resource, or a name of it as `resolve` takes it.
            name: its name, or an object that has it (and its namespace).
            namespace: its namespace.
            subresource: such as "scale"; only the server answers that.
            max_age: seconds; as for `Client.cached`, for this call.
            accept: as for `Client.cached`, for this call.

        Returns:
            The object, with its `origin`.

        Raises:
            NotFoundError: there is none; a note on the error names the origin.
            CacheMissError: no cache can answer, and `missing="error"`.
        """
        if isinstance(resource, str):
            resource = await self._client.resolve(resource)
        accepted = self._accepted if accept is None else accepted_by(accept)
        age = self._max_age if max_age is None else max_age
        if type(name) is str and namespace and not subresource:
            found = self._reads.at_once(resource, ObjectKey(namespace, name), accepted, age)
            if found is not None:
                self._counts.from_cache["get"] += 1
                return found
        where, text = requests.target(resource, name, namespace)
        key = ObjectKey(where or "", text)
        if subresource or resource.namespaced is not bool(where):
            return await self._fetch(resource, key, subresource, "not covered")
        answer = await self._reads.one(resource, key, accepted, age)
        if isinstance(answer, Miss) and await self._started_for(resource, Scope.of(namespace=key.namespace), answer):
            answer = await self._reads.one(resource, key, accepted, age)
        if isinstance(answer, Miss):
            self._refuse(f'get {resource.qualified} "{key}"', answer)
            return await self._fetch(resource, key, "", answer.reason)
        self._counts.from_cache["get"] += 1
        if isinstance(answer, Origin):
            raise _not_found(resource, key, answer)
        return answer

    async def list(
        self,
        resource: Resource | str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: FieldSelectorInput = "",
        metadata_only: bool = False,
        shard: ShardLike | None = None,
        resource_version: str = "",
        max_age: float | None = None,
        accept: Content | None = None,
    ) -> AnsweredList:
        """Read all objects of a scope.

        Args:
            resource: the resource to list, or a name of it as `resolve` takes it.
            namespace: the namespace; `None` for all of them.
            label_selector: as kubectl takes it.
            field_selector: as kubectl takes it. Caches select by name, namespace and a few fields of Pods, Secrets and
                Namespaces; other fields only where the informer has the same requirement.
            metadata_only: objects without spec and status.
            shard: only a share of the objects.
            resource_version: everything up to this version must be in the answer; "" for what the caches have.
            max_age: seconds; as for `Client.cached`, for this call.
            accept: as for `Client.cached`, for this call.

        Returns:
            The objects, with the `origin` of the answer. A cache gives them in no particular order.

        Raises:
            SelectorError: a selector does not parse.
            ValueError: a namespace for a cluster-scoped resource.
            CacheMissError: no cache can answer, and `missing="error"`.
        """
        if isinstance(resource, str):
            resource = await self._client.resolve(resource)
        accepted = self._accepted if accept is None else accepted_by(accept)
        age = self._max_age if max_age is None else max_age
        is_plain = not (label_selector or field_selector or metadata_only or resource_version) and shard is None
        if is_plain and (namespace is None or type(namespace) is str):
            found = self._reads.all_at_once(resource, namespace or "", accepted, age)
            if found is not None:
                self._counts.from_cache["list"] += 1
                return found
        question = Scope.of(
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            shard=shard,
        )
        asked = ScopedResource(resource, question)
        version = "" if resource_version == "0" else resource_version
        answer = await self._reads.many(resource, question, accepted, age, version)
        if isinstance(answer, Miss) and await self._started_for(resource, question, answer):
            answer = await self._reads.many(resource, question, accepted, age, version)
        if isinstance(answer, AnsweredList):
            self._counts.from_cache["list"] += 1
            return answer
        self._refuse(f"list {asked}", answer)
        self._counts.from_server[answer.reason] += 1
        listed = await self._client.list(
            resource,
            namespace=namespace,
            label_selector=str(question.label_selector),
            field_selector=str(question.field_selector),
            metadata_only=metadata_only,
            shard=shard,
            resource_version=resource_version,
        )
        return AnsweredList(listed.items, listed.resource_version, listed.failures)

    async def apply(
        self,
        resource: Resource | str,
        obj: Mapping[str, Any],
        *,
        field_manager: str,
        namespace: str | None = None,
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
        max_age: float | None = None,
    ) -> AnsweredObject:
        """Server-side apply, as `Client.apply`; nothing is sent if it would change nothing.

        Nothing would change if the cached object shows all writes of this client, and either has the version that our
        last apply of the same fields made, or (where `managedFields` are in the cache) the fields that are ours are the
        applied ones, and have the values that they had after it, or exactly the applied values. So a field that another
        manager changed or took is applied again. In doubt, the apply is sent.

        Args:
            resource: its resource, or a name of it as `resolve` takes it.
            obj: the fields that are to be so.
            field_manager: the owner of the fields.
            namespace: its namespace; the object's own by default.
            subresource: such as "status".
            force: take fields over that another manager owns.
            dry_run: let the server check everything, and keep nothing; it is always sent.
            max_age: seconds; a cache whose last contact with the server is older saves no apply. By default that of the
                client, or 660.

        Returns:
            The object as the server answered with it; if nothing was sent, as the cache has it. See its `origin`.

        Raises:
            ApplyConflictError: another manager owns some of the fields.
            InvalidError: the result is not valid.
            ValueError: no field manager, no name, or an object that was read (it has `managedFields`).
        """
        if isinstance(resource, str):
            resource = await self._client.resolve(resource)
        body: dict[str, Any] | None = None
        target: tuple[Any, ...] = ()
        manager = Manager(field_manager, resource.api_version, subresource)
        if not dry_run and subresource in {"", "status"} and not _is_read(obj):
            body = decode_any(requests.patch_body(resource, obj, "apply", field_manager))
            where, name = requests.target(resource, obj, namespace)
            key = ObjectKey(where or "", name)
            target = (resource, key, field_manager, subresource)
            age = max_age if max_age is not None else self._max_age if self._max_age is not None else APPLY_MAX_AGE
            cached = await self._reads.one(resource, key, self._accepted | ACCEPTED["trimmed"], age)
            if isinstance(cached, AnsweredObject):
                why = self._records.unchanged(target, manager, body, cached)
                if why is not None:
                    self._counts.applies_saved[why] += 1
                    return cached
        self._counts.applies_sent += 1
        try:
            answer = await self._client.apply(
                resource,
                obj,
                field_manager=field_manager,
                namespace=namespace,
                subresource=subresource,
                force=force,
                dry_run=dry_run,
            )
        except BaseException as error:
            if target and not (isinstance(error, ApiError) and error.status < 500):
                self._records.lost(target)
            raise
        if body is not None:
            self._records.applied(target, manager, body, answer)
        return answered(answer, SERVER)

    async def _fetch(self, resource: Resource, key: ObjectKey, subresource: str, reason: str) -> AnsweredObject:
        """Ask the server for one object."""
        self._counts.from_server[reason] += 1
        where = key.namespace or None
        if subresource:
            obj = await self._client.get(resource, key.name, namespace=where, subresource=subresource)
            return answered(obj, SERVER)
        asked = self._reads.log.last(resource, key)
        obj = await self._client.get(resource, key.name, namespace=where)
        self._reads.log.answered(resource, key, obj, asked)
        return answered(obj, SERVER)

    def _refuse(self, doing: str, miss: Miss) -> None:
        """Raise `CacheMissError` where the server is not to be asked."""
        if self._missing == "error":
            self._counts.refused += 1
            msg = f'cannot {doing} from a cache: {miss}; start such an informer, or use missing="fetch"'
            raise CacheMissError(msg, miss.reasons)

    async def _started_for(self, resource: Resource, scope: Scope, miss: Miss) -> bool:
        """Start an informer for a question, or wait for one that was started; return whether it has synced."""
        if self._missing != "start" or miss.reason not in {"not covered", "not synced", "stopped"}:
            return False
        factory = self._factory
        if factory.stopped:
            raise StoppedError("the factory has stopped: no informer can be started for this question")
        if not factory.started:
            remedy = "use `async with factory:`, or wait for `manager.ready()` if a Manager starts it"
            raise NotStartedError(f"the factory has not been started: no informer can answer; {remedy}")
        covered = ScopedResource(resource, scope)
        informers = factory.informers
        known = informers.get(covered)
        if known is None or known.stopped:
            # An informer that has ended leaves its place to another one.
            self._started &= informers.keys()
            if len(self._started) >= MOST_STARTED:
                return False
            self._started.add(covered)
            self._counts.started += 1
        elif known.has_synced or known.status.failures:
            return False
        settings: dict[str, Any] = {
            "namespace": scope.namespace,
            "label_selector": scope.label_selector,
            "field_selector": scope.field_selector,
            "metadata_only": scope.metadata_only,
            "shard": scope.shard,
        }
        try:
            # An informer that does not sync ends after the grace of this use, in which its scope is not tried again.
            async with factory.use(resource, timeout=SYNC_SECONDS, fail_fast=True, **settings):
                # One that has synced goes on, and answers the next questions.
                factory.informer(resource, **settings)
        except (CacheSyncError, StoppedError):
            return False
        return True


def _is_read(obj: Mapping[str, Any]) -> bool:
    """Return whether an object was read from the server; `Client.apply` refuses it."""
    head = obj.get("metadata")
    return isinstance(head, Mapping) and bool(head.get("managedFields"))


def _not_found(resource: Resource, key: ObjectKey, origin: Origin) -> KinformerError:
    """Return the error that the server would have answered with."""
    status = {
        "reason": "NotFound",
        "message": f'{resource.qualified} "{key.name}" not found',
        "details": {"name": key.name, "kind": resource.plural} | ({"group": resource.group} if resource.group else {}),
    }
    where = f" in namespace {key.namespace}" if key.namespace else ""
    error = api_error(404, status, doing=f'get {resource.qualified} "{key.name}"{where}')
    assert isinstance(error, NotFoundError)
    error.add_note(f"the answer is of the {origin}")
    return error
