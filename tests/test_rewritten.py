"""The assertions of tests are rewritten ahead of the workers: those that are new or have changed, and no others."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tests.rewritten import saved, shares, stale

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_file_is_rewritten_when_it_is_new_or_has_changed_and_pytest_finds_what_was_saved(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    paths = [pytester.makepyfile(**{f"test_{name}": "def test_it():\n    assert True\n"}) for name in "ab"]
    assert sorted(stale(pytester.path)) == paths
    pytester.runpytest_inprocess("--collect-only", "-o", "asyncio_default_fixture_loop_scope=function")
    assert list(stale(pytester.path)) == []
    later = saved(paths[0]).stat().st_mtime + 10
    os.utime(paths[0], (later, later))
    assert list(stale(pytester.path)) == [paths[0]]


def test_each_file_is_in_one_share_and_the_shares_are_alike_in_size(tmp_path: Path) -> None:
    paths = [tmp_path / f"test_{number}.py" for number in range(9)]
    for number, path in enumerate(paths):
        path.write_text("#" * (number + 1) * 100)
    parts = shares(paths, 2)
    assert sorted(path for part in parts for path in part) == paths
    sizes = [sum(path.stat().st_size for path in part) for part in parts]
    assert max(sizes) - min(sizes) <= 100
    assert shares(paths[:1], 2) == [paths[:1]]
