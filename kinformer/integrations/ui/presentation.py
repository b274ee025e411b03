"""Objects as they are shown: YAML, with sizes in place of what is confidential."""

from __future__ import annotations

import base64
import binascii
import difflib
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.objects import KubeObject

__all__ = ["as_yaml", "difference", "presentable"]

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

_NOISE: Final = ("resourceVersion", "generation", "managedFields")
"""Fields of metadata that change with everything, and so say nothing in a difference."""

_CONTEXT: Final = 2

# libyaml's, where PyYAML was built with it: ten times as fast.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def presentable(obj: KubeObject) -> dict[str, Any]:
    """The manifest as it may be shown.

    Of a Secret, `data` and `stringData` are sizes, and so is kubectl's copy of what was applied, which has them, too.
    `managedFields` are left out, as kubectl does.
    """
    manifest = obj.to_dict()
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    if obj.resource.plural != "secrets" or obj.resource.group:
        return manifest
    if "data" in manifest:
        manifest["data"] = _sizes(manifest["data"], encoded=True)
    if "stringData" in manifest:
        manifest["stringData"] = _sizes(manifest["stringData"], encoded=False)
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
        annotations[_LAST_APPLIED] = f"<{len(str(annotations[_LAST_APPLIED]).encode())} bytes, not shown>"
    return manifest


def _sizes(values: Any, *, encoded: bool) -> Any:
    if not isinstance(values, dict):
        return "<not shown>"
    return {name: f"<{_size(value, encoded=encoded)} bytes, not shown>" for name, value in values.items()}


def _size(value: Any, *, encoded: bool) -> int:
    text = str(value)
    if encoded:
        try:
            return len(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            pass
    return len(text.encode())


def as_yaml(manifest: dict[str, Any]) -> str:
    """The manifest as YAML, its fields in the order they came."""
    text: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=160)
    return text


def difference(old: KubeObject | None, new: KubeObject | None) -> list[list[str]]:
    """What changed between two states, as lines of YAML: `[" ", line]`, `["-", line]`, `["+", line]`, `["@", place]`.

    Taken of what may be shown: a Secret whose values changed and kept their sizes is told to have changed, not how.
    """
    before, after = _lines(old), _lines(new)
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


def _lines(obj: KubeObject | None) -> list[str]:
    if obj is None:
        return []
    manifest = presentable(obj)
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict):
        for name in _NOISE:
            metadata.pop(name, None)
    return as_yaml(manifest).splitlines()


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
