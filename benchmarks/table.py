"""The form of all results: rows of a question, with a bound if the project has set one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Row", "markdown", "plain", "verdict"]


class Row(NamedTuple):
    """One figure.

    Attributes:
        what: is measured.
        value: in words, with its unit.
        target: in words; "" if there is none. Rows with a target make the overview of the report.
        reached: whether it is; `None` where nothing is wanted, or where nothing could be measured.
        number: the value, for the plots; `None` for rows that no plot shows.
        series: to which of several tables of one question the row belongs, such as "watch" or "sync".
        points: (x, y) of a curve, for the plots.
    """

    what: str
    value: str
    target: str = ""
    reached: bool | None = None
    number: float | None = None
    series: str = ""
    points: tuple[tuple[float, float], ...] = ()


def verdict(row: Row) -> str:
    """Return in one word whether the target is reached."""
    if not row.target:
        return ""
    return {True: "yes", False: "**no**", None: "not measured"}[row.reached]


def markdown(rows: list[Row]) -> str:
    """As a table of Markdown; the columns of targets only where there are any."""
    if any(row.target for row in rows):
        lines = ["| | measured | target | reached |", "|---|--:|--:|---|"]
        lines += [f"| {row.what} | {row.value} | {row.target} | {verdict(row)} |" for row in rows]
    else:
        lines = ["| | measured |", "|---|--:|", *(f"| {row.what} | {row.value} |" for row in rows)]
    return "\n".join(lines)


def plain(rows: list[Row]) -> str:
    """As lines of text."""
    return "\n".join(
        f"  {row.what:<58} {row.value:>22}   {row.target:<28} {verdict(row).strip('*')}".rstrip() for row in rows
    )
