"""SECURITY.md names tests that exist."""

from __future__ import annotations

import re

from tests.paths import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 20


def test_the_test_of_each_promise_exists() -> None:
    texts = {path: (ROOT / path).read_text() for path, _ in NAMED}
    assert [name for path, name in NAMED if not re.search(rf"^(async )?def {name}\(", texts[path], re.MULTILINE)] == []


def test_each_promise_names_a_test() -> None:
    table = PAGE.partition("## Promises")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py::\w+`.*\|$", row)] == []
