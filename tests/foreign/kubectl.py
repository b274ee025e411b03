"""Sequences of kubectl commands, one file each in the folder `sequences`.

A line that begins with `$` is a command, as a shell would split it. The lines below it that begin with `|` are its
standard input. The commands run in that folder, and may read the other files that are there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.building import MissingError
from tests.foreign.answers import Commands

__all__ = ["SEQUENCES", "SERVER", "sequence"]

_FOLDER: Final = Path(__file__).parent / "sequences"
_INPUT: Final = "|"

SEQUENCES: Final = tuple(sorted(path.stem for path in _FOLDER.glob("*.txt")))
"""The names of the sequences."""

SERVER: Final[dict[str, Any]] = {"rbac": True, "system_objects": True}
"""The settings of the embedded server: those of a real one that has no controllers."""


def sequence(name: str) -> Commands:
    """The commands of a sequence, in their order.

    Raises:
        MissingError: kubectl is not here.
    """
    if shutil.which("kubectl") is None:
        raise MissingError("kubectl is not installed")
    return Commands(name, "kubectl", _read((_FOLDER / f"{name}.txt").read_text()), str(_FOLDER / "files"))


def _read(text: str) -> tuple[tuple[str, str], ...]:
    """The commands in a text, each with its standard input."""
    commands: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ "), ""))
        elif line.startswith(_INPUT):
            command, given = commands.pop()
            added = line.removeprefix(_INPUT).removeprefix(" ")
            commands.append((command, f"{given}\n{added}" if given else added))
    return tuple(commands)
