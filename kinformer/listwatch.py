"""The seam between the API server and the cache: what a source of objects must offer, and what it hands over.

`client` fulfils `ListerWatcher` over HTTP; the cache above knows nothing but this module. A source hands over whole
pages and whole batches (as many events as one read of the socket brought), so that nothing is awaited per event.
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
    """The kind of a change (client-go: DeltaType). A watch brings the first three, a list and a resync the others."""

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
    """One change of one object: made when a watch event is decoded, and carried through the queue to the cache.

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
        continue_token: what to ask the next page with; empty on the last one.
        remaining: how many objects come after this page, if the server told.
        failures: objects of this page that could not be decoded, and are left out.
        partial: more of this page follows; a version or a token that comes after the objects is not known yet.
    """

    items: Sequence[KubeObject]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None
    failures: Sequence[ObjectError] = ()
    partial: bool = False


class WatchBatch(NamedTuple):
    """What one read of a watch brought, in the server's order.

    Attributes:
        events: the events.
        resource_version: the version up to which this batch brings us (from its last event or bookmark), or empty when
            it says nothing of it.
        initial_events_end: the bookmark that ends a streaming list (annotation `k8s.io/initial-events-end`, KEP-3157)
            is the last thing in this batch; what came after it in the same read follows in a batch of its own.
        error: an ERROR event, or `MalformedStreamError` for a line that is no event. It is the last thing in its batch,
            and the stream ends after it. The watch is opened again from the last version before it.
        failures: events whose object could not be decoded; they are left out of `events`.
    """

    events: Sequence[Delta]
    resource_version: str = ""
    initial_events_end: bool = False
    error: KinformerError | None = None
    failures: Sequence[ObjectError] = ()


@runtime_checkable
class ListerWatcher(Protocol):
    """A source of one resource's objects: the whole of them, and what changes afterwards.

    Scope (namespace, selectors, metadata only) belongs to the source. Errors are those of `kinformer.errors`: an
    `ApiError` where the server refused, a `TransportError` where no whole answer came, a `ConfigError` where there are
    no credentials to be had just now, and a `LifecycleError` where its client is not open.
    """

    @property
    def resource(self) -> Resource:
        """What is listed and watched."""
        ...

    @property
    def streams_lists(self) -> bool:
        """Whether `watch(send_initial_events=True)` may be tried (client-go: IsWatchListSemanticsUnSupported)."""
        ...

    def covers(self, obj: KubeObject) -> bool | None:
        """Whether lists and watches would have this object; `None` where only the server could tell."""
        ...

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """A whole object, as lists and watches would bring it: perhaps only its metadata."""
        ...

    def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        """List page by page.

        Args:
            resource_version: "" for the most recent state (a quorum read), "0" for whatever the watch cache has, else
                "not older than this".
            limit: objects per page; 0 leaves it to the server, which then sends one page.

        A continue token that expires midway (410 on a page after the first) is raised as `ExpiredError`: the caller
        starts again. Closing the iterator early leaves nothing open.
        """
        ...

    def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchBatch]]:
        """Open a watch; entering returns once the server has answered, with bookmarks asked for.

        Args:
            resource_version: events after this version.
            timeout_seconds: when the server should end the stream, in seconds. The source ends a stream that is silent
                for longer than that and a small margin, with `TransportTimeoutError`.
            send_initial_events: ask for a streaming list: the present state as ADDED events, then the bookmark that
                ends it (`resourceVersionMatch=NotOlderThan`).

        The iterator ends when the server closes the stream cleanly, and raises `StreamBrokenError` when it breaks.
        Leaving the context closes the connection.
        """
        ...
