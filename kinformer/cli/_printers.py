"""The forms in which objects are printed: rows of a table, JSON, YAML, names, or a filled-in JSONPath template."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from kinformer._display.columns import columns_of, printable
from kinformer._display.secrets import shown, shown_json
from kinformer.cli._escapes import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer.cli._jsonpath import JsonPath
    from kinformer.client import TableColumn
    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = [
    "Change",
    "DiffPrinter",
    "JsonListPrinter",
    "JsonPathPrinter",
    "JsonPrinter",
    "Mark",
    "NamePrinter",
    "Printer",
    "TablePrinter",
    "YamlPrinter",
    "wants_color",
]

Mark: TypeAlias = Literal["", "ADDED", "MODIFIED", "DELETED"]

_COLORS: Final[dict[Mark, str]] = {"": "", "ADDED": "32", "MODIFIED": "36", "DELETED": "31"}
_SIGN_COLORS: Final = {"+": "32", "-": "31", "~": "33"}
_CHANGED: Final = "1;33"
_DIM: Final = "2"
_OF_TIME: Final = {"AGE", "LAST SEEN", "DURATION"}  # these change with every second, so they are not highlighted
_NARROWEST: Final = 40


class Change(NamedTuple):
    """An object to print, and its change.

    Attributes:
        mark: the change; "" for an object that existed before.
        obj: the object in its present state, or its last one.
        old: its state before a modification.
    """

    mark: Mark
    obj: KubeObject
    old: KubeObject | None = None


class Printer(Protocol):
    """A form in which objects are printed."""

    def lines(self, changes: Sequence[Change]) -> str:
        """Return the text for these changes."""
        ...


def wants_color() -> bool:
    """Return whether standard output is a terminal that shows colors (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _colored(text: str, color: str, *, on: bool) -> str:
    return f"\x1b[{color}m{text}\x1b[0m" if on and color and text else text


class TablePrinter:
    """Prints aligned columns. A column only becomes wider, because printed lines cannot change.

    The columns are those of the server's table if it has one, otherwise those of `kinformer._display.columns`.

    Args:
        resource: the resource of the objects.
        columns: returns the server's columns, after the first list.
        marked: whether to add a column for the change.
        namespaced: whether to add a column for the namespace.
        wide: whether to show the columns of lower priority, too.
        color: whether to color the change, and the cells that changed.
        with_kind: whether to put the kind before the names, as kubectl does for several resources: `pod/web-0`.
        context_of: returns the context of an object, for a column before all others; `None` for no such column.
        headed: whether to print the titles.
        label_columns: the keys of labels that get a column each.
        all_labels: whether to add a column with all labels.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        columns: Callable[[], Sequence[TableColumn]] = lambda: (),
        marked: bool,
        namespaced: bool,
        wide: bool = False,
        color: bool = False,
        with_kind: bool = False,
        context_of: Callable[[KubeObject], str] | None = None,
        headed: bool = True,
        label_columns: Sequence[str] = (),
        all_labels: bool = False,
    ) -> None:
        self._headed = headed
        self._label_columns = label_columns
        self._all_labels = all_labels
        self._own = columns_of(resource)
        self._with_kind = with_kind
        self._context_of = context_of
        self._columns = columns
        self._marked = marked
        self._namespaced = namespaced
        self._wide = wide
        self._color = color
        self._titles: list[str] = []
        self._widths: list[int] = []

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a line for each change; the first call puts the header above."""
        now = datetime.now(UTC)
        rows: list[tuple[Mark, list[str], list[str]]] = []
        for mark, obj, old in changes:
            cells = self._cells(mark, obj, now)
            rows.append((mark, cells, cells if old is None else self._cells(mark, old, now)))
        if not self._titles:
            self._titles = self._header()
            if self._headed:
                rows.insert(0, ("", self._titles, self._titles))
            self._widths = [0] * len(self._titles)
            if self._marked:
                # Leave room for later changes.
                self._widths[0] = max(map(len, _COLORS))
        for _, cells, _ in rows:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        return "".join(f"{self._line(mark, cells, before)}\n" for mark, cells, before in rows)

    def _shown(self) -> list[tuple[int, str]]:
        """Return the places and titles of the server's columns that are shown."""
        return [
            (place, printable(column.name).upper())
            for place, column in enumerate(self._columns())
            if self._wide or column.priority == 0
        ]

    def _header(self) -> list[str]:
        shown = self._shown()
        return [
            *(["CONTEXT"] if self._context_of else []),
            *(["EVENT"] if self._marked else []),
            *(["NAMESPACE"] if self._namespaced else []),
            *([title for _, title in shown] if shown else [column.title for column in self._own]),
            *(printable(key.rpartition("/")[2]).upper() for key in self._label_columns),
            *(["LABELS"] if self._all_labels else []),
        ]

    def _cells(self, mark: Mark, obj: KubeObject, now: datetime) -> list[str]:
        shown = self._shown()
        row = obj.get("cells")
        if shown:
            cells = row if isinstance(row, list) else []
            texts = [_cell(cells[place]) if place < len(cells) else "" for place, _ in shown]
        else:
            texts = [printable(column.cell(obj, now)) for column in self._own]
        if self._with_kind:
            titles = [title for _, title in shown] or [column.title for column in self._own]
            texts = [_name(obj) if title == "NAME" else text for title, text in zip(titles, texts, strict=True)]
        return [
            *([printable(self._context_of(obj))] if self._context_of else []),
            *([mark or "-"] if self._marked else []),
            *([printable(obj.namespace)] if self._namespaced else []),
            *texts,
            *(printable(obj.labels.get(key, "")) for key in self._label_columns),
            *([_all_labels(obj)] if self._all_labels else []),
        ]

    def _line(self, mark: Mark, cells: list[str], before: list[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        last = max((place for place, cell in enumerate(cells) if cell), default=0)
        padded[last] = padded[last].rstrip()
        for place, (cell, was, title) in enumerate(zip(cells, before, self._titles, strict=True)):
            if cell != was and title not in _OF_TIME:
                padded[place] = _colored(padded[place], _CHANGED, on=self._color)
        if self._marked:
            padded[0] = _colored(padded[0], _COLORS[mark], on=self._color)
        return "   ".join(padded[: last + 1])


def _all_labels(obj: KubeObject) -> str:
    """Return the labels in order, as kubectl prints them."""
    return printable(",".join(f"{key}={value}" for key, value in sorted(obj.labels.items()))) or "<none>"


def _cell(value: Any) -> str:
    """Return a cell as kubectl prints it: the first line of a text, "" for null."""
    match value:
        case None:
            return ""
        case str():
            first, line_break, _ = value.partition("\n")
            return printable(f"{first}..." if line_break else first)
        case bool():
            return str(value).lower()
        case _:
            return printable(str(value))


class DiffPrinter:
    """Prints a table, and below each modification the differences, field by field.

    Args:
        table: prints the line itself.
        show_secrets: whether values of Secrets are shown.
        color: whether to color added, removed and changed fields.
    """

    def __init__(self, table: Printer, *, show_secrets: bool = False, color: bool = False) -> None:
        self._table = table
        self._show_secrets = show_secrets
        self._color = color

    def lines(self, changes: Sequence[Change]) -> str:
        """Return the lines of the table, with the differences below each."""
        # One call for all rows, so that the columns are aligned; a header may come first.
        lines = self._table.lines(changes).splitlines(keepends=True)
        header = lines[: len(lines) - len(changes)]
        rows = zip(lines[len(header) :], changes, strict=True)
        return "".join([*header, *(line + self._below(change) for line, change in rows)])

    def _below(self, change: Change) -> str:
        if change.old is None:
            return ""
        room = max(shutil.get_terminal_size().columns, _NARROWEST) if self._color else 0
        from kinformer._display.differences import differences

        found = differences(change.old, change.obj, show_secrets=self._show_secrets)
        if not found:
            return f"    {_colored('only its resource version', _DIM, on=self._color)}\n"
        return "".join(self._lines(*difference, room) for difference in found)

    def _lines(self, sign: str, path: str, before: str, after: str, room: int) -> str:
        said = f"{before} → {after}" if sign == "~" else before or after
        line = printable(f"    {sign} {path}" + (f": {said}" if said else ""))
        if sign != "~" or not room or len(line) <= room:
            return self._fitted(line, sign, room)
        # On separate lines, so that neither value is cut for the other.
        parts = [("~", f"    ~ {path}:"), ("-", f"        - {before}"), ("+", f"        + {after}")]
        return "".join(self._fitted(printable(text), color, room) for color, text in parts)

    def _fitted(self, line: str, sign: str, room: int) -> str:
        if room and len(line) > room:
            line = f"{line[: room - 1]}…"
        return f"{_colored(line, _SIGN_COLORS[sign], on=self._color)}\n"


class JsonPrinter:
    """Prints one JSON value per line: the object, or in a watch `{"type": ..., "object": ...}` as the API server sends.

    Args:
        marked: whether to name the change.
        show_secrets: whether values of Secrets are shown.
    """

    def __init__(self, *, marked: bool, show_secrets: bool = False) -> None:
        self._marked = marked
        self._show_secrets = show_secrets

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a line for each object."""
        return "".join(self._line(mark, obj) for mark, obj, _ in changes)

    def _line(self, mark: Mark, obj: KubeObject) -> str:
        # JSON allows control characters of C1 and the marks of direction as they are; escaped, the value is the same.
        text = escaped(shown_json(obj, show_secrets=self._show_secrets).decode())
        return f'{{"type":"{mark or "ADDED"}","object":{text}}}\n' if self._marked else f"{text}\n"


class JsonListPrinter:
    """Prints one JSON document, indented as kubectl does: a List of the objects, or the one object that was named.

    Args:
        as_list: whether to print a List.
        show_secrets: whether values of Secrets are shown.
    """

    def __init__(self, *, as_list: bool, show_secrets: bool = False) -> None:
        self._as_list = as_list
        self._show_secrets = show_secrets

    def lines(self, changes: Sequence[Change]) -> str:
        """Return the document."""
        manifests: list[Any] = [shown(obj, show_secrets=self._show_secrets) for _, obj, _ in changes]
        document = {"apiVersion": "v1", "items": manifests, "kind": "List", "metadata": {"resourceVersion": ""}}
        return "".join(
            f"{escaped(json.dumps(one, ensure_ascii=False, indent=4))}\n"
            for one in ([document] if self._as_list else manifests)
        )


class YamlPrinter:
    """Prints a YAML document per object; in a watch, a comment above it names the change.

    Args:
        marked: whether to name the change.
        show_secrets: whether values of Secrets are shown.
    """

    def __init__(self, *, marked: bool, show_secrets: bool = False) -> None:
        self._marked = marked
        self._show_secrets = show_secrets

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a document for each object."""
        return "".join(self._document(mark, obj) for mark, obj, _ in changes)

    def _document(self, mark: Mark, obj: KubeObject) -> str:
        from kinformer._display.yaml_text import yaml_of

        manifest = shown(obj, show_secrets=self._show_secrets)
        text = yaml_of(manifest, width=1_000)
        if escaped(text) != text or not _takes(text):
            text = yaml_of(manifest, width=1_000, ascii_only=True)
        said = f"# {mark or 'EXISTING'} {printable(str(obj.key))}\n" if self._marked else ""
        return f"---\n{said}{text}"


def _takes(text: str) -> bool:
    """Return whether the encoding of standard output has all the characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class NamePrinter:
    """Prints names as kubectl does: `pod/web-0`, `deployment.apps/web`."""

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a line for each object."""
        return "".join(f"{_name(obj)}\n" for _, obj, _ in changes)


def _name(obj: KubeObject) -> str:
    group = f".{obj.resource.group}" if obj.resource.group else ""
    return printable(f"{obj.resource.kind.lower()}{group}/{obj.name}")


class JsonPathPrinter:
    """Prints a JSONPath template, filled in for each object, or once for a List of all objects, as kubectl does.

    Control characters are escaped, except line breaks and tabs; `-o json` writes every character without loss.

    Args:
        template: the template.
        as_list: whether to fill it in once, with `{"kind": "List", "items": [...]}`.
        show_secrets: whether values of Secrets are shown.
    """

    def __init__(self, template: JsonPath, *, as_list: bool, show_secrets: bool = False) -> None:
        self._template = template
        self._as_list = as_list
        self._show_secrets = show_secrets

    def lines(self, changes: Sequence[Change]) -> str:
        """Return a line for each object, or one line for the List."""
        manifests = [shown(obj, show_secrets=self._show_secrets) for _, obj, _ in changes]
        filled = [{"apiVersion": "v1", "kind": "List", "items": manifests}] if self._as_list else manifests
        return "".join(f"{escaped(self._template.fill_in(manifest))}\n" for manifest in filled)
