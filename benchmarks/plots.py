"""The plots of docs/benchmarks.md, and the one of the README, as SVG that can be read on white and on black."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Answer
    from benchmarks.table import Row

__all__ = ["draw"]

FOLDER: Final = Path("docs/img")

OURS: Final = "kinformer"
_BLUE, _ORANGE, _GREY = "#2f7de1", "#d98324", "#8b949e"
_TEXT, _LINE = "#57606b", "#c9d1d8"

# Text and lines are lighter where the reader's page is dark. Matplotlib writes colours into each element, so they are
# found by their colours.
_DARK: Final = f"""<style>@media (prefers-color-scheme: dark) {{
[style*="fill: {_TEXT}"] {{ fill: #c9d1d9 !important }}
[style*="stroke: {_TEXT}"] {{ stroke: #c9d1d9 !important }}
[style*="stroke: {_LINE}"] {{ stroke: #3d444d !important }}
}}</style>"""


def draw(answers: dict[str, Answer], folder: Path = FOLDER) -> list[Path]:
    """Draw all for which there are figures; returns the files."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "kinformer",  # the same figures give the same file
            "font.family": "sans-serif",
            "font.size": 10,
            "text.color": _TEXT,
            "axes.labelcolor": _TEXT,
            "axes.edgecolor": _LINE,
            "xtick.color": _TEXT,
            "ytick.color": _TEXT,
            "grid.color": _LINE,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
        }
    )
    peers = _by_series(answers.get("peers"))
    written: list[Path] = []
    for series, title, unit in (
        ("watch", "CPU time per watch event", "µs"),
        ("sync", "CPU time per object of the first list", "µs"),
        ("held", "Memory per object held", "kB"),
    ):
        rows = peers.get(series, [])
        if rows:
            written.append(_bars(rows, title, unit, folder / f"benchmarks-{series}.svg"))
    if peers.get("watch") and peers.get("held"):
        written.append(_both(peers["watch"], peers["held"], folder / "benchmarks.svg"))
    for name, curve in (("latency", _latency), ("growth", _growth)):
        rows = [row for row in answers[name].rows if row.points] if name in answers else []
        if rows:
            written.append(curve(rows, folder / f"benchmarks-{name}.svg"))
    return written


def _by_series(answer: Answer | None) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in answer.rows if answer else ():
        if row.series and row.number is not None:
            found.setdefault(row.series, []).append(row)
    return found


def _color(client: str) -> str:
    return _BLUE if client.startswith(OURS) else _ORANGE if client.startswith("client-go") else _GREY


def _bar_axis(axis: Any, rows: Sequence[Row], title: str, unit: str) -> None:
    """Horizontal bars, the cheapest on top, each with its figure."""
    scale = 1e3 if unit == "kB" else 1.0
    values = [(row.number or 0.0) / scale for row in rows]
    places = range(len(rows))
    axis.barh(places, values, color=[_color(row.what) for row in rows], height=0.68)
    axis.set_xscale("log")
    low, high = min(values), max(values)
    axis.set_xlim(low / 3, high * 3.2)
    axis.invert_yaxis()
    for place, value, row in zip(places, values, rows, strict=True):
        text = f"{value:,.0f} {unit}" if value >= 20 else f"{value:.1f} {unit}"
        axis.annotate(
            text, (value, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9,
            fontweight="bold" if row.what == OURS else "normal",
        )  # fmt: skip
    axis.set_yticks(places, [row.what for row in rows])
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", which="both", length=0, labelbottom=False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.set_title(title, loc="left", fontsize=11)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.number or 0.0)


def _bars(rows: Sequence[Row], title: str, unit: str, file: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 0.34 * len(rows) + 0.7), layout="constrained")
    _bar_axis(axis, _ordered(rows), f"{title} (logarithmic scale; less is better)", unit)
    return _saved(figure, file)


_IN_THE_README: Final = (
    "kinformer",
    "kinformer, compact storage",
    "client-go, protobuf",
    "client-go, JSON",
    "lightkube, watch",
    "cloudcoil, AsyncInformer",
    "kubernetes, SharedInformer",
    "kubernetes_asyncio, Watch",
    "kopf, on.event",
    "kr8s, watch",
)


def _both(watch: Sequence[Row], held: Sequence[Row], file: Path) -> Path:
    """For the README: events and memory side by side, one configuration of each client."""
    from matplotlib import pyplot as plt

    order = [row for row in _ordered(watch) if row.what in _IN_THE_README]
    memory = {row.what: row for row in held}
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(10, 0.36 * len(order) + 0.9), layout="constrained", width_ratios=(3, 2)
    )
    _bar_axis(left, order, "CPU time per watch event", "µs")
    _bar_axis(right, [memory[row.what] for row in order], "Memory per object held", "kB")
    left.set_ylim(len(order) - 0.5, -0.5)
    figure.supxlabel(
        "9 KB pods, all clients in one run; logarithmic scale, less is better", fontsize=9, x=0.99, ha="right"
    )
    return _saved(figure, file)


def _latency(rows: Sequence[Row], file: Path) -> Path:
    """Which part of the writes had reached the handler after how long: a curve for each client."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for row, style in zip(rows, ("-", "-", "-", "--", ":", "-."), strict=False):
        times, tails = [x for x, _ in row.points], [100 / max(100 - y, 0.01) for _, y in row.points]
        width = 2.4 if row.what == OURS else 1.5
        axis.plot(times, tails, style, color=_color(row.what), linewidth=width, label=row.what)
    axis.legend(frameon=False, loc="lower right", fontsize=9)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_yticks([2, 10, 100, 1000], ["half", "90 %", "99 %", "99.9 %"])
    axis.minorticks_off()
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if _within(tick, rows)]
    axis.set_xticks(ticks, [f"{tick:g} ms" for tick in ticks])
    axis.grid(alpha=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(
        "From the write to the handler, at 500 writes a second: so many within this time", loc="left", fontsize=11
    )
    return _saved(figure, file)


def _within(tick: float, rows: Sequence[Row]) -> bool:
    times = [x for row in rows for x, _ in row.points]
    return min(times) / 2 <= tick <= max(times) * 2


def _growth(rows: Sequence[Row], file: Path) -> Path:
    """Cost over the number of objects."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
    for row in rows:
        objects, costs = [x for x, _ in row.points], [y for _, y in row.points]
        axis.plot(objects, costs, color=_BLUE, marker="o", linewidth=2)
        for x, y in row.points:
            axis.annotate(f"{y:.1f} µs", (x, y), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9)
    axis.set_xscale("log")
    axis.minorticks_off()
    places = sorted({x for row in rows for x, _ in row.points})
    axis.set_xticks(places, [f"{place:,.0f}" for place in places])
    axis.margins(x=0.08)
    axis.set_ylim(0, max(y for row in rows for _, y in row.points) * 1.35)
    axis.set_ylabel("µs")
    axis.set_xlabel("objects in the cache")
    axis.grid(alpha=0.5, axis="y")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title("CPU time per watch event, as the cache grows (no wire)", loc="left", fontsize=11)
    return _saved(figure, file)


def _saved(figure: Any, file: Path) -> Path:
    from matplotlib import pyplot as plt

    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    text = file.read_text()
    head, _, rest = text.partition("<defs>")
    # Without the blanks at line ends that Matplotlib leaves.
    file.write_text("\n".join(line.rstrip() for line in f"{head}{_DARK}<defs>{rest}".splitlines()) + "\n")
    return file
