"""`kinformer run`."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import SERVER, VERBOSE, given_server

__all__ = ["command"]

_EXAMPLES = """
kinformer run myoperator:manager
kinformer run myoperator --demo              against a simulated cluster
kinformer run myoperator --install --reload  while you work on it: starts anew after each change
"""


@click.command(
    "run",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["target"], metavar="MODULE[:FUNCTION]"),
        click.Option(["--reload"], is_flag=True, help="Start anew when a Python file below this folder changes."),
        click.Option(["--install"], is_flag=True, help="Install the CRDs of the module's classes first."),
        *SERVER,
        VERBOSE,
    ],
)
def command(target: str, reload: bool, install: bool, verbose: bool, **options: Any) -> int:
    """Run an operator: the Manager that a function makes, until SIGTERM or Ctrl-C.

    The function takes an open Client and returns a Manager; without a name it is `manager`. With --demo the client is
    of an embedded, simulated cluster, with the CRDs of the module's classes. A second signal ends the process at once.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        if reload:
            from kinformer.cli._crd import check_form
            from kinformer.cli._reload import run_with_reload

            # A module may still be written; a name in the form of a file never becomes one.
            check_form(target)
            return await run_with_reload(sys.argv[1:], given_server(options))
        from kinformer.cli._run import run_manager

        return await run_manager(target, given_server(options), install=install)

    return run_command(work, verbose=verbose, log_level=logging.INFO)
