"""Each module has tests that can be found: by its name, or by a row of tests/mirror.py."""

from __future__ import annotations

import pytest

from tests.mirror import ELSEWHERE, PACKAGE, mirrored, modules, places_of
from tests.paths import ROOT

MODULES = modules()
MIRRORED = {mirrored(module) for module in MODULES}
UNIT_TESTS = sorted((ROOT / "tests" / "unit").rglob("test_*.py"))


def test_each_module_has_tests() -> None:
    absent = {module: place for module in MODULES for place in places_of(module) if not place.exists()}
    assert absent == {}


def test_each_row_is_of_a_module_or_a_folder_and_names_places_that_exist() -> None:
    assert [row for row in ELSEWHERE if not (PACKAGE / row).exists()] == []
    absent = {row: place for row, places in ELSEWHERE.items() for place in places if not (ROOT / place).exists()}
    assert absent == {}


def test_each_unit_test_file_lies_where_a_module_of_the_package_looks_for_it() -> None:
    # By its name, or by its folder: a package's tests of several modules lie beside those of one.
    named = {ROOT / place for places in ELSEWHERE.values() for place in places}
    folders = {mirror.parent for mirror in MIRRORED}
    astray = [path for path in UNIT_TESTS if path not in MIRRORED | named and path.parent not in folders]
    assert astray == []


def test_a_module_without_tests_is_named_with_the_remedy() -> None:
    with pytest.raises(LookupError, match=r"write tests/unit/test_nothing\.py, or name one in tests/mirror\.py"):
        places_of(PACKAGE / "nothing.py")
