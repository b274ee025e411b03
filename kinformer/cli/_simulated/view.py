"""Choose the view of the demo: a screen in a terminal, otherwise lines of text; and a picture for the manual."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from kinformer.cli._simulated.plain import PlainView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kinformer.cli._simulated.demo import Recorder, Result, View
    from kinformer.cli._simulated.tally import Scene

__all__ = ["recorder", "view"]

_WIDTH: Final = 100
_HEIGHT: Final = 29


def view(*, plain: bool) -> View:
    """Return the view that fits standard output."""
    if plain or not sys.stdout.isatty() or os.environ.get("TERM") in {None, "", "dumb"}:
        return PlainView()
    from rich.console import Console

    from kinformer.cli._simulated.live import LiveView

    return LiveView(Console())


@contextlib.contextmanager
def recorder(file: Path | None) -> Iterator[Recorder | None]:
    """Return a recorder that writes a picture of the demo (SVG) at the end; `None` without a file."""
    if file is None:
        yield None
        return
    pictures = _SvgRecorder()
    yield pictures
    pictures.save(file)


class _SvgRecorder:
    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(record=True, width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True)
        self._kept = False

    def keep(self, scene: Scene) -> None:
        """Record the first scene."""
        from kinformer.cli._simulated.live import draw

        if not self._kept:
            self._kept = True
            self._console.print(draw(scene, _HEIGHT))

    def finish(self, results: Sequence[Result]) -> None:
        """Record the result."""
        from kinformer.cli._simulated.live import results_table

        self._console.print()
        self._console.print(results_table(results))

    def save(self, file: Path) -> None:
        """Write the picture."""
        self._console.save_svg(str(file), title="kinformer demo")
