"""The set-up that all tests share."""

from __future__ import annotations

import gc
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies

from tests.conftest import not_run

if TYPE_CHECKING:
    from pathlib import Path


def report(reason: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="tests/a.py::test_a",
        location=("tests/a.py", 1, "test_a"),
        keywords={},
        outcome="skipped",
        longrepr=("tests/a.py", 1, f"Skipped: {reason}"),
        when="setup",
    )


def test_each_reason_is_a_line_with_its_remedy_and_the_number_of_tests() -> None:
    chromium = "there is no chromium: apt-get install chromium, or set KINFORMER_CHROMIUM"
    skipped = [report(chromium), report("there is no kubectl"), report(chromium)]
    assert not_run(skipped, "real") == [f"2 tests: {chromium}", "1 test: there is no kubectl"]


def test_the_tests_of_the_real_control_plane_are_named_when_they_are_left_out() -> None:
    (line,) = not_run([], "not real")
    assert "make test-real" in line
    assert not_run([], "real") == []


def test_no_collection_walks_over_what_was_there_before_the_first_test() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 50_000


def test_the_examples_are_the_same_in_each_run_whatever_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> str:
        values: list[object] = []

        @given(strategies.lists(strategies.integers() | strategies.text() | strategies.floats()))
        def draw(some: list[object]) -> None:
            values.append(some)

        draw()
        return repr(values)

    before = drawn()
    more = ModuleType("more")
    (tmp_path / "more.py").write_text(f"numbers, texts = {[*range(1000, 1400)]}, {[f'text {n}' for n in range(400)]}")
    more.__file__ = str(tmp_path / "more.py")
    monkeypatch.setitem(sys.modules, "more", more)
    assert drawn() == before
