"""Results, kept between runs, so that one question can be asked again without the others.

One JSON file in the cache folder of this machine's user (`KINFORMER_BENCH_CACHE`, else
`$XDG_CACHE_HOME/kinformer/bench`, else `~/.cache/kinformer/bench`), never in the repository.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import Row

__all__ = ["Answer", "cache_folder", "commit", "load", "machine", "now", "save", "versions"]

PACKAGES = (
    "kinformer",
    "aiohttp",
    "msgspec",
    "uvloop",
    "kubernetes_asyncio",
    "kubernetes",
    "lightkube",
    "kr8s",
    "kopf",
    "cloudcoil",
)


class Answer(NamedTuple):
    """The outcome of a question.

    Attributes:
        rows: the answer; empty where it failed.
        at: when, UTC, "2026-11-24 21:58".
        seconds: how long it took, of real time.
        commit: of the repository, shortened; with a "+" where files differed from it.
        error: why there is no answer, in one line; "" where there is.
    """

    rows: list[Row]
    at: str
    seconds: float
    commit: str
    error: str = ""


def cache_folder() -> Path:
    """Return the folder of results, built programs and converted recordings; create it if it is missing."""
    chosen = os.environ.get("KINFORMER_BENCH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(chosen) if chosen else base / "kinformer" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file() -> Path:
    return cache_folder() / "results.json"


def load() -> dict[str, Answer]:
    """Return the kept results by question; nothing if the file is missing, damaged or of another form."""
    try:
        kept: dict[str, dict[str, Any]] = json.loads(_file().read_text())
        return {
            name: Answer(**{**answer, "rows": [_row(row) for row in answer["rows"]]}) for name, answer in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _row(values: list[Any]) -> Row:
    row = Row(*values)
    return row._replace(points=tuple((float(x), float(y)) for x, y in row.points))


def save(answers: dict[str, Answer]) -> None:
    """Keep them; whole or not at all."""
    text = json.dumps({name: answer._asdict() for name, answer in answers.items()}, indent=1)
    partial = _file().with_suffix(".partial")
    partial.write_text(text)
    partial.replace(_file())


def now() -> str:
    """UTC, to the minute."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M}"


def commit() -> str:
    """The commit that is measured, or "" outside a repository."""
    run = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Processor and how many of it."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}"


def versions() -> str:
    """Return the versions of Python and of the measured packages."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return ", ".join(found)
