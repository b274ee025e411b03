"""`kinformer init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer init my-operator
kinformer init shops --group shop.example.com --kind Shop
"""


@click.command(
    "init",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["folder"], metavar="NAME", type=FILE),
        click.Option(
            ["--group"],
            metavar="DOMAIN",
            default="example.com",
            show_default=True,
            help="The API group of the resource.",
        ),
        click.Option(
            ["--kind"], metavar="KIND", default="Website", show_default=True, help="The kind of the resource."
        ),
        VERBOSE,
    ],
)
def command(folder: Path, group: str, kind: str, verbose: bool) -> int:
    """Make the project of a new operator: a class, a controller, tests, manifests, and a file for CI.

    Its tests pass at once. The folder must be new or empty.
    """
    from kinformer.cli._session import run_command

    folder = folder.resolve()

    async def work() -> int:
        from kinformer.cli._init import init

        return await init(folder, group=group, kind=kind)

    return run_command(work, verbose=verbose)
