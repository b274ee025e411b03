"""The words that CONTRIBUTING.md bans are in no page and in no module."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT
from tests.plain_english import findings, in_text

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
MODULES = sorted(
    [*(ROOT / "kinformer").rglob("*.py"), *(ROOT / "examples").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
)


FOLDERS: dict[str, list[Path]] = defaultdict(list)
"""The files by the folder of the first two levels: a test for each file takes longer than the files."""
for _path in [*PAGES, *MODULES]:
    FOLDERS["/".join(_path.relative_to(ROOT).parts[:-1][:2])].append(_path)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_text_is_plain_english(folder: str) -> None:
    assert [str(finding) for path in FOLDERS[folder] for finding in findings(path)] == []


@pytest.mark.parametrize("text", ["The server tells him.", "what is so", "Nobody knows.", "and whoever asks"])
def test_a_banned_word_is_found(text: str) -> None:
    assert [*in_text(text)]


SOURCE = """
BEFORE = "# nobody"  # The server tells him.
heard = 1  # `heard` is a number, and
#   nobody hears it
f"{heard} # lest"
"""


def test_banned_words_are_found_in_comments_and_strings_but_not_in_code(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE)
    found = [(finding.line, finding.words) for finding in findings(tmp_path)]
    assert found == [(2, "tells"), (2, "him"), (4, "nobody"), (4, "hears"), (2, "nobody"), (5, "lest")]


def test_code_is_no_english() -> None:
    assert not [*in_text("`tell()` and `what is`")]
