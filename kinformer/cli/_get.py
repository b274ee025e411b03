"""`kinformer get`: print the objects of resources once. No informer is needed, so none is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer.cli._connect import connected
from kinformer.cli._found import in_order_of, read_targets, report_failures
from kinformer.cli._query import Form, hint_at_secrets, print_all, printer_of, say_nothing_found
from kinformer.cli._session import EXIT_FAILURE, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._found import Found
    from kinformer.cli._query import Query

__all__ = ["get"]


async def get(query: Query, server: ServerChoice) -> int:
    """Print the objects; returns the exit code."""
    async with connected(server) as client:
        found = await read_targets(client, query)
    failed = report_failures(found)
    objects = [obj for one in found for obj in one.objects]
    code = EXIT_FAILURE if failed else 0
    if not objects:
        if failed:
            return code
        if query.form is not Form.JSONPATH and not query.form.is_custom_table:
            say_nothing_found([one.resource for one in found], found[0].namespace)
        if query.form not in {Form.JSON, Form.JSONPATH} and not query.form.is_custom_table:
            return code
    if query.form.is_table:
        _print_tables(query, found)
    else:
        print_all(printer_of(query, found[0].resource, found[0].source, marked=False), in_order_of(query, found))
    hint_at_secrets(query, objects)
    return code


def _print_tables(query: Query, found: Sequence[Found]) -> None:
    """Print a table for each resource that has objects, with an empty line between two if they have titles."""
    several = len(found) > 1
    shown = [one for one in found if one.objects]
    for place, one in enumerate(shown):
        if place and query.headed:
            write("\n")
        printer = printer_of(query, one.resource, one.source, marked=False, with_kind=several)
        print_all(printer, in_order_of(query, [one]))
