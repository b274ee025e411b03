"""A source without a network, for measurements of the cache alone; the pods are those of `generator`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks.generator import pod, pods
from kinformer._flag import Flag
from kinformer._time_slice import TimeSlice
from kinformer.listwatch import Delta, DeltaType, ListPage, WatchBatch
from kinformer.objects import KubeObject
from kinformer.resources import PODS, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

__all__ = ["Memory", "later", "pod", "pods"]


class Memory:
    """A source without a network: it measures the cache, not the wire."""

    def __init__(self, raws: Sequence[bytes]) -> None:
        # A tuple of bytes is nothing to the collector, which would walk over a list as if it were the cache's.
        self.raws = tuple(raws)
        self.version = 2_000_000
        self.page_size = 500
        # Few objects for the collector, as the client's own source is: an `asyncio.Queue` is six.
        self._batches: list[Iterable[list[bytes]]] = []
        self._sent = Flag()
        self.watched = Flag()

    @property
    def resource(self) -> Resource:
        """Pods."""
        return PODS

    @property
    def streams_lists(self) -> bool:
        """By pages."""
        return False

    def covers(self, obj: KubeObject) -> bool:
        """Everything."""
        del obj
        return True

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """As it is."""
        return obj

    def send(self, raws: list[bytes]) -> None:
        """Send updates in one batch, decoded when it is taken, as a client does."""
        self.send_burst([raws])

    def send_burst(self, batches: Iterable[list[bytes]]) -> None:
        """Send batches without a pause between them, each made when it is taken: what waits, waits in the network."""
        self._batches.append(batches)
        self._sent.set()

    async def list(self, *, resource_version: str = "", limit: int = 0) -> AsyncGenerator[ListPage, None]:
        """In pages of 500, each decoded as it is asked for."""
        del resource_version, limit
        time_slice = TimeSlice()
        for start in range(0, len(self.raws), self.page_size):
            chunk = self.raws[start : start + self.page_size]
            # Copies, as a network would bring them.
            await time_slice.begin()  # as a client does before it decodes
            more = "more" if start + self.page_size < len(self.raws) else ""
            # Nothing here holds the objects while their page is at work: a client does not, either.
            yield ListPage(
                [KubeObject.from_json(bytes(bytearray(raw)), PODS) for raw in chunk], str(self.version), more
            )
            await asyncio.sleep(0)

    @asynccontextmanager
    async def watch(
        self, *, resource_version: str, timeout_seconds: int, send_initial_events: bool = False
    ) -> AsyncIterator[AsyncIterator[WatchBatch]]:
        """Yield the events that `changed` sends."""
        del resource_version, timeout_seconds, send_initial_events
        self.watched.set()
        yield self._each()

    async def _each(self) -> AsyncGenerator[WatchBatch, None]:
        while True:
            time_slice = TimeSlice()
            while not self._batches:
                self._sent.clear()
                await self._sent.wait()
            batches = iter(self._batches.pop(0))
            while True:
                await time_slice.begin()  # as a client does before it decodes
                raws = next(batches, None)
                if raws is None:
                    break
                batch = [_batch_of(raws)]
                del raws
                yield batch.pop()  # nothing here holds it


def _batch_of(raws: list[bytes]) -> WatchBatch:
    events = [Delta(DeltaType.UPDATED, KubeObject.from_json(raw, PODS)) for raw in raws]
    return WatchBatch(events, events[-1].object.resource_version)


def later(raw: bytes, digit: int) -> bytes:
    """The same pod at a later version: the higher the number put in front of it, the later."""
    return raw.replace(b'"resourceVersion":"', b'"resourceVersion":"%d' % digit, 1)
