"""Looks for a cache that can answer a question, and says why others cannot."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from kinformer._own_writes.pending import pending_writes_of
from kinformer.client._cached.answers import AnsweredList, Origin, answered
from kinformer.client._cached.caches import ACCEPTED
from kinformer.client._cached.containment import NAME, Selection, contains, overlaps, selection_of
from kinformer.client._cached.own_writes import OwnWriteLog, record_of
from kinformer.errors import StoppedError, WaitTimeoutError
from kinformer.labels import FieldSelector
from kinformer.objects import KubeObject, version_number
from kinformer.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kinformer.client._cached.answers import AnsweredObject
    from kinformer.client._cached.caches import Cache, Caches, Content, Verbs
    from kinformer.client._cached.counts import Counts
    from kinformer.client._cached.own_writes import Unsettled
    from kinformer.objects import ObjectKey
    from kinformer.resources import Resource
    from kinformer.scope import ScopedResource

__all__ = ["CacheReads", "Miss", "MissReason", "accepted_by", "question_for"]

MissReason: TypeAlias = Literal[
    "not covered", "not synced", "stopped", "too old", "not whole", "behind own writes", "behind version", "left out"
]
"""Why a cache cannot answer.

- "not covered": no informer's scope contains the question, or only the server can select the answer.
- "not synced", "stopped": the informer has no whole list yet, or it has ended.
- "too old": the last contact with the server is older than `max_age`.
- "not whole": the informer trims or transforms its objects, and the caller does not accept that.
- "behind own writes", "behind version": the cache does not show a write of this client, or the version asked for.
- "left out": it has no such object, but it could not decode or transform some.
"""

_EXPLAINED: Final[dict[MissReason, str]] = {
    "not covered": "does not contain the question",
    "not synced": "has not synced",
    "stopped": "has stopped",
    "too old": "is older than max_age",
    "not whole": "trims or transforms its objects (see `accept`)",
    "behind own writes": "does not show yet what this client wrote",
    "behind version": "has not reached the version",
    "left out": "left out objects that it could not read",
}


class Miss:
    """No cache can answer.

    Attributes:
        reasons: for each informer whose scope contains the question, why it cannot answer.
    """

    __slots__ = ("reasons",)

    def __init__(self, reasons: dict[str, MissReason]) -> None:
        self.reasons = reasons

    @property
    def reason(self) -> MissReason:
        """The reason of the last informer that contains the question; "not covered" if none does."""
        return [*self.reasons.values()][-1] if self.reasons else "not covered"

    def __str__(self) -> str:
        if not self.reasons:
            return "no informer of the factory contains the question"
        return "; ".join(f"the informer of {name} {_EXPLAINED[reason]}" for name, reason in self.reasons.items())


class _Follower:
    """One informer, with the writes that it does not show for certain."""

    __slots__ = ("cache", "content", "covered", "origin", "scopes", "unsettled")

    def __init__(self, covered: ScopedResource, cache: Cache, unsettled: Unsettled) -> None:
        self.covered = covered
        # Scopes whose objects are all in the cache. Of an informer with `scope=` they change with time.
        self.scopes: tuple[Scope, ...] = (covered.scope,)
        self.cache = cache
        self.content: Content = cache.content
        self.unsettled = unsettled
        self.origin = Origin("cache", cache.name, "")

    @property
    def is_up_to_date(self) -> bool:
        """True if `scopes` are those of the cache now."""
        covered = self.cache.covered_scopes
        return covered is None or covered is self.scopes

    def refresh(self) -> None:
        """Bring `scopes` up to date."""
        covered = self.cache.covered_scopes
        if covered is not None:
            self.scopes = covered

    def containing(self, question: Scope) -> Scope | None:
        """Return one of `scopes` that contains a question; `None` if none does."""
        return next((scope for scope in self.scopes if contains(scope, question)), None)

    def has_in_scope(self, obj: KubeObject) -> bool:
        """Return whether the cache follows a cached object, also if it does not follow all objects of the question."""
        if self.cache.covered_scopes is None:
            return True
        return any(
            scope.namespace in {"", obj.namespace}
            and not scope.field_selector
            and scope.label_selector.matches(obj.labels)
            and (scope.shard is None or scope.shard.has(obj))
            for scope in self.scopes
        )

    def selection(self, resource: Resource, scope: Scope, question: Scope) -> Selection | None:
        """Return how to select the answer to a question that a scope contains."""
        if self.cache.covered_scopes is not None:
            # The cache has objects of other scopes, too, so nothing of the question is fulfilled by all of them.
            scope = Scope(metadata_only=scope.metadata_only)
        return selection_of(resource, scope, question)

    def current_origin(self) -> Origin:
        """Return the origin of an answer that this cache gives now."""
        version = self.cache.resource_version
        if self.origin.resource_version != version:
            self.origin = Origin("cache", self.cache.name, version)
        return self.origin

    @property
    def progress(self) -> int:
        """The version up to which everything is in the cache."""
        return version_number(self.cache.resource_version)


class CacheReads:
    """Reads of the caches of one factory, which show the writes of one client.

    Args:
        client: announces its writes.
        caches: the factory.
        patience: seconds to wait at most until a cache shows a write.
        counts: the waits are counted here.
    """

    def __init__(self, client: Verbs, caches: Caches, patience: float, counts: Counts) -> None:
        self._counts = counts
        self.log = OwnWriteLog()
        self._caches = caches
        self._patience = patience
        self._followers: dict[ScopedResource, _Follower] = {}
        self._plans: dict[tuple[Resource, str], tuple[_Follower, ...]] = {}
        # The client holds the log, but not this object: a cached client that is dropped leaves nothing behind.
        weakref.finalize(self, client.on_write(self.log.wrote))

    def at_once(
        self, resource: Resource, key: ObjectKey, accepted: frozenset[Content], max_age: float | None
    ) -> AnsweredObject | None:
        """Return one object if a cache has it and may answer at once; `None` says nothing."""
        for follower in self._plans.get((resource, key.namespace), ()):
            if (
                not follower.is_up_to_date
                or self._why_not(follower, accepted, max_age) is not None
                or (key in follower.unsettled and not follower.unsettled.shows(key, follower.progress))
            ):
                continue
            obj = follower.cache.indexer.get_by_key(key)
            if obj is not None:
                return answered(obj, follower.current_origin())
        return None

    def all_at_once(
        self, resource: Resource, namespace: str, accepted: frozenset[Content], max_age: float | None
    ) -> AnsweredList | None:
        """Return all objects of a namespace ("" for all) if a cache may answer at once; `None` says nothing."""
        for follower in self._plans.get((resource, namespace), ()):
            if (
                follower.is_up_to_date
                and not len(follower.unsettled)
                and self._why_not(follower, accepted, max_age) is None
            ):
                return _listed(follower, Selection(namespace))
        return None

    async def one(
        self, resource: Resource, key: ObjectKey, accepted: frozenset[Content], max_age: float | None
    ) -> AnsweredObject | Origin | Miss:
        """Return one object, or the origin of the answer that there is none, or why no cache can answer."""
        question = question_for(key)
        reasons: dict[str, MissReason] = {}
        self._refresh()
        self._plan(resource, key.namespace)
        for follower in self._of(resource):
            whole = self._containing(follower, question) is not None
            if not whole and not any(overlaps(scope, question) for scope in follower.scopes):
                continue
            why = self._why_not(follower, accepted, max_age)
            if why is None and not await self._shows(follower, key, wait=whole):
                why = "behind own writes"
            if why is None:
                obj = follower.cache.indexer.get_by_key(key)
                # The scopes may have changed during the wait.
                whole = self._containing(follower, question) is not None
                if obj is not None and (whole or follower.has_in_scope(obj)):
                    return answered(obj, follower.current_origin())
                if obj is None and whole and not follower.cache.status.left_out:
                    return follower.current_origin()
                why = "left out" if whole else "not covered"
            if whole:
                reasons[follower.cache.name] = why
        return Miss(reasons)

    async def many(
        self,
        resource: Resource,
        question: Scope,
        accepted: frozenset[Content],
        max_age: float | None,
        version: str,
    ) -> AnsweredList | Miss:
        """Return a list, or why no cache can answer."""
        reasons: dict[str, MissReason] = {}
        self._refresh()
        if resource.namespaced or not question.namespace:
            self._plan(resource, question.namespace or "")
        for follower in self._of(resource):
            scope = self._containing(follower, question)
            selection = None if scope is None else follower.selection(resource, scope, question)
            if scope is None or selection is None:
                continue
            why = self._why_not(follower, accepted, max_age)
            if why is None and selection.reads_content and follower.content == "transformed":
                why = "not whole"
            if why is None and not await self._reaches(follower, version):
                why = "behind version"
            if why is None and not await self._shows_all(follower, scope, selection):
                why = "behind own writes"
            if why is None and self._containing(follower, question) != scope:
                why = "not covered"
            if why is None:
                return _listed(follower, selection)
            reasons[follower.cache.name] = why
        return Miss(reasons)

    def caches_of(self, resource: Resource) -> list[Cache]:
        """Return the informers of a resource."""
        self._refresh()
        return [follower.cache for follower in self._of(resource)]

    def _refresh(self) -> None:
        """Follow the informers of the factory as they are now."""
        informers = self._caches.informers
        changed = False
        for covered, follower in [*self._followers.items()]:
            if informers.get(covered) is not follower.cache:
                self.log.forget(covered.resource, follower.unsettled)
                del self._followers[covered]
                changed = True
        for covered, cache in informers.items():
            if covered not in self._followers:
                unsettled = self.log.follow(covered.resource, _versions_in(cache))
                pending = pending_writes_of(cache)
                for write in [] if pending is None else pending.all():
                    if write.key not in unsettled:
                        unsettled.add(write.key, record_of(write))
                self._followers[covered] = _Follower(covered, cache, unsettled)
                changed = True
        if changed or not all(follower.is_up_to_date for follower in self._followers.values()):
            self._plans.clear()
            for follower in self._followers.values():
                follower.refresh()

    def _containing(self, follower: _Follower, question: Scope) -> Scope | None:
        """Return a scope whose objects are all in a cache now, and which contains a question; `None` if none does.

        The scopes may have changed in a wait. Then the plans, which were made of the earlier ones, are made again. A
        follower that another one has replaced contains nothing: it gets no writes.
        """
        if not follower.is_up_to_date:
            self._refresh()
        return follower.containing(question) if self._followers.get(follower.covered) is follower else None

    def _plan(self, resource: Resource, namespace: str) -> None:
        """Find the informers that contain a namespace as a whole."""
        if (resource, namespace) not in self._plans:
            where = Scope.of(namespace=namespace)
            able = [follower for follower in self._of(resource) if follower.containing(where) is not None]
            self._plans[resource, namespace] = tuple(able)

    def _of(self, resource: Resource) -> list[_Follower]:
        return [follower for covered, follower in self._followers.items() if covered.resource == resource]

    def _why_not(self, follower: _Follower, accepted: frozenset[Content], max_age: float | None) -> MissReason | None:
        cache = follower.cache
        if cache.stopped:
            return "stopped"
        if not cache.has_synced:
            return "not synced"
        if follower.content not in accepted:
            return "not whole"
        if max_age is not None and not cache.is_fresh(max_age):
            return "too old"
        return None

    async def _shows(self, follower: _Follower, key: ObjectKey, *, wait: bool) -> bool:
        """Wait until a cache shows the last write to one object; return whether it does."""
        unsettled = follower.unsettled
        if unsettled.shows(key, follower.progress):
            return True
        if not wait or not self._patience:
            return False
        self._counts.waits += 1
        with contextlib.suppress(WaitTimeoutError, StoppedError):
            await follower.cache.caught_up(key, self._patience)
        return not follower.cache.stopped and unsettled.shows(key, follower.progress)

    async def _shows_all(self, follower: _Follower, scope: Scope, selection: Selection) -> bool:
        """Wait until a cache shows the last writes to all objects of a selection; return whether it does."""
        hidden = [*_hidden(follower, scope, selection)]
        if hidden and self._patience:
            self._counts.waits += 1
            with contextlib.suppress(TimeoutError, StoppedError):
                async with asyncio.timeout(self._patience):
                    for key in hidden:
                        await follower.cache.caught_up(key, None)
            hidden = [*_hidden(follower, scope, selection)]
        return not hidden and not follower.cache.stopped

    async def _reaches(self, follower: _Follower, version: str) -> bool:
        """Wait until everything up to a version is in a cache; return whether it is."""
        if not version or follower.progress >= version_number(version):
            return True
        if self._patience:
            self._counts.waits += 1
            with contextlib.suppress(WaitTimeoutError, StoppedError):
                await follower.cache.caught_up(version, self._patience)
        return follower.progress >= version_number(version)


def _versions_in(cache: Cache) -> Callable[[ObjectKey], tuple[str, str] | None]:
    """Return a function from a key to the UID and the resource version of the cached object."""
    indexer = cache.indexer

    def version_of(key: ObjectKey) -> tuple[str, str] | None:
        obj = indexer.get_by_key(key)
        return None if obj is None else (obj.uid, obj.resource_version)

    return version_of


def question_for(key: ObjectKey) -> Scope:
    """Return the question for one object."""
    return Scope.of(namespace=key.namespace, field_selector=FieldSelector(((NAME, "=", key.name),)))


def accepted_by(content: Content) -> frozenset[Content]:
    """Return the contents of caches that a caller accepts.

    Raises:
        ValueError: there is no such content.
    """
    found = ACCEPTED.get(content)
    if found is None:
        msg = f"accept={content!r}: a cache has its objects {', '.join(map(repr, ACCEPTED))}"
        raise ValueError(msg)
    return found


def _hidden(follower: _Follower, scope: Scope, selection: Selection) -> Iterator[ObjectKey]:
    def concerns(key: ObjectKey) -> bool:
        return (not selection.namespace or key.namespace == selection.namespace) and (
            not selection.name or key.name == selection.name
        )

    def outside(obj: KubeObject) -> bool:
        return (
            not concerns(obj.key)
            or not scope.label_selector.matches(obj.labels)
            or (scope.shard is not None and not scope.shard.has(obj))
            or not selection.keeps(obj)
        )

    return follower.unsettled.hidden(follower.progress, concerns, outside)


def _listed(follower: _Follower, selection: Selection) -> AnsweredList:
    origin = follower.current_origin()
    found = selection.of(follower.cache.lister.list(selection.namespace, selection.labels))
    items: list[Any] = [_metadata_of(obj) for obj in found] if selection.metadata_only else found
    return AnsweredList(items, origin.resource_version, origin=origin)


def _metadata_of(obj: KubeObject) -> KubeObject:
    """Return an object as a list of metadata has it."""
    manifest = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return KubeObject.from_dict(manifest, obj.resource)
