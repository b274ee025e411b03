"""`kinformer ui`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import (
    DEMO_PODS,
    NAMESPACES,
    PORT,
    SERVER,
    VERBOSE,
    given_server,
    resources_argument,
    values_of,
)

__all__ = ["command"]

_EXAMPLES = """
kinformer ui --demo --open                   a simulated cluster
kinformer ui --demo --pods 20000
kinformer ui -A                              the usual resources, in all namespaces
kinformer ui pods deploy cm -l app=web --port 0
"""


@click.command(
    "ui",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        resources_argument("resources"),
        *NAMESPACES,
        click.Option(
            ["--port"],
            metavar="N",
            type=PORT,
            default=8585,
            show_default=True,
            help="The port; 0 takes any free one.",
        ),
        click.Option(["--open", "open_browser"], is_flag=True, help="Open the page in the browser."),
        DEMO_PODS,
        *SERVER,
        VERBOSE,
    ],
)
def command(resources: tuple[str, ...], port: int, open_browser: bool, pods: int, verbose: bool, **options: Any) -> int:
    """Show informers and their objects on a page in the browser: health, live tables, YAML, and each change.

    Resources are named as in kubectl; without one, the page shows pods, workloads, services, configmaps, nodes and
    events. The page is served on 127.0.0.1 only. It is read-only and hides the values of Secrets.
    """
    from kinformer.cli._session import run_command

    # Outside of the work, so that a missing package is reported with its extra.
    from kinformer.cli._ui import PageOptions, ui

    async def work() -> int:
        page = PageOptions(resources, port=port, open_browser=open_browser, pods=pods, **values_of(NAMESPACES, options))
        return await ui(page, given_server(options))

    return run_command(work, verbose=verbose)
