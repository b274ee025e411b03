"""The batches of an open watch."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from kinformer.client._watch_stream import WatchStream
from kinformer.listwatch import WatchBatch

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "4711"


class QuietBody:
    """Brings one read, and nothing more."""

    def __init__(self) -> None:
        self.is_quiet = asyncio.Event()
        self._brought = False

    async def read(self, take: Callable[[Any], object], *_: object) -> bool:
        if not self._brought:
            self._brought = True
            take(b"")
            return True
        self.is_quiet.set()
        await asyncio.get_running_loop().create_future()
        return False


class OneBatch:
    """Makes one batch of a read."""

    ended = behind = incomplete = False

    def begin(self, data: object) -> list[WatchBatch]:
        del data
        return [WatchBatch((), MARK)]


async def test_a_quiet_watch_does_not_hold_its_last_batch() -> None:
    body = QuietBody()
    stream = WatchStream(body, OneBatch(), silence=60)  # type: ignore[arg-type]
    taken: list[str] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stream.deliver(lambda batch, _: taken.append(batch.resource_version)))
        await body.is_quiet.wait()
        held = [obj for obj in gc.get_objects() if type(obj) is WatchBatch and obj.resource_version == MARK]
        task.cancel()
    assert taken == [MARK]
    assert held == []
