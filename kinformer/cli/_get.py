"""`kinformer get`: the objects of a resource, once. It needs no informer, so it starts without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kinformer.cli._connect import connected
from kinformer.cli._question import Form, hint_at_secrets, print_all, printer_of, say_nothing_found, source_of
from kinformer.cli._session import EXIT_FAILURE, complain

if TYPE_CHECKING:
    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._question import Question
    from kinformer.errors import ObjectError
    from kinformer.objects import KubeObject

__all__ = ["get"]

_PAGE: Final = 500
"""Objects per request."""


async def get(question: Question, server: ServerChoice) -> int:
    """Print the objects; returns the exit code."""
    async with connected(server) as client:
        resource, namespace = await question.selection.resolved(client, question.resource)
        source = source_of(client, question, resource, namespace)
        objects: list[KubeObject] = []
        failures: list[ObjectError] = []
        async for page in source.list(limit=_PAGE):
            objects += page.items
            failures += page.failures
        if question.name and not objects and not failures:
            # The server's own message says best what does not exist.
            objects = [await client.get(resource, question.name, namespace=namespace)]
        for failure in failures:
            complain(f"left out: {failure}")
        if not (objects or failures) and question.form is not Form.JSONPATH:
            say_nothing_found(resource, namespace)
            return 0
        printer = printer_of(question, resource, source, marked=False)
        print_all(printer, objects)
        hint_at_secrets(question, resource, objects)
        return EXIT_FAILURE if failures else 0
