"""A table of a few objects as HTML, which Jupyter shows for a lister, an informer or an object.

Only fields of the head are shown, so no data of a Secret and no annotation can be among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kinformer.objects import KubeObject

__all__ = ["MOST_ROWS", "escape", "object_table"]

MOST_ROWS: Final = 20
"""Objects that a table shows at most: as many as fit on a screen."""

_MOST_LABELS: Final = 5
_LONGEST_CELL: Final = 80
_COLUMNS: Final = ("namespace", "name", "labels", "generation", "resourceVersion", "deletionTimestamp")


def object_table(caption: str, objects: Sequence[KubeObject]) -> str:
    """Return a table of at most `MOST_ROWS` objects.

    Args:
        caption: the line above the table, as plain text.
        objects: the objects; those after the first `MOST_ROWS` are left out.
    """
    rows = [_cells(obj) for obj in objects[:MOST_ROWS]]
    # A column without a value, such as the namespace of nodes, says nothing.
    shown = [column for column, _ in enumerate(_COLUMNS) if any(row[column] for row in rows)]
    head = _row("th", (_COLUMNS[column] for column in shown))
    body = "".join(_row("td", (row[column] for column in shown)) for row in rows)
    return f"<table><caption>{escape(_cut(caption))}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def escape(text: str) -> str:
    """Return text for HTML."""
    # Imported here, because nearly no program shows a table, and all entities of HTML come with it.
    import html

    return html.escape(text)


def _cells(obj: KubeObject) -> tuple[str, ...]:
    labels = [f"{name}={value}" for name, value in obj.labels.items()]
    more = [f"and {len(labels) - _MOST_LABELS} more"] if len(labels) > _MOST_LABELS else []
    return (
        obj.namespace,
        obj.name,
        ", ".join([_cut(label) for label in labels[:_MOST_LABELS]] + more),
        "" if obj.generation is None else str(obj.generation),
        obj.resource_version,
        obj.deletion_timestamp or "",
    )


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
