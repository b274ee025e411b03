"""Run the unit tests on each Python that this machine has: `python -m release.matrix [VERSION ...]`.

Looks for an interpreter with uv, which also downloads one where it can, and in ~/.pyenv. Each run has an environment
of its own in build/matrix/. The last lines are a table; a Python that cannot be had is named there and is no failure,
because the workflow .github/workflows/ci.yml runs the whole matrix.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.14t")
EXTRAS = "cli,compact,fastapi,opentelemetry,prometheus,starlette,testing,ui"
TESTS = ("hatchling", "httptools", "httpx2", "hypothesis", "looptime", "opentelemetry-sdk", "packaging", "pytest",
         "pytest-asyncio", "pytest-timeout", "pytest-xdist", "uvloop")  # fmt: skip


def interpreter(version: str) -> str | None:
    """Return the path of a Python of a version, such as "3.13" or "3.14t"; `None` if there is none."""
    if not version.endswith("t"):
        for path in sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")):
            return str(path)
    _uv("python", "install", version, check=False)
    found = _uv("python", "find", version, check=False)
    return found.stdout.strip() or None


def run(version: str, python: str, *, tests: tuple[str, ...]) -> str:
    """Run the tests in an environment of one Python; return the outcome in a few words."""
    place = ROOT / "build" / "matrix" / version
    _uv("venv", "--quiet", "--clear", "--python", python, str(place))
    executable = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    installed = _uv("pip", "install", "--quiet", "--python", executable, f".[{EXTRAS}]", *TESTS, check=False)
    if installed.returncode:
        return f"not installable: {(installed.stderr.strip().splitlines() or [''])[-1]}"
    began = time.perf_counter()  # a duration that is reported, not waited for
    workers = os.environ.get("KINFORMER_MATRIX_WORKERS", "auto")
    command = [executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["no output"])[-1]
    (place / "pytest.log").write_text(done.stdout + done.stderr)
    return f"{'passed' if done.returncode == 0 else 'FAILED'} in {time.perf_counter() - began:.0f} s: {last}"


def _uv(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uv", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check)


def main(versions: list[str]) -> int:
    """Run the matrix and print the table; return 1 if a run failed."""
    outcomes: dict[str, str] = {}
    tests = tuple(os.environ.get("KINFORMER_MATRIX_TESTS", "tests/unit").split())
    for version in versions or PYTHONS:
        python = interpreter(version)
        outcomes[version] = "not to be had on this machine" if python is None else run(version, python, tests=tests)
        print(f"{version:6} {outcomes[version]}", flush=True)
    return int(any(outcome.startswith(("FAILED", "not installable")) for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
