"""Each test that a page names exists, and docs/conformance.md answers all of client-go's tests.

The other direction, from a module to its tests, is `python -m tests.mirror kinformer/<module>.py`.
"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.paths import ROOT

TEXT = (ROOT / "docs" / "conformance.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PLACES = sorted({place for page in PAGES for place in re.findall(r"`(tests/[\w/.]+::\w+)`", page.read_text())})
ROWS = re.findall(r"^\| (Test\w+) \| (.+) \|$", TEXT, re.MULTILINE)


@cache
def defined(path: str) -> frozenset[str]:
    """The tests of a file: functions, and state machines assigned to a name."""
    tree = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset(functions | assigned)


@pytest.mark.parametrize("place", PLACES)
def test_each_test_that_is_named_exists(place: str) -> None:
    path, _, name = place.partition("::")
    assert name.lower().startswith("test")
    assert name in defined(path)


def test_each_of_client_gos_222_tests_is_answered() -> None:
    # TestResetWatch and TestIndexer are the names of two tests each, in two files.
    assert len(ROWS) == 222
    for name, answer in ROWS:
        assert "::" in answer or answer.startswith(("Not applicable", "Differs", "Not yet")), name
