"""The wheel and the sdist: the same bytes from the same tree, and the metadata that users rely on."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from kinformer._version import __version__
from release.artifacts import ArtifactError, build, build_twice, check_metadata, metadata_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    scratch = tmp_path_factory.mktemp("builds")
    return build_twice(ROOT, scratch, scratch / "dist")


def test_two_builds_of_one_tree_are_the_same_bytes(built: list[Path]) -> None:
    assert [path.name for path in built] == [
        f"kinformer-{__version__}-py3-none-any.whl",
        f"kinformer-{__version__}.tar.gz",
    ]


def test_the_version_license_types_and_description_are_in_the_wheel(built: list[Path]) -> None:
    check_metadata(built[0], __version__)
    with pytest.raises(ArtifactError, match=f"the version is {__version__}, not 9"):
        check_metadata(built[0], "9")


def test_the_wheel_needs_only_the_core_dependencies(built: list[Path]) -> None:
    needed = [one for one in metadata_of(built[0]).requires_dist or () if one.marker is None]
    assert {Requirement(str(one)).name for one in needed} == {
        "aiohttp", "anyio", "kubernetes-asyncio", "msgspec", "pyyaml",
    }  # fmt: skip


def test_a_build_that_depends_on_its_folder_is_found(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "thing").mkdir(parents=True)
    (project / "thing" / "__init__.py").write_text("")
    (project / "hatch_build.py").write_text(
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    PLUGIN_NAME = 'custom'\n"
        "    def initialize(self, version, build_data):\n"
        "        open(self.root + '/thing/where.py', 'w').write(repr(self.root))\n"
    )
    (project / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
        "[project]\nname = 'thing'\nversion = '1'\n[tool.hatch.build.hooks.custom]\n"
    )
    assert len(build(project, tmp_path / "once")) == 2
    with pytest.raises(ArtifactError, match="two builds of the same tree differ"):
        build_twice(project, tmp_path / "scratch", tmp_path / "dist")


def test_no_file_of_an_archive_belongs_to_a_person(built: list[Path]) -> None:
    with tarfile.open(built[1]) as archive:
        assert {(member.uid, member.gid, member.uname) for member in archive.getmembers()} == {(0, 0, "")}
    with zipfile.ZipFile(built[0]) as archive:
        assert len({info.date_time for info in archive.infolist()}) == 1
