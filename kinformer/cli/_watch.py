"""`kinformer watch`: print the objects of a resource, then each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._printers import Change
from kinformer.cli._query import hint_at_secrets, print_all, printer_of, say_nothing_found, source_of
from kinformer.cli._session import ending_with_reader, print_error, write
from kinformer.errors import ApiError, ConfigError, ObjectError, StoppedError, TransportError
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.status import InformerState

if TYPE_CHECKING:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query
    from kinformer.client import HttpListerWatcher
    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.resources import Resource

__all__ = ["watch"]

_BATCH: Final = 500
"""The largest number of changes in one write."""


async def watch(query: Query, server: ServerChoice) -> int:
    """Print the objects, then each change, until cancelled or until standard output is closed."""
    async with connected(server) as client:
        resource, namespace = await query.selection.resolved(client, query.resource, watched=True)
        source = source_of(client, query, resource, namespace)
        outage = _Outage(resource)
        informer = SharedInformer(source, namespace=namespace or "", on_error=outage.failed)
        async with informer:
            with ending_with_reader(informer.request_stop):
                try:
                    await informer.synced()
                except StoppedError:
                    if outage.fatal is not None:
                        raise outage.fatal from None
                    return 0
                await _print_changes(informer, query, source, namespace, outage)
    return 0


async def _print_changes(
    informer: SharedInformer, query: Query, source: HttpListerWatcher, namespace: str | None, outage: _Outage
) -> None:
    printer = printer_of(query, informer.resource, source, marked=True)
    # The events that wait now are the content of the cache; later ones are changes.
    events = informer.events()
    there = [(await anext(events)).obj for _ in range(events.waiting)]
    if not there and query.form.is_table:
        say_nothing_found(informer.resource, namespace)
    print_all(printer, there)
    hint_at_secrets(query, informer.resource, there)
    async for event in events:
        batch = [event]
        while events.waiting and len(batch) < _BATCH:
            batch.append(await anext(events))
        outage.look(informer)
        write(printer.lines([_change(event) for event in batch]))


class _Outage:
    """Reports each series of failures once. Before the first sync, a refusal ends the command."""

    def __init__(self, resource: Resource) -> None:
        self.fatal: KinformerError | None = None
        self._resource = resource
        self._going_on = False

    def failed(self, error: KinformerError, informer: SharedInformer) -> None:
        if isinstance(error, ObjectError):
            print_error(f"left out: {error}")
        elif not informer.has_synced and isinstance(error, ApiError | TransportError | ConfigError):
            self.fatal = error
            informer.request_stop()
        elif not self._going_on:
            self._going_on = True
            print_error(f"{error}; trying again")

    def look(self, informer: SharedInformer) -> None:
        if self._going_on and informer.status.state is InformerState.WATCHING:
            self._going_on = False
            print_error(f"watching {self._resource.qualified} again")


def _change(event: Event) -> Change:
    match event:
        case Added(obj):
            return Change("ADDED", obj)
        case Deleted(obj):
            return Change("DELETED", obj)
        case Updated(old, new):
            return Change("MODIFIED", new, old)
