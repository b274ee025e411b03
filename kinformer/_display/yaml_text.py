"""Manifests as YAML, for `-o yaml` and the web UI. Pass only manifests from `secrets.shown`."""

from __future__ import annotations

from typing import Any, Final

import yaml

__all__ = ["yaml_of"]

PAGE_WIDTH: Final = 160


# libyaml's dumper is ten times as fast; PyYAML has it if it was built with libyaml.
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """Writes YAML as kubectl does: text of several lines as a block, elements of lists without indentation."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_of(manifest: dict[str, Any], *, width: int = PAGE_WIDTH, ascii_only: bool = False) -> str:
    """Return the manifest as YAML, with its fields in their order.

    Args:
        manifest: a result of `kinformer._display.secrets.shown`.
        width: the longest line, in characters; longer text is folded.
        ascii_only: escape all other characters, for an output whose encoding lacks them.
    """
    text: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only, width=width)
    return text
