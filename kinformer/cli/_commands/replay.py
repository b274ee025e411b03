"""`kinformer replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, PORT, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer replay out.kin --speed 10 --write-kubeconfig /tmp/kc
KUBECONFIG=/tmp/kc kubectl get pods -A -w        in another terminal
kinformer replay out.kin --speed max --hold      the events follow a POST to /kinformer/replay
"""


@click.command(
    "replay",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["file"], metavar="FILE", type=FILE),
        click.Option(
            ["--speed"],
            metavar="N",
            default="1",
            show_default=True,
            help="How many times as fast as recorded; max for no pauses.",
        ),
        click.Option(["--hold"], is_flag=True, help="Begin with the events at a POST to /kinformer/replay."),
        click.Option(
            ["--port"], metavar="N", type=PORT, default=0, show_default=True, help="The port; 0 takes any free one."
        ),
        click.Option(
            ["--host"],
            metavar="HOST",
            default="127.0.0.1",
            show_default=True,
            help="The loopback address to listen on.",
        ),
        click.Option(
            ["--write-kubeconfig"], type=FILE, metavar="FILE", help="The file to write; by default a temporary one."
        ),
        click.Option(
            ["--most-memory"],
            metavar="MIB",
            type=click.IntRange(1),
            default=2048,
            show_default=True,
            help="MiB of objects that may be held.",
        ),
        VERBOSE,
    ],
)
def command(
    file: Path,
    speed: str,
    hold: bool,
    port: int,
    host: str,
    write_kubeconfig: Path | None,
    most_memory: int,
    verbose: bool,
) -> int:
    """Serve the recording FILE: lists, watches and discovery, for any client.

    The first lists are there at once; the events follow at their recorded times. At the end the server stays, with the
    last state. It can only be read.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._replay import replay

        return await replay(
            file,
            speed=speed,
            hold=hold,
            host=host,
            port=port,
            kubeconfig=write_kubeconfig,
            most_bytes=most_memory * 1024 * 1024,
        )

    return run_command(work, verbose=verbose)
