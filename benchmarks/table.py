"""What every benchmark reports in: rows of a question, with a bound where the project has set itself one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Row", "markdown", "plain"]


class Row(NamedTuple):
    """One figure.

    Attributes:
        what: is measured.
        value: in words, with its unit.
        target: what is wanted, in words; "" where nothing is.
        reached: whether it is; `None` where nothing is wanted.
    """

    what: str
    value: str
    target: str = ""
    reached: bool | None = None


def _verdict(row: Row) -> str:
    return {True: "yes", False: "no", None: ""}[row.reached]


def markdown(rows: list[Row]) -> str:
    """As a table of Markdown."""
    lines = ["| | measured | target | reached |", "|---|--:|--:|---|"]
    lines += [f"| {row.what} | {row.value} | {row.target} | {_verdict(row)} |" for row in rows]
    return "\n".join(lines)


def plain(rows: list[Row]) -> str:
    """As lines of text."""
    return "\n".join(f"  {row.what:<58} {row.value:>22}   {row.target:<28} {_verdict(row)}".rstrip() for row in rows)
