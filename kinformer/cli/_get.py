"""`kinformer get`: print the objects of resources once. No informer is needed, so none is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._query import Form, hint_at_secrets, print_all, printer_of, say_nothing_found, source_of
from kinformer.cli._session import EXIT_FAILURE, print_error

if TYPE_CHECKING:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query
    from kinformer.errors import ObjectError
    from kinformer.objects import KubeObject

__all__ = ["get"]

_PAGE: Final = 500
"""Objects per request."""


async def get(query: Query, server: ServerChoice) -> int:
    """Print the objects; returns the exit code."""
    async with connected(server) as client:
        resource, namespace = await query.selection.resolved(client, query.resource)
        source = source_of(client, query, resource, namespace)
        objects: list[KubeObject] = []
        failures: list[ObjectError] = []
        async for page in source.list(limit=_PAGE):
            objects += page.items
            failures += page.failures
        if query.name and not objects and not failures:
            # The server's own message names the missing object.
            objects = [await client.get(resource, query.name, namespace=namespace)]
        for failure in failures:
            print_error(f"left out: {failure}")
        if not (objects or failures) and query.form is not Form.JSONPATH:
            say_nothing_found(resource, namespace)
            if query.form is not Form.JSON:
                return 0
        printer = printer_of(query, resource, source, marked=False)
        print_all(printer, objects)
        hint_at_secrets(query, resource, objects)
        return EXIT_FAILURE if failures else 0
