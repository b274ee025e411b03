"""`kinformer get`: print the objects of resources once. No informer is needed, so none is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._query import Form, hint_at_secrets, print_all, printer_of, say_nothing_found, source_of
from kinformer.cli._session import EXIT_FAILURE, print_error, write
from kinformer.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query, Target
    from kinformer.client import Client, HttpListerWatcher
    from kinformer.errors import KinformerError
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["get"]

_PAGE: Final = 500
"""Objects per request."""


@dataclass(slots=True)
class _Found:
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


async def get(query: Query, server: ServerChoice) -> int:
    """Print the objects; returns the exit code."""
    async with connected(server) as client:
        found = [await _read(client, query, target) for target in query.targets]
    failures = [failure for one in found for failure in one.failures]
    for failure in failures:
        print_error(str(failure) if isinstance(failure, NotFoundError) else f"left out: {failure}")
    objects = [obj for one in found for obj in one.objects]
    code = EXIT_FAILURE if failures else 0
    if not objects:
        if failures:
            return code
        if query.form is not Form.JSONPATH and not query.form.is_custom_table:
            say_nothing_found([one.resource for one in found], found[0].namespace)
        if query.form not in {Form.JSON, Form.JSONPATH} and not query.form.is_custom_table:
            return code
    if query.form.is_table:
        _print_tables(query, found)
    else:
        print_all(printer_of(query, found[0].resource, found[0].source, marked=False), _ordered(query, found))
    hint_at_secrets(query, objects)
    return code


async def _read(client: Client, query: Query, target: Target) -> _Found:
    resource, namespace = await query.selection.resolved(client, target.resource)
    found = _Found(resource, namespace, source_of(client, query, resource, namespace))
    if not target.names:
        await found.read(client)
    for name in target.names:
        found.source = source_of(client, query, resource, namespace, name)
        await found.read(client, name)
    return found


def _print_tables(query: Query, found: Sequence[_Found]) -> None:
    """Print a table for each resource that has objects, with an empty line between two if they have titles."""
    several = len(found) > 1
    shown = [one for one in found if one.objects]
    for place, one in enumerate(shown):
        if place and query.headed:
            write("\n")
        printer = printer_of(query, one.resource, one.source, marked=False, with_kind=several)
        print_all(printer, _ordered(query, [one]))


def _ordered(query: Query, found: Sequence[_Found]) -> list[KubeObject]:
    """Return the objects of all targets in the order to print: sorted, or by target, namespace and name."""
    if query.sort_by:
        from kinformer.cli._sorting import in_order

        return in_order([obj for one in found for obj in one.objects], query.sort_by)
    return [obj for one in found for obj in sorted(one.objects, key=lambda obj: obj.key)]
