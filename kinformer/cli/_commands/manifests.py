"""`kinformer manifests`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, VERBOSE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer manifests my_operator:manager                write deploy/
kinformer manifests my_operator:manager --check        for CI: fail if deploy/ has drifted from the code
kubectl apply -k deploy/overlay
"""


@click.command(
    "manifests",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        click.Argument(["target"], metavar="MODULE[:FUNCTION]"),
        click.Option(["--out"], metavar="DIR", type=FILE, default="deploy", show_default=True, help="The folder."),
        click.Option(
            ["--check"], is_flag=True, help="Write nothing: show what differs, and exit with 1 if anything does."
        ),
        click.Option(["--name"], metavar="NAME", default="", help="The name of the objects. Default: the module's."),
        click.Option(["--namespace"], metavar="NS", default="", help="The namespace. Default: the name."),
        click.Option(
            ["--rbac"],
            metavar="FILE",
            type=FILE,
            help="Roles that pytest --kinformer-rbac recorded. Default: rbac.yaml.",
        ),
        click.Option(
            ["--crds"], metavar="MODULE[:CLASS]", multiple=True, help="More classes, besides those in MODULE."
        ),
        VERBOSE,
    ],
)
def command(
    target: str,
    out: Path,
    check: bool,
    name: str,
    namespace: str,
    rbac: Path | None,
    crds: tuple[str, ...],
    verbose: bool,
) -> int:
    """Write the manifests of an operator: plain YAML with kustomize, a Helm chart, and a Containerfile.

    They follow from the Manager that the function makes, and from the Roles that the tests recorded. No cluster is
    asked. Files in base/, monitoring/ and chart/ are overwritten; overlay/, values.yaml and Containerfile are yours.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._manifests import manifests

        return await manifests(target, out=out, check=check, name=name, namespace=namespace, rbac=rbac, crds=crds)

    return run_command(work, verbose=verbose)
