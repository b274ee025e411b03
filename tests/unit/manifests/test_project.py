"""New projects: their names, and the folder that they are written to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kinformer.manifests import NewProject, UnfitNameError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My_Operator", "'my-operator' would do"),
        ("1shop", "'shop' would do"),
        ("", "cannot be the name of Kubernetes objects"),
        ("-a", "cannot be the name"),
        ("a" * 41, "at most 40"),
        ("é", "cannot be the name"),
        ("class", "cannot be the name of a package"),
        ("tests", "cannot be the name of a package"),
        ("kinformer", "there is a module 'kinformer' in this environment"),
        ("json", "there is a module 'json' in this environment"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(UnfitNameError, match=reason):
        NewProject(name)


@pytest.mark.parametrize(
    "kind", ["website", "Web Site", "Web-Site", "", "None", "Manager", "WANTED", "1Site", "Wébsite"]
)
def test_a_kind_that_does_not_fit_is_refused(kind: str) -> None:
    with pytest.raises(UnfitNameError, match="kind"):
        NewProject("my-operator", kind=kind)


@pytest.mark.parametrize("group", ["example", "Example.com", "a..b", "-a.com", "apps.k8s.io", "x.kubernetes.io", ""])
def test_a_group_that_does_not_fit_is_refused(group: str) -> None:
    with pytest.raises(UnfitNameError, match="group"):
        NewProject("my-operator", group)


def test_no_placeholder_is_left_and_python_files_compile() -> None:
    for path, text in NewProject("my-shop2", "shop.example.com", "Shop").files().items():
        assert not re.search(r"@[A-Z]+@", path + text), path
        if path.endswith(".py"):
            compile(text, path, "exec")
        assert all(len(line) <= 120 for line in text.splitlines()) or not path.endswith(".py"), path


def test_the_operator_of_the_author_has_at_most_120_lines() -> None:
    files = NewProject("my-operator").files()
    assert sum(len(files[path].splitlines()) for path in files if path.startswith("my_operator/")) <= 120


def test_a_folder_that_is_not_empty_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(FileExistsError, match="nothing was written"):
            NewProject("my-operator").create(tmp_path / name)
    assert [*(tmp_path / "full").iterdir()] == [tmp_path / "full/notes.txt"]
    (tmp_path / "empty").mkdir()
    assert NewProject("my-operator").create(tmp_path / "empty")
