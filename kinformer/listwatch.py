"""Interface between a source of objects, such as the API server, and the cache.

`client` implements `ListerWatcher` over HTTP. The cache depends on this module only, not on HTTP. A source passes on
whole pages and whole batches (the events of one read of the socket), so there is no `await` per event.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from kinformer.errors import KinformerError, ObjectError
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Delta", "DeltaType", "ListPage", "ListerWatcher", "WatchBatch"]


class DeltaType(enum.IntEnum):
    """The kind of a change (client-go: DeltaType).

    A watch brings the first three. REPLACED comes from a list, SYNC from a resync, LEFT from a change of the scope.
    """

    ADDED = 1
    UPDATED = 2
    """The API server calls this event MODIFIED."""
    DELETED = 3
    REPLACED = 4
    """The object was in a list: it may be new, changed or unchanged."""
    SYNC = 5
    """The object is in the cache, and a resync was requested."""
    LEFT = 6
    """The object is outside of the scope from now on. As far as is known, it exists."""


class Delta(msgspec.Struct, frozen=True, gc=False):
    """One change of one object. It is made when a watch event is decoded, and goes through the queue to the cache.

    Attributes:
        type: the kind of the change.
        object: the new state of the object; for a deletion its last known state.
        final_state_known: false for a deletion that was inferred from a list (client-go: DeletedFinalStateUnknown).
    """

    type: DeltaType
    object: KubeObject
    final_state_known: bool = True


class ListPage(NamedTuple):
    """One page of a list.

    Attributes:
        items: the objects, in the server's order.
        resource_version: the version of the whole list; the same on every page that belongs to it.
        continue_token: token that requests the next page; empty on the last page.
        remaining: number of objects after this page, if the server gave it.
        failures: errors of the objects of this page that could not be decoded; `items` leaves them out.
        partial: true if more of this page follows. A version or a token that is sent after the objects is not known
            yet.
    """

    items: Sequence[KubeObject]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None
    failures: Sequence[ObjectError] = ()
    partial: bool = False


class WatchBatch(NamedTuple):
    """The events of one read of a watch, in the server's order.

    Attributes:
        events: the events.
        resource_version: the version that the stream has reached with this batch (of its last event or bookmark); empty
            if the batch has none.
        initial_events_end: true if the batch ends with the bookmark that ends a streaming list (annotation
            `k8s.io/initial-events-end`, KEP-3157). Later events of the same read follow in a batch of their own.
        error: an ERROR event, or `MalformedStreamError` for a line that is no event. It is the last item of its batch,
            and the stream ends after it. The reflector opens the watch again from the last version before it.
        failures: errors of the events whose object could not be decoded; `events` leaves them out.
    """

    events: Sequence[Delta]
    resource_version: str = ""
    initial_events_end: bool = False
    error: KinformerError | None = None
    failures: Sequence[ObjectError] = ()


@runtime_checkable
class ListerWatcher(Protocol):
    """A source of one resource's objects: lists of all of them, and watches of their changes.

    The source decides the scope (namespace, selectors, metadata only). It raises errors of `kinformer.errors`: an
    `ApiError` if the server refused, a `TransportError` if no complete answer came, a `ConfigError` if no credentials
    are available now, and a `LifecycleError` if its client is not open.
    """

    @property
    def resource(self) -> Resource:
        """Resource that is listed and watched."""
        ...

    @property
    def streams_lists(self) -> bool:
        """True if `watch(send_initial_events=True)` may be tried (client-go: IsWatchListSemanticsUnSupported)."""
        ...

    def covers(self, obj: KubeObject) -> bool | None:
        """Return whether lists and watches contain this object; `None` if only the server can decide that."""
        ...

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """Return a whole object in the form of lists and watches, which may be its metadata only."""
        ...

    def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        """List the objects, page by page.

        Args:
            resource_version: "" for the most recent state (a quorum read), "0" for any state that the watch cache has,
                else a state that is not older than this version.
            limit: objects per page; 0 leaves it to the server, which then sends one page.

        If a continue token expires (410 on a page after the first), the iterator raises `ExpiredError`, and the caller
        starts again. Closing the iterator early leaves nothing open.
        """
        ...

    def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchBatch]]:
        """Open a watch with bookmarks. The context is entered once the server has answered.

        Args:
            resource_version: version after which the events begin.
            timeout_seconds: seconds after which the server should end the stream. If the stream is silent for longer
                than that and a small margin, the source ends it with `TransportTimeoutError`.
            send_initial_events: request a streaming list: the present state as ADDED events, then the bookmark that
                ends it (`resourceVersionMatch=NotOlderThan`).

        The iterator ends when the server closes the stream cleanly, and raises `StreamBrokenError` when the stream
        breaks. Leaving the context closes the connection.
        """
        ...
