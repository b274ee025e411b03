"""`kinformer completion`."""

from __future__ import annotations

from typing import Final

import click

from kinformer.cli._commands.help import Command

__all__ = ["COMPLETION_VARIABLE", "command"]

COMPLETION_VARIABLE: Final = "_KINFORMER_COMPLETE"
"""The environment variable by which the shell asks for candidates."""

_EXAMPLES = """
source <(kinformer completion bash)          in ~/.bashrc; for zsh in ~/.zshrc
kinformer completion fish > ~/.config/fish/completions/kinformer.fish
"""


@click.command(
    "completion",
    cls=Command,
    examples=_EXAMPLES,
    params=[click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
)
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script that makes Tab complete commands, resources, names of objects, namespaces and contexts."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click has a class for each of the choices"
    click.echo(kind(context.find_root().command, {}, "kinformer", COMPLETION_VARIABLE).source())
    return 0
