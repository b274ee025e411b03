"""Reads that see this program's own writes: what an informer makes of the writes that its client tells of.

    client.patch ──answer──▶ WriteFeed ──▶ OwnWrites ──▶ Floors          what the cache must come to
                                               └───────▶ Reflector.observe   the answer, ahead of the watch

The answer to a write is the object as it is now, so it goes into the cache at once, as `SharedInformer.observe` does
it. What cannot go that way (a deletion, an informer with field selectors, another API version) is waited for. See
docs/design/0007-read-your-own-writes.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer._own_writes.feed import TellsOfWrites
from kinformer._own_writes.pending import Floor, Outcome
from kinformer.objects import KubeObject, ObjectKey, version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kinformer._own_writes.feed import Write
    from kinformer._own_writes.pending import Floors
    from kinformer.listwatch import ListerWatcher

__all__ = ["OwnWrites"]


class OwnWrites:
    """Raises the floors of one informer, and lets others wait for them.

    Args:
        source: where the informer's objects come from, and perhaps news of writes.
        floors: the cache's.
        observe: takes an answer into the cache, if it is news.
    """

    def __init__(self, source: ListerWatcher, floors: Floors, observe: Callable[[KubeObject], bool]) -> None:
        self._source = source
        self._floors = floors
        self._observe = observe
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """Listen to the source's client, if it tells of writes."""
        if isinstance(self._source, TellsOfWrites):
            self._end = self._source.on_write(self.wrote)

    def close(self) -> None:
        """Listen no more; who waits is told that nothing will come."""
        if self._end is not None:
            self._end()
            self._end = None
        self._floors.close()

    def wrote(self, write: Write) -> None:
        """A write of this program was accepted, of whatever resource."""
        resource = self._source.resource
        if (write.resource.group, write.resource.plural) != (resource.group, resource.plural):
            return
        covered = None if write.obj is None else self._source.covers(write.obj)
        floor = self._floors.raised_by(write, covered=covered)
        if floor is not None and covered and not write.gone and write.obj is not None and write.resource == resource:
            self._observe(self._source.as_listed(write.obj))

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None, timeout: float | None
    ) -> Outcome:
        """Wait for what `SharedInformer.caught_up` says; `GIVEN_UP` if it took too long.

        Raises:
            DecodeError: this is no object.
            ValueError: this is no version.
        """
        if what is None or isinstance(what, ObjectKey):
            return await _all_over(self._floors.all() if what is None else self._floors.of(what), timeout)
        floor = self._floor_of(what)
        if floor is None or self._floors.add(floor, tell=False) is None:
            return Outcome.REACHED
        try:
            return await _all_over([floor], timeout)
        finally:
            self._floors.give_up(floor)

    def _floor_of(self, what: KubeObject | Mapping[str, Any] | str | int) -> Floor | None:
        match what:
            case str() | int():
                version = int(what) if str(what).isdecimal() else 0
                if version < 1:
                    msg = f"{what!r} is no resource version: expected a number, such as an object's resource_version"
                    raise ValueError(msg)
                # Under no key: only everything up to that version will do.
                return Floor(ObjectKey("", ""), "", version)
            case _:
                obj = what if isinstance(what, KubeObject) else KubeObject.from_dict(what, self._source.resource)
                version = version_number(obj.resource_version)
                if version < 1:
                    msg = f"{obj.key} has no resourceVersion: take the object as the server answered with it"
                    raise ValueError(msg)
                # One that is outside of what the cache covers is not there already, or about to leave it.
                outside = self._source.covers(obj) is False
                return Floor(obj.key, obj.uid, version, gone=outside)


async def _all_over(floors: list[Floor], timeout: float | None) -> Outcome:
    """Wait until all of them have ended."""
    over = asyncio.Event()
    left = len(floors)

    def count(_: Floor) -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    for floor in floors:
        floor.then(count)
    try:
        async with asyncio.timeout(timeout if floors else None):
            while left:
                await over.wait()
    except TimeoutError:
        return Outcome.GIVEN_UP
    outcomes = {floor.outcome for floor in floors}
    return Outcome.STOPPED if Outcome.STOPPED in outcomes else Outcome.REACHED
