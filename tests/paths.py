"""Where the tests find the repository and their data, so that a test file can move between folders."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
RECORDINGS = DATA / "recordings"
