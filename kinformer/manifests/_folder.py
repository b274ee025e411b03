"""Compares the files of a deployment with a folder, and writes them there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal, NamedTuple

from kinformer.manifests._files import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from kinformer.manifests._files import File

__all__ = ["Change", "compare", "write"]


class Change(NamedTuple):
    """A file of the folder that is not as it should be.

    Attributes:
        path: the path in the folder.
        kind: "missing"; "changed"; "stale": made earlier, and not needed any more; "foreign": not made by
            `kinformer manifests`, in the place of a file that is.
        difference: a unified diff, from the folder to the code.
    """

    path: str
    kind: Literal["missing", "changed", "stale", "foreign"]
    difference: str


def compare(folder: Path, files: Mapping[str, File]) -> list[Change]:
    """Return the files that differ. Those of the author differ only if they are missing."""
    found = []
    for path, file in sorted(files.items()):
        at = folder / path
        if not at.exists():
            found.append(Change(path, "missing", _difference("", file.text, path)))
            continue
        if file.is_yours:
            continue
        present = at.read_text(encoding="utf-8", errors="replace")
        if present != file.text:
            kind: Literal["changed", "foreign"] = "changed" if present.startswith(HEADER) else "foreign"
            found.append(Change(path, kind, _difference(present, file.text, path)))
    for path in _made_earlier(folder, files):
        if path not in files:
            present = (folder / path).read_text(encoding="utf-8", errors="replace")
            found.append(Change(path, "stale", _difference(present, "", path)))
    return found


def _made_earlier(folder: Path, files: Iterable[str]) -> list[str]:
    parents = {path.partition("/")[0] for path in files if "/" in path} | {"monitoring"}
    return sorted(
        at.relative_to(folder).as_posix()
        for parent in parents
        for at in (folder / parent).rglob("*.yaml")
        if at.is_file() and at.read_text(encoding="utf-8", errors="replace").startswith(HEADER)
    )


def _difference(present: str, wanted: str, path: str) -> str:
    lines = difflib.unified_diff(
        present.splitlines(keepends=True), wanted.splitlines(keepends=True), f"{path} (folder)", f"{path} (code)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def write(folder: Path, files: Mapping[str, File]) -> list[Change]:
    """Write the files that differ, remove those that are stale, and return them.

    Raises:
        FileExistsError: a file was not made by `kinformer manifests`; then nothing is written.
        OSError: a file cannot be written.
    """
    changes = compare(folder, files)
    foreign = [str(folder / change.path) for change in changes if change.kind == "foreign"]
    if foreign:
        msg = f"{', '.join(foreign)}: not made by `kinformer manifests`, so not overwritten; move it, or choose --out"
        raise FileExistsError(msg)
    for change in changes:
        at = folder / change.path
        if change.kind == "stale":
            at.unlink()
            continue
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(files[change.path].text, encoding="utf-8")
    return changes
