"""Run the benchmarks, one after the other, and write docs/benchmarks.md and the figures in README.md.

    python -m benchmarks                          all of them
    python -m benchmarks --only ingest,peers      some of them; the rest of the page keeps earlier results
    python -m benchmarks --quick                  a rough answer to the most important, to the terminal only
    python -m benchmarks --report                 measure nothing: write the page from kept results

A question that fails is reported with its reason, here and on the page, and stops nothing: the exit code is 0. It is
2 for a question that does not exist.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import plots, progress, readme, report, results
from benchmarks.peers import programs
from benchmarks.results import Answer
from benchmarks.table import Row, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPORT: Final = Path("docs/benchmarks.md")

# The order is that of the page.
QUESTIONS: Final = (
    "peers",
    "ingest",
    "handlers",
    "shapes",
    "sparse",
    "transport",
    "sync",
    "memory",
    "churn",
    "relist",
    "latency",
    "stamps",
    "stall",
    "whole_cache",
    "starts",
    "growth",
    "reads",
    "fan_out",
    "workqueue",
    "fastapi_service",
    "admission",
    "idle",
    "fleet",
    "scopes",
    "imports",
)
QUICK: Final = ("peers", "ingest", "sparse", "sync", "memory", "latency", "stall", "whole_cache", "fan_out", "idle")

LONGEST: Final = 400.0
"""Seconds after which a question is given up."""

BUDGET: Final = 1170.0
"""Seconds after which no question goes on, so that all of them take less than twenty minutes. Builds do not count."""


_PROGRAM: Final = """
import json
from benchmarks.{name} import main
text = json.dumps(main())
print()
print(text, flush=True)
"""


class Failed(Exception):  # noqa: N818 - it is the answer to a question
    """A question could not be answered; says why in one line."""


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave nothing behind of a question: neither its process, nor the servers and clients that this has started."""
    try:
        with child:
            try:
                yield
            except BaseException:
                child.kill()
                raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _asked(name: str, bar: Progress, task: object, longest: float, *, quick: bool) -> list[Row]:
    """Return the answer, from a separate process: so one question does not leave objects in the heap of the next."""
    if longest < 0:
        raise Failed(f"no time was left: all questions have {BUDGET:.0f} s together")
    program = _PROGRAM.format(name=name)
    reading, writing = os.pipe()
    environment = {**os.environ, progress.PIPE: str(writing), progress.QUICK: "1" if quick else "0"}
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        pass_fds=[writing],
        start_new_session=True,
    )
    os.close(writing)
    assert child.stdout is not None
    assert child.stderr is not None
    taken: dict[int, bytearray] = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    steps = b""
    began = time.perf_counter()
    with _ended(child), selectors.DefaultSelector() as waiting, open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123
        for number in (*taken, pipe.fileno()):
            waiting.register(number, selectors.EVENT_READ)
        while waiting.get_map():
            if time.perf_counter() - began > longest:
                raise Failed(f"not answered within {longest:.0f} s")
            ready = waiting.select(timeout=1)
            if not ready and child.poll() is not None:
                break  # it is gone, and its children hold the pipes open
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    waiting.unregister(key.fd)
                elif key.fd in taken:
                    taken[key.fd] += chunk
                else:
                    *lines, steps = (steps + chunk).split(b"\n")
                    for line in lines:
                        done, total, what = json.loads(line)
                        bar.update(task, completed=done, total=total, step=what)  # type: ignore[arg-type]
        child.wait()
        out, err = (bytes(text).decode(errors="replace") for text in taken.values())
    if child.returncode:
        last = (err.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise Failed(last[:300])
    return [Row(*row) for row in json.loads(out.strip().splitlines()[-1])]


def measure(names: Sequence[str], *, quick: bool) -> dict[str, Answer]:
    """Ask each question, and keep each answer at once, except for rough ones."""
    console = Console(highlight=False, soft_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
    )
    answers: dict[str, Answer] = {}
    for line in programs.prepare() if "peers" in names else ():
        console.print(line, markup=False)
    until = time.perf_counter() + BUDGET
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        whole = bar.add_task(f"{len(names)} questions", total=len(names), step="")
        for name in names:
            task = bar.add_task(name, total=None, step="")
            bar.update(whole, step=name)
            began = time.perf_counter()
            rows: list[Row] = []
            error = ""
            try:
                rows = _asked(name, bar, task, min(until - began, LONGEST), quick=quick)
            except Failed as failure:
                error = str(failure)
            seconds = time.perf_counter() - began
            answers[name] = Answer(rows, results.now(), seconds, results.commit(), error)
            if not quick:
                results.save({**results.load(), name: answers[name]})
            bar.remove_task(task)
            bar.advance(whole)
            console.print(f"{report.question_of(name)} ({seconds:.0f} s)", markup=False)
            console.print(plain(rows) if rows else f"  could not be measured: {error}", markup=False)
            console.print()
            console.file.flush()
    return answers


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="rough, and no page")
    parser.add_argument("--report", action="store_true", help="write the page from kept results; measure nothing")
    parser.add_argument("--no-report", action="store_true", help="keep the results, and write no page")
    given = parser.parse_args(arguments)
    names = given.only.split(",") if given.only else list(QUICK if given.quick else QUESTIONS)
    unknown = [name for name in names if name not in QUESTIONS]
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(QUESTIONS)}", file=sys.stderr)
        return 2
    if not given.report:
        try:
            measure(names, quick=given.quick)
        except KeyboardInterrupt:
            print("interrupted; earlier results are kept (--report writes the page)", file=sys.stderr)
            return 130
    if given.quick or given.no_report:
        return 0
    answers = results.load()
    if not answers:
        print("nothing has been measured yet: leave --report out", file=sys.stderr)
        return 0
    pictures = plots.draw(answers)
    REPORT.write_text(report.page(answers, QUESTIONS, {picture.stem for picture in pictures}))
    readme.README.write_text(readme.with_figures(readme.README.read_text(), answers))
    print(f"wrote {REPORT}, the figures in {readme.README}, and {len(pictures)} pictures in {plots.FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
