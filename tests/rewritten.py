"""Rewrite the assertions of the tests ahead of the workers that run them.

    python -m tests.rewritten

pytest rewrites the assertions of each test file, and saves the result beside it. In a fresh checkout, each worker would
do that for all files at the same time. Here one process a core does it for a share of the files. When nothing is to
do, the program ends at once.

Hypothesis saves a table of all characters, which takes more than a second to make, in the same manner: it is made here
too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from _pytest.assertion.rewrite import PYC_TAIL

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW = 40
"""So few files are rewritten sooner than the processes start."""


def saved(path: Path) -> Path:
    """The place where pytest saves what it made of a test file."""
    return path.parent / "__pycache__" / (path.stem + PYC_TAIL)


def stale(folder: Path) -> Iterator[Path]:
    """The test files of a folder that are to be rewritten, as they are new or have changed."""
    for path in folder.rglob("test_*.py"):
        try:
            fresh = saved(path).stat().st_mtime >= path.stat().st_mtime
        except FileNotFoundError:
            fresh = False
        if not fresh:
            yield path


def shares(paths: list[Path], count: int) -> list[list[Path]]:
    """Divide files into parts of about the same size."""
    parts: list[list[Path]] = [[] for _ in range(count)]
    sizes = [0] * count
    for path in sorted(paths, key=lambda one: (-one.stat().st_size, one)):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(path)
        sizes[smallest] += path.stat().st_size
    return [part for part in parts if part]


def main() -> None:
    """Rewrite what is to be rewritten. An error in a test file is left to the run of the tests."""
    paths = list(stale(ROOT / "tests"))
    if len(paths) < FEW:
        return
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--collect-only"]
    from hypothesis import strategies

    processes = [
        subprocess.Popen([*command, *map(str, part)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for part in shares(paths, os.cpu_count() or 1)
    ]
    # Text needs the table of characters.
    strategies.text().validate()
    for process in processes:
        process.wait()


if __name__ == "__main__":
    main()
