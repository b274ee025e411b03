"""`kinformer serve-api`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, PORT, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer serve-api --write-kubeconfig /tmp/kc
KUBECONFIG=/tmp/kc kubectl get ns            in another terminal
kinformer serve-api --run-pods               kubectl create deployment gets pods that run
kinformer serve-api --demo --fault drop:every=5
kinformer serve-api --instances 20 --write-kubeconfig /tmp/kc    /tmp/kc-0 to /tmp/kc-19
"""


@click.command(
    "serve-api",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Option(
            ["--port"], metavar="N", type=PORT, default=0, show_default=True, help="The port; 0 takes any free one."
        ),
        click.Option(
            ["--host"], metavar="HOST", default="127.0.0.1", show_default=True, help="The address to listen on."
        ),
        click.Option(
            ["--write-kubeconfig"],
            type=FILE,
            metavar="FILE",
            help="The file to write; by default a temporary one.",
        ),
        click.Option(
            ["--instances"],
            metavar="N",
            type=click.IntRange(1, 1000),
            default=1,
            show_default=True,
            help="The number of servers, which share nothing. Each has a port and a kubeconfig of its own.",
        ),
        click.Option(
            ["--tls"],
            is_flag=True,
            help="HTTPS with throwaway certificates. The kubeconfig has an administrator's; others may do nothing.",
        ),
        click.Option(
            ["--load", "snapshot"], type=FILE, metavar="FILE", help="Begin with the objects of this YAML, or snapshot."
        ),
        click.Option(
            ["--controllers"],
            metavar="NAMES",
            default="",
            help="The controllers of a cluster to run: all, or names with commas. 'help' lists them.",
        ),
        click.Option(
            ["--run-pods"],
            is_flag=True,
            help="Run all controllers, a scheduler and kubelets. Pods run, but no container is real.",
        ),
        click.Option(
            ["--nodes"],
            metavar="N",
            type=click.IntRange(min=0),
            default=1,
            show_default=True,
            help="The number of nodes, if pods run.",
        ),
        click.Option(
            ["--kubernetes"],
            metavar="VERSION",
            default="",
            help="The Kubernetes release that the server is like: 1.36 (the default) or 1.37.",
        ),
        click.Option(["--demo"], is_flag=True, help="Put a simulated cluster into the server."),
        click.Option(
            ["--fault", "faults"],
            metavar="FAULT",
            multiple=True,
            help="A fault to inject: drop:every=5, fail:status=503,verb=list; repeatable. '--fault help' lists all.",
        ),
        VERBOSE,
    ],
)
def command(
    port: int,
    host: str,
    write_kubeconfig: Path | None,
    instances: int,
    tls: bool,
    snapshot: Path | None,
    controllers: str,
    run_pods: bool,
    nodes: int,
    kubernetes: str,
    demo: bool,
    faults: tuple[str, ...],
    verbose: bool,
) -> int:
    """Run the embedded API server alone: for kubectl, and for tests in any language.

    The command prints the address and the `export KUBECONFIG=...` line for kubectl. The server stores nothing on disk.
    Without --tls, it accepts requests without credentials. Faults, reset and snapshots over HTTP are under /kinformer.
    """
    from kinformer.cli._session import run_command

    if "help" in faults:
        from kinformer.testing.fault_spec import described

        click.echo(described())
        return 0
    if controllers == "help":
        from kinformer.testing import CONTROLLERS

        click.echo("\n".join(("all", *CONTROLLERS)))
        return 0

    async def work() -> int:
        from kinformer.cli._serve import ServePlan, serve

        plan = ServePlan(
            host=host,
            port=port,
            instances=instances,
            kubeconfig=write_kubeconfig,
            controllers="all" if run_pods else controllers,
            nodes=nodes,
            kubernetes=kubernetes,
            demo=demo,
            faults=faults,
            snapshot=snapshot,
            tls=tls,
        )
        return await serve(plan)

    return run_command(work, verbose=verbose)
