"""`kinformer run`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import SERVER, VERBOSE, given_server

__all__ = ["command"]

_EXAMPLES = """
kinformer run myoperator:manager
kinformer run myoperator --demo              against a simulated cluster
"""


@click.command(
    "run",
    cls=Command,
    examples=_EXAMPLES,
    params=[click.Argument(["target"], metavar="MODULE[:FUNCTION]"), *SERVER, VERBOSE],
)
def command(target: str, verbose: bool, **options: Any) -> int:
    """Run an operator: the Manager that a function makes, until SIGTERM or Ctrl-C.

    The function takes an open Client and returns a Manager; without a name it is `manager`. With --demo the client is
    of an embedded, simulated cluster. A second signal ends the process at once.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._run import run_manager

        return await run_manager(target, given_server(options))

    return run_command(work, verbose=verbose)
