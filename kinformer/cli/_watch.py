"""`kinformer watch`: print the objects of a resource, then each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._printers import Change
from kinformer.cli._query import hint_at_secrets, print_all, printer_of, say_nothing_found, source_of
from kinformer.cli._session import UsageProblem, ending_with_reader, print_error, write
from kinformer.errors import ApiError, ConfigError, ObjectError, StoppedError, TransportError
from kinformer.events import Added, Deleted, Updated
from kinformer.informer import SharedInformer
from kinformer.status import InformerState

if TYPE_CHECKING:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query
    from kinformer.cli._targets import Target
    from kinformer.client import HttpListerWatcher
    from kinformer.errors import KinformerError
    from kinformer.events import Event
    from kinformer.resources import Resource

__all__ = ["watch"]

_BATCH: Final = 500
"""The largest number of changes in one write."""


async def watch(query: Query, server: ServerChoice) -> int:
    """Print the objects, then each change, until cancelled or until standard output is closed."""
    target = _only_one(query)
    async with connected(server) as client:
        resource, namespace = await query.selection.resolved(client, target.resource, watched=True)
        source = source_of(client, query, resource, namespace, *target.names)
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


def _only_one(query: Query) -> Target:
    """Return the target of a watch.

    Raises:
        UsageProblem: there are several, or the query sorts.
    """
    if len(query.targets) > 1:
        raise UsageProblem("a watch prints one resource; start one watch for each")
    (target,) = query.targets
    if len(target.names) > 1:
        raise UsageProblem("a watch prints one object or all; select several with -l or --field-selector")
    if query.sort_by:
        raise UsageProblem("--sort-by has no meaning in a watch, which prints changes as they come; leave it out")
    return target


async def _print_changes(
    informer: SharedInformer, query: Query, source: HttpListerWatcher, namespace: str | None, outage: _Outage
) -> None:
    printer = printer_of(query, informer.resource, source, marked=True)
    # The events that wait now are the content of the cache; later ones are changes.
    events = informer.events()
    there = [(await anext(events)).obj for _ in range(events.waiting)]
    if not there and query.form.is_table:
        say_nothing_found([informer.resource], namespace)
    print_all(printer, sorted(there, key=lambda obj: obj.key))
    hint_at_secrets(query, there)
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
