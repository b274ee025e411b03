"""`kinformer watch`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FORM, SELECTION, SERVER, VERBOSE, WORDS, given_server
from kinformer.cli._commands.querying import given_query

__all__ = ["command"]

_EXAMPLES = """
kinformer watch pods -A                      every pod, and each change
kinformer watch pod/web-0 --diff             the changes of each update
kinformer watch deploy -l app=web -o wide
kinformer watch events -o jsonpath='{.type} {.reason}: {.message}'
kinformer watch cm -o json | jq .object.data
"""


@click.command(
    "watch",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        WORDS,
        *SELECTION,
        *FORM,
        click.Option(["--diff"], is_flag=True, help="Show below each update its changes, field by field."),
        *SERVER,
        VERBOSE,
    ],
)
def command(verbose: bool, **options: Any) -> int:
    """Print the objects of a resource, then each change, until Ctrl-C.

    Objects that existed before the start are marked with "-", changes with ADDED, MODIFIED or DELETED. In a terminal,
    changed cells are highlighted. After a broken connection, the watch resumes where it was.
    """
    # Here, and not in `work`: the collector is off until `run_command`, and the client is 300 modules.
    from kinformer.cli._session import run_command
    from kinformer.cli._watch import watch

    async def work() -> int:
        return await watch(given_query(options), given_server(options))

    return run_command(work, verbose=verbose)
