"""The source of one part of a scope: its own watch, or its share of a watch of all namespaces."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from kinformer.objects import version_number

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from kinformer.informer._shared_watch import Subscription
    from kinformer.listwatch import ListerWatcher, ListPage, WatchBatch
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["SharingSource"]


class SharingSource:
    """Lists by its own source, and watches by its subscription as soon as that lacks nothing; a `ListerWatcher`.

    Args:
        own: the source of this part alone.

    Attributes:
        subscription: the share of a watch of all namespaces; `None` without one.
        has_plain_watch: whether a watch is open, or being opened, that never goes over to a subscription.
    """

    def __init__(self, own: ListerWatcher) -> None:
        self.own = own
        self.subscription: Subscription | None = None
        self.has_plain_watch = False

    @property
    def resource(self) -> Resource:
        """The resource of the objects."""
        return self.own.resource

    @property
    def streams_lists(self) -> bool:
        """True if a streaming list may be tried."""
        return self.own.streams_lists

    @property
    def shares(self) -> bool:
        """True if events come from a watch of all namespaces now."""
        return self.subscription is not None and self.subscription.is_attached

    def covers(self, obj: KubeObject) -> bool | None:
        """Return whether the part has this object; `None` if only the server knows."""
        return self.own.covers(obj)

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """Return a whole object in the form of lists and watches."""
        return self.own.as_listed(obj)

    def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        """List the objects of the part, page by page."""
        return self.own.list(resource_version=resource_version, limit=limit)

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        """Open a watch of the part, or take the events of the shared one from this version on."""
        version = 0 if send_initial_events else version_number(resource_version or "0")
        subscription = self.subscription
        if subscription is None:
            own = self.own.watch(
                resource_version=resource_version,
                timeout_seconds=timeout_seconds,
                send_initial_events=send_initial_events,
            )
            self.has_plain_watch = True  # while it is being opened, too: it would never go over
            try:
                async with own as batches:
                    yield batches
            finally:
                self.has_plain_watch = False
            return
        async with AsyncExitStack() as stack:
            first = None
            if send_initial_events or not version or not await subscription.attach(version):
                first = await stack.enter_async_context(
                    self.own.watch(
                        resource_version=resource_version,
                        timeout_seconds=timeout_seconds,
                        send_initial_events=send_initial_events,
                    )
                )
            try:
                async with aclosing(
                    self._batches(stack, first, version, timeout_seconds, is_list=send_initial_events)
                ) as batches:
                    yield batches
            finally:
                if self.subscription is not None:
                    self.subscription.detach()

    async def _batches(
        self,
        stack: AsyncExitStack,
        own: AsyncIterator[WatchBatch] | None,
        version: int,
        timeout_seconds: int,
        *,
        is_list: bool,
    ) -> AsyncGenerator[WatchBatch, None]:
        """Yield the batches of the watch of this part and of the shared one in turn."""
        while True:
            if own is not None:
                goes_over = False
                async for batch in own:
                    version = max(version, version_number(batch.resource_version or "0"))
                    is_list = is_list and not batch.initial_events_end
                    if not is_list and self.subscription is not None:
                        self.subscription.came_to(version)
                    error = batch.error
                    yield batch
                    del batch  # a quiet watch holds no events
                    if error is not None:
                        return
                    if not is_list and self.subscription is not None and self.subscription.serves(version):
                        goes_over = True
                        break
                if not goes_over:
                    return
                await stack.aclose()
            subscription = self.subscription
            if subscription is not None and (subscription.is_attached or await subscription.attach(version)):
                async with aclosing(subscription.batches(version)) as shared:
                    async for batch in shared:
                        version = max(version, version_number(batch.resource_version or "0"))
                        yield batch
                        del batch
                subscription.detach()
            own = await stack.enter_async_context(
                self.own.watch(resource_version=str(version), timeout_seconds=timeout_seconds)
            )
