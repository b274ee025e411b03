"""The test suites of other Python clients, as their source distributions on PyPI have them.

Each runs in a virtual environment of its own, against an embedded server with all controllers, TLS and RBAC.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.peers.building import MissingError, last_line
from tests.foreign.programs import folder

__all__ = ["run"]

_LONGEST: Final = 900.0  # seconds
_PLACE: Final = Path(__file__).parent / "sources" / "suites"


class Suite(NamedTuple):
    """A suite.

    Attributes:
        distribution: that which has it, with its version.
        parts: the folders and files of the source distribution that it consists of.
        needs: the packages that are installed beside it.
    """

    distribution: str
    parts: tuple[str, ...]
    needs: tuple[str, ...] = ()


SUITES: Final = {
    "kr8s": Suite(
        "kr8s==0.20.15",
        ("kr8s/tests", "kr8s/conftest.py"),
        ("pytest==9.2.0", "pytest-asyncio==1.5.0", "pytest-timeout==2.4.0", "trio==0.35.0", "httpx-ws==0.8.2"),
    )
}


def run(name: str, *, verbose: bool) -> dict[str, int]:
    """Run a suite; return the number of tests that pass.

    Raises:
        MissingError: it cannot be had.
    """
    suite = SUITES[name]
    python, tests = _prepared(name, suite)
    command = [sys.executable, "-m", "tests.foreign.suite_server", str(python), str(tests)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_PLACE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False, cwd=Path.cwd()
    )
    if verbose:
        print(
            "\n".join(line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))),
            last_line(done.stdout),
        )
    found = re.search(r"(\d+) passed", done.stdout)
    if found is None:
        raise MissingError(f"the suite did not run: {last_line(done.stdout + done.stderr)}")
    return {"passed": int(found[1])}


def _prepared(name: str, suite: Suite) -> tuple[Path, Path]:
    """The Python and the tests of a suite; installed once."""
    place = folder() / suite.distribution
    python, tests = place / "bin" / "python", place / "suite"
    if tests.exists():
        return python, tests
    pip = (str(python), "-m", "pip")
    steps = (
        (sys.executable, "-m", "venv", str(place)),
        (*pip, "install", "--quiet", suite.distribution, *suite.needs),
        (*pip, "download", "--quiet", "--no-deps", "--no-binary", name, "-d", str(place), suite.distribution),
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=_LONGEST, check=False)
        except subprocess.TimeoutExpired:
            raise MissingError(f"{step[0]} was not done in time") from None
        if done.returncode:
            raise MissingError(last_line(done.stderr))
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(place / "source", filter="data")
    (unpacked,) = (place / "source").iterdir()
    partial = place / "partial"
    partial.mkdir()
    # Not the whole package: the tests are to import the installed one.
    for part in suite.parts:
        (unpacked / part).rename(partial / Path(part).name)
    partial.rename(tests)
    return python, tests
