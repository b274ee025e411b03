"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinformer.cli._completion import (
    complete_context,
    complete_form,
    complete_name,
    complete_namespace,
    complete_resource,
)

__all__ = [
    "AllNamespaces",
    "AuthorityFile",
    "ContextName",
    "Demo",
    "Diff",
    "FieldSelector",
    "Insecure",
    "KubeconfigFile",
    "LabelSelector",
    "Namespace",
    "ObjectName",
    "Output",
    "ResourceName",
    "ServerUrl",
    "ShowSecrets",
    "TokenFile",
    "Verbose",
]

ResourceName = Annotated[
    str,
    typer.Argument(
        help="A resource as in kubectl: pods, deploy, widgets.v1.example.com, pod/web-0.",
        autocompletion=complete_resource,
    ),
]
ObjectName = Annotated[
    str, typer.Argument(help="Only the object of this name.", show_default=False, autocompletion=complete_name)
]
Namespace = Annotated[
    str,
    typer.Option(
        "-n",
        "--namespace",
        metavar="NS",
        help="Default: the namespace of the context.",
        show_default=False,
        autocompletion=complete_namespace,
    ),
]
AllNamespaces = Annotated[bool, typer.Option("-A", "--all-namespaces", help="In all namespaces.")]
LabelSelector = Annotated[
    str,
    typer.Option("-l", "--selector", metavar="SEL", help="Label selector: app=web,tier!=cache.", show_default=False),
]
FieldSelector = Annotated[
    str,
    typer.Option("--field-selector", metavar="SEL", help="Field selector: status.phase=Running.", show_default=False),
]
Output = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help="table (the server's own columns), wide, yaml, json (one List), jsonl (a value per line), name, or "
        "jsonpath=TEMPLATE.",
        autocompletion=complete_form,
    ),
]
ShowSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Show the values of Secrets, which are hidden in every form otherwise.")
]
Diff = Annotated[bool, typer.Option("--diff", help="Show below each update its changes, field by field.")]
KubeconfigFile = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Instead of KUBECONFIG and ~/.kube/config.")
]
ContextName = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Instead of the current context.", autocompletion=complete_context),
]
ServerUrl = Annotated[str | None, typer.Option("--server", "-s", metavar="URL", help="A server without a kubeconfig.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="A bearer token, for --server.")]
AuthorityFile = Annotated[
    Path | None,
    typer.Option("--certificate-authority", metavar="FILE", help="Trusted authorities (PEM), for --server."),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Do not verify the server's certificate, for --server.")]
Demo = Annotated[bool, typer.Option("--demo", help="An embedded server with a simulated cluster.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Log to standard error, with tracebacks.")]
