"""Files that are watched for --reload."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kinformer.cli._reload import changed, times_of_files

if TYPE_CHECKING:
    from pathlib import Path


def test_python_files_count_and_those_of_environments_do_not(tmp_path: Path) -> None:
    for name in ("a.py", "pkg/b.py", "notes.txt", ".venv/c.py", "venv/d.py", "pkg/__pycache__/e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {*times_of_files(tmp_path)} == {str(tmp_path / "a.py"), str(tmp_path / "pkg/b.py")}


def test_new_changed_and_removed_files_are_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    nothing = times_of_files(tmp_path)
    file.touch()
    first = times_of_files(tmp_path)
    os.utime(file, (1, 1))
    second = times_of_files(tmp_path)
    assert changed(nothing, first) == changed(first, second) == changed(second, nothing) == str(file)
    assert changed(second, times_of_files(tmp_path)) == ""
