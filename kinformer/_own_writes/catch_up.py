"""Keeps the cache of an informer up with the writes that its client announces.

    client.patch ──answer──▶ WriteFeed ──▶ OwnWrites ──▶ PendingWrites     the writes that the cache does not show yet
                                               └───────▶ Reflector.observe the answer, ahead of the watch

The answer to a write is the object as it is now. So it goes into the cache at once, as with `SharedInformer.observe`:
in the call that wrote, if the task of the cache waits, else behind the changes that are queued.
Other writes come by the watch and are waited for: a deletion, a write in another API version, and any write where the
informer has field selectors. See docs/design/0007-read-your-own-writes.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from kinformer._flag import Flag
from kinformer._own_writes.feed import announcer_of
from kinformer._own_writes.pending import Outcome, PendingWrite
from kinformer.objects import KubeObject, ObjectKey, version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kinformer._own_writes.feed import Write
    from kinformer._own_writes.pending import PendingWrites
    from kinformer.resources import Resource

__all__ = ["OwnWrites"]


class CoversObjects(Protocol):
    """The part of a source that decides about written objects; see `ListerWatcher`."""

    @property
    def resource(self) -> Resource:
        """The resource of the objects."""
        ...

    def covers(self, obj: KubeObject) -> bool | None:
        """Return whether lists and watches would have this object; `None` if only the server knows."""
        ...

    def as_listed(self, obj: KubeObject) -> KubeObject:
        """A whole object, as lists and watches would bring it."""
        ...


class OwnWrites:
    """Takes the announced writes into one informer, and waits for them.

    Args:
        source: where the informer's objects come from; it may announce writes.
        pending: the pending writes of the cache.
        observe: takes an answer into the cache if it is newer than the cached object.
    """

    def __init__(self, source: CoversObjects, pending: PendingWrites, observe: Callable[[KubeObject], bool]) -> None:
        self._source = source
        self._pending = pending
        self._observe = observe
        self._stop_listening: Callable[[], None] | None = None

    def begin(self) -> None:
        """Listen to the client of the source, if it announces writes."""
        announce = announcer_of(self._source)
        if announce is not None:
            self._stop_listening = announce(self.wrote)

    def close(self) -> None:
        """Stop listening; every wait ends with `STOPPED`."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self._pending.close()

    def wrote(self, write: Write) -> None:
        """Take note of an accepted write of this program, of any resource."""
        resource = self._source.resource
        if (write.resource.group, write.resource.plural) != (resource.group, resource.plural):
            return
        covered = None if write.obj is None else self._source.covers(write.obj)
        pending = self._pending.expect(write, covered=covered)
        if pending is not None and covered and not write.gone and write.obj is not None and write.resource == resource:
            self._observe(self._source.as_listed(write.obj))

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None, timeout: float | None
    ) -> Outcome:
        """Wait for the writes that `SharedInformer.caught_up` describes; return `GIVEN_UP` after `timeout` seconds.

        Raises:
            DecodeError: `what` is a mapping, but no object.
            ValueError: `what` is no version, or an object without one.
        """
        if what is None or isinstance(what, ObjectKey):
            return await _all_ended(self._pending.all() if what is None else self._pending.of(what), timeout)
        write = self._write_of(what)
        if self._pending.add(write, announce=False) is None:
            return Outcome.REACHED
        try:
            return await _all_ended([write], timeout)
        finally:
            self._pending.give_up(write)

    def _write_of(self, what: KubeObject | Mapping[str, Any] | str | int) -> PendingWrite:
        match what:
            case str() | int():
                version = int(what) if str(what).isdecimal() else 0
                if version < 1:
                    msg = f"{what!r} is no resource version: expected a number, such as an object's resource_version"
                    raise ValueError(msg)
                # No object has the empty key, so only progress up to this version ends the write.
                return PendingWrite(ObjectKey("", ""), "", version)
            case _:
                obj = what if isinstance(what, KubeObject) else KubeObject.from_dict(what, self._source.resource)
                version = version_number(obj.resource_version)
                if version < 1 and obj.resource_version:
                    msg = (
                        f"the resourceVersion of {obj.key} is no number: {obj.resource_version[:40]!r}. Writes to this "
                        "API server cannot be waited for, because its versions cannot be compared (KEP-5504)"
                    )
                    raise ValueError(msg)
                if version < 1:
                    msg = f"{obj.key} has no resourceVersion: take the object as the server answered with it"
                    raise ValueError(msg)
                # The cache does not have, or is about to drop, an object that lies outside of its part.
                outside = self._source.covers(obj) is False
                return PendingWrite(obj.key, obj.uid, version, gone=outside)


class _Ends:
    """Listener that counts the ends of pending writes."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.all = Flag()

    def began(self, write: PendingWrite, obj: KubeObject | None) -> None:
        """Do nothing: it listens to writes that are pending already."""

    def ended(self, write: PendingWrite) -> None:
        del write
        self.left -= 1
        if not self.left:
            self.all.set()


async def _all_ended(writes: list[PendingWrite], timeout: float | None) -> Outcome:
    """Wait until all of the writes have ended."""
    ends = _Ends(len(writes))
    for write in writes:
        write.listen(ends)
    try:
        async with asyncio.timeout(timeout if writes else None):
            while ends.left:
                await ends.all.wait()
    except TimeoutError:
        return Outcome.GIVEN_UP
    outcomes = {write.outcome for write in writes}
    return Outcome.STOPPED if Outcome.STOPPED in outcomes else Outcome.REACHED
