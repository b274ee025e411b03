"""The columns of `-o custom-columns=` and `-o custom-columns-file=`.

Their values and their text are those of kubectl (kubectl pkg/cmd/get/customcolumn.go).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer._display.columns import printable
from kinformer._display.secrets import shown
from kinformer.cli._jsonpath import JsonPath, JsonPathError
from kinformer.cli._session import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.cli._printers import Change

__all__ = ["CustomColumn", "CustomColumnsPrinter", "columns_in_file", "columns_of_text"]

_PATH: Final = re.compile(r"\{\.?([^{}]+)\}|\.?([^{}]+)")
_FORMAT: Final = "expected one line of titles and one line of paths, both separated by blanks"
_NONE: Final = "<none>"
_NARROWEST: Final = 3
"""Width of the narrowest column (k8s.io/cli-runtime pkg/printers/tabwriter.go: 6 with the space behind it)."""
_LARGE: Final = 1e21


class CustomColumn(NamedTuple):
    """A column: its title, and the path of its values.

    Attributes:
        title: the text above the column.
        path: finds the values; several are joined by commas.
    """

    title: str
    path: JsonPath


def columns_of_text(text: str) -> tuple[CustomColumn, ...]:
    """Parse `NAME:.metadata.name,NODE:.spec.nodeName`.

    Raises:
        UsageProblem: it does not parse, or is empty.
    """
    if not text:
        raise UsageProblem("-o custom-columns: no column is given; expected one such as NAME:.metadata.name")
    columns = []
    for part in text.split(","):
        title, colon, path = part.partition(":")
        if not colon:
            raise UsageProblem(f"-o custom-columns: {part!r} is no column; expected TITLE:PATH, as NAME:.metadata.name")
        columns.append(CustomColumn(title, _parsed(path)))
    return tuple(columns)


def columns_in_file(name: str) -> tuple[CustomColumn, ...]:
    """Read columns from a file: a line of titles, and below it a line of paths.

    Raises:
        UsageProblem: the file cannot be read, or does not parse.
    """
    where = "-o custom-columns-file"
    if not name:
        raise UsageProblem(f"{where}: no file is given")
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageProblem(f"{where}: {name} cannot be read: {reason}") from error
    titles, paths = (line.split() for line in (*lines, "", "")[:2])
    if len(titles) != len(paths) or not titles:
        raise UsageProblem(f"{where}: {name} has {len(titles)} titles and {len(paths)} paths; {_FORMAT}")
    return tuple(CustomColumn(title, _parsed(path)) for title, path in zip(titles, paths, strict=True))


def _parsed(path: str) -> JsonPath:
    """Parse a path; braces and the first dot may be left out."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise UsageProblem(f"-o custom-columns: {path!r} is no path; expected .metadata.name or {{.metadata.name}}")
    try:
        return JsonPath(f"{{.{found[1] or found[2]}}}")
    except JsonPathError as error:
        raise UsageProblem(f"-o custom-columns: {error}") from error


class CustomColumnsPrinter:
    """Prints aligned columns whose values are at the given paths. A column only becomes wider.

    Args:
        columns: the columns, in their order.
        headed: whether to print the titles.
        show_secrets: whether values of Secrets are shown.
    """

    def __init__(self, columns: Sequence[CustomColumn], *, headed: bool = True, show_secrets: bool = False) -> None:
        self._columns = columns
        self._headed = headed
        self._show_secrets = show_secrets
        self._widths = [_NARROWEST] * len(columns)

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a line for each object; the first call puts the titles above."""
        rows = [self._cells(shown(obj, show_secrets=self._show_secrets)) for _, obj, _ in changes]
        if self._headed:
            self._headed = False
            rows.insert(0, [printable(column.title) for column in self._columns])
        for cells in rows:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        return "".join(f"{self._line(cells)}\n" for cells in rows)

    def _cells(self, manifest: Any) -> list[str]:
        return [",".join(map(_cell, column.path.all(manifest))) or _NONE for column in self._columns]

    def _line(self, cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], self._widths, strict=False)]
        return "   ".join([*padded, cells[-1]])


def _cell(value: Any) -> str:
    return printable(_in_go(value))


def _in_go(value: Any) -> str:
    """Return a value as Go's fmt.Sprint writes it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return str(value).lower()
        case float():
            return _float_in_go(value)
        case dict():
            return f"map[{' '.join(f'{key}:{_in_go(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(_in_go, value))}]"
        case _:
            return str(value)


def _float_in_go(value: float) -> str:
    """Return a number in the form %v: the shortest one, with an exponent below 1e-4 and from 1e21 on."""
    if value == 0 or 1e-4 <= abs(value) < _LARGE:
        return str(int(value)) if value.is_integer() else repr(value)
    digits, _, exponent = f"{value!r}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent):+03d}"
