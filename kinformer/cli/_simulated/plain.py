"""The demo as lines of text: for pipes, logs and CI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from kinformer.cli._session import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinformer.cli._simulated.demo import Result
    from kinformer.cli._simulated.tally import Scene

__all__ = ["PlainView", "aligned"]


class PlainView:
    """Prints a line each second, and one for each notice.

    Args:
        out: a function that writes text.
    """

    interval: Final = 1.0

    def __init__(self, out: Callable[[str], None] = write) -> None:
        self._out = out
        self._printed = 0
        self._shown: object = None
        self._line_at = 0.0

    def show(self, scene: Scene) -> None:
        """Print the new notices, and once a second the totals."""
        for notice in scene.notices[self._printed :]:
            self._write(f"{notice.at:5.1f} s  {'! ' if notice.level == 'bad' else ''}{notice.text}")
        self._printed = len(scene.notices)
        if scene.elapsed < self._line_at:
            return
        self._line_at = scene.elapsed + self.interval * 0.9
        line = f"{scene.elapsed:5.1f} s  objects {sum(row.objects for row in scene.rows)}"
        line += f"  events {scene.events} ({scene.rate:.0f}/s)"
        if scene.latest and scene.latest[-1] is not self._shown:
            last = self._shown = scene.latest[-1]
            line += f"  {last.mark} {last.kind} {last.key}: {last.what}"
        self._write(line)

    def finish(self, results: Sequence[Result]) -> None:
        """Print the result."""
        rows = [("INFORMER", "OBJECTS", "EVENTS", "LISTS", "WATCHES", "EQUAL")]
        rows += [
            (
                result.name,
                str(result.comparison.objects),
                str(result.events),
                str(result.lists),
                str(result.watches),
                "yes" if result.comparison.equal else f"NO  {result.comparison.differences()}",
            )
            for result in results
        ]
        self._write("")
        for line in aligned(rows, numbers=(1, 2, 3, 4)):
            self._write(line)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._write(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def _write(self, line: str) -> None:
        self._out(f"{line}\n")


def aligned(rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> list[str]:
    """Return rows as lines with aligned columns; the columns in `numbers` are aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.rjust(width) if i in numbers else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("   ".join(cells).rstrip())
    return lines
