"""The output of `kinformer bench`: a progress bar on a terminal, then a table, or JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Self

from kinformer._version import __version__
from kinformer.cli._bench import FEWEST, BenchPlan, BenchReport, ListFigures, WatchFigures, measure
from kinformer.cli._session import UsageProblem, print_error, write
from kinformer.cli._units import byte_size

if TYPE_CHECKING:
    from rich.progress import TaskID

    from kinformer.cli._connect import ServerChoice

__all__ = ["bench"]


async def bench(plan: BenchPlan, server: ServerChoice, output: str) -> int:
    """Measure, print the result, and return the exit code."""
    if output not in {"table", "json"}:
        raise UsageProblem(f"-o {output}: expected table, json")
    with _Progress() as view:
        report = await measure(plan, server, view)
    write(_json(report) if output == "json" else _table(report))
    return 0


class _Progress:
    """A bar on standard error if that is a terminal; otherwise one line at the start."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        shown = sys.stderr.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}
        # Drawn only on request: the CPU time of rich's own thread would count as that of the informers.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
            disable=not shown,
        )
        self._task: TaskID | None = None
        self._what = ""

    def begin(self, text: str) -> None:
        """Announce the measurement."""
        print_error(text)

    def listing(self, resource: str, objects: int) -> None:
        """Show the number of objects received so far; the total is unknown."""
        self._show(f"listing {resource}", None, 0.0, f"{objects:,} objects")

    def watching(self, seconds: float, of: float, events: int) -> None:
        """Show the seconds passed, out of `of`, and the events so far."""
        self._show("watching", of, seconds, f"{events:,} events, {max(of - seconds, 0):.0f} s to go")

    def _show(self, what: str, total: float | None, completed: float, count: str) -> None:
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total, count=count)
            self._what = what
        self._bar.update(self._task, completed=completed, count=count)
        self._bar.refresh()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()


def _json(report: BenchReport) -> str:
    """Return one line of JSON; the names give the units, and `null` is an unknown figure."""
    value: dict[str, Any] = {
        "server": report.server,
        "kinformer": __version__,
        "lists": [_list_values(figures) for figures in report.lists],
        "watch": _watch_values(report.watch),
    }
    return json.dumps(value) + "\n"


def _list_values(figures: ListFigures) -> dict[str, Any]:
    scan = figures.scan / figures.objects if figures.objects else None
    return {
        "resource": figures.resource,
        "namespace": figures.scope or None,
        "streamed": figures.streamed,
        "objects": figures.objects,
        "bytes": figures.bytes,
        "seconds": round(figures.seconds, 4),
        "cpu_us_per_object": _micro(figures.cpu_per_object),
        "scan_us_per_object": _micro(scan),
        "of_the_scan_limit": None if figures.of_the_scan_limit is None else round(figures.of_the_scan_limit, 2),
        "memory_bytes_per_object": None if figures.memory_per_object is None else round(figures.memory_per_object),
        "loop_held_ms": round(figures.held * 1e3, 2),
    }


def _micro(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e6, 2)


def _watch_values(figures: WatchFigures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "seconds": round(figures.seconds, 3),
        "events": figures.events,
        "events_per_second": round(figures.events / figures.seconds, 2),
        "cpu_us_per_event": _micro(figures.cpu_per_event),
        "cpu_part_of_a_core": round(figures.cpu / figures.seconds, 5),
        "loop_held_ms": round(figures.held * 1e3, 2),
        "failures": figures.failures,
    }


_TITLES = ("FIRST LIST", "OBJECTS", "JSON", "EACH", "TIME", "CPU/OBJECT", "OF SCAN", "MEMORY/OBJECT", "LOOP HELD")


def _table(report: BenchReport) -> str:
    rows: list[tuple[str, ...]] = [_TITLES]
    for figures in report.lists:
        name = figures.resource + (f" ({figures.scope})" if figures.scope else "")
        cpu, times, memory = figures.cpu_per_object, figures.of_the_scan_limit, figures.memory_per_object
        rows.append(
            (
                name + ("" if figures.streamed else ", not streamed"),
                f"{figures.objects:,}",
                byte_size(figures.bytes),
                byte_size(figures.bytes / figures.objects) if figures.objects else "-",
                f"{figures.seconds:.2f} s",
                "-" if cpu is None else f"{cpu * 1e6:.1f} µs",
                "-" if times is None else f"{times:.1f} ×",
                "-" if memory is None else byte_size(memory),
                f"{figures.held * 1e3:.1f} ms",
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(_TITLES))]
    lines = [
        "   ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if any(figures.objects < FEWEST for figures in report.lists):
        lines.append(f"-: with fewer than {FEWEST} objects, fixed costs dominate, so there is no figure per object")
    if report.watch is not None:
        lines += ["", _watch_line(report.watch)]
    return "".join(f"{line}\n" for line in lines)


def _watch_line(figures: WatchFigures) -> str:
    each = figures.cpu_per_event
    cost = "too few for a cost per event" if each is None else f"{each * 1e6:.1f} µs CPU each"
    failures = f"; {figures.failures} failures, retried" if figures.failures else ""
    return (
        f"Watched for {figures.seconds:.0f} s: {figures.events:,} events, {figures.events / figures.seconds:,.1f}/s, "
        f"{cost}; {figures.cpu / figures.seconds:.2%} of a core; loop held for at most {figures.held * 1e3:.1f} ms"
        f"{failures}"
    )
