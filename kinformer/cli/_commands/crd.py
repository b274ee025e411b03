"""`kinformer crd`."""

from __future__ import annotations

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import VERBOSE

__all__ = ["command"]

_EXAMPLES = """
kinformer crd myapp.api:Website
kinformer crd myapp.api | kubectl apply --server-side -f -
"""


@click.command(
    "crd",
    cls=Command,
    examples=_EXAMPLES,
    params=[click.Argument(["targets"], metavar="MODULE[:CLASS]...", nargs=-1, required=True), VERBOSE],
)
def command(targets: tuple[str, ...], verbose: bool) -> int:
    """Print the CustomResourceDefinitions of classes with @custom_resource, as YAML.

    A module alone stands for all such classes in it. Several versions of one resource become one definition. No
    cluster is asked.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._crd import print_definitions

        return await print_definitions(targets)

    return run_command(work, verbose=verbose)
