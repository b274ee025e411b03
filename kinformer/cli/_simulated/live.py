"""The view of the demo in a terminal: one screen, drawn eight times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from kinformer.cli._simulated.demo import Result
    from kinformer.cli._simulated.tally import ChangeLine, Counts, Level, Row, Scene

__all__ = ["LiveView", "draw", "results_table"]

# The colours of the terminal fit its background. A sign goes with each colour, for readers without colours.
_GOOD: Final = "green"
_BUSY: Final = "magenta"
_BAD: Final = "red"
_FAINT: Final = "dim"
_STYLES: Final[dict[Level, str]] = {"good": _GOOD, "busy": _BUSY, "bad": _BAD}
_SIGNS: Final[dict[Level, str]] = {"good": "●", "busy": "◌", "bad": "▲"}
_MARKS: Final = {"+": _GOOD, "~": "cyan", "-": _BAD}
_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_LEAST_CHANGES: Final = 3


class LiveView:
    """Draws each scene over the one before; at the end only the result stays.

    Args:
        console: the terminal.
    """

    interval: Final = 0.125

    def __init__(self, console: Console) -> None:
        self._console = console
        # Drawn from the event loop alone, not from a thread of rich.
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def show(self, scene: Scene) -> None:
        """Draw a scene."""
        self._live.update(draw(scene, self._console.height - 1), refresh=True)

    def finish(self, results: Sequence[Result]) -> None:
        """Remove the screen and print the result."""
        self._live.stop()
        self._console.print(results_table(results))

    def say(self, text: str) -> None:
        """Print a sentence above the screen."""
        self._console.print(text, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()


def draw(scene: Scene, height: int) -> RenderableType:
    """Return a scene as a screen of `height` lines."""
    informers = _informers(scene.rows)
    room = height - len(scene.rows) - 10
    return Group(_header(scene), Text(), informers, Text(), _changes(scene, max(room, _LEAST_CHANGES)))


def _header(scene: Scene) -> RenderableType:
    title = Text.assemble(("kinformer demo", "bold"), ("   API server ", _FAINT), scene.url)
    title.append("   resource version ", _FAINT).append(f"{scene.version:,}")
    bars = Table.grid(padding=(0, 1), expand=True)
    for ratio in (None, 1, None, None, None, 1, None):
        bars.add_column(ratio=ratio, no_wrap=True)
    full = scene.cached >= scene.planned
    bars.add_row(
        Text("caches", _FAINT),
        _bar(min(scene.cached, scene.planned), scene.planned, _GOOD if full else _BUSY),
        f"{scene.cached:,} of {max(scene.planned, scene.cached):,}",
        "  ",
        Text("time", _FAINT),
        _bar(scene.elapsed, scene.duration, "cyan"),
        f"{min(scene.elapsed, scene.duration):.0f} of {scene.duration:g} s",
    )
    if scene.notices:
        notice = scene.notices[-1]
        said = Text.assemble((f"{_SIGNS[notice.level]} ", _STYLES[notice.level]))
        said.append(f"{notice.at:.1f} s  ", _FAINT).append(notice.text, f"bold {_STYLES[notice.level]}")
    else:
        said = Text("◌ starting", _BUSY)
    said.no_wrap, said.overflow = True, "ellipsis"
    return Group(title, Text(), bars, said)


def _bar(done: float, total: float, style: str) -> ProgressBar:
    return ProgressBar(
        total=max(total, 1), completed=done, style=_FAINT, complete_style=style, finished_style=style
    )  # fmt: skip


def _informers(rows: Sequence[Row]) -> Table:
    table = _table()
    table.add_column("INFORMER", no_wrap=True)
    for title, width in (("OBJECTS", 7), ("EVENTS", 6), ("+", 4), ("~", 5), ("-", 4), ("/S", 4)):
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    table.add_column("", no_wrap=True)
    table.add_column("HEALTH", no_wrap=True, ratio=1, overflow="ellipsis")
    for row in rows:
        counts = row.counts
        health = Text(f"{_SIGNS[row.health.level]} ", _STYLES[row.health.level])
        health.append(row.health.text, "" if row.health.level == "good" else _STYLES[row.health.level])
        table.add_row(
            Text(row.name, "bold"),
            f"{row.objects:,}",
            f"{counts.events:,}",
            Text(f"{counts.added:,}", _GOOD),
            Text(f"{counts.updated:,}", "cyan"),
            Text(f"{counts.deleted:,}", _BAD),
            f"{row.rate:.0f}",
            Text(_curve(counts), "cyan"),
            health,
        )
    return table


def _curve(counts: Counts) -> str:
    """Return the rates of the last seconds as a small curve, relative to their maximum."""
    top = max(*counts.rates, 1.0)
    return "".join(_LEVELS[min(len(_LEVELS) - 1, round(rate / top * (len(_LEVELS) - 1)))] for rate in counts.rates)


def _changes(scene: Scene, lines: int) -> Table:
    table = _table()
    table.add_column("AT", justify="right", no_wrap=True, style=_FAINT)
    table.add_column("", no_wrap=True)
    table.add_column("CHANGES", no_wrap=True, min_width=10)
    table.add_column("some of the latest", no_wrap=True, ratio=4, overflow="ellipsis")
    table.add_column("", no_wrap=True, ratio=3, overflow="ellipsis")
    newest = [*scene.latest][-lines:]
    for change in reversed(newest):
        table.add_row(f"{change.at:.1f}", *_cells(change))
    for _ in range(lines - len(newest)):
        table.add_row("", "", "", "", "")
    return table


def _cells(change: ChangeLine) -> tuple[Text, Text, Text, Text]:
    style = _MARKS[change.mark]
    what = Text()
    before, arrow, after = change.what.partition(" → ")
    if arrow:
        what.append(before, _FAINT).append(arrow, _FAINT).append(after, style)
    else:
        what.append(before, style)
    return Text(change.mark, f"bold {style}"), Text(change.kind), Text(change.key), what


def results_table(results: Sequence[Result]) -> Table:
    """Return the result: each cache compared with the server."""
    table = _table(expand=False)
    table.add_column("INFORMER", no_wrap=True)
    for title in ("OBJECTS", "EVENTS", "LISTS", "WATCHES"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("EQUAL TO THE SERVER")
    for result in results:
        comparison = result.comparison
        verdict = Text("✓", f"bold {_GOOD}") if comparison.equal else Text(f"✗ {comparison.differences()}", _BAD)
        table.add_row(
            Text(result.name, "bold"),
            f"{comparison.objects:,}",
            f"{result.events:,}",
            str(result.lists),
            str(result.watches),
            verdict,
        )
    return table


def _table(*, expand: bool = True) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
        expand=expand,
        header_style=_FAINT,
        border_style=_FAINT,
    )
