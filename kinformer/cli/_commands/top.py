"""`kinformer top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import PICTURE, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer top 127.0.0.1:8765                 a program with a StatusServer
kinformer top https://app.example.com/internal/informers
kinformer top 127.0.0.1:8000 --once          as lines of text
"""


@click.command(
    "top",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["url"], metavar="URL"),
        click.Option(
            ["--every"],
            metavar="SECONDS",
            type=click.FloatRange(min=0.1),
            default=2.0,
            show_default=True,
            help="Seconds between two updates.",
        ),
        click.Option(["--once"], is_flag=True, help="Print the status once, as lines of text."),
        PICTURE,
        VERBOSE,
    ],
)
def command(url: str, every: float, once: bool, picture: Path | None, verbose: bool) -> int:
    """Show the health of a running program's informers, live.

    URL is the address of the program's status: a URL, or host:port. The program serves its status with
    kinformer.integrations.status_endpoint: in its web application, or with a StatusServer.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._top import top

        return await top(url, every=every, once=once, picture=picture)

    return run_command(work, verbose=verbose)
