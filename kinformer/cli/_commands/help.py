"""The look of `--help`: bold headings in a terminal, examples as they are typed, lines of at most 110 characters."""

from __future__ import annotations

import inspect
from typing import Any, Final

import click

__all__ = ["SETTINGS", "Command", "write_examples"]

SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""The context settings of the outermost command; the others inherit them."""


class _Formatter(click.HelpFormatter):
    """Writes headings in bold; `click.echo` drops the escape sequences where no terminal reads them."""

    def write_heading(self, heading: str) -> None:
        super().write_heading(click.style(heading, bold=True))


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command whose help ends with examples.

    Args:
        examples: command lines, one a line; a comment stands behind two blanks or more.
    """

    context_class = _Context

    def __init__(self, *args: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples; called by click."""
        del ctx
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """Write the section of examples, each line as it is."""
    if not examples:
        return
    with formatter.section("Examples"):
        for line in inspect.cleandoc(examples).splitlines():
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
