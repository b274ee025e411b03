"""`kinformer get --contexts a,b`: print the objects of several clusters; one that fails is reported alone."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinformer.cli._client_imports import Client
from kinformer.cli._connect import impersonating
from kinformer.cli._escapes import escaped
from kinformer.cli._found import Found, in_order_of, read_targets, report_failures
from kinformer.cli._printers import Change
from kinformer.cli._query import Form, printer_of
from kinformer.cli._session import EXIT_FAILURE, UsageProblem, print_error, write
from kinformer.config import ClusterConfig
from kinformer.errors import ConfigError, KinformerError
from kinformer.status import class_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from kinformer.cli._connect import ServerChoice
    from kinformer.cli._query import Query
    from kinformer.objects import KubeObject

__all__ = ["get_from_contexts"]

_AT_ONCE: Final = 16
"""Clusters that are read at the same time."""

_PATIENCE: Final = 3.0
"""Seconds after which the clusters that have not answered yet are named."""

_FORMS: Final = (Form.TABLE, Form.WIDE, Form.YAML, Form.JSON_LINES)
"""The forms that have a place for the context."""


@dataclass(slots=True)
class _Answer:
    """The objects of one context, or the reason why there are none."""

    context: str
    found: list[Found] = field(default_factory=list)
    error: Exception | None = None


async def get_from_contexts(query: Query, server: ServerChoice, contexts: str) -> int:
    """Print the objects of all contexts; return the exit code: 1 if a context failed, or an object does not exist.

    Args:
        query: the objects, and the form.
        server: the kubeconfig, and the user to impersonate.
        contexts: names, and patterns such as `prod-*`, separated by commas.

    Raises:
        UsageProblem: the form has no place for the context, there is no context of a name or pattern, or another option
            names a server.
        ConfigError: there is no kubeconfig, or it cannot be read.
    """
    others = {"--context": server.context, "--server": server.server, "--demo": server.demo}
    if given := [option for option, value in others.items() if value]:
        raise UsageProblem(f"{given[0]} names one server and --contexts several; give one of them")
    if query.form not in _FORMS:
        forms = ", ".join(_FORMS)
        raise UsageProblem(f"-o {query.form} has no place for the context; with --contexts, the forms are {forms}")
    configs = await ClusterConfig.load_contexts(server.kubeconfig)
    names = [*dict.fromkeys(_chosen(contexts, configs))]
    limit = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(_ask(query, server, name, configs[name], limit)) for name in names}
        await asyncio.wait(tasks.values(), timeout=_PATIENCE)
        if silent := [name for name, task in tasks.items() if not task.done()]:
            print_error(f"no answer yet: {', '.join(silent)}")
    answers = [task.result() for task in tasks.values()]
    failed = False
    for answer in answers:
        if answer.error is not None:
            print_error(f"context {answer.context}: {str(answer.error) or class_of(answer.error)}")
            failed = True
        failed |= report_failures(answer.found, f"context {answer.context}: ")
    if query.form.is_table:
        _print_tables(query, answers)
    else:
        _print_objects(query, answers)
    if not failed and not any(found.objects for answer in answers for found in answer.found):
        asked = " or ".join(target.resource for target in query.targets)
        hint = "" if query.selection.all_namespaces else "; -A looks in all namespaces"
        print_error(f"no {asked} found in the contexts {', '.join(names)}{hint}")
    return EXIT_FAILURE if failed else 0


def _chosen(contexts: str, known: Collection[str]) -> Iterator[str]:
    """Yield the contexts of names and patterns, in the order in which they are named."""
    for word in contexts.split(","):
        # The name itself comes first, because a name may have the characters of a pattern.
        found = [word] if word in known else fnmatch.filter(known, word)
        if not found:
            raise UsageProblem(
                f"--contexts: there is no context {word!r}; the contexts are {', '.join(known) or 'none'}"
            )
        yield from found


async def _ask(
    query: Query, server: ServerChoice, context: str, config: ClusterConfig | ConfigError, limit: asyncio.Semaphore
) -> _Answer:
    try:
        if isinstance(config, ConfigError):
            raise config
        async with limit, Client(impersonating(config, server)) as client:
            return _Answer(context, await read_targets(client, query))
    except (KinformerError, OSError) as error:
        return _Answer(context, error=error)


def _print_tables(query: Query, answers: Sequence[_Answer]) -> None:
    """Print a table for each resource, with an empty line between two.

    Clusters whose servers have different columns, as different versions may, are in tables of their own.
    """
    tables: dict[Any, list[tuple[str, Found]]] = {}
    for place in range(len(query.targets)):
        for answer in answers:
            for found in answer.found[place : place + 1]:
                if found.objects:
                    columns = tuple((column.name, column.priority) for column in found.columns)
                    tables.setdefault((place, columns), []).append((answer.context, found))
    for number, members in enumerate(tables.values()):
        if number and query.headed:
            write("\n")
        contexts = {id(obj): context for context, found in members for obj in found.objects}
        first = members[0][1]
        printer = printer_of(
            query,
            first.resource,
            first.source,
            marked=False,
            with_kind=len(query.targets) > 1,
            context_of=_lookup(contexts),
        )
        write(printer.lines([Change("", obj) for obj in in_order_of(query, [found for _, found in members])]))


def _lookup(contexts: Mapping[int, str]) -> Callable[[KubeObject], str]:
    return lambda obj: contexts[id(obj)]


def _print_objects(query: Query, answers: Sequence[_Answer]) -> None:
    """Print each object with its context: in a comment of its YAML document, or beside it in a JSON object."""
    contexts = {id(obj): answer.context for answer in answers for found in answer.found for obj in found.objects}
    every = [found for answer in answers for found in answer.found]
    for obj in in_order_of(query, every):
        write(_with_context(query, every[0], obj, contexts[id(obj)]))


def _with_context(query: Query, found: Found, obj: KubeObject, context: str) -> str:
    text = printer_of(query, found.resource, found.source, marked=False).lines([Change("", obj)])
    named = escaped(json.dumps(context, ensure_ascii=False))
    if query.form is Form.YAML:
        return text.replace("---\n", f"---\n# context: {named}\n", 1)
    return f'{{"context":{named},"object":{text.rstrip()}}}\n'
