"""YAML as kubectl reads it: YAML 1.1 with the scalar types of Go's parser, and only the first document.

kubectl decodes a kubeconfig with gopkg.in/yaml.v2 (by way of sigs.k8s.io/yaml). PyYAML resolves plain scalars by other
rules: it takes `2024-01-01` for a date and `12:30:45` for the number 45045, where Go reads texts; it takes `1e3` and
`0o17` for texts, where Go reads numbers. So the resolvers here are Go's (yaml.v2, resolve.go).
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

__all__ = ["MAX_DEPTH", "YamlError", "read_yaml"]

MAX_DEPTH: Final = 100
"""Levels of nesting that are read; a kubeconfig has seven."""

_MAX_NODES: Final = 1_000_000
"""Values that are built at most, counting each use of an alias."""


class YamlError(ValueError):
    """The text is not YAML, or it is beyond a bound. The message gives the place and quotes nothing."""


# The C parser is a port of the parser that Go's is a port of, so both accept the same syntax.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Builds plain values, with Go's types for plain scalars."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - PyYAML's way to configure a loader


_NUMBER: Final = re.compile(
    r"[-+]?(?:0[bB][01_]+|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|[0-9][0-9_]*)"
    r"|[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_BOOLEAN: Final = re.compile("|".join(sorted(_TRUE | _FALSE)))
_NULL: Final = re.compile(r"~|null|Null|NULL|")

for _tag, _pattern, _first in (
    ("bool", _BOOLEAN, "yYnNtTfFoO"),
    ("float", _NUMBER, "-+0123456789."),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile("<<"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z"), list(_first))


def _boolean(_loader: Any, node: yaml.ScalarNode) -> bool:
    return node.value in _TRUE


def _number(_loader: Any, node: yaml.ScalarNode) -> float:
    """Return a number. No field of a kubeconfig is one, so its type matters and its value does not."""
    text = node.value.replace("_", "")
    for convert in (lambda: int(text, 0), lambda: float(text)):
        try:
            return convert()
        except ValueError:
            continue
    return 0


def _binary(loader: Any, node: yaml.ScalarNode) -> str:
    return str(yaml.SafeLoader.construct_yaml_binary(loader, node).decode("utf-8", errors="replace"))


def _untagged(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    """Build a value with a tag of the file's own: Go ignores such a tag."""
    if isinstance(node, yaml.MappingNode):
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return yaml.SafeLoader.construct_sequence(loader, node, deep=True)
    return node.value


_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)
_Loader.add_constructor("tag:yaml.org,2002:binary", _binary)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
_Loader.add_constructor("tag:yaml.org,2002:set", yaml.SafeLoader.construct_yaml_map)
_Loader.add_multi_constructor("!", _untagged)


def read_yaml(data: bytes) -> Any:
    """Read the first document: mappings with texts as keys, lists, texts, numbers, booleans and `None`.

    Args:
        data: the content of a file, in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        YamlError: the content is not YAML, is nested more than 100 levels deep, or is too large once its aliases are
            expanded. The message names line and column, and shows nothing of the content.
    """
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise YamlError("is not UTF-8 text") from None
    try:
        _check_depth(data)
        loader = _Loader(data)
        try:
            value = loader.get_data() if loader.check_data() else None
        finally:
            loader.dispose()
        return _plain(value, [_MAX_NODES], 0)
    except RecursionError:
        msg = f"is nested more than {MAX_DEPTH} levels deep"
        raise YamlError(msg) from None
    except yaml.reader.ReaderError:
        raise YamlError("is not YAML: it has a character that YAML forbids") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        if isinstance(error, YamlError):
            raise
        # Only the place: the problem's own text quotes the file, tokens and all.
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        msg = f"is not YAML{at}"
        raise YamlError(msg) from None


def _check_depth(data: bytes) -> None:
    """Go through the events of the first document, which needs no recursion.

    Building the values does, and PyYAML up to 6.0.2 ends the process with a segmentation fault when they are nested
    deeply.
    """
    loader = _Loader(data)
    depth = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.DocumentEndEvent):
                return
            if depth > MAX_DEPTH:
                msg = f"is nested more than {MAX_DEPTH} levels deep"
                raise YamlError(msg)
    finally:
        loader.dispose()


def _plain(value: Any, left: list[int], depth: int) -> Any:
    """Copy a value, with keys as texts; aliases may make the copy large, so it is bounded."""
    left[0] -= 1
    if left[0] < 0:
        msg = f"has more than {_MAX_NODES:,} values once its aliases are expanded"
        raise YamlError(msg)
    if depth > MAX_DEPTH:
        msg = f"is nested more than {MAX_DEPTH} levels deep, or an anchor contains itself"
        raise YamlError(msg)
    match value:
        case dict():
            return {_key(key): _plain(each, left, depth + 1) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, left, depth + 1) for each in value]
        case set():
            return {_key(key): None for key in value}
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)
