"""The source of an informer over a scope: it makes the source of each part, and follows the namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kinformer._declared_paths import DeclaredPaths, NotesPaths
from kinformer._own_loop import refuse_other_loop_of
from kinformer._own_writes.feed import announcer_of
from kinformer.informer._sharing_source import SharingSource
from kinformer.scope import ScopePart

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kinformer._own_writes.feed import Write
    from kinformer.errors import KinformerError
    from kinformer.listwatch import ListerWatcher
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource
    from kinformer.scope import Scope, ShardLike

__all__ = ["FollowsNamespaces", "ScopedSource"]

_WHOLE: Final = ScopePart()


class FollowsNamespaces(Protocol):
    """The namespaces of a cluster, followed while they come, go and change their labels."""

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]] | None:
        """The labels of each namespace, by name; `None` before the first list."""
        ...

    @property
    def refusal(self) -> KinformerError | None:
        """The answer of a server that does not let them be listed; `None` if it does."""
        ...

    @property
    def last_contact(self) -> float | None:
        """The time at which the server last sent something of them; `None` if it never has."""
        ...

    def listen(self, listener: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        """Call a function after each change from now on; return the function that stops this."""
        ...


class ScopedSource:
    """The sources of all parts of a scope.

    Args:
        scope: the scope at the beginning.
        make: makes the source of a part.
        follow: begins to follow the namespaces; called when the scope first needs them.

    Attributes:
        declared_paths: the declared paths, which the sources of all parts share.
    """

    def __init__(
        self,
        scope: Scope,
        make: Callable[[Scope, ScopePart], ListerWatcher],
        follow: Callable[[], FollowsNamespaces],
    ) -> None:
        self.scope = scope
        self.follow = follow
        self.declared_paths = DeclaredPaths()
        self._make = make
        self._share = scope  # the last scope that `part` made sources of
        # What does not depend on the part: the resource, the form of objects, and the client.
        self._whole = self.whole(_WHOLE, scope.shard)
        self._parts: set[ListerWatcher] = set()
        self._sharding = ""
        self._foreign_before = 0

    @property
    def resource(self) -> Resource:
        """The resource of the objects."""
        return self._whole.resource

    @property
    def sharding(self) -> str:
        """Place that filters the shard; see `InformerStatus.sharding`."""
        found = {getattr(source, "sharding", "") for source in self._parts}
        present = next((where for where in ("here", "unknown", "server") if where in found), "")
        # A part with other ranges has to find it out anew.
        return self._sharding if present in {"", "unknown"} and self._sharding and self.shard is not None else present

    @property
    def foreign_events(self) -> int:
        """Number of objects and events of other shards that the server has sent."""
        return self._foreign_before + sum(getattr(source, "foreign_events", 0) for source in self._parts)

    @property
    def shard(self) -> ShardLike | None:
        """The share of the objects that is covered; `None` if all are."""
        return self.scope.shard

    def refuse_other_loop(self) -> None:
        """Refuse a call from another event loop than that of the client.

        Raises:
            WrongLoopError: the client was entered in another event loop.
        """
        refuse_other_loop_of(self._whole)

    def part(self, part: ScopePart, shard: ShardLike | None) -> SharingSource:
        """Return a new source of a part and a share of the objects, which may share a watch of all namespaces."""
        return SharingSource(self.whole(part, shard))

    def whole(self, part: ScopePart, shard: ShardLike | None) -> ListerWatcher:
        """Return a new source of a part and a share of the objects, which shares nothing."""
        # To make a scope takes time in proportion to its terms, and most parts have the same share.
        if self._share.shard != shard or self._share.terms is not self.scope.terms:
            self._share = self.scope.sharded(shard)
        source = self._make(self._share, part)
        if isinstance(source, NotesPaths):
            source.declared_paths = self.declared_paths
        return source

    def add(self, source: ListerWatcher) -> None:
        """Count a source as one of the parts."""
        self._parts.add(source)

    def remove(self, source: ListerWatcher) -> None:
        """End the effect of `add`."""
        sharding = getattr(source, "sharding", "")
        if sharding != "unknown":
            self._sharding = sharding
        self._foreign_before += getattr(source, "foreign_events", 0)
        self._parts.discard(source)

    def covers(self, obj: KubeObject) -> bool | None:
        """Return whether a part has this object; `None` if only the server knows."""
        answers = {source.covers(obj) for source in self._parts}
        return True if True in answers else None if None in answers else False

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """Return a whole object in the form of lists and watches, which may be its metadata only."""
        return self._whole.as_listed(obj)

    def on_write(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        """Call a function with each accepted write from now on; return the function that stops this."""
        announce = announcer_of(self._whole)
        return _nothing if announce is None else announce(listener)

    async def find(self, key: ObjectKey) -> KubeObject | None:
        """Read the metadata of one object from the server, also if no part covers it; `None` if there is none.

        Raises:
            ApiError: the server refused.
            TransportError: no complete answer came.
        """
        find: Callable[[ObjectKey], Awaitable[KubeObject | None]] | None = getattr(self._whole, "find", None)
        return None if find is None else await find(key)


def _nothing() -> None:
    """Stop nothing."""
