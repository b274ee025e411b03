"""A cache as a live table: its rows in batches, then their changes, several times a second at most."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from kinformer._survivable import is_survivable
from kinformer._time_slice import TimeSlice
from kinformer.errors import StoppedError
from kinformer.events import Deleted
from kinformer.integrations._web.sse import ALIVE, HEARTBEAT_SECONDS, RETRY, SYNCED, frame
from kinformer.status import class_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from kinformer._display.columns import Column
    from kinformer.informer import SharedInformer
    from kinformer.integrations._web.open_streams import Ending
    from kinformer.objects import KubeObject, ObjectKey

__all__ = ["RowCache", "row_source"]

SETTLE: Final = 0.1
"""Seconds in which changes gather before they are sent."""

_BATCH: Final = 250


class RowCache:
    """Rows as they were computed last, so that a table of 20,000 opens at once the next time."""

    def __init__(self, informer: SharedInformer, columns: Sequence[Column]) -> None:
        self.columns = [column for column in columns if column.title != "NAME"]
        self.informer = informer
        self._rows: dict[ObjectKey, tuple[str, msgspec.Raw]] = {}

    def row(self, obj: KubeObject, now: datetime) -> msgspec.Raw:
        """`[namespace, name, created, labels, cells]`."""
        key, version = obj.key, obj.resource_version
        known = self._rows.get(key)
        if known is not None and known[0] == version:
            return known[1]
        cells = [_text(column, obj, now) for column in self.columns]
        labels = " ".join(f"{name}={value}" for name, value in obj.labels.items())
        row = msgspec.Raw(msgspec.json.encode([key.namespace, key.name, _created(obj), labels, cells]))
        self._rows[key] = (version, row)
        return row

    def forget(self, key: ObjectKey) -> None:
        """Forget a deleted object."""
        self._rows.pop(key, None)

    def keep_only(self, keys: Iterable[ObjectKey]) -> None:
        """Forget objects that were deleted while no table was open."""
        for gone in self._rows.keys() - set(keys):
            del self._rows[gone]


async def row_source(cache: RowCache, ending: Ending) -> AsyncGenerator[bytes, None]:
    """Server-sent events: `columns`, `reset`, `rows` …, `synced`, and then `rows` and `gone` as it happens."""
    informer = cache.informer
    yield RETRY
    titles = [column.title for column in cache.columns]
    resource = informer.resource
    about = {"columns": titles, "kind": resource.kind, "plural": resource.plural, "namespaced": resource.namespaced}
    yield frame("columns", about)
    try:
        while not await ending.or_synced(informer, HEARTBEAT_SECONDS):
            yield ALIVE
        if ending.due:
            return
        stream = informer.events(delivery="latest", initial=False)
    except StoppedError:
        return
    async with stream:
        there = informer.snapshot()
        cache.keep_only(there)
        yield frame("reset", {"count": len(there)})
        async for piece in _rows(cache, there.values(), ending):
            yield piece
        del there
        yield SYNCED
        while not ending.due:
            try:
                async with ending.or_after(HEARTBEAT_SECONDS):
                    first = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                yield ALIVE
                continue
            await asyncio.sleep(SETTLE)
            # Of an object that was deleted and created again, the last event holds.
            latest = {event.key: event for event in [first, *stream.take_waiting()]}
            gone = [key for key, event in latest.items() if isinstance(event, Deleted)]
            for key in gone:
                cache.forget(key)
            if gone:
                yield frame("gone", [[key.namespace, key.name] for key in gone])
            changed = [event.obj for event in latest.values() if not isinstance(event, Deleted)]
            async for piece in _rows(cache, changed, ending):
                yield piece


async def _rows(cache: RowCache, objects: Iterable[KubeObject], ending: Ending) -> AsyncGenerator[bytes, None]:
    """The objects' rows, in batches and in slices."""
    time_slice = TimeSlice()
    now = datetime.now(UTC)
    await time_slice.begin()
    rows: list[msgspec.Raw] = []
    for obj in objects:
        rows.append(cache.row(obj, now))
        if len(rows) >= _BATCH:
            yield frame("rows", rows)
            rows = []
        if time_slice.over:
            if ending.due:
                return
            await time_slice.begin()
    if rows:
        yield frame("rows", rows)


def _text(column: Column, obj: KubeObject, now: datetime) -> str:
    if column.title == "AGE":
        return ""
    try:
        return column.cell(obj, now)
    except BaseException as error:  # an object that breaks a column is shown without it
        if not is_survivable(error):
            raise
        return f"<{class_of(error)}>"


def _created(obj: KubeObject) -> int:
    """Seconds since the epoch, 0 when it is not known."""
    stamp = obj.at("metadata.creationTimestamp")
    try:
        return int(datetime.fromisoformat(stamp).timestamp()) if isinstance(stamp, str) else 0
    except ValueError:
        return 0
