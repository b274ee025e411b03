"""The notes of a release are its section of the changelog."""

from __future__ import annotations

import pytest

from kinformer._version import __version__
from release.changelog import ChangelogError, notes_of
from tests.paths import ROOT

TEXT = "# Changelog\n\n## Unreleased\n\n- new\n\n## [1.1.0] - 2026-02-01\n\n### Fixed\n\n- a\n\n## 1.0.0\n\n- b\n"


def test_the_section_ends_at_the_next_version() -> None:
    assert notes_of(TEXT, "1.1.0") == "### Fixed\n\n- a\n"
    assert notes_of(TEXT, "1.0.0") == "- b\n"


def test_what_is_unreleased_counts_only_on_request() -> None:
    assert notes_of(TEXT, "2.0.0", or_unreleased=True) == "- new\n"
    with pytest.raises(ChangelogError, match=r"no notes of 2\.0\.0; it has Unreleased, 1\.1\.0, 1\.0\.0"):
        notes_of(TEXT, "2.0.0")


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(ChangelogError, match=r"no notes of 1\.0\.0"):
        notes_of("## 1.0.0\n\n## 0.9.0\n\n- old\n", "1.0.0")


def test_this_version_has_notes() -> None:
    assert "### Added" in notes_of((ROOT / "CHANGELOG.md").read_text(), __version__, or_unreleased=True)
