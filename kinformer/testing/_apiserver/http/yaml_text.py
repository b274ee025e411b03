"""Answers as YAML; imported with the first of them, as it needs PyYAML."""

from __future__ import annotations

from typing import Any, Final

import yaml

__all__ = ["yaml_text"]


class _Yaml(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """YAML as Kubernetes writes it: texts that would be read as other values stand in double quotes."""


def _as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif text in {"y", "Y", "n", "N"} or dumper.resolve(yaml.ScalarNode, text, (True, False)) != _TEXT:  # type: ignore[no-untyped-call]
        style = '"'
    return dumper.represent_scalar(_TEXT, text, style=style)


_TEXT: Final = "tag:yaml.org,2002:str"
_Yaml.add_representer(str, _as_text)


def yaml_text(value: Any) -> str:
    """Return a JSON value as YAML, as Kubernetes writes it."""
    text: str = yaml.dump(value, Dumper=_Yaml, allow_unicode=True, default_flow_style=False)
    return text
