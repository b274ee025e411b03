"""`kinformer record`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import SERVER, VERBOSE, given_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer record -A --for 10m out.kin --redact       every resource, without names and values
kinformer record pods deployments.apps -n shop out.kin    until Ctrl-C
"""


@click.command(
    "record",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["words"], metavar="[RESOURCE]... FILE", nargs=-1, required=True),
        click.Option(
            ["--for", "duration"], metavar="TIME", default="", help="30s, 10m, 1h30m. Default: until Ctrl-C or SIGTERM."
        ),
        click.Option(["-n", "--namespace"], metavar="NS", default="", help="The namespace. Default: the context's."),
        click.Option(["-A", "--all-namespaces"], is_flag=True, help="All namespaces, and cluster-scoped resources."),
        click.Option(
            ["--redact"],
            is_flag=True,
            help="Replace names and values, the same one by the same one. Shapes, sizes and references stay.",
        ),
        click.Option(
            ["--include-secret-data"],
            is_flag=True,
            help="Write the data of Secrets to the file. Without it, they are zeros of the same size.",
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(
    words: tuple[str, ...],
    duration: str,
    namespace: str,
    all_namespaces: bool,
    redact: bool,
    include_secret_data: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Record lists and watches to FILE, for `kinformer replay`.

    Without a resource, each one that can be watched is recorded. The command only reads.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._record import record

        return await record(
            words[:-1],
            _path(words[-1]),
            duration=duration,
            namespace=namespace,
            all_namespaces=all_namespaces,
            redact=redact,
            secret_data=include_secret_data,
            server=given_server(options),
        )

    return run_command(work, verbose=verbose)


def _path(word: str) -> Path:
    from pathlib import Path

    return Path(word)
