"""SECURITY.md and the page on reliability name a test for each of their promises, and these tests exist."""

from __future__ import annotations

import re

import pytest

from benchmarks.rude_server import with_kept_sections
from tests.paths import ROOT

TABLES = {"SECURITY.md": "## Promises", "docs/reliability.md": "### The tests of this page"}


def page(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", TABLES)
def test_the_test_of_each_promise_exists(name: str) -> None:
    named = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page(name))))
    assert len(named) > 20
    texts = {path: (ROOT / path).read_text() for path, _ in named}
    assert [test for path, test in named if not re.search(rf"^(async )?def {test}\(", texts[path], re.MULTILINE)] == []


@pytest.mark.parametrize(("name", "heading"), TABLES.items())
def test_each_promise_names_a_test(name: str, heading: str) -> None:
    table = page(name).partition(heading)[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py::\w+`.*\|$", row)] == []


def test_a_new_measurement_keeps_the_tests_on_the_page() -> None:
    heading = TABLES["docs/reliability.md"]
    assert heading in with_kept_sections("# Reliability\n\n## How it was measured\n", page("docs/reliability.md"))
