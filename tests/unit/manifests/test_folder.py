"""A folder of manifests: written, compared, and files of others left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinformer.manifests import compare, write
from kinformer.manifests._files import HEADER, File

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "base/a.yaml": File(f"{HEADER}a: 1\n"),
    "base/b.yaml": File(f"{HEADER}b: 1\n"),
    "overlay/kustomization.yaml": File("mine\n", is_yours=True),
}


def kinds(folder: Path, files: dict[str, File] = FILES) -> dict[str, str]:
    return {change.path: change.kind for change in compare(folder, files)}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert len(write(tmp_path, FILES)) == 3
    assert write(tmp_path, FILES) == []


def test_files_of_the_author_stay_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "overlay/kustomization.yaml").write_text("replicas: 5\n")
    (tmp_path / "overlay/more.yaml").write_text("of the author\n")
    (tmp_path / "base/own.yaml").write_text("of the author, too\n")
    assert kinds(tmp_path) == {}
    (tmp_path / "base/a.yaml").unlink()
    write(tmp_path, FILES)
    assert (tmp_path / "overlay/kustomization.yaml").read_text() == "replicas: 5\n"
    assert (tmp_path / "base/own.yaml").exists()


def test_a_drift_is_shown_as_a_diff_from_the_folder_to_the_code(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "base/a.yaml").write_text(f"{HEADER}a: 2\n")
    (change,) = compare(tmp_path, FILES)
    assert (change.path, change.kind) == ("base/a.yaml", "changed")
    assert "-a: 2\n+a: 1\n" in change.difference


def test_files_that_are_not_needed_any_more_are_removed(tmp_path: Path) -> None:
    write(tmp_path, FILES | {"monitoring/m.yaml": File(f"{HEADER}m: 1\n")})
    fewer = {path: file for path, file in FILES.items() if path != "base/b.yaml"}
    assert kinds(tmp_path, fewer) == {"base/b.yaml": "stale", "monitoring/m.yaml": "stale"}
    write(tmp_path, fewer)
    assert not (tmp_path / "base/b.yaml").exists()
    assert kinds(tmp_path, fewer) == {}


def test_a_file_of_another_origin_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/a.yaml").write_text("by hand\n")
    assert kinds(tmp_path)["base/a.yaml"] == "foreign"
    with pytest.raises(FileExistsError, match="not made by"):
        write(tmp_path, FILES)
    assert not (tmp_path / "base/b.yaml").exists()
