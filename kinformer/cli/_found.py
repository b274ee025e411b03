"""The objects that `kinformer get` reads from one cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.cli._client_imports import TableListerWatcher
from kinformer.cli._query import source_of
from kinformer.cli._session import print_error
from kinformer.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cli._query import Query, Target
    from kinformer.client import Client, HttpListerWatcher, TableColumn
    from kinformer.errors import KinformerError
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["Found", "in_order_of", "read_targets", "report_failures"]

_PAGE: Final = 500
"""Objects per request."""


@dataclass(slots=True)
class Found:
    """The objects of one target.

    Attributes:
        resource: their resource.
        namespace: the namespace that was read; `None` means all, or that the resource has no namespaces.
        source: the source that read them last; it knows the columns.
        objects: the objects.
        failures: objects that could not be decoded, and names that do not exist.
    """

    resource: Resource
    namespace: str | None
    source: HttpListerWatcher
    objects: list[KubeObject] = field(default_factory=list)
    failures: list[KinformerError] = field(default_factory=list)

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """The server's columns of a table; none for other forms."""
        return tuple(self.source.columns) if isinstance(self.source, TableListerWatcher) else ()

    async def read(self, client: Client, name: str = "") -> None:
        """Read the objects of the source; with a name, report that the object is absent in the server's own words."""
        before = len(self.objects) + len(self.failures)
        async for page in self.source.list(limit=_PAGE):
            self.objects += page.items
            self.failures += page.failures
        if name and len(self.objects) + len(self.failures) == before:
            try:
                self.objects.append(await client.get(self.resource, name, namespace=self.namespace))
            except NotFoundError as error:
                self.failures.append(error)


async def read_targets(client: Client, query: Query) -> list[Found]:
    """Return the objects of all targets, in the order of the targets."""
    return [await _read(client, query, target) for target in query.targets]


async def _read(client: Client, query: Query, target: Target) -> Found:
    resource, namespace = await query.selection.resolved(client, target.resource)
    found = Found(resource, namespace, source_of(client, query, resource, namespace))
    if not target.names:
        await found.read(client)
    for name in target.names:
        found.source = source_of(client, query, resource, namespace, name)
        await found.read(client, name)
    return found


def report_failures(found: Sequence[Found], where: str = "") -> bool:
    """Report the failures on standard error, each after the text `where`; return whether there are any."""
    failures = [failure for one in found for failure in one.failures]
    for failure in failures:
        print_error(where + (str(failure) if isinstance(failure, NotFoundError) else f"left out: {failure}"))
    return bool(failures)


def in_order_of(query: Query, found: Sequence[Found]) -> list[KubeObject]:
    """Return the objects of all targets in the order to print: sorted, or by target, namespace and name."""
    if query.sort_by:
        from kinformer.cli._sorting import in_order

        return in_order([obj for one in found for obj in one.objects], query.sort_by)
    return [obj for one in found for obj in sorted(one.objects, key=lambda obj: obj.key)]
