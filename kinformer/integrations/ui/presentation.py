"""Objects on the page: as YAML, with sizes in place of values of Secrets."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from kinformer._display.secrets import shown, shown_pair
from kinformer._display.yaml_text import yaml_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.objects import KubeObject

__all__ = ["as_yaml", "difference"]

_NOISE: Final = ("resourceVersion", "generation", "managedFields")
"""Fields of metadata that change with everything, and so say nothing in a difference."""

_CONTEXT: Final = 2


def as_yaml(obj: KubeObject) -> str:
    """Return the object as YAML, without the values of a Secret and without `managedFields`, as kubectl does."""
    return yaml_of(_without(shown(obj), "managedFields"))


def difference(old: KubeObject | None, new: KubeObject | None) -> list[list[str]]:
    """Return the changes between two states as YAML: `[" ", line]`, `["-", line]`, `["+", line]`, `["@", place]`.

    Of a Secret it shows which values changed, and their sizes.
    """
    if old is not None and new is not None:
        before, after = map(_lines, shown_pair(old, new))
    else:
        before, after = (_lines(None if obj is None else shown(obj)) for obj in (old, new))
    if before == after:
        return []
    found: list[list[str]] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        first = next(code for code in group if code[0] != "equal")
        found.append(["@", _place(after, first[3]) if first[0] != "delete" else _place(before, first[1])])
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                found += [[" ", line] for line in before[i1:i2]]
            else:
                found += _paired(before[i1:i2], after[j1:j2])
    return found


def _paired(gone: Sequence[str], come: Sequence[str]) -> list[list[str]]:
    """Lines that took each other's place; where they are of the same fields, field by field."""
    if len(gone) == len(come) and all(_field(one) == _field(other) for one, other in zip(gone, come, strict=True)):
        return [line for one, other in zip(gone, come, strict=True) for line in (["-", one], ["+", other])]
    return [*(["-", line] for line in gone), *(["+", line] for line in come)]


def _field(line: str) -> str:
    return line.partition(":")[0]


def _lines(manifest: dict[str, Any] | None) -> list[str]:
    return [] if manifest is None else yaml_of(_without(manifest, *_NOISE)).splitlines()


def _without(manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    """The manifest without these fields of its metadata."""
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict):
        for name in names:
            metadata.pop(name, None)
    return manifest


def _place(lines: Sequence[str], at: int) -> str:
    """The fields around a line, from the outermost: `spec.template.spec`."""
    path: list[str] = []
    if at >= len(lines):
        return ""
    indent = len(lines[at]) - len(lines[at].lstrip())
    for line in reversed(lines[:at]):
        stripped = line.lstrip(" -")
        depth = len(line) - len(line.lstrip())
        if depth < indent and ":" in stripped:
            path.append(stripped.partition(":")[0])
            indent = depth
        if not indent:
            break
    return ".".join(reversed(path))
