"""mypy and pyright read what users write, and say what they should."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinformer.cli._app import run

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


Errors = dict[str, set[int]]
"""The lines of each file that a checker refuses."""

FILES = ("informers.py", "wrong.py", "pod_structs.py", "pod_dicts.py")
PATHS = [str(HERE / name) for name in FILES]


def mypy() -> Errors:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", ".mypy_cache", *PATHS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"(\w+\.py):(\d+): error", done.stdout)
    assert bool(found) == (done.returncode != 0), done.stdout + done.stderr
    return {name: {int(line) for where, line in found if where == name} for name in {*FILES, *dict(found)}}


def pyright() -> Errors:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *PATHS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    assert done.stdout.lstrip().startswith("{"), f"pyright did not run: {done.stdout}{done.stderr}"
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES), report
    errors = [each for each in report["generalDiagnostics"] if each["severity"] == "error"]
    found = [(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in errors]
    return {name: {line for where, line in found if where == name} for name in {*FILES, *dict(found)}}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_users_write_has_the_types_it_should_and_what_is_wrong_is_refused(checker: Callable[[], Errors]) -> None:
    wrong = (HERE / "wrong.py").read_text().splitlines()
    expected = {number for number, line in enumerate(wrong, 1) if line.endswith("# error")}
    assert expected
    assert checker() == {name: expected if name == "wrong.py" else set() for name in FILES}


@pytest.mark.parametrize("style", ["struct", "typeddict"])
def test_the_generated_classes_are_those_that_the_command_prints(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = "spec.nodeName,spec.containers.image,status.phase"
    assert run(["types", "pods", "--fields", paths, "--style", style, "--no-docs"]) == 0
    name = "pod_structs.py" if style == "struct" else "pod_dicts.py"
    assert capsys.readouterr().out == (HERE / name).read_text()
