"""`kinformer bench`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import NAMESPACES, SERVER, VERBOSE, given_server, resources_argument, values_of

__all__ = ["command"]

_EXAMPLES = """
kinformer bench                              pods, for half a minute
kinformer bench pods cm -A --for 60
kinformer bench pods -A --for 0 -o json      only the first list, as JSON
"""


@click.command(
    "bench",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        resources_argument("resources"),
        click.Option(
            ["--for", "seconds"],
            metavar="SECONDS",
            type=click.FloatRange(0, 86_400),
            default=30.0,
            show_default=True,
            help="Seconds to watch; 0 only lists.",
        ),
        *NAMESPACES,
        click.Option(
            ["-o", "--output"], metavar="FORM", default="table", show_default=True, help="table or json (one line)."
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(resources: tuple[str, ...], seconds: float, output: str, verbose: bool, **options: Any) -> int:
    """Measure the cost of informers of your own cluster's resources.

    Resources are named as in kubectl; without one, pods are measured. The measurement only reads: each resource is
    listed once and then watched, as by an informer. No object is printed.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._bench import BenchPlan
        from kinformer.cli._bench_view import bench

        plan = BenchPlan(resources or ("pods",), seconds=seconds, **values_of(NAMESPACES, options))
        return await bench(plan, given_server(options), output)

    return run_command(work, verbose=verbose)
