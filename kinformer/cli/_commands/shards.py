"""`kinformer shards`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import NAMESPACES, SERVER, VERBOSE, given_server

__all__ = ["command"]

_EXAMPLES = """
kinformer shards sites -n ops
kinformer shards sites -n ops || echo "a slice has no owner"
"""


@click.command(
    "shards",
    cls=Command,
    examples=_EXAMPLES,
    params=[click.Argument(["name"], metavar="NAME"), NAMESPACES[0], *SERVER, VERBOSE],
)
def command(name: str, namespace: str, verbose: bool, **options: Any) -> int:
    """Print a shard group: its members, the slices of each, and the slices that have no owner.

    GETS are slices that a member is about to get. Moves that no member has decided on yet are not shown.

    The exit code is 1 if a slice has no living owner. It needs the right to list leases.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._shards import print_group

        return await print_group(name, namespace, given_server(options))

    return run_command(work, verbose=verbose)
