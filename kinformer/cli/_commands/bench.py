"""`kinformer bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import (
    FILE,
    NAMESPACES,
    SERVER,
    VERBOSE,
    given_server,
    resources_argument,
    values_of,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer bench                              pods, for half a minute
kinformer bench pods cm -A --for 60
kinformer bench pods -A --for 0 -o json      only the first list, as JSON
kinformer bench pods --replay out.kin --speed max
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
            default=None,
            show_default="30, or the whole recording",
            help="Seconds to watch; 0 only lists.",
        ),
        click.Option(["--replay"], type=FILE, metavar="FILE", help="Measure a recording, in all namespaces."),
        click.Option(
            ["--speed"],
            metavar="N",
            default="1",
            show_default=True,
            help="How many times as fast as recorded, with --replay; max for no pauses.",
        ),
        *NAMESPACES,
        click.Option(
            ["-o", "--output"], metavar="FORM", default="table", show_default=True, help="table or json (one line)."
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(
    resources: tuple[str, ...],
    seconds: float | None,
    replay: Path | None,
    speed: str,
    output: str,
    verbose: bool,
    **options: Any,
) -> int:
    """Measure the cost of informers of your own cluster's resources.

    Resources are named as in kubectl; without one, pods are measured. The measurement only reads: each resource is
    listed once and then watched, as by an informer. No object is printed.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._bench import BenchPlan
        from kinformer.cli._bench_view import bench

        names = resources or ("pods",)
        if replay is None:
            plan = BenchPlan(names, seconds=30.0 if seconds is None else seconds, **values_of(NAMESPACES, options))
            return await bench(plan, given_server(options), output)
        from kinformer.cli._bench_replay import replayed

        return await replayed(
            replay, speed, names, seconds, values_of(NAMESPACES, options), given_server(options), output
        )

    return run_command(work, verbose=verbose)
