"""Which view of the demo: a screen in a terminal, lines of text elsewhere; and a picture for the manual."""

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

    from kinformer.cli._simulated.demo import Album, Result, View
    from kinformer.cli._simulated.tally import Scene

__all__ = ["album", "view"]

_WIDTH: Final = 100
_HEIGHT: Final = 29


def view(*, plain: bool) -> View:
    """The view that fits standard output."""
    if plain or not sys.stdout.isatty() or os.environ.get("TERM") in {None, "", "dumb"}:
        return PlainView()
    from rich.console import Console

    from kinformer.cli._simulated.live import LiveView

    return LiveView(Console())


@contextlib.contextmanager
def album(file: Path | None) -> Iterator[Album | None]:
    """Something that keeps a picture of the demo (SVG), written in the end."""
    if file is None:
        yield None
        return
    pictures = _SvgAlbum()
    yield pictures
    pictures.save(file)


class _SvgAlbum:
    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(record=True, width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True)
        self._kept = False

    def keep(self, scene: Scene) -> None:
        """Keep the first scene that is offered."""
        from kinformer.cli._simulated.live import draw

        if not self._kept:
            self._kept = True
            self._console.print(draw(scene, _HEIGHT))

    def finish(self, results: Sequence[Result]) -> None:
        """Keep the outcome."""
        from kinformer.cli._simulated.live import results_table

        self._console.print()
        self._console.print(results_table(results))

    def save(self, file: Path) -> None:
        """Write the picture."""
        self._console.save_svg(str(file), title="kinformer demo")
