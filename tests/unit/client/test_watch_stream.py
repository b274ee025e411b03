"""The batches of an open watch."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from kinformer.client._http.limits import EVENT_WITHIN
from kinformer.client._watch_stream import WatchStream
from kinformer.errors import ProtocolError
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


class BusyBody:
    """Brings a read each second, each of which ends in the middle of an event."""

    async def read(self, take: Callable[[Any], object], push: Callable[[Any], bool] | None, patience: float) -> bool:
        assert patience > 0
        await asyncio.sleep(1)
        if push is None:
            take(b"")
        else:
            push(b"")
        return True


class AlwaysIncomplete:
    """Makes a batch of a read if there are whole events in it, and has always the beginning of one more."""

    ended = behind = False
    incomplete = True

    def __init__(self, batches: list[bool]) -> None:
        self._batches = batches

    def begin(self, data: object) -> list[WatchBatch]:
        del data
        return [WatchBatch((), MARK)] if self._batches.pop() else []


@pytest.mark.looptime
@pytest.mark.parametrize("delivered", [False, True])
async def test_a_long_list_whose_pieces_all_end_in_the_middle_of_an_event_is_read_to_its_end(delivered: bool) -> None:
    # Each of these events ends soon. Whether any read ends with an event is a matter of the speed of both sides.
    made = [True] * 3 * int(EVENT_WITHIN)
    stream = WatchStream(BusyBody(), AlwaysIncomplete([False] * 99 + made), silence=60)  # type: ignore[arg-type]
    taken: list[str] = []
    began = asyncio.get_running_loop().time()
    with pytest.raises(ProtocolError, match="has not ended"):
        if delivered:
            await stream.deliver(lambda batch, _: taken.append(batch.resource_version))
        while True:
            taken.append((await anext(stream)).resource_version)
    assert len(taken) == 3 * EVENT_WITHIN
    assert asyncio.get_running_loop().time() - began == pytest.approx(4 * EVENT_WITHIN, abs=2)


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
