"""The informers of a factory, by resource and scope."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from kinformer.informer.typed import TypedInformer
from kinformer.scope import ScopedResource
from kinformer.status import InformerState

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator

    from kinformer.events import T
    from kinformer.informer._shared_informer import SharedInformer
    from kinformer.operators.shard_group import GroupShare
    from kinformer.reflector._ingest import Transform

__all__ = ["InformersByScope"]


class InformersByScope:
    """Each informer under the scope that it covers, with its transform and its typed views.

    Attributes:
        replaced: informers that go on, although another informer covers their scope now.
    """

    def __init__(self) -> None:
        self._informers: dict[ScopedResource, SharedInformer] = {}
        self._transforms: dict[ScopedResource, Transform | None] = {}
        # Informers of shard groups, by the scope without a slice.
        self._followers: dict[tuple[ScopedResource, GroupShare], SharedInformer] = {}
        self._views: dict[tuple[ScopedResource, builtins.type], TypedInformer[Any]] = {}
        self.replaced: set[SharedInformer] = set()

    def __len__(self) -> int:
        return len(self._informers)

    def __iter__(self) -> Iterator[SharedInformer]:
        return iter(self._informers.values())

    def __contains__(self, covered: ScopedResource) -> bool:
        return covered in self._informers

    def items(self) -> list[tuple[ScopedResource, SharedInformer]]:
        """Return each informer with its resource and scope, as of the last call of `follow_scopes`."""
        return [*self._informers.items()]

    def find(self, covered: ScopedResource, share: GroupShare | None = None) -> SharedInformer | None:
        """Return the informer of a scope that has not stopped, or of a share of a group within the scope."""
        found = self._informers.get(covered) if share is None else self._followers.get((covered, share))
        return None if found is None or found.stopped else found

    def free_name(self, wanted: str) -> str:
        """Return a name for a new informer that no other has: names are keys in statuses and metrics.

        An informer keeps its name when its scope changes, so that a later informer may want the same one.
        """
        taken = {informer.name for informer in (*self._informers.values(), *self.replaced)}
        numbered = (f"{wanted} #{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([wanted], numbered) if name not in taken)

    def transform_of(self, informer: SharedInformer) -> Transform | None:
        """Return the transform that an informer was made with."""
        found = (self._transforms[covered] for covered, one in self._informers.items() if one is informer)
        return next(found, None)

    def add(
        self,
        covered: ScopedResource,
        informer: SharedInformer,
        transform: Transform | None = None,
        share: GroupShare | None = None,
    ) -> None:
        """Store a new informer, in place of one of the same scope that has stopped."""
        self._informers[covered] = informer
        self._transforms[covered] = transform
        if share is not None:
            self._followers[covered, share] = informer

    def typed_view(self, covered: ScopedResource, informer: SharedInformer, into: builtins.type[T]) -> TypedInformer[T]:
        """Return the view of an informer with objects of a class: the same one for each call."""
        view = self._views.get((covered, into))
        # A new informer of the same scope has replaced one that was stopped.
        if view is None or view.informer is not informer:
            view = self._views[covered, into] = TypedInformer(informer, into)
        return view

    def follow_scopes(self, *, keep_stopped: bool = False) -> None:
        """Store each informer under the scope that it covers now, and forget those that were stopped."""
        for covered, informer in self.items():
            if not keep_stopped and informer.stopped and informer.status.state is InformerState.STOPPED:
                self.forget(informer)
            elif informer.scope is not None and informer.scope != covered.scope:
                now = ScopedResource(covered.resource, informer.scope)
                if now in self._informers:
                    self.replaced.add(informer)
                else:
                    self._informers[now] = informer
                    self._transforms[now] = self._transforms[covered]
                del self._informers[covered], self._transforms[covered]

    def forget(self, informer: SharedInformer) -> None:
        """Remove an informer and its views."""
        for covered in [covered for covered, found in self._informers.items() if found is informer]:
            del self._informers[covered], self._transforms[covered]
        for key in [key for key, view in self._views.items() if view.informer is informer]:
            del self._views[key]
        for follower in [follower for follower, found in self._followers.items() if found is informer]:
            del self._followers[follower]
