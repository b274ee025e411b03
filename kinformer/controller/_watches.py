"""The watched informers of a controller: their handlers come and go, also while the controller runs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer._own_writes.gate import WriteGate
    from kinformer.controller._event_mapping import EventMapping, Registration, Source

__all__ = ["Watches"]

K = TypeVar("K", bound=Hashable)


@dataclass(eq=False, slots=True)
class _Watch(Generic[K]):
    mapping: EventMapping[K]
    registration: Registration | None = None
    unlisten: Callable[[], None] | None = None


class Watches(Generic[K]):
    """The mappings of a controller, and their handlers.

    Args:
        name: name of the handlers.
        gate: is connected to the writes of the watched informers.
    """

    def __init__(self, name: str, gate: WriteGate[K]) -> None:
        self._name = name
        self._gate = gate
        self._watches: list[_Watch[K]] = []
        self._begun = False

    def __bool__(self) -> bool:
        return bool(self._watches)

    @property
    def sources(self) -> list[Source]:
        """The watched informers, each once."""
        return [*{id(watch.mapping.source): watch.mapping.source for watch in self._watches}.values()]

    @property
    def idle(self) -> bool:
        """True if no event waits for a handler."""
        return all(getattr(watch.registration, "idle", True) for watch in self._watches)

    def add(self, mapping: EventMapping[K]) -> None:
        """Add a mapping; after `begin`, its handler is registered at once.

        Raises:
            StoppedError: the informer has been stopped.
        """
        watch = _Watch(mapping)
        if self._begun:
            self._register(watch)
        self._watches.append(watch)

    def begin(self) -> None:
        """Register the handlers.

        Raises:
            StoppedError: an informer has been stopped.
        """
        self._begun = True
        for watch in self._watches:
            self._register(watch)

    async def remove(self, source: Source) -> bool:
        """Remove all mappings of an informer, after the events that wait for them; return whether there were any.

        If cancelled, the handlers are removed all the same, but events may not have been mapped.
        """
        removed = [watch for watch in self._watches if watch.mapping.source is source]
        self._watches = [watch for watch in self._watches if watch.mapping.source is not source]
        for watch in removed:
            await self._end(watch, drain=True)
        return bool(removed)

    async def close(self) -> None:
        """Remove all handlers. The events that wait for them are dropped."""
        self._begun = False
        watches, self._watches = self._watches, []
        # Not stopped by a scope of anyio that was cancelled around the body: it would stop every wait in here.
        with anyio.CancelScope(shield=True):
            async with contextlib.AsyncExitStack() as ends:
                for watch in watches:
                    ends.push_async_callback(self._end, watch, drain=False)

    def _register(self, watch: _Watch[K]) -> None:
        mapping = watch.mapping
        watch.registration = mapping.source.add_event_handler(on_event=mapping.on_event, name=self._name)
        watch.unlisten = self._gate.watch(mapping.source, mapping.keys_of)

    async def _end(self, watch: _Watch[K], *, drain: bool) -> None:
        if watch.unlisten is not None:
            watch.unlisten()
        if watch.registration is None:
            return
        remove: Any = watch.registration.remove
        if drain and "drain" in inspect.signature(remove).parameters:
            await remove(drain=True)
        else:
            await remove()
