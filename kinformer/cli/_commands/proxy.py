"""`kinformer proxy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, SERVER, VERBOSE, given_server, resources_argument

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer proxy pods deployments.apps --listen unix:/run/app/kinformer.sock
kinformer proxy pods -n shop --listen unix:/tmp/shop.sock --others caller
kinformer proxy pods --listen 127.0.0.1:8001 --write-kubeconfig /tmp/kc
"""


@click.command(
    "proxy",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        resources_argument("resources"),
        click.Option(
            ["--listen"],
            metavar="ADDRESS",
            required=True,
            help="unix:PATH, a socket with mode 0600; or 127.0.0.1:PORT, where each request needs a token.",
        ),
        click.Option(
            ["-n", "--namespace"], metavar="NS", default="", help="One namespace only. Default: all namespaces."
        ),
        click.Option(
            ["--others"],
            type=click.Choice(["read", "proxy", "caller", "refuse"]),
            default="read",
            show_default=True,
            help="Requests that no cache answers. read: reads of these resources, and discovery, are passed on; "
            "proxy: all, with the identity of the proxy; caller: all, with that of the caller; refuse: none.",
        ),
        click.Option(
            ["--write-kubeconfig"],
            type=FILE,
            metavar="FILE",
            help="Write a kubeconfig with the token, for 127.0.0.1:PORT.",
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(
    resources: tuple[str, ...],
    listen: str,
    namespace: str,
    others: str,
    write_kubeconfig: Path | None,
    verbose: bool,
    **options: Any,
) -> int:
    """List and watch resources once, and serve them to any number of programs on this machine.

    A program lists and watches as at the API server. All programs that may connect read the resources with the rights
    of the proxy.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._proxy import serve

        return await serve(
            resources,
            listen=listen,
            namespace=namespace,
            others=others,
            kubeconfig=write_kubeconfig,
            server=given_server(options),
        )

    return run_command(work, verbose=verbose)
