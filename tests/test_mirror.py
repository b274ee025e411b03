"""Each module has tests that can be found: by its name, or by a row of tests/mirror.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mirror import ELSEWHERE, PACKAGE, mirrored, modules, places_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MODULES = modules()
MIRRORED = {mirrored(module) for module in MODULES}
UNIT_TESTS = sorted((ROOT / "tests" / "unit").rglob("test_*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_each_module_has_tests(module: Path) -> None:
    assert all(place.exists() for place in places_of(module))


@pytest.mark.parametrize("row", ELSEWHERE)
def test_each_row_is_of_a_module_or_a_folder_and_names_places_that_exist(row: str) -> None:
    assert (PACKAGE / row).exists()
    assert [place for place in ELSEWHERE[row] if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_unit_test_file_lies_where_a_module_of_the_package_looks_for_it(path: Path) -> None:
    # By its name, or by its folder: a package's tests of several modules lie beside those of one.
    named = {ROOT / place for places in ELSEWHERE.values() for place in places}
    assert path in MIRRORED or path in named or any(mirror.parent == path.parent for mirror in MIRRORED)


def test_a_module_without_tests_is_named_with_the_remedy() -> None:
    with pytest.raises(LookupError, match=r"write tests/unit/test_nothing\.py, or name one in tests/mirror\.py"):
        places_of(PACKAGE / "nothing.py")
