"""Announces the writes that the API server accepted to the caches of the written resources.

A client announces; an informer listens (see `kinformer._own_writes.catch_up`). Both know this module, and not each
other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.resources import Resource

__all__ = ["TellsOfWrites", "Write", "WriteFeed"]

_log = logging.getLogger(__name__)


class Write(NamedTuple):
    """One write that the server accepted, as far as its answer tells.

    Attributes:
        resource: what was written, in the API version it was written in.
        key: which object.
        uid: that object's UID; "" if the answer did not say.
        version: the resource version the write made; 0 if the answer did not say, as it is for deletions.
        after: a version that the object had before; whoever has not come to it has not seen the object's end.
        gone: the object does not exist any more, or (with `past`) may not.
        past: with `gone`: any state of the object newer than this is as good as its end. `None` if only its end is.
        obj: the object as the server answered with it; `None` if it answered with something else.
    """

    resource: Resource
    key: ObjectKey
    uid: str = ""
    version: int = 0
    after: int = 0
    gone: bool = False
    past: int | None = None
    obj: KubeObject | None = None


@runtime_checkable
class TellsOfWrites(Protocol):
    """What a source of objects may be, too: of a client that says what was written through it."""

    def on_write(self, listener: Callable[[Write], None], /) -> Callable[[], None]:
        """Have a function called with each write that was accepted, from now on; returns what ends that."""
        ...


class WriteFeed:
    """Tells whoever listens of each write, in the task that wrote, before its caller has the answer."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Write], None]] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def listen(self, listener: Callable[[Write], None]) -> Callable[[], None]:
        """Have a function called with each write, from now on; returns what ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def accepted(self, write: Write) -> None:
        """The server accepted a write. What a listener raises is logged: the write is done all the same."""
        for listener in tuple(self._listeners):
            try:
                listener(write)
            except Exception:  # noqa: BLE001 - the caller of the verb must have his answer
                _log.exception("a write of %s %s could not be told of", write.resource.qualified, write.key)
