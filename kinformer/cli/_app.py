"""The command line as a whole: its commands, its greeting, and the report of a wrong command line.

A command's module is imported when the command is named, so that one command does not pay for the others.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from kinformer._version import __version__
from kinformer.cli._commands.completion import COMPLETION_VARIABLE
from kinformer.cli._commands.help import SETTINGS, Command, write_examples
from kinformer.cli._escapes import escaped, survive_any_encoding

__all__ = ["app", "run"]

_COMMANDS: Final = {
    "demo": "Show informers at work on a simulated cluster.",
    "get": "Print the objects of resources, or some of them, once.",
    "watch": "Print the objects of a resource, then each change.",
    "ui": "Show informers and their objects in the browser.",
    "top": "Show the health of a running program's informers.",
    "shards": "Show which replica owns which slices of a shard group.",
    "bench": "Measure the cost of informers of your own cluster.",
    "record": "Record a cluster's lists and watches to a file.",
    "replay": "Serve a recording to any client.",
    "run": "Run an operator: the Manager that a function makes.",
    "crd": "Print the CustomResourceDefinitions of classes.",
    "types": "Print Python classes for the objects of resources.",
    "manifests": "Write the manifests of an operator, from its Manager.",
    "init": "Make the project of a new operator.",
    "proxy": "Serve one watch to all processes of this machine.",
    "serve-api": "Run the embedded API server, for kubectl and tests.",
    "completion": "Print the script that makes Tab complete.",
}
"""The commands with their summaries, in the order of `--help`. Module `_commands.NAME` has the command itself."""

_GREETING: Final = """\
kinformer {version}: Kubernetes informers for asyncio

Try:
  kinformer demo                 informers at work, no cluster needed
  kinformer ui --demo --open     the same in a browser
  kinformer watch pods -A        your cluster, live
  kinformer --help               all commands
"""

_EXAMPLES: Final = """
kinformer demo                       informers at work, no cluster needed
kinformer watch pods -A              every pod, and each change
kinformer watch deploy/web --diff    what each update of it changed
kinformer get pods,svc --context staging
kinformer get pods --demo            from an embedded, simulated cluster
kinformer top 127.0.0.1:8765         the informers of a running program
kinformer ui --demo --open           informers and their objects in a browser
kinformer proxy pods --listen unix:/run/k8s.sock   one watch for many programs
kinformer serve-api --demo           that cluster for kubectl
kinformer record -A --for 10m out.kin --redact   ten minutes of a cluster
kinformer replay out.kin --speed 10  the same again, for any client
kinformer crd myapp.api:Website      the CRD of a class, as YAML
kinformer types pods > k8s_types.py  classes whose fields editors complete
kinformer init my-operator           the project of a new operator
kinformer run myoperator:manager     an operator
kinformer manifests myoperator:manager   its Deployment, Roles, Helm chart
kinformer bench pods -A --for 60     the cost of watching your cluster
source <(kinformer completion bash)  Tab completes resources and names
"""


class _Commands(click.Group):
    """The commands, each imported when it is named."""

    context_class = Command.context_class

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"kinformer.cli._commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            # Imported here: only a wrong name needs it.
            import difflib

            similar = difflib.get_close_matches(name, _COMMANDS, n=1)
            ctx.fail(f"No such command '{name}'." + (f" Did you mean '{similar[0]}'?" if similar else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        write_examples(formatter, _EXAMPLES)


@click.group("kinformer", cls=_Commands, context_settings=SETTINGS, invoke_without_command=True)
@click.version_option(__version__, "--version", message="kinformer %(version)s", help="Print the version.")
@click.pass_context
def app(context: click.Context) -> int:
    """Kubernetes informers for asyncio, at the command line."""
    if context.invoked_subcommand is None:
        click.echo(_GREETING.format(version=__version__), nl=False)
    return 0


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code. A usage error is reported in one line, too."""
    survive_any_encoding()
    try:
        code = app.main(arguments, prog_name="kinformer", complete_var=COMPLETION_VARIABLE, standalone_mode=False)
    except click.Abort:
        return 130
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        context = getattr(error, "ctx", None)
        command = "kinformer" if context is None else context.command_path
        print(f"kinformer: {escaped(message)} (try '{command} --help')", file=sys.stderr)
        return error.exit_code
    return code if isinstance(code, int) else 0
