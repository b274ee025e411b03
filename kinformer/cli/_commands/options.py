"""The arguments and options that several commands share.

A group of options fills one object: the names of its options are the fields of that object.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from kinformer.cli._completion import (
    complete_context,
    complete_form,
    complete_name,
    complete_namespace,
    complete_resource,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kinformer.cli._connect import ServerChoice

__all__ = [
    "DEMO_PODS",
    "FILE",
    "FORM",
    "NAMESPACES",
    "PICTURE",
    "PORT",
    "SELECTION",
    "SERVER",
    "VERBOSE",
    "WORDS",
    "completed_contexts",
    "given_server",
    "resources_argument",
    "values_of",
]

_Candidates: TypeAlias = "Iterable[str | tuple[str, str]]"


class _File(click.Path):
    """A path that is not empty: an empty one, as of a shell variable that is not set, would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; write a path, or . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


FILE: Final = _File(path_type=Path)
"""The type of an option that names a file."""


def _completed(find: Callable[[click.Context, str], _Candidates]) -> Callable[..., list[Any]]:
    """Return a function for `shell_complete` from one that returns words, or pairs of a word and its description."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        del param
        from click.shell_completion import CompletionItem

        found = [(each, "") if isinstance(each, str) else each for each in find(ctx, incomplete)]
        return [CompletionItem(word, help=said or None) for word, said in found]

    return complete


def _complete_contexts(ctx: click.Context, incomplete: str) -> _Candidates:
    """Return the contexts that can follow the last comma, each after the text before it."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    return [f"{before}{comma}{name}" for name in complete_context(ctx, last) if name not in named]


completed_contexts: Final = _completed(_complete_contexts)
"""Completes names of contexts, separated by commas."""


def resources_argument(name: str) -> click.Argument:
    """Return the argument of a command that takes any number of resources."""
    complete = _completed(complete_resource)
    return click.Argument([name], metavar="[RESOURCE]...", nargs=-1, required=False, shell_complete=complete)


def _complete_word(ctx: click.Context, incomplete: str) -> _Candidates:
    before = ctx.params.get("words") or ()
    # The first word is a resource, and so are all others after RESOURCE/NAME.
    return complete_resource(ctx, incomplete) if not before or "/" in before[0] else complete_name(ctx, incomplete)


WORDS: Final = click.Argument(
    ["words"], metavar="RESOURCE [NAME]...", nargs=-1, required=True, shell_complete=_completed(_complete_word)
)
"""Resources and names, as kubectl takes them: `pods`, `pods,svc`, `pod web-0 web-1`, `pod/web-0 svc/web`."""

NAMESPACES: Final = (
    click.Option(
        ["-n", "--namespace"],
        metavar="NS",
        default="",
        help="The namespace. Default: that of the context.",
        shell_complete=_completed(complete_namespace),
    ),
    click.Option(["-A", "--all-namespaces"], is_flag=True, help="All namespaces."),
    click.Option(
        ["-l", "--selector", "label_selector"], metavar="SEL", default="", help="Label selector: app=web,tier!=cache."
    ),
)
"""The namespace and the label selector."""

SELECTION: Final = (
    *NAMESPACES,
    click.Option(
        ["--field-selector"], metavar="SEL", default="", help="Field selector: status.phase=Running,spec.nodeName=a."
    ),
)
"""Namespace, label selector and field selector: the fields of `Selection`."""

FORM: Final = (
    click.Option(
        ["-o", "--output"],
        metavar="FORM",
        default="table",
        show_default=True,
        help="table (the server's own columns), wide, yaml, json (one List), jsonl (a value per line), name, "
        "jsonpath=TEMPLATE, custom-columns=TITLE:PATH,..., or custom-columns-file=FILE.",
        shell_complete=_completed(lambda _, incomplete: complete_form(incomplete)),
    ),
    click.Option(["--no-headers"], is_flag=True, help="A table without its titles."),
    click.Option(["--show-labels"], is_flag=True, help="A table with a column of all labels."),
    click.Option(
        ["-L", "--label-columns", "label_columns"],
        metavar="KEYS",
        multiple=True,
        help="A table with a column for each of these labels: app,tier; repeatable.",
    ),
    click.Option(
        ["--show-secrets"], is_flag=True, help="Show the values of Secrets; without it every form hides them."
    ),
)
"""The form of the output."""

SERVER: Final = (
    click.Option(["--kubeconfig"], type=FILE, metavar="FILE", help="Instead of KUBECONFIG and ~/.kube/config."),
    click.Option(
        ["--context"],
        metavar="NAME",
        help="Instead of the current context.",
        shell_complete=_completed(complete_context),
    ),
    click.Option(
        ["-s", "--server"], metavar="URL", help="A server without a kubeconfig, or unix:PATH, the socket of a proxy."
    ),
    click.Option(["--token-file"], type=FILE, metavar="FILE", help="A bearer token, for --server."),
    click.Option(
        ["--certificate-authority", "ca_file"],
        type=FILE,
        metavar="FILE",
        help="Trusted authorities (PEM), for --server.",
    ),
    click.Option(["--insecure"], is_flag=True, help="Do not verify the server's certificate, for --server."),
    click.Option(["--as", "as_user"], metavar="USER", help="Impersonate a user: alice, system:serviceaccount:NS:NAME."),
    click.Option(
        ["--as-group", "as_groups"], metavar="GROUP", multiple=True, help="Impersonate a group, with --as; repeatable."
    ),
    click.Option(
        ["--request-timeout"],
        metavar="TIME",
        default="",
        help="How long one request may take: 5s, 1m; 0 for no limit. Default: 30s.",
    ),
    click.Option(["--demo"], is_flag=True, help="An embedded server with a simulated cluster."),
)
"""The options that choose the server: the fields of `ServerChoice`."""

VERBOSE: Final = click.Option(["-v", "--verbose"], is_flag=True, help="Log to standard error, with tracebacks.")
PORT: Final = click.IntRange(0, 65_535)
DEMO_PODS: Final = click.Option(
    ["--pods"],
    metavar="N",
    type=click.IntRange(0, 20_000),
    default=300,
    show_default=True,
    help="Number of pods in the simulated cluster, approximately.",
)
PICTURE: Final = click.Option(["--picture"], type=FILE, hidden=True)


def given_server(options: dict[str, Any]) -> ServerChoice:
    """Return the chosen server.

    Raises:
        UsageProblem: two options contradict each other.
    """
    from kinformer.cli._connect import ServerChoice

    return ServerChoice(**values_of(SERVER, options))


def values_of(group: Sequence[click.Option], options: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a group of options, by the fields that they fill."""
    return {str(option.name): options[str(option.name)] for option in group}
