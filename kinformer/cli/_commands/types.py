"""`kinformer types`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kinformer.cli._commands.help import Command
from kinformer.cli._commands.options import FILE, SERVER, VERBOSE, given_server, resources_argument

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """
kinformer types pods deployments > k8s_types.py
kinformer types pods --fields spec.nodeName,status.phase
kinformer types pods --style typeddict            pod["spec"]["nodeName"]
kinformer types -f crds/website.yaml              of definitions in files
kinformer types certificates.cert-manager.io --context staging
kinformer types pods --from-cluster               as your cluster has it
"""


@click.command(
    "types",
    cls=Command,
    examples=_EXAMPLES,
    params=[
        resources_argument("names"),
        click.Option(
            ["-f", "--filename", "files"],
            type=FILE,
            multiple=True,
            metavar="FILE",
            help="CustomResourceDefinitions as YAML or JSON; - is standard input; repeatable.",
        ),
        click.Option(
            ["--fields"], metavar="PATHS", default="", help="Only these fields: spec.nodeName,spec.containers.image."
        ),
        click.Option(
            ["--style"],
            type=click.Choice(["struct", "typeddict"]),
            default="struct",
            show_default=True,
            help="msgspec Structs (pod.spec.node_name), or TypedDicts (pod['spec']['nodeName']).",
        ),
        click.Option(["--no-docs"], is_flag=True, help="Leave the descriptions of the fields out."),
        click.Option(
            ["--from-cluster"], is_flag=True, help="Read the schemas of built-in resources from the cluster, too."
        ),
        *SERVER,
        VERBOSE,
    ],
)
def command(
    names: tuple[str, ...],
    files: tuple[Path, ...],
    fields: str,
    style: str,
    no_docs: bool,
    from_cluster: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Print Python classes for the objects of resources, so that editors complete their fields.

    Give them to an informer: `factory.informer("pods", type=Pod)`. The built-in resources of Kubernetes need no
    cluster; the schemas of others come from the cluster, or from the files of their definitions.
    """
    from kinformer.cli._session import run_command

    async def work() -> int:
        from kinformer.cli._object_types.class_texts import Style
        from kinformer.cli._object_types.writing import print_types
        from kinformer.cli._session import UsageProblem

        if not names and not files:
            raise UsageProblem("name a resource, as in kinformer types pods, or a file with -f")
        paths = [path for path in fields.split(",") if path.strip()]
        shown = ["kinformer", "types", *names]
        for file in files:
            shown += ["-f", file.name]
        if paths:
            shown += ["--fields", ",".join(paths)]
        if style != Style.STRUCT:
            shown += ["--style", style]
        if no_docs:
            shown.append("--no-docs")
        if from_cluster:
            shown.append("--from-cluster")
        return await print_types(
            names,
            files,
            given_server(options),
            from_cluster=from_cluster,
            paths=paths,
            style=Style(style),
            docs=not no_docs,
            command=shown,
        )

    return run_command(work, verbose=verbose)
