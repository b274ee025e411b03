"""The first seed of the random tests: 0 in `make test`, which plays the same each time, and a fresh one in a soak."""

from __future__ import annotations

import os

FIRST_SEED = int(os.environ.get("KINFORMER_SEED", "0")) * 10_000_000
"""Tests take this seed and those after it."""
