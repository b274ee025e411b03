"""Build the wheel and the sdist of a source tree, and check them.

A build depends on nothing but the tracked content: built in two folders, with other times of the files, another umask
and another locale, the bytes are the same (https://reproducible-builds.org/specs/source-date-epoch/).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from packaging.metadata import Metadata

__all__ = ["ArtifactError", "build", "build_twice", "check_metadata", "copy_of", "metadata_of"]

EPOCH: Final = "1767225600"
"""SOURCE_DATE_EPOCH of a build that names none: 2026-01-01."""

_NOT_COPIED: Final = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "build", "dist", "site", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".hypothesis", ".import_linter_cache", "*.egg-info",
)  # fmt: skip


class ArtifactError(Exception):
    """An artifact that must not be released; the message names the file and the reason."""


def copy_of(source: Path, target: Path) -> Path:
    """Copy a source tree without build results; the copies of files have the present time."""
    return Path(shutil.copytree(source, target, ignore=_NOT_COPIED, copy_function=shutil.copyfile))


def build(source: Path, target: Path, **environment: str) -> list[Path]:
    """Build the sdist and the wheel of a source tree; return their paths, sorted.

    Args:
        source: the folder of pyproject.toml.
        target: the folder for the files; it is made anew.
        environment: variables beside those of this process.

    Raises:
        ArtifactError: the build failed; the message has its output.
    """
    shutil.rmtree(target, ignore_errors=True)
    variables = {"SOURCE_DATE_EPOCH": EPOCH} | os.environ | environment
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target.resolve())]
    done = subprocess.run(command, cwd=source, env=variables, check=False, capture_output=True, text=True)
    if done.returncode:
        msg = f"the build in {source} failed: {done.stderr.strip()}"
        raise ArtifactError(msg)
    return sorted(target.iterdir())


def build_twice(source: Path, scratch: Path, target: Path) -> list[Path]:
    """Build in two copies of the tree under different conditions; return the files of the first build, in `target`.

    Raises:
        ArtifactError: the builds differ; the message names the files.
    """
    first = build(copy_of(source, scratch / "one"), target)
    before = os.umask(0o077)
    try:
        second_source = copy_of(source, scratch / "another" / "folder")
    finally:
        os.umask(before)
    for path in second_source.rglob("*.py"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    second = build(second_source, scratch / "second", LC_ALL="C", TZ="Asia/Kolkata", PYTHONHASHSEED="7")
    different = [one.name for one, other in zip(first, second, strict=True) if _digest(one) != _digest(other)]
    if different:
        msg = f"{', '.join(different)}: two builds of the same tree differ"
        raise ArtifactError(msg)
    return first


def metadata_of(wheel: Path) -> Metadata:
    """Read and validate the metadata of a wheel.

    Raises:
        packaging.metadata.InvalidMetadata: a field does not follow the core metadata specification.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(archive.read(name), validate=True)


def check_metadata(wheel: Path, version: str) -> None:
    """Check the metadata of a wheel that users and package indexes rely on.

    Raises:
        ArtifactError: a value is missing or wrong.
    """
    metadata = metadata_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    problems = [
        reason
        for wrong, reason in (
            (str(metadata.version) != version, f"the version is {metadata.version}, not {version}"),
            (metadata.license_expression != "Apache-2.0", "there is no license expression"),
            (not any(name.endswith("/licenses/LICENSE") for name in names), "LICENSE is missing"),
            ("kinformer/py.typed" not in names, "py.typed is missing"),
            (metadata.description_content_type != "text/markdown", "the description is not Markdown"),
            (not metadata.requires_python, "requires-python is missing"),
        )
        if wrong
    ]
    if problems:
        msg = f"{wheel.name}: {'; '.join(problems)}"
        raise ArtifactError(msg)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
