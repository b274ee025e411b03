"""`kinformer demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import DEMO_PODS, PICTURE, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer demo
kinformer demo --for 60 --pods 5000
kinformer demo --seed 7 --plain              the same run each time, as lines of text
"""


@click.command(
    "demo",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Option(
            ["--for", "seconds"],
            metavar="SECONDS",
            type=click.FloatRange(min=1.0),
            default=20.0,
            show_default=True,
            help="Duration of the demo.",
        ),
        click.Option(["--seed"], metavar="N", type=int, help="Random seed; the same seed repeats a run."),
        DEMO_PODS,
        click.Option(
            ["--nodes"],
            metavar="N",
            type=click.IntRange(1, 1_000),
            default=6,
            show_default=True,
            help="Number of nodes.",
        ),
        click.Option(["--plain"], is_flag=True, help="Print lines of text, as without a terminal."),
        PICTURE,
        VERBOSE,
    ],
)
def command(
    seconds: float, seed: int | None, pods: int, nodes: int, plain: bool, picture: Path | None, verbose: bool
) -> int:
    """Show informers at work on a simulated cluster, and compare their caches with the server at the end.

    The cluster is an embedded API server with nodes, deployments that roll out, pods and a custom resource. In the
    middle of the demo the server cuts all watches and forgets its history. At the end, each cache is compared with the
    server, object by object; the exit code is 1 if they differ.
    """
    import random

    from kinformer.cli._session import run_command

    chosen = random.SystemRandom().randrange(1, 100_000) if seed is None else seed

    async def work() -> int:
        from kinformer.cli._simulated.demo import DemoPlan, demo
        from kinformer.cli._simulated.view import recorder, view

        plan = DemoPlan(seconds, chosen, pods, nodes)
        chosen_view = view(plain=plain or verbose)
        chosen_view.say(f"kinformer demo: {pods} pods on {nodes} nodes for {seconds:g} s, seed {chosen}")
        with recorder(picture) as pictures:
            return await demo(plan, chosen_view, pictures)

    return run_command(work, verbose=verbose)
