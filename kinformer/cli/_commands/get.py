"""`kinformer get`."""

from __future__ import annotations

from typing import Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FORM, SELECTION, SERVER, VERBOSE, WORDS, completed_contexts, given_server
from kinformer.cli._commands.querying import given_query

__all__ = ["command"]

_EXAMPLES = """
kinformer get nodes -o wide --context staging
kinformer get pods,svc -n shop               several resources
kinformer get pod/web-0 deploy/web -o yaml   objects by name
kinformer get pods --sort-by .status.startTime
kinformer get pods -o jsonpath='{.items[*].spec.nodeName}'
kinformer get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName
kinformer get secret/db -o jsonpath='{.data.password}' --show-secrets
kinformer get nodes --contexts 'prod-*,staging'   of several clusters
kinformer get pods --as alice                what a user may read
kinformer get pods -w                        as kinformer watch
kinformer get pods --demo                    from a simulated cluster
"""


@click.command(
    "get",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        WORDS,
        *SELECTION,
        *FORM,
        click.Option(
            ["--sort-by"],
            metavar="PATH",
            default="",
            help="Sort by a field, as in kubectl: .metadata.creationTimestamp.",
        ),
        click.Option(["-w", "--watch", "watched"], is_flag=True, help="Then print each change, as `kinformer watch`."),
        click.Option(
            ["--contexts"],
            metavar="NAMES",
            default="",
            help="Several contexts, with a column CONTEXT: a,b or 'prod-*'. One that fails is reported alone.",
            shell_complete=completed_contexts,
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(watched: bool, contexts: str, verbose: bool, **options: Any) -> int:
    """Print the objects of resources once, or objects by name."""
    # Here, and not in `work`: the collector is off until `run_command`, and the client is 300 modules.
    from kinformer.cli._get import get
    from kinformer.cli._session import UsageProblem, run_command

    async def work() -> int:
        query = given_query(options)
        server = given_server(options)
        if contexts:
            if watched:
                raise UsageProblem("-w watches one cluster; leave it out, or give --context instead of --contexts")
            from kinformer.cli._get_contexts import get_from_contexts

            return await get_from_contexts(query, server, contexts)
        if watched:
            from kinformer.cli._watch import watch

            return await watch(query, server)
        return await get(query, server)

    return run_command(work, verbose=verbose)
