"""Progress of a question, from the process that measures to the one that shows it.

The runner gives its child a pipe, and its number in the environment; without one nothing is written, and a module that
is run by hand is as before. The size of a measurement is passed in the same way.
"""

from __future__ import annotations

import json
import os

__all__ = ["PIPE", "QUICK", "is_quick", "step"]

PIPE = "KINFORMER_BENCH_PROGRESS"
"""Environment variable: the number of the file descriptor to which steps are written, one JSON line each."""

QUICK = "KINFORMER_BENCH_QUICK"
"""Environment variable: "1" where a rough answer is enough (`make bench-quick`)."""


def is_quick() -> bool:
    """Return whether a rough, quick answer suffices."""
    return os.environ.get(QUICK) == "1"


def step(done: int, total: int, what: str) -> None:
    """Say that so many of so many parts are done, and which is next."""
    pipe = os.environ.get(PIPE)
    if pipe:
        os.write(int(pipe), json.dumps([done, total, what]).encode() + b"\n")
