"""mypy and pyright read what users write, and say what they should."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def mypy(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", ".mypy_cache", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(rf"{re.escape(path.name)}:(\d+): error", done.stdout)
    assert bool(found) == (done.returncode != 0), done.stdout + done.stderr
    return {int(line) for line in found}


def pyright(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    assert done.stdout.lstrip().startswith("{"), f"pyright did not run: {done.stdout}{done.stderr}"
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, report
    return {each["range"]["start"]["line"] + 1 for each in report["generalDiagnostics"] if each["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_users_write_has_the_types_it_should(checker: object) -> None:
    assert callable(checker)
    assert checker(HERE / "informers.py") == set()


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_is_wrong_is_refused_and_nothing_else(checker: object) -> None:
    assert callable(checker)
    wrong = HERE / "wrong.py"
    expected = {number for number, line in enumerate(wrong.read_text().splitlines(), 1) if line.endswith("# error")}
    assert checker(wrong) == expected
